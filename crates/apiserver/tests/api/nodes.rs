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
        ("n1", "GET", "pods/p", 200),
        ("n2", "GET", "pods/p", 403),
        ("n1", "GET", "pods?fieldSelector=metadata.name%3Dp", 200),
        ("n2", "GET", "pods?fieldSelector=metadata.name%3Dp", 403),
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

#[tokio::test]
async fn a_node_sees_no_more_of_the_cluster_than_is_its_own() {
    let cluster = cluster().await;
    for (kind, spec) in [
        (
            "persistentvolumes",
            json!({"claimRef": {"namespace": "default", "name": "data"}, "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}),
        ),
        (
            "persistentvolumes",
            json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}),
        ),
    ] {
        let name = if spec["claimRef"].is_object() { "bound" } else { "free" };
        let made = cluster.create(&format!("/api/v1/{kind}"), json!({"metadata": {"name": name}, "spec": spec})).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "bound",
        "resources": {"requests": {"storage": "1Gi"}}}});
    let made = cluster.create("/api/v1/namespaces/default/persistentvolumeclaims", claim).await;
    assert_eq!(made.code, 201, "{made:?}");
    let mut pod = pod("p");
    pod["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    assert_eq!(cluster.create(PODS, pod).await.code, 201);
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(cluster.create(&format!("{PODS}/p/binding"), binding).await.code, 201);
    let cases = [
        ("GET", "/api/v1/pods", "can only list/watch pods with spec.nodeName field selector"),
        ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", ""),
        (
            "GET",
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2",
            "can only list/watch pods with spec.nodeName field selector",
        ),
        ("GET", "/api/v1/nodes", "node 'n1' cannot read all nodes, only its own Node object"),
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dn1", ""),
        ("GET", "/api/v1/nodes/n2", "node 'n1' cannot read 'n2', only its own Node object"),
        ("DELETE", "/api/v1/nodes/n1", "-"),
        ("GET", "/api/v1/persistentvolumes", "can only get individual resources of this type"),
        ("GET", "/api/v1/persistentvolumes/bound", ""),
        ("GET", "/api/v1/persistentvolumes/free", "no relationship found between node 'n1' and this object"),
        ("GET", "/api/v1/namespaces/default/persistentvolumeclaims/data", ""),
        (
            "GET",
            "/api/v1/namespaces/default/persistentvolumeclaims/other",
            "no relationship found between node 'n1' and this object",
        ),
        ("GET", "/api/v1/namespaces/default/persistentvolumeclaims", "can only get individual resources of this type"),
        ("GET", "/api/v1/namespaces/default/secrets", "No Object name found"),
        ("GET", "/api/v1/secrets", "can only read namespaced object of this type"),
        ("DELETE", "/api/v1/namespaces/default/configmaps/a", "can only read resources of this type"),
        ("GET", "/api/v1/namespaces", "-"),
        ("GET", "/apis/networking.k8s.io/v1/networkpolicies", "-"),
        (
            "GET",
            "/apis/coordination.k8s.io/v1/namespaces/default/leases/n1",
            "can only access leases in the \"kube-node-lease\" system namespace",
        ),
        (
            "GET",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2",
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "GET",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
            "can only get, create, update, patch, or delete a node lease",
        ),
        (
            "GET",
            "/apis/storage.k8s.io/v1/csinodes/n2",
            "can only access CSINode with the same name as the requesting node",
        ),
        ("GET", "/apis/storage.k8s.io/v1/volumeattachments", "can only get individual resources of this type"),
        ("GET", "/apis/storage.k8s.io/v1/csidrivers", ""),
        ("GET", "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn1", ""),
        ("DELETE", "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn1", ""),
        (
            "GET",
            "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn2",
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
    ];
    for (method, path, expected) in cases {
        let answer = cluster.send(node("n1"), request(method, path, "", "")).await;
        let text = answer.text();
        match expected {
            "" => assert_ne!(answer.code, 403, "{path}: {text}"),
            "-" => assert!(answer.code == 403 && text.ends_with("scope"), "{path}: {text}"),
            why => assert!(answer.code == 403 && text.ends_with(&format!(": {why}")), "{path}: {text}"),
        }
    }
    // Whose agent is this program also leads names and packets through the cluster.
    let agent = User::new("system:node:n1", ["system:nodes", "portolan:agents"]);
    for path in ["/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces", "/apis/discovery.k8s.io/v1/endpointslices"] {
        assert_eq!(cluster.send(agent.clone(), request("GET", path, "", "")).await.code, 200, "{path}");
    }
}
