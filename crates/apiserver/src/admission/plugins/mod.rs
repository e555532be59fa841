//! What is built in: one file per plugin, named as upstream.

mod certificates;
mod default_class;
mod default_toleration_seconds;
mod event_rate_limit;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod persistent_volume_claim_resize;
mod pod_security;
mod pod_topology_labels;
mod pods;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use serde_json::{Map, Value};

pub(super) use event_rate_limit::EventLimits;
pub(super) use pod_security::PodSecurity;

use super::attributes::Attributes;
use super::controllers::{
    ALWAYS_PULL_IMAGES, CERTIFICATE_APPROVAL, CERTIFICATE_SIGNING, CERTIFICATE_SUBJECT_RESTRICTION,
    DEFAULT_INGRESS_CLASS, DEFAULT_STORAGE_CLASS, DEFAULT_TOLERATION_SECONDS, DENY_EXTERNAL_ADDRESSES,
    EVENT_RATE_LIMIT, EXTENDED_RESOURCE_TOLERATION, LIMIT_ANTI_AFFINITY, LIMIT_RANGER, NAMESPACE_LIFECYCLE,
    NODE_RESTRICTION, PERSISTENT_VOLUME_CLAIM_RESIZE, POD_SECURITY, POD_TOPOLOGY_LABELS, PRIORITY, RUNTIME_CLASS,
    SERVICE_ACCOUNT, STORAGE_OBJECT_IN_USE_PROTECTION, TAINT_NODES_BY_CONDITION,
};
use crate::endpoint::Call;
use crate::metrics::Timed;
use crate::status::Status;

/// Plugins that may change the object, in upstream's order.
pub(super) async fn mutate(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    let settings = &attributes.call.server.config.access.admission;
    if settings.runs(&NAMESPACE_LIFECYCLE) {
        timed.of(&NAMESPACE_LIFECYCLE, namespace_lifecycle::admit(attributes).await)?;
    }
    if settings.runs(&LIMIT_RANGER) {
        timed.of(&LIMIT_RANGER, limit_ranger::admit(attributes).await)?;
    }
    if settings.runs(&SERVICE_ACCOUNT) {
        timed.of(&SERVICE_ACCOUNT, service_account::admit(attributes).await)?;
    }
    if settings.runs(&NODE_RESTRICTION) {
        timed.of(&NODE_RESTRICTION, node_restriction::admit(attributes).await)?;
    }
    if settings.runs(&TAINT_NODES_BY_CONDITION) {
        taint_nodes_by_condition::admit(attributes);
        timed.done(&TAINT_NODES_BY_CONDITION);
    }
    if settings.runs(&ALWAYS_PULL_IMAGES) {
        pods::pull_always(attributes);
        timed.done(&ALWAYS_PULL_IMAGES);
    }
    if settings.runs(&PRIORITY) {
        timed.of(&PRIORITY, priority::admit(attributes).await)?;
    }
    if settings.runs(&DEFAULT_TOLERATION_SECONDS) {
        default_toleration_seconds::admit(attributes);
        timed.done(&DEFAULT_TOLERATION_SECONDS);
    }
    if settings.runs(&EXTENDED_RESOURCE_TOLERATION) {
        pods::tolerate(attributes);
        timed.done(&EXTENDED_RESOURCE_TOLERATION);
    }
    if settings.runs(&DEFAULT_STORAGE_CLASS) {
        timed.of(&DEFAULT_STORAGE_CLASS, default_class::admit_claim(attributes).await)?;
    }
    if settings.runs(&STORAGE_OBJECT_IN_USE_PROTECTION) {
        storage_object_in_use_protection::admit(attributes);
        timed.done(&STORAGE_OBJECT_IN_USE_PROTECTION);
    }
    if settings.runs(&RUNTIME_CLASS) {
        timed.of(&RUNTIME_CLASS, runtime_class::admit(attributes).await)?;
    }
    if settings.runs(&DEFAULT_INGRESS_CLASS) {
        timed.of(&DEFAULT_INGRESS_CLASS, default_class::admit_ingress(attributes).await)?;
    }
    if settings.runs(&POD_TOPOLOGY_LABELS) {
        timed.of(&POD_TOPOLOGY_LABELS, pod_topology_labels::admit(attributes).await)?;
    }
    Ok(())
}

/// Whether the namespace of a request takes new objects, as far as the plugins decide.
pub(super) async fn takes_new_objects(call: &Call<'_>) -> Result<bool, Status> {
    namespace_lifecycle::takes_new_objects(call).await
}

/// Says in the record of an update what plugins say of every one of its kind, for who knows that they have no more to
/// say about it.
pub(crate) async fn note_harmless_update(call: &Call<'_>) -> Result<(), Status> {
    let is_pod = call.resource.group.is_empty() && call.resource.name == "pods";
    // Nobody else would see it.
    if !is_pod || !call.notes.are_kept() {
        return Ok(());
    }
    pod_security::note_harmless_update(call).await
}

/// Plugins that look at what will be written, in upstream's order.
pub(super) async fn validate(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    let settings = &attributes.call.server.config.access.admission;
    if settings.runs(&LIMIT_ANTI_AFFINITY) {
        timed.of(&LIMIT_ANTI_AFFINITY, pods::check_anti_affinity(attributes))?;
    }
    if settings.runs(&LIMIT_RANGER) {
        timed.of(&LIMIT_RANGER, limit_ranger::validate(attributes).await)?;
    }
    if settings.runs(&ALWAYS_PULL_IMAGES) {
        timed.of(&ALWAYS_PULL_IMAGES, pods::check_pull_always(attributes))?;
    }
    if settings.runs(&POD_SECURITY) {
        timed.of(&POD_SECURITY, pod_security::validate(attributes).await)?;
    }
    if settings.runs(&PRIORITY) {
        timed.of(&PRIORITY, priority::validate(attributes).await)?;
    }
    if settings.runs(&EVENT_RATE_LIMIT) {
        timed.of(&EVENT_RATE_LIMIT, event_rate_limit::validate(attributes))?;
    }
    if settings.runs(&PERSISTENT_VOLUME_CLAIM_RESIZE) {
        timed.of(&PERSISTENT_VOLUME_CLAIM_RESIZE, persistent_volume_claim_resize::validate(attributes).await)?;
    }
    if settings.runs(&RUNTIME_CLASS) {
        timed.of(&RUNTIME_CLASS, runtime_class::validate(attributes).await)?;
    }
    if settings.runs(&CERTIFICATE_APPROVAL) {
        timed.of(&CERTIFICATE_APPROVAL, certificates::validate_approval(attributes).await)?;
    }
    if settings.runs(&CERTIFICATE_SIGNING) {
        timed.of(&CERTIFICATE_SIGNING, certificates::validate_signing(attributes).await)?;
    }
    if settings.runs(&CERTIFICATE_SUBJECT_RESTRICTION) {
        timed.of(&CERTIFICATE_SUBJECT_RESTRICTION, certificates::validate_subject(attributes))?;
    }
    if settings.runs(&DENY_EXTERNAL_ADDRESSES) {
        timed.of(&DENY_EXTERNAL_ADDRESSES, pods::check_external_addresses(attributes))?;
    }
    Ok(())
}

/// Appends to a list that may be missing.
fn push(fields: &mut Map<String, Value>, list: &str, item: Value) {
    match fields.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => drop(fields.insert(list.into(), Value::Array(vec![item]))),
    }
}
