//! What is built in: one file per plugin, named as upstream.

mod certificates;
mod default_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod persistent_volume_claim_resize;
mod pod_security;
mod pod_topology_labels;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use serde_json::{Map, Value};

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
const POD_TOPOLOGY_LABELS: Controller = plugin("PodTopologyLabels", CREATE);

/// Plugins that may change the object, in upstream's order.
pub(super) async fn mutate(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    timed.of(&NAMESPACE_LIFECYCLE, namespace_lifecycle::admit(attributes).await)?;
    timed.of(&LIMIT_RANGER, limit_ranger::admit(attributes).await)?;
    timed.of(&SERVICE_ACCOUNT, service_account::admit(attributes).await)?;
    timed.of(&NODE_RESTRICTION, node_restriction::admit(attributes).await)?;
    taint_nodes_by_condition::admit(attributes);
    timed.done(&TAINT_NODES_BY_CONDITION);
    timed.of(&PRIORITY, priority::admit(attributes).await)?;
    default_toleration_seconds::admit(attributes);
    timed.done(&DEFAULT_TOLERATION_SECONDS);
    timed.of(&DEFAULT_STORAGE_CLASS, default_class::admit_claim(attributes).await)?;
    storage_object_in_use_protection::admit(attributes);
    timed.done(&STORAGE_OBJECT_IN_USE_PROTECTION);
    timed.of(&RUNTIME_CLASS, runtime_class::admit(attributes).await)?;
    timed.of(&DEFAULT_INGRESS_CLASS, default_class::admit_ingress(attributes).await)?;
    timed.of(&POD_TOPOLOGY_LABELS, pod_topology_labels::admit(attributes).await)
}

/// Whether the namespace of a request takes new objects, as far as the plugins decide.
pub(super) async fn takes_new_objects(call: &Call<'_>) -> Result<bool, Status> {
    namespace_lifecycle::takes_new_objects(call).await
}

/// Plugins that look at what will be written, in upstream's order.
pub(super) async fn validate(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    timed.of(&LIMIT_RANGER, limit_ranger::validate(attributes).await)?;
    timed.of(&POD_SECURITY, pod_security::validate(attributes).await)?;
    timed.of(&PRIORITY, priority::validate(attributes).await)?;
    timed.of(&PERSISTENT_VOLUME_CLAIM_RESIZE, persistent_volume_claim_resize::validate(attributes).await)?;
    timed.of(&RUNTIME_CLASS, runtime_class::validate(attributes).await)?;
    timed.of(&CERTIFICATE_APPROVAL, certificates::validate_approval(attributes).await)?;
    timed.of(&CERTIFICATE_SIGNING, certificates::validate_signing(attributes).await)?;
    timed.of(&CERTIFICATE_SUBJECT_RESTRICTION, certificates::validate_subject(attributes))
}

/// Appends to a list that may be missing.
fn push(fields: &mut Map<String, Value>, list: &str, item: Value) {
    match fields.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => drop(fields.insert(list.into(), Value::Array(vec![item]))),
    }
}
