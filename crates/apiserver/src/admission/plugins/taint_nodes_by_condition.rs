//! A new node is tainted until it says that it is ready.

use serde_json::{Value, json};

use super::push;
use crate::admission::{Attributes, Operation};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) fn admit(attributes: &mut Attributes<'_>) {
    if attributes.operation != Operation::Create || !attributes.is_main("", "nodes") {
        return;
    }
    let node = &mut attributes.new;
    if !node["spec"].is_object() {
        node["spec"] = json!({});
    }
    let taints = node["spec"]["taints"].as_array();
    let tainted =
        taints.into_iter().flatten().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule");
    if !tainted && let Some(spec) = node.get_mut("spec").and_then(Value::as_object_mut) {
        push(spec, "taints", json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}
