//! Where the proxies of pods and services go, and where not.

use portolan_apiserver::Peer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{Cluster, cluster, own_address, request};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Says `reached` to whoever asks, on all addresses of this machine.
async fn listen() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nreached";
            let _ = stream.write_all(answer).await;
        }
    });
    (port, task)
}

async fn said(cluster: &Cluster, uri: &str) -> String {
    let answer = cluster.get(uri).await;
    match answer.body.as_str() {
        Some(body) => body.to_owned(),
        None => answer.text(),
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "x"}]}})
}

#[tokio::test]
async fn what_is_passed_on_says_where_it_comes_from() {
    let cluster = cluster().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let told = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.expect("a request");
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.expect("arrives");
        String::from_utf8_lossy(&head[..length]).to_lowercase()
    });
    assert_eq!(cluster.create(PODS, pod("a")).await.code, 201);
    cluster.place_pod("a", &own_address().to_string()).await;
    let binding = json!({
        "metadata": {"name": "all"}, "subjects": [{"kind": "Group", "name": "system:unauthenticated"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    let bound = cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await;
    assert_eq!(bound.code, 201);
    let mut request = request("GET", &format!("{PODS}/a:{port}/proxy/x//y/?q=1"), "", "");
    request.headers_mut().insert("x-forwarded-for", http::HeaderValue::from_static("192.0.2.1"));
    let answer = cluster.server.handle(request, Peer::tls(&[], ([198, 51, 100, 7], 50000).into())).await;
    assert_eq!(answer.status(), 200);
    let told = told.await.expect("no panic");
    for expected in [
        "x-forwarded-for: 192.0.2.1, 198.51.100.7\r\n".to_owned(),
        format!("x-forwarded-uri: {PODS}/a:{port}/proxy/x/y/\r\n"),
    ] {
        assert!(told.contains(&expected), "{expected}: {told}");
    }
}

#[tokio::test]
async fn options_of_logs_are_checked_before_the_pod_is_looked_for() {
    let cluster = cluster().await;
    let invalid = "422 PodLogOptions \"p\" is invalid: ";
    for (query, expected) in [
        ("tailLines=-1", format!("{invalid}tailLines: Invalid value: -1: must be greater than or equal to 0")),
        ("limitBytes=0", format!("{invalid}limitBytes: Invalid value: 0: must be greater than 0")),
        ("sinceSeconds=0", format!("{invalid}sinceSeconds: Invalid value: 0: must be greater than 0")),
        (
            "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z",
            format!("{invalid}[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"),
        ),
        ("stream=Stdout", format!("{invalid}stream: Forbidden: may not be specified")),
        ("tailLines=many", "400 strconv.ParseInt: parsing \"many\": invalid syntax".to_owned()),
        ("tailLines=0", "404 pods \"p\" not found".to_owned()),
    ] {
        assert_eq!(cluster.get(&format!("{PODS}/p/log?{query}")).await.text(), expected, "{query}");
    }
}

#[tokio::test]
async fn streams_are_refused_in_the_order_and_words_of_upstream() {
    let cluster = cluster().await;
    let node = json!({
        "metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
    });
    assert_eq!(cluster.create("/api/v1/nodes", node).await.code, 201);
    let container = |name: &str| json!({"name": name, "image": "x"});
    let mut placed = pod("placed");
    placed["spec"]["nodeName"] = "n".into();
    let mut many = pod("many");
    many["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "a"});
    many["spec"]["containers"] = json!([container("a"), container("b")]);
    many["spec"]["initContainers"] = json!([container("first")]);
    for pod in [pod("waits"), placed, many] {
        assert_eq!(cluster.create(PODS, pod).await.code, 201);
    }
    let unchosen = "400 a container name must be specified for pod many, choose one of: [first a b]";
    for (path, expected) in [
        ("none/exec?command=x", "404 pods \"none\" not found"),
        ("many/exec?command=x", unchosen),
        ("many/attach", unchosen),
        ("many/log", unchosen),
        ("many/exec?command=x&container=c", "400 container c is not valid for pod many"),
        ("many/exec?command=x&container=first", "400 pod many does not have a host assigned"),
        ("waits/attach?stdin=true", "400 pod waits does not have a host assigned"),
        ("waits/portforward", "400 pod waits does not have a host assigned"),
        ("waits/log", "204"),
        ("placed/exec?command=x", "400 Upgrade request required"),
        ("placed/attach", "400 Upgrade request required"),
        ("placed/portforward?ports=80,81", "400 Upgrade request required"),
        (
            "placed/portforward?ports=80,x",
            "400 cannot convert to []int32: strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "none/portforward?ports=65536",
            "400 cannot convert to []int32: strconv.ParseUint: parsing \"65536\": value out of range",
        ),
    ] {
        assert_eq!(cluster.get(&format!("{PODS}/{path}")).await.text(), expected, "{path}");
    }
}

#[tokio::test]
async fn nothing_but_pods_of_the_namespace_is_reached_through_a_service() {
    let cluster = cluster().await;
    let (port, task) = listen().await;
    assert_eq!(cluster.create(PODS, pod("a")).await.code, 201);
    let own = own_address().to_string();
    cluster.place_pod("a", &own).await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    assert_eq!(cluster.create("/api/v1/namespaces/default/services", service).await.code, 201);
    let endpoints = |ip: &str, target: Value| {
        json!({
            "metadata": {"name": "s"},
            "subsets": [{"addresses": [{"ip": ip, "targetRef": target}], "ports": [{"port": port}]}],
        })
    };
    let path = "/api/v1/namespaces/default/endpoints";
    let refused = cluster.create(path, endpoints("127.0.0.1", Value::Null)).await;
    assert_eq!(
        refused.text(),
        "422 Endpoints \"s\" is invalid: subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": \
         may not be in the loopback range (127.0.0.0/8, ::1/128)"
    );
    let proxy = "/api/v1/namespaces/default/services/s:80/proxy/x";
    let none = "503 no endpoints available for service \"s:80\"";
    let target = |namespace: &str, name: &str| json!({"kind": "Pod", "namespace": namespace, "name": name});
    for (ip, target, expected) in [
        (own.as_str(), Value::Null, none),
        (&own, target("other", "a"), none),
        (&own, target("default", "missing"), none),
        ("10.42.0.77", target("default", "a"), none),
        (&own, target("default", "a"), "reached"),
    ] {
        let written = cluster.update(&format!("{path}/s"), &endpoints(ip, target.clone())).await;
        assert!(written.code.is_success(), "{written:?}");
        assert_eq!(said(&cluster, proxy).await, expected, "{ip} {target}");
    }
    // A status may say anything; the way there is refused.
    cluster.place_pod("a", "127.0.0.1").await;
    assert_eq!(said(&cluster, proxy).await, none);
    task.abort();
}

#[tokio::test]
async fn pods_and_ports_of_nodes_on_this_machine_alone_are_refused() {
    let cluster = cluster().await;
    let (port, task) = listen().await;
    assert_eq!(cluster.create(PODS, pod("a")).await.code, 201);
    let of_pod = format!("{PODS}/a:{port}/proxy/x");
    assert_eq!(said(&cluster, &of_pod).await, "400 address not allowed", "it has no address yet");
    for (address, expected) in [
        ("127.0.0.1", "400 address not allowed"),
        ("0.0.0.0", "400 address not allowed"),
        ("169.254.169.254", "400 address not allowed"),
        ("::1", "400 address not allowed"),
        ("224.0.0.1", "400 address not allowed"),
        (&*own_address().to_string(), "reached"),
    ] {
        cluster.place_pod("a", address).await;
        assert_eq!(said(&cluster, &of_pod).await, expected, "{address}");
    }
    let node = |address: &str| {
        json!({
            "metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        })
    };
    let made = cluster.create("/api/v1/nodes", node("127.0.0.1")).await;
    assert_eq!(made.code, 201, "{made:?}");
    let of_node = format!("/api/v1/nodes/n:{port}/proxy/x");
    assert_eq!(said(&cluster, &of_node).await, "400 address not allowed");
    task.abort();
}

#[tokio::test]
async fn a_closed_port_is_told_as_upstream_tells_it() {
    let cluster = cluster().await;
    let own = own_address().to_string();
    let closed = TcpListener::bind("0.0.0.0:0").await.expect("a port").local_addr().expect("an address").port();
    let node = json!({
        "metadata": {"name": "n"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": own}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": closed}},
        },
    });
    let made = cluster.create("/api/v1/nodes", node).await;
    assert_eq!(made.code, 201, "{made:?}");
    let mut pod = pod("a");
    pod["spec"]["nodeName"] = "n".into();
    let made = cluster.create(PODS, pod).await;
    assert_eq!(made.code, 201, "{made:?}");
    cluster.place_pod("a", &own).await;
    let why = format!("dial tcp {own}:{closed}: connect: connection refused");
    let answer = cluster.get(&format!("{PODS}/a:{closed}/proxy/x")).await;
    assert_eq!(answer.text(), format!("503 error trying to reach service: {why}"));
    assert_eq!(answer.body["reason"], "ServiceUnavailable");
    let answer = cluster.get(&format!("{PODS}/a/log")).await;
    assert_eq!(answer.text(), format!("500 Get \"https://{own}:{closed}/containerLogs/default/a/a\": {why}"));
}
