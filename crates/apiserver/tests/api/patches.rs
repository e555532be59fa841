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
async fn values_of_wrong_types_are_told_as_upstreams_converter_does() {
    let cluster = cluster().await;
    let before = cluster.config_map("a", json!({})).await;
    let cases = [
        (r#"{"data":5}"#, "map[data:5]", "cannot restore map from int64"),
        (r#"{"data":{"a":5}}"#, "map[data:map[a:5]]", "cannot convert int64 to string"),
        (r#"{"data":{"a":1.5}}"#, "map[data:map[a:1.5]]", "unrecognized type: string"),
        (r#"{"immutable":1}"#, "map[immutable:1]", "unrecognized type: bool"),
        (r#"{"metadata":[]}"#, "map[metadata:[]]", "cannot restore struct from: slice"),
        (r#"{"metadata":{"finalizers":"x"}}"#, "map[metadata:map[finalizers:x]]", "cannot restore slice from string"),
        (r#"{"metadata":{"uid":5}}"#, "map[metadata:map[uid:5]]", "cannot convert int64 to types.UID"),
        (r#"{"kind":5}"#, "map[kind:5]", "cannot convert int64 to string"),
        (
            r#"{"binaryData":{"a":"!"}}"#,
            "map[binaryData:map[a:!]]",
            "error decoding from json: illegal base64 data at input byte 0",
        ),
    ];
    let path = format!("{CONFIG_MAPS}/a");
    for (patch, shown, why) in cases {
        let answer = cluster.ask("PATCH", &path, STRATEGIC, patch).await;
        assert_eq!(answer.text(), format!("422  \"\" is invalid: patch: Invalid value: \"{shown}\": {why}"), "{patch}");
    }
    assert_eq!(cluster.get(&path).await.body, before.body);
}

#[tokio::test]
async fn what_a_patched_object_is_called_matters_where_it_is_decoded() {
    let cluster = cluster().await;
    let before = cluster.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    for patch in [r#"{"kind":"Pod"}"#, r#"{"apiVersion":"v2"}"#, r#"{"apiVersion":null}"#] {
        let answer = cluster.ask("PATCH", &path, STRATEGIC, patch).await;
        assert_eq!((answer.code.as_u16(), &answer.body), (200, &before.body), "{patch}");
    }
    let scheme = "in scheme \"pkg/api/legacyscheme/scheme.go:30\"";
    let cases = [
        (MERGE, r#"{"kind":"Pod"}"#, "converting (v1.Pod) to (core.ConfigMap): unknown conversion".to_owned()),
        (MERGE, r#"{"kind":"Foo"}"#, format!("no kind \"Foo\" is registered for version \"v1\" {scheme}")),
        (MERGE, r#"{"apiVersion":"v2"}"#, format!("no kind \"ConfigMap\" is registered for version \"v2\" {scheme}")),
        (MERGE, r#"{"apiVersion":"a/b/c"}"#, "unexpected GroupVersion string: a/b/c".into()),
        (
            JSON,
            r#"[{"op":"replace","path":"/kind","value":5}]"#,
            "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string".into(),
        ),
    ];
    for (form, patch, why) in cases {
        let answer = cluster.ask("PATCH", &path, form, patch).await;
        assert_eq!(answer.code, 422, "{patch}");
        let text = answer.text();
        assert!(text.starts_with("422  \"\" is invalid: patch: Invalid value: \"{"), "{patch} {text}");
        assert!(text.ends_with(&format!(": {why}")), "{patch} {text}");
    }
    assert_eq!(cluster.ask("PATCH", &path, MERGE, r#"{"kind":null}"#).await.body, before.body);
    let lost = cluster.ask("PATCH", &path, MERGE, r#"{"apiVersion":null}"#).await;
    assert!(lost.text().starts_with("400 the name of the object (a based on URL) was undeterminable"), "{lost:?}");
    let strict = cluster.ask("PATCH", &format!("{path}?fieldValidation=Strict"), MERGE, r#"{"apiVersion":null}"#).await;
    let problems = r#"strict decoding error: unknown field "data", unknown field "metadata""#;
    assert!(strict.text().starts_with("422") && strict.text().ends_with(problems), "{strict:?}");
}

#[tokio::test]
async fn what_a_user_defined_says_what_it_is() {
    let cluster = cluster().await;
    let definition = json!({"metadata": {"name": "knobs.a.io"}, "spec": {
        "group": "a.io", "scope": "Namespaced", "names": {"plural": "knobs", "kind": "Knob"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
    }});
    let made = cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    assert_eq!(made.code, 201, "{made:?}");
    let knobs = "/apis/a.io/v1/namespaces/default/knobs";
    let knob = json!({"apiVersion": "a.io/v1", "kind": "Knob", "metadata": {"name": "a"}});
    let made = cluster.create(knobs, knob).await;
    assert_eq!(made.code, 201, "{made:?}");
    let (path, body) = (format!("{knobs}/a"), "application/json");
    let cases = [
        (
            "POST",
            knobs,
            body,
            r#"{"apiVersion":"a.io/v1"}"#,
            "400 the object provided is unrecognized (must be of type Knob): Object 'Kind' is missing in '{\"apiVersion\":\"a.io/v1\"}' ({\"apiVersion\":\"a.io/v1\"})",
        ),
        (
            "POST",
            knobs,
            body,
            r#"{"kind":"Knob"}"#,
            "400 the API version in the data () does not match the expected API version (a.io/v1)",
        ),
        (
            "POST",
            knobs,
            body,
            r#"{"apiVersion":"a.io/v1","kind":"Foo","metadata":{"name":"b"}}"#,
            "422 Foo.a.io \"b\" is invalid: kind: Invalid value: \"Foo\": must be Knob",
        ),
        (
            "PATCH",
            &path,
            MERGE,
            r#"{"kind":"Foo"}"#,
            "422 Foo.a.io \"a\" is invalid: kind: Invalid value: \"Foo\": must be Knob",
        ),
        (
            "PATCH",
            &path,
            MERGE,
            r#"{"apiVersion":"v2"}"#,
            "422 Knob \"a\" is invalid: apiVersion: Invalid value: \"v2\": must be a.io/v1",
        ),
    ];
    for (method, path, form, sent, expected) in cases {
        assert_eq!(cluster.ask(method, path, form, sent).await.text(), expected, "{sent}");
    }
    let lost = cluster.ask("PATCH", &path, MERGE, r#"{"kind":null}"#).await.text();
    assert!(lost.starts_with("422  \"\" is invalid: patch: Invalid value: \"{"), "{lost}");
    assert!(lost.contains("Object 'Kind' is missing in '{"), "{lost}");
    assert_eq!(cluster.get(&path).await.body, made.body);
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
