//! Policies and bindings, kept in the form in which they are asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use portolan_store::{Entry, EventKind, Revision, Store};
use serde_json::Value;

use super::bindings::Binding;
use super::mutating::MutatingPolicy;
use super::validating::ValidatingPolicy;
use crate::authorization::followed::{Followed, View};
use crate::status::Status;

const VALIDATING: &str = "/registry/admissionregistration.k8s.io/validatingadmissionpolicies/";
const VALIDATING_BINDINGS: &str = "/registry/admissionregistration.k8s.io/validatingadmissionpolicybindings/";
const MUTATING: &str = "/registry/admissionregistration.k8s.io/mutatingadmissionpolicies/";
const MUTATING_BINDINGS: &str = "/registry/admissionregistration.k8s.io/mutatingadmissionpolicybindings/";

/// Something that is made of an object of the store.
pub(super) trait Read: Send + Sync {
    fn read(object: &Value) -> Self;
}

impl Read for Binding {
    fn read(object: &Value) -> Self {
        Self::read(object)
    }
}

/// All objects of a kind, in the order of their names.
pub(super) struct All<T>(BTreeMap<Bytes, Arc<T>>);

impl<T> Default for All<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Read> View for All<T> {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        if kind == EventKind::Delete {
            self.0.remove(&entry.key);
            return;
        }
        match serde_json::from_slice::<Value>(&entry.value) {
            Ok(object) => drop(self.0.insert(entry.key.clone(), Arc::new(T::read(&object)))),
            Err(error) => {
                tracing::error!(key = %String::from_utf8_lossy(&entry.key), %error, "a policy cannot be read");
            }
        }
    }
}

/// All policies and bindings.
pub(crate) struct Policies {
    validating: Followed<All<ValidatingPolicy>>,
    validating_bindings: Followed<All<Binding>>,
    mutating: Followed<All<MutatingPolicy>>,
    mutating_bindings: Followed<All<Binding>>,
}

/// A policy with its bindings.
pub(super) type Hook<T> = (Arc<T>, Vec<Arc<Binding>>);

impl Policies {
    pub(in crate::admission) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            validating: Followed::new(store.clone(), VALIDATING),
            validating_bindings: Followed::new(store.clone(), VALIDATING_BINDINGS),
            mutating: Followed::new(store.clone(), MUTATING),
            mutating_bindings: Followed::new(store.clone(), MUTATING_BINDINGS),
        }
    }

    /// Says that this server wrote an object of this resource at `revision`.
    pub(in crate::admission) fn expect(&self, resource: &str, revision: Revision) {
        match resource {
            "validatingadmissionpolicies" => self.validating.expect(revision),
            "validatingadmissionpolicybindings" => self.validating_bindings.expect(revision),
            "mutatingadmissionpolicies" => self.mutating.expect(revision),
            "mutatingadmissionpolicybindings" => self.mutating_bindings.expect(revision),
            _ => {}
        }
    }

    /// Whether any policy is bound.
    pub(in crate::admission) async fn decide(&self) -> Result<bool, Status> {
        Ok(!self.mutating().await?.is_empty() || !self.validating().await?.is_empty())
    }

    /// Policies that may refuse, with their bindings; those that are bound nowhere are left out.
    pub(super) async fn validating(&self) -> Result<Vec<Hook<ValidatingPolicy>>, Status> {
        hooks(&self.validating, &self.validating_bindings, |policy| &policy.name).await
    }

    /// Policies that may change, with their bindings; those that are bound nowhere are left out.
    pub(super) async fn mutating(&self) -> Result<Vec<Hook<MutatingPolicy>>, Status> {
        hooks(&self.mutating, &self.mutating_bindings, |policy| &policy.name).await
    }
}

async fn hooks<T: Read>(
    policies: &Followed<All<T>>,
    bindings: &Followed<All<Binding>>,
    name: fn(&T) -> &str,
) -> Result<Vec<Hook<T>>, Status> {
    policies.refresh().await?;
    if policies.view().0.is_empty() {
        return Ok(Vec::new());
    }
    bindings.refresh().await?;
    let mut by_policy: BTreeMap<String, Vec<Arc<Binding>>> = BTreeMap::new();
    for binding in bindings.view().0.values() {
        by_policy.entry(binding.policy.clone()).or_default().push(binding.clone());
    }
    let policies = policies.view();
    let bound = policies.0.values().filter_map(|policy| Some((policy.clone(), by_policy.remove(name(policy))?)));
    Ok(bound.collect())
}
