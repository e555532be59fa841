//! Patches that stock clients send and that upstream takes or refuses in its own way.

use serde_json::json;

use crate::support::cluster;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// What upstream says of a list of operations that does not fit.
const UNFIT: &str = "422 the server rejected our request due to an error in our request";

#[tokio::test]
async fn what_is_no_patch_is_refused_in_upstreams_words() {
    let cluster = cluster().await;
    let before = cluster.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let unnamed = "400 the name of the object (a based on URL) was undeterminable: name must be provided";
    let no_map =
        |found: &str| format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
    let cases = [
        (JSON, r#"[{"op":"add","path":"","value":{}}]"#, UNFIT.to_owned()),
        (JSON, r#"[{"op":"frob","path":"/data/n"}]"#, UNFIT.to_owned()),
        (JSON, r#"[{"path":"/data/n"}]"#, UNFIT.to_owned()),
        (JSON, r#"[{"op":"remove","path":"/metadata/name"}]"#, unnamed.to_owned()),
        (
            JSON,
            "[1]",
            "400 error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp".into(),
        ),
        (MERGE, r#"{"metadata":{"name":null}}"#, unnamed.to_owned()),
        (STRATEGIC, r#"{"metadata":{"name":null}}"#, unnamed.to_owned()),
        (MERGE, "null", "400 Invalid JSON Patch".into()),
        (MERGE, "[1]", format!("400 error decoding patch: {}", no_map("array"))),
        (STRATEGIC, "[1]", format!("400 {}", no_map("array"))),
        (STRATEGIC, "null", "200".into()),
    ];
    for (form, patch, expected) in cases {
        let answer = cluster.ask("PATCH", &path, form, patch).await;
        let told = if answer.code == 200 { "200".to_owned() } else { answer.text() };
        assert_eq!(told, expected, "{form} {patch}");
        assert_eq!(cluster.get(&path).await.body, before.body, "{form} {patch}");
    }
}

#[tokio::test]
async fn fields_that_no_operation_has_are_warned_of_or_refused() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    let patch = r#"[{"op":"test","path":"/data/n","value":"a","foo":1}]"#;
    let warned = cluster.ask("PATCH", &format!("{CONFIG_MAPS}/a"), JSON, patch).await;
    assert_eq!(warned.code, 200, "{warned:?}");
    assert_eq!(warned.headers["warning"], "299 - \"json patch unknown field \\\"[0].foo\\\"\"");
    let refused = cluster.ask("PATCH", &format!("{CONFIG_MAPS}/a?fieldValidation=Strict"), JSON, patch).await;
    assert_eq!(refused.code, 422, "{refused:?}");
}

#[tokio::test]
async fn an_owner_that_is_named_twice_is_one() {
    let cluster = cluster().await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u-1"});
    let map = json!({"metadata": {"name": "a", "ownerReferences": [owner, owner]}});
    let made = cluster.create(CONFIG_MAPS, map.clone()).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(made.body["metadata"]["ownerReferences"], json!([owner]));
    let warning = made.headers["warning"].to_str().expect("a text");
    assert!(warning.contains("duplicate entries; API server dedups owner references"), "{warning}");
    let patched = cluster.ask("PATCH", &format!("{CONFIG_MAPS}/a"), MERGE, &map.to_string()).await;
    assert_eq!(patched.body["metadata"]["ownerReferences"], json!([owner]));
    let warning = patched.headers["warning"].to_str().expect("a text");
    assert!(warning.contains("duplicate entries after mutating admission happens; API server"), "{warning}");
    assert_eq!(patched.revision(), made.revision(), "nothing changed");
}
