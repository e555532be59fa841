//! New pods get patience with nodes that do not answer.

use serde_json::{Value, json};

use super::push;
use crate::admission::{Attributes, Operation};

/// How long a pod stays on a node that does not answer.
const PATIENCE_SECONDS: i64 = 300;

const KEYS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn admit(attributes: &mut Attributes<'_>) {
    let concerned = matches!(attributes.operation, Operation::Create | Operation::Update)
        && attributes.is_main("", "pods")
        && attributes.new["spec"].is_object();
    if concerned {
        give_patience(&mut attributes.new);
    }
}

fn give_patience(pod: &mut Value) {
    let tolerations = pod["spec"]["tolerations"].as_array().map_or(&[][..], Vec::as_slice);
    let tolerates = |key: &str| {
        tolerations.iter().any(|toleration| {
            let text = |field: &str| toleration[field].as_str().unwrap_or_default();
            (text("key").is_empty() || text("key") == key) && matches!(text("effect"), "" | "NoExecute")
        })
    };
    let missing: Vec<Value> = KEYS
        .iter()
        .filter(|key| !tolerates(key))
        .map(|key| {
            json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": PATIENCE_SECONDS,
            })
        })
        .collect();
    if let Some(spec) = pod["spec"].as_object_mut() {
        for toleration in missing {
            push(spec, "tolerations", toleration);
        }
    }
}
