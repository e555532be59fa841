//! The gRPC health check, `grpc.health.v1.Health/Check`.
//!
//! One message with one string and one with one number do not need a code generator.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use bytes::{BufMut, Bytes, BytesMut};
use http::Request;

use super::http::Secrecy;
use super::socket::{authority, connect};

/// Whom to ask for what.
#[derive(Debug)]
pub struct Call<'a> {
    /// Host.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Service; empty means the server as a whole.
    pub service: &'a str,
    /// Who asks.
    pub user_agent: &'a str,
    /// Over TLS or not.
    pub secrecy: Secrecy,
}

/// Asks whether a service serves.
///
/// # Errors
/// Why it does not, in words.
pub async fn check(call: &Call<'_>) -> Result<(), String> {
    let stream = connect(call.host, call.port, &call.secrecy, Some("h2")).await;
    let stream = stream.map_err(|error| format!("failed to connect: {error}"))?;
    let (client, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
    let exchange = exchange(client, call);
    tokio::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

async fn exchange(client: h2::client::SendRequest<Bytes>, call: &Call<'_>) -> Result<(), String> {
    let text = |error: h2::Error| error.to_string();
    let mut client = client.ready().await.map_err(text)?;
    let scheme = if matches!(call.secrecy, Secrecy::Plain) { "http" } else { "https" };
    let request = Request::post(format!("{scheme}://{}/grpc.health.v1.Health/Check", authority(call.host, call.port)))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", call.user_agent)
        .body(())
        .map_err(|error| error.to_string())?;
    let (response, mut sending) = client.send_request(request, false).map_err(text)?;
    sending.send_data(request_frame(call.service), true).map_err(text)?;
    let response = response.await.map_err(text)?;
    let in_headers = grpc_status(response.headers());
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(text)?;
        // Accounting only; a peer that is gone is noticed by the next read.
        let _ = body.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await.map_err(text)?;
    match trailers.as_ref().and_then(grpc_status).or(in_headers) {
        Some(0) => {}
        Some(12) => return Err("server doesn't implement gRPC health protocol".to_owned()),
        Some(code) => return Err(format!("health rpc probe failed with status {code}")),
        None => return Err("the answer has no gRPC status".to_owned()),
    }
    match serving_status(&bytes) {
        Some(1) => Ok(()),
        Some(status) => {
            let name = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                _ => "SERVICE_UNKNOWN",
            };
            Err(format!("service unhealthy (responded with {name:?})"))
        }
        None => Err("the answer is not a HealthCheckResponse".to_owned()),
    }
}

fn grpc_status(headers: &http::HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// `HealthCheckRequest { string service = 1; }` behind the five bytes of gRPC.
fn request_frame(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

/// `HealthCheckResponse { ServingStatus status = 1; }`; an absent field is 0.
fn serving_status(frame: &[u8]) -> Option<u8> {
    let message = frame.get(5..)?;
    match message {
        [] => Some(0),
        [0x08, status, ..] => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_the_health_messages() {
        assert_eq!(&request_frame("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request_frame("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        for (frame, status) in [(&[0, 0, 0, 0, 2, 8, 1][..], Some(1)), (&[0, 0, 0, 0, 0], Some(0)), (&[0], None)] {
            assert_eq!(serving_status(frame), status);
        }
    }
}
