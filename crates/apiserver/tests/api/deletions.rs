//! Deletions of collections, and what is known of objects that came and went while nobody waited for it.

use futures::poll;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, admin, cluster, request};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const PODS: &str = "/api/v1/namespaces/default/pods";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

fn service(name: &str, node_port: u16) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "type": "NodePort", "selector": {"app": name}, "ports": [{"port": 80, "nodePort": node_port}],
    }})
}

/// Lets nobody delete this Service.
async fn protect(cluster: &Cluster, name: &str) {
    let policy = json!({"metadata": {"name": "keep"}, "spec": {
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["services"]},
        ]},
        "validations": [{"expression": format!("oldObject.metadata.name != '{name}'"), "message": "it stays"}],
    }});
    let binding = json!({"metadata": {"name": "keep"}, "spec": {"policyName": "keep", "validationActions": ["Deny"]}});
    for (path, object) in [(POLICIES, policy), (BINDINGS, binding)] {
        let made = cluster.create(path, object).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
}

async fn names(cluster: &Cluster, path: &str) -> Vec<String> {
    let list = cluster.get(path).await;
    let items = list.body["items"].as_array().unwrap_or_else(|| panic!("{list:?}")).iter();
    items.map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn what_goes_beside_a_refused_deletion_is_forgotten_as_well() {
    let cluster = cluster().await;
    let port = |index: u16| (format!("m{index:02}"), 30100 + index);
    for (name, port) in (0..20).map(port) {
        let made = cluster.create(SERVICES, service(&name, port)).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    protect(&cluster, "m07").await;
    let refused = cluster.delete(SERVICES, json!({})).await;
    assert!(refused.text().starts_with("422") && refused.text().contains("\"Unknown\" is forbidden"), "{refused:?}");
    assert_eq!(names(&cluster, SERVICES).await, ["m07"]);
    for (name, port) in (0..20).map(port).filter(|(name, _)| name != "m07") {
        let made = cluster.create(SERVICES, service(&name, port)).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
}

/// Asks, and goes away after so many turns; whether it was over by then.
async fn ask_for(cluster: &Cluster, turns: usize, method: &str, path: &str, body: &Value) -> bool {
    let request = request(method, path, "application/json", &body.to_string());
    let mut asked = Box::pin(cluster.send(admin(), request));
    for _ in 0..turns {
        if poll!(&mut asked).is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_remembered() {
    let cluster = cluster().await;
    let (mut turns, mut left) = (0, 0);
    // Each time a little later.
    loop {
        let is_over = ask_for(&cluster, turns, "POST", SERVICES, &service("a", 30200)).await;
        // What was under way before is done now.
        cluster.config_map(&format!("created-{turns}"), json!({})).await;
        let is_there = cluster.get(&format!("{SERVICES}/a")).await.code == 200;
        let other = cluster.create(SERVICES, service("b", 30200)).await;
        assert_eq!(other.code, if is_there { 422 } else { 201 }, "{turns}: {other:?}");
        left += usize::from(is_there && !is_over);
        for name in ["a", "b"] {
            cluster.delete(&format!("{SERVICES}/{name}"), json!({})).await;
        }
        if is_over || left > 0 {
            break;
        }
        turns += 1;
    }
    assert!(left > 0, "no turn came between the write and the answer");
    (turns, left) = (0, 0);
    loop {
        assert_eq!(cluster.create(SERVICES, service("a", 30200)).await.code, 201, "{turns}");
        let is_over = ask_for(&cluster, turns, "DELETE", &format!("{SERVICES}/a"), &json!({})).await;
        cluster.config_map(&format!("deleted-{turns}"), json!({})).await;
        let is_gone = cluster.get(&format!("{SERVICES}/a")).await.code == 404;
        left += usize::from(is_gone && !is_over);
        cluster.delete(&format!("{SERVICES}/a"), json!({})).await;
        if is_over || left > 0 {
            break;
        }
        turns += 1;
    }
    assert!(left > 0, "no turn came between the write and the answer");
    // What follows the write needs turns, too: whoever saw the object gone may be faster.
    let mut waited = 0;
    while cluster.create(SERVICES, service("b", 30200)).await.code != 201 {
        waited += 1;
        assert!(waited < 1000, "the port is not given back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_deleted_collection_is_answered_as_the_list_that_was_read() {
    let cluster = cluster().await;
    for index in 0..5 {
        cluster.config_map(&format!("c{index}"), json!({})).await;
    }
    let page = cluster.delete(&format!("{MAPS}?limit=2"), json!({})).await;
    assert_eq!((page.code.as_u16(), &page.body["kind"]), (200, &json!("ConfigMapList")));
    assert_eq!(
        (page.body["items"].as_array().map(Vec::len), &page.body["metadata"]["remainingItemCount"]),
        (Some(2), &json!(3))
    );
    let token = page.body["metadata"]["continue"].as_str().expect("a token");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut rest = request("DELETE", &format!("{MAPS}?limit=2&continue={token}"), "", "");
    rest.headers_mut().insert("accept", accept.parse().expect("a header"));
    let rest = cluster.send(admin(), rest).await;
    assert_eq!(
        (&rest.body["kind"], rest.body["rows"].as_array().map(Vec::len)),
        (&json!("Table"), Some(2)),
        "{rest:?}"
    );
    assert_eq!(rest.body["rows"][0]["cells"][0], "c2");
    assert_eq!(names(&cluster, MAPS).await, ["c4"]);

    // What stays until its grace is over is shown as it was before.
    let mut pod = crate::support::pod("p");
    pod["spec"]["nodeName"] = "n1".into();
    assert_eq!(cluster.create(PODS, pod).await.code, 201);
    let list = cluster.delete(PODS, json!({})).await;
    assert_eq!(list.body["items"][0]["metadata"].get("deletionTimestamp"), None, "{list:?}");
    let left = cluster.get(&format!("{PODS}/p")).await;
    assert!(left.body["metadata"]["deletionTimestamp"].is_string(), "{left:?}");
}

/// Warnings without their code and agent.
fn warnings(answer: &Answer) -> Vec<&str> {
    let values = answer.headers.get_all("warning").iter().map(|value| value.to_str().expect("text"));
    values.map(|value| value.trim_start_matches("299 - ").trim_matches('"')).collect()
}

#[tokio::test]
async fn some_kinds_answer_what_they_were_and_some_leave_their_dependents() {
    const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
    let cluster = cluster().await;
    assert_eq!(cluster.create(SERVICES, service("s", 30200)).await.code, 201);
    let gone = cluster.delete(&format!("{SERVICES}/s"), Value::Null).await;
    assert_eq!(gone.body["kind"], "Service");
    assert_eq!(gone.body["metadata"].get("deletionTimestamp"), None, "it needs no time to stop");
    cluster.config_map("a", json!({})).await;
    assert_eq!(cluster.delete(&format!("{MAPS}/a"), Value::Null).await.body["kind"], "Status");

    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let job = |name: &str| json!({"metadata": {"name": name}, "spec": {"template": template}});
    for (options, left, warned) in [
        (Value::Null, Some(json!(["orphan"])), 1),
        (json!({"propagationPolicy": "Orphan"}), Some(json!(["orphan"])), 0),
        (json!({"propagationPolicy": "Background"}), None, 0),
        (json!({"orphanDependents": false}), None, 0),
    ] {
        assert_eq!(cluster.create(JOBS, job("j")).await.code, 201);
        let uri = format!("{JOBS}/j");
        let deleted = cluster.delete(&uri, options).await;
        let finalizers = deleted.body["metadata"].get("finalizers").cloned();
        assert_eq!((finalizers, warnings(&deleted).len()), (left.clone(), warned), "{deleted:?}");
        assert_eq!(cluster.get(&uri).await.code, if left.is_some() { 200 } else { 404 });
        let clear = json!({"metadata": {"finalizers": null}}).to_string();
        cluster.ask("PATCH", &uri, "application/merge-patch+json", &clear).await;
    }
}
