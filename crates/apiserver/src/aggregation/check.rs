//! Finds out which extension servers are there, and what they serve.
//!
//! Every server of the cluster asks for itself, as it answers for itself; the condition in the object is
//! written by whoever finds it changed first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Limited};
use portolan_api::time;
use portolan_base::go;
use portolan_store::{KeyRange, RangeRequest, WatchRequest};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::registered::{Found, LOCAL, Service};
use super::{API_SERVICES, automatic, pass, whole};
use crate::body::{Body, empty, full};
use crate::extensions;
use crate::server::{Peer, Server};
use crate::status::Status;
use crate::{rounds, storage};

/// How long a server may take to say what it serves, as upstream.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often a server is asked before it counts as away.
const ATTEMPTS: usize = 3;

/// Time between two rounds while all servers are there.
const CALM: Duration = Duration::from_secs(30);

/// Time between two rounds while one is away.
const ANXIOUS: Duration = Duration::from_secs(2);

/// Least time between two rounds, however much changes.
const PAUSE: Duration = Duration::from_millis(250);

/// Largest document about what a server serves.
const DOCUMENT_LIMIT: usize = 16 << 20;

/// Changes that may wait for the end of a round.
const BUFFER: usize = 64;

/// Checks again and again until `stop`. Does nothing while nothing is answered elsewhere and nothing changes.
pub(crate) async fn run(server: Arc<Server>, stop: CancellationToken) {
    // Documents are large and may take long: nobody has to be away because another one is slow.
    let documents = async {
        loop {
            server.aggregation.documents.wait().await;
            whole::refresh(&server).await;
        }
    };
    tokio::join!(
        rounds::until(&stop, ANXIOUS, "extension servers could not be checked", || round(&server)),
        stop.run_until_cancelled(documents),
    );
}

/// One check, and the time until the next.
async fn round(server: &Server) -> Result<(), Status> {
    let watch = async |group: &str, resource: &str| {
        let range = KeyRange::prefix(storage::prefix(group, resource, ""));
        server.store().watch(WatchRequest { range, after: None, progress: None, buffer: BUFFER }).await
    };
    let mut services = watch(super::GROUP, "apiservices").await?;
    let mut definitions = watch(extensions::GROUP, extensions::DEFINITIONS).await?;
    check(server).await;
    server.aggregation.documents.due();
    tokio::time::sleep(PAUSE).await;
    let remotes = server.aggregation.remotes();
    let patience = if remotes.iter().all(|service| service.is_available) { CALM } else { ANXIOUS };
    let patience = async {
        match remotes.is_empty() {
            true => std::future::pending().await,
            false => tokio::time::sleep(patience).await,
        }
    };
    tokio::select! {
        _ = services.next() => {}
        _ = definitions.next() => {}
        () = patience => {}
    }
    Ok(())
}

/// Checks all extension servers once, and registers the groups that users define.
pub(crate) async fn check(server: &Server) {
    if let Err(status) = refreshed(server).await {
        tracing::warn!(error = %status, "API services could not be read");
        return;
    }
    automatic::register(server).await;
    let services = server.aggregation.remotes();
    let checks = services.iter().map(|service| async {
        let (condition, found) = examine(server, service).await;
        report(server, &service.name, &condition).await;
        found.map(|found| (service.name.clone(), Arc::new(found)))
    });
    let found: HashMap<_, _> = futures::future::join_all(checks).await.into_iter().flatten().collect();
    server.aggregation.remember(found);
    for name in server.aggregation.untold() {
        report(server, &name, &Condition::local()).await;
    }
    if let Err(status) = refreshed(server).await {
        tracing::warn!(error = %status, "API services could not be read");
    }
}

async fn refreshed(server: &Server) -> Result<(), Status> {
    server.extensions.refresh().await?;
    server.aggregation.refresh().await
}

/// The condition `Available`, but for its time.
struct Condition {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn local() -> Self {
        Self { status: "True", reason: LOCAL, message: "Local APIServices are always available".to_owned() }
    }

    fn not(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }
}

async fn examine(server: &Server, service: &Service) -> (Condition, Option<Found>) {
    let host = match backed(server, service).await {
        Ok(Ok(host)) => host,
        Ok(Err(condition)) => return (condition, None),
        Err(status) => {
            let message = format!("{} cannot be checked due to: {status}", described(service));
            return (Condition { status: "Unknown", reason: "ServiceAccessError", message }, None);
        }
    };
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match asked(server, service, &host).await {
            Ok(found) => {
                let message = "all checks passed".to_owned();
                return (Condition { status: "True", reason: "Passed", message }, Some(found));
            }
            Err(why) => last = why,
        }
    }
    (Condition::not("FailedDiscoveryCheck", last), None)
}

fn name(service: &Service) -> &str {
    &service.backend.name
}

fn space(service: &Service) -> &str {
    &service.backend.namespace
}

/// A Service as conditions name it.
fn described(service: &Service) -> String {
    format!("service/{} in {}", name(service), go::quote(space(service)))
}

/// The host that a Service stands for, or what is wrong with it.
async fn backed(server: &Server, service: &Service) -> Result<Result<String, Condition>, Status> {
    let (name, space, port) = (name(service), space(service), service.backend.port);
    let Some(entry) = storage::find(server, "", "services", space, name).await? else {
        let message = format!("{} is not present", described(service));
        return Ok(Err(Condition::not("ServiceNotFound", message)));
    };
    let object = storage::decode(&entry)?;
    let host = shown_host(&object["spec"]);
    if !matches!(object["spec"]["type"].as_str(), None | Some("ClusterIP")) {
        return Ok(Ok(host));
    }
    let mut ports = object["spec"]["ports"].as_array().into_iter().flatten();
    let Some(found) = ports.find(|it| it["port"] == port) else {
        let message = format!("{} is not listening on port {port}", described(service));
        return Ok(Err(Condition::not("ServicePortError", message)));
    };
    let port_name = found["name"].as_str().unwrap_or_default();
    let range = KeyRange::prefix(storage::prefix("discovery.k8s.io", "endpointslices", space));
    let state = server.store().range(RangeRequest { range, revision: None, limit: 0 }).await?;
    let slices = state.entries.iter().map(|entry| storage::decode(entry)).collect::<Result<Vec<_>, _>>()?;
    let mut of_service =
        slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name).peekable();
    if of_service.peek().is_none() {
        let message = format!("cannot find endpointslices for {}", described(service));
        return Ok(Err(Condition::not("EndpointsNotFound", message)));
    }
    if of_service.any(|slice| is_ready(slice, port_name)) {
        return Ok(Ok(host));
    }
    let (service, port_name) = (described(service), go::quote(port_name));
    let message = format!("endpointslices for {service} have no addresses with port name {port_name}");
    Ok(Err(Condition::not("MissingEndpoints", message)))
}

/// The host in the URLs of conditions. Upstream asks at the address of the Service, and people know that one; we ask the
/// endpoint behind it.
fn shown_host(spec: &Value) -> String {
    let field = if spec["type"] == "ExternalName" { "externalName" } else { "clusterIP" };
    let host = spec[field].as_str().unwrap_or_default();
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn is_ready(slice: &Value, port_name: &str) -> bool {
    let list = |field: &str| slice[field].as_array().map(Vec::as_slice).unwrap_or_default();
    list("ports").iter().any(|port| port["name"].as_str().unwrap_or_default() == port_name && port["port"].is_number())
        && list("endpoints").iter().any(|endpoint| endpoint["conditions"]["ready"] != false)
}

/// Asks an extension server what it serves; `host` is where it is to people.
async fn asked(server: &Server, service: &Service, host: &str) -> Result<Found, String> {
    let Service { group, version, backend, .. } = service;
    let path = format!("/apis/{group}/{version}");
    let url = format!("https://{host}:{}{path}", backend.port);
    let (code, resources) = get(server, service, &path)
        .await
        .map_err(|why| format!("failing or missing response from {url}: Get \"{url}\": {why}"))?;
    if !code.is_success() {
        return Err(format!("failing or missing response from {url}: bad status from {url}: {}", code.as_u16()));
    }
    Ok(Found { resources, document: document(server, service).await })
}

/// The hash of a server's OpenAPI document. Servers without one are as good.
async fn document(server: &Server, service: &Service) -> Option<String> {
    let (code, index) = get(server, service, "/openapi/v3").await.ok()?;
    let name = format!("apis/{}/{}", service.group, service.version);
    let url = index["paths"][name]["serverRelativeURL"].as_str().filter(|_| code.is_success())?;
    Some(url.split_once("hash=").map(|(_, hash)| hash.to_owned()).unwrap_or_default())
}

async fn get(server: &Server, service: &Service, path: &str) -> Result<(http::StatusCode, Value), String> {
    let exchange = async {
        let request = Request::get(path).header(header::ACCEPT, "application/json").body(empty());
        let request = request.map_err(|error| error.to_string())?;
        let response = pass::send(server, service, &pass::own_user(), request).await?;
        let code = response.status();
        let body = Limited::new(response.into_body(), DOCUMENT_LIMIT).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((code, serde_json::from_slice(&body).unwrap_or_default()))
    };
    let outcome = tokio::time::timeout(TIMEOUT, exchange).await;
    outcome.unwrap_or_else(|_| {
        Err("net/http: request canceled (Client.Timeout exceeded while awaiting headers)".to_owned())
    })
}

/// Writes how an API service is. What fails is tried again in the next round.
async fn report(server: &Server, name: &str, condition: &Condition) {
    if let Err(status) = write(server, name, condition).await {
        tracing::warn!(name, error = %status, "the state of an API service could not be written");
    }
}

/// Writes a condition that differs from the one that is there.
async fn write(server: &Server, name: &str, condition: &Condition) -> Result<(), Status> {
    let path = format!("{API_SERVICES}/{name}");
    let mut object = ask(server, Method::GET, &path, None).await?;
    let Condition { status, reason, message } = condition;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let old = conditions.iter().find(|it| it["type"] == "Available").cloned().unwrap_or_default();
    if old["status"] == *status && old["reason"] == *reason && old["message"] == *message {
        return Ok(());
    }
    let since = match &old["lastTransitionTime"] {
        Value::String(since) if old["status"] == *status => since.clone(),
        _ => time::format(server.config.clock.now()),
    };
    let mut new: Vec<Value> = conditions.into_iter().filter(|it| it["type"] != "Available").collect();
    new.push(json!({
        "type": "Available", "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    }));
    object["status"] = json!({"conditions": new});
    match ask(server, Method::PUT, &format!("{path}/status"), Some(&object)).await {
        // Somebody else wrote it; the next round sees what is there then.
        Err(status) if matches!(status.reason(), "Conflict" | "NotFound") => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// A request by this server itself.
pub(super) async fn ask(server: &Server, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Status> {
    let body: Body = body.map_or_else(empty, |body| full(body.to_string()));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|error| Status::internal(format!("{path}: {error}")))?;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("kube-apiserver"));
    let response = server.handle(request, Peer::Trusted(Arc::new(pass::own_user()))).await;
    let code = response.status();
    let bytes = response.into_body().collect().await.map_err(|error| Status::internal(error.to_string()))?.to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).map_err(|error| Status::internal(error.to_string()))?;
    if code.is_success() {
        return Ok(answer);
    }
    let message = answer["message"].as_str().unwrap_or_default();
    let reason = match code.as_u16() {
        404 => "NotFound",
        409 if answer["reason"] == "AlreadyExists" => "AlreadyExists",
        409 => "Conflict",
        _ => "InternalError",
    };
    Err(Status::new(code.as_u16(), reason, message))
}
