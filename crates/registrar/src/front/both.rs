//! The same bytes by the short way and by hyper alone, to be compared.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Stop;
use crate::http::{Body, Door, Handler, Peer, Refusal, Request, Servers, Way, connection, full};

/// Between two pieces of what a client sends; no time passes in a test.
const PAUSE: Duration = Duration::from_millis(10);
/// A client does not wait longer for the end of the connection.
const PATIENCE: Duration = Duration::from_secs(600);

/// Stands behind what was read of a connection that does not end.
const STAYS: &[u8] = b"(stays open)";

/// Says what it was asked, and in all ways in which an answer can differ.
struct Mirror;

impl Handler for Mirror {
    const BODY_LIMIT: usize = 1000;

    async fn answer(&self, request: Request) -> Response<Body> {
        let Request { method, uri, headers, body, .. } = &request;
        let mut answer = Response::new(full(format!("{method} {uri} {headers:?} {body:?}")));
        let named = |name: header::HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
        match uri.path() {
            "/none" => *answer.status_mut() = StatusCode::NO_CONTENT,
            "/empty" => *answer.body_mut() = full(""),
            "/unchanged" => *answer.status_mut() = StatusCode::NOT_MODIFIED,
            "/missing" => *answer.status_mut() = StatusCode::NOT_FOUND,
            "/odd" => *answer.status_mut() = StatusCode::from_u16(799).expect("three digits"),
            "/large" => *answer.body_mut() = full(vec![b'x'; super::COPIED + 1]),
            "/fields" => {
                let fields = [named(header::VARY, "a"), named(header::VARY, "b"), named(header::ETAG, "\"1\"")];
                for (name, value) in fields {
                    answer.headers_mut().append(name, value);
                }
            }
            "/last" => answer.headers_mut().extend([named(header::CONNECTION, "close")]),
            "/dated" => answer.headers_mut().extend([named(header::DATE, "Thu, 01 Jan 1970 00:00:00 GMT")]),
            "/stream" => {
                let parts =
                    ["one", "two"].map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part.as_bytes()))));
                *answer.body_mut() = Body::stream(StreamBody::new(stream::iter(parts)));
            }
            "/soon" => tokio::time::sleep(PAUSE * 3).await,
            "/never" => std::future::pending().await,
            _ => {}
        }
        answer
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        let mut answer = Response::new(full(refusal.to_string()));
        *answer.status_mut() = match refusal {
            Refusal::Host(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        answer
    }
}

/// What a client reads that sends these pieces and then nothing more: by the short way, and by hyper alone.
///
/// Time has to be paused. Dates are blank, as they differ.
#[cfg_attr(not(feature = "fuzzing"), expect(unreachable_pub, reason = "fuzz targets reach it"))]
pub async fn answers(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
    let stop = Stop::default();
    (answer(pieces, Way::Short(&stop), Peer::Machine).await, answer(pieces, Way::Long, Peer::Machine).await)
}

/// What a client of one way reads that sends nothing more.
pub(crate) async fn answer(pieces: &[&[u8]], way: Way<'_>, who: Peer) -> Vec<u8> {
    talk(pieces, way, who, true).await
}

/// What a client of one way reads that would send more.
#[cfg(test)]
pub(crate) async fn answer_until_closed(pieces: &[&[u8]], way: Way<'_>, who: Peer) -> Vec<u8> {
    talk(pieces, way, who, false).await
}

async fn talk(pieces: &[&[u8]], way: Way<'_>, who: Peer, ends: bool) -> Vec<u8> {
    let (mut client, stream) = tokio::io::duplex(1 << 22);
    let (servers, graceful) = (Servers::default(), GracefulShutdown::new());
    let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    let served = async {
        let door = Door::Plain(who);
        // How it ended is seen by what was read.
        let _ = connection(&servers, stream, way, Arc::new(Mirror), door, peer, graceful.watcher()).await;
        std::future::pending::<()>().await;
    };
    let mut read = Vec::new();
    let talk = async {
        for piece in pieces {
            // The server may have ended the connection.
            let _ = client.write_all(piece).await;
            tokio::time::sleep(PAUSE).await;
        }
        if ends {
            let _ = client.shutdown().await;
        }
        if tokio::time::timeout(PATIENCE, client.read_to_end(&mut read)).await.is_err() {
            read.extend_from_slice(STAYS);
        }
    };
    tokio::select! {
        () = talk => {}
        () = served => {}
    }
    blank_dates(&mut read);
    read
}

fn blank_dates(bytes: &mut [u8]) {
    const FIELD: &[u8] = b"\r\ndate: ";
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(FIELD.len()).position(|window| window == FIELD) {
        at += found + FIELD.len();
        for byte in bytes[at..].iter_mut().take_while(|byte| **byte != b'\r') {
            *byte = b'-';
        }
    }
}
