//! Requests that end at a node agent or a pod: logs, exec, attach, port-forward, proxy.
//!
//! The server authorizes and finds the way; it does not look into the streams.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use portolan_base::go;
use portolan_store::Entry;
use serde_json::Value;

use super::dial::Security;
use super::links::{self, Place};
use super::{connect, upgrade};
use crate::body::{Body, empty};
use crate::endpoint::Call;
use crate::request::Target;
use crate::resources::addresses::is_global_unicast;
use crate::router::Origin;
use crate::server::Server;
use crate::status::Status;
use crate::{respond, storage};

/// Where a node agent listens unless its node says otherwise.
const AGENT_PORT: u16 = 10250;
/// Longer words of an agent are no explanation.
const REFUSAL_LIMIT: usize = 16 << 10;

/// Longer answers are none that an agent gives.
const ANSWER_LIMIT: usize = 64 << 20;

/// Where a request goes.
struct Backend {
    address: SocketAddr,
    security: Security,
    path_and_query: String,
}

pub(super) async fn stream(
    call: &Call<'_>,
    origin: Origin<'_>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let uri = request.uri().clone();
    let backend = match (&*call.resource.name, call.info.subresource.as_str()) {
        ("pods", "proxy") => pod_port(call, &uri).await?,
        ("services", "proxy") => service_port(call, &uri).await?,
        ("nodes", "proxy") => node_port(call, &uri).await?,
        _ => match agent(call, &uri).await? {
            Some(backend) => backend,
            None => return Ok(no_content()),
        },
    };
    let upgrades = upgrade::is_upgrade(request.headers());
    let needs_upgrade = matches!(call.info.subresource.as_str(), "attach" | "exec" | "portforward");
    if needs_upgrade && !upgrades {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let client = upgrade::client_side(&mut request);
    if upgrades && client.is_none() {
        return Err(Status::bad_request("this connection cannot be upgraded: use HTTP/1.1"));
    }
    let is_proxy = call.info.subresource == "proxy";
    let (prefix, rest) = links::split(&uri, is_namespaced(call));
    if is_proxy && !upgrades && rest.is_empty() && matches!(*request.method(), Method::GET | Method::HEAD) {
        // Relative links of a page are right only below a path that ends so.
        return redirect(&with_query(&format!("{prefix}/"), &uri));
    }
    let is_page = is_proxy && is_namespaced(call);
    let asked = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let asked: Option<Authority> = uri.authority().cloned().or_else(|| asked?.parse().ok());
    let (parts, body) = request.into_parts();
    let onward_uri: Uri = backend
        .path_and_query
        .parse()
        .map_err(|error| Status::bad_request(format!("the path cannot be passed on: {error}")))?;
    let mut onward = Request::new(body);
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = onward_uri;
    *onward.headers_mut() = upgrade::passed_on(&parts.headers, upgrades);
    // Credentials are for this server; the agent knows it by its certificate.
    onward.headers_mut().remove(header::AUTHORIZATION);
    // As upstream's proxy. It names no host and no protocol: its requests do not say them.
    if is_proxy || upgrades {
        upgrade::forwarded_for(onward.headers_mut(), origin);
    }
    if is_proxy && !upgrades {
        upgrade::forwarded_uri(onward.headers_mut(), &format!("{prefix}{rest}"));
    }
    if is_page {
        // Links of a page can be read only if it comes as it is.
        onward.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    let host =
        HeaderValue::from_str(&backend.address.to_string()).map_err(|error| Status::internal(error.to_string()))?;
    onward.headers_mut().insert(header::HOST, host);
    let nodes = &call.server.nodes;
    let response = nodes.send(backend.address, backend.security, onward).await;
    let response = response.map_err(|why| {
        if upgrades {
            Status::new(500, "", format!("error dialing backend: {why}"))
        } else if is_proxy {
            Status::new(503, "ServiceUnavailable", format!("error trying to reach service: {why}"))
        } else {
            let Backend { address, path_and_query, .. } = &backend;
            Status::new(500, "", format!("Get \"https://{address}{path_and_query}\": {why}"))
        }
    })?;
    // What was to become a stream comes back as the agent says it: clients know its words.
    let is_log = call.info.subresource == "log";
    if is_log && (response.status().is_client_error() || response.status().is_server_error()) {
        return Err(refusal_of_log(call, response).await);
    }
    let answer = upgrade::answer(response, client, &nodes.tasks, &call.server.draining);
    if !is_page || upgrades {
        return Ok(answer);
    }
    Ok(links::rewrite(answer, Place { prefix: prefix.to_owned(), host: asked, backend: backend.address }))
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(respond::NOT_CACHED));
    response
}

fn redirect(there: &str) -> Result<Response<Body>, Status> {
    let there = HeaderValue::from_str(there).map_err(|error| Status::bad_request(error.to_string()))?;
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, there);
    Ok(response)
}

/// What the agent of a node answers to a question of the server itself.
pub(crate) async fn ask_agent(server: &Server, node: &str, path: &str) -> Result<Bytes, Status> {
    let address = agent_address(&*storage::entry(server, &Target::NODES, "", node).await?, node)?;
    let host = address.to_string();
    let request = Request::get(path).header(header::HOST, host).body(empty());
    let request = request.map_err(|error| Status::internal(error.to_string()))?;
    let response = server.nodes.send(address, Security::Node, request).await;
    let response = response.map_err(|why| Status::unavailable(format!("ask the agent of node \"{node}\": {why}")))?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Status::unavailable(format!("read the answer of the agent of node \"{node}\": {error}")))
}

fn is_namespaced(call: &Call<'_>) -> bool {
    call.resource.name != "nodes"
}

/// What an agent refused, in the form that clients print.
async fn refusal(response: Response<Incoming>) -> Status {
    let code = response.status().as_u16();
    let reason = match code {
        400 => "BadRequest",
        403 => "Forbidden",
        404 => "NotFound",
        _ => "InternalError",
    };
    match explanation(response).await {
        Ok(text) => Status::new(code, reason, text),
        Err(status) => status,
    }
}

/// Why there is no log. Upstream does not pass on what an agent does not find.
async fn refusal_of_log(call: &Call<'_>, response: Response<Incoming>) -> Status {
    let name = &call.info.name;
    match response.status().as_u16() {
        404 => {
            let text = format!("the server could not find the requested resource ( pods/log {name})");
            Status::new(404, "NotFound", text).about(&Target { group: "", resource: "pods/log" }, name)
        }
        500 => explanation(response).await.map_or_else(|status| status, Status::internal),
        _ => refusal(response).await,
    }
}

async fn explanation(response: Response<Incoming>) -> Result<String, Status> {
    let body = Limited::new(response.into_body(), REFUSAL_LIMIT).collect().await;
    let body = body.map_err(|error| Status::internal(format!("read the agent's refusal: {error}")))?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).trim().to_owned())
}

/// The agent of the node that a pod runs on, with the path that it knows the request by; `None` for the log of a pod
/// without a node, which is empty.
async fn agent(call: &Call<'_>, uri: &Uri) -> Result<Option<Backend>, Status> {
    let entry = call.entry(&call.info.name).await?;
    let pod = storage::decode(&entry)?;
    let (namespace, name) = (call.namespace(), &call.info.name);
    let path_and_query = match call.info.subresource.as_str() {
        "portforward" => port_forward(namespace, name, &connect::ports(call)?),
        "log" => with_query(&format!("/containerLogs/{namespace}/{name}/{}", container(call, &pod)?), uri),
        verb => with_query(&format!("/{verb}/{namespace}/{name}/{}", container(call, &pod)?), uri),
    };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        return match call.info.subresource.as_str() {
            "log" => Ok(None),
            _ => Err(Status::bad_request(format!("pod {name} does not have a host assigned"))),
        };
    }
    Ok(Some(Backend { address: node_address(call, node).await?, security: Security::Node, path_and_query }))
}

/// Only clients of channels name their ports here; what is a list to the API is one text to the agent.
fn port_forward(namespace: &str, name: &str, ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let path = format!("/portForward/{namespace}/{name}");
    if ports.is_empty() { path } else { format!("{path}?port={}", ports.join(",")) }
}

/// The container that is meant: the one that is named, or the only one. The one that a pod recommends by its annotation
/// is the clients' affair.
fn container(call: &Call<'_>, pod: &Value) -> Result<String, Status> {
    let names = |list: &str| -> Vec<&str> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect()
    };
    let all = || ["initContainers", "containers", "ephemeralContainers"].map(names).concat();
    let asked = call.query.get("container");
    let pod_name = &call.info.name;
    if !asked.is_empty() {
        if all().contains(&asked) {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {pod_name}")));
    }
    match names("containers").as_slice() {
        [only] => Ok((*only).to_owned()),
        _ => {
            let choice = all().join(" ");
            let text = format!("a container name must be specified for pod {pod_name}, choose one of: [{choice}]");
            Err(Status::bad_request(text))
        }
    }
}

fn with_query(path: &str, uri: &Uri) -> String {
    match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// Where the agent of a node listens, for a request about what is on it.
async fn node_address(call: &Call<'_>, name: &str) -> Result<SocketAddr, Status> {
    let entry = storage::find(call.server, "", "nodes", "", name).await?;
    // Upstream's store knows only what kind the request is about, and tells of a node as one of that.
    let entry = entry.ok_or_else(|| Status::not_found(&call.target(), name))?;
    agent_address(&entry, name)
}

fn agent_address(entry: &Entry, name: &str) -> Result<SocketAddr, Status> {
    let node = storage::decode(entry)?;
    let addresses = node["status"]["addresses"].as_array();
    let address = addresses
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP")
        .and_then(|address| address["address"].as_str()?.parse::<IpAddr>().ok())
        .ok_or_else(|| Status::unavailable(format!("node \"{name}\" has not said where it is reached")))?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(AGENT_PORT);
    Ok(SocketAddr::new(address, port))
}

/// A name in a proxy path: `[scheme:]name[:port]`.
struct ProxyName<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

fn proxy_name<'a>(call: &'a Call<'_>) -> Result<ProxyName<'a>, Status> {
    let text = &call.info.name;
    let parts: Vec<&str> = text.split(':').collect();
    let found = match *parts {
        [name] => Some(ProxyName { scheme: "", name, port: "" }),
        [name, port] => Some(ProxyName { scheme: "", name, port }),
        [scheme, name, port] => Some(ProxyName { scheme, name, port }),
        _ => None,
    };
    let is_known = |found: &ProxyName<'_>| !found.name.is_empty() && matches!(found.scheme, "" | "http" | "https");
    found.filter(is_known).ok_or_else(|| {
        let kind = call.info.resource.trim_end_matches('s');
        Status::bad_request(format!("invalid {kind} request {}", go::quote(text)))
    })
}

fn rest(call: &Call<'_>, uri: &Uri) -> String {
    // Taken from the raw path: what is escaped must stay so.
    let (_, rest) = links::split(uri, is_namespaced(call));
    with_query(if rest.is_empty() { "/" } else { rest }, uri)
}

async fn pod_port(call: &Call<'_>, uri: &Uri) -> Result<Backend, Status> {
    let ProxyName { scheme, name, port } = proxy_name(call)?;
    let pod = storage::decode(&*call.entry(name).await?)?;
    let address = addresses_of(&pod).next().and_then(proxyable).ok_or_else(not_allowed)?;
    let ports = || {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        containers.flat_map(|container| container["ports"].as_array().into_iter().flatten())
    };
    let number = match port {
        "" => ports().next().map_or(Some(80), |port| port["containerPort"].as_u64()),
        text => text.parse().ok().or_else(|| {
            ports().find(|candidate| candidate["name"] == text).and_then(|found| found["containerPort"].as_u64())
        }),
    };
    let port = number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| Status::bad_request(format!("pod {name} has no port {}", go::quote(port))))?;
    let address = SocketAddr::new(address, port);
    Ok(Backend { address, security: security(scheme), path_and_query: rest(call, uri) })
}

/// One ready endpoint of a service.
async fn service_port(call: &Call<'_>, uri: &Uri) -> Result<Backend, Status> {
    let ProxyName { scheme, name, port } = proxy_name(call)?;
    let unavailable = |text: String| Status::unavailable(text);
    let port_name = match port.parse::<i64>() {
        Ok(number) => {
            let service = storage::decode(&*call.entry(name).await?)?;
            let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
            let found = ports.find(|port| port["port"] == number).ok_or_else(|| {
                unavailable(format!("no service port {number} found for service {}", go::quote(name)))
            })?;
            found["name"].as_str().unwrap_or_default().to_owned()
        }
        // No port is one without a name.
        Err(_) => port.to_owned(),
    };
    let none = |name: &str| unavailable(format!("no endpoints available for service {}", go::quote(name)));
    let entry = storage::find(call.server, "", "endpoints", call.namespace(), name).await?;
    let entry = entry.ok_or_else(|| Status::not_found(&call.target(), name))?;
    let endpoints = storage::decode(&entry)?;
    if endpoints["subsets"].as_array().is_none_or(Vec::is_empty) {
        return Err(none(name));
    }
    let candidates: Vec<(&Value, u16)> = endpoints["subsets"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|subset| {
            let port = subset["ports"].as_array().into_iter().flatten();
            let port = port.filter(|port| port["name"].as_str().unwrap_or_default() == port_name);
            let port = port.filter_map(|port| u16::try_from(port["port"].as_u64()?).ok()).next();
            let addresses = subset["addresses"].as_array().into_iter().flatten();
            addresses.filter_map(move |address| Some((address, port?)))
        })
        .collect();
    let start = usize::try_from(uuid::Uuid::new_v4().as_u128() % (candidates.len().max(1) as u128)).unwrap_or(0);
    let (before, after) = candidates.split_at(start);
    for (candidate, port) in after.iter().chain(before) {
        if let Some(address) = address_of_pod(call, candidate).await? {
            let address = SocketAddr::new(address, *port);
            return Ok(Backend { address, security: security(scheme), path_and_query: rest(call, uri) });
        }
    }
    Err(none(&call.info.name))
}

/// The address of an endpoint if a pod of the namespace has it: endpoints are written by many, and
/// the way there leads through this machine's own network.
async fn address_of_pod(call: &Call<'_>, endpoint: &Value) -> Result<Option<IpAddr>, Status> {
    let target = &endpoint["targetRef"];
    let (Some(ip), Some(name)) = (endpoint["ip"].as_str(), target["name"].as_str()) else { return Ok(None) };
    if target["namespace"] != call.namespace() {
        return Ok(None);
    }
    let Some(entry) = storage::find(call.server, "", "pods", call.namespace(), name).await? else { return Ok(None) };
    let pod = storage::decode(&entry)?;
    let is_of_pod = addresses_of(&pod).any(|address| address == ip);
    Ok(proxyable(ip).filter(|_| is_of_pod))
}

/// All addresses of a pod, the first one first.
fn addresses_of(pod: &Value) -> impl Iterator<Item = &str> {
    let listed = pod["status"]["podIPs"].as_array().into_iter().flatten().filter_map(|it| it["ip"].as_str());
    let single = pod["status"]["podIP"].as_str().filter(|_| !pod["status"]["podIPs"].is_array());
    single.into_iter().chain(listed)
}

/// An address that proxies go to: not this machine itself, what it alone reaches on its link, or many at once.
fn proxyable(address: &str) -> Option<IpAddr> {
    address.parse().ok().filter(|address| is_global_unicast(*address))
}

fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}

/// How a port of a pod is spoken to.
fn security(scheme: &str) -> Security {
    if scheme == "https" { Security::Unverified } else { Security::Plain }
}

async fn node_port(call: &Call<'_>, uri: &Uri) -> Result<Backend, Status> {
    let ProxyName { name, port, .. } = proxy_name(call)?;
    let mut address = node_address(call, name).await?;
    let security = match port {
        "" => Security::Node,
        text => {
            let port: u16 =
                text.parse().map_err(|_| Status::bad_request(format!("{} is not a port", go::quote(text))))?;
            if address.port() == port {
                Security::Node
            } else if is_global_unicast(address.ip()) {
                address.set_port(port);
                Security::Plain
            } else {
                return Err(not_allowed());
            }
        }
    };
    Ok(Backend { address, security, path_and_query: rest(call, uri) })
}
