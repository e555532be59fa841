//! Addresses of Services: where they come from, and the objects that say who has them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Cluster, again_with, cluster};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const MERGE: &str = "application/merge-patch+json";

fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        service["spec"][field] = value.clone();
    }
    service
}

/// `address parent` of each object, but for that of the API's own Service.
async fn addresses(cluster: &Cluster) -> Vec<String> {
    let list = cluster.get(ADDRESSES).await;
    let line = |item: &Value| {
        let parent = &item["spec"]["parentRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {}/{}", text(&item["metadata"]["name"]), text(&parent["namespace"]), text(&parent["name"]))
    };
    let lines = list.body["items"].as_array().expect("a list").iter().map(line);
    lines.filter(|line| !line.ends_with("default/kubernetes")).collect()
}

async fn address_of(cluster: &Cluster, name: &str) -> String {
    let service = cluster.get(&format!("{SERVICES}/{name}")).await;
    service.body["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_address_is_an_object_as_long_as_its_service_has_it() {
    let cluster = cluster().await;
    let own = cluster.get(&format!("{RANGES}/kubernetes")).await;
    assert_eq!(own.body["spec"]["cidrs"], json!(["10.43.0.0/16"]), "{own:?}");
    let first = cluster.get(&format!("{ADDRESSES}/10.43.0.1")).await;
    let parent = json!({"resource": "services", "namespace": "default", "name": "kubernetes"});
    assert_eq!(first.body["spec"]["parentRef"], parent);
    assert_eq!(first.body["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"], "ipallocator.k8s.io");

    assert_eq!(cluster.create(SERVICES, service("a", json!({"clusterIP": "10.43.0.50"}))).await.code, 201);
    assert_eq!(cluster.create(SERVICES, service("b", json!({}))).await.code, 201);
    assert_eq!(cluster.create(SERVICES, service("none", json!({"clusterIP": "None"}))).await.code, 201);
    let dry = cluster.create(&format!("{SERVICES}?dryRun=All"), service("dry", json!({}))).await;
    assert_eq!(dry.code, 201, "{dry:?}");
    let b = address_of(&cluster, "b").await;
    assert_eq!(addresses(&cluster).await, ["10.43.0.50 default/a".to_owned(), format!("{b} default/b")]);

    // Without an address once it leads elsewhere.
    let outside =
        json!({"spec": {"type": "ExternalName", "externalName": "x.example", "clusterIP": "", "clusterIPs": null}});
    let changed = cluster.ask("PATCH", &format!("{SERVICES}/a"), MERGE, &outside.to_string()).await;
    assert_eq!(changed.text(), "200");
    assert_eq!(addresses(&cluster).await, [format!("{b} default/b")]);
    assert_eq!(cluster.delete(&format!("{SERVICES}/b"), Value::Null).await.code, 200);
    assert!(addresses(&cluster).await.is_empty());
    assert_eq!(cluster.create(SERVICES, service("c", json!({"clusterIP": b}))).await.code, 201);
}

#[tokio::test]
async fn an_address_that_somebody_else_has_is_not_given_away() {
    let cluster = cluster().await;
    let mine = json!({"metadata": {"name": "10.43.0.60"}, "spec": {"parentRef": {"group": "x.io", "resource": "xs", "name": "x"}}});
    assert_eq!(cluster.create(ADDRESSES, mine).await.text(), "201");
    let wanted = || service("a", json!({"clusterIP": "10.43.0.60"}));
    let why = "422 Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"10.43.0.60\"]: failed to allocate IP 10.43.0.60: provided IP is already allocated";
    assert_eq!(cluster.create(SERVICES, wanted()).await.text(), why);
    assert_eq!(cluster.delete(&format!("{ADDRESSES}/10.43.0.60"), Value::Null).await.code, 200);
    assert_eq!(cluster.create(SERVICES, wanted()).await.text(), "201");
}

#[tokio::test]
async fn ranges_come_and_go() {
    let cluster = cluster().await;
    let wanted = |name: &str, address: &str| service(name, json!({"clusterIP": address}));
    let refused = cluster.create(SERVICES, wanted("a", "10.99.0.7")).await;
    assert!(refused.text().contains("the provided network does not match the current range"), "{refused:?}");
    let range = json!({"metadata": {"name": "more", "finalizers": ["x.io/held"]}, "spec": {"cidrs": ["10.99.0.0/24"]}});
    assert_eq!(cluster.create(RANGES, range).await.text(), "201");
    assert_eq!(cluster.create(SERVICES, wanted("a", "10.99.0.7")).await.text(), "201");
    assert_eq!(cluster.delete(&format!("{RANGES}/more"), Value::Null).await.code, 200);
    let refused = cluster.create(SERVICES, wanted("b", "10.99.0.8")).await;
    assert!(refused.text().contains("the provided network does not match the current range"), "{refused:?}");
    assert_eq!(address_of(&cluster, "a").await, "10.99.0.7");
}

#[tokio::test]
async fn an_address_that_is_deleted_by_hand_is_there_again_and_its_service_says_so() {
    let cluster = cluster().await;
    assert_eq!(cluster.create(SERVICES, service("a", json!({}))).await.code, 201);
    let before = addresses(&cluster).await;
    let address = address_of(&cluster, "a").await;
    assert_eq!(cluster.delete(&format!("{ADDRESSES}/{address}"), Value::Null).await.code, 200);
    assert_eq!(addresses(&cluster).await, before);
    let events = cluster.get("/api/v1/namespaces/default/events").await.body;
    let event = events["items"].as_array().into_iter().flatten().find(|event| event["involvedObject"]["name"] == "a");
    let event = event.expect("an event");
    assert_eq!((&event["reason"], &event["type"]), (&json!("ClusterIPNotAllocated"), &json!("Warning")));
    assert_eq!(event["message"], format!("Cluster IP [IPv4]: {address} is not allocated; repairing"));
    assert_eq!(event["reportingComponent"], "ipallocator-repair-controller");
}

#[tokio::test]
async fn a_start_repairs_what_does_not_fit() {
    let cluster = cluster().await;
    let labels = [
        ("a", json!({"ipaddress.kubernetes.io/managed-by": null})),
        ("b", json!({"ipaddress.kubernetes.io/ip-family": null})),
        ("c", json!({"ipaddress.kubernetes.io/ip-family": "IPv6"})),
    ];
    for (name, _) in &labels {
        assert_eq!(cluster.create(SERVICES, service(name, json!({}))).await.code, 201);
    }
    let b = address_of(&cluster, "b").await;
    let before = addresses(&cluster).await;
    let mut known = Vec::new();
    for (name, changed) in &labels {
        let address = format!("{ADDRESSES}/{}", address_of(&cluster, name).await);
        let mut changed = json!({"metadata": {"labels": changed}});
        changed["metadata"]["labels"]["own"] = "x".into();
        let patched = cluster.ask("PATCH", &address, MERGE, &changed.to_string()).await;
        assert_eq!(patched.text(), "200");
        known.push((address, patched.body["metadata"].clone()));
    }
    let label = json!({"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    for (address, owner) in [("10.43.0.70", "gone"), ("10.43.0.71", "b")] {
        let parent = json!({"resource": "services", "namespace": "default", "name": owner});
        let left = json!({"metadata": {"name": address, "labels": label}, "spec": {"parentRef": parent}});
        assert_eq!(cluster.create(ADDRESSES, left).await.text(), "201");
    }
    // Their Services might be about to be written for so long.
    cluster.clock.advance(Duration::from_secs(61));
    let cluster = again_with(cluster, portolan_apiserver::Access::default()).await;
    assert_eq!(addresses(&cluster).await, before);
    for (address, before) in known {
        let now = cluster.get(&address).await.body["metadata"].clone();
        let expected = json!({
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io", "ipaddress.kubernetes.io/ip-family": "IPv4",
            "own": "x",
        });
        assert_eq!(now["labels"], expected, "{address}");
        for kept in ["uid", "creationTimestamp", "generation"] {
            assert_eq!(now[kept], before[kept], "{kept} of {address}");
        }
    }
    let again = cluster.create(SERVICES, service("d", json!({"clusterIP": b}))).await;
    assert!(again.text().ends_with("provided IP is already allocated"), "{again:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_repaired_every_three_minutes() {
    let cluster = cluster().await;
    let serving = cluster.serve().await;
    assert_eq!(cluster.create(SERVICES, service("a", json!({}))).await.code, 201);
    let before = addresses(&cluster).await;
    let label = json!({"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    let parent = json!({"resource": "services", "namespace": "default", "name": "gone"});
    let left = json!({"metadata": {"name": "10.43.0.70", "labels": label}, "spec": {"parentRef": parent}});
    assert_eq!(cluster.create(ADDRESSES, left).await.text(), "201");
    cluster.clock.advance(Duration::from_secs(61));
    assert_eq!(addresses(&cluster).await.len(), 1 + before.len());
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(181)).await;
    tokio::time::resume();
    let repaired = async {
        while addresses(&cluster).await != before {
            tokio::task::yield_now().await;
        }
        loop {
            let events = cluster.get("/api/v1/namespaces/default/events").await.body;
            let events = events["items"].as_array().into_iter().flatten();
            if let Some(event) = events.clone().find(|event| event["involvedObject"]["kind"] == "IPAddress") {
                return event.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let event = tokio::time::timeout(Duration::from_secs(20), repaired).await.expect("in time");
    assert_eq!(
        (&event["reason"], &event["message"], &event["involvedObject"]["name"]),
        (
            &json!("IPAddressNotAllocated"),
            &json!("IPAddress: 10.43.0.70 for Service default/gone appears to have leaked: cleaning up"),
            &json!("10.43.0.70")
        )
    );
    serving.end().await;
}

#[tokio::test]
async fn what_is_found_again_is_counted() {
    let cluster = cluster().await;
    let serving = cluster.serve().await;
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.99.0.0/24"]}});
    assert_eq!(cluster.create(RANGES, range).await.text(), "201");
    let outside = service("a", json!({"clusterIP": "10.99.0.7"}));
    assert_eq!(cluster.create(SERVICES, outside).await.text(), "201");
    assert_eq!(cluster.delete(&format!("{RANGES}/more"), Value::Null).await.code, 200);
    for series in [Value::Null, json!(2)] {
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(181)).await;
        tokio::time::resume();
        let told = async {
            loop {
                let events = cluster.get("/apis/events.k8s.io/v1/namespaces/default/events").await.body;
                let events = events["items"].as_array().into_iter().flatten();
                let found: Vec<_> = events.filter(|event| event["regarding"]["name"] == "a").cloned().collect();
                if found.first().is_some_and(|event| event["series"]["count"] == series) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("in time");
        let [event] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(event["reason"], "ClusterIPOutOfRange");
        let instance = event["reportingInstance"].as_str().unwrap_or_default();
        assert!(instance.starts_with("ipallocator-repair-controller-"), "{instance}");
    }
    serving.end().await;
}
