//! What may be said in metadata, and how often one is told what may not.

use serde_json::json;

use crate::support::cluster;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MERGE: &str = "application/merge-patch+json";

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

#[tokio::test]
async fn what_only_the_server_sets_is_not_to_be_changed() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let immutable = |field: &str, value: &str| {
        format!("422 ConfigMap \"a\" is invalid: metadata.{field}: Invalid value: {value}: field is immutable")
    };
    for (method, metadata, expected) in [
        ("PATCH", json!({"uid": "b"}), immutable("uid", "\"b\"")),
        ("PUT", json!({"deletionGracePeriodSeconds": 5}), immutable("deletionGracePeriodSeconds", "5")),
        (
            "PUT",
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            immutable("deletionTimestamp", "\"2026-01-01T00:00:00Z\""),
        ),
        ("PATCH", json!({"resourceVersion": "x"}), "500 strconv.ParseUint: parsing \"x\": invalid syntax".to_owned()),
        ("PUT", json!({"resourceVersion": "-1"}), "500 strconv.ParseUint: parsing \"-1\": invalid syntax".to_owned()),
    ] {
        let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        body["metadata"]["name"] = "a".into();
        let content_type = if method == "PUT" { "application/json" } else { MERGE };
        let answer = cluster.ask(method, &path, content_type, &body.to_string()).await;
        assert_eq!(answer.text(), expected, "{method} {body}");
    }
    // What the server sets anew is not minded.
    let body = r#"{"metadata": {"uid": "", "creationTimestamp": "2020-01-01T00:00:00Z", "generation": 7}}"#;
    let before = cluster.get(&path).await.body;
    assert_eq!(cluster.ask("PATCH", &path, MERGE, body).await.body, before);
}

#[tokio::test]
async fn causes_tell_a_problem_as_often_as_it_is_found() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    assert_eq!(cluster.create(LEASES, json!({"metadata": {"name": "a"}})).await.code, 201);
    let body = r#"{"metadata": {"labels": {"a b": ""}, "finalizers": ["x"], "deletionGracePeriodSeconds": 5}}"#;
    for (path, expected) in [
        (
            format!("{CONFIG_MAPS}/a"),
            &["labels", "grace", "labels", "grace", "labels", "finalizers", "labels", "finalizers"][..],
        ),
        (format!("{LEASES}/a"), &["labels", "grace", "labels", "grace", "labels"]),
    ] {
        let answer = cluster.ask("PATCH", &path, MERGE, body).await;
        let causes = answer.body["details"]["causes"].as_array().expect("causes");
        let fields: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
        let expected: Vec<String> = expected
            .iter()
            .map(|name| match *name {
                "grace" => "metadata.deletionGracePeriodSeconds".to_owned(),
                "finalizers" => "metadata.finalizers[0]".to_owned(),
                name => format!("metadata.{name}"),
            })
            .collect();
        assert_eq!(fields, expected, "{path}");
        assert_eq!(answer.text().matches("metadata.labels").count(), 1, "{}", answer.text());
    }
}

#[tokio::test]
async fn some_kinds_are_free_in_their_finalizers() {
    let cluster = cluster().await;
    let object = json!({"metadata": {"name": "a", "finalizers": ["x"]}});
    assert_eq!(cluster.create(LEASES, object.clone()).await.code, 201);
    assert_eq!(
        cluster.create(CONFIG_MAPS, object).await.text(),
        "422 ConfigMap \"a\" is invalid: metadata.finalizers[0]: Invalid value: \"x\": \
         name is neither a standard finalizer name nor is it fully qualified"
    );
}

#[tokio::test]
async fn owners_are_told_in_the_order_of_their_fields() {
    let cluster = cluster().await;
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
    let object = json!({"metadata": {"name": "a", "ownerReferences": [owner("b"), owner("c")]}});
    assert_eq!(
        cluster.create(CONFIG_MAPS, object).await.text(),
        "422 ConfigMap \"a\" is invalid: metadata.ownerReferences: Invalid value: \
         [{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"b\",\"uid\":\"u\",\"controller\":true},\
         {\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"c\",\"uid\":\"u\",\"controller\":true}]: \
         Only one reference can have Controller set to true. Found \"true\" in references for Pod/b and Pod/c"
    );
}
