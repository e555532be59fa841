//! New volumes, claims and classes of attributes stay until nobody uses them.

use serde_json::{Value, json};

use crate::admission::{Attributes, Operation};
use crate::endpoint::metadata;

pub(super) fn admit(attributes: &mut Attributes<'_>) {
    if attributes.operation != Operation::Create {
        return;
    }
    let finalizer = if attributes.is_main("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else if attributes.is_main("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else if attributes.is_main("storage.k8s.io", "volumeattributesclasses") {
        "kubernetes.io/vac-protection"
    } else {
        return;
    };
    let finalizers = metadata::of(&mut attributes.new).entry("finalizers").or_insert_with(|| json!([]));
    match finalizers {
        Value::Array(list) if !list.iter().any(|name| name == finalizer) => list.push(finalizer.into()),
        Value::Array(_) => {}
        other => *other = json!([finalizer]),
    }
}
