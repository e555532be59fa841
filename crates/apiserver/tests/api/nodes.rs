//! What nodes may read follows their pods.

use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster, pod, request};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn node(name: &str) -> User {
    User::new(format!("system:node:{name}"), ["system:nodes"])
}

async fn code(cluster: &Cluster, user: &str, method: &str, path: &str) -> u16 {
    let (kind, body) = match method {
        "POST" => ("application/json", json!({"spec": {}}).to_string()),
        _ => ("", String::new()),
    };
    let path = format!("/api/v1/namespaces/default/{path}");
    cluster.send(node(user), request(method, &path, kind, &body)).await.code.as_u16()
}

fn references() -> Value {
    let mut pod = pod("p");
    pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "mounted"}}]);
    pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    pod
}

#[tokio::test]
async fn a_node_reads_what_its_pods_refer_to_while_it_has_them() {
    let cluster = cluster().await;
    for name in ["mounted", "other"] {
        let made = cluster.create("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": name}})).await;
        assert_eq!(made.code, 201);
    }
    cluster.config_map("settings", json!({})).await;
    assert_eq!(cluster.create(PODS, references()).await.code, 201);
    let refused = cluster.send(node("n1"), request("GET", "/api/v1/namespaces/default/secrets/mounted", "", "")).await;
    assert_eq!(
        refused.text(),
        "403 secrets \"mounted\" is forbidden: User \"system:node:n1\" cannot get resource \"secrets\" in API group \"\" in the \
         namespace \"default\": no relationship found between node 'n1' and this object"
    );
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(cluster.create(&format!("{PODS}/p/binding"), binding).await.code, 201);
    assert_eq!(
        cluster.get(&format!("{PODS}/p")).await.body["metadata"]["generation"],
        1,
        "binding is no change of spec"
    );
    for (user, method, path, expected) in [
        ("n1", "GET", "secrets/mounted", 200),
        ("n1", "GET", "configmaps/settings", 200),
        ("n1", "GET", "serviceaccounts/default", 200),
        ("n1", "GET", "secrets/other", 403),
        ("n1", "GET", "secrets", 403),
        ("n1", "GET", "secrets?watch=true", 403),
        ("n1", "DELETE", "secrets/mounted", 403),
        ("n2", "GET", "secrets/mounted", 403),
        ("n2", "GET", "configmaps/settings", 403),
        ("n2", "POST", "serviceaccounts/default/token", 403),
        // Related, but the token must also be bound to the pod.
        ("n1", "POST", "serviceaccounts/default/token", 403),
        ("n1", "GET", "services", 200),
    ] {
        assert_eq!(code(&cluster, user, method, path).await, expected, "{user} {method} {path}");
    }
    let review = json!({"spec": {"user": "system:node:n1", "groups": ["system:nodes"],
        "resourceAttributes": {"verb": "get", "resource": "secrets", "namespace": "default", "name": "mounted"}}});
    let answer = cluster.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review).await;
    assert_eq!(answer.body["status"]["allowed"], true, "{answer:?}");
    let uid = cluster.get(&format!("{PODS}/p")).await.body["metadata"]["uid"].clone();
    let bound =
        json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}}}).to_string();
    let token = request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", "application/json", &bound);
    assert_eq!(cluster.send(node("n1"), token).await.code, 201);
    cluster.delete(&format!("{PODS}/p"), json!({"gracePeriodSeconds": 0})).await;
    assert_eq!(code(&cluster, "n1", "GET", "secrets/mounted").await, 403);
}
