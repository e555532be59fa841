//! Who may do what.

pub mod bootstrap;
mod bound;
pub(crate) mod escalation;
pub(crate) mod followed;
mod node;
mod rbac;
mod reach;
mod rules;
mod webhook;

use std::sync::Arc;

use portolan_identity::User;
use portolan_store::Store;

pub(crate) use node::name as node_of;
pub(crate) use rbac::Authorizer;
pub(crate) use rules::{Rule, covers_path, has};
pub use webhook::{AccessWebhook, OnFailure};

use crate::outgoing::Unusable;
use crate::request::Info;
use crate::server::Server;
use crate::status::Status;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action<'a> {
    /// Something with a resource.
    Resource(&'a Info),
    /// Something with a path.
    Path {
        /// Lower-case HTTP method.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// One way to decide, in the order of `--authorization-mode`.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Everything is allowed.
    AlwaysAllow,
    /// Nothing is allowed, but to administrators.
    AlwaysDeny,
    /// Nodes may do what their pods need.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Another service decides.
    Webhook(AccessWebhook),
}

/// How it is decided who may do what.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// The ways, asked one after the other until one decides.
    pub modes: Vec<Mode>,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { modes: vec![Mode::Node, Mode::Rbac] }
    }
}

/// A way to decide, set up.
#[derive(Debug)]
enum Way {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Webhook(Box<webhook::AccessReviewer>),
}

/// All ways, in order.
#[derive(Debug)]
pub(crate) struct Ways(Vec<Way>);

impl Ways {
    pub(crate) fn new(settings: Authorization) -> Result<Self, Unusable> {
        let ways = settings.modes.into_iter().map(|mode| {
            Ok(match mode {
                Mode::AlwaysAllow => Way::AlwaysAllow,
                Mode::AlwaysDeny => Way::AlwaysDeny,
                Mode::Node => Way::Node,
                Mode::Rbac => Way::Rbac,
                Mode::Webhook(settings) => Way::Webhook(Box::new(webhook::AccessReviewer::new(settings)?)),
            })
        });
        ways.collect::<Result<_, _>>().map(Self)
    }

    /// Whether somebody decides who cannot list what he allows.
    pub(crate) fn decide_more_than_roles(&self) -> bool {
        self.0.iter().any(|way| matches!(way, Way::Webhook(_)))
    }
}

/// Refuses what the user may not do with a resource.
pub(crate) async fn authorize(server: &Server, user: &User, info: &Info) -> Result<(), Status> {
    permitted(server, user, info).await.map(drop)
}

/// The same, with the reason why it is allowed.
pub(crate) async fn permitted(server: &Server, user: &User, info: &Info) -> Result<String, Status> {
    let decision = decide(server, user, Action::Resource(info)).await;
    if let Decision::Allowed(reason) = decision {
        return Ok(reason);
    }
    let resource = if info.subresource.is_empty() {
        info.resource.clone()
    } else {
        format!("{}/{}", info.resource, info.subresource)
    };
    let place = match info.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let mut why = format!(
        "User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" {place}",
        user.name,
        info.authorized_verb(),
        info.group
    );
    if !decision.reason().is_empty() {
        why = format!("{why}: {}", decision.reason());
    }
    Err(Status::forbidden(&info.target(), info.authorized_name(), &why))
}

/// Refuses a path that the user may not see.
pub(crate) async fn authorize_path(server: &Server, user: &User, verb: &str, path: &str) -> Result<String, Status> {
    match decide(server, user, Action::Path { verb, path }).await {
        Decision::Allowed(reason) => Ok(reason),
        decision => Err(Status::forbidden_path(&user.name, verb, path, decision.reason())),
    }
}

/// The outcome of a check, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Allowed, because of this.
    Allowed(String),
    /// Refused, whatever others say.
    Denied(String),
    /// Nobody allows it, perhaps with a reason.
    NoOpinion(String),
}

impl Decision {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Allowed(reason) | Self::Denied(reason) | Self::NoOpinion(reason) => reason,
        }
    }
}

/// Whether a user may do something.
pub(crate) async fn decide(server: &Server, user: &User, action: Action<'_>) -> Decision {
    let mut reasons = match first_decision(server, user, action) {
        Ok(decision) => return decision,
        Err(Undecided { reasons, asked }) if asked == server.ways.0.len() => return no_opinion(reasons),
        Err(Undecided { reasons, .. }) => reasons,
    };
    // A webhook stands among the ways: everything from it on may have to wait.
    let webhook = server.ways.0.iter().position(|way| matches!(way, Way::Webhook(_))).unwrap_or_default();
    for way in &server.ways.0[webhook..] {
        let decision = match way {
            Way::Webhook(webhook) => webhook.decide(user, action, server.config.clock.now()).await,
            way => decided_by(way, server, user, action),
        };
        match decision {
            Decision::NoOpinion(reason) => reasons.push(reason),
            decision => return decision,
        }
    }
    no_opinion(reasons)
}

/// The same without those who would have to be asked over the network: they have no opinion.
pub(crate) fn decide_now(server: &Server, user: &User, action: Action<'_>) -> Decision {
    first_decision(server, user, action).unwrap_or_else(|undecided| no_opinion(undecided.reasons))
}

/// Nobody before the first webhook decided.
struct Undecided {
    reasons: Vec<String>,
    asked: usize,
}

fn first_decision(server: &Server, user: &User, action: Action<'_>) -> Result<Decision, Undecided> {
    if user.is_in(bootstrap::MASTERS) {
        return Ok(Decision::Allowed(String::new()));
    }
    let mut undecided = Undecided { reasons: Vec::new(), asked: 0 };
    for way in server.ways.0.iter().take_while(|way| !matches!(way, Way::Webhook(_))) {
        undecided.asked += 1;
        match decided_by(way, server, user, action) {
            Decision::NoOpinion(reason) => undecided.reasons.push(reason),
            decision => return Ok(decision),
        }
    }
    Err(undecided)
}

fn decided_by(way: &Way, server: &Server, user: &User, action: Action<'_>) -> Decision {
    match (way, action) {
        (Way::Node, Action::Resource(info)) => node::decide(&server.authorizer, user, info),
        (Way::Rbac, _) => server.authorizer.decide(user, action),
        (Way::AlwaysAllow, _) => Decision::Allowed(String::new()),
        _ => Decision::NoOpinion(String::new()),
    }
}

fn no_opinion(mut reasons: Vec<String>) -> Decision {
    reasons.retain(|reason| !reason.is_empty());
    Decision::NoOpinion(reasons.join("\n"))
}

impl Authorizer {
    /// An authorizer over the roles and bindings in a store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self::over(store)
    }
}
