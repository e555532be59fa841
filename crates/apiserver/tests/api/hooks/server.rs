//! A webhook over HTTPS.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use portolan_identity::server_tls;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::Cluster;

type Decide = dyn Fn(&str, &Value) -> Value + Send + Sync;

/// A webhook: the last segment of the path says which answer it gives.
pub(super) struct Hook {
    pub(super) port: u16,
    pub(super) bundle: String,
    pub(super) seen: Arc<Mutex<Vec<Value>>>,
    _tasks: JoinSet<()>,
}

impl Hook {
    pub(super) async fn start(
        cluster: &Cluster,
        decide: impl Fn(&str, &Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let certificate = cluster.server_certificate("hook", &["localhost", "hook.default.svc"]);
        let tls = server_tls(&certificate, cluster.authority.certificate_pem()).expect("settings");
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let decide: Arc<Decide> = Arc::new(decide);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, TlsAcceptor::from(tls), decide, seen.clone()));
        Self { port, bundle: STANDARD.encode(cluster.authority.certificate_pem()), seen, _tasks: tasks }
    }

    pub(super) fn url(&self, path: &str) -> Value {
        json!({"url": format!("https://localhost:{}/{path}", self.port), "caBundle": self.bundle})
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().iter().map(|request| request["path"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, decide: Arc<Decide>, seen: Arc<Mutex<Vec<Value>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, decide, seen) = (tls.clone(), decide.clone(), seen.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let (decide, seen) = (decide.clone(), seen.clone());
                async move {
                    let path = request.uri().path().trim_start_matches('/').to_owned();
                    let bytes = request.into_body().collect().await.expect("a body").to_bytes();
                    let mut review: Value = serde_json::from_slice(&bytes).expect("a review");
                    let mut response = decide(&path, &review["request"]);
                    if response == "hang" {
                        std::future::pending::<()>().await;
                    }
                    if let Some(page) = response.as_str().filter(|text| text.starts_with('<')) {
                        let answer = Response::builder().header("content-type", "text/html; charset=utf-8");
                        return Ok(answer.body(Full::new(Bytes::from(page.to_owned()))).expect("an answer"));
                    }
                    if response["kind"] == "Status" {
                        let code = response["code"].as_u64().and_then(|code| u16::try_from(code).ok());
                        let answer = Response::builder().status(code.expect("a code"));
                        return Ok(answer.body(Full::new(Bytes::from(response.to_string()))).expect("an answer"));
                    }
                    if response["uid"].is_null() {
                        response["uid"] = review["request"]["uid"].clone();
                    }
                    let mut request = review["request"].take();
                    request["path"] = path.into();
                    seen.lock().push(request);
                    review["response"] = response;
                    // What programs in Go say of an answer whose type they do not set.
                    let answer = Response::builder().header("content-type", "text/plain; charset=utf-8");
                    let answer = answer.body(Full::new(Bytes::from(review.to_string()))).expect("an answer");
                    Ok::<_, std::convert::Infallible>(answer)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the test's webhook ended");
            }
        });
    }
}
