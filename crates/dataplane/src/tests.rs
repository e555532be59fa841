//! What is known, across restarts and while the API is away, against a fake API server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use portolan_api::typed::kinds::core::v1::{Node, Pod, Service};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{Object, ServiceInstance};
use portolan_base::{Shutdown, TaskGroup};
use portolan_catalog::{Catalog, Snapshot};
use portolan_client::testing::FakeServer;
use portolan_client::{Body, Client, DeleteOptions, Error, Informers, Transport};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::feed::feed_from;
use crate::last_known;

/// An API server that may be away.
#[derive(Debug)]
struct Switched {
    server: FakeServer,
    away: Arc<AtomicBool>,
}

#[async_trait]
impl Transport for Switched {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Setup("away".into()));
        }
        self.server.send(request).await
    }
}

async fn create<K: Object>(server: &FakeServer, object: Value) {
    let object = K::decode(object.to_string().as_bytes()).expect("well-formed");
    server.client().create(&object).await.expect("created");
}

fn service(name: &str) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name, "annotations": {"note": "long"}},
        "spec": {"type": "ClusterIP", "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "selector": {"app": name}}})
}

async fn shop() -> FakeServer {
    let server = FakeServer::default();
    create::<Service>(&server, service("cart")).await;
    create::<EndpointSlice>(
        &server,
        json!({"metadata": {"namespace": "shop", "name": "cart-x",
                "labels": {"kubernetes.io/service-name": "cart"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.42.0.5"], "conditions": {"ready": true, "serving": true},
                "nodeName": "north", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "cart-1"}}]}),
    )
    .await;
    create::<Pod>(
        &server,
        json!({"metadata": {"namespace": "shop", "name": "cart-1", "labels": {"app": "cart"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"nodeName": "north", "hostname": "one", "subdomain": "cart",
                "initContainers": [
                    {"name": "first", "image": "i", "ports": [{"containerPort": 1, "hostPort": 2}]},
                    {"name": "proxy", "image": "i", "restartPolicy": "Always",
                        "ports": [{"containerPort": 3, "hostPort": 4}]}],
                "containers": [{"name": "cart", "image": "cart:1", "command": ["serve"],
                    "ports": [{"containerPort": 8080}, {"containerPort": 9, "hostPort": 99, "hostIP": "192.0.2.1"}]}]},
            "status": {"phase": "Running", "podIP": "10.42.0.5", "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]}}),
    )
    .await;
    create::<Node>(
        &server,
        json!({"metadata": {"name": "north", "labels": {"topology.kubernetes.io/zone": "a"}},
            "spec": {"podCIDR": "10.42.0.0/24"},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "conditions": [{"type": "Ready", "status": "True"}], "images": [{"names": ["cart:1"], "sizeBytes": 1}]}}),
    )
    .await;
    create::<ServiceInstance>(
        &server,
        json!({"metadata": {"namespace": "shop", "name": "billing-1"},
            "spec": {"service": "billing", "address": "192.0.2.7", "ports": [{"port": 8080}]}}),
    )
    .await;
    server
}

/// A feed that runs, and what it publishes.
struct Running {
    informers: Arc<Informers>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    away: Arc<AtomicBool>,
    shutdown: Shutdown,
    tasks: TaskGroup,
}

impl Running {
    fn start(server: &FakeServer, away: bool, last_known: Vec<portolan_catalog::Input>) -> Self {
        let (shutdown, mut tasks, away) = (Shutdown::default(), TaskGroup::default(), Arc::new(AtomicBool::new(away)));
        let informers = Informers::new(Client::new(Arc::new(Switched { server: server.clone(), away: away.clone() })));
        let (running, stopping) = (informers.clone(), shutdown.clone());
        tasks.spawn("informers", async move { running.run(stopping).await });
        let (sender, snapshots) = watch::channel(Catalog::default().snapshot());
        tasks.spawn("feed", feed_from(informers.clone(), last_known, sender, shutdown.clone()));
        Self { informers, snapshots, away, shutdown, tasks }
    }

    async fn published(&mut self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        self.snapshots.wait_for(wanted).await.expect("the feed runs").clone()
    }

    async fn stop(self) {
        self.shutdown.request();
        assert_eq!(self.tasks.join(std::time::Duration::from_secs(5)).await, [""; 0]);
    }
}

/// What names and rules are made from.
fn essence(snapshot: &Snapshot) -> Vec<String> {
    let mut lines: Vec<String> = snapshot.services().map(|service| format!("{service:?}")).collect();
    lines.extend(snapshot.pods().map(|pod| {
        format!(
            "{:?} {:?} {} {} {:?} {:?} {:?} {:?}",
            pod.key,
            pod.address,
            pod.hostname,
            pod.subdomain,
            pod.node,
            pod.host_network,
            pod.host_ports,
            pod.health.status
        )
    }));
    lines.extend(snapshot.instances().flat_map(|(key, instances)| {
        let line = |instance: &Arc<portolan_catalog::Instance>| {
            format!(
                "{key} {} {} {:?} {:?} {:?}",
                instance.id, instance.address, instance.ports, instance.locality, instance.health.status
            )
        };
        instances.iter().map(line).collect::<Vec<_>>()
    }));
    lines.extend(snapshot.nodes().map(|node| format!("{} {:?} {:?}", node.name, node.addresses, node.pod_cidr)));
    lines.sort();
    lines
}

async fn save(server: &FakeServer, path: &Path) -> Arc<Snapshot> {
    let mut running = Running::start(server, false, Vec::new());
    let snapshot = running.published(|snapshot| snapshot.index() > 0).await;
    let count = last_known::save(path, &running.informers).expect("written");
    assert_eq!(count, 5);
    running.stop().await;
    snapshot
}

#[tokio::test]
async fn names_and_rules_are_the_same_from_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last-known.jsonl");
    let server = shop().await;
    let before = save(&server, &path).await;
    let text = std::fs::read_to_string(&path).expect("readable");
    assert!(!text.contains("last-applied") && !text.contains("cart:1") && !text.contains("long"), "{text}");

    let mut running = Running::start(&server, true, last_known::load(&path).expect("read"));
    let after = running.published(|snapshot| snapshot.index() > 0).await;
    assert_eq!(essence(&before), essence(&after));
    assert!(*running.informers.interrupted().borrow() > 0, "published because the API is away");
    running.stop().await;
}

#[tokio::test]
async fn what_went_while_nobody_looked_is_gone_when_the_api_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last-known.jsonl");
    let server = shop().await;
    save(&server, &path).await;
    server.client().delete::<Service>("shop", "cart", &DeleteOptions::default()).await.expect("deleted");
    create::<Service>(&server, service("later")).await;

    let mut running = Running::start(&server, true, last_known::load(&path).expect("read"));
    let old = running.published(|snapshot| snapshot.index() > 0).await;
    assert!(old.service("shop", "cart").is_some() && old.service("shop", "later").is_none());
    running.away.store(false, Ordering::SeqCst);
    running.informers.retry_now();
    let new = running.published(|snapshot| snapshot.service("shop", "later").is_some()).await;
    assert!(new.service("shop", "cart").is_none() && new.index() > old.index());
    let mut interrupted = running.informers.interrupted();
    interrupted.wait_for(|count| *count == 0).await.expect("the informers run");
    running.stop().await;
}

#[tokio::test]
async fn an_api_that_is_there_is_heard_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last-known.jsonl");
    let server = shop().await;
    save(&server, &path).await;
    server.client().delete::<Service>("shop", "cart", &DeleteOptions::default()).await.expect("deleted");
    let mut running = Running::start(&server, false, last_known::load(&path).expect("read"));
    let first = running.published(|snapshot| snapshot.index() > 0).await;
    assert!(first.service("shop", "cart").is_none(), "the deleted service was never published");
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_none_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last-known.jsonl");
    assert_eq!(last_known::load(&path).expect("no file").len(), 0);
    save(&shop().await, &path).await;
    let whole = std::fs::read_to_string(&path).expect("readable");
    let lines: Vec<&str> = whole.lines().collect();
    let newer = whole.replace("\"kind\":\"Node\",\"object\"", "\"kind\":\"Star\",\"object\"");
    let cases = [
        ("whole", whole.clone(), Ok(5)),
        ("a kind of a newer version", newer, Ok(4)),
        ("empty", String::new(), Err(())),
        ("another format", whole.replace("last-known 1", "last-known 2"), Err(())),
        ("cut off between lines", lines[..3].join("\n"), Err(())),
        ("cut off in a line", whole[..whole.len() / 2].to_owned(), Err(())),
        ("a line is missing", [&lines[..2], &lines[3..]].concat().join("\n"), Err(())),
        ("not text", "\u{0}\u{1}".to_owned(), Err(())),
    ];
    for (what, text, expected) in cases {
        std::fs::write(&path, text).expect("written");
        let loaded = last_known::load(&path);
        assert_eq!(loaded.as_ref().map(Vec::len).map_err(|_| ()), expected, "{what}: {loaded:?}");
    }
}
