//! What nodes may write is theirs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, certificate_request, cluster, pod, request};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SLICES: &str = "/apis/resource.k8s.io/v1/resourceslices";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

async fn ask(cluster: &Cluster, method: &str, path: &str, content_type: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let node = User::new("system:node:n1", ["system:nodes"]);
    cluster.send(node, request(method, path, content_type, &body)).await.text()
}

async fn create(cluster: &Cluster, path: &str, body: &Value) -> String {
    ask(cluster, "POST", path, "application/json", body).await
}

async fn node(cluster: &Cluster, name: &str) -> String {
    let made = cluster.create("/api/v1/nodes", json!({"metadata": {"name": name}})).await;
    assert_eq!(made.code, 201, "{made:?}");
    made.body["metadata"]["uid"].as_str().expect("it has one").to_owned()
}

fn slice(name: &str, place: &Value) -> Value {
    let mut slice = json!({"metadata": {"name": name}, "spec": {
        "driver": "a.b", "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
    }});
    for (field, value) in place.as_object().expect("fields") {
        slice["spec"][field] = value.clone();
    }
    slice
}

#[tokio::test]
async fn a_node_offers_devices_of_its_own() {
    let cluster = cluster().await;
    let refused = |verb: &str, name: &str| {
        format!(
            "403 resourceslices.resource.k8s.io \"{name}\" is forbidden: can only {verb} ResourceSlice with the same \
             NodeName as the requesting node"
        )
    };
    for (name, place, expected) in [
        ("own", json!({"nodeName": "n1"}), "201".to_owned()),
        ("other", json!({"nodeName": "n2"}), refused("create", "other")),
        ("all", json!({"allNodes": true}), refused("create", "all")),
    ] {
        assert_eq!(create(&cluster, SLICES, &slice(name, &place)).await, expected);
    }
    assert_eq!(cluster.create(SLICES, slice("other", &json!({"nodeName": "n2"}))).await.code, 201);
    let delete = async |path: &str| ask(&cluster, "DELETE", path, "", &Value::Null).await;
    assert!(delete(&format!("{SLICES}/other")).await.starts_with("403"));
    assert_eq!(delete(&format!("{SLICES}?fieldSelector=spec.nodeName%3Dn1")).await, "200");
    let left = cluster.get(SLICES).await;
    assert_eq!(left.body["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_node_asks_for_certificates_of_its_own() {
    let cluster = cluster().await;
    let name = "system:node:n1";
    let other = "403 certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: can only create a node CSR with \
                 CN=system:node:n1";
    for (signer, common_name, expected) in [
        ("kubernetes.io/kubelet-serving", name, "201"),
        ("kubernetes.io/kubelet-serving", "system:node:n2", other),
        ("kubernetes.io/kube-apiserver-client-kubelet", name, "201"),
        ("kubernetes.io/kube-apiserver-client-kubelet", "admin", other),
        ("kubernetes.io/kube-apiserver-client", "admin", "201"),
    ] {
        let request = STANDARD.encode(certificate_request(common_name, &["system:nodes"]));
        let asked = json!({"metadata": {"name": "c"}, "spec": {
            "request": request, "signerName": signer, "usages": ["digital signature", "server auth"],
        }});
        assert_eq!(create(&cluster, REQUESTS, &asked).await, expected, "{signer} {common_name}");
        cluster.delete(&format!("{REQUESTS}/c"), json!({})).await;
    }
}

#[tokio::test]
async fn a_node_shows_what_it_runs_by_itself_and_nothing_else() {
    let cluster = cluster().await;
    let uid = node(&cluster, "n1").await;
    let owner = |fields: Value| {
        let mut owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true});
        for (field, value) in fields.as_object().expect("fields") {
            owner[field] = value.clone();
        }
        json!([owner])
    };
    let own = "node \"n1\" can only create pods with";
    for (owners, expected) in [
        (json!([]), format!("{own} an owner reference set to itself")),
        (owner(json!({"name": "n2"})), format!("{own} an owner reference set to itself")),
        (owner(json!({"controller": false})), format!("{own} a controller owner reference set to itself")),
        (
            owner(json!({"blockOwnerDeletion": true})),
            "node \"n1\" must not set blockOwnerDeletion on an owner reference".to_owned(),
        ),
        (owner(json!({"uid": "u"})), format!("node n1 UID mismatch: expected u got {uid}")),
        (owner(json!({})), String::new()),
    ] {
        let mut mirror = pod("m");
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        mirror["metadata"]["ownerReferences"] = owners;
        mirror["spec"]["nodeName"] = "n1".into();
        let expected = match expected.as_str() {
            "" => "201".to_owned(),
            why => format!("403 pods \"m\" is forbidden: {why}"),
        };
        assert_eq!(create(&cluster, PODS, &mirror).await, expected);
    }
    let merge = "application/merge-patch+json";
    for (path, patch, expected) in [
        (
            "/api/v1/nodes/n1",
            json!({"metadata": {"labels": {"node-role.kubernetes.io/a": "", "plain": "x"}}}),
            "403 nodes \"n1\" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/a",
        ),
        (
            "/api/v1/nodes/n1",
            json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
            "403 nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints",
        ),
        (
            "/api/v1/nodes/n1",
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "m", "uid": "u"}]}}),
            "403 nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify ownerReferences",
        ),
        ("/api/v1/nodes/n1", json!({"metadata": {"labels": {"plain": "x"}}}), "200"),
        (
            "/api/v1/namespaces/default/pods/m/status",
            json!({"status": {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "b"}]}}),
            "403 pods \"m\" is forbidden: node \"n1\" cannot update resource claim statues",
        ),
        ("/api/v1/namespaces/default/pods/m/status", json!({"status": {"phase": "Running"}}), "200"),
    ] {
        assert_eq!(ask(&cluster, "PATCH", path, merge, &patch).await, expected, "{patch}");
    }
    let labelled = json!({"metadata": {"name": "n1", "labels": {"k8s.io/a": "", "kubernetes.io/os": "linux"}}});
    cluster.delete("/api/v1/nodes/n1", json!({})).await;
    assert_eq!(
        create(&cluster, "/api/v1/nodes", &labelled).await,
        "403 nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: k8s.io/a"
    );
}

#[tokio::test]
async fn a_node_has_tokens_that_its_pods_ask_for() {
    let cluster = cluster().await;
    let driver = json!({"metadata": {"name": "d.e"}, "spec": {"tokenRequests": [{"audience": "of-driver"}]}});
    assert_eq!(cluster.create("/apis/storage.k8s.io/v1/csidrivers", driver).await.code, 201);
    let mut asking = pod("p");
    asking["spec"]["volumes"] = json!([
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "of-pod"}}]}},
        {"name": "c", "csi": {"driver": "d.e"}},
    ]);
    let made = cluster.create(PODS, asking).await;
    assert_eq!(made.code, 201, "{made:?}");
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(cluster.create(&format!("{PODS}/p/binding"), binding).await.code, 201);
    let bound = |uid: &Value| json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid});
    let own = bound(&made.body["metadata"]["uid"]);
    let foreign = |audience: &str| {
        format!(
            "403 serviceaccounts \"default\" is forbidden: audience \"{audience}\" not found in pod spec volume, \
             system:node:n1 is not authorized to request tokens for this audience"
        )
    };
    for (reference, audiences, expected) in [
        (own.clone(), json!(["of-pod"]), "201".to_owned()),
        (own.clone(), json!(["of-driver"]), "201".to_owned()),
        // The account's own volume.
        (own.clone(), json!([]), "201".to_owned()),
        (own.clone(), json!(["other"]), foreign("other")),
        (
            own.clone(),
            json!(["of-pod", "of-driver"]),
            "403 serviceaccounts \"default\" is forbidden: node may only request 0 or 1 audiences".to_owned(),
        ),
        (
            Value::Null,
            json!([]),
            "403 serviceaccounts \"default\" is forbidden: node requested token not bound to a pod".to_owned(),
        ),
        (
            bound(&json!("u")),
            json!([]),
            "403 serviceaccounts \"default\" is forbidden: the UID in the bound object reference (u) does not match the \
             UID in record. The object might have been deleted and then recreated"
                .to_owned(),
        ),
    ] {
        let body = json!({"spec": {"audiences": audiences, "boundObjectRef": reference}});
        let answer = create(&cluster, "/api/v1/namespaces/default/serviceaccounts/default/token", &body).await;
        assert_eq!(answer, expected, "{body}");
    }
    let lost = |name: &str, claim: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}});
    let driven = json!({"name": "c", "csi": {"driver": "no.such"}});
    let wanted =
        json!({"name": "w", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "x"}}]}});
    let gone = "persistentvolumeclaim \"gone\" not found";
    for (name, volumes, missing) in [
        ("one", vec![lost("a", "gone")], Some(gone.to_owned())),
        ("same", vec![lost("a", "gone"), lost("b", "gone")], Some(gone.to_owned())),
        (
            "two",
            vec![lost("a", "gone"), driven],
            Some(format!("[{gone}, csidriver.storage.k8s.io \"no.such\" not found]")),
        ),
        ("found", vec![lost("a", "gone"), wanted], None),
    ] {
        let mut asking = pod(name);
        asking["spec"]["volumes"] = volumes.into();
        let made = cluster.create(PODS, asking).await;
        assert_eq!(made.code, 201, "{made:?}");
        let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
        assert_eq!(cluster.create(&format!("{PODS}/{name}/binding"), binding).await.code, 201);
        let uid = &made.body["metadata"]["uid"];
        let reference = json!({"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid});
        let body = json!({"spec": {"audiences": ["x"], "boundObjectRef": reference}});
        let answer = create(&cluster, "/api/v1/namespaces/default/serviceaccounts/default/token", &body).await;
        let refused =
            |why| format!("403 serviceaccounts \"default\" is forbidden: error validating audience \"x\": {why}");
        assert_eq!(answer, missing.map_or("201".to_owned(), refused), "{name}");
    }
}
