//! Why a workload has fewer pods than it wants. Pure.

use serde_json::Value;

use super::pod;
use super::status::list;

/// More pods than this are counted instead of named.
const NAMED: usize = 10;

/// Kinds that nothing happens to unless a controller acts on them.
const WORKLOADS: [(&str, &str); 8] = [
    ("v1", "ReplicationController"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
];

/// Whether it is a workload of a kind that no controller acts on; `kinds` are those that have one.
pub(super) fn is_left_alone(object: &Value, kinds: &[&str]) -> bool {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let group = |version: &str| version.rsplit_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let known = |(version, kind): &(&str, &str)| *kind == text("kind") && group(version) == group(text("apiVersion"));
    WORKLOADS.iter().any(known) && !kinds.contains(&text("kind"))
}

/// What that means.
pub(super) fn left_alone(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    format!("this build of Portolan has no controller for objects of kind {kind}: it is stored, and nothing acts on it")
}

/// The label selector of a workload, as a query; `None` if the object has none.
pub(super) fn selector(object: &Value) -> Option<String> {
    let labels = object["spec"]["selector"]["matchLabels"].as_object()?;
    let pairs = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let pairs: Vec<String> = pairs.collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

/// One line per fact, from its replica sets and pods.
pub(super) fn reasons(object: &Value, sets: &[Value], pods: &[Value]) -> Vec<String> {
    let mut reasons = Vec::new();
    if object["spec"]["paused"] == true {
        reasons.push("it is paused: changes of its template wait for `kubectl rollout resume`".to_owned());
    }
    let generation = &object["metadata"]["generation"];
    if generation.is_u64() && object["status"]["observedGeneration"] != *generation {
        reasons.push("its controller has not seen the latest change yet".to_owned());
    }
    for set in sets.iter().filter(|set| is_owned_by(set, object)) {
        let failed = list(&set["status"]["conditions"]).iter().filter(|it| it["type"] == "ReplicaFailure");
        reasons.extend(failed.map(|condition| {
            let name = set["metadata"]["name"].as_str().unwrap_or_default();
            format!("replica set {name} cannot make pods: {}", condition["message"].as_str().unwrap_or_default())
        }));
    }
    let own = |pod: &&Value| {
        is_owned_by(pod, object) || sets.iter().any(|set| is_owned_by(set, object) && is_owned_by(pod, set))
    };
    let unready: Vec<String> = pods.iter().filter(own).filter_map(pod::unready).collect();
    let more = unready.len().saturating_sub(NAMED);
    reasons.extend(unready.into_iter().take(NAMED));
    if more > 0 {
        reasons.push(format!("and {more} more pods are not ready"));
    }
    reasons
}

fn is_owned_by(object: &Value, owner: &Value) -> bool {
    list(&object["metadata"]["ownerReferences"]).iter().any(|it| it["uid"] == owner["metadata"]["uid"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stuck_deployment_names_what_holds_it_up() {
        let deployment = json!({"metadata": {"uid": "d", "generation": 2}, "spec": {"paused": true},
            "status": {"observedGeneration": 1}});
        let set = |owner: &str| {
            json!({"metadata": {"name": format!("of-{owner}"), "uid": format!("set-{owner}"), "ownerReferences": [{"uid": owner}]},
                "status": {"conditions": [{"type": "ReplicaFailure", "message": "no service account"}]}})
        };
        let pod = |name: &str, owner: &str| json!({"metadata": {"name": name, "ownerReferences": [{"uid": owner}]}, "status": {"phase": "Pending"}});
        let pods = [pod("p", "set-d"), pod("foreign", "set-other"), json!({"metadata": {"name": "alone"}})];
        assert_eq!(
            reasons(&deployment, &[set("d"), set("other")], &pods),
            [
                "it is paused: changes of its template wait for `kubectl rollout resume`",
                "its controller has not seen the latest change yet",
                "replica set of-d cannot make pods: no service account",
                "pod p is not ready: phase Pending",
            ]
        );
    }

    #[test]
    fn a_workload_without_a_controller_is_told_from_others() {
        let cases = [
            ("apps/v1", "Deployment", false),
            ("apps/v1", "StatefulSet", true),
            ("batch/v1", "Job", true),
            ("autoscaling/v1", "HorizontalPodAutoscaler", true),
            ("example.com/v1", "Job", false),
            ("v1", "ConfigMap", false),
        ];
        for (version, kind, expected) in cases {
            let object = json!({"apiVersion": version, "kind": kind});
            assert_eq!(is_left_alone(&object, &["Deployment", "ReplicaSet"]), expected, "{version} {kind}");
        }
        assert!(left_alone(&json!({"kind": "Job"})).contains("no controller for objects of kind Job"));
    }
}
