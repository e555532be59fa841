//! Typed requests.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_api::typed::{List, Object};
use serde_json::{Value, json};

use crate::body::collect;
use crate::error::{Error, Status};
use crate::params::{DeleteOptions, ListParams, Patch, ResourcePath, WatchParams};
use crate::transport::{Body, Transport};
use crate::watch::WatchStream;

const JSON: &str = "application/json";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Sends requests and understands the answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    agent: Option<HeaderValue>,
}

impl Client {
    /// A client over a transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, agent: None }
    }

    /// The same client under the name of a component, for example `kube-scheduler`: the server names it as
    /// the owner of the fields that it writes, and in the audit log.
    #[must_use]
    pub fn named(self, component: &str) -> Self {
        let agent = HeaderValue::try_from(format!("{component}/{VERSION} (portolan)")).ok();
        Self { agent, ..self }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is none.
    pub async fn get<K: Object>(&self, namespace: &str, name: &str) -> Result<K, Error> {
        let path = ResourcePath::of::<K>().object(namespace, name, "");
        self.object(Method::GET, path, JSON, Bytes::new()).await
    }

    /// Reads the objects of a namespace, or of all namespaces if it is empty.
    ///
    /// # Errors
    /// The server refuses or cannot be reached.
    pub async fn list<K: Object>(&self, namespace: &str, params: &ListParams) -> Result<List<K>, Error> {
        let path = params.on(&ResourcePath::of::<K>().collection(namespace));
        let body = self.bytes(Method::GET, &path, JSON, JSON, Bytes::new()).await?;
        K::decode_list(&body).map_err(|source| Error::Decode { path, source })
    }

    /// Creates an object and returns it as stored.
    ///
    /// # Errors
    /// [`Error::is_already_exists`] if the name is taken, [`Error::is_invalid`] if the content is refused.
    pub async fn create<K: Object>(&self, object: &K) -> Result<K, Error> {
        let path = ResourcePath::of::<K>().collection(object.namespace());
        self.object(Method::POST, path, JSON, object.encode().into()).await
    }

    /// The same, without an encoded form in between if the server is in this process and needs none.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn create_known<K: Object>(&self, object: &K) -> Result<K, Error> {
        let mut created = object.clone();
        if let Some(known) = created.known()
            && self.transport.create(self.agent.as_ref(), known).await
        {
            return Ok(created);
        }
        self.create(object).await
    }

    /// Replaces an object, if it is still the version in `metadata.resourceVersion`.
    ///
    /// # Errors
    /// [`Error::is_conflict`] if somebody changed it meanwhile.
    pub async fn update<K: Object>(&self, object: &K) -> Result<K, Error> {
        self.update_subresource(object, "").await
    }

    /// Replaces the status of an object, if it is still the version in `metadata.resourceVersion`.
    ///
    /// # Errors
    /// [`Error::is_conflict`] if somebody changed it meanwhile.
    pub async fn update_status<K: Object>(&self, object: &K) -> Result<K, Error> {
        self.update_subresource(object, "status").await
    }

    async fn update_subresource<K: Object>(&self, object: &K, subresource: &str) -> Result<K, Error> {
        let path = ResourcePath::of::<K>().object(object.namespace(), object.name(), subresource);
        self.object(Method::PUT, path, JSON, object.encode().into()).await
    }

    /// Changes an object, or its subresource if that is not empty, in place.
    ///
    /// # Errors
    /// The server refuses or cannot be reached.
    pub async fn patch<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Patch,
    ) -> Result<K, Error> {
        let path = patch.on(&ResourcePath::of::<K>().object(namespace, name, subresource));
        self.object(Method::PATCH, path, patch.content_type(), encode(patch.value())).await
    }

    /// Deletes an object, or asks for its deletion if it needs grace or has finalizers.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is none, [`Error::is_conflict`] if a precondition does not hold.
    pub async fn delete<K: Object>(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), Error> {
        self.delete_at(&ResourcePath::of::<K>(), namespace, name, options).await
    }

    /// Deletes an object of a kind without a typed view.
    ///
    /// # Errors
    /// As [`Client::delete`].
    pub async fn delete_at(
        &self,
        kind: &ResourcePath,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), Error> {
        let path = kind.object(namespace, name, "");
        self.bytes(Method::DELETE, &path, JSON, JSON, encode(&options.to_value())).await?;
        Ok(())
    }

    /// Assigns a pod to a node.
    ///
    /// # Errors
    /// [`Error::is_conflict`] if the pod is bound already or its UID is another.
    pub async fn bind(&self, pod: &Pod, node: &str) -> Result<(), Error> {
        let mut metadata = json!({"name": pod.name(), "namespace": pod.namespace()});
        if !pod.uid().is_empty() {
            metadata["uid"] = json!(pod.uid());
        }
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": metadata,
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let path = ResourcePath::of::<Pod>().object(pod.namespace(), pod.name(), "binding");
        self.bytes(Method::POST, &path, JSON, JSON, encode(&binding)).await?;
        Ok(())
    }

    /// Follows the changes of a namespace, or of all namespaces if it is empty.
    ///
    /// # Errors
    /// The server refuses or cannot be reached.
    pub async fn watch<K: Object>(&self, namespace: &str, params: &WatchParams) -> Result<WatchStream<K>, Error> {
        let path = params.on(&ResourcePath::of::<K>().collection(namespace));
        let body = self.stream(Method::GET, &path, JSON, JSON, Bytes::new()).await?;
        Ok(WatchStream::new(path, body))
    }

    /// Sends any request with a JSON body and reads a JSON answer; null if the answer is empty.
    ///
    /// # Errors
    /// The server refuses or cannot be reached, or does not answer in JSON.
    pub async fn raw(&self, method: Method, path_and_query: &str, body: Option<Value>) -> Result<Value, Error> {
        let body = body.as_ref().map(encode).unwrap_or_default();
        let answer = self.bytes(method, path_and_query, JSON, JSON, body).await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|source| Error::Decode { path: path_and_query.to_owned(), source })
    }

    /// Changes any object in place.
    ///
    /// # Errors
    /// The server refuses or cannot be reached, or does not answer in JSON.
    pub async fn raw_patch(&self, path: &str, patch: &Patch) -> Result<Value, Error> {
        let path = patch.on(path);
        let answer = self.bytes(Method::PATCH, &path, JSON, patch.content_type(), encode(patch.value())).await?;
        serde_json::from_slice(&answer).map_err(|source| Error::Decode { path, source })
    }

    /// Sends any request and returns the answer as it is, whatever its status code.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<http::Response<Body>, Error> {
        if let Some(agent) = self.agent.clone().filter(|_| !request.headers().contains_key(USER_AGENT)) {
            request.headers_mut().insert(USER_AGENT, agent);
        }
        self.transport.send(request).await
    }

    async fn object<K: Object>(
        &self,
        method: Method,
        path: String,
        content_type: &str,
        body: Bytes,
    ) -> Result<K, Error> {
        let answer = self.bytes(method, &path, JSON, content_type, body).await?;
        K::decode(&answer).map_err(|source| Error::Decode { path, source })
    }

    pub(crate) async fn bytes(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let answer = self.stream(method.clone(), path, accept, content_type, body).await?;
        collect(answer).await.map_err(|source| Error::Transport { method, path: path.to_owned(), source })
    }

    /// Sends a request and returns the body of a good answer; a bad one becomes an error.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Body, Error> {
        self.answer(method, path, accept, content_type, body).await.map(Response::into_body)
    }

    /// Sends a request and returns a good answer; a bad one becomes an error.
    pub(crate) async fn answer(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response<Body>, Error> {
        let mut request = Request::builder().method(method.clone()).uri(path).header(ACCEPT, accept);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(body).map_err(|source| Error::Request { path: path.to_owned(), source })?;
        let (head, body) = self.send(request).await?.into_parts();
        if head.status.is_success() {
            return Ok(Response::from_parts(head, body));
        }
        let body = collect(body).await.map_err(|source| Error::Transport { method, path: path.to_owned(), source })?;
        Err(Status::from_answer(head.status, &body).into())
    }
}

fn encode(value: &Value) -> Bytes {
    // A `Value` has only string keys, so it always serialises.
    value.to_string().into()
}
