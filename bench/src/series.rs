//! Many requests by many clients, and what they cost the server.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Request;
use http_body_util::BodyExt;
use portolan_client::{HttpsTransport, Transport};

use crate::cluster::{ControlPlane, send};
use crate::report::Measured;

/// Clients that have connected: handshakes are not part of the operation.
///
/// # Errors
/// The server does not answer.
pub async fn clients(plane: &ControlPlane, count: usize) -> anyhow::Result<Vec<HttpsTransport>> {
    let transports = (0..count).map(|_| plane.connect()).collect::<Result<Vec<_>, _>>()?;
    try_join_all(transports.iter().map(|transport| send(transport, "GET", "/version", Bytes::new()))).await?;
    Ok(transports)
}

/// Runs a series of requests, one after the other on each client; `request` makes the n-th. Returns
/// the size of the largest answer too. What the requests leave the server to do counts as theirs.
///
/// # Errors
/// A request failed or was refused.
pub async fn series(
    plane: &ControlPlane,
    range: Range<usize>,
    count: usize,
    request: impl Fn(usize) -> Request<Bytes> + Send + Sync + 'static,
) -> anyhow::Result<(Measured, usize)> {
    let next = Arc::new(AtomicUsize::new(range.start));
    let request = Arc::new(request);
    let (operations, end) = (range.len(), range.end);
    let transports = clients(plane, count).await?;
    let (cpu, started) = (plane.server.cpu_at_rest().await?, Instant::now());
    let workers = transports.into_iter().map(|transport| {
        let (next, request) = (next.clone(), request.clone());
        tokio::spawn(async move {
            let mut largest = 0;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    return anyhow::Ok(largest);
                }
                largest = largest.max(answer(&transport, request(index)).await?);
            }
        })
    });
    let mut size = 0;
    for largest in try_join_all(workers).await? {
        size = size.max(largest?);
    }
    let wall = started.elapsed();
    Ok((Measured { operations, wall, cpu: plane.server.cpu_at_rest().await? - cpu }, size))
}

/// The size of an answer.
async fn answer(transport: &HttpsTransport, request: Request<Bytes>) -> anyhow::Result<usize> {
    let what = format!("{} {}", request.method(), request.uri());
    let response = transport.send(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    ensure!(status.is_success(), "{what}: {status} {}", String::from_utf8_lossy(&bytes));
    Ok(bytes.len())
}

/// A request with a body of a type, which accepts `accept`.
pub fn request(method: &str, path: &str, content_type: &str, accept: &str, body: Bytes) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", content_type).header("accept", accept);
    request.body(body).expect("method, path and types are those of a request")
}

/// The same in JSON.
pub fn in_json(method: &str, path: &str, body: Bytes) -> Request<Bytes> {
    request(method, path, "application/json", "application/json", body)
}
