//! Passes requests on to an extension server.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portolan_identity::{KeyPairPem, User};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

use super::registered::Service;
use crate::body::{Body, empty};
use crate::router::Origin;
use crate::server::{self, Server};
use crate::subresource::{Anyone, upgrade};
use crate::webhook_client::{self, tls};

/// How long it may take until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";

/// Who asks when nobody else does.
pub(super) fn own_user() -> User {
    User::new("system:kube-aggregator", ["system:masters"])
}

/// The extension server that a path without a resource is about, and whether it is its OpenAPI document.
pub(crate) fn documented(server: &Server, path: &str) -> Option<(Arc<Service>, bool)> {
    let (group, version, is_document) = match path.split('/').skip(1).collect::<Vec<_>>()[..] {
        ["apis", group, version] => (group, version, false),
        ["openapi", "v3", "apis", group, version] => (group, version, true),
        _ => return None,
    };
    Some((server.aggregation.remote(group, version)?, is_document))
}

/// Asks an extension server what it serves; its document is for everyone who may see the whole.
pub(crate) async fn describe(
    server: &Server,
    service: &Service,
    user: &User,
    origin: Origin<'_>,
    parts: &Parts,
    is_document: bool,
) -> Response<Body> {
    let own;
    let user = if is_document {
        own = own_user();
        &own
    } else {
        user
    };
    let mut request = Request::new(empty());
    *request.method_mut() = parts.method.clone();
    request.uri_mut().clone_from(&parts.uri);
    request.headers_mut().clone_from(&parts.headers);
    *request.extensions_mut() = parts.extensions.clone();
    pass_on(server, service, user, origin, request).await
}

/// Sends a user's request to an extension server and its answer back.
pub(crate) async fn pass_on(
    server: &Server,
    service: &Service,
    user: &User,
    origin: Origin<'_>,
    mut request: Request<Body>,
) -> Response<Body> {
    if !service.is_available {
        return refused("service unavailable");
    }
    let upgrades = upgrade::is_upgrade(request.headers());
    let client = upgrade::client_side(&mut request);
    if upgrades && client.is_none() {
        return server::text(400, "this connection cannot be upgraded: use HTTP/1.1\n");
    }
    let (parts, body) = request.into_parts();
    let mut onward = Request::new(body);
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = parts.uri;
    *onward.headers_mut() = upgrade::passed_on(&parts.headers, upgrades);
    upgrade::forwarded_for(onward.headers_mut(), origin);
    if !upgrades {
        let backend = &service.backend;
        let host = format!("{}.{}.svc:{}", backend.name, backend.namespace, backend.port);
        if let Ok(host) = HeaderValue::from_str(&host) {
            onward.headers_mut().insert("x-forwarded-host", host);
        }
        onward.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let path = onward.uri().path().to_owned();
        upgrade::forwarded_uri(onward.headers_mut(), &path);
    }
    // Its own audit log calls the request the same.
    if let Some(id) = HeaderValue::from_str(origin.audit_id).ok().filter(|id| !id.is_empty()) {
        onward.headers_mut().insert(&crate::audit::ID, id);
    }
    match send(server, service, user, onward).await {
        Ok(response) => upgrade::answer(response, client, &server.nodes.tasks, &server.draining),
        Err(why) => refused(&format!("error trying to reach service: {why}")),
    }
}

/// The text that upstream's proxy gives; no object, as the server that would make one is not there.
fn refused(text: &str) -> Response<Body> {
    let mut response = server::text(503, format!("{text}\n"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Sends a request in the name of a user. The error says why there is no answer.
pub(super) async fn send(
    server: &Server,
    service: &Service,
    user: &User,
    mut request: Request<Body>,
) -> Result<Response<Incoming>, String> {
    let backend = &service.backend;
    let host = format!("{}.{}.svc", backend.name, backend.namespace);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|error| error.to_string())?;
    identify(request.headers_mut(), user)?;
    let authority = HeaderValue::from_str(&format!("{host}:{}", backend.port)).map_err(|error| error.to_string())?;
    request.headers_mut().insert(header::HOST, authority);
    let settings = service.tls.get_or_init(|| settings(service, server.aggregation.client.get())).clone()?;
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let connecting = async {
        let stream = webhook_client::to_service(server, &backend.namespace, &backend.name, backend.port).await?;
        TlsConnector::from(settings).connect(name, stream).await.map_err(|error| tls::told(&error))
    };
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| "dial tcp: i/o timeout")??;
    server.nodes.exchange(TokioIo::new(stream), request).await.map_err(|error| error.to_string())
}

/// Names the user, and takes away what the client itself said about users.
fn identify(headers: &mut HeaderMap, user: &User) -> Result<(), String> {
    let is_claim = |name: &HeaderName| {
        let name = name.as_str();
        matches!(name, USER | UID | GROUP | "authorization")
            || name.starts_with(EXTRA)
            || name.starts_with("impersonate-")
    };
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "the user's name cannot be passed on".to_owned());
    headers.insert(USER, value(&user.name)?);
    if !user.uid.is_empty() {
        headers.insert(UID, value(&user.uid)?);
    }
    for group in &user.groups {
        headers.append(GROUP, value(group)?);
    }
    for (key, values) in &user.extra {
        let name = format!("{EXTRA}{}", escaped(key));
        let name: HeaderName = name.parse().map_err(|_| "the user's facts cannot be passed on".to_owned())?;
        for text in values {
            headers.append(name.clone(), value(text)?);
        }
    }
    Ok(())
}

/// A key as part of a header's name: what cannot stand there is percent-encoded.
fn escaped(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Settings of connections to an extension server.
fn settings(service: &Service, client: Option<&KeyPairPem>) -> Result<Arc<ClientConfig>, String> {
    let client = client.ok_or("this server has no certificate to show yet")?;
    let builder = if service.backend.is_unverified {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        tls::trusting(&service.backend.authority)?
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(client.certificate_pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).map_err(|error| error.to_string())?;
    let mut config = builder.with_client_auth_cert(certificates, key).map_err(|error| error.to_string())?;
    // Upgrades exist in HTTP/1.1 only.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_by_this_server_alone() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("x-remote-user", "system:admin"),
            ("x-remote-extra-scopes", "all"),
            ("impersonate-user", "other"),
            ("accept", "application/json"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut user = User::new("jane", ["developers"]);
        user.uid = "42".into();
        user.extra.insert("example.com/scope".into(), vec!["one".into(), "two".into()]);
        identify(&mut headers, &user).expect("a plain name");
        let mut told: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        told.sort();
        let expected = [
            "accept: application/json",
            "x-remote-extra-example.com%2fscope: one",
            "x-remote-extra-example.com%2fscope: two",
            "x-remote-group: developers",
            "x-remote-group: system:authenticated",
            "x-remote-uid: 42",
            "x-remote-user: jane",
        ];
        assert_eq!(told, expected);
    }
}
