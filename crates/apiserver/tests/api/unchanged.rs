//! Applies that say what is there already, or change a little of it.

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
async fn an_apply_that_needs_nobodys_consent_is_counted_as_admitted() {
    let cluster = cluster().await;
    let made = cluster.create(&format!("{CORE}/pods"), pod("a")).await;
    assert_eq!(made.code, 201, "{made:?}");
    let before = updates_admitted(&cluster).await;
    let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {"note": "one"}}});
    for note in ["one", "one", "two"] {
        object["metadata"]["annotations"]["note"] = note.into();
        let applied = apply(&cluster, &format!("{CORE}/pods/a"), "", &object).await;
        assert_eq!(applied.code, 200, "{applied:?}");
    }
    assert_eq!(updates_admitted(&cluster).await, before.map(|steps| steps + 3));
}

/// How many updates passed either step of admission.
async fn updates_admitted(cluster: &Cluster) -> [u64; 2] {
    let metrics = cluster.get("/metrics").await;
    let text = metrics.body.as_str().expect("a text").to_owned();
    ["admit", "validate"].map(|step| {
        let series = format!(
            "apiserver_admission_step_admission_duration_seconds_count{{operation=\"UPDATE\",rejected=\"false\",type=\"{step}\"}} "
        );
        let count = text.lines().find_map(|line| line.strip_prefix(&series));
        count.map_or(0, |count| count.parse().expect("a count"))
    })
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

/// Objects of several kinds, and what is changed of them by whom.
fn kinds() -> Vec<(&'static str, Value)> {
    let spec = json!({"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}]}]});
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": spec});
    let object = |kind: (&str, &str), fields: Value| {
        let mut object = json!({"apiVersion": kind.0, "kind": kind.1,
            "metadata": {"name": "a", "labels": {"app": "web"}, "annotations": {"note": "a \"note\""}}});
        object.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        object
    };
    vec![
        (CORE_PODS, object(("v1", "Pod"), json!({"spec": spec}))),
        ("/api/v1/namespaces/default/configmaps", object(("v1", "ConfigMap"), json!({"data": {"k": "v"}}))),
        ("/api/v1/namespaces/default/secrets", object(("v1", "Secret"), json!({"data": {"k": "dg=="}}))),
        ("/api/v1/namespaces/default/serviceaccounts", object(("v1", "ServiceAccount"), json!({}))),
        (
            "/api/v1/namespaces/default/services",
            object(("v1", "Service"), json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})),
        ),
        ("/api/v1/nodes", object(("v1", "Node"), json!({"spec": {"podCIDR": "192.0.2.0/24"}}))),
        (
            "/apis/apps/v1/namespaces/default/deployments",
            object(
                ("apps/v1", "Deployment"),
                json!({"spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}}),
            ),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
            object(
                ("networking.k8s.io/v1", "NetworkPolicy"),
                json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
            ),
        ),
        (
            "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            object(("policy/v1", "PodDisruptionBudget"), json!({"spec": {"minAvailable": 1}})),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            object(
                ("rbac.authorization.k8s.io/v1", "ClusterRole"),
                json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
            ),
        ),
        (
            "/apis/example.com/v1/namespaces/default/things",
            object(("example.com/v1", "Thing"), json!({"spec": {"size": 1}})),
        ),
    ]
}

const CORE_PODS: &str = "/api/v1/namespaces/default/pods";

/// Everything but what tells two runs apart.
fn said(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    json!([answer.code.as_u16(), answer.headers.get("warning").map(|text| text.to_str().expect("text")), body])
}

/// The same apply three times: the whole way, which a field that is said twice leads to; as it would be; and done.
async fn apply_all_ways(cluster: &Cluster, path: &str, parameters: &str, body: &Value) {
    let text = body.to_string();
    let kind = format!("\"kind\":{}", body["kind"]);
    let twice = text.replacen(&kind, &format!("{kind},{kind}"), 1);
    let uri = format!("{path}?fieldManager=me{parameters}&fieldValidation=Ignore");
    let media_type = "application/apply-patch+yaml";
    let whole = cluster.ask("PATCH", &format!("{uri}&dryRun=All"), media_type, &twice).await;
    let tried = cluster.ask("PATCH", &format!("{uri}&dryRun=All"), media_type, &text).await;
    let done = cluster.ask("PATCH", &uri, media_type, &text).await;
    assert_eq!(said(&tried), said(&whole), "{path}{parameters} {body}");
    assert_eq!(said(&done), said(&whole), "{path}{parameters} {body}");
}

#[tokio::test]
async fn what_is_applied_in_place_comes_to_what_the_whole_way_comes_to() {
    let cluster = cluster().await;
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "maximum": 9}, "kept": {"type": "string", "default": "here"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
    let definition = json!({"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let made = cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    assert_eq!(made.code, 201, "{made:?}");
    for (collection, object) in kinds() {
        let made = cluster.create(collection, object.clone()).await;
        assert_eq!(made.code, 201, "{made:?}");
        let path = format!("{collection}/a");
        let mut steps = vec![object.clone()];
        let mut step = |change: &dyn Fn(&mut Value)| {
            let mut next = steps.last().expect("there is one").clone();
            change(&mut next);
            steps.push(next);
        };
        step(&|it| it["metadata"]["annotations"]["note"] = "another".into());
        step(&|it| it["metadata"]["labels"]["more"] = "x".into());
        step(&|it| it["metadata"]["annotations"]["app.kubernetes.io/note"] = "x".into());
        step(&|it| it["metadata"]["labels"]["more"] = "not a label".into());
        step(&|it| it["metadata"]["labels"]["more"] = "a.label".into());
        step(&|it| it["metadata"]["annotations"]["not a key"] = "x".into());
        step(&|it| drop(it["metadata"]["annotations"].as_object_mut().expect("notes").remove("not a key")));
        step(&|it| it["metadata"]["finalizers"] = json!(["example.com/stay"]));
        for (place, value) in [
            ("/data/k", json!("ZGF0YQ==")),
            ("/spec/replicas", json!(3)),
            ("/spec/minAvailable", json!("50%")),
            ("/spec/size", json!(3)),
            ("/spec/size", json!(10)),
            ("/spec/size", json!("a")),
            ("/spec/podCIDR", json!("198.51.100.0/24")),
            ("/spec/ports/0/port", json!(81)),
            ("/spec/containers/0/image", json!("i:2")),
            ("/spec/containers/0/image", json!(" ")),
            ("/spec/containers/0/ports/0/containerPort", json!(81)),
            ("/spec/selector", json!({"matchLabels": {"app": "other"}})),
            ("/spec/template/spec/containers/0/image", json!("i:2")),
            ("/rules/0/verbs", json!(["get", "list"])),
        ] {
            if object.pointer(place).is_some() {
                step(&|it| *it.pointer_mut(place).expect("is there") = value.clone());
            }
        }
        let last = steps.last().expect("there is one").clone();
        if last["spec"].get("size").is_some() {
            let mut free = object.clone();
            free["spec"]["free"] = json!({"any": [1, null, {"b": 2}]});
            steps.push(free.clone());
            free["spec"]["free"]["any"] = json!({"b": {"c": 1}});
            steps.push(free.clone());
            free["spec"]["free"]["any"]["b"]["c"] = json!([]);
            steps.push(free);
        }
        for applied in &steps {
            cluster.clock.advance(std::time::Duration::from_secs(1));
            apply_all_ways(&cluster, &path, "", applied).await;
            apply_all_ways(&cluster, &path, "&force=true", applied).await;
            apply_all_ways(&cluster, &path, "&force=true", applied).await;
        }
    }
}
