//! One object: from its creation to its end.

use std::time::Duration;

use portolan_apiserver::Access;
use portolan_store::Store;
use serde_json::{Value, json};

use crate::support::{cluster, cluster_with, pod, request};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {
            "metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }},
    })
}

#[tokio::test]
async fn events_go_by_themselves_after_an_hour() {
    let cluster = cluster().await;
    let events = "/api/v1/namespaces/default/events";
    let event = |name: &str| {
        let about = json!({"kind": "Pod", "namespace": "default", "name": "p"});
        json!({"metadata": {"name": name}, "involvedObject": about, "type": "Normal", "reason": "R", "message": "m"})
    };
    for name in ["a", "b"] {
        let made = cluster.create(events, event(name)).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let more = json!({"count": 2}).to_string();
    let path = format!("{events}/a");
    assert_eq!(cluster.ask("PATCH", &path, "application/merge-patch+json", &more).await.code, 200);
    let a = cluster.lease("/registry/core/events/default/a").await.expect("it has a lease");
    assert_eq!(Some(a), cluster.lease("/registry/core/events/default/b").await, "one for all of this minute");
    let left = cluster.store.lease(a).await.expect("it lasts");
    assert!(left.ttl.as_secs() >= 3600, "{left:?}");
    cluster.config_map("m", json!({})).await;
    assert_eq!(cluster.lease("/registry/core/configmaps/default/m").await, None);
}

#[tokio::test]
async fn events_are_kept_as_long_as_the_server_is_told() {
    for (seconds, expected) in [(0, None), (100, Some(105)), (7200, Some(7260))] {
        let access = Access { event_ttl: Duration::from_secs(seconds), ..Access::default() };
        let cluster = cluster_with(access).await;
        let involved = json!({"kind": "Pod", "namespace": "default", "name": "p"});
        let event = json!({"metadata": {"name": "a"}, "involvedObject": involved});
        assert_eq!(cluster.create("/api/v1/namespaces/default/events", event).await.code, 201);
        let lease = cluster.lease("/registry/core/events/default/a").await;
        let granted = match lease {
            Some(lease) => Some(cluster.store.lease(lease).await.expect("is there").ttl.as_secs()),
            None => None,
        };
        assert_eq!(granted, expected);
    }
}

#[tokio::test]
async fn an_update_needs_the_newest_version_and_keeps_the_identity() {
    let cluster = cluster().await;
    let made = cluster.config_map("a", json!({})).await;
    let uri = format!("{CONFIG_MAPS}/a");
    let mut object = made.body.clone();
    object["data"]["n"] = "b".into();
    object["metadata"]["creationTimestamp"] = "2000-01-01T00:00:00Z".into();
    let updated = cluster.update(&uri, &object).await;
    assert_eq!(updated.code, 200);
    assert_eq!(updated.body["metadata"]["uid"], made.body["metadata"]["uid"]);
    assert_eq!(updated.body["metadata"]["creationTimestamp"], "2026-01-02T03:04:05Z");
    assert!(updated.revision() > made.revision());
    assert_eq!(cluster.update(&uri, &object).await.code, 409);
    // The same content again writes nothing.
    let again = cluster.update(&uri, &updated.body).await;
    assert_eq!(again.revision(), updated.revision());
}

#[tokio::test]
async fn names_are_generated_and_dry_runs_leave_no_trace() {
    let cluster = cluster().await;
    let body = json!({"metadata": {"generateName": "a-"}});
    let dry = cluster.create(&format!("{CONFIG_MAPS}?dryRun=All"), body.clone()).await;
    assert!(dry.body["metadata"]["name"].as_str().is_some_and(|name| name.len() == 7 && name.starts_with("a-")));
    assert_eq!(cluster.get(CONFIG_MAPS).await.body["items"], json!([]));
    assert_eq!(cluster.create(CONFIG_MAPS, body).await.code, 201);
    assert_eq!(cluster.get(CONFIG_MAPS).await.body["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn every_kind_of_patch_is_applied() {
    let cluster = cluster().await;
    let uri = format!("{DEPLOYMENTS}/d");
    assert_eq!(cluster.create(DEPLOYMENTS, deployment("d")).await.code, 201);
    let cases = [
        ("application/merge-patch+json", json!({"spec": {"replicas": 2}}), "/spec/replicas", json!(2)),
        (
            "application/json-patch+json",
            json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]),
            "/spec/replicas",
            json!(3),
        ),
        (
            "application/strategic-merge-patch+json",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}}),
            "/spec/template/spec/containers/0/image",
            json!("j"),
        ),
        (
            "application/strategic-merge-patch+json",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "k"}]}}}}),
            "/spec/template/spec/containers/1/image",
            Value::Null,
        ),
    ];
    for (content_type, patch, pointer, expected) in cases {
        let answer = cluster.ask("PATCH", &uri, content_type, &patch.to_string()).await;
        assert_eq!(answer.code, 200, "{answer:?}");
        if !expected.is_null() {
            assert_eq!(answer.body.pointer(pointer), Some(&expected), "{content_type}");
        }
    }
    let object = cluster.get(&uri).await;
    assert_eq!(object.body["spec"]["template"]["spec"]["containers"].as_array().map(Vec::len), Some(2));
    assert_eq!(object.body["metadata"]["generation"], 5);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 9}}).to_string();
    assert_eq!(cluster.ask("PATCH", &uri, "application/merge-patch+json", &stale).await.code, 409);
}

#[tokio::test]
async fn apply_creates_merges_and_refuses_what_others_own() {
    let cluster = cluster().await;
    let apply = |manager: &str, force: bool, data: Value| {
        let uri = format!("{CONFIG_MAPS}/a?fieldManager={manager}&force={force}");
        let body =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}).to_string();
        let cluster = &cluster;
        async move { cluster.ask("PATCH", &uri, "application/apply-patch+yaml", &body).await }
    };
    assert_eq!(apply("one", false, json!({"x": "1", "y": "1"})).await.code, 201);
    let merged = apply("two", false, json!({"z": "2"})).await;
    assert_eq!(merged.body["data"], json!({"x": "1", "y": "1", "z": "2"}));
    let refused = apply("two", false, json!({"x": "2"})).await;
    assert_eq!((refused.code.as_u16(), refused.body["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(refused.body["details"]["causes"][0]["field"], ".data.x");
    let forced = apply("two", true, json!({"x": "2"})).await;
    assert_eq!(forced.body["data"], json!({"x": "2", "y": "1"}));
    let dropped = apply("one", false, json!({})).await;
    assert_eq!(dropped.body["data"], json!({"x": "2"}));
}

#[tokio::test]
async fn status_and_spec_are_written_apart_and_only_spec_counts_generations() {
    let cluster = cluster().await;
    let made = cluster.create(DEPLOYMENTS, deployment("d")).await;
    let mut object = made.body;
    object["spec"]["replicas"] = 5.into();
    object["status"] = json!({"replicas": 4});
    let uri = format!("{DEPLOYMENTS}/d");
    let status = cluster.update(&format!("{uri}/status"), &object).await;
    assert_eq!((&status.body["spec"]["replicas"], &status.body["status"]["replicas"]), (&json!(1), &json!(4)));
    assert_eq!(status.body["metadata"]["generation"], 1);
    object["metadata"]["resourceVersion"].take();
    object["status"] = json!({"replicas": 9});
    let spec = cluster.update(&uri, &object).await;
    assert_eq!((&spec.body["spec"]["replicas"], &spec.body["status"]["replicas"]), (&json!(5), &json!(4)));
    assert_eq!(spec.body["metadata"]["generation"], 2);
}

#[tokio::test]
async fn scale_shows_and_changes_replicas() {
    let cluster = cluster().await;
    cluster.create(DEPLOYMENTS, deployment("d")).await;
    let uri = format!("{DEPLOYMENTS}/d/scale");
    let mut scale = cluster.get(&uri).await.body;
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(1)));
    assert_eq!(scale["status"]["selector"], "app=a");
    scale["spec"]["replicas"] = 4.into();
    assert_eq!(cluster.update(&uri, &scale).await.body["spec"]["replicas"], 4);
    let stale = cluster.update(&uri, &scale).await;
    assert_eq!(stale.code, 409);
    let patch = json!({"spec": {"replicas": 2}}).to_string();
    assert_eq!(cluster.ask("PATCH", &uri, "application/merge-patch+json", &patch).await.code, 200);
    assert_eq!(cluster.get(&format!("{DEPLOYMENTS}/d")).await.body["spec"]["replicas"], 2);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let cluster = cluster().await;
    let body = json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}});
    cluster.create(CONFIG_MAPS, body).await;
    let uri = format!("{CONFIG_MAPS}/a");
    let marked = cluster.delete(&uri, json!({"propagationPolicy": "Foreground"})).await;
    assert_eq!(marked.body["metadata"]["deletionTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(marked.body["metadata"]["finalizers"], json!(["example.com/hold", "foregroundDeletion"]));
    let add = json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/more"}]).to_string();
    let refused = cluster.ask("PATCH", &uri, "application/json-patch+json", &add).await;
    assert_eq!(refused.code, 422, "{refused:?}");
    let clear = json!({"metadata": {"finalizers": null}}).to_string();
    assert_eq!(cluster.ask("PATCH", &uri, "application/merge-patch+json", &clear).await.code, 200);
    assert_eq!(cluster.get(&uri).await.code, 404);
}

#[tokio::test]
async fn a_running_pod_gets_its_grace_and_an_unscheduled_one_goes_at_once() {
    let cluster = cluster().await;
    for name in ["bound", "unbound"] {
        let made = cluster.create(PODS, pod(name)).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let binding = json!({"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "n1"}});
    let bound = cluster.create(&format!("{PODS}/bound/binding"), binding.clone()).await;
    assert_eq!(bound.code, 201, "{bound:?}");
    let again = cluster.create(&format!("{PODS}/bound/binding"), binding).await;
    assert_eq!(
        again.text(),
        "409 Operation cannot be fulfilled on pods/binding \"bound\": pod bound is already assigned to node \"n1\""
    );
    let uri = format!("{PODS}/bound");
    let marked = cluster.delete(&uri, json!({})).await;
    assert_eq!(marked.body["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked.body["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z");
    let shorter = cluster.delete(&uri, json!({"gracePeriodSeconds": 5})).await;
    assert_eq!(shorter.body["metadata"]["deletionTimestamp"], "2026-01-02T03:04:10Z");
    assert_eq!(cluster.delete(&uri, json!({"preconditions": {"uid": "x"}})).await.code, 409);
    let gone = cluster.delete(&uri, json!({"gracePeriodSeconds": 0})).await;
    assert_eq!((&gone.body["kind"], &gone.body["metadata"]["deletionGracePeriodSeconds"]), (&json!("Pod"), &json!(0)));
    assert_eq!(cluster.get(&uri).await.code, 404);
    let unbound = format!("{PODS}/unbound");
    let gone = cluster.delete(&unbound, json!({})).await;
    assert_eq!((&gone.body["kind"], &gone.body["metadata"]["deletionGracePeriodSeconds"]), (&json!("Pod"), &json!(0)));
    assert_eq!(cluster.get(&unbound).await.code, 404);
}

#[tokio::test]
async fn a_namespace_ends_when_it_is_finalized() {
    let cluster = cluster().await;
    let made = cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
    assert_eq!(made.body["spec"]["finalizers"], json!(["kubernetes"]));
    let uri = "/api/v1/namespaces/n";
    let mut terminating = cluster.delete(uri, json!({})).await.body;
    assert_eq!(terminating["status"]["phase"], "Terminating");
    let refused = cluster.create("/api/v1/namespaces/n/configmaps", json!({"metadata": {"name": "a"}})).await;
    assert_eq!(
        refused.text(),
        "403 configmaps \"a\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    terminating["spec"]["finalizers"] = json!([]);
    assert_eq!(cluster.update(&format!("{uri}/finalize"), &terminating).await.code, 200);
    assert_eq!(cluster.get(uri).await.code, 404);
}

#[tokio::test]
async fn services_get_addresses_that_no_other_has() {
    let cluster = cluster().await;
    let uri = "/api/v1/namespaces/default/services";
    let body = |name: &str, ip: Option<&str>| json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "clusterIP": ip, "ports": [{"port": 80}]}});
    let first = cluster.create(uri, body("a", None)).await;
    let ip = first.body["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    assert!(ip.starts_with("10.43."), "{ip}");
    assert!(first.body["spec"]["ports"][0]["nodePort"].as_u64().is_some_and(|port| (30000..=32767).contains(&port)));
    let taken = cluster.create(uri, body("b", Some(&ip))).await;
    assert_eq!(taken.code, 422, "{taken:?}");
    assert_eq!(cluster.delete(&format!("{uri}/a"), json!({})).await.code, 200);
    assert_eq!(cluster.create(uri, body("b", Some(&ip))).await.code, 201);
}

#[tokio::test]
async fn what_a_node_runs_by_itself_refers_to_nothing() {
    let cluster = cluster().await;
    let token = json!({"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}});
    for (name, value, why) in [
        ("serviceAccountName", json!("default"), "a mirror pod may not reference service accounts"),
        ("imagePullSecrets", json!([{"name": "s"}]), "a mirror pod may not reference secrets"),
        ("volumes", json!([token]), "a mirror pod may not use ServiceAccountToken volume projections"),
    ] {
        let mut mirror = pod("mirror");
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        mirror["spec"][name] = value;
        let answer = cluster.create("/api/v1/namespaces/default/pods", mirror).await;
        assert_eq!(answer.text(), format!("403 pods \"mirror\" is forbidden: {why}"));
    }
}

#[tokio::test]
async fn a_pod_gets_an_identity_a_priority_and_patience() {
    let cluster = cluster().await;
    let made = cluster.create(PODS, pod("p")).await.body;
    let spec = &made["spec"];
    assert_eq!((&spec["serviceAccountName"], &spec["priority"]), (&json!("default"), &json!(0)));
    assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    let mount = &spec["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(mount["name"], spec["volumes"][0]["name"]);
    assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(2));
    let mut critical = pod("q");
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    assert_eq!(cluster.create(PODS, critical).await.body["spec"]["priority"], 2_000_001_000);
    let mut unheard = pod("r");
    unheard["spec"]["priorityClassName"] = "unheard".into();
    assert_eq!(
        cluster.create(PODS, unheard).await.text(),
        "403 pods \"r\" is forbidden: no PriorityClass with name unheard was found"
    );
}

#[tokio::test]
async fn an_object_is_shown_as_a_row_or_by_its_metadata() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    let ask = |accept: &'static str| {
        let mut request = request("GET", &format!("{CONFIG_MAPS}/a"), "", "");
        request.headers_mut().insert("accept", http::HeaderValue::from_static(accept));
        let cluster = &cluster;
        async move { cluster.send(crate::support::admin(), request).await }
    };
    let table = ask("application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await.body;
    assert_eq!((&table["kind"], &table["columnDefinitions"][0]["name"]), (&json!("Table"), &json!("Name")));
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = ask("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await.body;
    assert_eq!((&partial["metadata"]["name"], partial.get("data")), (&json!("a"), None));
    assert_eq!(ask("application/cbor").await.code, 406);
}

#[tokio::test]
async fn bindings_name_a_pod_that_waits_for_nothing_else() {
    const BINDINGS: &str = "/api/v1/namespaces/default/bindings";
    let cluster = cluster().await;
    let mut gated = pod("gated");
    gated["spec"]["schedulingGates"] = json!([{"name": "a.b/c"}]);
    for pod in [pod("free"), gated] {
        assert_eq!(cluster.create(PODS, pod).await.code, 201);
    }
    let binding =
        |pod: &str, kind: &str, node: &str| json!({"metadata": {"name": pod}, "target": {"kind": kind, "name": node}});
    for (place, binding, expected) in [
        ("free", binding("gated", "Node", "n"), "400 name in URL does not match name in Binding object"),
        (
            "free",
            binding("free", "Pod", ""),
            "500 [target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\", target.name: Required value]",
        ),
        (
            "gated",
            binding("gated", "Node", "n"),
            "409 Operation cannot be fulfilled on pods/binding \"gated\": pod gated has non-empty .spec.schedulingGates",
        ),
        ("", binding("none", "Node", "n"), "404 pods \"none\" not found"),
        ("", binding("free", "", "n"), "201"),
        (
            "",
            binding("free", "", "n"),
            "409 Operation cannot be fulfilled on pods/binding \"free\": pod free is already assigned to node \"n\"",
        ),
    ] {
        let path = if place.is_empty() { BINDINGS.to_owned() } else { format!("{PODS}/{place}/binding") };
        assert_eq!(cluster.create(&path, binding.clone()).await.text(), expected, "{binding}");
    }
    assert_eq!(cluster.get(&format!("{PODS}/free")).await.body["spec"]["nodeName"], "n");
}

#[tokio::test]
async fn some_kinds_are_not_updated_unread() {
    const CLASSES: &str = "/apis/node.k8s.io/v1/runtimeclasses";
    let cluster = cluster().await;
    let mut class = json!({"metadata": {"name": "c"}, "handler": "h"});
    assert_eq!(cluster.update(&format!("{CLASSES}/c"), &class).await.code, 404);
    let made = cluster.create(CLASSES, class.clone()).await;
    let refused = cluster.update(&format!("{CLASSES}/c"), &class).await;
    assert_eq!(
        refused.text(),
        "422 runtimeclasses.node.k8s.io \"c\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    class["metadata"]["resourceVersion"] = made.body["metadata"]["resourceVersion"].clone();
    assert_eq!(cluster.update(&format!("{CLASSES}/c"), &class).await.code, 200);
}
