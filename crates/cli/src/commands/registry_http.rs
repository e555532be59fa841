//! Plain requests to the registry of this machine.

use std::fmt;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portolan_client::percent_encode;
use serde_json::Value;

use crate::{Common, Place};

/// A connection to the registry, in one of its dialects.
pub(crate) struct Registry {
    url: String,
    token: Option<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Registry {
    /// The registry of the cluster on this machine, or the one at `url`.
    pub(crate) fn connect(common: &Common, url: Option<String>) -> anyhow::Result<Self> {
        let url = match url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => Place::required(&common.data_dir)?.registry_url,
        };
        Ok(Self { url, token: None, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// The same as Consul's clients know it, which alone has keys.
    pub(crate) fn consul(common: &Common, url: Option<String>, token: Option<String>) -> anyhow::Result<Self> {
        let url = match url {
            Some(url) => url,
            None => Place::required(&common.data_dir)?.dialects.remove("consul").context(
                "the cluster on this machine serves no Consul clients (--consul-listen off), and keys are theirs",
            )?,
        };
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, token, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Opens a stream of events, after the one of the id `last`.
    pub(crate) async fn stream(&self, path: &str, last: Option<&str>) -> anyhow::Result<Incoming> {
        let mut request = Request::builder().uri(format!("{}{path}", self.url));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.client.request(request.body(Full::default())?).await;
        let response = response.with_context(|| format!("ask the registry at {}", self.url))?;
        Ok(accepted(response).await?.into_body())
    }

    /// Sends a request; an error status becomes an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Response<Incoming>> {
        let body = body.map(Value::to_string).unwrap_or_default();
        accepted(self.answer(method, path, body.into()).await?).await
    }

    /// Sends a request and returns the answer, whatever its status.
    pub(crate) async fn answer(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token);
        }
        let request = request.body(Full::from(body))?;
        self.client.request(request).await.with_context(|| format!("ask the registry at {}", self.url))
    }

    /// Sends a request and reads a JSON answer (null if there is none).
    pub(crate) async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = self.send(method, path, body).await?.into_body().collect().await?.to_bytes();
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).context("read the registry's answer")
    }
}

/// The path of an instance, whatever signs its id has.
pub(crate) fn instance_path(namespace: &str, id: &str) -> String {
    format!("/instances/{}/{}", percent_encode(namespace), percent_encode(id))
}

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct Refused(StatusCode, String);

impl Refused {
    /// Whether what was asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.0 == StatusCode::NOT_FOUND
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the registry answered {}: {}", self.0, self.1)
    }
}

impl std::error::Error for Refused {}

async fn accepted(response: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    Err(Refused(status, String::from_utf8_lossy(&text).trim().to_owned()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_kind_have_a_path() {
        let cases = [("orders:8080", "/instances/shop/orders:8080"), ("a/b c%", "/instances/shop/a%2Fb%20c%25")];
        for (id, path) in cases {
            assert_eq!(instance_path("shop", id), path);
        }
    }
}
