use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2030-01-01T01:00:00Z".parse().expect("it is a time")
}

fn check(node: Value, silent_seconds: u64, expected: Expect) {
    let node: Node = serde_json::from_value(node).expect("it is a node");
    let plan = plan_node(&node, now() - Duration::from_secs(silent_seconds), Duration::from_secs(40), now());
    let conditions = plan.conditions.iter().flatten().map(|found| format!("{}={}", found.type_, found.status));
    let taints = plan.taints.as_ref().map(|taints| {
        taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect::<Vec<_>>().join(",")
    });
    expected.assert_eq(&format!(
        "conditions {:?}; taints {taints:?}; again {}",
        conditions.collect::<Vec<_>>().join(","),
        plan.requeue_at.map_or("never".to_owned(), |at| at.to_string())
    ));
}

fn node(ready: &str, taints: Value) -> Value {
    json!({"spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
}

#[test]
fn a_node_that_reports_is_left_alone_until_it_is_silent_too_long() {
    check(node("True", json!([])), 10, expect![[r#"conditions ""; taints None; again 2030-01-01T01:00:30Z"#]]);
}

#[test]
fn a_silent_node_becomes_unknown_and_unreachable() {
    check(
        node("True", json!([])),
        40,
        expect![[
            r#"conditions "Ready=Unknown,MemoryPressure=Unknown,DiskPressure=Unknown,PIDPressure=Unknown"; taints Some("node.kubernetes.io/unreachable:NoSchedule,node.kubernetes.io/unreachable:NoExecute"); again never"#
        ]],
    );
}

#[test]
fn a_node_that_came_back_loses_our_taints_and_keeps_others() {
    check(
        node(
            "True",
            json!([
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
                {"key": "gpu", "effect": "NoSchedule"},
            ]),
        ),
        1,
        expect![[r#"conditions ""; taints Some("gpu:NoSchedule"); again 2030-01-01T01:00:39Z"#]],
    );
}

#[test]
fn a_node_that_is_short_of_something_takes_no_new_pods_until_it_is_not() {
    let mut short = node("True", json!([]));
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    short["status"]["conditions"] =
        json!([condition("Ready", "True"), condition("DiskPressure", "True"), condition("MemoryPressure", "False")]);
    check(
        short.clone(),
        1,
        expect![[
            r#"conditions ""; taints Some("node.kubernetes.io/disk-pressure:NoSchedule"); again 2030-01-01T01:00:39Z"#
        ]],
    );
    short["status"]["conditions"][1] = condition("DiskPressure", "False");
    short["spec"]["taints"] = json!([{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]);
    check(short, 1, expect![[r#"conditions ""; taints Some(""); again 2030-01-01T01:00:39Z"#]]);
}

#[test]
fn pods_leave_when_their_toleration_ends() {
    let node: Node = serde_json::from_value(json!({"spec": {"taints": [
        {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2030-01-01T00:59:00Z"},
    ]}}))
    .expect("it is a node");
    let pod = |name: &str, tolerations: Value| -> Arc<Pod> {
        let pod = json!({"metadata": {"name": name}, "spec": {"containers": [], "tolerations": tolerations}});
        Arc::new(serde_json::from_value(pod).expect("it is a pod"))
    };
    let unreachable = |seconds: Value| json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    let pods = [
        pod("intolerant", json!([])),
        pod("expired", unreachable(json!(30))),
        pod("patient", unreachable(json!(300))),
        pod("until after the end of time", unreachable(json!(i64::MAX))),
        pod("forever", unreachable(Value::Null)),
        pod("anything", json!([{"operator": "Exists"}])),
    ];
    let (leave, next) = plan_evictions(&node, &pods, now());
    assert_eq!(crate::meta::names(&leave), ["intolerant", "expired"]);
    assert_eq!(next.map(|at| at.to_string()).as_deref(), Some("2030-01-01T01:04:00Z"));
}

#[test]
fn silence_is_counted_from_what_was_seen_here() {
    // Seconds of our clock and of the node's: the look before, and this one.
    let cases = [
        ("the first look starts the count, however old the lease is", None, (100, Some(3)), 100),
        ("nothing new", Some((100, Some(3))), (140, Some(3)), 100),
        ("renewed 32 s after the last look", Some((100, Some(3))), (140, Some(35)), 132),
        ("hours newer than what a restarted server had stored", Some((100, Some(3))), (140, Some(9000)), 140),
        ("the node's clock was set back", Some((100, Some(90))), (140, Some(20)), 140),
        ("no lease yet", Some((100, None)), (140, None), 100),
        ("the first lease", Some((100, None)), (140, Some(139)), 140),
    ];
    let at = |seconds: u64| now() + Duration::from_secs(seconds);
    for (what, before, (clock, renewed), expected) in cases {
        let before =
            before.map(|(clock, renewed): (u64, Option<u64>)| Heard { at: at(clock), renewed: renewed.map(at) });
        let heard = hear(before, renewed.map(at), at(clock));
        assert_eq!(heard, Heard { at: at(expected), renewed: renewed.map(at) }, "{what}");
    }
}
