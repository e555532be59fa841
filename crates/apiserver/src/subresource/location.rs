//! Where links of a proxied server lead: to places behind the proxy.
//!
//! Source of the behaviour: `k8s.io/apimachinery/pkg/util/proxy`.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Response, Uri, header};

use crate::body::{Body, empty};
use crate::status::Status;

/// Who may use the API from pages of other sites is not for the proxied server to say.
const CORS: [header::HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// Sends the client to the same path with a slash, so that relative links of the page lead below it.
pub(super) fn with_slash(uri: &Uri) -> Result<Response<Body>, Status> {
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let location = HeaderValue::from_str(&format!("{}/{query}", uri.path()))
        .map_err(|error| Status::bad_request(format!("the path cannot be passed on: {error}")))?;
    let mut response = Response::new(empty());
    *response.status_mut() = http::StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Makes the headers of an answer those of a server at `prefix`.
pub(super) fn behind_proxy(headers: &mut HeaderMap, prefix: &str, backend: SocketAddr) {
    for name in CORS {
        headers.remove(name);
    }
    let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) else { return };
    if let Some(Ok(value)) = moved(location, prefix, backend).map(|location| HeaderValue::from_str(&location)) {
        headers.insert(header::LOCATION, value);
    }
}

/// A link of a server as it is behind the proxy; nothing if it leads there already, or elsewhere.
fn moved(location: &str, prefix: &str, backend: SocketAddr) -> Option<String> {
    let rest = location.strip_prefix("http:").or_else(|| location.strip_prefix("https:")).unwrap_or(location);
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if host != backend.to_string() {
                return None;
            }
            path
        }
        None => rest,
    };
    (path.starts_with('/') && !path.starts_with(prefix)).then(|| format!("{prefix}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_server_itself_stay_behind_the_proxy() {
        let prefix = "/api/v1/namespaces/n/pods/p/proxy";
        let backend: SocketAddr = "10.0.0.1:8080".parse().expect("an address");
        for (location, expected) in [
            ("/login?to=/", "/api/v1/namespaces/n/pods/p/proxy/login?to=/"),
            ("http://10.0.0.1:8080/a/", "/api/v1/namespaces/n/pods/p/proxy/a/"),
            ("//10.0.0.1:8080/a", "/api/v1/namespaces/n/pods/p/proxy/a"),
            ("https://example.com/a", "https://example.com/a"),
            ("sub/page", "sub/page"),
            ("/api/v1/namespaces/n/pods/p/proxy/there", "/api/v1/namespaces/n/pods/p/proxy/there"),
        ] {
            let mut headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static(location))]);
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            behind_proxy(&mut headers, prefix, backend);
            assert_eq!(headers[header::LOCATION], expected);
            assert_eq!(headers.len(), 1);
        }
    }

    #[test]
    fn a_path_without_end_gets_one() {
        let uri = "/api/v1/namespaces/n/pods/p/proxy?a=b".parse().expect("a path");
        let response = with_slash(&uri).expect("it can be sent");
        assert_eq!(response.headers()[header::LOCATION], "/api/v1/namespaces/n/pods/p/proxy/?a=b");
        assert_eq!(response.status(), 301);
    }
}
