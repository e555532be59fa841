use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// A node with 4 CPUs, 8 GiB and room for 10 pods, changed by a patch.
fn node(name: &str, patch: Value) -> Arc<Node> {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10", "ephemeral-storage": "10Gi"}},
    });
    merge(&mut node, &patch);
    Arc::new(serde_json::from_value(node).expect("it is a node"))
}

fn pod(name: &str, patch: Value) -> Arc<Pod> {
    let mut pod = json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "a"}}, "spec": {"containers": []}});
    merge(&mut pod, &patch);
    Arc::new(serde_json::from_value(pod).expect("it is a pod"))
}

fn asks(cpu: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn on(node: &str, mut patch: Value) -> Value {
    merge(&mut patch, &json!({"spec": {"nodeName": node}}));
    patch
}

fn check(pod: &Arc<Pod>, nodes: &[Arc<Node>], pods: &[Arc<Pod>], expected: Expect) {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        snapshot.set_node(node.clone());
    }
    for other in pods {
        let node = occupied_node(other).expect("present pods have a node").to_owned();
        snapshot.place(&node, PodInfo::new(other.clone()));
    }
    let text = match decide(&PodInfo::new(pod.clone()), &snapshot) {
        Decision::Bind(node) => format!("bind {node}"),
        Decision::Unschedulable(message) => message,
    };
    expected.assert_eq(&text);
}

#[test]
fn a_cluster_without_nodes_says_so() {
    check(&pod("p", json!({})), &[], &[], expect!["no nodes available to schedule pods"]);
}

#[test]
fn too_little_cpu_is_counted_like_upstream() {
    check(
        &pod("p", asks("3")),
        &[node("a", json!({}))],
        &[pod("x", on("a", asks("2")))],
        expect![
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn each_node_counts_for_its_first_failing_rule() {
    let nodes = [
        node("cordoned", json!({"spec": {"unschedulable": true}})),
        node("tainted", json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}})),
        node("small", json!({"status": {"allocatable": {"cpu": "1", "memory": "1Mi"}}})),
    ];
    let mut patch = asks("2");
    merge(&mut patch["spec"]["containers"][0]["resources"]["requests"], &json!({"memory": "1Gi"}));
    check(
        &pod("p", patch),
        &nodes,
        &[],
        expect![
            "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        ],
    );
}

#[test]
fn who_never_displaces_others_says_so() {
    let mut patch = asks("3");
    merge(&mut patch, &json!({"spec": {"preemptionPolicy": "Never"}}));
    check(
        &pod("p", patch),
        &[node("a", json!({}))],
        &[pod("x", on("a", asks("2")))],
        expect!["0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."],
    );
}

#[test]
fn nodes_can_be_full_by_number() {
    check(
        &pod("p", json!({})),
        &[node("a", json!({"status": {"allocatable": {"pods": "1"}}}))],
        &[pod("x", on("a", json!({})))],
        expect![
            "0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn selector_affinity_and_tolerations_choose_nodes() {
    let nodes = [
        node("a", json!({"metadata": {"labels": {"disk": "hdd"}}})),
        node(
            "b",
            json!({"metadata": {"labels": {"disk": "ssd"}}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
        ),
    ];
    let tolerating =
        json!({"spec": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "k", "operator": "Exists"}]}});
    check(&pod("p", tolerating), &nodes, &[], expect!["bind b"]);
    let term = json!({"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]});
    let affinity = json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}});
    check(&pod("p", affinity), &nodes, &[], expect!["bind a"]);
    check(
        &pod("p", json!({"spec": {"nodeSelector": {"disk": "tape"}}})),
        &nodes[..1],
        &[],
        expect![
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        ],
    );
}

#[test]
fn host_ports_are_taken_once_per_address() {
    let port = |address: &str| json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": address}]}]}});
    let nodes = [node("a", json!({}))];
    let present = [pod("x", on("a", port("10.0.0.1")))];
    check(&pod("p", port("10.0.0.2")), &nodes, &present, expect!["bind a"]);
    check(
        &pod("p", port("")),
        &nodes,
        &present,
        expect![
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn pods_go_where_most_is_left() {
    let nodes = [node("a", json!({})), node("b", json!({}))];
    check(&pod("p", asks("1")), &nodes, &[pod("x", on("a", asks("1")))], expect!["bind b"]);
}

#[test]
fn pods_of_one_owner_spread_even_if_they_ask_for_nothing() {
    let owned = json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true}]}});
    let nodes = [node("a", json!({})), node("b", json!({}))];
    let present = [pod("x", on("a", owned.clone())), pod("y", on("b", asks("2")))];
    check(&pod("p", owned), &nodes, &present, expect!["bind b"]);
}

#[test]
fn anti_affinity_works_both_ways() {
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}});
    let repelling =
        json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}});
    let nodes = [node("a", json!({})), node("b", json!({}))];
    check(&pod("p", repelling.clone()), &nodes, &[pod("x", on("a", json!({})))], expect!["bind b"]);
    check(
        &pod("p", json!({})),
        &nodes[..1],
        &[pod("x", on("a", repelling))],
        expect![
            "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn affinity_follows_its_group_and_the_first_may_start_anywhere() {
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}});
    let attracted =
        json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}});
    let nodes = [node("a", json!({})), node("b", json!({}))];
    check(&pod("p", attracted.clone()), &nodes, &[], expect!["bind a"]);
    check(&pod("p", attracted), &nodes, &[pod("x", on("b", asks("3")))], expect!["bind b"]);
}

#[test]
fn hard_spread_keeps_the_skew() {
    let constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "a"}}});
    let spread = json!({"spec": {"topologySpreadConstraints": [constraint]}});
    let full = json!({"status": {"allocatable": {"pods": "0"}}});
    check(
        &pod("p", spread),
        &[node("a", json!({})), node("b", full)],
        &[pod("x", on("a", json!({})))],
        expect![
            "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn explain_gives_all_reasons_and_the_best_node_first() {
    let nodes = [
        node("bad", json!({"spec": {"unschedulable": true}, "status": {"allocatable": {"cpu": "1"}}})),
        node("busy", json!({})),
        node("free", json!({})),
    ];
    let explanations = explain(&pod("p", asks("2")), &nodes, &[pod("x", on("busy", asks("1")))]);
    let lines: Vec<String> = explanations
        .iter()
        .map(|found| {
            format!(
                "{}: {}",
                found.node,
                if found.score.is_some() { "fits".to_owned() } else { found.reasons.join("; ") }
            )
        })
        .collect();
    expect!["free: fits\nbusy: fits\nbad: node(s) were unschedulable; Insufficient cpu"].assert_eq(&lines.join("\n"));
}
