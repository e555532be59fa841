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

use super::attributes::{Attributes, Operation};
use crate::endpoint::Call;
use crate::metrics::{Controller, Timed};
use crate::status::Status;

/// A plugin by its name, and what it looks at.
const fn plugin(name: &'static str, handles: &'static [Operation]) -> Controller {
    Controller { name, handles }
}

const CREATE: &[Operation] = &[Operation::Create];
const UPDATE: &[Operation] = &[Operation::Update];
const WRITE: &[Operation] = &[Operation::Create, Operation::Update];
const ANY_WRITE: &[Operation] = &[Operation::Create, Operation::Update, Operation::Delete];

pub(super) const NAMESPACE_LIFECYCLE: Controller = plugin("NamespaceLifecycle", ANY_WRITE);
const LIMIT_RANGER: Controller = plugin("LimitRanger", WRITE);
const SERVICE_ACCOUNT: Controller = plugin("ServiceAccount", WRITE);
const NODE_RESTRICTION: Controller = plugin("NodeRestriction", ANY_WRITE);
const TAINT_NODES_BY_CONDITION: Controller = plugin("TaintNodesByCondition", CREATE);
const POD_SECURITY: Controller = plugin("PodSecurity", WRITE);
const PRIORITY: Controller = plugin("Priority", ANY_WRITE);
const DEFAULT_TOLERATION_SECONDS: Controller = plugin("DefaultTolerationSeconds", WRITE);
const DEFAULT_STORAGE_CLASS: Controller = plugin("DefaultStorageClass", CREATE);
const STORAGE_OBJECT_IN_USE_PROTECTION: Controller = plugin("StorageObjectInUseProtection", CREATE);
const PERSISTENT_VOLUME_CLAIM_RESIZE: Controller = plugin("PersistentVolumeClaimResize", UPDATE);
const RUNTIME_CLASS: Controller = plugin("RuntimeClass", CREATE);
const CERTIFICATE_APPROVAL: Controller = plugin("CertificateApproval", UPDATE);
const CERTIFICATE_SIGNING: Controller = plugin("CertificateSigning", UPDATE);
const CERTIFICATE_SUBJECT_RESTRICTION: Controller = plugin("CertificateSubjectRestriction", CREATE);
const DEFAULT_INGRESS_CLASS: Controller = plugin("DefaultIngressClass", CREATE);
const LIMIT_ANTI_AFFINITY: Controller = plugin("LimitPodHardAntiAffinityTopology", WRITE);
const ALWAYS_PULL_IMAGES: Controller = plugin("AlwaysPullImages", WRITE);
const EVENT_RATE_LIMIT: Controller = plugin("EventRateLimit", WRITE);
const EXTENDED_RESOURCE_TOLERATION: Controller = plugin("ExtendedResourceToleration", WRITE);
const DENY_EXTERNAL_ADDRESSES: Controller = plugin("DenyServiceExternalIPs", WRITE);
const POD_TOPOLOGY_LABELS: Controller = plugin("PodTopologyLabels", CREATE);

/// Plugins that may change the object, in upstream's order.
pub(super) async fn mutate(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    let settings = &attributes.call.server.config.access.admission;
    let runs = |plugin: &Controller| settings.runs(plugin.name);
    if runs(&NAMESPACE_LIFECYCLE) {
        timed.of(&NAMESPACE_LIFECYCLE, namespace_lifecycle::admit(attributes).await)?;
    }
    if runs(&LIMIT_RANGER) {
        timed.of(&LIMIT_RANGER, limit_ranger::admit(attributes).await)?;
    }
    if runs(&SERVICE_ACCOUNT) {
        timed.of(&SERVICE_ACCOUNT, service_account::admit(attributes).await)?;
    }
    if runs(&NODE_RESTRICTION) {
        timed.of(&NODE_RESTRICTION, node_restriction::admit(attributes).await)?;
    }
    if runs(&TAINT_NODES_BY_CONDITION) {
        taint_nodes_by_condition::admit(attributes);
        timed.done(&TAINT_NODES_BY_CONDITION);
    }
    if runs(&ALWAYS_PULL_IMAGES) {
        pods::pull_always(attributes);
        timed.done(&ALWAYS_PULL_IMAGES);
    }
    if runs(&PRIORITY) {
        timed.of(&PRIORITY, priority::admit(attributes).await)?;
    }
    if runs(&DEFAULT_TOLERATION_SECONDS) {
        default_toleration_seconds::admit(attributes);
        timed.done(&DEFAULT_TOLERATION_SECONDS);
    }
    if runs(&EXTENDED_RESOURCE_TOLERATION) {
        pods::tolerate(attributes);
        timed.done(&EXTENDED_RESOURCE_TOLERATION);
    }
    if runs(&DEFAULT_STORAGE_CLASS) {
        timed.of(&DEFAULT_STORAGE_CLASS, default_class::admit_claim(attributes).await)?;
    }
    if runs(&STORAGE_OBJECT_IN_USE_PROTECTION) {
        storage_object_in_use_protection::admit(attributes);
        timed.done(&STORAGE_OBJECT_IN_USE_PROTECTION);
    }
    if runs(&RUNTIME_CLASS) {
        timed.of(&RUNTIME_CLASS, runtime_class::admit(attributes).await)?;
    }
    if runs(&DEFAULT_INGRESS_CLASS) {
        timed.of(&DEFAULT_INGRESS_CLASS, default_class::admit_ingress(attributes).await)?;
    }
    if runs(&POD_TOPOLOGY_LABELS) {
        timed.of(&POD_TOPOLOGY_LABELS, pod_topology_labels::admit(attributes).await)?;
    }
    Ok(())
}

/// Whether the namespace of a request takes new objects, as far as the plugins decide.
pub(super) async fn takes_new_objects(call: &Call<'_>) -> Result<bool, Status> {
    namespace_lifecycle::takes_new_objects(call).await
}

/// Plugins that look at what will be written, in upstream's order.
pub(super) async fn validate(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    let settings = &attributes.call.server.config.access.admission;
    let runs = |plugin: &Controller| settings.runs(plugin.name);
    if runs(&LIMIT_ANTI_AFFINITY) {
        timed.of(&LIMIT_ANTI_AFFINITY, pods::check_anti_affinity(attributes))?;
    }
    if runs(&LIMIT_RANGER) {
        timed.of(&LIMIT_RANGER, limit_ranger::validate(attributes).await)?;
    }
    if runs(&ALWAYS_PULL_IMAGES) {
        timed.of(&ALWAYS_PULL_IMAGES, pods::check_pull_always(attributes))?;
    }
    if runs(&POD_SECURITY) {
        timed.of(&POD_SECURITY, pod_security::validate(attributes).await)?;
    }
    if runs(&PRIORITY) {
        timed.of(&PRIORITY, priority::validate(attributes).await)?;
    }
    if runs(&EVENT_RATE_LIMIT) {
        timed.of(&EVENT_RATE_LIMIT, event_rate_limit::validate(attributes))?;
    }
    if runs(&PERSISTENT_VOLUME_CLAIM_RESIZE) {
        timed.of(&PERSISTENT_VOLUME_CLAIM_RESIZE, persistent_volume_claim_resize::validate(attributes).await)?;
    }
    if runs(&RUNTIME_CLASS) {
        timed.of(&RUNTIME_CLASS, runtime_class::validate(attributes).await)?;
    }
    if runs(&CERTIFICATE_APPROVAL) {
        timed.of(&CERTIFICATE_APPROVAL, certificates::validate_approval(attributes).await)?;
    }
    if runs(&CERTIFICATE_SIGNING) {
        timed.of(&CERTIFICATE_SIGNING, certificates::validate_signing(attributes).await)?;
    }
    if runs(&CERTIFICATE_SUBJECT_RESTRICTION) {
        timed.of(&CERTIFICATE_SUBJECT_RESTRICTION, certificates::validate_subject(attributes))?;
    }
    if runs(&DENY_EXTERNAL_ADDRESSES) {
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
