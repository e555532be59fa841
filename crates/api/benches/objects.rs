//! What the server does to one object on its way in and out: cost per object, best of several runs.
//!
//! ```sh
//! cargo bench -p portolan-api
//! ```
//!
//! Compare the lines with each other (a decode is the unit), not with another machine's.

use std::hint::black_box;
use std::time::{Duration, Instant};

use portolan_api::apply::{self, Apart, Force, Kind, Manager};
use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::{encoded, patch, protobuf, schema};
use portolan_base::Timestamp;
use serde_json::{Value, json};

fn pod() -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example.com/shop/storefront:1.2.3", "imagePullPolicy": "IfNotPresent",
            "args": ["--listen=0.0.0.0:8080", "--log=info"], "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "env": [{"name": "CATALOG_URL", "value": "http://catalog:8080"},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "livenessProbe": {"failureThreshold": 3, "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"},
                "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1},
            "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "token", "readOnly": true}],
        })
    };
    let condition = |name: &str| json!({"lastTransitionTime": "2026-01-02T03:04:05Z", "status": "True", "type": name});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "storefront-7d4b9c6f5-x2x9z", "namespace": "shop", "uid": "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0",
            "creationTimestamp": "2026-01-02T03:04:05Z", "generateName": "storefront-7d4b9c6f5-",
            "labels": {"app": "storefront", "pod-template-hash": "7d4b9c6f5", "tier": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true,
                "kind": "ReplicaSet", "name": "storefront-7d4b9c6f5", "uid": "1b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"}]},
        "spec": {
            "containers": [container("storefront"), container("sidecar")], "dnsPolicy": "ClusterFirst",
            "nodeName": "node-17", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
            "tolerations": [{"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists",
                "tolerationSeconds": 300}],
            "volumes": [{"name": "token", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]}}]},
        "status": {
            "conditions": [condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [{"name": "storefront", "ready": true, "restartCount": 0, "started": true,
                "image": "registry.example.com/shop/storefront:1.2.3", "imageID": "sha256:0123456789abcdef",
                "containerID": "containerd://0123456789abcdef", "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}}}],
            "phase": "Running", "podIP": "10.42.3.17", "qosClass": "Burstable", "startTime": "2026-01-02T03:04:05Z"}
    })
}

/// A pod as two managers leave it: more than half of it says who wrote which field.
fn managed_pod(kind: &Kind<'_>) -> Value {
    let mut live = pod();
    let creator = Manager { name: "creator", api_version: "v1", subresource: "", now: Timestamp::UNIX_EPOCH };
    apply::track_update(None, &mut live, kind, &creator);
    let mut applied = pod();
    applied["metadata"] = json!({"name": live["metadata"]["name"], "namespace": live["metadata"]["namespace"]});
    let owner = Manager { name: "kubectl", ..creator };
    apply::apply(Some(&live), &applied, kind, &owner, Force::Yes).expect("forced")
}

/// Prints what a piece of work costs, and returns that in microseconds.
fn measure<T>(name: &str, mut work: impl FnMut() -> T) -> f64 {
    const ROUNDS: u32 = 500;
    let round = |work: &mut dyn FnMut() -> T| {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(work());
        }
        start.elapsed() / ROUNDS
    };
    let best = (0..10).map(|_| round(&mut work)).min().unwrap_or(Duration::ZERO);
    let best = best.as_secs_f64() * 1e6;
    println!("{name:<42} {best:>9.2} us");
    best
}

fn main() {
    let start = Instant::now();
    black_box(builtin());
    println!("{:<42} {:>9.2} us", "read the description (once)", start.elapsed().as_secs_f64() * 1e6);

    let kind = GroupVersionKind { group: "", version: "v1", kind: "Pod" };
    let pod_schema = builtin().schema(kind).expect("pods are built in");
    let manager = Manager { name: "kubelet", api_version: "v1", subresource: "", now: Timestamp::UNIX_EPOCH };
    let pods = Kind { schema: pod_schema, ignored: &[&["status"]], convert: &|_, _| None };
    let mut live = pod();
    apply::track_update(None, &mut live, &pods, &manager);
    let bytes = serde_json::to_vec(&live).expect("values serialise");
    println!("a pod of {} bytes", bytes.len());

    measure("decode", || decode::json(&bytes, &Limits::default()).expect("JSON"));
    measure("decode with serde_json", || serde_json::from_slice::<Value>(&bytes).expect("JSON"));
    measure("check", || schema::check(&live, kind));
    measure("copy", || live.clone());
    measure("copy and prune", || {
        let mut value = live.clone();
        drop(schema::prune(&mut value, pod_schema));
        value
    });
    measure("serialise", || serde_json::to_vec(&live).expect("values serialise"));
    measure("header", || encoded::Header::scan(&bytes));
    measure("status.phase", || encoded::string_at(&bytes, &["status", "phase"]));
    measure("insert the resource version", || encoded::with_resource_version(&bytes, 123_456));

    let change = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}], "podIP": "10.42.3.18"}});
    let mut changed = live.clone();
    measure("strategic merge patch", || {
        let mut value = live.clone();
        patch::strategic::apply(&mut value, &change, pod_schema).expect("applies");
        value
    });
    patch::strategic::apply(&mut changed, &change, pod_schema).expect("applies");
    measure("copy and track an update", || {
        let mut value = changed.clone();
        apply::track_update(Some(&live), &mut value, &pods, &manager);
        value
    });
    let mut applied = pod();
    applied["metadata"] = json!({"name": "storefront-7d4b9c6f5-x2x9z", "namespace": "shop"});
    let owner = Manager { name: "kubectl", ..manager };
    let live = apply::apply(Some(&live), &applied, &pods, &owner, Force::Yes).expect("forced");
    measure("server-side apply that changes nothing", || {
        apply::apply(Some(&live), &applied, &pods, &owner, Force::No).expect("no conflict")
    });
    applied["spec"]["containers"][0]["image"] = "registry.example.com/shop/storefront:1.2.4".into();
    measure("server-side apply that changes a field", || {
        apply::apply(Some(&live), &applied, &pods, &owner, Force::Yes).expect("forced")
    });
    let mut object = live.clone();
    let managers = object["metadata"].as_object_mut().and_then(|it| it.remove("managedFields"));
    let managers = managers.map(|list| list.to_string()).unwrap_or_default();
    measure("the same, managers beside the object", || {
        let live = Apart { object: &object, managers: managers.as_bytes() };
        apply::apply_apart(Some(live), &applied, &pods, &owner, Force::Yes).expect("forced")
    });
    in_protobuf(&pods);
}

/// What a stored object costs on its way to a client that wants protobuf.
fn in_protobuf(pods: &Kind<'_>) {
    let live = managed_pod(pods);
    let stored = live.to_string().into_bytes();
    let start = Instant::now();
    let written = protobuf::encode(&stored).expect("fits");
    println!("{:<42} {:>9.2} us", "read the messages (once)", start.elapsed().as_secs_f64() * 1e6);
    println!("a pod of {} bytes, {} in protobuf", stored.len(), written.len());
    let parse = measure("decode with serde_json", || serde_json::from_slice::<Value>(&stored).expect("JSON"));
    let encode = measure("encode in protobuf", || protobuf::encode(&stored).expect("fits"));
    println!("{:<42} {:>9.2}", "encode / decode", encode / parse);
    measure("a list of 1, in protobuf", || list_of(&stored, 1));
    measure("a list of 500, in protobuf", || list_of(&stored, 500));
    measure("decode from protobuf", || protobuf::decode(&written, None, &Limits::default()).expect("reads"));
}

fn list_of(stored: &[u8], count: usize) -> Vec<Vec<u8>> {
    let kind = GroupVersionKind { group: "", version: "v1", kind: "Pod" };
    let mut list = protobuf::List::new(kind, b"{}").expect("pods are built in");
    for _ in 0..count {
        list.push(stored).expect("fits");
    }
    list.finish()
}
