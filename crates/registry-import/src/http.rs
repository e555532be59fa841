//! Requests to the source.

use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, response};
use http_body_util::BodyExt;
use portolan_client::{Body, Endpoint, HttpsTransport, Transport};
use serde_json::Value;

/// The largest answer that is read; a registry of a hundred thousand instances is far below.
const LARGEST_ANSWER: usize = 512 << 20;

/// How long a write may take.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Why the source did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL or the credentials cannot be used.
    #[error("{0}")]
    Setup(String),
    /// No answer arrived.
    #[error("{url} does not answer")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: portolan_client::Error,
    },
    /// No answer arrived in time, or it broke off.
    #[error("the answer of {url} did not arrive: {reason}")]
    Broken {
        /// What was asked.
        url: String,
        /// Why.
        reason: String,
    },
    /// The answer is a refusal.
    #[error("{url} answers {status}: {text}")]
    Refused {
        /// What was asked.
        url: String,
        /// Status code.
        status: u16,
        /// The beginning of the answer.
        text: String,
    },
    /// The answer is not what such a registry says.
    #[error("the answer of {url} is not understood: {reason}; is it such a registry?")]
    NotUnderstood {
        /// What was asked.
        url: String,
        /// Why.
        reason: String,
    },
    /// This registry did not take what was found.
    #[error("this cluster did not take the change")]
    Api(#[source] portolan_client::Error),
}

/// A registry elsewhere.
#[derive(Debug)]
pub struct Remote {
    transport: HttpsTransport,
    url: String,
    headers: HeaderMap,
}

impl Remote {
    /// A registry at a URL, which may carry user and password. The token is Consul's; the certificate
    /// authority (PEM) is what `https` needs.
    ///
    /// # Errors
    /// The URL or a credential cannot be used.
    pub fn new(url: &str, token: Option<&str>, certificate_authority: &str) -> Result<Self, Error> {
        let mut parsed =
            url::Url::parse(url).map_err(|problem| Error::Setup(format!("{url:?} is not a URL: {problem}")))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !parsed.username().is_empty() || parsed.password().is_some() {
            let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            let words = format!("{}:{}", decode(parsed.username()), decode(parsed.password().unwrap_or_default()));
            let words = base64::engine::general_purpose::STANDARD.encode(words);
            headers.insert(AUTHORIZATION, secret(&format!("Basic {words}"))?);
            // A URL with a host can be without user and password.
            let _ = (parsed.set_username(""), parsed.set_password(None));
        }
        if let Some(token) = token {
            headers.insert(HeaderName::from_static("x-consul-token"), secret(token)?);
        }
        let url = parsed.as_str().trim_end_matches('/').to_owned();
        let endpoint = Endpoint {
            server: url.clone(),
            certificate_authority: certificate_authority.to_owned(),
            ..Endpoint::default()
        };
        let transport = HttpsTransport::new(&endpoint)
            .map_err(|problem| Error::Setup(portolan_base::error::chain(&problem).to_string()))?;
        Ok(Self { transport, url, headers })
    }

    /// Where it is, without user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port, in letters that a label can hold.
    pub(crate) fn label(&self) -> String {
        let place = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let place = place.split('/').next().unwrap_or_default();
        let letters =
            place.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' });
        letters.take(63).collect::<String>().trim_matches(['-', '.']).to_owned()
    }

    /// Asks, and reads JSON and the headers of the answer.
    pub(crate) async fn get(&self, path: &str, patience: Duration) -> Result<(HeaderMap, Value), Error> {
        let (head, body) = self.send(Method::GET, path, Bytes::new(), patience).await?;
        self.good(path, &head, &body)?;
        Ok((head.headers, self.value(path, &body)?))
    }

    /// Asks for what may not be there.
    pub(crate) async fn find(&self, path: &str, patience: Duration) -> Result<(HeaderMap, Option<Value>), Error> {
        let (head, body) = self.send(Method::GET, path, Bytes::new(), patience).await?;
        if head.status == StatusCode::NOT_FOUND {
            return Ok((head.headers, None));
        }
        self.good(path, &head, &body)?;
        Ok((head.headers, Some(self.value(path, &body)?)))
    }

    /// Writes something.
    pub(crate) async fn write(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(), Error> {
        let (head, body) = self.send(method, path, body.into(), WRITE_PATIENCE).await?;
        self.good(path, &head, &body)
    }

    fn good(&self, path: &str, head: &response::Parts, body: &[u8]) -> Result<(), Error> {
        if head.status.is_success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(body).chars().take(200).collect::<String>().trim().to_owned();
        Err(Error::Refused { url: format!("{}{path}", self.url), status: head.status.as_u16(), text })
    }

    fn value(&self, path: &str, body: &[u8]) -> Result<Value, Error> {
        serde_json::from_slice(body).map_err(|problem| self.not_understood(path, problem.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<(response::Parts, Vec<u8>), Error> {
        let url = format!("{}{path}", self.url);
        let ask = async {
            let request = Request::builder().method(method).uri(path).body(body);
            let mut request = request.map_err(|problem| Error::Setup(format!("{url}: {problem}")))?;
            request.headers_mut().extend(self.headers.clone());
            let answer = self.transport.send(request).await;
            let answer = answer.map_err(|source| Error::Unreachable { url: url.clone(), source })?;
            let (head, body) = answer.into_parts();
            let body = collect(body).await.map_err(|reason| Error::Broken { url: url.clone(), reason })?;
            Ok((head, body))
        };
        let answer = tokio::time::timeout(patience, ask).await;
        answer.map_err(|_| Error::Broken { url: url.clone(), reason: format!("not within {patience:?}") })?
    }

    pub(crate) fn not_understood(&self, path: &str, reason: impl Into<String>) -> Error {
        Error::NotUnderstood { url: format!("{}{path}", self.url), reason: reason.into() }
    }
}

async fn collect(mut body: Body) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|problem| problem.to_string())?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if bytes.len() > LARGEST_ANSWER {
            return Err(format!("it is larger than {LARGEST_ANSWER} bytes"));
        }
    }
    Ok(bytes)
}

fn secret(text: &str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Error::Setup("the credentials have forbidden characters".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
