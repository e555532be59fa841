//! Applies that say what is there already.

use portolan_apiserver::full;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, cluster, pod};

const CORE: &str = "/api/v1/namespaces/default";

async fn apply(cluster: &Cluster, path: &str, parameters: &str, body: &Value) -> Answer {
    let uri = format!("{path}?fieldManager=me{parameters}");
    cluster.ask("PATCH", &uri, "application/apply-patch+yaml", &body.to_string()).await
}

/// The object without its revision.
fn content(answer: &Answer) -> Value {
    let mut object = answer.body.clone();
    object["metadata"].as_object_mut().expect("has metadata").remove("resourceVersion");
    object
}

#[tokio::test]
async fn who_says_what_is_there_is_recorded_once_and_nothing_else_changes() {
    let cluster = cluster().await;
    let config_map =
        json!({"metadata": {"name": "a", "annotations": {"note": "a \"note\"\n"}}, "data": {"b": "1", "a": "ü"}});
    let mut a_pod = pod("a");
    let ports = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]);
    a_pod["spec"]["containers"][0]["ports"] = ports;
    a_pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1000m"}});
    for (kind, resource, mut object) in [("ConfigMap", "configmaps", config_map), ("Pod", "pods", a_pod)] {
        object["apiVersion"] = "v1".into();
        object["kind"] = kind.into();
        let made = cluster.create(&format!("{CORE}/{resource}"), object.clone()).await;
        assert_eq!(made.code, 201, "{made:?}");
        let path = format!("{CORE}/{resource}/a");
        // What is tried only goes the whole way.
        let tried = apply(&cluster, &path, "&dryRun=All", &object).await;
        let first = apply(&cluster, &path, "", &object).await;
        assert_eq!(first.code, 200, "{first:?}");
        assert_eq!(content(&first), content(&tried));
        assert!(first.revision() > made.revision());
        assert_eq!(cluster.get(&path).await.body, first.body);
        let managers = first.body["metadata"]["managedFields"].as_array().expect("managers");
        assert_eq!(managers.iter().filter(|it| it["manager"] == "me" && it["operation"] == "Apply").count(), 1);
        cluster.clock.advance(std::time::Duration::from_secs(100));
        let again = apply(&cluster, &path, "", &object).await;
        assert_eq!(again.body, first.body, "nothing is written");
        // What is given up still goes, and what is changed is changed.
        object["metadata"]["labels"] = json!({"one": "1"});
        let labelled = apply(&cluster, &path, "&force=true", &object).await;
        assert_eq!(labelled.body["metadata"]["labels"]["one"], "1");
        object["metadata"]["labels"] = json!({});
        let bare = apply(&cluster, &path, "&force=true", &object).await;
        assert_eq!(bare.body["metadata"]["labels"].get("one"), None);
    }
}

#[tokio::test]
async fn a_double_field_is_refused_in_an_apply_that_changes_nothing() {
    let cluster = cluster().await;
    let body = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": {"n": "n", "n": "n"}}"#;
    let made = cluster.config_map("n", json!({})).await;
    let uri = format!("{CORE}/configmaps/n?fieldManager=me&fieldValidation=Strict");
    let request =
        http::Request::builder().method("PATCH").uri(uri).header("content-type", "application/apply-patch+yaml");
    let refused = cluster.send(crate::support::admin(), request.body(full(body)).expect("a request")).await;
    assert_eq!(refused.code, 400, "{refused:?}");
    assert_eq!(cluster.get(&format!("{CORE}/configmaps/n")).await.body, made.body);
}
