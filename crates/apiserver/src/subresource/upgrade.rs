//! Connections that become something else: websocket, SPDY. The bytes pass through unchanged.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use portolan_base::relay;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{Body, empty};
use crate::router::Origin;

/// Headers that are about one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"];

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Marks an answer whose form is the affair of the server that made it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassedOn;

/// Whether a request asks to become something else.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
}

/// Headers as they are passed on; those of the upgrade stay.
pub(crate) fn passed_on(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut passed = headers.clone();
    for name in HOP_BY_HOP {
        passed.remove(name);
    }
    if upgrade {
        if let Some(protocol) = headers.get(header::UPGRADE) {
            passed.insert(header::UPGRADE, protocol.clone());
        }
        passed.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    } else {
        passed.remove(header::UPGRADE);
    }
    passed
}

/// Adds the client to those that a request came from.
pub(crate) fn forwarded_for(headers: &mut HeaderMap, origin: Origin<'_>) {
    let Some(address) = origin.address() else { return };
    let before: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let client = address.to_string();
    let all = before.into_iter().chain([client.as_str()]).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// Says which path the client asked for, `path` with nothing in it to be resolved.
pub(crate) fn forwarded_uri(headers: &mut HeaderMap, path: &str) {
    let mut clean: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(clean.pop()),
            segment => clean.push(segment),
        }
    }
    let end = if path.ends_with('/') && !clean.is_empty() { "/" } else { "" };
    if let Ok(value) = HeaderValue::from_str(&format!("/{}{end}", clean.join("/"))) {
        headers.insert("x-forwarded-uri", value);
    }
}

/// Turns the backend's answer into the client's; joins the two connections if both switched.
pub(crate) fn answer(
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
    tasks: &TaskTracker,
    draining: &CancellationToken,
) -> Response<Body> {
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = passed_on(response.headers(), switched);
    let status = response.status();
    let body = match client {
        Some(client) if switched => {
            let backend = hyper::upgrade::on(&mut response);
            let draining = draining.clone();
            tasks.spawn(async move {
                let joined = async {
                    let (client, backend) = tokio::try_join!(client, backend)?;
                    relay::join(TokioIo::new(client), TokioIo::new(backend)).await;
                    Ok::<_, hyper::Error>(())
                };
                if let Some(Err(error)) = draining.run_until_cancelled(joined).await {
                    tracing::debug!(%error, "a connection to be passed through was not upgraded");
                }
            });
            empty()
        }
        _ => response.into_body().map_err(Into::into).boxed_unsync(),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer.extensions_mut().insert(PassedOn);
    answer
}

/// Takes from a request the handle of its connection's upgrade.
pub(crate) fn client_side(request: &mut Request<Body>) -> Option<OnUpgrade> {
    request.extensions_mut().remove::<OnUpgrade>()
}
