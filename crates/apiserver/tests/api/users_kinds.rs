//! Objects of users' kinds are refused in the words of the published API server.

use serde_json::{Value, json};

use crate::support::{Answer, Cluster, cluster, request};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const KNOBS: &str = "/apis/a.io/v1/namespaces/default/knobs";
const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A kind whose objects hold anything, with a second version that has no subresource.
async fn with_knobs() -> Cluster {
    let cluster = cluster().await;
    let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}},
        "inner": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        "n": {"type": "integer"}}});
    let status = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": status},
        "x-kubernetes-validations": [{"rule": "!has(self.spec) || !has(self.spec.n) || self.spec.n < 9"}]});
    let subresources = json!({"status": {}, "scale": {
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector"}});
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"metadata": {"name": "knobs.a.io"}, "spec": {
        "group": "a.io", "scope": "Namespaced", "names": {"plural": "knobs", "kind": "Knob"}, "versions": [
            {"name": "v1", "served": true, "storage": true, "subresources": subresources,
                "schema": {"openAPIV3Schema": schema}},
            {"name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": free}}]}});
    let made = cluster.create(DEFINITIONS, definition).await;
    assert_eq!(made.code, 201, "{made:?}");
    cluster
}

fn knob(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "a.io/v1", "kind": "Knob", "metadata": {"name": name}, "spec": spec})
}

fn told(answer: &Answer) -> String {
    if answer.code.is_success() { answer.code.as_u16().to_string() } else { answer.text() }
}

/// What is wrong with an object, one line for each error.
fn wrong(answer: &Answer) -> Vec<String> {
    let causes = answer.body["details"]["causes"].as_array().into_iter().flatten();
    let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    causes.map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message"))).collect()
}

#[tokio::test]
async fn an_object_says_itself_of_which_kind_it_is() {
    let cluster = with_knobs().await;
    assert_eq!(cluster.create(KNOBS, knob("a", &json!({}))).await.code, 201);
    let before = cluster.get(&format!("{KNOBS}/a")).await;
    let unnamed = r#"{"metadata":{"name":"b"}}"#;
    let revision = format!(
        r#"{{"apiVersion":"a.io/v1","kind":"Other","metadata":{{"name":"a","resourceVersion":"{}"}}}}"#,
        before.revision()
    );
    let other = "Other.a.io \"a\" is invalid: kind: Invalid value: \"Other\": must be Knob";
    let version = "the API version in the data () does not match the expected API version (a.io/v1)";
    let unrecognized = "the object provided is unrecognized (must be of type Knob): ";
    let cases: &[(&str, &str, &str, &str, String)] = &[
        ("POST", "", JSON, unnamed, format!("400 {unrecognized}Object 'Kind' is missing in '{unnamed}' ({unnamed})")),
        (
            "POST",
            "?fieldValidation=Ignore",
            JSON,
            unnamed,
            format!("400 Knob in version \"v1\" cannot be handled as a Knob: Object 'Kind' is missing in '{unnamed}'"),
        ),
        ("POST", "", JSON, "null", format!("400 {unrecognized}Object 'Kind' is missing in 'null' (6e756c6c)")),
        ("POST", "", JSON, r#"{"kind":"Knob","metadata":{"name":"b"}}"#, format!("400 {version}")),
        ("POST", "", JSON, r#"{"kind":"Other","metadata":{"name":"b"}}"#, format!("400 {version}")),
        (
            "POST",
            "",
            JSON,
            r#"{"apiVersion":"a.io/v1","kind":"Other","metadata":{"name":"a"}}"#,
            format!("422 {other}"),
        ),
        (
            "POST",
            "",
            JSON,
            r#"{"apiVersion":"a/b/c","kind":"Knob"}"#,
            format!("400 {unrecognized}unexpected GroupVersion string: a/b/c ({{\"apiVersion\":\"a/b/c\",\"kind\":\" ...)"),
        ),
        (
            "POST",
            "",
            JSON,
            r#"{"apiVersion":"a.io/v1","kind":"Knob","metadata":1}"#,
            "400 Knob in version \"v1\" cannot be handled as a Knob: json: cannot unmarshal number into Go value of type \
             v1.ObjectMeta"
                .to_owned(),
        ),
        ("POST", "/b", JSON, &knob("b", &json!({})).to_string(), "201".to_owned()),
        ("PUT", "", JSON, "{}", "400 name must be provided".to_owned()),
        ("PATCH", "", MERGE, "{}", "400 name must be provided".to_owned()),
        ("PUT", "/a", JSON, r#"{"kind":"Knob","metadata":{"name":"a"}}"#, format!("400 {version}")),
        ("PUT", "/a", JSON, &revision, format!("422 {other}")),
        ("PUT", "/a/status", JSON, &revision, "200".to_owned()),
        ("PATCH", "/a", MERGE, r#"{"kind":"Other"}"#, format!("422 {other}")),
        ("PATCH", "/a", JSON_PATCH, r#"[{"op":"replace","path":"/kind","value":"Other"}]"#, format!("422 {other}")),
        ("PATCH", "/a/status", MERGE, r#"{"kind":"Other"}"#, "200".to_owned()),
        (
            "PATCH",
            "/a",
            MERGE,
            r#"{"apiVersion":"v1","kind":"Pod"}"#,
            "422 Pod \"a\" is invalid: [kind: Invalid value: \"Pod\": must be Knob, apiVersion: Invalid value: \"v1\": \
             must be a.io/v1]"
                .to_owned(),
        ),
        (
            "PATCH",
            "/a",
            MERGE,
            r#"{"apiVersion":null}"#,
            "500 Internal error occurred: Object 'apiVersion' is missing in 'object has no apiVersion field'".to_owned(),
        ),
        (
            "PATCH",
            "/a",
            JSON_PATCH,
            r#"[{"op":"replace","path":"","value":{}}]"#,
            "422  \"\" is invalid: patch: Invalid value: \"{}\": Object 'Kind' is missing in '{}'".to_owned(),
        ),
        (
            "PATCH",
            "/new?fieldManager=m",
            APPLY,
            r#"{"apiVersion":"a.io/v1","kind":"Knob"}"#,
            "400 the name of the object (new based on URL) was undeterminable: name must be provided".to_owned(),
        ),
    ];
    for (method, path, form, body, expected) in cases {
        let answer = cluster.ask(method, &format!("{KNOBS}{path}"), form, body).await;
        assert_eq!(told(&answer), *expected, "{method} {path} {body}");
    }
    let after = cluster.get(&format!("{KNOBS}/a")).await;
    assert_eq!((&after.body["kind"], &after.body["spec"]), (&json!("Knob"), &json!({})));
}

#[tokio::test]
async fn what_is_wrong_is_told_in_upstreams_order() {
    let cluster = with_knobs().await;
    let unchecked = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
                     correct the existing errors to complete validation";
    let cases = [
        (
            json!({"n": 9, "replicas": "x", "tags": ["a", "a", "a"], "parts": [{"id": "p"}, {"id": "p"}]}),
            vec![
                ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64",
                "spec.parts[1]: Duplicate value: {\"id\":\"p\"}",
                "spec.tags[1]: Duplicate value: \"a\"",
                "<nil>: Invalid value: failed rule: !has(self.spec) || !has(self.spec.n) || self.spec.n < 9",
            ],
        ),
        (
            json!({"n": "x", "replicas": 1.5, "tags": ["a", "a"], "inner": {"kind": "A"}}),
            vec![
                "spec.n: Invalid value: \"string\": spec.n in body must be of type integer: \"string\"",
                ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: 1.5 is of the type float64, expected int64",
                "spec.inner.apiVersion: Required value",
                "spec.tags[1]: Duplicate value: \"a\"",
                unchecked,
            ],
        ),
        (json!({"replicas": -1}), vec![".spec.replicas: Invalid value: -1: should be a non-negative integer"]),
    ];
    for (spec, expected) in cases {
        assert_eq!(wrong(&cluster.create(KNOBS, knob("a", &spec)).await), expected, "{spec}");
    }
    let mut unnamed = knob("", &json!({"n": 9}));
    unnamed["metadata"] = json!({});
    let required = "metadata.name: Required value: name or generateName is required";
    assert_eq!(wrong(&cluster.create(KNOBS, unnamed).await), [required, unchecked]);
    assert_eq!(cluster.create(KNOBS, knob("a", &json!({}))).await.code, 201);
    let status = r#"{"status":{"replicas":"x","selector":1}}"#;
    let refused = cluster.ask("PATCH", &format!("{KNOBS}/a/status"), MERGE, status).await;
    let expected = [
        ".status.replicas: Invalid value: 0: .status.replicas accessor error: x is of the type string, expected int64",
        ".status.selector: Invalid value: \"\": .status.selector accessor error: 1 is of the type int64, expected string",
    ];
    assert_eq!(wrong(&refused), expected);
}

#[tokio::test]
async fn who_has_twins_in_a_list_may_have_others() {
    let cluster = with_knobs().await;
    let free =
        json!({"apiVersion": "a.io/v2", "kind": "Knob", "metadata": {"name": "a"}, "spec": {"tags": ["x", "x"]}});
    assert_eq!(cluster.create(&KNOBS.replace("v1", "v2"), free).await.code, 201);
    let other = r#"{"spec":{"tags":["y","y"]}}"#;
    assert_eq!(cluster.ask("PATCH", &format!("{KNOBS}/a"), MERGE, other).await.code, 200);
    assert_eq!(cluster.ask("PATCH", &format!("{KNOBS}/a"), MERGE, r#"{"spec":{"tags":["y"]}}"#).await.code, 200);
    let refused = cluster.ask("PATCH", &format!("{KNOBS}/a"), MERGE, other).await;
    assert_eq!(wrong(&refused), ["spec.tags[1]: Duplicate value: \"y\""]);
}

#[tokio::test]
async fn a_scale_is_of_an_object_that_has_one() {
    let cluster = with_knobs().await;
    assert_eq!(cluster.create(KNOBS, knob("none", &json!({}))).await.code, 201);
    assert_eq!(cluster.create(KNOBS, knob("zero", &json!({"replicas": 0}))).await.code, 201);
    let negative = |name: &str| {
        format!(
            "422 Knob.a.io \"{name}\" is invalid: .spec.replicas: Invalid value: -1: should be a non-negative integer"
        )
    };
    let missing = "500 Internal error occurred: the spec replicas field \".spec.replicas\" does not exist";
    let empty = "400 the spec replicas field \".spec.replicas\" cannot be empty";
    let cases: &[(&str, &str, &str, &str, String)] = &[
        ("GET", "none/scale", "", "", missing.to_owned()),
        ("PATCH", "none/scale", MERGE, r#"{"metadata":{"labels":{"a":"b"}}}"#, empty.to_owned()),
        ("PATCH", "none/scale", MERGE, r#"{"spec":{"replicas":-1}}"#, negative("none")),
        ("PATCH", "none/scale", MERGE, r#"{"spec":{"replicas":2}}"#, "200".to_owned()),
        ("GET", "none/scale", "", "", "200".to_owned()),
        ("GET", "zero/scale", "", "", "200".to_owned()),
        ("PUT", "zero/scale", JSON, r#"{"metadata":{"name":"zero"},"spec":{"replicas":-1}}"#, negative("zero")),
        (
            "PUT",
            "zero/scale",
            JSON,
            r#"{"spec":{"replicas":1}}"#,
            "400 the name of the object (zero based on URL) was undeterminable: name must be provided".to_owned(),
        ),
        (
            "PATCH",
            "zero/scale",
            MERGE,
            r#"{"metadata":{"name":"q"}}"#,
            "400 the name of the object (q) does not match the name on the URL (zero)".to_owned(),
        ),
    ];
    for (method, path, form, body, expected) in cases {
        let answer = cluster.ask(method, &format!("{KNOBS}/{path}"), form, body).await;
        assert_eq!(told(&answer), *expected, "{method} {path} {body}");
    }
    // None is what is not written.
    assert_eq!(cluster.get(&format!("{KNOBS}/zero/scale")).await.body["spec"], json!({}));
    let mut asked = request("GET", &format!("{KNOBS}/zero/scale"), "", "");
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    asked.headers_mut().insert("accept", table.parse().expect("a header"));
    let shown = cluster.send(crate::support::admin(), asked).await.body;
    let columns: Vec<&str> =
        shown["columnDefinitions"].as_array().expect("columns").iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(columns, ["string", "integer", "integer", "date"]);
    assert_eq!(shown["rows"][0]["cells"][1], Value::Null);
}

#[tokio::test]
async fn what_a_kind_does_not_have_is_told_of_the_object() {
    let cluster = with_knobs().await;
    let second = KNOBS.replace("v1", "v2");
    let not_found = "404 knobs.a.io \"a\" not found";
    let patches = "415 the body of the request was in an unknown format - accepted media types include: \
                   application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    let bodies = "415 the body of the request was in an unknown format - accepted media types include: application/json, \
                  application/yaml, application/vnd.kubernetes.protobuf";
    let cases: &[(&str, String, &str, &str)] = &[
        ("GET", format!("{KNOBS}/a/nope"), "", not_found),
        ("POST", format!("{KNOBS}/a/nope"), JSON, not_found),
        ("GET", format!("{second}/a/status"), "", not_found),
        ("PUT", format!("{second}/a/scale"), JSON, not_found),
        ("DELETE", format!("{KNOBS}/a/status"), "", "405 delete is not supported on resources of kind \"knobs.a.io\""),
        ("POST", format!("{KNOBS}/a/scale"), JSON, "405 create is not supported on resources of kind \"knobs.a.io\""),
        ("PATCH", format!("{KNOBS}/a"), "text/plain", patches),
        ("PATCH", format!("{KNOBS}/a"), "application/strategic-merge-patch+json", patches),
        ("PATCH", format!("{KNOBS}/a/scale"), "application/strategic-merge-patch+json", patches),
        ("POST", KNOBS.to_owned(), "text/plain", bodies),
    ];
    for (method, path, form, expected) in cases {
        assert_eq!(cluster.ask(method, path, form, "{}").await.text(), *expected, "{method} {path} {form}");
    }
}

#[tokio::test]
async fn the_documents_about_a_kind_are_those_of_upstream() {
    let cluster = with_knobs().await;
    let first = cluster.get("/apis/a.io/v1").await.body;
    let names: Vec<&str> =
        first["resources"].as_array().expect("resources").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["knobs", "knobs/status", "knobs/scale"]);
    let verbs = json!(["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]);
    assert_eq!(first["resources"][0]["verbs"], verbs);
    // The first bytes of the SHA-256 of `a.io/v1/Knob`: the version that is stored, whichever is asked for.
    let second = cluster.get("/apis/a.io/v2").await.body;
    let hash = json!("zGl0dHLxXBw=");
    assert_eq!([&first, &second].map(|it| &it["resources"][0]["storageVersionHash"]), [&hash, &hash]);
    assert_eq!(cluster.get(KNOBS).await.body["metadata"]["continue"], "");
    let deleted = cluster.delete(&format!("{DEFINITIONS}/knobs.a.io"), json!({})).await.body;
    let metadata = deleted["metadata"].as_object().expect("metadata");
    assert_eq!((metadata.get("deletionGracePeriodSeconds"), &metadata["generation"]), (None, &json!(1)));
    let refused = cluster.create(KNOBS, knob("late", &json!({}))).await.text();
    let text =
        "403 knobs.a.io \"late\" is forbidden: create not allowed while custom resource definition is terminating";
    assert_eq!(refused, text);
    let verbs = json!(["delete", "deletecollection", "get", "list", "watch"]);
    assert_eq!(cluster.get("/apis/a.io/v1").await.body["resources"][0]["verbs"], verbs);
}

#[tokio::test]
async fn a_refusal_comes_in_the_form_that_was_asked_for() {
    let cluster = with_knobs().await;
    assert_eq!(cluster.create(KNOBS, knob("a", &json!({}))).await.code, 201);
    let protobuf = "application/vnd.kubernetes.protobuf";
    let cases = [
        ("a", protobuf, 406, protobuf),
        ("a", "text/plain", 406, JSON),
        ("nope", "application/yaml", 404, "application/yaml"),
        ("nope", "application/yaml;as=Table;g=meta.k8s.io;v=v1", 404, JSON),
    ];
    for (name, accept, code, form) in cases {
        let mut asked = request("GET", &format!("{KNOBS}/{name}"), "", "");
        asked.headers_mut().insert("accept", accept.parse().expect("a header"));
        let answer = cluster.raw(crate::support::admin(), asked).await;
        let told = answer.headers()["content-type"].to_str().expect("text");
        assert_eq!((answer.status().as_u16(), told), (code, form), "{name} {accept}");
    }
}

#[tokio::test]
async fn what_one_version_has_as_a_whole_is_not_taken_apart() {
    let cluster = with_knobs().await;
    let spec = json!({"tags": ["x"], "parts": [{"id": "p"}], "n": 1});
    assert_eq!(cluster.create(KNOBS, knob("a", &spec)).await.code, 201);
    let apply = async |path: &str, version: &str, spec: Value| {
        let mut object = knob("a", &spec);
        object["apiVersion"] = version.into();
        let path = format!("{path}/a?fieldManager=m&force=true");
        cluster.ask("PATCH", &path, APPLY, &object.to_string()).await.body["spec"].clone()
    };
    let both = json!({"tags": ["x", "z"], "parts": [{"id": "p"}, {"id": "q"}], "n": 2, "mine": 1});
    let wanted = json!({"tags": ["z"], "parts": [{"id": "q"}], "n": 2, "mine": 1});
    assert_eq!(apply(KNOBS, "a.io/v1", wanted).await, both);
    // The second version knows nothing of what is in the lists: nobody can give up one item.
    let whole = json!({"tags": ["x", "z"], "parts": [{"id": "p"}, {"id": "q"}], "n": 3});
    assert_eq!(apply(&KNOBS.replace("v1", "v2"), "a.io/v2", json!({"n": 3})).await, whole);
}

#[tokio::test]
async fn who_writes_the_status_of_a_definition_says_what_is_stored() {
    let cluster = with_knobs().await;
    let path = format!("{DEFINITIONS}/knobs.a.io");
    let forgot = cluster.ask("PATCH", &format!("{path}/status"), MERGE, r#"{"status":{"storedVersions":[]}}"#).await;
    assert_eq!(forgot.code, 200, "{forgot:?}");
    assert_eq!(forgot.body["status"]["storedVersions"], json!(["v1"]));
    let other = cluster.ask("PATCH", &format!("{path}/status"), MERGE, r#"{"status":{"storedVersions":["v2"]}}"#).await;
    assert_eq!((other.code.as_u16(), &other.body["status"]["storedVersions"]), (200, &json!(["v2"])));
}

#[tokio::test]
async fn what_is_written_is_answered_as_it_is_kept() {
    let cluster = cluster().await;
    let schema = |name: &str, field: Value| {
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {
        "type": "object", "properties": {"a": {"type": "number"}, name: field}}}}})
    };
    let definition = json!({"metadata": {"name": "gears.a.io"}, "spec": {
        "group": "a.io", "scope": "Namespaced", "names": {"plural": "gears", "kind": "Gear"}, "versions": [
            {"name": "v1", "served": true, "storage": true,
                "schema": schema("old", json!({"type": "string", "default": "o"}))},
            {"name": "v2", "served": true, "storage": false,
                "schema": schema("new", json!({"type": "string", "default": "n"}))}]}});
    assert_eq!(cluster.create(DEFINITIONS, definition).await.code, 201);
    let [first, second] = ["v1", "v2"].map(|version| format!("/apis/a.io/{version}/namespaces/default/gears"));
    let gear =
        json!({"apiVersion": "a.io/v2", "kind": "Gear", "metadata": {"name": "a"}, "spec": {"a": 2.0, "new": "x"}});
    let dry = cluster.create(&format!("{second}?dryRun=All"), gear.clone()).await.body;
    let made = cluster.create(&second, gear).await.body;
    let patched = cluster.ask("PATCH", &format!("{second}/a"), MERGE, r#"{"spec":{"new":"y"}}"#).await.body;
    // What only the other version has is lost, and nothing is made up for it.
    for object in [dry, made, patched, cluster.get(&format!("{second}/a")).await.body] {
        assert_eq!(object["spec"].to_string(), r#"{"a":2}"#);
    }
    assert_eq!(cluster.get(&format!("{first}/a")).await.body["spec"], json!({"a": 2, "old": "o"}));
}

#[tokio::test]
async fn what_cannot_be_kept_in_a_number_is_refused() {
    let cluster = with_knobs().await;
    let wrong_type = "spec.n: Invalid value: \"number\": spec.n in body must be of type integer: \"number\"";
    let out_of_range = "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.n";
    let unchecked = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
                     correct the existing errors to complete validation";
    for number in ["1.5", "9223372036854775808"] {
        let body =
            format!(r#"{{"apiVersion":"a.io/v1","kind":"Knob","metadata":{{"name":"a"}},"spec":{{"n":{number}}}}}"#);
        let refused = cluster.ask("POST", KNOBS, JSON, &body).await;
        assert_eq!(wrong(&refused), [wrong_type, out_of_range, unchecked], "{number}");
    }
}

#[tokio::test]
async fn a_refusal_tells_what_was_to_be_warned_of() {
    let cluster = with_knobs().await;
    let mut object = knob("a", &json!({"replicas": -1}));
    object["more"] = 1.into();
    let refused = cluster.create(KNOBS, object.clone()).await;
    let warning = "299 - \"unknown field \\\"more\\\"\"";
    assert_eq!((refused.code.as_u16(), &refused.headers["warning"]), (422, &warning.parse().expect("a header")));
    assert_eq!(cluster.create(KNOBS, knob("a", &json!({}))).await.code, 201);
    let refused = cluster.ask("PATCH", &format!("{KNOBS}/a"), MERGE, r#"{"more":1,"spec":{"replicas":-1}}"#).await;
    assert_eq!((refused.code.as_u16(), &refused.headers["warning"]), (422, &warning.parse().expect("a header")));
    // The metadata of an object within comes last, whatever stands first.
    let inner = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"foo": 1}});
    let mut object = knob("b", &json!({"inner": inner}));
    (object["metadata"]["foo"], object["more"]) = (1.into(), 1.into());
    let refused = cluster.create(&format!("{KNOBS}?fieldValidation=Strict"), object).await;
    let text = "400 Knob in version \"v1\" cannot be handled as a Knob: strict decoding error: unknown field \
                \"metadata.foo\", unknown field \"more\", unknown field \"spec.inner.metadata.foo\"";
    assert_eq!(refused.text(), text);
    let inner = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 1}});
    let refused = cluster.create(KNOBS, knob("b", &json!({"inner": inner}))).await;
    let text = "400 Knob in version \"v1\" cannot be handled as a Knob: spec.inner.metadata: Invalid value: {\"name\":1}: \
                json: cannot unmarshal number into Go struct field ObjectMeta.name of type string";
    assert_eq!(refused.text(), text);
}
