//! The OpenAPI document of version 2, which is one for all servers together.
//!
//! Each extension server is asked for its document whenever it was found to be there; what it said last counts until
//! its API service goes. Source: `k8s.io/kube-aggregator/pkg/controllers/openapi`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use parking_lot::RwLock;
use portolan_api::openapi;
use portolan_identity::User;
use serde_json::Value;
use tokio::sync::Notify;

use super::pass;
use super::registered::{Aggregation, Service};
use crate::body::empty;
use crate::server::Server;

/// How long a server may take for its document, as upstream.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Largest document.
const LIMIT: usize = 64 << 20;

/// Who asks for the documents.
const USER: &str = "system:aggregator";

/// What the extension servers said.
#[derive(Default)]
pub(super) struct Documents {
    /// By the name of the API service.
    known: RwLock<BTreeMap<String, Document>>,
    checked: Notify,
}

#[derive(Debug, Clone, Default)]
struct Document {
    /// What the API service's version of its group is about, as far as its server ever said.
    part: Option<Arc<Value>>,
    /// By what the server knows whether it says something else now.
    tag: Option<HeaderValue>,
    /// Why the last question had no answer.
    failure: Option<String>,
}

impl Documents {
    /// Says that it was found out which servers are there.
    pub(super) fn due(&self) {
        self.checked.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.checked.notified().await;
    }
}

impl Aggregation {
    /// What extension servers add to the document of version 2, in the order in which it is added.
    pub(crate) fn parts(&self) -> Vec<Arc<Value>> {
        let mut services = self.remotes();
        let mut priorities = HashMap::new();
        for service in &services {
            let priority = priorities.entry(service.group.clone()).or_insert(service.group_priority);
            *priority = service.group_priority.max(*priority);
        }
        // As upstream, versions count by their names.
        services.sort_by_key(|service| (Reverse(priorities.get(&service.group).copied()), service.name.clone()));
        let known = self.documents.known.read();
        services.iter().filter_map(|service| known.get(&service.name)?.part.clone()).collect()
    }
}

/// Asks all servers that are there for their documents, and forgets those without an API service.
pub(crate) async fn refresh(server: &Server) {
    let documents = &server.aggregation.documents;
    let services = server.aggregation.remotes();
    let asked = services.iter().filter(|service| service.is_available).map(|service| async {
        let old = documents.known.read().get(&service.name).cloned().unwrap_or_default();
        (service.name.clone(), renewed(server, service, old).await)
    });
    let asked = futures::future::join_all(asked).await;
    let mut known = documents.known.write();
    known.retain(|name, _| services.iter().any(|service| service.name == *name));
    known.extend(asked);
}

async fn renewed(server: &Server, service: &Service, old: Document) -> Document {
    match tokio::time::timeout(TIMEOUT, ask(server, service, old.tag.as_ref())).await {
        Ok(Ok(None)) => Document { failure: None, ..old },
        Ok(Ok(Some((document, tag)))) => {
            let part = openapi::v2_part(document, &service.group, &service.version);
            // One without a tag is most often the same.
            let part = old.part.filter(|old| **old == part).unwrap_or_else(|| Arc::new(part));
            Document { part: Some(part), tag, failure: None }
        }
        Ok(Err(why)) => failed(service, old, why),
        Err(_) => failed(service, old, "request timed out".to_owned()),
    }
}

fn failed(service: &Service, old: Document, why: String) -> Document {
    if old.failure.as_ref() != Some(&why) {
        tracing::warn!(name = service.name, error = why, "an extension server's OpenAPI document could not be read");
    }
    Document { failure: Some(why), ..old }
}

/// A server's document and its tag; nothing if it has none, or none but the one of this tag.
async fn ask(
    server: &Server,
    service: &Service,
    tag: Option<&HeaderValue>,
) -> Result<Option<(Value, Option<HeaderValue>)>, String> {
    let mut request = Request::get("/openapi/v2").header(header::ACCEPT, "application/json");
    if let Some(tag) = tag {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let request = request.body(empty()).map_err(|error| error.to_string())?;
    let response = pass::send(server, service, &User::new(USER, []), request).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::NOT_MODIFIED if tag.is_some() => return Ok(None),
        status => return Err(format!("failed to retrieve openAPI spec, http error: {}", status.as_u16())),
    }
    let tag = response.headers().get(header::ETAG).cloned();
    let body = Limited::new(response.into_body(), LIMIT).collect().await;
    let bytes = body.map_err(|error| error.to_string())?.to_bytes();
    let document = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    Ok(Some((document, tag)))
}
