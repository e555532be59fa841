//! The node's HTTP API, as the API server speaks to it for `kubectl`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portolan_api::typed::kinds::core::v1::Node as NodeObject;
use portolan_identity::{Authority, Usage, client_tls, server_tls};
use portolan_node::ServerConfig;
use portolan_runtime::simulated::program::{End, Program};
use portolan_runtime::spdy::{Connection, Headers, Limits, Role};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{NODE, Node};

/// Nothing here waits for longer; it only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(30);

struct Lab {
    node: Node,
    port: u16,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let authority = Authority::load_or_create(folder.path(), "test").expect("an authority");
        let mut node = Node::prepare();
        let key_pair = issue(&authority, NODE, Usage::Server);
        node.server = Some(ServerConfig {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: server_tls(&key_pair, authority.certificate_pem()).expect("valid settings"),
        });
        node.run();
        node.create("web", json!({})).await;
        node.until_ready("web").await;
        let port = loop {
            let nodes = node.api.objects::<NodeObject>();
            let status = nodes.first().and_then(|node| node.status.clone()).unwrap_or_default();
            let endpoint = status.daemon_endpoints.and_then(|endpoints| endpoints.kubelet_endpoint);
            match endpoint {
                Some(endpoint) => break u16::try_from(endpoint.port).expect("a port"),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        Self { node, port, authority, _folder: folder }
    }

    async fn connect(&self, name: Option<&str>) -> TlsStream<TcpStream> {
        let key_pair = name.map(|name| issue(&self.authority, name, Usage::Client));
        let tls = client_tls(self.authority.certificate_pem(), key_pair.as_ref()).expect("valid settings");
        let mut tls = (*tls).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.expect("it listens");
        let server = ServerName::try_from("127.0.0.1").expect("an address");
        TlsConnector::from(Arc::new(tls)).connect(server, stream).await.expect("TLS")
    }

    async fn send(&self, name: Option<&str>, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = self.connect(name).await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection.with_upgrades());
        tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("in time").expect("an answer")
    }

    async fn get(&self, name: Option<&str>, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).header("host", "node").body(Full::default()).expect("valid");
        let response = self.send(name, request).await;
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    async fn websocket(&self, path: &str, protocol: &str) -> WebSocketStream<TlsStream<TcpStream>> {
        let request = Request::get(format!("wss://node{path}"))
            .header("host", "node")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", tokio_tungstenite::tungstenite::handshake::client::generate_key())
            .header("sec-websocket-protocol", protocol)
            .body(())
            .expect("valid");
        let stream = self.connect(Some(API_SERVER)).await;
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("a WebSocket");
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        socket
    }

    async fn spdy(&self, path: &str, protocol: &str) -> Connection {
        let request = Request::post(path)
            .header("host", "node")
            .header("connection", "Upgrade")
            .header("upgrade", "SPDY/3.1")
            .header("x-stream-protocol-version", protocol)
            .body(Full::default())
            .expect("valid");
        let mut response = self.send(Some(API_SERVER), request).await;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["x-stream-protocol-version"], protocol);
        let upgraded = hyper::upgrade::on(&mut response).await.expect("upgraded");
        Connection::new(TokioIo::new(upgraded), Role::Client, Limits::default())
    }
}

const API_SERVER: &str = "kube-apiserver-kubelet-client";

fn issue(authority: &Authority, name: &str, usage: Usage) -> portolan_identity::KeyPairPem {
    let request = portolan_identity::Request {
        common_name: name.into(),
        organizations: [None, None],
        dns_names: vec!["localhost".into()],
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        usage,
        valid_for: Duration::from_secs(3600),
    };
    authority.issue(&request).expect("a certificate")
}

/// Collects the messages of a remote command by channel, until the server closes.
async fn collect(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> [String; 4] {
    let mut channels: [Vec<u8>; 4] = Default::default();
    let all = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(bytes) = message {
                channels[usize::from(bytes[0])].extend_from_slice(&bytes[1..]);
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the server closes");
    channels.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn only_the_api_server_and_masters_get_in() {
    let lab = Lab::start().await;
    assert_eq!(lab.get(Some(API_SERVER), "/healthz").await, (StatusCode::OK, "ok".into()));
    assert_eq!(lab.get(None, "/healthz").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(lab.get(Some("mallory"), "/healthz").await.0, StatusCode::FORBIDDEN);
    assert_eq!(lab.get(Some(API_SERVER), "/nothing").await.0, StatusCode::NOT_FOUND);
    let (status, pods) = lab.get(Some(API_SERVER), "/pods").await;
    assert!(status.is_success() && pods.contains("\"kind\":\"PodList\"") && pods.contains("\"web\""));
    lab.node.stop().await;
}

#[tokio::test]
async fn what_containers_use_is_told_in_three_forms() {
    let lab = Lab::start().await;
    let get = |path: &'static str| lab.get(Some(API_SERVER), path);
    let (status, text) = get("/stats/usage").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let usage: portolan_api::usage::NodeUsage = serde_json::from_str(&text).expect("usage");
    let [pod] = &usage.pods[..] else { panic!("{usage:?}") };
    assert_eq!((&*pod.namespace, &*pod.name, &*pod.containers[0].name), ("default", "web", "app"));
    assert!(pod.containers[0].usage.window_ms > 0 && usage.node.is_some_and(|node| node.memory_bytes > 0), "{usage:?}");
    let (status, text) = get("/stats/summary").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let summary: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(summary["pods"][0]["podRef"]["name"], "web", "{summary}");
    assert!(summary["node"]["cpu"]["usageCoreNanoSeconds"].as_u64() > Some(0), "{summary}");
    let (status, text) = get("/metrics/resource").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    for words in [
        "# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total ",
        "container_cpu_usage_seconds_total{container=\"app\",namespace=\"default\",pod=\"web\"} ",
        "container_start_time_seconds{container=\"app\",namespace=\"default\",pod=\"web\"} ",
        "pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"} ",
        "\nresource_scrape_error 0\n",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    lab.node.stop().await;
}

#[tokio::test]
async fn logs_are_served_and_refusals_say_why() {
    let lab = Lab::start().await;
    lab.node.runtime.set_program("talker", Program { output: vec!["one".into(), "two".into()], ..Program::default() });
    let containers = json!([{"name": "talker", "image": "app:1"}]);
    lab.node.create("talk", json!({"containers": containers})).await;
    lab.node.until_ready("talk").await;
    let get = |path: &'static str| lab.get(Some(API_SERVER), path);
    assert_eq!(get("/containerLogs/default/talk/talker").await, (StatusCode::OK, "one\ntwo\n".into()));
    assert_eq!(get("/containerLogs/default/talk/talker?tailLines=1").await.1, "two\n");
    let (status, text) = get("/containerLogs/default/talk/talker?previous=true").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(text, "previous terminated container \"talker\" in pod \"talk\" not found");
    let missing = |text: &str| (StatusCode::NOT_FOUND, text.to_owned());
    let unknown = get("/containerLogs/default/talk/nobody").await;
    assert_eq!(unknown, missing("container \"nobody\" not found in pod \"talk\""));
    let unknown = get("/containerLogs/default/nobody/talker").await;
    assert_eq!(unknown, missing("pod \"nobody\" does not exist"));
    assert_eq!(get("/containerLogs/default/talk/talker?tailLines=x").await.0, StatusCode::BAD_REQUEST);
    lab.node.stop().await;
}

#[tokio::test]
async fn a_log_over_websocket_comes_in_messages_and_ends_well() {
    let lab = Lab::start().await;
    lab.node.runtime.set_program("talker", Program { output: vec!["one".into()], ..Program::default() });
    let containers = json!([{"name": "talker", "image": "app:1"}]);
    lab.node.create("talk", json!({"containers": containers})).await;
    lab.node.until_ready("talk").await;
    for (protocol, expected) in [("binary.k8s.io", "one\n"), ("base64.binary.k8s.io", "b25lCg==")] {
        let mut socket = lab.websocket("/containerLogs/default/talk/talker", protocol).await;
        let mut text = Vec::new();
        let code = loop {
            let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").expect("an end");
            match message.expect("a message") {
                Message::Close(frame) => break frame.map(|frame| u16::from(frame.code)),
                message => text.extend(message.into_data()),
            }
        };
        assert_eq!((String::from_utf8_lossy(&text).as_ref(), code), (expected, Some(1000)));
    }
    lab.node.stop().await;
}

#[tokio::test]
async fn a_command_over_websocket_tells_its_output_and_exit_code() {
    let lab = Lab::start().await;
    for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io"] {
        let path = "/exec/default/web/app?command=sh&command=-c&command=echo+hello%3B+exit+3&stdout=1&stderr=1";
        let [_, stdout, _, error] = collect(&mut lab.websocket(path, protocol).await).await;
        assert_eq!(stdout, "hello\n");
        assert!(error.contains("command terminated with exit code 3") && error.contains("ExitCode"), "{error}");
        let path = "/exec/default/web/app?command=true&stdout=1";
        let [_, _, _, error] = collect(&mut lab.websocket(path, protocol).await).await;
        assert_eq!(error, r#"{"metadata":{},"status":"Success"}"#);
    }
    lab.node.stop().await;
}

#[tokio::test]
async fn input_over_websocket_ends_with_the_close_signal_of_version_5() {
    let lab = Lab::start().await;
    let mut socket = lab.websocket("/exec/default/web/app?command=cat&stdin=1&stdout=1", "v5.channel.k8s.io").await;
    socket.send(Message::binary(b"\0ping".to_vec())).await.expect("sent");
    socket.send(Message::binary(vec![255, 0])).await.expect("sent");
    let [_, stdout, _, error] = collect(&mut socket).await;
    assert_eq!((stdout.as_str(), error.as_str()), ("ping", r#"{"metadata":{},"status":"Success"}"#));
    lab.node.stop().await;
}

#[tokio::test]
async fn the_last_words_of_a_command_reach_a_client_that_still_sends() {
    let lab = Lab::start().await;
    // As much as waits in the kernels of both sides while nobody reads.
    let words = vec!["x".repeat(20_000); 20];
    let expected: String = words.iter().map(|line| format!("{line}\n")).collect();
    let end = End::Exit { code: 0, after: Duration::ZERO };
    lab.node.runtime.set_program("tell", Program { output: words, end, ..Program::default() });
    let path = "/exec/default/web/app?command=tell&stdin=1&stdout=1";
    let mut socket = lab.websocket(path, "v5.channel.k8s.io").await;
    for _ in 0..200 {
        // Nobody wants to have it.
        if socket.send(Message::binary(vec![0; 32 << 10])).await.is_err() {
            break;
        }
    }
    let [_, stdout, _, error] = collect(&mut socket).await;
    assert_eq!((stdout.len(), error.as_str()), (expected.len(), r#"{"metadata":{},"status":"Success"}"#));
    assert!(stdout == expected);
    lab.node.stop().await;
}

#[tokio::test]
async fn a_command_over_spdy_works_like_over_websocket() {
    let lab = Lab::start().await;
    let connection = lab.spdy("/exec/default/web/app?command=cat&stdin=1&stdout=1", "v4.channel.k8s.io").await;
    let open = |kind: &'static str| connection.open_stream(Headers::new().with("streamtype", kind));
    let mut error = open("error").await.expect("opened");
    let mut stdin = open("stdin").await.expect("opened");
    let mut stdout = open("stdout").await.expect("opened");
    stdin.write_all(b"ping").await.expect("sent");
    stdin.shutdown().await.expect("ended");
    let (mut text, mut status) = (String::new(), String::new());
    let read = async {
        stdout.read_to_string(&mut text).await.expect("read");
        error.read_to_string(&mut status).await.expect("read");
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it ends");
    assert_eq!((text.as_str(), status.as_str()), ("ping", r#"{"metadata":{},"status":"Success"}"#));
    connection.close().await;
    lab.node.stop().await;
}

async fn forward(connection: &Connection, port: u16) -> (String, String) {
    let headers =
        |kind: &str| Headers::new().with("streamtype", kind).with("port", port.to_string()).with("requestid", "0");
    let mut error = connection.open_stream(headers("error")).await.expect("opened");
    let mut data = connection.open_stream(headers("data")).await.expect("opened");
    error.shutdown().await.expect("ended");
    let (mut text, mut failure) = (String::new(), String::new());
    let exchange = async {
        // A port that nobody listens on takes nothing.
        if data.write_all(b"ping").await.is_ok() {
            let _ = data.shutdown().await;
            let _ = data.read_to_string(&mut text).await;
        }
        error.read_to_string(&mut failure).await.expect("read");
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("it ends");
    (text, failure)
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy_and_inside_a_websocket() {
    let lab = Lab::start().await;
    lab.node.runtime.echo_on(8080);
    let connection = lab.spdy("/portForward/default/web", "portforward.k8s.io").await;
    assert_eq!(forward(&connection, 8080).await, ("ping".into(), String::new()));
    let (_, failure) = forward(&connection, 8081).await;
    assert!(failure.starts_with("error forwarding port 8081"), "{failure}");
    connection.close().await;

    let socket = lab.websocket("/portForward/default/web", "SPDY/3.1+portforward.k8s.io").await;
    let (near, far) = tokio::io::duplex(1 << 16);
    let relay = tokio::spawn(async move {
        let (mut sink, mut source) = socket.split();
        let (mut reader, mut writer) = tokio::io::split(near);
        let outward = async {
            let mut buffer = vec![0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                sink.send(Message::binary(buffer[..count].to_vec())).await.expect("sent");
            }
        };
        let inward = async {
            while let Some(Ok(Message::Binary(bytes))) = source.next().await {
                writer.write_all(&bytes).await.expect("taken");
            }
        };
        tokio::select! { () = outward => {}, () = inward => {} }
    });
    let connection = Connection::new(far, Role::Client, Limits::default());
    assert_eq!(forward(&connection, 8080).await, ("ping".into(), String::new()));
    connection.close().await;
    relay.await.expect("no panic");
    lab.node.stop().await;
}

#[tokio::test]
async fn ports_are_forwarded_over_channels_of_a_websocket() {
    let lab = Lab::start().await;
    lab.node.runtime.echo_on(8080);
    for protocol in ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"] {
        let base64 = protocol.contains("base64");
        let mut socket = lab.websocket("/portForward/default/web?port=8081,8080", protocol).await;
        let ping = if base64 { Message::text("2cGluZw==") } else { Message::binary(b"\x02ping".to_vec()) };
        socket.send(ping).await.expect("sent");
        let mut channels: [Vec<u8>; 4] = Default::default();
        let echoed = b"\x90\x1fping";
        while !(channels[2] == echoed && channels[1].len() > 2) {
            let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("it answers");
            let bytes = message.expect("not the end").expect("a message").into_data();
            let (channel, payload) = bytes.split_first().expect("a channel");
            if base64 {
                let payload = STANDARD.decode(payload).expect("base64");
                channels[usize::from(channel - b'0')].extend(payload);
            } else {
                channels[usize::from(*channel)].extend(payload);
            }
        }
        assert_eq!((&channels[0][..], &channels[3][..]), (&b"\x91\x1f"[..], &b"\x90\x1f"[..]));
        let refusal = String::from_utf8_lossy(&channels[1][2..]);
        assert!(channels[1].starts_with(b"\x91\x1f") && refusal.starts_with("error forwarding port 8081"), "{refusal}");
    }
    lab.node.stop().await;
}

#[tokio::test]
async fn malformed_upgrades_are_refused() {
    let lab = Lab::start().await;
    let (status, text) = lab.get(Some(API_SERVER), "/exec/default/web/app?command=true&stdout=1").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert_eq!(lab.get(Some(API_SERVER), "/exec/default/web/app?stdout=1").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(lab.get(Some(API_SERVER), "/exec/default/web/app?command=true").await.0, StatusCode::BAD_REQUEST);
    let missing = lab.get(Some(API_SERVER), "/exec/default/web/no?command=a&stdout=1").await;
    assert_eq!(missing, (StatusCode::INTERNAL_SERVER_ERROR, "container not found (\"no\")".to_owned()));
    let missing = lab.get(Some(API_SERVER), "/attach/default/nobody/app?stdout=1").await;
    assert_eq!(missing, (StatusCode::NOT_FOUND, "pod does not exist".to_owned()));
    let request = Request::post("/exec/default/web/app?command=true&stdout=1")
        .header("host", "node")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .header("x-stream-protocol-version", "v9.channel.k8s.io")
        .body(Full::default())
        .expect("valid");
    assert_eq!(lab.send(Some(API_SERVER), request).await.status(), StatusCode::FORBIDDEN);
    lab.node.stop().await;
}
