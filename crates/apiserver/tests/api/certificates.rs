//! Requests for certificates: who asked, who approves, who signs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, admin, certificate_request as pem, cluster, request};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

fn asked(name: &str, pem: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"request": STANDARD.encode(pem), "signerName": SIGNER, "usages": ["client auth"], "username": "root"},
    })
}

async fn put(cluster: &Cluster, user: User, subresource: &str, object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().expect("a name");
    let uri = format!("{REQUESTS}/{name}/{subresource}");
    cluster.send(user, request("PUT", &uri, "application/json", &object.to_string())).await.text()
}

fn decided(object: &Value, kind: &str) -> Value {
    let mut object = object.clone();
    object["status"]["conditions"] = json!([{"type": kind, "status": "True", "reason": "Because"}]);
    object
}

#[tokio::test]
async fn a_request_says_who_asked_whatever_it_claims() {
    let cluster = cluster().await;
    let mut user = admin();
    user.uid = "u1".into();
    let body = asked("r", &pem("ann", &["dev"])).to_string();
    let made = cluster.send(user, request("POST", REQUESTS, "application/json", &body)).await;
    assert_eq!(made.code, 201, "{made:?}");
    let spec = &made.body["spec"];
    assert_eq!((&spec["username"], &spec["uid"]), (&json!("admin"), &json!("u1")));
    assert_eq!(spec["groups"], json!(["system:masters", "system:authenticated"]));
    let bad = cluster.create(REQUESTS, asked("bad", "hello")).await;
    assert!(
        bad.text().contains("spec.request: Invalid value") && bad.text().contains("CERTIFICATE REQUEST"),
        "{bad:?}"
    );
    let masters = cluster.create(REQUESTS, asked("m", &pem("ann", &["system:masters"]))).await;
    assert!(
        masters
            .text()
            .contains("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"),
        "{masters:?}"
    );
}

#[tokio::test]
async fn approval_is_said_once_and_by_those_who_may() {
    let cluster = cluster().await;
    let made = cluster.create(REQUESTS, asked("r", &pem("ann", &[]))).await;
    let object = made.body;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let rules = json!([{
        "apiGroups": ["certificates.k8s.io"], "verbs": ["update"],
        "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"],
    }]);
    let binding = json!({
        "metadata": {"name": "x"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"},
        "subjects": [{"kind": "User", "name": "bob"}],
    });
    assert_eq!(
        cluster.create(&format!("{rbac}/clusterroles"), json!({"metadata": {"name": "x"}, "rules": rules})).await.code,
        201
    );
    assert_eq!(cluster.create(&format!("{rbac}/clusterrolebindings"), binding).await.code, 201);
    let bob = || User::new("bob", []);
    let approved = decided(&object, "Approved");
    assert_eq!(
        put(&cluster, bob(), "approval", &approved).await,
        format!(
            "403 certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests with signerName \"{SIGNER}\""
        )
    );
    let refused = put(&cluster, admin(), "status", &approved).await;
    assert!(refused.contains("updates may not add a condition of type \"Approved\""), "{refused}");
    assert_eq!(put(&cluster, admin(), "approval", &approved).await, "200");
    let kept = cluster.get(&format!("{REQUESTS}/r")).await.body;
    assert_eq!(kept["status"]["conditions"][0]["lastUpdateTime"], "2026-01-02T03:04:05Z");
    let mut both = kept.clone();
    both["status"]["conditions"].as_array_mut().expect("a list").push(json!({"type": "Denied", "status": "True"}));
    let refused = put(&cluster, admin(), "approval", &both).await;
    assert!(refused.contains("Approved and Denied conditions are mutually exclusive"), "{refused}");
    let mut none = kept.clone();
    none["status"]["conditions"] = json!([]);
    let refused = put(&cluster, admin(), "approval", &none).await;
    assert!(refused.contains("updates may not remove a condition of type \"Approved\""), "{refused}");
    let mut signed = kept.clone();
    signed["status"]["certificate"] = STANDARD.encode(cluster.authority.certificate_pem()).into();
    assert!(put(&cluster, bob(), "status", &signed).await.contains("user not permitted to sign requests"));
    assert_eq!(put(&cluster, admin(), "status", &signed).await, "200");
    let signed = cluster.get(&format!("{REQUESTS}/r")).await.body;
    let mut other = signed.clone();
    other["status"]["certificate"] = STANDARD.encode("x").into();
    let refused = put(&cluster, admin(), "status", &other).await;
    assert!(refused.contains("updates may not modify existing certificate content"), "{refused}");
}
