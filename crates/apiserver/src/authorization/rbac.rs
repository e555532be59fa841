//! Roles and bindings, kept up to date from the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portolan_base::go;
use portolan_identity::User;
use portolan_store::{Entry, EventKind, Revision, Store};
use serde::Deserialize;

use super::bound::{ATTACHMENTS, OfNodes, SLICES, VOLUMES, Volumes};
use super::followed::{Followed, View};
use super::reach::{self, Kind, Reach};
use super::{Action, Decision, Rule, node};
use crate::configuration::aggregate;
use crate::request::Info;
use crate::status::Status;

const PREFIX: &str = "/registry/rbac.authorization.k8s.io/";

/// Decides by roles and bindings, and for nodes by the pods they run.
pub(crate) struct Authorizer {
    policy: Followed<Policy>,
    reach: Followed<Reach>,
    volumes: Followed<Volumes>,
    attachments: Followed<OfNodes>,
    slices: Followed<OfNodes>,
}

/// Namespace and name; no namespace for what is valid everywhere.
type Id = (String, String);

#[derive(Debug, Default)]
struct Policy {
    roles: HashMap<Id, Vec<Rule>>,
    /// Those of no namespace come first.
    bindings: BTreeMap<Id, Binding>,
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

    /// How reasons name it.
    fn described(&self, binding_namespace: &str) -> String {
        let namespace = if self.namespace.is_empty() { binding_namespace } else { &self.namespace };
        let name = match self.kind.as_str() {
            "ServiceAccount" => go::quote(&format!("{}/{namespace}", self.name)),
            _ => go::quote(&self.name),
        };
        format!("{} {name}", self.kind)
    }
}

impl Authorizer {
    pub(super) fn over(store: Arc<dyn Store>) -> Self {
        Self {
            policy: Followed::new(store.clone(), PREFIX),
            reach: Followed::new(store.clone(), reach::PREFIX),
            volumes: Followed::new(store.clone(), VOLUMES),
            attachments: Followed::new(store.clone(), ATTACHMENTS),
            slices: Followed::new(store, SLICES),
        }
    }

    /// Says that a role or binding was written at `revision`.
    pub(crate) fn expect(&self, revision: Revision) {
        self.policy.expect(revision);
    }

    /// Says that an object was written at `revision` that may lead from a node to others.
    pub(crate) fn expect_link(&self, group: &str, resource: &str, revision: Revision) {
        match Kind::of_resource(group, resource) {
            Some(Kind::Pod) => self.reach.wrote(revision),
            Some(Kind::Volume) => self.volumes.wrote(revision),
            Some(Kind::Attachment) => self.attachments.wrote(revision),
            Some(Kind::Slice) => self.slices.wrote(revision),
            _ => {}
        }
    }

    /// Takes over what changed since the last request.
    pub(crate) async fn refresh(&self) -> Result<(), Status> {
        self.policy.refresh().await
    }

    /// Takes over what changed in pods and what they lead to, if that decides about what a user asks for.
    pub(crate) async fn refresh_reach(&self, user: &User, info: &Info) -> Result<(), Status> {
        if !node::depends_on_objects(user, info) {
            return Ok(());
        }
        match Kind::of_resource(&info.group, &info.resource) {
            Some(Kind::Attachment) => return self.attachments.refresh().await,
            Some(Kind::Slice) => return self.slices.refresh().await,
            Some(Kind::Volume | Kind::Secret) => self.volumes.refresh().await?,
            _ => {}
        }
        self.reach.refresh().await
    }

    /// Whether a node needs an object for one of its pods, or is named by it.
    pub(super) fn needs(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let reach = self.reach.view();
        let claim = |(namespace, name): &(String, String)| reach.needs(node, Kind::Claim, namespace, name);
        match kind {
            Kind::Attachment => self.attachments.view().has(ATTACHMENTS, name, node),
            Kind::Slice => self.slices.view().has(SLICES, name, node),
            Kind::Volume => self.volumes.view().claim_of(name).is_some_and(claim),
            Kind::Secret => {
                reach.needs(node, kind, namespace, name)
                    || self.volumes.view().claims_with_secret(namespace, name).any(claim)
            }
            kind => reach.needs(node, kind, namespace, name),
        }
    }

    pub(super) fn decide(&self, user: &User, action: Action<'_>) -> Decision {
        let mut reason = None;
        let lost = self.policy.view().visit(user, namespace_of(action), &mut |rule, why| {
            let covers = rule.covers(action);
            if covers {
                reason = Some(why());
            }
            !covers
        });
        match (reason, aggregate(lost)) {
            (Some(reason), _) => Decision::Allowed(reason),
            (None, Ok(())) => Decision::NoOpinion(String::new()),
            (None, Err(lost)) => Decision::NoOpinion(format!("RBAC: {lost}")),
        }
    }

    /// The rules of a role that a binding in `namespace` names; `None` if there is no such role.
    pub(super) fn rules_of(&self, kind: &str, name: &str, namespace: &str) -> Option<Vec<Rule>> {
        let place = if kind == "Role" { namespace } else { "" };
        self.policy.view().roles.get(&(place.to_owned(), name.to_owned())).cloned()
    }

    /// All rules that hold for a user in a namespace, and the roles that are bound and not there.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let mut rules = Vec::new();
        let lost = self.policy.view().visit(user, namespace, &mut |rule, _| {
            rules.push(rule.clone());
            true
        });
        (rules, lost)
    }
}

fn namespace_of(action: Action<'_>) -> &str {
    match action {
        Action::Resource(info) => &info.namespace,
        Action::Path { .. } => "",
    }
}

impl View for Policy {
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
}

impl Policy {
    /// Shows the rules that hold for a user in a namespace, until `visitor` has seen enough. Returns which roles are
    /// bound and not there.
    fn visit(
        &self,
        user: &User,
        namespace: &str,
        visitor: &mut dyn FnMut(&Rule, &dyn Fn() -> String) -> bool,
    ) -> Vec<String> {
        let mut lost = Vec::new();
        for ((place, name), binding) in &self.bindings {
            if !place.is_empty() && place != namespace {
                continue;
            }
            let subjects = binding.subjects.as_deref().unwrap_or_default();
            let Some(subject) = subjects.iter().find(|subject| subject.is(user, place)) else { continue };
            let role = match binding.role_ref.kind.as_str() {
                "Role" => (place.clone(), binding.role_ref.name.clone()),
                _ => (String::new(), binding.role_ref.name.clone()),
            };
            let why = || {
                let kind = if place.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
                let named = if place.is_empty() { name.clone() } else { format!("{name}/{place}") };
                let RoleRef { kind: role_kind, name: role } = &binding.role_ref;
                let subject = subject.described(place);
                let (named, role) = (go::quote(&named), go::quote(role));
                format!("RBAC: allowed by {kind} {named} of {role_kind} {role} to {subject}")
            };
            let Some(rules) = self.roles.get(&role) else {
                let kind = if role.0.is_empty() { "clusterrole" } else { "role" };
                lost.push(format!("{kind}.rbac.authorization.k8s.io {} not found", go::quote(&role.1)));
                continue;
            };
            if !rules.iter().all(|rule| visitor(rule, &why)) {
                break;
            }
        }
        lost
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
