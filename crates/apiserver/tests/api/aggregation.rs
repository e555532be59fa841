//! Extension servers: an HTTPS server behind a Service, and how clients reach it through this one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portolan_apiserver::{Body, Peer, full};
use portolan_identity::{User, server_tls, user_of_certificate};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::{Cluster, admin, cluster, request};
use crate::watches::Watch;

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.demo.example.com";
const WIDGETS: &str = "/apis/demo.example.com/v1/namespaces/default/widgets";

/// An extension server that tells what it was asked.
struct Extension {
    port: u16,
    bundle: String,
    /// What its next stream says, and its end.
    stream: mpsc::Sender<&'static str>,
    _tasks: JoinSet<()>,
}

impl Extension {
    async fn start(cluster: &Cluster) -> Self {
        let certificate = cluster.server_certificate("demo", &["demo.default.svc"]);
        let map = cluster.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").await;
        let proxies = map.body["data"]["requestheader-client-ca-file"].as_str().expect("it is published");
        let mut tls = (*server_tls(&certificate, proxies).expect("settings")).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (stream, said) = mpsc::channel(4);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, TlsAcceptor::from(std::sync::Arc::new(tls)), said));
        Self { port, bundle: STANDARD.encode(cluster.authority.certificate_pem()), stream, _tasks: tasks }
    }

    /// The objects that make it part of the API.
    async fn register(&self, cluster: &Cluster) {
        service(cluster, 443).await;
        cluster.put_slice("default", "demo-1", "demo", self.port).await;
        let made = cluster.create(API_SERVICES, api_service(json!({"caBundle": self.bundle}))).await;
        assert_eq!(made.code, 201, "{made:?}");
        cluster.server.check_extension_servers().await;
        assert_eq!(condition(cluster).await, "True Passed all checks passed");
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, said: mpsc::Receiver<&'static str>) {
    let mut connections = JoinSet::new();
    let said = std::sync::Arc::new(parking_lot::Mutex::new(Some(said)));
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, said) = (tls.clone(), said.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let proxy = certificate.and_then(|it| user_of_certificate(it).ok()).map(|user| user.name);
            let service = service_fn(move |request: Request<Incoming>| {
                let (said, proxy) = (said.clone(), proxy.clone());
                async move { Ok::<_, Infallible>(answer(request, proxy, &said).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the test's server ended");
            }
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    proxy: Option<String>,
    said: &parking_lot::Mutex<Option<mpsc::Receiver<&'static str>>>,
) -> Response<Body> {
    let resource = |name: &str, kind: &str, verbs: Value| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs});
    let document = match request.uri().path() {
        "/apis/demo.example.com/v1" => json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "demo.example.com/v1", "resources": [
                resource("widgets", "Widget", json!(["get", "list", "create"])),
                resource("widgets/log", "WidgetLog", json!(["get"])),
            ],
        }),
        "/openapi/v3" => {
            json!({"paths": {"apis/demo.example.com/v1": {"serverRelativeURL": "/openapi/v3/x?hash=AB"}}})
        }
        "/openapi/v3/apis/demo.example.com/v1" => json!({"openapi": "3.0.0", "info": {"title": "demo"}}),
        "/openapi/v2" => {
            let tag = header::HeaderValue::from_static("\"demo\"");
            let is_known = request.headers().get(header::IF_NONE_MATCH) == Some(&tag);
            let mut response = Response::new(full(if is_known { String::new() } else { document_v2() }));
            *response.status_mut() = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
            response.headers_mut().insert(header::ETAG, tag);
            return response;
        }
        path if path.ends_with("/stream") => {
            let said = said.lock().take().expect("one stream");
            let frames = futures::stream::unfold(said, async |mut said| {
                let text = said.recv().await?;
                Some((Ok(Frame::data(Bytes::from(text))), said))
            });
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            let content_type = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            return response;
        }
        _ if request.headers().contains_key(header::UPGRADE) => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.expect("it upgrades"));
                let mut buffer = [0; 4];
                stream.read_exact(&mut buffer).await.expect("reads");
                buffer.reverse();
                stream.write_all(&buffer).await.expect("writes");
            });
            let mut response = Response::new(full(""));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("demo"));
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
            return response;
        }
        _ => {
            let mut told = BTreeMap::<String, Vec<String>>::new();
            for (name, value) in request.headers() {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                told.entry(name.as_str().to_owned()).or_default().push(value);
            }
            let line = format!("{} {}", request.method(), request.uri());
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            json!({"line": line, "headers": told, "body": String::from_utf8_lossy(&body), "proxy": proxy})
        }
    };
    Response::new(full(document.to_string()))
}

fn document_v2() -> String {
    let get =
        |name: &str| json!({"get": {"responses": {"200": {"schema": {"$ref": format!("#/definitions/{name}")}}}}});
    let document = json!({
        "swagger": "2.0", "info": {"title": "demo"},
        "paths": {
            "/apis/demo.example.com/v1/widgets": get("com.example.demo.v1.Widget"),
            "/apis/demo.example.com/v2/widgets": get("com.example.demo.v2.Widget"),
        },
        "definitions": {
            "com.example.demo.v1.Widget": {
                "description": "A widget.", "type": "object",
                "properties": {"metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}},
                "x-kubernetes-group-version-kind": [{"group": "demo.example.com", "version": "v1", "kind": "Widget"}],
            },
            "com.example.demo.v2.Widget": {"type": "object"},
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object"},
        },
    });
    document.to_string()
}

fn api_service(more: Value) -> Value {
    let mut service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.demo.example.com"},
        "spec": {
            "group": "demo.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "default", "name": "demo"},
        },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        service["spec"][name.as_str()] = value.clone();
    }
    service
}

async fn service(cluster: &Cluster, port: u16) {
    let body = json!({"metadata": {"name": "demo"}, "spec": {"ports": [{"port": port}]}});
    let made = cluster.create("/api/v1/namespaces/default/services", body).await;
    assert_eq!(made.code, 201, "{made:?}");
}

async fn condition(cluster: &Cluster) -> String {
    let found = cluster.get(SERVICE).await;
    let condition = &found.body["status"]["conditions"][0];
    let text = |field: &str| condition[field].as_str().unwrap_or("?");
    format!("{} {} {}", text("status"), text("reason"), text("message"))
}

#[tokio::test]
async fn a_server_is_available_once_everything_about_it_is_there() {
    let cluster = cluster().await;
    let extension = Extension::start(&cluster).await;
    let stranger = rcgen::generate_simple_self_signed(vec!["other".into()]).expect("a certificate").cert.pem();
    let made = cluster.create(API_SERVICES, api_service(json!({"caBundle": STANDARD.encode(stranger)}))).await;
    assert_eq!(made.code, 201, "{made:?}");
    let expect = async |told: &str| {
        cluster.server.check_extension_servers().await;
        assert_eq!(condition(&cluster).await, told);
        let answer = cluster.get(WIDGETS).await;
        assert_eq!((answer.code.as_u16(), &answer.body), (503, &json!("service unavailable\n")), "{told}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    };
    expect("False ServiceNotFound service/demo in \"default\" is not present").await;
    service(&cluster, 444).await;
    expect("False ServicePortError service/demo in \"default\" is not listening on port 443").await;
    cluster.delete("/api/v1/namespaces/default/services/demo", json!({})).await;
    service(&cluster, 443).await;
    expect("False EndpointsNotFound cannot find endpointslices for service/demo in \"default\"").await;
    let other = json!({
        "metadata": {"name": "demo-0", "labels": {"kubernetes.io/service-name": "demo"}}, "addressType": "IPv4",
        "endpoints": [], "ports": [{"port": 1, "name": ""}],
    });
    cluster.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", other).await;
    let missing = "endpointslices for service/demo in \"default\" have no addresses with port name \"\"";
    expect(&format!("False MissingEndpoints {missing}")).await;
    cluster.put_slice("default", "demo-1", "demo", extension.port).await;
    let address = cluster.get("/api/v1/namespaces/default/services/demo").await.body["spec"]["clusterIP"].clone();
    let url = format!("https://{}:443/apis/demo.example.com/v1", address.as_str().expect("an address"));
    expect(&format!(
        "False FailedDiscoveryCheck failing or missing response from {url}: Get \"{url}\": tls: failed to verify \
         certificate: x509: certificate signed by unknown authority"
    ))
    .await;
    // Whom to believe is read anew, also that it is nobody's business.
    for trust in [json!({"caBundle": extension.bundle}), json!({"insecureSkipTLSVerify": true})] {
        let mut object = cluster.get(SERVICE).await.body;
        object["spec"] = api_service(trust)["spec"].clone();
        let updated = cluster.update(SERVICE, &object).await;
        assert_eq!(updated.code, 200, "{updated:?}");
        cluster.server.check_extension_servers().await;
        assert_eq!(condition(&cluster).await, "True Passed all checks passed");
        assert_eq!(cluster.get(WIDGETS).await.code, 200);
    }
    // It goes away after the last check.
    drop(extension);
    let answer = cluster.get(WIDGETS).await;
    let text = answer.body.as_str().expect("a text").to_owned();
    assert_eq!(answer.code, 503);
    assert!(text.starts_with("error trying to reach service: dial tcp 127.0.0.1:"), "{text}");
    cluster.delete(SERVICE, json!({})).await;
    assert_eq!(cluster.get(WIDGETS).await.code, 404);
}

#[tokio::test]
async fn a_request_arrives_with_its_user() {
    let cluster = cluster().await;
    let extension = Extension::start(&cluster).await;
    extension.register(&cluster).await;
    let ask = async |user: User| {
        let mut request = request("POST", &format!("{WIDGETS}?dryRun=All&x=a%2Fb"), "application/json", "{\"a\":1}");
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("x-remote-user", "root"),
            ("x-remote-group", "root"),
            ("audit-id", "a-1"),
        ] {
            request.headers_mut().insert(name, header::HeaderValue::from_static(value));
        }
        cluster.send(user, request).await
    };
    let mut user = User::new("jane", ["system:masters"]);
    user.extra.insert("example.com/scope".into(), vec!["one".into()]);
    let told = ask(user).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert_eq!(told.body["line"], format!("POST {WIDGETS}?dryRun=All&x=a%2Fb"));
    assert_eq!((&told.body["body"], &told.body["proxy"]), (&json!("{\"a\":1}"), &json!("front-proxy-client")));
    let headers = &told.body["headers"];
    for (name, value) in [
        ("x-remote-user", json!(["jane"])),
        ("x-remote-group", json!(["system:masters", "system:authenticated"])),
        ("x-remote-extra-example.com%2fscope", json!(["one"])),
        ("authorization", Value::Null),
        ("content-type", json!(["application/json"])),
        ("host", json!(["demo.default.svc:443"])),
        ("x-forwarded-host", json!(["demo.default.svc:443"])),
        ("x-forwarded-proto", json!(["https"])),
        ("x-forwarded-uri", json!([WIDGETS])),
        ("audit-id", json!(["a-1"])),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    // Who may not is refused here already, as upstream.
    let refused = ask(User::new("nobody", [])).await;
    assert_eq!(
        refused.text(),
        "403 widgets.demo.example.com is forbidden: User \"nobody\" cannot create resource \"widgets\" in API group \
         \"demo.example.com\" in the namespace \"default\""
    );
}

#[tokio::test]
async fn streams_and_upgrades_pass_through() {
    let cluster = cluster().await;
    let extension = Extension::start(&cluster).await;
    extension.register(&cluster).await;
    let mut watch = request("GET", &format!("{WIDGETS}/one/stream"), "", "");
    // The form is the extension server's affair: nothing waits for the end to make another one.
    let accept = "application/vnd.kubernetes.protobuf,application/json";
    watch.headers_mut().insert("accept", header::HeaderValue::from_static(accept));
    let mut response = cluster.raw(admin(), watch).await;
    for text in ["first", "second"] {
        extension.stream.send(text).await.expect("somebody listens");
        let frame = response.body_mut().frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), text);
    }
    let (near, far) = tokio::io::duplex(4096);
    let mut tasks = JoinSet::new();
    let server = cluster.server.clone();
    tasks.spawn(async move {
        let service = service_fn(|request: Request<Incoming>| {
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.handle(request, Peer::Trusted(admin().into())).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
        connection.with_upgrades().await.expect("a connection");
    });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("a connection");
    tasks.spawn(async move { connection.with_upgrades().await.expect("a connection") });
    let request = Request::get(format!("{WIDGETS}/one/console"))
        .header("connection", "Upgrade")
        .header("upgrade", "demo")
        .body(full(""))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.expect("it upgrades"));
    stream.write_all(b"abcd").await.expect("writes");
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.expect("reads");
    assert_eq!(&back, b"dcba");
}

#[tokio::test]
async fn clients_find_it_where_they_look() {
    let cluster = cluster().await;
    let extension = Extension::start(&cluster).await;
    extension.register(&cluster).await;
    let version = json!({"groupVersion": "demo.example.com/v1", "version": "v1"});
    let group = json!({"name": "demo.example.com", "preferredVersion": version, "versions": [version]});
    let groups = cluster.get("/apis").await.body;
    assert_eq!(groups["groups"].as_array().expect("groups").last(), Some(&group));
    let mut alone = group.clone();
    alone["kind"] = "APIGroup".into();
    alone["apiVersion"] = "v1".into();
    assert_eq!(cluster.get("/apis/demo.example.com").await.body, alone);
    let list = cluster.get("/apis/demo.example.com/v1").await.body;
    assert_eq!(list["resources"][0]["name"], "widgets");
    let aggregated = async || {
        let mut request = request("GET", "/apis", "", "");
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        request.headers_mut().insert("accept", header::HeaderValue::from_static(accept));
        let document = cluster.send(admin(), request).await.body;
        let mut items = document["items"].as_array().cloned().expect("groups");
        let place = items.iter().position(|group| group["metadata"]["name"] == "demo.example.com").expect("it is told");
        items.swap_remove(place)["versions"].take()
    };
    let kind = |kind: &str| json!({"group": "demo.example.com", "version": "v1", "kind": kind});
    assert_eq!(
        aggregated().await,
        json!([{"version": "v1", "freshness": "Current", "resources": [{
            "resource": "widgets", "responseKind": kind("Widget"), "scope": "Namespaced", "singularResource": "",
            "verbs": ["get", "list", "create"],
            "subresources": [{"subresource": "log", "responseKind": kind("WidgetLog"), "verbs": ["get"]}],
        }]}])
    );
    let paths = cluster.get("/").await.body["paths"].to_string();
    assert!(paths.contains("\"/apis/demo.example.com/v1\""), "{paths}");
    let index = cluster.get("/openapi/v3").await.body;
    let url = index["paths"]["apis/demo.example.com/v1"]["serverRelativeURL"].as_str().expect("a URL").to_owned();
    assert_eq!(url, "/openapi/v3/apis/demo.example.com/v1?hash=AB");
    assert_eq!(cluster.get(&url).await.body["info"]["title"], "demo");
    drop(extension);
    cluster.server.check_extension_servers().await;
    assert_eq!(aggregated().await, json!([{"version": "v1", "freshness": "Stale", "resources": []}]));
    assert_eq!(cluster.get("/apis/demo.example.com/v1").await.code, 503);
}

#[tokio::test]
async fn the_one_document_of_version_2_says_what_it_says() {
    let cluster = cluster().await;
    let extension = Extension::start(&cluster).await;
    extension.register(&cluster).await;
    let names = async |field: &str| -> Vec<String> {
        let document = cluster.get("/openapi/v2").await.body;
        let entries = document[field].as_object().expect("an object");
        let of_it = |name: &&String| name.contains("demo") || name.ends_with("ObjectMeta_v2");
        entries.keys().filter(of_it).cloned().collect()
    };
    let there = async || {
        assert_eq!(names("paths").await, ["/apis/demo.example.com/v1/widgets"]);
        let renamed = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta_v2";
        assert_eq!(names("definitions").await, ["com.example.demo.v1.Widget", renamed]);
    };
    there().await;
    let document = cluster.get("/openapi/v2").await.body;
    assert_eq!(
        document["definitions"]["com.example.demo.v1.Widget"]["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta_v2"
    );
    let mut request = request("GET", "/openapi/v2", "", "");
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    request.headers_mut().insert("accept", header::HeaderValue::from_static(accept));
    let mut binary = cluster.raw(admin(), request).await;
    let bytes = binary.body_mut().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&bytes).contains("A widget."));
    // Known by its tag, and still known while its server is away.
    cluster.server.check_extension_servers().await;
    there().await;
    drop(extension);
    cluster.server.check_extension_servers().await;
    there().await;
    cluster.delete(SERVICE, json!({})).await;
    cluster.server.check_extension_servers().await;
    assert_eq!((names("paths").await, names("definitions").await), (vec![], vec![]));
}

#[tokio::test]
async fn groups_that_users_define_are_registered() {
    let cluster = cluster().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let body = json!({
        "metadata": {"name": "things.users.example.com"},
        "spec": {
            "group": "users.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    let made = cluster.create(definitions, body).await;
    assert_eq!(made.code, 201, "{made:?}");
    cluster.server.check_extension_servers().await;
    let path = format!("{API_SERVICES}/v1.users.example.com");
    let found = cluster.get(&path).await.body;
    assert_eq!(found["status"]["conditions"][0]["reason"], "Local", "{found}");
    assert_eq!(found["spec"]["groupPriorityMinimum"], 1000);
    let mut table = request("GET", &path, "", "");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    table.headers_mut().insert("accept", header::HeaderValue::from_static(accept));
    let table = cluster.send(admin(), table).await.body;
    assert_eq!(table["rows"][0]["cells"], json!(["v1.users.example.com", "Local", "True", "0s"]));
    // The definition goes: first its mark, then, as nothing holds it any more, it itself.
    let one = format!("{definitions}/things.users.example.com");
    cluster.delete(&one, json!({})).await;
    let mut object = cluster.get(&one).await.body;
    object["metadata"]["finalizers"] = json!([]);
    cluster.update(&one, &object).await;
    assert_eq!(cluster.get(&one).await.code, 404);
    cluster.server.check_extension_servers().await;
    assert_eq!(cluster.get(&path).await.code, 404);
}

#[tokio::test]
async fn what_is_answered_here_says_so() {
    let cluster = cluster().await;
    cluster.server.check_extension_servers().await;
    let status = format!("{API_SERVICES}/v1.apps/status");
    let merge = async |conditions: &str| {
        let patch = format!(r#"{{"status": {{"conditions": {conditions}}}}}"#);
        cluster.ask("PATCH", &status, "application/merge-patch+json", &patch).await
    };
    let refused = merge(r#"[{"type": "Available", "status": "Maybe"}]"#).await;
    assert_eq!(
        refused.text(),
        "422 APIService.apiregistration.k8s.io \"v1.apps\" is invalid: status.conditions[0].status: Unsupported value: \
         \"Maybe\": supported values: \"True\", \"False\", \"Unknown\""
    );
    let emptied = merge("[]").await;
    assert_eq!((emptied.code.as_u16(), &emptied.body["status"]), (200, &json!({})));
    cluster.server.check_extension_servers().await;
    let told = cluster.get(&status).await.body["status"]["conditions"][0].clone();
    assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("Local")));
}

#[tokio::test]
async fn a_serving_server_checks_by_itself() {
    let cluster = cluster().await;
    let extension = Extension::start(&cluster).await;
    let serving = cluster.serve().await;
    let mut watch = Watch::of(&cluster, &format!("{API_SERVICES}?watch=true")).await;
    service(&cluster, 443).await;
    cluster.put_slice("default", "demo-1", "demo", extension.port).await;
    let made = cluster.create(API_SERVICES, api_service(json!({"caBundle": extension.bundle}))).await;
    assert_eq!(made.code, 201, "{made:?}");
    let available = async {
        loop {
            let event = watch.next().await.expect("the watch does not end");
            if event["object"]["status"]["conditions"][0]["message"] == "all checks passed" {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), available).await.expect("in time");
    assert_eq!(cluster.get(WIDGETS).await.code, 200);
    serving.end().await;
}
