use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn check(group: &str, resource: &str, object: Value, expected: Expect) {
    let now = "2026-01-02T03:04:05Z".parse().expect("a time");
    expected.assert_eq(&usage(group, resource, &object, now).to_string());
}

#[test]
fn objects_count_for_what_they_use() {
    let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu, "example.com/gpu": "1"}, "limits": {"memory": "1Gi"}}});
    check(
        "",
        "pods",
        json!({"spec": {"containers": [container("500m"), container("1")]}}),
        expect!["count/pods=1,cpu=1500m,limits.memory=2Gi,pods=1,requests.cpu=1500m,requests.example.com/gpu=2"],
    );
    check(
        "",
        "pods",
        json!({"spec": {"containers": [container("1")], "initContainers": [container("3")]}}),
        expect!["count/pods=1,cpu=3,limits.memory=1Gi,pods=1,requests.cpu=3,requests.example.com/gpu=1"],
    );
    check(
        "",
        "pods",
        json!({"spec": {"containers": [container("1")]}, "status": {"phase": "Failed"}}),
        expect!["count/pods=1"],
    );
    let leaving = |at: &str| json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}, "spec": {"containers": []}});
    check("", "pods", leaving("2026-01-02T03:03:40Z"), expect!["count/pods=1,pods=1"]);
    check("", "pods", leaving("2026-01-02T03:03:00Z"), expect!["count/pods=1"]);
    let mut leaving = leaving("2026-01-02T03:03:00Z");
    leaving["metadata"]["deletionGracePeriodSeconds"] = i64::MAX.into();
    check("", "pods", leaving, expect!["count/pods=1,pods=1"]);
    check(
        "",
        "services",
        json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}}),
        expect!["count/services=1,services=1,services.nodeports=2"],
    );
    check(
        "",
        "services",
        json!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 1}]}}),
        expect!["count/services=1,services=1,services.loadbalancers=1,services.nodeports=0"],
    );
    check(
        "",
        "persistentvolumeclaims",
        json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}}),
        expect![
            "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
        ],
    );
    check("", "secrets", json!({}), expect!["count/secrets=1,secrets=1"]);
    check("apps", "deployments", json!({}), expect!["count/deployments.apps=1"]);
}

#[test]
fn scopes_choose_pods() {
    let plain = json!({"spec": {"containers": [{"name": "c"}]}});
    let sized = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    let short = json!({"spec": {"activeDeadlineSeconds": 5, "priorityClassName": "high", "containers": []}});
    let cases = [
        (json!({}), [true, true, true]),
        (json!({"scopes": ["BestEffort"]}), [true, false, true]),
        (json!({"scopes": ["NotBestEffort"]}), [false, true, false]),
        (json!({"scopes": ["Terminating"]}), [false, false, true]),
        (json!({"scopes": ["NotTerminating", "BestEffort"]}), [true, false, false]),
        (json!({"scopes": ["PriorityClass"]}), [false, false, true]),
        (
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}),
            [false, false, true],
        ),
        (
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]}}),
            [true, true, false],
        ),
    ];
    for (spec, expected) in cases {
        let found = [&plain, &sized, &short].map(|pod| in_scope(&spec, "", "pods", pod));
        assert_eq!(found, expected, "{spec}");
    }
    assert!(!in_scope(&json!({"scopes": ["BestEffort"]}), "", "secrets", &json!({})));
}

#[test]
fn containers_must_say_what_a_quota_names() {
    let pod = json!({"spec": {"containers": [
        {"name": "a", "resources": {"requests": {"cpu": "1"}}}, {"name": "b", "resources": {"limits": {"memory": "1"}}},
    ]}});
    let missing = pod_misses(&pod, |name| matches!(name, "cpu" | "limits.memory" | "pods"));
    assert_eq!(format!("{missing:?}"), r#"{"cpu": {"b"}, "limits.memory": {"a"}}"#);
    for (whole, is_enough) in [(json!({"limits": {"cpu": "1"}}), true), (json!({}), false), (json!(null), false)] {
        let mut pod = pod.clone();
        pod["spec"]["resources"] = whole;
        assert_eq!(pod_misses(&pod, |_| true).is_empty(), is_enough, "{pod}");
    }
}
