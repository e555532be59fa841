//! As much HTTP as the shop needs, on hyper.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// A neighbour that has not answered by then is shown as away rather than waited for.
const NEIGHBOUR_TIMEOUT: Duration = Duration::from_secs(2);
/// No body in this shop is larger.
const BODY_LIMIT: usize = 64 * 1024;

/// What a handler gives back.
pub(crate) enum Answer {
    /// A JSON document.
    Json(StatusCode, Value),
    /// A page.
    Html(String),
}

/// A future of an answer.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// One role of the shop.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers a request.
    fn answer<'a>(&'a self, method: Method, path: &'a str, body: Bytes) -> Answering<'a>;
}

/// Serves until SIGTERM, then finishes what it began.
pub(crate) async fn serve(listen: SocketAddr, service: Arc<dyn Service>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    println!("listening on {}", listener.local_addr()?);
    let mut stop = signal(SignalKind::terminate())?;
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.context("accept")?.0,
            Some(_) = connections.join_next() => continue,
            _ = stop.recv() => break,
        };
        let service = service.clone();
        connections.spawn(async move {
            let handler = hyper::service::service_fn(move |request| respond(service.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handler);
            if let Err(error) = connection.await {
                eprintln!("connection: {error}");
            }
        });
    }
    let _ = tokio::time::timeout(NEIGHBOUR_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn respond(service: Arc<dyn Service>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let answer = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => service.answer(parts.method.clone(), parts.uri.path(), body.to_bytes()).await,
        Err(error) => Answer::Json(StatusCode::BAD_REQUEST, serde_json::json!({"error": error.to_string()})),
    };
    let (status, content_type, body) = match answer {
        Answer::Json(status, value) => (status, "application/json", value.to_string()),
        Answer::Html(page) => (StatusCode::OK, "text/html; charset=utf-8", page),
    };
    println!("{} {} {}", parts.method, parts.uri.path(), status.as_u16());
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    Ok(response)
}

/// Asks a neighbour by name. A new connection each time, so that the answer may come from any instance.
pub(crate) async fn ask(method: Method, host: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    tokio::time::timeout(NEIGHBOUR_TIMEOUT, async {
        let stream = TcpStream::connect((host, 80)).await.with_context(|| format!("connect to {host}"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let body = body.map(|value| value.to_string()).unwrap_or_default();
        let request =
            Request::builder().method(method).uri(path).header(HOST, host).body(Full::new(Bytes::from(body)))?;
        // Both halves belong to this call: dropping it closes the connection.
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_LIMIT)
                .collect()
                .await
                .map_err(|error| anyhow::anyhow!("read the answer of {host}: {error}"))?
                .to_bytes();
            anyhow::ensure!(status.is_success(), "{host} answered {status}");
            Ok(serde_json::from_slice(&body)?)
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            closed = &mut connection => {
                closed?;
                exchange.await
            }
        }
    })
    .await
    .with_context(|| format!("{host} did not answer within {NEIGHBOUR_TIMEOUT:?}"))?
}
