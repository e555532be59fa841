//! The ways in which one may be allowed to act as somebody else, the narrowest first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portolan_api::field::Path;
use portolan_api::validation::{is_dns1123_label, is_dns1123_subdomain, is_domain_prefixed_path};
use portolan_base::go;
use portolan_identity::User;

use super::Impersonated;
use crate::authorization::{self, Action};
use crate::request::Info;
use crate::server::Server;
use crate::status::Status;

const GROUP: &str = "authentication.k8s.io";
const MASTERS: &str = "system:masters";
const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Of a service account's token: the node that its pod runs on.
pub(crate) const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// Stands for what a service account's token says, so that a rule holds on every node.
const NODE_KEYS: &str = "authentication.kubernetes.io/associated-node-keys";

/// From how many groups or extra values on it is asked first whether all of them are allowed.
const MANY: usize = 4;

/// How long it is remembered which way somebody went last; it only says which one is tried first.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What somebody is allowed who acts as somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A service account acts as the node that its pod runs on, for this verb.
    AssociatedNode,
    /// As a node, for this verb.
    ArbitraryNode,
    /// As a service account, for this verb.
    ServiceAccount,
    /// As any other user, for this verb.
    UserInfo,
    /// As anybody, for whatever that user may do.
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

impl Mode {
    /// As in verbs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "legacy",
        }
    }

    /// What must be allowed on the user; as the audit log says it.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::AssociatedNode => "impersonate:associated-node",
            Self::ArbitraryNode => "impersonate:arbitrary-node",
            Self::ServiceAccount => "impersonate:serviceaccount",
            Self::UserInfo => "impersonate:user-info",
            Self::Legacy => "impersonate",
        }
    }

    /// Whether somebody may be such a user this way at all.
    fn fits(self, wanted: &User, real: &User) -> bool {
        let only_name = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_name(&wanted.name);
        match self {
            Self::AssociatedNode => {
                let own = real.extra.get(NODE_NAME).and_then(|names| <&[String; 1]>::try_from(names.as_slice()).ok());
                let is_own = node.is_some_and(|node| own.is_some_and(|[own]| own == node));
                only_name && is_own && service_account(&real.name).is_some()
            }
            Self::ArbitraryNode => only_name && node.is_some(),
            Self::ServiceAccount => only_name && service_account(&wanted.name).is_some(),
            Self::UserInfo => node.is_none() && service_account(&wanted.name).is_none(),
            Self::Legacy => true,
        }
    }
}

/// Somebody who asks to be somebody else in one way.
struct Question<'a> {
    server: &'a Server,
    /// Whose rights are looked at.
    real: &'a User,
    mode: Mode,
}

/// Goes the first way that is allowed; the one that somebody went last is tried first. The error is the first one's.
///
/// Upstream remembers for ten seconds what is allowed. Here a right that is taken away is gone at once.
pub(super) async fn first(
    server: &Server,
    wanted: User,
    real: &User,
    action: Action<'_>,
) -> Result<Impersonated, Status> {
    let known = &server.authenticator.last_modes;
    let now = server.config.clock.now();
    let last = known.get(&real.name, now);
    let rest = MODES.into_iter().filter(|mode| Some(*mode) != last);
    let mut refused = None;
    for mode in last.into_iter().chain(rest).filter(|mode| mode.fits(&wanted, real)) {
        match allowed(server, mode, &wanted, real, action).await {
            Ok(user) => {
                if last != Some(mode) {
                    known.put(real.name.clone(), mode, now + REMEMBERED, now);
                }
                return Ok(Impersonated { user: Arc::new(user), mode });
            }
            Err(status) => refused = refused.or(Some(status)),
        }
    }
    Err(refused.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

async fn allowed(server: &Server, mode: Mode, wanted: &User, real: &User, action: Action<'_>) -> Result<User, Status> {
    // A rule for the nodes' agents holds on every node: the token's own facts do not count, only which there are.
    let of_any_node = (mode == Mode::AssociatedNode).then(|| {
        let keys = real.extra.keys().cloned().collect();
        User { extra: [(NODE_KEYS.to_owned(), keys)].into(), ..real.clone() }
    });
    let question = Question { server, real: of_any_node.as_ref().unwrap_or(real), mode };
    if mode != Mode::Legacy {
        question.on(action).await?;
    }
    let mut user = wanted.clone();
    question.name(&mut user).await?;
    if !wanted.uid.is_empty() {
        question.ask(GROUP, "uids", "", "", &wanted.uid).await?;
    }
    question.groups(&wanted.groups).await?;
    question.extra(wanted).await?;
    if user.name == ANONYMOUS {
        ensure(&mut user, UNAUTHENTICATED);
    } else if !user.is_in(UNAUTHENTICATED) {
        ensure(&mut user, AUTHENTICATED);
    }
    Ok(user)
}

impl Question<'_> {
    /// Whether this request may be made as somebody else.
    async fn on(&self, action: Action<'_>) -> Result<(), Status> {
        let verb = |verb: &str| format!("impersonate-on:{}:{verb}", self.mode.name());
        let began = Instant::now();
        let outcome = match action {
            Action::Resource(info) => {
                let info = Info { other_verb: verb(info.authorized_verb()), ..info.clone() };
                authorization::authorize(self.server, self.real, &info).await
            }
            Action::Path { verb: method, path } => {
                let permitted = authorization::authorize_path(self.server, self.real, &verb(method), path).await;
                permitted.map(drop).map_err(|unpermitted| unpermitted.status)
            }
        };
        self.counted(began, outcome)
    }

    async fn ask(
        &self,
        group: &str,
        resource: &str,
        subresource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(), Status> {
        let began = Instant::now();
        let info = self.about(group, resource, subresource, namespace, name);
        self.counted(began, authorization::authorize(self.server, self.real, &info).await)
    }

    fn about(&self, group: &str, resource: &str, subresource: &str, namespace: &str, name: &str) -> Info {
        Info {
            verb: self.mode.verb(),
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Info::default()
        }
    }

    fn counted(&self, began: Instant, outcome: Result<(), Status>) -> Result<(), Status> {
        let decision = if outcome.is_ok() { "allowed" } else { "denied" };
        self.server.metrics.impersonations.checked(self.mode.name(), decision, began.elapsed());
        outcome
    }

    /// What nobody may be, whatever the rules say.
    fn never(&self, resource: &str, name: &str, why: &str) -> Status {
        let info = self.about(GROUP, resource, "", "", name);
        let verb = self.mode.verb();
        let why = format!(
            "User {} cannot {verb} resource \"{resource}\" in API group \"{GROUP}\" at the cluster scope: {why}",
            go::without_markup(&go::quote(&self.real.name))
        );
        Status::forbidden(&info.target(), name, &why)
    }

    fn is_legacy(&self) -> bool {
        self.mode == Mode::Legacy
    }

    /// API group of users and groups.
    fn group(&self) -> &'static str {
        if self.is_legacy() { "" } else { GROUP }
    }

    /// Asks for the name; adds the groups that it stands for.
    async fn name(&self, user: &mut User) -> Result<(), Status> {
        if let Some((namespace, account)) = service_account(&user.name) {
            self.ask(self.group(), "serviceaccounts", "", namespace, account).await?;
            let namespace = namespace.to_owned();
            if user.groups.is_empty() {
                user.groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
            }
            return Ok(());
        }
        match node_name(&user.name).filter(|_| !self.is_legacy()) {
            Some(name) => {
                let name = if self.mode == Mode::AssociatedNode { "*" } else { name };
                self.ask(GROUP, "nodes", "", "", name).await?;
                user.groups = vec!["system:nodes".into()];
                Ok(())
            }
            None => self.ask(self.group(), "users", "", "", &user.name).await,
        }
    }

    async fn groups(&self, groups: &[String]) -> Result<(), Status> {
        let has = |name: &str| groups.iter().any(|group| group == name);
        if !self.is_legacy() {
            if has("") {
                return Err(self.never("groups", "", "impersonating the empty string group is not allowed"));
            }
            if has(MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(self.never("groups", MASTERS, why));
            }
            if groups.len() >= MANY && self.ask(GROUP, "groups", "", "", "*").await.is_ok() {
                return Ok(());
            }
        }
        for group in groups {
            self.ask(self.group(), "groups", "", "", group).await?;
        }
        Ok(())
    }

    async fn extra(&self, wanted: &User) -> Result<(), Status> {
        if !self.is_legacy() {
            for (key, values) in &wanted.extra {
                check_extra(key, values).map_err(|why| self.never("userextras", "", &why))?;
            }
            let count: usize = wanted.extra.values().map(Vec::len).sum();
            if count >= MANY && self.ask(GROUP, "userextras", "*", "", "*").await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in &wanted.extra {
            for value in values {
                self.ask(GROUP, "userextras", key, "", value).await?;
            }
        }
        Ok(())
    }
}

fn check_extra(key: &str, values: &[String]) -> Result<(), String> {
    if key.is_empty() {
        return Err("impersonating the empty string key in extra is not allowed".into());
    }
    if let Some(wrong) = is_domain_prefixed_path(&Path::new("extra.key"), key).first() {
        return Err(format!("impersonating an invalid key in extra is not allowed: {wrong}"));
    }
    if values.iter().any(String::is_empty) {
        return Err("impersonating the empty string value in extra is not allowed".into());
    }
    Ok(())
}

fn ensure(user: &mut User, group: &str) {
    if !user.is_in(group) {
        user.groups.push(group.to_owned());
    }
}

/// Namespace and name of the service account whose user this is.
pub(crate) fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (is_dns1123_label(namespace).is_empty() && is_dns1123_subdomain(name).is_empty()).then_some((namespace, name))
}

/// Name of the node whose user this is.
fn node_name(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:").filter(|name| is_dns1123_subdomain(name).is_empty())
}
