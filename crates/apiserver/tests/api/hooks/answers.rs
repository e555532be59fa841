//! What hooks may answer, and what comes of it.

use serde_json::{Value, json};

use super::server::Hook;
use super::{CONFIG_MAPS, MUTATING, VALIDATING, hook, patch, register};
use crate::support::cluster;

#[tokio::test]
async fn a_hook_names_what_is_new_and_moves_nothing() {
    let cluster = cluster().await;
    // What a ConfigMap says is how it is to be changed.
    let server = Hook::start(&cluster, |_, request| match request["object"]["data"]["patch"].as_str() {
        Some(text) => patch(&serde_json::from_str(text).expect("a patch")),
        None => json!({"allowed": true}),
    })
    .await;
    register(&cluster, MUTATING, "a", &[hook("moves", server.url("x"), &["configmaps"])]).await;
    let with = |name: &str, operation: &str, field: &str, value: &Value| {
        let text = json!([{"op": operation, "path": field, "value": value}]).to_string();
        json!({"metadata": {"name": name}, "data": {"patch": text}})
    };
    let made = cluster.create(CONFIG_MAPS, with("old", "replace", "/metadata/name", &json!("new"))).await;
    assert_eq!((made.code.as_u16(), &made.body["metadata"]["name"]), (201, &json!("new")), "{made:?}");
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/old")).await.code, 404);
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/new")).await.body["metadata"]["name"], "new");
    let made = cluster.create(CONFIG_MAPS, with("a", "add", "/metadata/uid", &json!("mine"))).await;
    assert_ne!(made.body["metadata"]["uid"], "mine");
    let elsewhere = "400 the namespace of the provided object does not match the namespace sent on the request";
    let created = [
        ("replace", "/metadata/namespace", json!("other"), elsewhere),
        (
            "add",
            "/metadata/resourceVersion",
            json!("5"),
            "500 resourceVersion should not be set on objects to be created",
        ),
        (
            "replace",
            "/kind",
            json!("Nope"),
            "500 Internal error occurred: no kind \"Nope\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        ),
        (
            "replace",
            "",
            json!([]),
            "500 Internal error occurred: couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }",
        ),
    ];
    for (operation, field, value, expected) in created {
        let refused = cluster.create(CONFIG_MAPS, with("b", operation, field, &value)).await;
        assert_eq!(refused.text(), expected, "{field}");
    }
    let changed = [
        (
            "replace",
            "/metadata/name",
            json!("z"),
            "422 ConfigMap \"z\" is invalid: metadata.name: Invalid value: \"z\": field is immutable",
        ),
        ("replace", "/metadata/namespace", json!("other"), elsewhere),
        (
            "replace",
            "/metadata/resourceVersion",
            json!("1"),
            "409 Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
        ),
    ];
    let path = format!("{CONFIG_MAPS}/a");
    for (operation, field, value, expected) in changed {
        let body = with("a", operation, field, &value).to_string();
        let refused = cluster.ask("PATCH", &path, "application/merge-patch+json", &body).await;
        assert_eq!(refused.text(), expected, "{field}");
    }
}

#[tokio::test]
async fn all_of_a_refusal_is_passed_on() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |_, request| {
        let told = request["object"]["data"]["status"].as_str().unwrap_or("null");
        json!({"allowed": false, "status": serde_json::from_str::<Value>(told).expect("a status")})
    })
    .await;
    register(&cluster, VALIDATING, "a", &[hook("deny", server.url("x"), &["configmaps"])]).await;
    let cases = [
        (json!(null), 400, json!(null), json!("Failure")),
        (json!({"code": 200, "status": "Success"}), 400, json!(null), json!("Failure")),
        (json!({"code": 999, "status": "Odd"}), 999, json!(null), json!("Odd")),
        (
            json!({"code": 429, "details": {"retryAfterSeconds": 3, "nope": 1, "causes": []}}),
            429,
            json!({"retryAfterSeconds": 3}),
            json!("Failure"),
        ),
    ];
    for (status, code, details, outcome) in cases {
        let map = json!({"metadata": {"name": "a"}, "data": {"status": status.to_string()}});
        let refused = cluster.create(CONFIG_MAPS, map).await;
        let told = (refused.code.as_u16(), &refused.body["details"], &refused.body["status"]);
        assert_eq!(told, (code, &details, &outcome), "{status}");
        let later = refused.headers.get("retry-after").and_then(|later| later.to_str().ok());
        assert_eq!(later, details.get("retryAfterSeconds").map(|_| "3"), "{status}");
    }
}
