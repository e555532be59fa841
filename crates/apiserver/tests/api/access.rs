//! Who may do what, and how one proves who one is.

use std::time::Duration;

use portolan_apiserver::Peer;
use portolan_identity::{Request as CertificateRequest, Usage, User};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::support::{Cluster, admin, cluster, pod, request};

const PODS: &str = "/api/v1/namespaces/default/pods";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn somebody() -> User {
    User::new("somebody", [])
}

fn over_the_network(certificate: Option<CertificateDer<'static>>) -> Peer {
    Peer::tls(certificate.as_slice(), ([127, 0, 0, 1], 50000).into())
}

async fn code(cluster: &Cluster, peer: Peer, uri: &str, token: Option<&str>) -> u16 {
    let mut request = request("GET", uri, "", "");
    if let Some(token) = token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    cluster.server.handle(request, peer).await.status().as_u16()
}

#[tokio::test]
async fn strangers_see_health_and_version_only() {
    let cluster = cluster().await;
    for (uri, expected) in [
        ("/healthz", 200),
        ("/livez?verbose", 200),
        ("/readyz", 200),
        ("/version", 200),
        ("/api", 403),
        ("/metrics", 403),
        ("/api/v1/pods", 403),
        ("/openapi/v2", 403),
    ] {
        assert_eq!(code(&cluster, over_the_network(None), uri, None).await, expected, "{uri}");
    }
}

#[tokio::test]
async fn roles_take_effect_at_once_and_only_where_they_are_bound() {
    let cluster = cluster().await;
    let list = || request("GET", PODS, "", "");
    assert_eq!(
        cluster.send(somebody(), list()).await.text(),
        "403 pods is forbidden: User \"somebody\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    let cluster_wide = cluster.send(somebody(), request("GET", "/api/v1/nodes/a", "", "")).await;
    assert_eq!(
        cluster_wide.text(),
        "403 nodes \"a\" is forbidden: User \"somebody\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"
    );
    let role = json!({
        "metadata": {"name": "read"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
    });
    let binding = json!({
        "metadata": {"name": "read"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read"},
        "subjects": [{"kind": "User", "name": "somebody", "apiGroup": "rbac.authorization.k8s.io"}],
    });
    for (resource, object) in [("roles", role), ("rolebindings", binding)] {
        let made = cluster.create(&format!("{RBAC}/namespaces/default/{resource}"), object).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    assert_eq!(cluster.send(somebody(), list()).await.code, 200);
    assert_eq!(cluster.send(somebody(), request("GET", "/api/v1/pods", "", "")).await.code, 403);
    assert_eq!(cluster.send(somebody(), request("DELETE", PODS, "", "")).await.code, 403);
    let question =
        json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}});
    let may = cluster
        .send(
            somebody(),
            request(
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "application/json",
                &question.to_string(),
            ),
        )
        .await;
    assert_eq!(may.body["status"]["allowed"], true, "{may:?}");
    cluster.delete(&format!("{RBAC}/namespaces/default/rolebindings/read"), json!({})).await;
    assert_eq!(cluster.send(somebody(), list()).await.code, 403);
}

#[tokio::test]
async fn certificates_and_tokens_prove_who_one_is() {
    let cluster = cluster().await;
    cluster.today();
    let pair = cluster
        .authority
        .issue(&CertificateRequest {
            common_name: "operator".into(),
            organizations: [Some("system:masters".into()), None],
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Client,
            valid_for: Duration::from_secs(60),
        })
        .expect("a certificate");
    let certificate = CertificateDer::from_pem_slice(pair.certificate_pem.as_bytes()).expect("PEM");
    assert_eq!(code(&cluster, over_the_network(Some(certificate)), "/api/v1/pods", None).await, 200);

    assert_eq!(cluster.create(PODS, pod("p")).await.code, 201);
    let ask = json!({"spec": {"expirationSeconds": 600, "boundObjectRef": {"kind": "Pod", "name": "p"}}});
    let answer = cluster.create("/api/v1/namespaces/default/serviceaccounts/default/token", ask).await;
    assert_eq!(answer.code, 201, "{answer:?}");
    let token = answer.body["status"]["token"].as_str().expect("a token").to_owned();
    let peer = || over_the_network(None);
    assert_eq!(code(&cluster, peer(), "/api", Some(&token)).await, 200);
    assert_eq!(code(&cluster, peer(), "/api/v1/pods", Some(&token)).await, 403);
    assert_eq!(code(&cluster, peer(), "/api", Some("nonsense")).await, 401);
    let review = json!({"spec": {"token": token}});
    let reviewed = cluster.create("/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    assert_eq!(reviewed.body["status"]["user"]["username"], "system:serviceaccount:default:default");
    // The token ends with its pod, and with its time.
    cluster.delete(&format!("{PODS}/p"), json!({})).await;
    assert_eq!(code(&cluster, peer(), "/api", Some(&token)).await, 401);
    let ask = json!({"spec": {"expirationSeconds": 600}});
    let answer = cluster.create("/api/v1/namespaces/default/serviceaccounts/default/token", ask).await;
    let token = answer.body["status"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(code(&cluster, peer(), "/api", Some(&token)).await, 200);
    cluster.clock.advance(Duration::from_secs(601));
    assert_eq!(code(&cluster, peer(), "/api", Some(&token)).await, 401);
}

#[tokio::test]
async fn a_node_writes_what_is_its_own() {
    let cluster = cluster().await;
    let node = || User::new("system:node:n1", ["system:nodes"]);
    let json_type = "application/json";
    let own = json!({"metadata": {"name": "n1"}}).to_string();
    let other = json!({"metadata": {"name": "n2"}}).to_string();
    assert_eq!(cluster.send(node(), request("POST", "/api/v1/nodes", json_type, &own)).await.code, 201);
    let refused = cluster.send(node(), request("POST", "/api/v1/nodes", json_type, &other)).await;
    assert_eq!(refused.text(), "403 nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
    assert_eq!(cluster.create(PODS, pod("p")).await.code, 201);
    let mut status = cluster.get(&format!("{PODS}/p")).await.body;
    status["status"]["phase"] = "Running".into();
    let write = || request("PUT", &format!("{PODS}/p/status"), json_type, &status.to_string());
    assert_eq!(cluster.send(node(), write()).await.code, 403);
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    cluster.create(&format!("{PODS}/p/binding"), binding).await;
    status["metadata"]["resourceVersion"].take();
    let write = request("PUT", &format!("{PODS}/p/status"), json_type, &status.to_string());
    assert_eq!(cluster.send(node(), write).await.code, 200);
    cluster.create("/api/v1/nodes", json!({"metadata": {"name": "n2"}})).await;
    cluster.create(PODS, pod("foreign")).await;
    for (path, code) in [
        ("/api/v1/nodes/n2", 403),
        ("/api/v1/namespaces/default/pods/foreign", 403),
        ("/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", 200),
        ("/api/v1/nodes/n1", 403),
    ] {
        assert_eq!(cluster.send(node(), request("DELETE", path, "", "")).await.code, code, "{path}");
    }
    assert_eq!(cluster.send(node(), request("DELETE", "/api/v1/namespaces/default/secrets/a", "", "")).await.code, 403);
}

#[tokio::test]
async fn an_admin_may_act_as_somebody_else() {
    let cluster = cluster().await;
    let ask = |user: User| {
        let mut request = request("GET", PODS, "", "");
        request.headers_mut().insert("impersonate-user", http::HeaderValue::from_static("somebody"));
        let cluster = &cluster;
        async move { cluster.send(user, request).await.text() }
    };
    assert!(ask(admin()).await.contains("User \"somebody\" cannot list"));
    assert!(ask(somebody()).await.contains("cannot impersonate-on:user-info:list resource \"pods\""));
}

#[tokio::test]
async fn a_backup_is_for_those_who_may_get_its_path_and_leaves_no_file() {
    let cluster = cluster().await;
    cluster.create(PODS, pod("kept")).await;
    let get = || request("GET", "/portolan/v1/backup", "", "");
    assert_eq!(
        cluster.send(somebody(), get()).await.text(),
        "403 forbidden: User \"somebody\" cannot get path \"/portolan/v1/backup\""
    );
    let response = cluster.raw(admin(), get()).await;
    assert_eq!(response.status(), 200);
    let revision: u64 = response.headers()["x-portolan-revision"].to_str().expect("text").parse().expect("a number");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("arrives").to_bytes();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("backup"), &body).expect("written");
    let (file, store) = (folder.path().join("backup"), folder.path().join("store"));
    let files = portolan_store::embedded::SystemFiles;
    let restored = portolan_store::embedded::restore(&files, &file, &store).expect("restored");
    assert_eq!(restored.0, revision);
    assert!(cluster.scratch_is_empty(), "the server keeps the file of a backup");
}
