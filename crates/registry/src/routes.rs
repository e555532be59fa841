//! Paths and what they do.

use std::sync::Arc;

use futures::StreamExt;
use http::{Method, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use portolan_api::typed::Object;
use portolan_catalog::Snapshot;
use portolan_client::Key;
use portolan_registrar::http::{Body, Handler, Refusal, Request, full};
use portolan_registrar::{Outcome, Registrar};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::filter::Filter;
use crate::registration::Registration;
use crate::{Error, view};

/// Carries the catalog's index, for a long poll that follows.
const INDEX: &str = "x-portolan-index";

const PATHS: &str = "see GET /registry for what there is";

/// Answers requests.
pub(crate) struct Registry {
    registrar: Arc<Registrar>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Registry {
    pub(crate) fn new(registrar: Arc<Registrar>, snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { registrar, snapshots }
    }

    /// Answers a request.
    pub(crate) async fn route(&self, request: &Request) -> Result<Response<Body>, Error> {
        let path = request.path().trim_end_matches('/');
        let Some(rest) = path.strip_prefix("/registry") else {
            return Err(Error::NotFound(format!("{path} is not here; {PATHS}")));
        };
        let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
        match (&request.method, &segments[..]) {
            (&Method::GET, []) => Ok(json_answer(StatusCode::OK, &index())),
            (&Method::GET, ["instances"]) => self.list(Filter::parse(request.query())?).await,
            (&Method::POST, ["instances"]) => self.register(request).await,
            (_, ["instances"]) => Err(not_allowed(request, "GET, POST")),
            (&Method::GET, ["instances", namespace, id]) => self.show(namespace, id),
            (&Method::DELETE, ["instances", namespace, id]) => {
                self.registrar.deregister(&Key::new(*namespace, *id)).await?;
                Ok(json_answer(StatusCode::OK, &json!({"namespace": namespace, "id": id, "outcome": "deregistered"})))
            }
            (_, ["instances", _, _]) => Err(not_allowed(request, "GET, DELETE")),
            (&Method::PUT, ["instances", namespace, id, "renew"]) => {
                let ttl = self.registrar.renew(&Key::new(*namespace, *id))?;
                Ok(json_answer(StatusCode::OK, &json!({"ttlSeconds": ttl.as_secs()})))
            }
            (_, ["instances", _, _, "renew"]) => Err(not_allowed(request, "PUT")),
            (&Method::GET, ["services"]) => self.services(Filter::parse(request.query())?),
            (&Method::GET, ["services", name]) => self.service(name, request.query()),
            (&Method::GET, ["watch"]) => self.watch(Filter::parse(request.query())?),
            _ => Err(Error::NotFound(format!("{} {path} is not here; {PATHS}", request.method))),
        }
    }

    async fn list(&self, filter: Filter) -> Result<Response<Body>, Error> {
        let mut snapshots = self.snapshots.clone();
        let mut snapshot = snapshots.borrow_and_update().clone();
        if let Some(after) = filter.after {
            let wake = async {
                let first = (snapshot.index() <= after).then(|| filter.select(&snapshot));
                while let Some(first) = &first {
                    if snapshots.changed().await.is_err() {
                        return;
                    }
                    snapshot = snapshots.borrow_and_update().clone();
                    if filter.select(&snapshot) != *first {
                        return;
                    }
                }
            };
            // A poll that ran out of time is answered with what is there.
            let _ = tokio::time::timeout(filter.waiting_time(), wake).await;
        }
        let instances: Vec<Value> = filter.select(&snapshot).iter().map(|instance| view::instance(instance)).collect();
        Ok(with_index(json_answer(StatusCode::OK, &instances.into()), snapshot.index()))
    }

    async fn register(&self, request: &Request) -> Result<Response<Body>, Error> {
        let registration = Registration::parse(&request.body)?;
        let (outcome, instance) = self.registrar.register(registration.into_object(request.peer)?).await?;
        let (status, outcome) = match outcome {
            Outcome::Created => (StatusCode::CREATED, "created"),
            Outcome::Changed => (StatusCode::OK, "changed"),
            Outcome::Unchanged => (StatusCode::OK, "unchanged"),
        };
        let answer = json!({"namespace": instance.namespace(), "id": instance.name(), "outcome": outcome});
        Ok(json_answer(status, &answer))
    }

    fn show(&self, namespace: &str, id: &str) -> Result<Response<Body>, Error> {
        let Some(instance) = self.registrar.instance(&Key::new(namespace, id)) else {
            return Err(Error::NotFound(format!("{namespace}/{id} is not registered")));
        };
        let snapshot = self.snapshots.borrow().clone();
        let seen = snapshot.instances_of(namespace, &instance.spec.service);
        match seen.into_iter().flat_map(|list| list.iter()).find(|seen| &*seen.name == id) {
            Some(seen) => {
                let mut answer = view::instance(seen);
                let left = self.registrar.lease_remaining(&Key::new(namespace, id));
                answer["leaseSecondsLeft"] = left.map(|left| left.as_secs_f64()).into();
                let node = snapshot.external_node(&seen.node).or_else(|| snapshot.node(&seen.node));
                answer["explanation"] = portolan_catalog::explain(seen, node.map(AsRef::as_ref), left).into();
                Ok(with_index(json_answer(StatusCode::OK, &answer), snapshot.index()))
            }
            None => {
                Err(Error::NotFound(format!("{namespace}/{id} is registered, but the catalog has not heard of it yet")))
            }
        }
    }

    fn services(&self, filter: Filter) -> Result<Response<Body>, Error> {
        let snapshot = self.snapshots.borrow().clone();
        let mut keys: Vec<_> = snapshot.services().map(|service| service.key.clone()).collect();
        keys.extend(snapshot.instances().map(|(key, _)| key.clone()));
        keys.sort();
        keys.dedup();
        let wanted = keys.iter().filter(|key| filter.wants_service(&key.namespace, &key.name));
        let services: Vec<Value> =
            wanted.filter_map(|key| view::service(&snapshot, &key.namespace, &key.name)).collect();
        Ok(with_index(json_answer(StatusCode::OK, &services.into()), snapshot.index()))
    }

    fn service(&self, name: &str, query: &str) -> Result<Response<Body>, Error> {
        let filter = Filter::parse(query)?;
        let namespace = filter.namespace().unwrap_or("default");
        let snapshot = self.snapshots.borrow().clone();
        let Some(mut service) = view::service(&snapshot, namespace, name) else {
            return Err(Error::NotFound(format!("there is no service {name} in namespace {namespace}")));
        };
        let instances = snapshot.instances_of(namespace, name);
        let instances = instances.into_iter().flat_map(|list| list.iter()).filter(|instance| filter.wants(instance));
        service["instances"] = instances.map(|instance| view::instance(instance)).collect();
        Ok(with_index(json_answer(StatusCode::OK, &service), snapshot.index()))
    }

    fn watch(&self, filter: Filter) -> Result<Response<Body>, Error> {
        let events = crate::watch::events(self.snapshots.clone(), filter).map(|event| event.map(Frame::data));
        let mut response = Response::new(StreamBody::new(events).boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache"));
        Ok(response)
    }
}

impl Handler for Registry {
    /// No registration is larger.
    const BODY_LIMIT: usize = 64 << 10;

    async fn answer(&self, request: Request) -> Response<Body> {
        self.route(&request).await.unwrap_or_else(|error| json_answer(error.status(), &error.body()))
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        let error = Error::from(refusal);
        json_answer(error.status(), &error.body())
    }
}

fn index() -> Value {
    json!({
        "GET /registry/instances": "list; namespace, service, health, origin, tag, label=KEY=VALUE; index and wait make it a long poll",
        "POST /registry/instances": "register {service, namespace, id, address, port, ports, tags, metadata, version, weights, locality, ttlSeconds}",
        "GET /registry/instances/NAMESPACE/ID": "one that registered itself",
        "PUT /registry/instances/NAMESPACE/ID/renew": "renew its lease",
        "DELETE /registry/instances/NAMESPACE/ID": "deregister it",
        "GET /registry/services": "services with counts",
        "GET /registry/services/NAME": "one service with its instances",
        "GET /registry/watch": "changes as server-sent events",
    })
}

fn not_allowed(request: &Request, allowed: &'static str) -> Error {
    Error::MethodNotAllowed { method: request.method.to_string(), allowed }
}

/// A JSON answer.
pub(crate) fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn with_index(mut response: Response<Body>, index: u64) -> Response<Body> {
    response.headers_mut().insert(INDEX, index.into());
    response
}
