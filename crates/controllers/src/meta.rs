//! Small questions about objects that several controllers ask.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use portolan_api::encoded::{Header, string_at};
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_base::Timestamp;
use portolan_client::{Encoded, Key};
use serde_json::{Value, json};

/// The reference by which `owner` controls another object.
pub(crate) fn controller_reference<K: Object>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: owner.name().to_owned(),
        uid: owner.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The labels of an encoded object.
pub(crate) fn labels(encoded: &[u8]) -> BTreeMap<String, String> {
    let labels = Header::scan(encoded).map(|header| header.labels()).unwrap_or_default();
    labels.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

/// The owner that controls an object.
pub(crate) fn controller_of<K: Object>(object: &K) -> Option<&OwnerReference> {
    object.metadata().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The key of the controlling owner, if it is of kind `K`.
pub(crate) fn controller_key<K: Object>(object: &impl Object) -> Option<Key> {
    let owner = controller_of(object)?;
    (owner.kind == K::KIND && owner.api_version == K::API_VERSION).then(|| Key::new(object.namespace(), &owner.name))
}

/// The key of the controlling owner of an encoded object, if it is of kind `K`.
pub(crate) fn encoded_controller_key<K: Object>(object: &Encoded<'_>) -> Option<Key> {
    let owner = object.controller()?;
    let text = |name| string_at(owner, &[name]);
    let is_kind = text("kind").as_deref() == Some(K::KIND) && text("apiVersion").as_deref() == Some(K::API_VERSION);
    Some(Key::new(&*object.header().namespace, text("name").filter(|_| is_kind)?))
}

/// Whether somebody asked for its deletion.
pub(crate) fn is_deleting<K: Object>(object: &K) -> bool {
    object.metadata().deletion_timestamp.is_some()
}

/// The patch that makes `owner` the controller of `object`, if nobody touched it since.
pub(crate) fn adoption<K: Object, O: Object>(object: &K, owner: &O) -> Value {
    let mut owners = object.metadata().owner_references.clone().unwrap_or_default();
    owners.retain(|reference| reference.uid != owner.uid());
    owners.push(controller_reference(owner));
    json!({"metadata": {
        "uid": object.uid(), "resourceVersion": object.metadata().resource_version, "ownerReferences": owners,
    }})
}

/// The patch that removes `owner` from the owners of `object`.
pub(crate) fn release<K: Object, O: Object>(object: &K, owner: &O) -> Value {
    let mut owners = object.metadata().owner_references.clone().unwrap_or_default();
    owners.retain(|reference| reference.uid != owner.uid());
    json!({"metadata": {
        "uid": object.uid(), "resourceVersion": object.metadata().resource_version, "ownerReferences": owners,
    }})
}

/// The pod's condition of this type, if it is true, and since when.
pub(crate) fn condition_true_since<'a>(pod: &'a Pod, condition: &str) -> Option<Option<&'a Timestamp>> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let found = conditions.iter().find(|found| found.type_ == condition && found.status == "True")?;
    Some(found.last_transition_time.as_ref().map(|time| &time.0))
}

/// Whether the pod can take traffic.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition_true_since(pod, "Ready").is_some()
}

/// The pod's phase; empty if it has none yet.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Neither finished nor on its way out.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !matches!(phase(pod), "Succeeded" | "Failed") && !is_deleting(pod)
}

/// The names of objects.
#[cfg(test)]
pub(crate) fn names<K: Object>(objects: &[std::sync::Arc<K>]) -> Vec<&str> {
    objects.iter().map(|object| object.name()).collect()
}
