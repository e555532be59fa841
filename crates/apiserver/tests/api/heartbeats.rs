//! Renewals of node leases stay in memory.

use std::time::Duration;

use portolan_identity::User;
use portolan_store::Store;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster, request};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
const ALL_LEASES: &str = "/apis/coordination.k8s.io/v1/leases";

fn spec(second: u32) -> Value {
    json!({"holderIdentity": "n1", "leaseDurationSeconds": 40, "renewTime": format!("2026-01-02T03:05:{second:02}.000000Z")})
}

async fn lease(cluster: &Cluster) -> Value {
    let made = cluster.create(LEASES, json!({"metadata": {"name": "n1"}, "spec": spec(0)})).await;
    assert_eq!(made.code, 201, "{made:?}");
    made.body
}

async fn renewed_at(cluster: &Cluster) -> [Value; 3] {
    let read = cluster.get(LEASE).await.body;
    let list = cluster.get(LEASES).await.body;
    let all = cluster.get(ALL_LEASES).await.body;
    [read, list["items"][0].clone(), all["items"][0].clone()].map(|lease| lease["spec"]["renewTime"].clone())
}

async fn revision(cluster: &Cluster) -> u64 {
    cluster.store.status().await.revision.0
}

#[tokio::test]
async fn renewals_write_nothing_and_everybody_reads_the_newest() {
    let cluster = cluster().await;
    let mut lease = lease(&cluster).await;
    let before = revision(&cluster).await;
    let node = User::new("system:node:n1", ["system:nodes"]);
    for second in 1..=5 {
        cluster.clock.advance(Duration::from_secs(10));
        lease["spec"] = spec(second);
        let put = request("PUT", LEASE, "application/json", &lease.to_string());
        let answer = cluster.send(node.clone(), put).await;
        assert_eq!(answer.code, 200, "{answer:?}");
        assert_eq!(answer.revision(), before, "nothing was written");
        assert_eq!(answer.body["spec"]["renewTime"], spec(second)["renewTime"]);
        lease = answer.body;
    }
    let renew = async |second: u32, query: &str| {
        let patch = json!({"spec": {"renewTime": spec(second)["renewTime"]}}).to_string();
        let answer = cluster.ask("PATCH", &format!("{LEASE}{query}"), "application/merge-patch+json", &patch).await;
        assert_eq!(answer.code, 200, "{answer:?}");
        answer.revision()
    };
    assert_eq!(renew(6, "").await, before);
    // A new owner of the field is a change of the lease.
    assert_eq!(renew(6, "?fieldManager=other").await, before);
    assert_eq!(renew(7, "?fieldManager=other").await, before + 1);
    assert_eq!(renew(8, "?fieldManager=other").await, before + 1);
    assert_eq!(revision(&cluster).await, before + 1);
    assert_eq!(renewed_at(&cluster).await, [(); 3].map(|()| spec(8)["renewTime"].clone()));
}

#[tokio::test]
async fn any_other_change_is_written_and_takes_the_newest_renewal_along() {
    let cluster = cluster().await;
    let stale = lease(&cluster).await;
    let mut lease = stale.clone();
    lease["spec"] = spec(9);
    cluster.update(LEASE, &lease).await;
    let before = revision(&cluster).await;
    let changes: [(&str, Value); 2] = [
        ("labels", json!({"metadata": {"labels": {"a": "b"}}})),
        ("duration", json!({"spec": {"leaseDurationSeconds": 41}})),
    ];
    for (index, (what, change)) in (1_u64..).zip(changes) {
        let answer = cluster.ask("PATCH", LEASE, "application/merge-patch+json", &change.to_string()).await;
        assert_eq!(answer.code, 200, "{what}: {answer:?}");
        assert_eq!(answer.revision(), before + index, "{what}");
        assert_eq!(answer.body["spec"]["renewTime"], spec(9)["renewTime"], "{what}");
    }
    // Who has read an older version is refused, as for any object.
    assert_eq!(cluster.update(LEASE, &stale).await.code, 409);
    // Who has the version, but not the renewal, does not take it back.
    let mut other = cluster.get(LEASE).await.body;
    other["spec"]["renewTime"] = spec(1)["renewTime"].clone();
    other["spec"]["holderIdentity"] = "somebody".into();
    let answer = cluster.update(LEASE, &other).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    assert_eq!(answer.body["spec"]["renewTime"], spec(9)["renewTime"]);
}

#[tokio::test]
async fn a_lease_of_the_same_name_does_not_inherit_renewals() {
    let cluster = cluster().await;
    let mut first = lease(&cluster).await;
    first["spec"] = spec(30);
    cluster.update(LEASE, &first).await;
    assert_eq!(cluster.delete(LEASE, json!({})).await.code, 200);
    lease(&cluster).await;
    assert_eq!(renewed_at(&cluster).await, [(); 3].map(|()| spec(0)["renewTime"].clone()));
}

#[tokio::test]
async fn leases_elsewhere_are_written() {
    let cluster = cluster().await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let made = cluster.create(path, json!({"metadata": {"name": "leader"}, "spec": spec(0)})).await;
    let mut lease = made.body.clone();
    lease["spec"] = spec(1);
    let answer = cluster.update(&format!("{path}/leader"), &lease).await;
    assert_eq!(answer.revision(), made.revision() + 1);
}
