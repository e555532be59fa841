//! The documents by which clients learn what is served.

mod openapi;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use portolan_api::description::{Description, builtin};
use portolan_api::discovery::{self as documents, Part};
use serde_json::{Value, json};

use crate::body::{Body, empty};
use crate::negotiate::{self, Answer};
use crate::request::Query;
use crate::server::Server;
use crate::status::Status;
use crate::{aggregation, respond};

/// The media type that says that groups, versions and resources come at once.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The media type of keys.
const JWKS: &str = "application/jwk-set+json";

pub(crate) const PLATFORM: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

/// What the server says of its version.
pub(crate) struct Version {
    pub(crate) major: &'static str,
    pub(crate) minor: &'static str,
    /// Of the oldest release that one may go back to from this one.
    pub(crate) compatible_minor: &'static str,
    pub(crate) git: &'static str,
    pub(crate) tree: &'static str,
    pub(crate) build_date: &'static str,
    pub(crate) go: &'static str,
    pub(crate) compiler: &'static str,
}

/// The release of Kubernetes whose API this is.
pub(crate) const VERSION: Version = Version {
    major: "1",
    minor: "36",
    compatible_minor: "35",
    git: "v1.36.0+portolan",
    tree: "clean",
    build_date: "1970-01-01T00:00:00Z",
    go: "none",
    compiler: "rustc",
};

fn version() -> Response<Body> {
    respond::json(
        200,
        &json!({
            "major": VERSION.major, "minor": VERSION.minor,
            "emulationMajor": VERSION.major, "emulationMinor": VERSION.minor,
            "minCompatibilityMajor": VERSION.major, "minCompatibilityMinor": VERSION.compatible_minor,
            "gitVersion": VERSION.git,
            "gitCommit": "", "gitTreeState": VERSION.tree, "buildDate": VERSION.build_date,
            "goVersion": VERSION.go, "compiler": VERSION.compiler,
            "platform": PLATFORM,
        }),
    )
}

/// Answers every path that is neither a resource's nor about the server itself.
pub(crate) fn serve(
    server: &Server,
    method: &Method,
    path: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    let description = server.extensions.description();
    // What is no path at all is none of these: a CONNECT has only an authority.
    let is_exact = path == "/" || !path.is_empty() && !path.ends_with('/');
    // Those who look after groups and all else that is at one path do not ask how: they always answer.
    match segments.as_slice() {
        [] | ["index.html"] if is_exact => {
            return Ok(respond::json(200, &json!({"paths": paths(server, &description)})));
        }
        ["apis"] => return root(server, &description, Part::Groups, query, headers),
        ["apis", group] => {
            if let Some(document) = aggregation::group(server, group, documents::api_group(&description, group)) {
                return negotiated(headers, query, &document);
            }
        }
        ["apis", group, version] if !has_routes(path) => {
            if let Some(document) = documents::api_resource_list(&description, group, version) {
                return negotiated(headers, query, &document);
            }
        }
        ["openapi", "v3"] if !is_exact => return Ok(openapi::nothing(404)),
        ["openapi", rest @ ..] if is_exact => {
            let found = openapi::serve(server, &description, rest, query, headers);
            return Ok(found.unwrap_or_else(|| match rest {
                ["v3", ..] => openapi::nothing(404),
                _ => respond::not_found(),
            }));
        }
        _ => {}
    }
    let (group, version) = match segments.as_slice() {
        ["api"] => ("", ""),
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        ["version"] => return routed(method, headers, respond::JSON, version),
        ["openid", "v1", "jwks"] => return routed(method, headers, JWKS, || jwks(server)),
        [".well-known", "openid-configuration"] => {
            return routed(method, headers, respond::JSON, || openid_configuration(server));
        }
        _ => return nothing_at(path),
    };
    let document = documents::api_resource_list(&description, group, version);
    if document.is_none() && !version.is_empty() {
        return nothing_at(path);
    }
    if *method != Method::GET {
        return Err(Status::method_not_allowed());
    }
    negotiate::expect_route(headers, &negotiate::DOCUMENTS)?;
    match document {
        Some(document) => negotiated(headers, query, &document),
        None => root(server, &description, Part::Core, query, headers),
    }
}

/// What is read only, and in one form.
fn routed(
    method: &Method,
    headers: &HeaderMap,
    content_type: &str,
    answer: impl FnOnce() -> Response<Body>,
) -> Result<Response<Body>, Status> {
    if *method != Method::GET {
        return Err(Status::method_not_allowed());
    }
    negotiate::expect_route(headers, &[content_type])?;
    Ok(answer())
}

/// The answer for a path at which there is nothing: who has routes below its beginning refuses in its own words.
pub(crate) fn nothing_at(path: &str) -> Result<Response<Body>, Status> {
    if has_routes(path) { Err(Status::no_such_path()) } else { Ok(respond::not_found()) }
}

/// Whether upstream's router of what is built in claims a path. Groups of users and of extension servers are none of
/// its, nor is what stands at one exact path.
///
/// Source: `k8s.io/apiserver/pkg/server/handler.go`, `director`.
fn has_routes(path: &str) -> bool {
    match path.split('/').skip(1).collect::<Vec<_>>()[..] {
        ["api" | "version", ..] | [".well-known", "openid-configuration", ..] | ["openid", "v1", "jwks", ..] => true,
        ["apis", group, ..] => !group.is_empty() && builtin().group(group).is_some(),
        _ => false,
    }
}

/// All paths that clients are told of.
pub(crate) fn paths(server: &Server, description: &Description) -> Vec<String> {
    let fixed = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/flagz",
        "/healthz",
        "/livez",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz",
        "/readyz/shutdown",
        "/statusz",
        "/version",
    ];
    let mut paths: Vec<String> = fixed.map(str::to_owned).into();
    for group in description.groups().iter().filter(|group| !group.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|version| format!("/apis/{}", version.api_version())));
    }
    aggregation::paths(server, &mut paths);
    for check in ["etcd", "ping", "store"] {
        paths.extend(["/healthz", "/livez", "/readyz"].map(|which| format!("{which}/{check}")));
    }
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// `/api` and `/apis`: aggregated if the client asks for it, else the old lists.
fn root(
    server: &Server,
    description: &Description,
    part: Part,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    if negotiate::is_aggregated_discovery(headers) {
        let own = documents::aggregated(description, part);
        let whole = match part {
            Part::Core => own,
            Part::Groups => aggregation::aggregated(server, own),
        };
        let mut response = tagged(headers, AGGREGATED, whole.into());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        return Ok(response);
    }
    let address = server.config.advertise.to_string();
    let document = match part {
        Part::Core => documents::api_versions(&address),
        Part::Groups => aggregation::group_list(server, documents::api_group_list(description)),
    };
    negotiated(headers, query, &document)
}

/// A document in the form that the client accepts, if there is one.
fn negotiated(headers: &HeaderMap, query: &Query, document: &Value) -> Result<Response<Body>, Status> {
    negotiate::accepted(headers, query, Answer::Reply { in_protobuf: true })?;
    Ok(respond::json(200, document))
}

/// A document with a tag of its content; nothing but the tag if the client has it already.
fn tagged(headers: &HeaderMap, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let tag = format!("{:016X}", hash(&bytes));
    tagged_as(headers, content_type, bytes, &tag)
}

fn tagged_as(headers: &HeaderMap, content_type: &'static str, bytes: Bytes, tag: &str) -> Response<Body> {
    let tag = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|candidate| candidate.trim() == tag));
    let mut response = if is_known {
        respond::with_body(304, content_type, empty())
    } else {
        respond::bytes_of(200, content_type, bytes)
    };
    let answer = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, value);
    }
    answer.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// FNV-1a: the same in every process of the same build, unlike the standard library's hasher.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn jwks(server: &Server) -> Response<Body> {
    let body = server.config.tokens.jwks().to_string();
    kept_a_while(respond::bytes_of(200, JWKS, body))
}

fn openid_configuration(server: &Server) -> Response<Body> {
    let tokens = &server.config.tokens;
    let keys_url = server.config.access.service_accounts.keys_url.clone();
    kept_a_while(respond::json(
        200,
        &json!({
            "issuer": tokens.issuer(),
            "jwks_uri": keys_url.unwrap_or_else(|| format!("https://{}/openid/v1/jwks", server.config.advertise)),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": tokens.algorithms(),
        }),
    ))
}

/// What is said of the keys of tokens: others may keep it as long as upstream lets them.
fn kept_a_while(mut response: Response<Body>) -> Response<Body> {
    let an_hour = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, an_hour);
    response
}
