//! Writes a pod's status when it changed.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use portolan_api::typed::Object;
use portolan_client::{Client, Error, Patch};
use serde_json::{Map, Value, json};

use crate::patch::forget_all;

/// What a status write led to.
#[derive(Debug)]
pub(crate) enum Written {
    /// The API has it; this is the object now.
    Yes(Box<Pod>),
    /// The object is gone, or another one of the same name is there.
    Gone,
}

/// Writes `status`, as the difference to what the API has.
///
/// # Errors
/// The API cannot be reached or refuses.
pub(crate) async fn write(client: &Client, pod: &Pod, status: &PodStatus) -> Result<Written, Error> {
    let before = pod.status.clone().unwrap_or_default();
    let mut patch = json!({"status": difference(&json!(before), &json!(status))});
    // Not the status of a later pod of the same name.
    patch["metadata"] = json!({"uid": pod.uid()});
    match client.patch(pod.namespace(), pod.name(), "status", &Patch::Strategic(patch)).await {
        Ok(pod) => Ok(Written::Yes(Box::new(pod))),
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(Written::Gone),
        Err(error) => Err(error),
    }
}

/// Fields that merge name by name, all the way down.
const MERGED: [&str; 2] = ["allocatedResources", "resources"];

/// The fields of `after` that differ; fields that are gone are null.
///
/// Addresses merge by address and conditions by type, so those that are gone are named for deletion.
fn difference(before: &Value, after: &Value) -> Value {
    let empty = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let mut patch = Map::new();
    for (name, value) in after {
        if before.get(name) != Some(value) {
            patch.insert(name.clone(), value.clone());
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for name in MERGED {
        if let (Some(old), Some(new)) = (before.get(name), patch.get_mut(name)) {
            forget_all(new, old);
        }
    }
    if let (Some(old), Some(Value::Array(new))) =
        (before.get("podIPs").and_then(Value::as_array), patch.get_mut("podIPs"))
    {
        let gone: Vec<Value> = old
            .iter()
            .filter(|address| !new.contains(address))
            .map(|address| json!({"$patch": "delete", "ip": address["ip"]}))
            .collect();
        new.extend(gone);
    }
    if let (Some(old), Some(Value::Array(new))) =
        (before.get("conditions").and_then(Value::as_array), patch.get_mut("conditions"))
    {
        let gone: Vec<Value> = old
            .iter()
            .filter(|known| new.iter().all(|condition| condition["type"] != known["type"]))
            .map(|known| json!({"$patch": "delete", "type": known["type"]}))
            .collect();
        // Those of a type merge field by field.
        for condition in &mut *new {
            if let Some(known) = old.iter().find(|known| known["type"] == condition["type"]) {
                forget_all(condition, known);
            }
        }
        new.extend(gone);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_only_what_changed() {
        let before = json!({"phase": "Pending", "hostIP": "a", "message": "x", "podIPs": [{"ip": "1"}]});
        let after = json!({"phase": "Running", "hostIP": "a", "podIPs": [{"ip": "2"}]});
        let expected = json!({
            "phase": "Running",
            "message": null,
            "podIPs": [{"ip": "2"}, {"$patch": "delete", "ip": "1"}],
        });
        assert_eq!(difference(&before, &after), expected);
    }

    #[test]
    fn what_a_pod_no_longer_has_as_a_whole_is_named() {
        let before = json!({
            "allocatedResources": {"cpu": "1"},
            "resources": {"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "1"}},
        });
        let after = json!({"allocatedResources": {"cpu": "1"}, "resources": {"limits": {"cpu": "2"}}});
        let expected = json!({"resources": {"limits": {"cpu": "2", "memory": null}, "requests": null}});
        assert_eq!(difference(&before, &after), expected);
        assert_eq!(difference(&after, &json!({})), json!({"allocatedResources": null, "resources": null}));
    }

    #[test]
    fn a_condition_that_holds_loses_the_reason_why_it_did_not() {
        let before = json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "unready: [a]"},
            {"type": "Initialized", "status": "True"},
            {"type": "PodResizePending", "status": "True"},
        ]});
        let after = json!({"conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Initialized", "status": "True"},
        ]});
        let expected = json!({"conditions": [
            {"type": "Ready", "status": "True", "reason": null, "message": null},
            {"type": "Initialized", "status": "True"},
            {"$patch": "delete", "type": "PodResizePending"},
        ]});
        assert_eq!(difference(&before, &after), expected);
    }
}
