use expect_test::{Expect, expect};
use portolan_api::typed::kinds::apps::v1::ReplicaSet;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2030-01-01T01:00:00Z".parse().expect("it is a time")
}

/// `name[+ready|+pending|+unbound|+deleting|+failed][@minute]`
fn pod(text: &str) -> Arc<Pod> {
    let (text, minute) = text.split_once('@').unwrap_or((text, "0"));
    let mut words = text.split('+');
    let name = words.next().expect("a split has a first part");
    let mut value = json!({
        "metadata": {"name": name, "uid": name, "creationTimestamp": format!("2030-01-01T00:{minute:0>2}:00Z"), "labels": {"app": "a"}},
        "spec": {"containers": [], "nodeName": format!("node-{name}")},
        "status": {"phase": "Running"},
    });
    for word in words {
        match word {
            "ready" => {
                let since = format!("2030-01-01T00:{minute:0>2}:30Z");
                value["status"]["conditions"] =
                    json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
            }
            "pending" => value["status"]["phase"] = json!("Pending"),
            "failed" => value["status"]["phase"] = json!("Failed"),
            "unbound" => value["spec"]["nodeName"] = json!(null),
            "deleting" => value["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:59:00Z"),
            node => value["spec"]["nodeName"] = json!(node),
        }
    }
    Arc::new(serde_json::from_value(value).expect("it is a pod"))
}

fn check(replicas: i32, min_ready: i32, pods: &str, expected: Expect) {
    let set: ReplicaSet = serde_json::from_value(json!({
        "metadata": {"name": "set", "uid": "set", "generation": 3},
        "spec": {
            "replicas": replicas, "minReadySeconds": min_ready, "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}},
        },
    }))
    .expect("it is a set");
    let pods: Vec<Arc<Pod>> = pods.split_whitespace().map(pod).collect();
    let plan = plan(&set, &pods, now());
    let status = &plan.status;
    let number = |value: Option<i32>| value.unwrap_or_default();
    let text = format!(
        "create {}; delete {}; replicas {} ready {} available {} terminating {}; again {}",
        plan.create,
        crate::meta::names(&plan.delete).join(","),
        status.replicas,
        number(status.ready_replicas),
        number(status.available_replicas),
        number(status.terminating_replicas),
        plan.requeue_at.map_or("never".to_owned(), |at| at.to_string()),
    );
    expected.assert_eq(&text);
}

#[test]
fn creates_what_is_missing() {
    check(3, 0, "a+ready", expect!["create 2; delete ; replicas 1 ready 1 available 1 terminating 0; again never"]);
}

#[test]
fn finished_and_leaving_pods_do_not_count() {
    check(
        2,
        0,
        "a+ready b+failed c+deleting",
        expect!["create 1; delete ; replicas 1 ready 1 available 1 terminating 1; again never"],
    );
}

#[test]
fn scale_down_removes_unbound_then_pending_then_unready_then_newest_ready_pods() {
    check(
        1,
        0,
        "old+ready@1 new+ready@9 unready@2 pending+pending@1 unbound+unbound+pending@1",
        expect![
            "create 0; delete unbound,pending,unready,new; replicas 5 ready 2 available 2 terminating 0; again never"
        ],
    );
}

#[test]
fn scale_down_spreads_over_nodes() {
    check(
        2,
        0,
        "a+ready+n1@1 b+ready+n1@2 c+ready+n2@3",
        expect!["create 0; delete b; replicas 3 ready 3 available 3 terminating 0; again never"],
    );
}

#[test]
fn a_pod_is_available_only_after_min_ready_seconds() {
    check(
        1,
        60,
        "a+ready@59",
        expect!["create 0; delete ; replicas 1 ready 1 available 0 terminating 0; again 2030-01-01T01:00:30Z"],
    );
}
