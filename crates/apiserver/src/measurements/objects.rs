//! Measurements as objects. Pure.

use std::time::Duration;

use portolan_api::quantity::{Format, Quantity};
use portolan_api::time;
use portolan_api::usage::{PodUsage, Usage};
use portolan_base::{Timestamp, go};
use serde_json::{Value, json};

/// What a node uses.
pub(super) fn node(name: &str, labels: Option<Value>, usage: &Usage, now: Timestamp) -> Value {
    let mut object = object("NodeMetrics", name, labels, usage, now);
    object["usage"] = amounts(usage);
    object
}

/// What a pod uses; nothing if nothing of it runs.
pub(super) fn pod(pod: &PodUsage, labels: Option<Value>, now: Timestamp) -> Option<Value> {
    // Containers may have been started one after another: the longest time holds for the pod.
    let longest = pod.containers.iter().map(|container| container.usage).max_by_key(|usage| usage.window_ms)?;
    let mut object = object("PodMetrics", &pod.name, labels, &longest, now);
    object["metadata"]["namespace"] = pod.namespace.as_str().into();
    let containers = pod.containers.iter();
    object["containers"] =
        containers.map(|container| json!({"name": container.name, "usage": amounts(&container.usage)})).collect();
    Some(object)
}

fn object(kind: &str, name: &str, labels: Option<Value>, usage: &Usage, now: Timestamp) -> Value {
    let at = Timestamp::from_millisecond(usage.at_ms).unwrap_or(now);
    let mut metadata = json!({"name": name, "creationTimestamp": time::format(now)});
    if let Some(labels) = labels {
        metadata["labels"] = labels;
    }
    json!({
        "kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": metadata,
        "timestamp": time::format(at), "window": go::format_duration(Duration::from_millis(usage.window_ms)),
    })
}

fn amounts(usage: &Usage) -> Value {
    let memory = Quantity::from_value(i64::try_from(usage.memory_bytes).unwrap_or(i64::MAX), Format::BinarySi);
    let cpu = Quantity::parse(&format!("{}n", usage.cpu_nanocores)).unwrap_or(Quantity::ZERO);
    json!({"cpu": cpu.to_string(), "memory": memory.to_string()})
}

#[cfg(test)]
mod tests {
    use portolan_api::usage::ContainerUsage;

    use super::*;

    #[test]
    fn a_pods_containers_keep_their_own_amounts() {
        let of = |name: &str, window_ms, cpu_nanocores, memory_bytes| ContainerUsage {
            name: name.into(),
            usage: Usage { at_ms: 1_000_000_000_000, window_ms, cpu_nanocores, memory_bytes },
        };
        let mut usage = PodUsage { namespace: "shop".into(), name: "cart".into(), ..PodUsage::default() };
        assert_eq!(pod(&usage, None, Timestamp::UNIX_EPOCH), None);
        usage.containers = vec![of("a", 15_000, 12_345_678, 3 << 20), of("b", 2_000, 1_500_000_000, 1000)];
        let object = pod(&usage, Some(json!({"app": "cart"})), Timestamp::UNIX_EPOCH).expect("something runs");
        assert_eq!(
            object,
            json!({
                "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
                "metadata": {
                    "name": "cart", "namespace": "shop", "labels": {"app": "cart"},
                    "creationTimestamp": "1970-01-01T00:00:00Z",
                },
                "timestamp": "2001-09-09T01:46:40Z", "window": "15s",
                "containers": [
                    {"name": "a", "usage": {"cpu": "12345678n", "memory": "3Mi"}},
                    {"name": "b", "usage": {"cpu": "1500m", "memory": "1k"}},
                ],
            })
        );
    }
}
