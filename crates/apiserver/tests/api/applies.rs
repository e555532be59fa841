//! Server-side apply, who owns what, and patches that are refused.

use http::Request;
use portolan_apiserver::full;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, admin, cluster};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

fn whole(replicas: i64) -> Value {
    deployment(&json!({"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}))
}

/// A request with a user agent, which names its manager.
async fn ask_as(cluster: &Cluster, agent: &str, method: &str, uri: &str, content_type: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(uri).header("content-type", content_type);
    let request = request.header("user-agent", format!("{agent}/v1")).body(full(body.to_string())).expect("a request");
    cluster.send(admin(), request).await
}

async fn apply(cluster: &Cluster, manager: &str, path: &str, body: &Value) -> Answer {
    let mark = if path.contains('?') { '&' } else { '?' };
    cluster.ask("PATCH", &format!("{path}{mark}fieldManager={manager}"), APPLY, &body.to_string()).await
}

/// One line per manager: name, operation, subresource, fields.
fn owners(answer: &Answer) -> Vec<String> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    let entries = answer.body["metadata"]["managedFields"].as_array().into_iter().flatten();
    let line = |entry: &Value| {
        let parts = ["manager", "operation", "subresource", "apiVersion"].map(|name| text(entry, name));
        format!("{} {}", parts.join(" "), entry["fieldsV1"])
    };
    entries.map(line).collect()
}

#[tokio::test]
async fn a_conflict_has_one_cause_per_field() {
    let cluster = cluster().await;
    let made = ask_as(&cluster, "kubectl", "POST", DEPLOYMENTS, "application/json", &whole(1)).await;
    assert_eq!(made.code, 201, "{made:?}");
    let path = format!("{DEPLOYMENTS}/web");
    let mut wanted = whole(2);
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "j".into();
    let refused = apply(&cluster, "me", &path, &wanted).await;
    assert_eq!(
        refused.text(),
        "409 Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1:\n- .spec.replicas\n- \
         .spec.template.spec.containers[name=\"c\"].image"
    );
    assert_eq!(
        refused.body["details"]["causes"],
        json!([
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": ".spec.replicas"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1",
                "field": ".spec.template.spec.containers[name=\"c\"].image"},
        ])
    );
    let forced = apply(&cluster, "me", &format!("{path}?force=true"), &wanted).await;
    assert_eq!(forced.body["spec"]["replicas"], 2);
    // Again, later: nothing is written, and no time changes.
    cluster.clock.advance(std::time::Duration::from_secs(100));
    let again = apply(&cluster, "me", &path, &wanted).await;
    assert_eq!(again.body, forced.body);
    // What is given up and nobody else owns goes, and is filled in again.
    let fewer =
        deployment(&json!({"selector": {"matchLabels": {"app": "web"}}, "template": wanted["spec"]["template"]}));
    assert_eq!(apply(&cluster, "me", &path, &fewer).await.body["spec"]["replicas"], 1);
}

#[tokio::test]
async fn an_apply_of_nothing_but_a_name_writes_once() {
    let cluster = cluster().await;
    let cases = [
        ("/api/v1/namespaces/n", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})),
        (
            "/api/v1/namespaces/default/serviceaccounts/a",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}),
        ),
    ];
    for (path, object) in cases {
        let made = apply(&cluster, "me", path, &object).await;
        assert_eq!(made.code, 201, "{made:?}");
        for _ in 0..2 {
            cluster.clock.advance(std::time::Duration::from_secs(10));
            assert_eq!(apply(&cluster, "me", path, &object).await.body, made.body);
        }
    }
}

#[tokio::test]
async fn managers_are_forgotten_on_request() {
    let cluster = cluster().await;
    for (name, reset) in [("a", json!([{}])), ("b", json!([]))] {
        let path = &format!("/api/v1/namespaces/default/configmaps/{name}");
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "1"}});
        let made = apply(&cluster, "me", path, &object).await;
        assert_eq!(owners(&made).len(), 1, "{made:?}");
        let patch = json!({"metadata": {"managedFields": reset}}).to_string();
        let forgotten = cluster.ask("PATCH", path, MERGE, &patch).await;
        assert_eq!(owners(&forgotten), [""; 0]);
        let mut other = object.clone();
        other["data"]["x"] = "2".into();
        let refused = apply(&cluster, "me", path, &other).await;
        assert_eq!(
            refused.text(),
            "409 Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.x"
        );
    }
}

#[tokio::test]
async fn who_scales_owns_the_replicas() {
    let cluster = cluster().await;
    let path = format!("{DEPLOYMENTS}/web");
    let made = apply(&cluster, "me", &path, &whole(1)).await;
    assert_eq!(made.code, 201, "{made:?}");
    let scale = format!("{path}/scale");
    let mut wanted = cluster.get(&scale).await.body;
    wanted["spec"]["replicas"] = 3.into();
    let scaled = ask_as(&cluster, "kubectl", "PUT", &scale, "application/json", &wanted).await;
    assert_eq!((scaled.code.as_u16(), &scaled.body["spec"]["replicas"]), (200, &json!(3)), "{scaled:?}");
    let own = owners(&cluster.get(&path).await);
    assert_eq!(own.len(), 2, "{own:?}");
    assert_eq!(own[1], r#"kubectl Update scale apps/v1 {"f:spec":{"f:replicas":{}}}"#);
    assert!(!own[0].contains("f:replicas"), "{own:?}");
    let refused = apply(&cluster, "me", &path, &whole(1)).await;
    assert_eq!(
        refused.text(),
        "409 Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: \
         .spec.replicas"
    );
    let object = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 4}});
    let refused = apply(&cluster, "hpa", &scale, &object).await;
    assert_eq!(refused.code, 409, "{refused:?}");
    let taken = apply(&cluster, "hpa", &format!("{scale}?force=true"), &object).await;
    assert_eq!(taken.body["spec"]["replicas"], 4, "{taken:?}");
    let own = owners(&cluster.get(&path).await);
    let of_scale: Vec<&String> = own.iter().filter(|line| line.contains("f:replicas")).collect();
    assert_eq!(of_scale, [r#"hpa Apply scale apps/v1 {"f:spec":{"f:replicas":{}}}"#]);
}

#[tokio::test]
async fn the_status_is_owned_apart() {
    let cluster = cluster().await;
    let path = format!("{DEPLOYMENTS}/web");
    let mut object = whole(1);
    object["status"] = json!({"replicas": 7});
    let made = apply(&cluster, "me", &path, &object).await;
    assert!(!owners(&made)[0].contains("f:status"), "{made:?}");
    object["status"] = json!({"replicas": 1, "readyReplicas": 1, "availableReplicas": 1});
    object["metadata"]["labels"] = json!({"a": "b"});
    let status = apply(&cluster, "controller", &format!("{path}/status"), &object).await;
    assert_eq!(status.code, 200, "{status:?}");
    assert_eq!(status.body["metadata"].get("labels"), None);
    let own = owners(&status);
    let expected = r#"controller Apply status apps/v1 {"f:status":{"f:availableReplicas":{},"f:readyReplicas":{},"f:replicas":{}}}"#;
    assert!(own.iter().any(|line| line == expected), "{own:?}");
}

#[tokio::test]
async fn malformed_patches_are_refused_in_upstreams_words() {
    let cluster = cluster().await;
    let made = cluster.create(DEPLOYMENTS, whole(1)).await;
    assert_eq!(made.code, 201, "{made:?}");
    let path = format!("{DEPLOYMENTS}/web");
    let head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    let strategic = "application/strategic-merge-patch+json";
    let json_patch = "application/json-patch+json";
    let cases: Vec<(&str, &str, String, &str)> = vec![
        (
            "",
            APPLY,
            head.into(),
            "422 PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        (
            "?force=true",
            MERGE,
            "{}".into(),
            "422 PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
        ),
        ("?fieldManager=m", APPLY, "kind: Deployment".into(), "400 invalid object type: /, Kind=Deployment"),
        ("?fieldManager=m", APPLY, "apiVersion: v1\nkind: Pod".into(), "400 invalid object type: /v1, Kind=Pod"),
        (
            "?fieldManager=m",
            APPLY,
            format!("{head}spec: {{foo: 1}}"),
            "500 failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
        ),
        (
            "?fieldManager=m",
            APPLY,
            format!("{head}spec: {{replicas: x, template: {{spec: {{containers: [i]}}}}}}"),
            "500 failed to create typed patch object (/web; apps/v1, Kind=Deployment): errors:\n  .spec.replicas: expected numeric (int or float), got string\n  .spec.template.spec.containers: element 0: associative list with keys may not have non-map elements",
        ),
        (
            "?fieldManager=m",
            APPLY,
            format!("{head}spec: {{selector: [i], template: {{spec: {{nodeName: 5}}}}}}"),
            "500 failed to create typed patch object (/web; apps/v1, Kind=Deployment): errors:\n  .spec.selector: expected map, got &{[i]}\n  .spec.template.spec.nodeName: expected string, got &value.valueUnstructured{Value:5}",
        ),
        // Whoever has no name has an empty one.
        (
            "?fieldManager=m",
            APPLY,
            format!("{head}spec: {{template: {{spec: {{containers: [{{image: i}}]}}}}}}"),
            "containers[1].name: Required value",
        ),
        (
            "?fieldManager=m&force=true",
            APPLY,
            format!("{head}spec: {{replicas: 1.5}}"),
            "500 failed to convert new object (/web; apps/v1, Kind=Deployment) to proper version: unable to convert unstructured object to apps/v1, Kind=Deployment: cannot convert float64 to int32",
        ),
        (
            "",
            strategic,
            r#"{"$patch": "unheard"}"#.into(),
            "500 unknown patch type: unheard in map: map[$patch:unheard]",
        ),
        (
            "",
            strategic,
            r#"{"spec": {"$patch": 5}}"#.into(),
            "500 unknown patch type: %!s(int64=5) in map: map[$patch:5]",
        ),
        (
            "?fieldManager=m",
            APPLY,
            format!("{head}  managedFields: [{{}}]").replace("{name: web}\n", "\n  name: web\n"),
            "400 metadata.managedFields must be nil",
        ),
        (
            "?fieldManager=m",
            APPLY,
            head.replace("web", "other"),
            "400 the name of the object (other) does not match the name on the URL (web)",
        ),
        (
            "",
            json_patch,
            r#"[{"op": "test", "path": "/spec/replicas", "value": 2}]"#.into(),
            "422 the server rejected our request due to an error in our request",
        ),
        (
            "",
            MERGE,
            "[]".into(),
            "400 error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "?fieldValidation=Strict",
            MERGE,
            r#"{"spec": {"foo": 1}, "spec": {"bar": 1}}"#.into(),
            "strict decoding error: duplicate field \"spec\", unknown field \"spec.bar\"",
        ),
        (
            "?fieldValidation=Strict",
            strategic,
            r#"{"spec": {"foo": 1}}"#.into(),
            "422  \"\" is invalid: patch: Invalid value: \"map[spec:map[foo:1]]\": strict decoding error: unknown field \"spec.foo\"",
        ),
        (
            "",
            strategic,
            r#"{"spec": {"replicas": "x"}}"#.into(),
            "422  \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:x]]\": unrecognized type: int32",
        ),
        (
            "",
            strategic,
            r#"{"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}"#.into(),
            "500 map: map[image:x] does not contain declared merge key: name",
        ),
        (
            "",
            strategic,
            r#"{"spec": {"$retainKeys": ["a"], "replicas": 1}}"#.into(),
            "400 invalid patch format of retainKeys",
        ),
    ];
    for (query, content_type, body, expected) in cases {
        let answer = cluster.ask("PATCH", &format!("{path}{query}"), content_type, &body).await;
        assert!(answer.text().ends_with(expected), "{body}: {}", answer.text());
    }
    assert_eq!(cluster.get(&path).await.body, made.body);
}

/// As charts render it.
fn rendered() -> Value {
    let mut object = whole(1);
    object["metadata"]["labels"] = json!({});
    let pod = &mut object["spec"]["template"]["spec"];
    for (name, value) in [
        ("nodeSelector", json!({})),
        ("tolerations", json!([])),
        ("imagePullSecrets", json!([])),
        ("volumes", json!([])),
        ("hostNetwork", json!(false)),
        ("affinity", json!({})),
        ("enableServiceLinks", json!(false)),
    ] {
        pod[name] = value;
    }
    pod["containers"][0]["env"] = json!([]);
    pod["containers"][0]["args"] = json!([]);
    pod["containers"][0]["tty"] = json!(false);
    object
}

#[tokio::test]
async fn what_go_clients_would_leave_out_is_not_there() {
    let cluster = cluster().await;
    let made = cluster.create(DEPLOYMENTS, rendered()).await;
    assert_eq!(made.code, 201, "{made:?}");
    let shown = |answer: &Answer| {
        let pod = &answer.body["spec"]["template"]["spec"];
        let names =
            |value: &Value| value.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        assert_eq!(answer.body["metadata"]["labels"], Value::Null);
        [names(pod), names(&pod["containers"][0])].map(|names| names.join(" ")).join("; ")
    };
    let expected = "affinity containers dnsPolicy enableServiceLinks restartPolicy schedulerName securityContext \
                    terminationGracePeriodSeconds; image imagePullPolicy name resources terminationMessagePath \
                    terminationMessagePolicy";
    assert_eq!(shown(&made), expected);
    let path = format!("{DEPLOYMENTS}/web");
    // Reading and writing back changes nothing, whether with or without them.
    for body in [made.body.clone(), rendered()] {
        let same = cluster.update(&path, &body).await;
        assert_eq!((same.code.as_u16(), &same.body["metadata"]["generation"]), (200, &json!(1)), "{same:?}");
    }
    for (kind, patch) in [
        (MERGE, json!({"spec": {"template": {"spec": {"nodeSelector": {}, "hostPID": false}}}})),
        ("application/strategic-merge-patch+json", json!({"spec": {"template": {"spec": {"tolerations": []}}}})),
        ("application/json-patch+json", json!([{"op": "add", "path": "/spec/template/spec/volumes", "value": []}])),
    ] {
        let patched = cluster.ask("PATCH", &path, kind, &patch.to_string()).await;
        assert_eq!((patched.code.as_u16(), &patched.body["metadata"]["generation"]), (200, &json!(1)), "{patched:?}");
        assert_eq!(shown(&patched), expected);
    }
    // Who applies them owns them as he wrote them, and yet they are not there.
    let applied = apply(&cluster, "me", &format!("{path}?force=true"), &rendered()).await;
    assert_eq!((applied.code.as_u16(), &applied.body["metadata"]["generation"]), (200, &json!(1)), "{applied:?}");
    assert_eq!(shown(&applied), expected);
    let mine = owners(&applied).into_iter().find(|line| line.starts_with("me Apply")).expect("an owner");
    assert!(mine.contains("\"f:nodeSelector\":{}") && mine.contains("\"f:hostNetwork\":{}"), "{mine}");
    let again = apply(&cluster, "me", &path, &rendered()).await;
    assert_eq!(again.body["metadata"]["resourceVersion"], applied.body["metadata"]["resourceVersion"]);
    let scaled = cluster.ask("PATCH", &format!("{path}/scale"), MERGE, r#"{"spec":{"replicas":0}}"#).await;
    assert_eq!(scaled.code, 200, "{scaled:?}");
    assert_eq!(cluster.get(&path).await.body["spec"]["replicas"], 0);
}

#[tokio::test]
async fn a_default_is_part_of_the_key_of_an_item() {
    let cluster = cluster().await;
    let item = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "proto": {"type": "string", "default": "TCP"}, "port": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"items": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "proto"], "items": item}}}}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gates.a.io"},
        "spec": {"group": "a.io", "scope": "Namespaced", "names": {"plural": "gates", "kind": "Gate"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let made = cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    assert_eq!(made.code, 201, "{made:?}");
    let path = "/apis/a.io/v1/namespaces/default/gates/g";
    let gate = |port: i64| json!({"apiVersion": "a.io/v1", "kind": "Gate", "metadata": {"name": "g"}, "spec": {"items": [{"name": "x", "port": port}]}});
    for port in [1, 1, 2] {
        let applied = apply(&cluster, "me", path, &gate(port)).await;
        assert!(applied.code.is_success(), "{applied:?}");
        assert_eq!(applied.body["spec"]["items"], json!([{"name": "x", "port": port, "proto": "TCP"}]));
        let expected = r#"me Apply - a.io/v1 {"f:spec":{"f:items":{"k:{\"name\":\"x\",\"proto\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}}"#;
        assert_eq!(owners(&applied), [expected]);
    }
}

#[tokio::test]
async fn a_refused_apply_shows_what_came_empty_as_any_other_write() {
    let cluster = cluster().await;
    let mut manifest = whole(1);
    manifest["spec"]["template"]["metadata"]["labels"] = json!({});
    let created = cluster.create(DEPLOYMENTS, manifest.clone()).await.text();
    assert!(created.contains("spec.template.metadata.labels: Invalid value: {}"), "{created}");
    let applied = apply(&cluster, "me", &format!("{DEPLOYMENTS}/web"), &manifest).await.text();
    assert_eq!(applied, created);
}
