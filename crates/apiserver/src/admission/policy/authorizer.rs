//! The server's authorizer, as expressions ask it.

use portolan_cel::{Asked, Authorizer, Decided, What};
use portolan_identity::User;

use crate::authorization::{Action, decide_now};
use crate::request::Info;
use crate::server::Server;

/// Answers for the user of a request, or for a service account that the expression names.
pub(super) struct OnBehalf<'a> {
    pub(super) server: &'a Server,
    pub(super) user: &'a User,
}

impl std::fmt::Debug for OnBehalf<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OnBehalf").field("user", &self.user.name).finish_non_exhaustive()
    }
}

/// Verbs of requests.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Authorizer for OnBehalf<'_> {
    fn decide(&self, asked: &Asked) -> Decided {
        let account = asked.service_account.as_ref().map(|(namespace, name)| service_account(namespace, name));
        let user = account.as_ref().unwrap_or(self.user);
        let decision = match &asked.what {
            What::Path(path) => decide_now(self.server, user, Action::Path { verb: &asked.verb, path }),
            What::Resource(resource) => {
                let verb = VERBS.iter().copied().find(|known| *known == asked.verb);
                let info = Info {
                    verb: verb.unwrap_or("get"),
                    other_verb: if verb.is_some() { String::new() } else { asked.verb.clone() },
                    group: resource.group.clone(),
                    version: "*".to_owned(),
                    resource: resource.resource.clone(),
                    subresource: resource.subresource.clone(),
                    namespace: resource.namespace.clone(),
                    name: resource.name.clone(),
                    ..Info::default()
                };
                decide_now(self.server, user, Action::Resource(&info))
            }
            What::Group(_) | What::Nothing => return Decided::default(),
        };
        Decided { allowed: decision.is_allowed(), reason: decision.reason().to_owned(), error: String::new() }
    }
}

fn service_account(namespace: &str, name: &str) -> User {
    User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        ..User::default()
    }
}
