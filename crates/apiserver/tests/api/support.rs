//! A server and short ways to ask it.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use portolan_apiserver::{Access, Body, Config, Networks, Peer, Server, empty, full};
use portolan_base::{Clock, ManualClock, Readiness, Shutdown, SystemClock};
use portolan_identity::{
    Authority, KeyPairPem, Request as CertificateRequest, TokenIssuer, Usage, User, server_tls,
    server_tls_for_any_certificate,
};
use portolan_store::embedded::{Embedded, Options};
use portolan_store::{KeyRange, LeaseId, Operation, RangeRequest, Store, Txn};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A server with its store.
pub(crate) struct Cluster {
    pub(crate) server: Arc<Server>,
    pub(crate) store: Arc<Embedded>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) tokens: Arc<TokenIssuer>,
    /// How the parts of the process say that they do.
    pub(crate) readiness: Readiness,
    directory: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The code and, for a refusal, its text; `text:` if that is no object.
    pub(crate) fn text(&self) -> String {
        match (self.body["message"].as_str(), &self.body) {
            (Some(message), _) if self.body["kind"] == "Status" => format!("{} {message}", self.code.as_u16()),
            (_, Value::String(text)) if self.code.is_client_error() && !text.is_empty() => {
                format!("{} text: {}", self.code.as_u16(), text.trim_end())
            }
            _ => self.code.as_u16().to_string(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.body["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("has a revision")
    }
}

pub(crate) async fn cluster() -> Cluster {
    cluster_with(Access::default()).await
}

/// A cluster with settings of its own.
pub(crate) async fn cluster_with(access: Access) -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(Embedded::open(Options::new(directory.path().join("store"))).expect("a store"));
    let clock = Arc::new(ManualClock::new("2026-01-02T03:04:05Z".parse().expect("a time")));
    std::fs::create_dir(directory.path().join("scratch")).expect("a folder");
    let cluster = start(access, directory, store, clock).await;
    let account = json!({"metadata": {"name": "default"}});
    let made = cluster.create("/api/v1/namespaces/default/serviceaccounts", account).await;
    assert_eq!(made.code, 201, "{made:?}");
    cluster
}

/// Another server over the same store.
pub(crate) async fn again_with(cluster: Cluster, access: Access) -> Cluster {
    let Cluster { directory, store, clock, .. } = cluster;
    start(access, directory, store, clock).await
}

async fn start(access: Access, directory: TempDir, store: Arc<Embedded>, clock: Arc<ManualClock>) -> Cluster {
    let authority = Arc::new(Authority::load_or_create(directory.path(), "test").expect("an authority"));
    let tokens = TokenIssuer::load_or_create(directory.path(), "https://kubernetes.default.svc").expect("an issuer");
    let tokens = Arc::new(tokens);
    let node_client = authority
        .issue(&CertificateRequest {
            common_name: "system:apiserver".into(),
            organizations: [None, None],
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Client,
            valid_for: Duration::from_secs(3600),
        })
        .expect("a certificate");
    let readiness = Readiness::default();
    let config = Config {
        store: store.clone(),
        authority: authority.clone(),
        tokens: tokens.clone(),
        clock: clock.clone(),
        networks: Networks::default(),
        advertise: ([192, 0, 2, 10], 6443).into(),
        node_client,
        access,
        readiness: readiness.clone(),
        scratch: directory.path().join("scratch"),
    };
    let server = Server::start(config).await.expect("the server starts");
    Cluster { server, store, clock, authority, tokens, readiness, directory }
}

/// A server that listens.
pub(crate) struct Serving {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Serving {
    /// Has it stop, and waits for that.
    pub(crate) async fn end(self) {
        self.shutdown.request();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("in time").expect("no panic");
    }
}

/// The address of this machine that others reach it by: proxies do not go to loopback addresses. Connecting a
/// datagram socket sends nothing.
pub(crate) fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect("192.0.2.1:9").expect("this machine has a route");
    socket.local_addr().expect("an address").ip()
}

pub(crate) fn admin() -> User {
    User::new("admin", ["system:masters"])
}

impl Cluster {
    /// Lets the cluster's clock show today's time: certificates are made for that.
    pub(crate) fn today(&self) {
        let (now, today) = (Clock::now(&*self.clock), Clock::now(&SystemClock));
        self.clock.advance(Duration::try_from(today.duration_since(now)).expect("the past is behind us"));
    }

    pub(crate) fn scratch_is_empty(&self) -> bool {
        self.directory.path().join("scratch").read_dir().expect("a folder").next().is_none()
    }

    /// A certificate for a server of this machine that has these names too.
    pub(crate) fn server_certificate(&self, common_name: &str, dns_names: &[&str]) -> KeyPairPem {
        let request = CertificateRequest {
            common_name: common_name.to_owned(),
            organizations: [None, None],
            dns_names: dns_names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: vec![[127, 0, 0, 1].into()],
            usage: Usage::Server,
            valid_for: Duration::from_secs(3600),
        };
        self.authority.issue(&request).expect("a certificate")
    }

    /// Another service whose certificate is of the cluster's authority.
    pub(crate) async fn secure_web_server(
        &self,
        handler: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static,
    ) -> Web {
        let certificate = self.server_certificate("web", &["localhost"]);
        let tls = server_tls(&certificate, self.authority.certificate_pem()).expect("settings");
        serve_web(Some(TlsAcceptor::from(tls)), Arc::new(handler)).await
    }

    /// Has the server listen, as only then it looks after what nobody asks about.
    pub(crate) async fn serve(&self) -> Serving {
        let certificate = self.server_certificate("server", &["localhost"]);
        let tls = server_tls_for_any_certificate(&certificate, self.authority.certificate_pem()).expect("settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let shutdown = Shutdown::default();
        let task = tokio::spawn(self.server.clone().serve(listener, tls, shutdown.clone()));
        Serving { shutdown, task }
    }

    pub(crate) async fn raw(&self, user: User, request: Request<Body>) -> http::Response<Body> {
        self.server.handle(request, Peer::Trusted(user.into())).await
    }

    pub(crate) async fn send(&self, user: User, request: Request<Body>) -> Answer {
        let response = self.raw(user, request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("the body arrives").to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Answer { code: parts.status, headers: parts.headers, body }
    }

    /// A request by the admin; `content_type` may be empty.
    pub(crate) async fn ask(&self, method: &str, uri: &str, content_type: &str, body: &str) -> Answer {
        self.send(admin(), request(method, uri, content_type, body)).await
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.ask("GET", uri, "", "").await
    }

    pub(crate) async fn create(&self, uri: &str, body: Value) -> Answer {
        self.ask("POST", uri, "application/json", &body.to_string()).await
    }

    pub(crate) async fn update(&self, uri: &str, body: &Value) -> Answer {
        self.ask("PUT", uri, "application/json", &body.to_string()).await
    }

    pub(crate) async fn delete(&self, uri: &str, options: Value) -> Answer {
        self.ask("DELETE", uri, "application/json", &options.to_string()).await
    }

    pub(crate) async fn config_map(&self, name: &str, labels: Value) -> Answer {
        let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"n": name}});
        let made = self.create("/api/v1/namespaces/default/configmaps", body).await;
        assert_eq!(made.code, 201, "{made:?}");
        made
    }

    /// Writes a slice that says where a service is, past the checks that would refuse a loopback address.
    pub(crate) async fn put_slice(&self, namespace: &str, name: &str, service: &str, port: u16) {
        let labels = json!({"kubernetes.io/service-name": service});
        let slice = json!({
            "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "labels": labels, "uid": "u"}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": port, "name": ""}],
        });
        let key = format!("/registry/discovery.k8s.io/endpointslices/{namespace}/{name}");
        let put = Operation::Put { key: key.into(), value: slice.to_string().into(), lease: None };
        let txn = Txn { compare: Vec::new(), success: vec![put], failure: Vec::new() };
        self.store.txn(txn).await.expect("writes");
    }

    /// Says that a pod has an address.
    pub(crate) async fn place_pod(&self, name: &str, address: &str) {
        let status = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}}).to_string();
        let path = format!("/api/v1/namespaces/default/pods/{name}/status");
        let patched = self.ask("PATCH", &path, "application/merge-patch+json", &status).await;
        assert_eq!(patched.code, 200, "{patched:?}");
    }

    /// The lease that a key was written with.
    pub(crate) async fn lease(&self, key: &'static str) -> Option<LeaseId> {
        let request = RangeRequest { range: KeyRange::key(key), revision: None, limit: 1 };
        let found = self.store.range(request).await.expect("reads").entries;
        found.first().expect("it is there").lease
    }

    pub(crate) async fn compact(&self) {
        let revision = self.store.status().await.revision;
        self.store.compact(revision).await.expect("compacts");
    }
}

pub(crate) fn request(method: &str, uri: &str, content_type: &str, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method.parse::<Method>().expect("a method")).uri(uri);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let body = if body.is_empty() { empty() } else { full(body.to_owned()) };
    request.body(body).expect("a request")
}

/// A request for a certificate, in PEM.
pub(crate) fn certificate_request(common_name: &str, groups: &[&str]) -> String {
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(rcgen::DnType::CommonName, common_name);
    for group in groups {
        subject.push(rcgen::DnType::OrganizationName, *group);
    }
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = subject;
    let key = rcgen::KeyPair::generate().expect("a key");
    params.serialize_request(&key).and_then(|request| request.pem()).expect("a request")
}

pub(crate) fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

type Handler = dyn Fn(&str, &str) -> (u16, String) + Send + Sync;

/// Another service, on a port of its own: path and body in, code and body out.
pub(crate) struct Web {
    pub(crate) url: String,
    handler: Arc<Mutex<Arc<Handler>>>,
    count: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Web {
    /// Answers like this from now on.
    pub(crate) fn answer(&self, handler: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> &Self {
        *self.handler.lock().expect("no panic") = Arc::new(handler);
        self
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

pub(crate) async fn web_server(handler: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Web {
    serve_web(None, Arc::new(handler)).await
}

async fn serve_web(tls: Option<TlsAcceptor>, handler: Arc<Handler>) -> Web {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let url = match &tls {
        Some(_) => format!("https://localhost:{}", address.port()),
        None => format!("http://{address}"),
    };
    let handler = Arc::new(Mutex::new(handler));
    let count = Arc::new(AtomicUsize::new(0));
    let mut serving = JoinSet::new();
    let (answers, counter) = (handler.clone(), count.clone());
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (answers, counter) = (answers.clone(), counter.clone());
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let (answers, counter) = (answers.clone(), counter.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    counter.fetch_add(1, Ordering::SeqCst);
                    let handler = answers.lock().expect("no panic").clone();
                    let (code, text) = handler(parts.uri.path(), &String::from_utf8_lossy(&body));
                    let mut response = http::Response::new(http_body_util::Full::new(bytes::Bytes::from(text)));
                    *response.status_mut() = StatusCode::from_u16(code).expect("a code");
                    Ok::<_, hyper::Error>(response)
                }
            });
            let tls = tls.clone();
            connections.spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes away is no matter.
                match tls {
                    None => drop(connection.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        drop(connection.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            });
        }
    });
    Web { url, handler, count, _serving: serving }
}
