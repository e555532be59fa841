//! Who may do what.

pub mod bootstrap;
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
pub(crate) use rules::Rule;
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
    Webhook(webhook::AccessReviewer),
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
                Mode::Webhook(settings) => Way::Webhook(webhook::AccessReviewer::new(settings)?),
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
    if user.is_in(bootstrap::MASTERS) {
        return Decision::Allowed(String::new());
    }
    let mut reasons: Vec<String> = Vec::new();
    for way in &server.ways.0 {
        let decision = match (way, action) {
            (Way::Node, Action::Resource(info)) => node::decide(&server.authorizer, user, info),
            (Way::Rbac, _) => server.authorizer.decide(user, action),
            (Way::Webhook(webhook), _) => webhook.decide(user, action, server.config.clock.now()).await,
            (Way::AlwaysAllow, _) => Decision::Allowed(String::new()),
            (Way::AlwaysDeny, _) | (Way::Node, Action::Path { .. }) => Decision::NoOpinion(String::new()),
        };
        match decision {
            Decision::NoOpinion(reason) if reason.is_empty() => {}
            Decision::NoOpinion(reason) => reasons.push(reason),
            decision => return decision,
        }
    }
    Decision::NoOpinion(reasons.join("\n"))
}

impl Authorizer {
    /// An authorizer over the roles and bindings in a store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self::over(store)
    }
}
