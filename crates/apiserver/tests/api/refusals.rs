//! Bad requests get the code and the words that clients know, and change nothing.

use serde_json::json;

use crate::support::cluster;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn every_refusal_says_why() {
    let cluster = cluster().await;
    cluster.config_map("taken", json!({})).await;
    let json = "application/json";
    let long = format!("{{\"data\":{{\"x\":\"{}\"}}}}", "x".repeat(3 << 20));
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        ("GET", "/api/v1/namespaces/default/configmaps/none", "", "", "404 configmaps \"none\" not found"),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/none", "", "", "404 deployments.apps \"none\" not found"),
        ("GET", "/api/v1/unheard", "", "", "404 the server could not find the requested resource"),
        ("GET", "/apis/unheard.example/v1/things", "", "", "404 text: 404 page not found"),
        ("PUT", CONFIG_MAPS, json, "{}", "405 the server does not allow this method on the requested resource"),
        ("POST", CONFIG_MAPS, json, r#"{"metadata":{"name":"taken"}}"#, "409 configmaps \"taken\" already exists"),
        (
            "POST",
            CONFIG_MAPS,
            json,
            r#"{"metadata":{"name":"Upper"}}"#,
            "422 ConfigMap \"Upper\" is invalid: metadata.name: Invalid value: \"Upper\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            "POST",
            CONFIG_MAPS,
            json,
            "{}",
            "422 ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            "POST",
            "/api/v1/namespaces/none/configmaps",
            json,
            r#"{"metadata":{"name":"a"}}"#,
            "404 namespaces \"none\" not found",
        ),
        (
            "POST",
            CONFIG_MAPS,
            json,
            r#"{"metadata":{"name":"a","namespace":"b"}}"#,
            "400 the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            "POST",
            CONFIG_MAPS,
            json,
            r#"{"apiVersion":"apps/v1","metadata":{"name":"a"}}"#,
            "400 ConfigMap in version \"v1\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"apps/v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        ),
        (
            "POST",
            CONFIG_MAPS,
            "application/xml",
            "<a/>",
            "415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            "POST",
            CONFIG_MAPS,
            json,
            "{\"data\":",
            "400 the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({\"data\":)",
        ),
        (
            "POST",
            CONFIG_MAPS,
            json,
            r#"{"metadata":{"name":"a"},"data":{"x":5}}"#,
            "400 ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        ("POST", CONFIG_MAPS, json, &long, "413 Request entity too large: limit is 3145728"),
        ("PATCH", "/api/v1/namespaces/default/configmaps/taken", json, "{}", "415 415: Unsupported Media Type"),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/taken",
            json,
            r#"{"metadata":{"name":"other"}}"#,
            "400 the name of the object (other) does not match the name on the URL (taken)",
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/none",
            json,
            r#"{"metadata":{"name":"none"}}"#,
            "404 configmaps \"none\" not found",
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/taken",
            json,
            r#"{"metadata":{"name":"taken","resourceVersion":"1"}}"#,
            "409 Operation cannot be fulfilled on configmaps \"taken\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/taken",
            json,
            r#"{"metadata":{"name":"taken","generateName":"Web-"}}"#,
            "422 ConfigMap \"taken\" is invalid: metadata.generateName: Invalid value: \"Web-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        ("GET", "/api/v1/pods?fieldSelector=spec.unheard%3Dx", "", "", "400 field label not supported: spec.unheard"),
        (
            "GET",
            "/apis/apps/v1/replicasets?fieldSelector=status.replicas%3D1",
            "",
            "",
            "400 \"status.replicas\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
        (
            "GET",
            "/api/v1/pods?resourceVersion=x",
            "",
            "",
            "400 invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "GET",
            "/api/v1/pods?watch=true&resourceVersion=-1",
            "",
            "",
            "500 resourceVersion: Invalid value: \"-1\": strconv.ParseUint: parsing \"-1\": invalid syntax",
        ),
        (
            "GET",
            "/api/v1/pods?resourceVersion=%C2%A0%22%1B%C3%A9",
            "",
            "",
            "400 invalid resource version: resourceVersion: Invalid value: \"\\u00a0\\\"\\x1bé\": strconv.ParseUint: parsing \"\\u00a0\\\"\\x1bé\": invalid syntax",
        ),
        (
            "GET",
            "/api/v1/pods?resourceVersionMatch=Exact",
            "",
            "",
            "422 ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "GET",
            "/api/v1/pods?watch=true&sendInitialEvents=true",
            "",
            "",
            "422 ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default",
            "",
            "",
            "403 namespaces \"default\" is forbidden: this namespace may not be deleted",
        ),
        ("GET", "/api/v1/namespaces/default/pods/a:b:c/proxy", "", "", "400 invalid pod request \"a:b:c\""),
        ("GET", "/api/v1/namespaces/default/services/:80/proxy", "", "", "400 invalid service request \":80\""),
        ("GET", "/api/v1/nodes/a:b:c:d/proxy", "", "", "400 invalid node request \"a:b:c:d\""),
        (
            "GET",
            "/api/v1/namespaces/default?resourceVersion=x",
            "",
            "",
            "500 resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default/configmaps/taken?gracePeriodSeconds=",
            "",
            "",
            "400 strconv.ParseInt: parsing \"\": invalid syntax",
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods/none/eviction",
            json,
            "{}",
            "400 name in URL does not match name in Eviction object",
        ),
        // A patch is read once it is known what is to be patched.
        (
            "PATCH",
            "/api/v1/namespaces/default/configmaps/none",
            "application/merge-patch+json",
            "[",
            "404 configmaps \"none\" not found",
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/default/deployments/none/scale",
            "application/strategic-merge-patch+json",
            "1",
            "404 deployments.apps \"none\" not found",
        ),
        ("DELETE", "/api/v1/namespaces//configmaps/taken", "", "", "400 Namespace parameter required."),
        (
            "POST",
            "/api/v1/namespaces//configmaps",
            json,
            r#"{"metadata": {"name": "a", "namespace": "default"}}"#,
            "422 ConfigMap \"a\" is invalid: metadata.namespace: Required value",
        ),
    ];
    let before = cluster.get(CONFIG_MAPS).await.body["items"].clone();
    for (method, uri, content_type, body, expected) in cases {
        let answer = cluster.ask(method, uri, content_type, body).await;
        assert_eq!(answer.text(), *expected, "{method} {uri} {}", &body[..body.len().min(80)]);
        let is_object = !expected.contains(" text: ");
        assert_eq!(answer.body["code"] == answer.code.as_u16(), is_object, "{method} {uri}");
    }
    assert_eq!(cluster.get(CONFIG_MAPS).await.body["items"], before);
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_about_or_ignored_as_asked() {
    let cluster = cluster().await;
    let body = r#"{"metadata":{"name":"a"},"unheard":1,"data":{}}"#;
    let strict = cluster.ask("POST", &format!("{CONFIG_MAPS}?fieldValidation=Strict"), "application/json", body).await;
    assert_eq!(
        strict.text(),
        "400 ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"unheard\""
    );
    let warned = cluster.ask("POST", &format!("{CONFIG_MAPS}?dryRun=All"), "application/json", body).await;
    assert_eq!(warned.code, 201);
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"unheard\\\"\"");
    assert_eq!(warned.body.get("unheard"), None);
    let ignored = cluster.ask("POST", &format!("{CONFIG_MAPS}?fieldValidation=Ignore"), "application/json", body).await;
    assert_eq!((ignored.code.as_u16(), ignored.headers.get("warning")), (201, None));
}

#[tokio::test]
async fn wrong_options_are_named_in_the_details() {
    let cluster = cluster().await;
    cluster.config_map("taken", json!({})).await;
    let of_collection = format!("{CONFIG_MAPS}?resourceVersionMatch=Exact");
    let of_watch = format!("{CONFIG_MAPS}?watch=true&sendInitialEvents=true");
    let of_object = format!("{CONFIG_MAPS}/taken");
    let body = r#"{"propagationPolicy":"Unheard","orphanDependents":true,"dryRun":["None"]}"#;
    let cause =
        |field: &str, reason: &str, message: &str| json!({"field": field, "reason": reason, "message": message});
    for (method, uri, body, kind, causes) in [
        (
            "GET",
            &of_collection,
            "",
            "ListOptions",
            json!([cause(
                "resourceVersionMatch",
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            )]),
        ),
        (
            "GET",
            &of_watch,
            "",
            "ListOptions",
            json!([cause(
                "resourceVersionMatch",
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )]),
        ),
        (
            "DELETE",
            &of_object,
            body,
            "DeleteOptions",
            json!([
                cause(
                    "propagationPolicy",
                    "FieldValueInvalid",
                    "Invalid value: \"Unheard\": orphanDependents and deletionPropagation cannot be both set"
                ),
                cause(
                    "propagationPolicy",
                    "FieldValueNotSupported",
                    "Unsupported value: \"Unheard\": \
                     supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                ),
                cause("dryRun", "FieldValueNotSupported", "Unsupported value: [\"None\"]: supported values: \"All\""),
            ]),
        ),
    ] {
        let answer = cluster.ask(method, uri, "application/json", body).await;
        let details = json!({"group": "meta.k8s.io", "kind": kind, "causes": causes});
        assert_eq!((answer.code.as_u16(), &answer.body["details"]), (422, &details), "{method} {uri}");
    }
}

const TEXT: &str = "404 text: 404 page not found";
const NONE: &str = "404 the server could not find the requested resource";
const METHOD: &str = "405 the server does not allow this method on the requested resource";

#[tokio::test]
async fn what_is_nowhere_is_refused_by_whoever_claims_its_beginning() {
    let cluster = cluster().await;
    let definition = json!({"metadata": {"name": "things.e.io"}, "spec": {
        "group": "e.io", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
    }});
    let made = cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    assert_eq!(made.code, 201, "{made:?}");
    for (method, uri, expected) in [
        ("GET", "/nope", TEXT),
        ("POST", "/nope", TEXT),
        ("GET", "/livez/nope", TEXT),
        ("GET", "/livez/", TEXT),
        ("GET", "/metrics/nope", TEXT),
        ("GET", "/debug/nope", TEXT),
        ("GET", "/openapi", TEXT),
        ("GET", "/openapi/v3/nope", "404"),
        ("GET", "/openid/v1/nope", TEXT),
        ("GET", "/openid/v1/jwks/nope", NONE),
        ("GET", "/version/nope", NONE),
        ("GET", "/version/", "200"),
        ("POST", "/version", METHOD),
        ("HEAD", "/version", "405"),
        ("GET", "//version", TEXT),
        ("GET", "//api/v1/pods", TEXT),
        ("GET", "/api/", "200"),
        ("GET", "/api/v2", NONE),
        ("POST", "/api/v1", METHOD),
        ("POST", "/api/v2", NONE),
        ("GET", "/api/v1/nope", NONE),
        ("GET", "/api/v1/namespaces/../../nope", NONE),
        ("GET", "/../api/v1/pods", TEXT),
        ("GET", "/api/v1/namespaces//configmaps?fieldSelector=%3D", "200"),
        ("DELETE", "/api/v1/configmaps", METHOD),
        ("PUT", "/api/v1/configmaps/a", NONE),
        ("TRACE", "/api/v1/configmaps", METHOD),
        ("OPTIONS", "/api/v1/namespaces/default/configmaps/taken", METHOD),
        ("HEAD", "/api/v1/configmaps", "405"),
        ("HEAD", "/api/v1/namespaces/default/configmaps/a/nope", "404"),
        ("GET", "/apis/apps/v9", NONE),
        ("GET", "/apis/apps/v1/nope", NONE),
        ("GET", "/apis/apps/v1/", "200"),
        ("GET", "/apis/nope.example", TEXT),
        ("GET", "/apis/nope.example/v1", TEXT),
        ("GET", "/apis/nope.example/v1/things", TEXT),
        ("GET", "/apis/e.io/v9", TEXT),
        ("GET", "/apis/e.io/v9/things", TEXT),
        ("GET", "/apis/e.io/v1/nope", TEXT),
        ("POST", "/apis/e.io/v1/things", TEXT),
        ("GET", "/apis/e.io/v1/namespaces/default/things/a/nope", "404 things.e.io \"a\" not found"),
        (
            "POST",
            "/apis/e.io/v1/namespaces/default/things/a/status",
            "405 create is not supported on resources of kind \"things.e.io\"",
        ),
        ("HEAD", "/apis/e.io/v1/namespaces/default/things", "200"),
        ("POST", "/healthz", "200"),
        ("POST", "/apis", "200"),
        ("POST", "/apis/apps", "200"),
        ("POST", "/apis/e.io/v1", "200"),
        ("GET", "/index.html", "200"),
    ] {
        let answer = cluster.ask(method, uri, "", "").await;
        assert_eq!(answer.text(), expected, "{method} {uri}");
    }
    let xml = cluster.ask("POST", "/apis/e.io/v1/namespaces/default/things", "application/xml", "<a/>").await;
    assert_eq!(
        xml.text(),
        "415 the body of the request was in an unknown format - accepted media types include: \
         application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    // Who may not ask is told so first.
    let stranger = || portolan_identity::User::new("jane", ["system:authenticated"]);
    for uri in ["/nope", "/livez/nope", "/apis/nope.example/v1/things"] {
        let answer = cluster.send(stranger(), crate::support::request("GET", uri, "", "")).await;
        assert_eq!((answer.code.as_u16(), &answer.body["reason"]), (403, &json!("Forbidden")), "{uri}");
    }
}

#[tokio::test]
async fn details_are_told_even_if_there_are_none() {
    let cluster = cluster().await;
    cluster.config_map("taken", json!({})).await;
    let patch = r#"[{"op":"remove","path":"/spec/none"}]"#;
    let of_taken = format!("{CONFIG_MAPS}/taken");
    let nothing = serde_json::Value::Null;
    for (method, uri, body, code, details) in [
        ("GET", "/api/v1/nope", "", 404, json!({})),
        ("PUT", CONFIG_MAPS, "{}", 405, json!({})),
        ("PATCH", &of_taken, patch, 422, json!({})),
        ("GET", "/api/v1/pods?fieldSelector=a%3Db", "", 400, nothing.clone()),
        ("POST", CONFIG_MAPS, "[", 400, nothing),
    ] {
        let content_type = if method == "PATCH" { "application/json-patch+json" } else { "application/json" };
        let answer = cluster.ask(method, uri, content_type, body).await;
        assert_eq!((answer.code.as_u16(), &answer.body["details"]), (code, &details), "{method} {uri}");
    }
    let stranger = portolan_identity::User::new("jane", ["system:authenticated"]);
    let answer = cluster.send(stranger, crate::support::request("GET", "/nope", "", "")).await;
    assert_eq!((answer.code.as_u16(), &answer.body["details"]), (403, &json!({})));
}
