//! What nodes and pods use, asked of an agent.

use std::convert::Infallible;
use std::net::IpAddr;

use http::Response;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portolan_api::decode::Limits;
use portolan_api::protobuf;
use portolan_api::usage::{ContainerUsage, NodeUsage, PATH, PodUsage, Usage};
use portolan_apiserver::full;
use portolan_identity::{User, server_tls};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::{Cluster, admin, cluster, pod, request};

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A node whose agent says this.
async fn node(cluster: &Cluster, name: &str, usage: NodeUsage) -> JoinSet<()> {
    let address = IpAddr::from([127, 0, 0, 1]);
    let certificate = cluster.server_certificate(&format!("system:node:{name}"), &[]);
    let tls = server_tls(&certificate, cluster.authority.certificate_pem()).expect("TLS");
    let listener = TcpListener::bind((address, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let status = json!({
        "addresses": [{"type": "InternalIP", "address": address.to_string()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    });
    let made = cluster.create("/api/v1/nodes", json!({"metadata": {"name": name, "labels": {"zone": name}}})).await;
    let mut node = made.body;
    node["status"] = status;
    assert_eq!(cluster.update(&format!("/api/v1/nodes/{name}/status"), &node).await.code, 200);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let acceptor = TlsAcceptor::from(tls);
        while let Ok((stream, _)) = listener.accept().await {
            let stream = acceptor.accept(stream).await.expect("TLS");
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                assert_eq!(request.uri().path(), PATH);
                let body = serde_json::to_string(&usage).expect("JSON");
                async move { Ok::<_, Infallible>(Response::new(full(body))) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            connection.await.expect("a whole conversation");
        }
    });
    serving
}

fn usage(cpu_nanocores: u64, memory_bytes: u64) -> Usage {
    Usage { at_ms: 1_767_323_040_000, window_ms: 15_000, cpu_nanocores, memory_bytes }
}

/// Two nodes, one of which cannot be asked, and a pod on the other.
async fn measured() -> (Cluster, JoinSet<()>) {
    let cluster = cluster().await;
    let mut web = pod("web");
    web["spec"]["nodeName"] = "north".into();
    let uid = cluster.create(PODS, web).await.body["metadata"]["uid"].as_str().expect("a UID").to_owned();
    let mut waits = pod("waits");
    waits["metadata"]["labels"] = json!({"app": "waits"});
    assert_eq!(cluster.create(PODS, waits).await.code, 201);
    let containers = vec![
        ContainerUsage { name: "c".into(), usage: usage(1_500_000, 3 << 20) },
        ContainerUsage { name: "d".into(), usage: usage(2_500_000, 1 << 20) },
    ];
    let pods = vec![
        PodUsage { namespace: "default".into(), name: "web".into(), uid, containers },
        // Of the same name, but gone.
        PodUsage { namespace: "default".into(), name: "waits".into(), uid: "gone".into(), containers: Vec::new() },
    ];
    let agent = node(&cluster, "north", NodeUsage { node: Some(usage(250_000_000, 1 << 30)), pods }).await;
    assert_eq!(cluster.create("/api/v1/nodes", json!({"metadata": {"name": "south"}})).await.code, 201);
    (cluster, agent)
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn what_agents_measure_is_shown_and_not_stored() {
    let (cluster, _agent) = measured().await;
    let before = cluster.get("/api/v1/namespaces").await.revision();
    let node = cluster.get(&format!("{METRICS}/nodes/north")).await;
    assert_eq!(node.code, 200, "{node:?}");
    assert_eq!(node.body["usage"], json!({"cpu": "250m", "memory": "1Gi"}));
    assert_eq!(node.body["window"], "15s");
    assert_eq!(node.body["timestamp"], "2026-01-02T03:04:00Z");
    assert_eq!(node.body["metadata"]["labels"], json!({"zone": "north"}));
    let pod = cluster.get(&format!("{METRICS}/namespaces/default/pods/web")).await;
    assert_eq!(pod.body["containers"][1], json!({"name": "d", "usage": {"cpu": "2500u", "memory": "1Mi"}}));
    // A node that cannot be asked is left out; a pod of which nothing runs too.
    assert_eq!(names(&cluster.get(&format!("{METRICS}/nodes")).await.body), ["north"]);
    for (query, expected) in [
        ("pods", &["web"][..]),
        ("namespaces/default/pods?limit=1", &["web"]),
        ("namespaces/default/pods?labelSelector=app%3Dweb", &["web"]),
        ("namespaces/default/pods?labelSelector=app%3Dwaits", &[]),
        ("namespaces/default/pods?fieldSelector=metadata.name%3Dother", &[]),
        ("namespaces/other/pods", &[]),
        ("nodes?labelSelector=zone%3Dsouth", &[]),
    ] {
        assert_eq!(names(&cluster.get(&format!("{METRICS}/{query}")).await.body), expected, "{query}");
    }
    assert_eq!(cluster.get("/api/v1/namespaces").await.revision(), before, "a measurement was written");
}

#[tokio::test]
async fn measurements_in_protobuf_are_the_same() {
    let (cluster, _agent) = measured().await;
    for path in ["nodes", "nodes/north", "pods", "namespaces/default/pods/web"] {
        let path = format!("{METRICS}/{path}");
        let mut expected = cluster.get(&path).await.body;
        for accept in ["application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf"] {
            let mut asked = request("GET", &path, "", "");
            asked.headers_mut().insert("accept", http::HeaderValue::from_static(accept));
            let answer = cluster.raw(admin(), asked).await;
            assert_eq!(answer.headers()["content-type"], protobuf::MEDIA_TYPE, "{accept} {path}");
            let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
            let mut found = protobuf::decode(&bytes, None, &Limits::default()).expect("reads");
            for value in [&mut expected, &mut found] {
                // The time of the question, and of a list what goes without saying: version and kind of its items.
                let items = value["items"].as_array_mut().into_iter().flatten();
                for item in items {
                    let fields = item.as_object_mut().expect("an object");
                    fields.retain(|name, _| !matches!(name.as_str(), "kind" | "apiVersion"));
                    item["metadata"]["creationTimestamp"] = Value::Null;
                }
                if value["metadata"]["creationTimestamp"].is_string() {
                    value["metadata"]["creationTimestamp"] = Value::Null;
                }
            }
            assert_eq!(found, expected, "{accept} {path}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_measured_says_why() {
    let (cluster, _agent) = measured().await;
    for (method, path, expected) in [
        ("GET", "nodes/missing", "404 nodemetrics.metrics.k8s.io \"missing\" not found"),
        ("GET", "nodes/south", "503 node \"south\" has not said where it is reached"),
        ("GET", "namespaces/default/pods/waits", "404 podmetrics.metrics.k8s.io \"default/waits\" not found"),
        ("GET", "namespaces/default/pods/missing", "404 podmetrics.metrics.k8s.io \"default/missing\" not found"),
        ("GET", "pods?watch=true", "405 the server does not allow this method on the requested resource"),
        ("DELETE", "nodes/north", "405 the server does not allow this method on the requested resource"),
        ("POST", "nodes", "405 the server does not allow this method on the requested resource"),
        ("GET", "secrets", "404 the server could not find the requested resource"),
    ] {
        let answer = cluster.ask(method, &format!("{METRICS}/{path}"), "application/json", "{}").await;
        assert_eq!(answer.text(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn tables_add_containers_up() {
    let (cluster, _agent) = measured().await;
    let mut table = request("GET", &format!("{METRICS}/pods"), "", "");
    let accept = http::HeaderValue::from_static("application/json;as=Table;g=meta.k8s.io;v=v1");
    table.headers_mut().insert(http::header::ACCEPT, accept);
    let table = cluster.send(crate::support::admin(), table).await.body;
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(columns, ["Name", "CPU", "Memory", "Window"]);
    assert_eq!(table["rows"][0]["cells"], json!(["web", "4m", "4Mi", "15s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn whoever_may_look_at_pods_may_see_what_they_use() {
    let (cluster, _agent) = measured().await;
    let binding = json!({
        "metadata": {"name": "look"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:aggregated-metrics-reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    assert_eq!(cluster.create(path, binding).await.code, 201);
    let jane = || User::new("jane", ["system:authenticated"]);
    for (path, expected) in [("namespaces/default/pods", 200), ("pods", 403), ("nodes", 403)] {
        let answer = cluster.send(jane(), request("GET", &format!("{METRICS}/{path}"), "", "")).await;
        assert_eq!(answer.code, expected, "{path}");
    }
}
