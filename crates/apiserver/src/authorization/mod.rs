//! Who may do what.

pub mod bootstrap;
mod bound;
mod conditions;
mod configuration;
pub(crate) mod devices;
pub(crate) mod escalation;
pub(crate) mod followed;
mod node;
mod rbac;
mod reach;
mod rules;
mod ways;
mod webhook;

use std::sync::Arc;

use portolan_base::go;
use portolan_identity::User;
use portolan_store::Store;

pub use conditions::Conditions;
pub(crate) use node::name as node_of;
pub(crate) use rbac::Authorizer;
pub(crate) use reach::{Kind, referred_kinds};
pub(crate) use rules::{Rule, covers_path, has};
use ways::Way;
pub(crate) use ways::{Listed, Ways};
pub use webhook::{AccessWebhook, OnFailure};

use crate::configuration::{Invalid, aggregate};
use crate::followed_file::{Kubeconfigs, SettingsFile};
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
    Webhook(Box<AccessWebhook>),
}

impl Mode {
    /// One that needs no settings, by its name in settings.
    pub fn built_in(name: &str) -> Option<Self> {
        Some(match name {
            "AlwaysAllow" => Self::AlwaysAllow,
            "AlwaysDeny" => Self::AlwaysDeny,
            "Node" => Self::Node,
            "RBAC" => Self::Rbac,
            _ => return None,
        })
    }

    /// Its name in settings and metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Webhook(_) => "Webhook",
        }
    }
}

/// A way to decide, and what it is counted under.
#[derive(Debug, Clone)]
pub struct NamedMode {
    /// The name.
    pub name: String,
    /// The way.
    pub mode: Mode,
}

/// How it is decided who may do what.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// The ways, asked one after the other until one decides.
    pub modes: Vec<NamedMode>,
    /// The file that says so, if one does; it is followed while the server runs.
    pub file: Option<(SettingsFile, Kubeconfigs)>,
}

impl Default for Authorization {
    fn default() -> Self {
        Self::of([Mode::Node, Mode::Rbac])
    }
}

impl Authorization {
    /// Ways under their usual names.
    pub fn of(modes: impl IntoIterator<Item = Mode>) -> Self {
        let modes = modes.into_iter().map(|mode| NamedMode { name: mode.kind().to_lowercase(), mode });
        Self { modes: modes.collect(), file: None }
    }

    /// What a file of `--authorization-config` says.
    ///
    /// # Errors
    /// It is not such a file, or says something that cannot be.
    pub fn from_file(file: SettingsFile, kubeconfigs: Kubeconfigs) -> Result<Self, Invalid> {
        let modes = configuration::parse(&file.text, &kubeconfigs)?;
        Ok(Self { modes, file: Some((file, kubeconfigs)) })
    }
}

/// Why something is not allowed.
#[derive(Debug)]
pub(crate) struct Unpermitted {
    /// As the client is told it.
    pub(crate) status: Status,
    /// What those say who decide.
    pub(crate) reason: String,
    /// What kept them from deciding, if anything did.
    pub(crate) error: Option<String>,
    /// Whether somebody refused it, rather than nobody allow it.
    pub(crate) is_denied: bool,
}

impl Unpermitted {
    fn new(decision: Decision, status: Status) -> Self {
        let (reason, is_denied) = (decision.reason().to_owned(), decision.is_denied());
        let error = if let Decision::Failed(failure) = decision { Some(failure.error) } else { None };
        Self { status, reason, error, is_denied }
    }
}

/// Refuses what the user may not do with a resource.
pub(crate) async fn authorize(server: &Server, user: &User, info: &Info) -> Result<(), Status> {
    permitted(server, user, info).await.map(drop).map_err(|unpermitted| unpermitted.status)
}

/// The same, with the reason why it is allowed.
pub(crate) async fn permitted(server: &Server, user: &User, info: &Info) -> Result<String, Unpermitted> {
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
        namespace => format!("in the namespace {}", go::quote(namespace)),
    };
    let mut why = go::without_markup(&format!(
        "User {} cannot {} resource {} in API group {} {place}",
        go::quote(&user.name),
        info.authorized_verb(),
        go::quote(&resource),
        go::quote(&info.group)
    ));
    if !decision.reason().is_empty() {
        why = format!("{why}: {}", decision.reason());
    }
    let status = Status::forbidden(&info.target(), info.authorized_name(), &why);
    Err(Unpermitted::new(decision, status))
}

/// Refuses a path that the user may not see.
pub(crate) async fn authorize_path(
    server: &Server,
    user: &User,
    verb: &str,
    path: &str,
) -> Result<String, Unpermitted> {
    match decide(server, user, Action::Path { verb, path }).await {
        Decision::Allowed(reason) => Ok(reason),
        decision => {
            let status = Status::forbidden_path(&user.name, verb, path, decision.reason());
            Err(Unpermitted::new(decision, status))
        }
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
    /// Nobody allows it, and somebody could not decide.
    Failed(Failure),
}

/// What kept somebody from deciding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whether that refuses, whatever others say.
    pub(crate) denies: bool,
    /// What was decided nevertheless.
    pub(crate) reason: String,
    /// What went wrong.
    pub(crate) error: String,
}

impl Decision {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Allowed(reason) | Self::Denied(reason) | Self::NoOpinion(reason) => reason,
            Self::Failed(failure) => &failure.reason,
        }
    }

    /// Whether it is refused, whatever others say.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Failed(Failure { denies: true, .. }))
    }
}

/// Whether a user may do something.
pub(crate) async fn decide(server: &Server, user: &User, action: Action<'_>) -> Decision {
    let ways = server.ways.current();
    let Undecided { mut reasons, asked } = match first_decision(server, &ways, user, action) {
        Ok(decision) => return decision,
        Err(undecided) => undecided,
    };
    let mut errors = Vec::new();
    // A webhook stands among the ways: everything from it on may have to wait.
    for way in &ways[asked..] {
        match way.decide(server, user, action).await {
            Decision::NoOpinion(reason) => reasons.push(reason),
            Decision::Failed(failure) if !failure.denies => errors.push(failure.error),
            decision => return decision,
        }
    }
    match (no_opinion(reasons), aggregate(errors)) {
        (Decision::NoOpinion(reason), Err(error)) => {
            Decision::Failed(Failure { denies: false, reason, error: error.to_string() })
        }
        (decision, _) => decision,
    }
}

/// The same without those who would have to be asked over the network: they have no opinion.
pub(crate) fn decide_now(server: &Server, user: &User, action: Action<'_>) -> Decision {
    let decision = first_decision(server, &server.ways.current(), user, action);
    decision.unwrap_or_else(|undecided| no_opinion(undecided.reasons))
}

/// Nobody before the first webhook decided.
struct Undecided {
    reasons: Vec<String>,
    asked: usize,
}

fn first_decision(server: &Server, ways: &[Way], user: &User, action: Action<'_>) -> Result<Decision, Undecided> {
    if user.is_in(bootstrap::MASTERS) {
        return Ok(Decision::Allowed(String::new()));
    }
    let mut undecided = Undecided { reasons: Vec::new(), asked: 0 };
    for way in ways {
        let Some(decision) = way.decide_now(server, user, action) else { break };
        undecided.asked += 1;
        match decision {
            Decision::NoOpinion(reason) => undecided.reasons.push(reason),
            decision => return Ok(decision),
        }
    }
    Err(undecided)
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
