//! From an HTTP request to a stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Body, Refusal};

/// Kubernetes' header for the protocol inside SPDY.
pub(super) const STREAM_PROTOCOL: &str = "x-stream-protocol-version";

/// What a client wants to turn its connection into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Offer {
    /// WebSocket, with its subprotocols.
    WebSocket { key: String, protocols: Vec<String> },
    /// SPDY/3.1, with the protocols inside it.
    Spdy { protocols: Vec<String> },
}

impl Offer {
    /// Reads a request's headers.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let wanted = values(headers, UPGRADE.as_str());
        if wanted.iter().any(|value| value.eq_ignore_ascii_case("websocket")) {
            let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
            let valid = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
            let Some(key) = valid else {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed"));
            };
            let protocols = values(headers, SEC_WEBSOCKET_PROTOCOL.as_str());
            return Ok(Self::WebSocket { key: key.to_owned(), protocols });
        }
        if wanted.iter().any(|value| value.eq_ignore_ascii_case("SPDY/3.1")) {
            return Ok(Self::Spdy { protocols: values(headers, STREAM_PROTOCOL) });
        }
        let text = format!("unable to upgrade: missing upgrade headers in request: {:?}", wanted);
        Err(Refusal::new(StatusCode::BAD_REQUEST, text))
    }
}

/// The answer that makes the connection a stream of `protocol`.
pub(super) fn accept(offer: &Offer, protocol: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    match offer {
        Offer::WebSocket { key, .. } => {
            set("upgrade", "websocket");
            set("sec-websocket-accept", &derive_accept_key(key.as_bytes()));
            if !protocol.is_empty() {
                set("sec-websocket-protocol", protocol);
            }
        }
        Offer::Spdy { .. } => {
            set("upgrade", "SPDY/3.1");
            set(STREAM_PROTOCOL, protocol);
        }
    }
    response
}

/// The refusal of protocols that are not known here.
pub(super) fn unknown(offered: &[String], supported: &[&str]) -> Refusal {
    let (offered, supported) = (offered.join(" "), supported.join(" "));
    let text = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{offered}], server accepts [{supported}]"
    );
    Refusal::new(StatusCode::FORBIDDEN, text)
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}
