//! Requests over HTTP and HTTPS, each on a connection of its own.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, LOCATION, USER_AGENT};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use url::Url;

use super::socket::{Stream, authority, connect};

/// As many redirects are followed as by Go's client.
const MOST_REDIRECTS: usize = 10;

/// Whether others can read along.
#[derive(Debug, Clone)]
pub enum Secrecy {
    /// They can.
    Plain,
    /// They cannot.
    Tls {
        /// Who is believed.
        config: Arc<rustls::ClientConfig>,
        /// Name that the certificate must have; the host's if empty.
        name: String,
    },
}

/// What to do with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Ask where it points to.
    Followed,
    /// It is the answer.
    Returned,
}

/// A request without its target.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Headers; `Host` and `User-Agent` replace our own.
    pub headers: Vec<(String, String)>,
    /// Body; may be empty.
    pub body: String,
    /// Who asks.
    pub user_agent: String,
    /// How many bytes of the answer's body are kept.
    pub kept: usize,
}

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// The beginning of the body.
    pub body: String,
    location: Option<String>,
}

/// Asks an URL and, if wanted, where that redirects to. Returns the last URL with its answer.
///
/// # Errors
/// Why there is no answer, with the URL.
pub async fn fetch(
    mut url: Url,
    mut request: Request,
    secrecy: impl Fn() -> Result<Secrecy, String>,
    redirects: Redirects,
) -> Result<(Url, Answer), String> {
    for _ in 0..=MOST_REDIRECTS {
        let verb = capitalised(&request.method);
        let failed = |error: String| format!("{verb} {:?}: {error}", url.as_str());
        let secrecy = match url.scheme() {
            "http" => Secrecy::Plain,
            "https" => secrecy().map_err(failed)?,
            other => return Err(failed(format!("unsupported protocol scheme {other:?}"))),
        };
        let host = url.host_str().ok_or_else(|| failed("no Host in request URL".to_owned()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(80);
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let answer = send(host, port, path, &request, &secrecy).await.map_err(failed)?;
        let target = answer.location.as_deref().filter(|_| redirects == Redirects::Followed);
        let Some(target) = target.filter(|_| is_redirect(answer.status)) else { return Ok((url, answer)) };
        let target = url.join(target).map_err(|error| failed(format!("redirect to {target:?}: {error}")))?;
        if !matches!(answer.status.as_u16(), 307 | 308) && request.method != "HEAD" {
            (request.method, request.body) = ("GET".to_owned(), String::new());
        }
        if target.host_str() != url.host_str() {
            // What proves who we are to one host is not for another.
            let secret = |name: &str| ["authorization", "cookie"].iter().any(|word| name.eq_ignore_ascii_case(word));
            request.headers.retain(|(name, _)| !secret(name) && !name.eq_ignore_ascii_case("host"));
        }
        url = target;
    }
    Err(format!("{} {:?}: stopped after {MOST_REDIRECTS} redirects", capitalised(&request.method), url.as_str()))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn capitalised(method: &str) -> String {
    let lower = method.to_ascii_lowercase();
    let mut letters = lower.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// Sends one request; redirects are not followed.
///
/// # Errors
/// Why there is no answer.
pub async fn send(host: &str, port: u16, path: &str, request: &Request, secrecy: &Secrecy) -> Result<Answer, String> {
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| error.to_string())?;
    let mut built = http::Request::builder().method(method).uri(path);
    let given = |name: HeaderName| request.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name.as_str()));
    for (name, value) in &request.headers {
        built = built.header(name, value);
    }
    if !given(HOST) {
        built = built.header(HOST, authority(host, port));
    }
    if !given(USER_AGENT) {
        built = built.header(USER_AGENT, &request.user_agent);
    }
    let built = built.header(CONNECTION, "close").body(Full::new(Bytes::from(request.body.clone())));
    let built = built.map_err(|error| error.to_string())?;
    let stream = connect(host, port, secrecy, None).await?;
    exchange(stream, built, request.kept).await
}

async fn exchange(stream: Box<dyn Stream>, request: http::Request<Full<Bytes>>, kept: usize) -> Result<Answer, String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = response.into_body();
        let mut beginning = Vec::new();
        while beginning.len() < kept {
            match body.frame().await {
                Some(Ok(frame)) => beginning.extend(frame.into_data().unwrap_or_default()),
                // The status is what counts; a body that breaks off does not change it.
                Some(Err(_)) | None => break,
            }
        }
        beginning.truncate(kept);
        Ok(Answer { status, body: String::from_utf8_lossy(&beginning).into_owned(), location })
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end before the answer was read to its end.
        outcome = connection => match outcome {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
