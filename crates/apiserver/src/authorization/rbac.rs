//! Roles and bindings, kept up to date from the store.
//!
//! There is no task behind it: each request first takes over what the watch has delivered. An idle
//! cluster does nothing. A role that this server wrote is in force for the first request that comes
//! after it; one that another server wrote, as soon as the store's watch has brought it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::RwLock;
use portolan_identity::User;
use portolan_store::{Entry, EventKind, KeyRange, RangeRequest, Revision, Store, Watch, WatchItem, WatchRequest};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{Action, Decision, Rule};
use crate::status::Status;

const PREFIX: &str = "/registry/rbac.authorization.k8s.io/";

/// Changes that may wait between two requests before everything is read again.
const BUFFER: usize = 4096;

/// How long a request waits for the watch to deliver what was written before it. The store delivers
/// within milliseconds; after this long it is broken, and everything is read again.
const DELIVERY: Duration = Duration::from_secs(1);

/// Decides by roles and bindings.
pub(crate) struct Authorizer {
    store: Arc<dyn Store>,
    following: Mutex<Option<Following>>,
    policy: RwLock<Policy>,
    /// Newest revision at which this server wrote a role or binding.
    written: AtomicU64,
}

/// The watch, and how far the policy has followed it.
struct Following {
    watch: Watch,
    seen: Revision,
}

/// Namespace and name; no namespace for what is valid everywhere.
type Id = (String, String);

#[derive(Debug, Default)]
struct Policy {
    roles: HashMap<Id, Vec<Rule>>,
    bindings: HashMap<Id, Binding>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Role {
    #[serde(default)]
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    role_ref: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

#[derive(Debug, Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

impl Subject {
    fn is(&self, user: &User, binding_namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => self.name == user.name,
            "Group" => user.is_in(&self.name),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() { binding_namespace } else { &self.namespace };
                let account = user.name.strip_prefix("system:serviceaccount:").and_then(|it| it.split_once(':'));
                !namespace.is_empty() && account == Some((namespace, self.name.as_str()))
            }
            _ => false,
        }
    }
}

impl Authorizer {
    pub(super) fn over(store: Arc<dyn Store>) -> Self {
        Self { store, following: Mutex::new(None), policy: RwLock::default(), written: AtomicU64::new(0) }
    }

    /// Says that a role or binding was written at `revision`.
    pub(crate) fn expect(&self, revision: Revision) {
        self.written.fetch_max(revision.0, Ordering::AcqRel);
    }

    /// Takes over what changed since the last request.
    pub(crate) async fn refresh(&self) -> Result<(), Status> {
        let mut following = self.following.lock().await;
        loop {
            let Some(running) = following.as_mut() else {
                *following = Some(self.load().await?);
                continue;
            };
            let behind = running.seen.0 < self.written.load(Ordering::Acquire);
            let next = if behind {
                tokio::time::timeout(DELIVERY, running.watch.next()).await.unwrap_or(Some(WatchItem::Lagged))
            } else {
                match running.watch.next().now_or_never() {
                    None => return Ok(()),
                    Some(item) => item,
                }
            };
            match next {
                Some(WatchItem::Events(events)) => {
                    let mut policy = self.policy.write();
                    for event in &events {
                        policy.take(&event.entry, event.kind);
                        running.seen = event.entry.mod_revision;
                    }
                }
                Some(WatchItem::Progress(revision)) => running.seen = revision,
                Some(WatchItem::Lagged | WatchItem::Closed) | None => *following = None,
            }
        }
    }

    async fn load(&self) -> Result<Following, Status> {
        let range = KeyRange::prefix(PREFIX);
        let state = self.store.range(RangeRequest { range: range.clone(), revision: None, limit: 0 }).await?;
        let mut policy = Policy::default();
        for entry in &state.entries {
            policy.take(entry, EventKind::Put);
        }
        *self.policy.write() = policy;
        let request = WatchRequest { range, after: Some(state.revision), progress: None, buffer: BUFFER };
        Ok(Following { watch: self.store.watch(request).await?, seen: state.revision })
    }

    pub(super) fn decide(&self, user: &User, action: Action<'_>) -> Decision {
        let mut decision = Decision::NoOpinion;
        self.policy.read().visit(user, namespace_of(action), &mut |rule, why| {
            let covers = rule.covers(action);
            if covers {
                decision = Decision::Allowed(why());
            }
            !covers
        });
        decision
    }

    /// All rules that hold for a user in a namespace.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        self.policy.read().visit(user, namespace, &mut |rule, _| {
            rules.push(rule.clone());
            true
        });
        rules
    }
}

fn namespace_of(action: Action<'_>) -> &str {
    match action {
        Action::Resource(info) => &info.namespace,
        Action::Path { .. } => "",
    }
}

impl Policy {
    /// Takes over one version of one object.
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        let Some(path) = std::str::from_utf8(&entry.key).ok().and_then(|key| key.strip_prefix(PREFIX)) else { return };
        let mut parts = path.splitn(3, '/');
        let (resource, first, second) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let id = match resource {
            "roles" | "rolebindings" => (first.to_owned(), second.to_owned()),
            _ => (String::new(), first.to_owned()),
        };
        let gone = kind == EventKind::Delete;
        match resource {
            "roles" | "clusterroles" => match read::<Role>(entry, gone) {
                Some(role) => drop(self.roles.insert(id, role.rules.unwrap_or_default())),
                None => drop(self.roles.remove(&id)),
            },
            _ => match read::<Binding>(entry, gone) {
                Some(binding) => drop(self.bindings.insert(id, binding)),
                None => drop(self.bindings.remove(&id)),
            },
        }
    }

    /// Shows the rules that hold for a user in a namespace, until `visitor` has seen enough.
    fn visit(&self, user: &User, namespace: &str, visitor: &mut dyn FnMut(&Rule, &dyn Fn() -> String) -> bool) {
        for ((place, name), binding) in &self.bindings {
            if !place.is_empty() && place != namespace {
                continue;
            }
            let subjects = binding.subjects.as_deref().unwrap_or_default();
            if !subjects.iter().any(|subject| subject.is(user, place)) {
                continue;
            }
            let role = match binding.role_ref.kind.as_str() {
                "Role" => (place.clone(), binding.role_ref.name.clone()),
                _ => (String::new(), binding.role_ref.name.clone()),
            };
            let why = || {
                let kind = if place.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
                let place = if place.is_empty() { name.clone() } else { format!("{name}/{place}") };
                let RoleRef { kind: role_kind, name: role } = &binding.role_ref;
                format!("RBAC: allowed by {kind} \"{place}\" of {role_kind} \"{role}\" to the user")
            };
            for rule in self.roles.get(&role).into_iter().flatten() {
                if !visitor(rule, &why) {
                    return;
                }
            }
        }
    }
}

/// An object of the policy; `None` if it is gone, or damaged, which then allows nothing.
fn read<T: for<'a> Deserialize<'a>>(entry: &Entry, gone: bool) -> Option<T> {
    if gone {
        return None;
    }
    serde_json::from_slice(&entry.value)
        .inspect_err(|error| {
            tracing::error!(key = %String::from_utf8_lossy(&entry.key), %error, "a role or binding cannot be read");
        })
        .ok()
}
