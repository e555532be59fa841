//! Who may do what.

pub mod bootstrap;
pub(crate) mod followed;
mod node;
mod rbac;
mod reach;
mod rules;

use std::sync::Arc;

use portolan_identity::User;
use portolan_store::Store;

pub(crate) use node::name as node_of;
pub(crate) use rbac::Authorizer;
pub(crate) use rules::Rule;

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

/// Refuses what the user may not do with a resource.
pub(crate) fn authorize(server: &Server, user: &User, info: &Info) -> Result<(), Status> {
    let decision = decide(server, user, Action::Resource(info));
    if decision.is_allowed() {
        return Ok(());
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
        user.name, info.verb, info.group
    );
    if !decision.reason().is_empty() {
        why = format!("{why}: {}", decision.reason());
    }
    Err(Status::forbidden(&info.target(), &info.name, &why))
}

/// Refuses a path that the user may not see.
pub(crate) fn authorize_path(server: &Server, user: &User, verb: &str, path: &str) -> Result<(), Status> {
    if decide(server, user, Action::Path { verb, path }).is_allowed() {
        return Ok(());
    }
    Err(Status::forbidden_path(&user.name, verb, path))
}

/// The outcome of a check, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Allowed, because of this.
    Allowed(String),
    /// Nobody allows it, perhaps with a reason.
    NoOpinion(String),
}

impl Decision {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Allowed(reason) | Self::NoOpinion(reason) => reason,
        }
    }
}

/// Whether a user may do something.
pub(crate) fn decide(server: &Server, user: &User, action: Action<'_>) -> Decision {
    if user.is_in("system:masters") {
        return Decision::Allowed(String::new());
    }
    let mut as_node = Decision::NoOpinion(String::new());
    if let Action::Resource(info) = action {
        as_node = node::decide(&server.authorizer, user, info);
    }
    if as_node.is_allowed() {
        return as_node;
    }
    let decision = server.authorizer.decide(user, action);
    if decision.is_allowed() { decision } else { as_node }
}

impl Authorizer {
    /// An authorizer over the roles and bindings in a store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self::over(store)
    }
}
