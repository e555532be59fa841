//! Nobody grants what he does not have.

use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster, request};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn ann() -> User {
    User::new("ann", ["dev"])
}

async fn as_ann(cluster: &Cluster, method: &str, path: &str, body: &Value) -> String {
    let uri = format!("{RBAC}{path}");
    cluster.send(ann(), request(method, &uri, "application/json", &body.to_string())).await.text()
}

async fn grant(cluster: &Cluster, name: &str, rules: Value) {
    let role = json!({"metadata": {"name": name}, "rules": rules});
    let binding = json!({
        "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "User", "name": "ann"}],
    });
    assert_eq!(cluster.create(&format!("{RBAC}/clusterroles"), role).await.code, 201);
    assert_eq!(cluster.create(&format!("{RBAC}/clusterrolebindings"), binding).await.code, 201);
}

#[tokio::test]
async fn roles_and_bindings_grant_only_what_their_writer_has() {
    let cluster = cluster().await;
    let api = "rbac.authorization.k8s.io";
    grant(
        &cluster,
        "own",
        json!([
            {"apiGroups": [api], "resources": ["roles", "rolebindings", "clusterroles"], "verbs": ["*"], "resourceNames": ["unused"]},
            {"apiGroups": [api], "resources": ["roles", "rolebindings", "clusterroles"], "verbs": ["create", "update", "get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        ]),
    )
    .await;
    let role = |verbs: Value| json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]});
    let roles = "/namespaces/default/roles";
    assert_eq!(as_ann(&cluster, "POST", roles, &role(json!(["get"]))).await, "201");
    assert_eq!(
        as_ann(&cluster, "PUT", &format!("{roles}/r"), &role(json!(["get", "list", "watch"]))).await,
        "403 roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"ann\" (groups=[\"dev\" \"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}"
    );
    let binding = |kind: &str, name: &str| json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": api, "kind": kind, "name": name}, "subjects": [{"kind": "User", "name": "bob"}]});
    let bindings = "/namespaces/default/rolebindings";
    let refused = as_ann(&cluster, "POST", bindings, &binding("ClusterRole", "system:aggregate-to-view")).await;
    assert!(refused.contains("is attempting to grant RBAC permissions not currently held:\n{APIGroups:"), "{refused}");
    assert_eq!(
        as_ann(&cluster, "POST", bindings, &binding("Role", "none")).await,
        "404 roles.rbac.authorization.k8s.io \"none\" not found"
    );
    assert_eq!(
        as_ann(&cluster, "POST", bindings, &binding("Rolls", "r")).await,
        "500 unsupported role reference kind: \"Rolls\""
    );
    assert_eq!(as_ann(&cluster, "POST", bindings, &binding("Role", "r")).await, "201");
    let aggregating = json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let refused = as_ann(&cluster, "POST", "/clusterroles", &aggregating).await;
    assert_eq!(
        refused,
        "403 clusterroles.rbac.authorization.k8s.io \"sum\" is forbidden: must have cluster-admin privileges to use the \
         aggregationRule"
    );
    // With these verbs one may.
    grant(
        &cluster,
        "trusted",
        json!([
            {"apiGroups": [api], "resources": ["roles"], "verbs": ["escalate"]},
            {"apiGroups": [api], "resources": ["clusterroles"], "verbs": ["bind"], "resourceNames": ["system:aggregate-to-view"]},
        ]),
    )
    .await;
    assert_eq!(as_ann(&cluster, "PUT", &format!("{roles}/r"), &role(json!(["get", "list", "watch"]))).await, "200");
    let mut view = binding("ClusterRole", "system:aggregate-to-view");
    view["metadata"]["name"] = "v".into();
    assert_eq!(as_ann(&cluster, "POST", bindings, &view).await, "201");
}

#[tokio::test]
async fn who_changes_anything_of_a_role_has_what_it_grants() {
    let cluster = cluster().await;
    let all = json!(["create", "get", "update", "patch"]);
    let resources = json!(["clusterroles", "clusterrolebindings"]);
    let api = "rbac.authorization.k8s.io";
    grant(&cluster, "own", json!([{"apiGroups": [api], "resources": resources, "verbs": all}])).await;
    let send = async |method: &str, path: &str, content_type: &str, body: &Value| {
        let uri = format!("{RBAC}{path}");
        cluster.send(ann(), request(method, &uri, content_type, &body.to_string())).await.text()
    };
    let (merge, apply) = ("application/merge-patch+json", "application/apply-patch+yaml");
    let refused = |text: &str| text.starts_with("403 ") && text.contains("is attempting to grant RBAC permissions");
    let aggregated = format!("{api}/aggregate-to-edit");
    for (path, kind) in
        [("/clusterroles/cluster-admin", "ClusterRole"), ("/clusterrolebindings/cluster-admin", "ClusterRoleBinding")]
    {
        let before = cluster.get(&format!("{RBAC}{path}")).await.body;
        let manifest = |labels: Value| json!({"apiVersion": format!("{api}/v1"), "kind": kind, "metadata": {"name": "cluster-admin", "labels": labels}});
        // Somebody applied it before: the next apply finds the path to its labels.
        let (uri, first) = (format!("{RBAC}{path}?fieldManager=m"), manifest(json!({"of.mine": "a"})));
        assert_eq!(cluster.ask("PATCH", &uri, apply, &first.to_string()).await.code, 200);
        for label in [aggregated.as_str(), "of.mine", "other"] {
            let labels = json!({label: "true"});
            let apply_path = format!("{path}?fieldManager=m&force=true");
            let mut whole = cluster.get(&format!("{RBAC}{path}")).await.body;
            whole["metadata"]["labels"][label] = "true".into();
            for (method, path, content_type, body) in [
                ("PATCH", path, merge, json!({"metadata": {"labels": labels}})),
                ("PUT", path, "application/json", whole),
                ("PATCH", &apply_path, apply, manifest(labels.clone())),
            ] {
                let answer = send(method, path, content_type, &body).await;
                assert!(refused(&answer), "{method} {path} {content_type} {label}: {answer}");
            }
        }
        // What grants nothing: the same again, and what the collector of garbage writes.
        let apply_path = format!("{path}?fieldManager=m");
        assert_eq!(send("PATCH", &apply_path, apply, &manifest(json!({"of.mine": "a"}))).await, "200");
        let held = json!({"metadata": {"finalizers": ["example.com/mine"]}});
        assert_eq!(send("PATCH", path, merge, &held).await, "200");
        assert_eq!(send("PATCH", path, merge, &json!({"metadata": {"finalizers": null}})).await, "200");
        let whole = cluster.get(&format!("{RBAC}{path}")).await.body;
        assert_eq!(send("PUT", path, "application/json", &whole).await, "200");
        // The server cannot know that it would change nothing before it has filled in what is left out.
        for name in ["uid", "resourceVersion", "creationTimestamp"] {
            let mut part = whole.clone();
            part["metadata"].as_object_mut().expect("an object").remove(name);
            let answer = send("PUT", path, "application/json", &part).await;
            assert!(refused(&answer), "{path} without {name}: {answer}");
        }
        // What is wrong as well is not looked at.
        let mut wrong = whole.clone();
        wrong["metadata"]["labels"]["?"] = "".into();
        let answer = send("PUT", path, "application/json", &wrong).await;
        assert!(refused(&answer), "{path}: {answer}");
        let after = cluster.get(&format!("{RBAC}{path}")).await.body;
        assert_eq!((&after["rules"], &after["subjects"]), (&before["rules"], &before["subjects"]));
        assert_eq!(after["metadata"]["labels"]["of.mine"], "a");
        assert_eq!(after["metadata"]["labels"].get(&aggregated), None);
    }
    // What she has she may label.
    assert_eq!(
        send("PATCH", "/clusterroles/own", merge, &json!({"metadata": {"labels": {"of.mine": "a"}}})).await,
        "200"
    );
}

#[tokio::test]
async fn a_name_in_the_selector_of_a_list_counts_as_its_name() {
    let cluster = cluster().await;
    grant(
        &cluster,
        "one",
        json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"], "resourceNames": ["a"]}]),
    )
    .await;
    for (query, code) in
        [("?fieldSelector=metadata.name%3Da", 200), ("?fieldSelector=metadata.name%3Db", 403), ("", 403)]
    {
        let uri = format!("/api/v1/namespaces/default/secrets{query}");
        assert_eq!(cluster.send(ann(), request("GET", &uri, "", "")).await.code, code, "{query}");
    }
}

#[tokio::test]
async fn questions_about_access_are_checked_and_know_any_verb() {
    let cluster = cluster().await;
    grant(&cluster, "use", json!([{"apiGroups": ["x.io"], "resources": ["things"], "verbs": ["use"]}])).await;
    let ask = async |resource: &str, spec: Value| {
        let uri = format!("/apis/authorization.k8s.io/v1/{resource}");
        cluster.create(&uri, json!({"spec": spec})).await
    };
    let attributes = |verb: &str| json!({"verb": verb, "group": "x.io", "resource": "things"});
    for (verb, allowed) in [("use", true), ("get", false), ("other", false)] {
        let answer = ask("subjectaccessreviews", json!({"user": "ann", "resourceAttributes": attributes(verb)})).await;
        assert_eq!(answer.body["status"]["allowed"], allowed, "{verb}: {answer:?}");
    }
    let mut narrowed = attributes("use");
    narrowed["fieldSelector"] = json!({"rawSelector": "a"});
    let answer = ask("subjectaccessreviews", json!({"user": "ann", "resourceAttributes": narrowed})).await;
    assert_eq!(
        answer.body["status"]["evaluationError"],
        "spec.resourceAttributes.fieldSelector ignored due to parse error"
    );
    for (resource, spec, expected) in [
        (
            "selfsubjectaccessreviews",
            json!({}),
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "subjectaccessreviews",
            json!({"resourceAttributes": attributes("get")}),
            "at least one of user or group must be specified",
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            json!({"user": "a", "resourceAttributes": {"namespace": "other", "verb": "get"}}),
            "422 .authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace",
        ),
    ] {
        let answer = ask(resource, spec).await;
        assert!(answer.text().contains(expected), "{resource}: {answer:?}");
        assert!(answer.body["details"].get("kind").is_none(), "{resource}: {answer:?}");
    }
}

#[tokio::test]
async fn questions_about_access_say_nothing_of_themselves() {
    let cluster = cluster().await;
    let ask = async |resource: &str, metadata: Value| {
        let attributes = json!({"verb": "get", "resource": "pods", "namespace": "default"});
        let spec = if resource == "selfsubjectaccessreviews" {
            json!({"resourceAttributes": attributes})
        } else {
            json!({"user": "ann", "resourceAttributes": attributes})
        };
        let uri = format!("/apis/authorization.k8s.io/v1/{resource}");
        cluster.create(&uri, json!({"metadata": metadata, "spec": spec})).await.text()
    };
    let local = "namespaces/default/localsubjectaccessreviews";
    for (resource, shown, detail) in [
        ("selfsubjectaccessreviews", "", "must be empty"),
        ("subjectaccessreviews", "", "must be empty"),
        (local, r#""namespace":"default","#, "must be empty except for namespace"),
    ] {
        let passed_over = json!({"uid": "u", "creationTimestamp": null, "labels": {}, "managedFields": []});
        assert_eq!(ask(resource, passed_over).await, "201", "{resource}");
        let refused = ask(resource, json!({"name": "a", "uid": "u", "labels": {"b": "c"}})).await;
        let start = format!(
            r#"422 .authorization.k8s.io "" is invalid: metadata: Invalid value: {{"name":"a",{shown}"labels":{{"b":"c"}},"managedFields":[{{"manager":"#
        );
        assert!(refused.starts_with(&start), "{refused}");
        assert!(refused.ends_with(&format!("}}]}}: {detail}")), "{refused}");
        assert!(refused.contains(r#""fieldsV1":{"f:metadata":{"f:labels":{"#), "{refused}");
    }
    assert_eq!(ask(local, json!({"namespace": "default"})).await, "201");
    assert_eq!(
        ask(local, json!({"namespace": "other"})).await,
        "400 the namespace of the provided object does not match the namespace sent on the request"
    );
}

#[tokio::test]
async fn answers_say_who_asked() {
    let cluster = cluster().await;
    let attributes = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let asked = json!({"f:resourceAttributes": {".": {}, "f:namespace": {}, "f:resource": {}, "f:verb": {}}});
    let with_user = json!({"f:resourceAttributes": asked["f:resourceAttributes"], "f:user": {}});
    let (access, local) = ("authorization.k8s.io", "namespaces/default/localsubjectaccessreviews");
    for (group, resource, spec, owned) in [
        (access, "selfsubjectaccessreviews", json!({"resourceAttributes": attributes}), asked),
        (access, "subjectaccessreviews", json!({"user": "ann", "resourceAttributes": attributes}), with_user.clone()),
        (access, local, json!({"user": "ann", "resourceAttributes": attributes}), with_user),
        ("authentication.k8s.io", "tokenreviews", json!({"token": "x"}), json!({"f:token": {}})),
    ] {
        let uri = format!("/apis/{group}/v1/{resource}?fieldManager=me");
        let answer = cluster.create(&uri, json!({"metadata": {"uid": "u"}, "spec": spec})).await;
        let mut metadata = answer.body["metadata"].clone();
        let time = metadata["managedFields"][0].as_object_mut().and_then(|entry| entry.remove("time"));
        assert!(time.is_some(), "{answer:?}");
        let mut expected = json!({"managedFields": [{
            "manager": "me", "operation": "Update", "apiVersion": format!("{group}/v1"), "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": owned}}]});
        if resource == local {
            expected["namespace"] = "default".into();
        }
        assert_eq!(metadata, expected, "{resource}");
    }
    let rules = json!({"metadata": {"name": "a"}, "spec": {"namespace": "default"}});
    let rules = cluster.create(&format!("/apis/{access}/v1/selfsubjectrulesreviews"), rules).await;
    assert_eq!((&rules.body["metadata"], &rules.body["spec"]), (&json!({}), &json!({})));
    let who =
        cluster.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({"metadata": {"name": "a"}})).await;
    let metadata = who.body["metadata"].as_object().expect("an object");
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["creationTimestamp"]);
}
