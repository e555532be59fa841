//! Who may have devices as an administrator, allocate them, and speak for their drivers.

use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster, request};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CLAIMS: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";

fn claim(name: &str, is_admin: bool) -> Value {
    let request = json!({"name": "a", "exactly": {"deviceClassName": "c", "adminAccess": is_admin}});
    json!({"metadata": {"name": name}, "spec": {"devices": {"requests": [request]}}})
}

/// Lets a user do something about claims anywhere.
async fn grant(cluster: &Cluster, user: &str, resource: &str, verbs: &[&str]) {
    let name = format!("{user}-{}", resource.replace('/', "-"));
    let rules = json!([{"apiGroups": ["resource.k8s.io"], "resources": [resource], "verbs": verbs}]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let binding = json!({
        "metadata": {"name": name}, "roleRef": role,
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    });
    let role = json!({"metadata": {"name": name}, "rules": rules});
    assert_eq!(cluster.create(&format!("{RBAC}/clusterroles"), role).await.code, 201);
    assert_eq!(cluster.create(&format!("{RBAC}/clusterrolebindings"), binding).await.code, 201);
}

#[tokio::test]
async fn administrators_have_devices_where_the_namespace_says_so() {
    let cluster = cluster().await;
    let refused = "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the \
                   `resource.kubernetes.io/admin-access: true` label on the containing namespace";
    assert_eq!(cluster.create(CLAIMS, claim("plain", false)).await.code, 201);
    let answer = cluster.create(CLAIMS, claim("admin", true)).await.text();
    assert_eq!(answer, format!("422 ResourceClaim.resource.k8s.io \"admin\" is invalid: {refused}"));
    let template = json!({"metadata": {"name": "t"}, "spec": {"spec": claim("t", true)["spec"]}});
    let templates = CLAIMS.replace("resourceclaims", "resourceclaimtemplates");
    let answer = cluster.create(&templates, template.clone()).await.text();
    assert_eq!(answer, format!("422 ResourceClaimTemplate.resource.k8s.io \"t\" is invalid: {refused}"));
    let labels = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}).to_string();
    let patched = cluster.ask("PATCH", "/api/v1/namespaces/default", "application/merge-patch+json", &labels).await;
    assert_eq!(patched.code, 200);
    assert_eq!(cluster.create(CLAIMS, claim("admin", true)).await.code, 201);
    assert_eq!(cluster.create(&templates, template).await.code, 201);
}

#[tokio::test]
async fn allocations_and_words_of_drivers_need_rights_of_their_own() {
    let cluster = cluster().await;
    assert_eq!(cluster.create(CLAIMS, claim("a", false)).await.code, 201);
    grant(&cluster, "ann", "resourceclaims/status", &["update", "patch"]).await;
    let ann = || User::new("ann", ["dev"]);
    let write = async |user: User, status: &Value| {
        let mut claim = claim("a", false);
        claim["status"] = status.clone();
        let uri = format!("{CLAIMS}/a/status");
        cluster.send(user, request("PUT", &uri, "application/json", &claim.to_string())).await.text()
    };
    let mut status = json!({"allocation": {
        "devices": {"results": [{"request": "a", "driver": "a.b", "pool": "p", "device": "d"}]},
        "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]},
    }});
    assert_eq!(
        write(ann(), &status).await,
        "422 ResourceClaim.resource.k8s.io \"a\" is invalid: status.allocation: Forbidden: changing status.allocation or \
         status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"update\" permission: \
         resourceclaims.resource.k8s.io is forbidden: User \"ann\" cannot update resource \"resourceclaims/binding\" in API \
         group \"resource.k8s.io\" at the cluster scope"
    );
    grant(&cluster, "ann", "resourceclaims/binding", &["update"]).await;
    assert_eq!(write(ann(), &status).await, "200");
    status["devices"] = json!([{"driver": "a.b", "pool": "p", "device": "d", "data": {"a": "b"}}]);
    assert_eq!(
        write(ann(), &status).await,
        "422 ResourceClaim.resource.k8s.io \"a\" is invalid: status.devices: Forbidden: changing status.devices requires \
         resource=\"resourceclaims/driver\", verb=\"[arbitrary-node:update]\" permission: resourceclaims.resource.k8s.io \"a.b\" \
         is forbidden: User \"ann\" cannot arbitrary-node:update resource \"resourceclaims/driver\" in API group \
         \"resource.k8s.io\" in the namespace \"default\""
    );
    // A driver speaks for the devices of its own node.
    let driver = "system:serviceaccount:default:driver";
    for resource in ["resourceclaims/status", "resourceclaims/driver"] {
        grant(&cluster, driver, resource, &["update", "associated-node:update"]).await;
    }
    let on_node = |name: &str| {
        let mut user = User::new(driver, []);
        user.extra.insert("authentication.kubernetes.io/node-name".to_owned(), vec![name.to_owned()]);
        user
    };
    let refused = write(on_node("other"), &status).await;
    assert!(refused.contains("verb=\"[arbitrary-node:update]\""), "{refused}");
    assert_eq!(write(on_node("n"), &status).await, "200");
    // Nothing of it changes.
    assert_eq!(write(ann(), &status).await, "200");
}
