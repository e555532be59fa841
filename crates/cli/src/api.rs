//! Requests to the API server by resource name, found out by discovery.

use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use portolan_client::{Body, Client, HttpsTransport, Kubeconfig, Transport};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{Common, Place};

/// Aggregated discovery, as `apidiscovery.k8s.io/v2`.
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A resource that the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    singular: String,
    short_names: Vec<String>,
    categories: Vec<String>,
}

impl Resource {
    /// Path of the collection, or of one object.
    pub(crate) fn path(&self, namespace: &str, name: Option<&str>) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if self.namespaced && !namespace.is_empty() {
            path = format!("{path}/namespaces/{namespace}");
        }
        path = format!("{path}/{}", self.name);
        if let Some(name) = name {
            path = format!("{path}/{name}");
        }
        path
    }

    /// `deployment.apps`, or `pod` in the core group: how an object of it is named to a person.
    pub(crate) fn display(&self) -> String {
        match self.group.as_str() {
            "" => self.singular.clone(),
            group => format!("{}.{group}", self.singular),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let (name, group) = name.split_once('.').unwrap_or((name, &self.group));
        let called = self.name == name
            || self.singular == name
            || self.kind.to_lowercase() == name
            || self.short_names.iter().any(|short| short == name);
        called && (group == self.group || group == format!("{}.{}", self.version, self.group))
    }
}

/// A connection to the API server.
#[derive(Debug)]
pub struct Api {
    transport: Arc<HttpsTransport>,
    namespace: String,
    resources: OnceCell<Vec<Resource>>,
}

impl Api {
    /// Connects as the kubeconfig says: the given one, or that of the cluster on this machine.
    ///
    /// # Errors
    /// No kubeconfig, or one that cannot be used.
    pub fn connect(common: &Common) -> anyhow::Result<Self> {
        let path = match &common.kubeconfig {
            Some(path) => path.clone(),
            None => Place::required(&common.data_dir)?.kubeconfig,
        };
        let kubeconfig = Kubeconfig::load(&path)?;
        let transport = HttpsTransport::new(&kubeconfig.endpoint()?)?;
        let namespace = common.namespace.clone().unwrap_or_else(|| kubeconfig.namespace().to_owned());
        Ok(Self { transport: Arc::new(transport), namespace, resources: OnceCell::new() })
    }

    /// The namespace that commands work in.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The connection itself, for requests that upgrade it.
    pub(crate) fn transport(&self) -> &HttpsTransport {
        &self.transport
    }

    /// A client for typed requests over the same connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.transport.clone())
    }

    /// Sends a request and returns the response as it comes; an error status becomes an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Bytes)>,
    ) -> anyhow::Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(path).header(ACCEPT, accept);
        if let Some((content_type, _)) = &body {
            request = request.header(CONTENT_TYPE, *content_type);
        }
        let request = request.body(body.map(|(_, bytes)| bytes).unwrap_or_default())?;
        let response = self.transport.send(request).await?;
        if response.status().is_success() || response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let status = response.status();
        Err(refusal(status, &collect(response).await?))
    }

    /// Sends a request and reads a JSON answer.
    pub(crate) async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let body = body.map(|value| ("application/json", Bytes::from(value.to_string())));
        let response = self.send(method, path, "application/json", body).await?;
        serde_json::from_slice(&collect(response).await?).context("read the server's answer")
    }

    /// Reads a page for people, whatever its status says.
    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let response = self.transport.send(Request::get(path).body(Bytes::new())?).await?;
        Ok(String::from_utf8_lossy(&collect(response).await?).into_owned())
    }

    /// Reads a resource or collection in the form that `accept` asks for.
    pub(crate) async fn get(&self, path: &str, accept: &str) -> anyhow::Result<Value> {
        let response = self.send(Method::GET, path, accept, None).await?;
        serde_json::from_slice(&collect(response).await?).context("read the server's answer")
    }

    /// Whether an object is there; other failures are errors.
    pub(crate) async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let request = Request::builder().uri(path).header(ACCEPT, "application/json").body(Bytes::new())?;
        let response = self.transport.send(request).await?;
        if response.status() == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let status = response.status();
        let value: Value = serde_json::from_slice(&collect(response).await?).context("read the server's answer")?;
        if !status.is_success() {
            bail!("Error from server: {}", value["message"].as_str().unwrap_or_default());
        }
        Ok(Some(value))
    }

    /// The resource that goes by a name: plural, singular, short name or kind, with or without group.
    pub(crate) async fn resource(&self, name: &str) -> anyhow::Result<&Resource> {
        let name = name.to_lowercase();
        self.resources()
            .await?
            .iter()
            .find(|resource| resource.is_called(&name))
            .with_context(|| format!("the server doesn't have a resource type {name:?}"))
    }

    /// The resources that a name stands for: one, or all of a category such as `all`.
    pub(crate) async fn resources_named(&self, names: &str) -> anyhow::Result<Vec<&Resource>> {
        let mut found = Vec::new();
        for name in names.split(',') {
            let category: Vec<&Resource> = self
                .resources()
                .await?
                .iter()
                .filter(|resource| resource.categories.iter().any(|category| category == name))
                .collect();
            if category.is_empty() {
                found.push(self.resource(name).await?);
            } else {
                found.extend(category);
            }
        }
        Ok(found)
    }

    /// The resource that keeps objects of a kind.
    pub(crate) async fn resource_of(&self, api_version: &str, kind: &str) -> anyhow::Result<&Resource> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.resources()
            .await?
            .iter()
            .find(|resource| resource.group == group && resource.version == version && resource.kind == kind)
            .with_context(|| format!("no matches for kind {kind:?} in version {api_version:?}"))
    }

    async fn resources(&self) -> anyhow::Result<&Vec<Resource>> {
        self.resources
            .get_or_try_init(|| async {
                let mut resources = Vec::new();
                for root in ["/api", "/apis"] {
                    parse_discovery(&self.get(root, DISCOVERY).await?, &mut resources);
                }
                Ok(resources)
            })
            .await
    }
}

fn parse_discovery(document: &Value, resources: &mut Vec<Resource>) {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for group in document["items"].as_array().into_iter().flatten() {
        for version in group["versions"].as_array().into_iter().flatten() {
            for resource in version["resources"].as_array().into_iter().flatten() {
                resources.push(Resource {
                    group: text(&group["metadata"]["name"]),
                    version: text(&version["version"]),
                    name: text(&resource["resource"]),
                    kind: text(&resource["responseKind"]["kind"]),
                    namespaced: resource["scope"] == "Namespaced",
                    singular: text(&resource["singularResource"]),
                    short_names: list(&resource["shortNames"]),
                    categories: list(&resource["categories"]),
                });
            }
        }
    }
}

/// What a server said when it refused, as kubectl words it.
pub(crate) fn refusal(status: http::StatusCode, body: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value["kind"] == "Status" => anyhow::anyhow!(
            "Error from server ({}): {}",
            value["reason"].as_str().unwrap_or(status.canonical_reason().unwrap_or("Unknown")),
            value["message"].as_str().unwrap_or_default()
        ),
        _ => anyhow::anyhow!("Error from server: {status}: {}", String::from_utf8_lossy(body)),
    }
}

/// Reads a whole body.
pub(crate) async fn collect(response: Response<Body>) -> anyhow::Result<Bytes> {
    let body = response.into_body().collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("read the server's answer: {error}"))?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployments() -> Resource {
        let document = serde_json::json!({"items": [{"metadata": {"name": "apps"}, "versions": [{
            "version": "v1",
            "resources": [{
                "resource": "deployments", "singularResource": "deployment", "scope": "Namespaced",
                "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                "shortNames": ["deploy"], "categories": ["all"],
            }],
        }]}]});
        let mut resources = Vec::new();
        parse_discovery(&document, &mut resources);
        resources.remove(0)
    }

    #[test]
    fn a_resource_goes_by_all_its_names() {
        for name in ["deployments", "deployment", "deploy", "deployments.apps", "deployment.v1.apps"] {
            assert!(deployments().is_called(name), "{name}");
        }
        for name in ["pods", "deployments.batch", "deployments.v2.apps"] {
            assert!(!deployments().is_called(name), "{name}");
        }
    }

    #[test]
    fn paths_follow_group_and_namespace() {
        assert_eq!(deployments().path("shop", Some("cart")), "/apis/apps/v1/namespaces/shop/deployments/cart");
        assert_eq!(deployments().path("", None), "/apis/apps/v1/deployments");
    }
}
