//! Requests and what they do.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use portolan_catalog::{Instance, Snapshot};
use portolan_client::Key;
use portolan_registrar::access::{Resource, Verb};
use portolan_registrar::http::{Body, Handler, Refusal, Request, full};
use portolan_registrar::limits::{Limiter, Waiting};
use portolan_registrar::{Changes, Encoded, Registrar};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::answer::{Answer, Tags};
use crate::batch::{self, Batch, Writer};
use crate::filter::Filter;
use crate::paths::{self, OPERATIONS, Route};
use crate::pick::{Turns, Wish};
use crate::registration::Registration;
use crate::watch::Events;
use crate::{Error, held, openapi, view};

/// No single registration is larger.
const REGISTRATION_LIMIT: usize = 64 << 10;

/// Answers requests.
pub(crate) struct Registry {
    registrar: Arc<Registrar>,
    changes: Changes,
    limiter: Arc<Limiter>,
    tags: Tags,
    turns: Turns,
    /// All instances of one service, as JSON.
    bodies: Encoded<portolan_catalog::Key, u64>,
    events: Arc<Events>,
}

impl Registry {
    /// [`Changes::run`] must be running.
    pub(crate) fn new(registrar: Arc<Registrar>, changes: Changes, limiter: Arc<Limiter>) -> Self {
        let (tags, turns, bodies, events) = Default::default();
        Self { registrar, changes, limiter, tags, turns, bodies, events }
    }

    /// Answers a request.
    async fn route(&self, request: &Request) -> Result<Answer, Error> {
        self.limiter.take(&request.client(), 1, 0, Instant::now())?;
        let (operation, variables) = paths::find(&request.method, request.path())?;
        if operation.route != Route::Batch && request.body.len() > REGISTRATION_LIMIT {
            return Err(Error::TooLarge { limit: REGISTRATION_LIMIT });
        }
        let filter = || Filter::parse(request.query(), operation.parameters);
        let key = || match &variables[..] {
            [namespace, id] => Ok(Key::new(&**namespace, &**id)),
            _ => Err(Error::NotFound(format!("{} names no instance", request.path()))),
        };
        let name = variables.first().map_or("", AsRef::as_ref);
        // Whoever may not list all namespaces has to name one.
        let may = async |verb: Verb, namespace: Option<&str>| {
            request.caller.require(verb, Resource::Instances, namespace.unwrap_or_default()).await
        };
        match operation.route {
            Route::Help => Ok(Answer::of(StatusCode::OK, help())),
            Route::OpenApi => Ok(Answer::of(StatusCode::OK, openapi::document())),
            Route::List => {
                let filter = filter()?;
                may(Verb::List, filter.namespace()).await?;
                self.list(request, filter).await
            }
            Route::Register => self.register(request).await,
            Route::Show => {
                let key = key()?;
                may(Verb::Get, Some(&key.namespace)).await?;
                self.show(&key)
            }
            Route::Deregister => {
                self.charge_write(request)?;
                answered(self.writer(request).deregister(&key()?).await?)
            }
            Route::Renew => answered(self.writer(request).renew(&key()?).await?),
            Route::Batch => self.batch(request).await,
            Route::Services => {
                let filter = filter()?;
                may(Verb::List, filter.namespace()).await?;
                Ok(self.services(request, &filter))
            }
            Route::Service => {
                let filter = filter()?;
                may(Verb::List, Some(filter.namespace().unwrap_or("default"))).await?;
                self.service(request, name, &filter)
            }
            Route::Pick => {
                let wish = Wish::parse(request.query(), operation.parameters)?;
                may(Verb::List, Some(wish.namespace())).await?;
                self.pick(name, &wish)
            }
            Route::Targets => {
                let filter = filter()?;
                may(Verb::List, filter.namespace()).await?;
                let snapshot = self.changes.current();
                let targets = || {
                    filter
                        .select(&snapshot)
                        .iter()
                        .flat_map(|instance| view::targets(instance))
                        .collect::<Value>()
                        .to_string()
                };
                Ok(self.tags.answer(request, snapshot.index(), filter.state(&snapshot), targets))
            }
            Route::Watch => {
                let filter = filter()?;
                may(Verb::Watch, filter.namespace()).await?;
                self.watch(request, filter)
            }
            Route::Metrics => {
                may(Verb::List, None).await?;
                Ok(self.metrics())
            }
        }
    }

    fn writer<'a>(&'a self, request: &'a Request) -> Writer<'a> {
        Writer { registrar: &self.registrar, limiter: &self.limiter, request }
    }

    /// One registration or deregistration more; the request itself is counted.
    fn charge_write(&self, request: &Request) -> Result<(), Error> {
        Ok(self.limiter.take(&request.client(), 0, 1, Instant::now())?)
    }

    async fn list(&self, request: &Request, filter: Filter) -> Result<Answer, Error> {
        let mut snapshot = self.changes.current();
        if let Some(after) = filter.after {
            let _waiting = self.limiter.wait(&request.client())?;
            // A poll that ran out of time is answered with what is there.
            let _ = tokio::time::timeout(filter.waiting_time(), self.wait(&filter, after, &mut snapshot)).await;
        }
        let state = filter.state(&snapshot);
        Ok(self.tags.answer(request, snapshot.index(), state, || match filter.whole_service() {
            Some(key) => self.whole(&snapshot, key, state),
            None => view::list(filter.select(&snapshot).iter().map(AsRef::as_ref)).into(),
        }))
    }

    /// All instances of a service whose index is `state`: the usual question.
    fn whole(&self, snapshot: &Snapshot, key: portolan_catalog::Key, state: u64) -> Bytes {
        match snapshot.instances_of(&key.namespace, &key.name) {
            Some(list) => self.bodies.get(key, state, || view::list(list.iter().map(AsRef::as_ref)).into()),
            None => view::list(std::iter::empty()).into(),
        }
    }

    /// Waits until what is wanted is no longer as it is in the snapshot, unless that is newer than `after`.
    async fn wait(&self, filter: &Filter, after: u64, snapshot: &mut Arc<Snapshot>) {
        // Who waits for one service is not woken by others.
        let waiter = filter.service_key().map(|key| self.changes.of(&key));
        let mut snapshots = self.changes.snapshots();
        let mut first = None;
        loop {
            let notified = waiter.as_ref().map(|waiter| waiter.notified());
            tokio::pin!(notified);
            if let Some(notified) = notified.as_mut().as_pin_mut() {
                notified.enable();
            }
            *snapshot = snapshots.borrow_and_update().clone();
            match &first {
                None if snapshot.index() > after => return,
                None => first = Some(filter.seen(snapshot)),
                Some(first) if filter.seen(snapshot) != *first => return,
                Some(_) => {}
            }
            match notified.as_pin_mut() {
                Some(notified) => notified.await,
                // The sender lives as long as the catalog; after it nothing changes.
                None if snapshots.changed().await.is_err() => return,
                None => {}
            }
        }
    }

    async fn register(&self, request: &Request) -> Result<Answer, Error> {
        let registration = Registration::parse(&request.body)?;
        if !wants_connection(request.query())? {
            let instance = registration.into_object(request.peer)?;
            self.charge_write(request)?;
            return answered(self.writer(request).register(instance).await?);
        }
        let instance = registration.connected().into_object(request.peer)?;
        let waiting = self.limiter.wait(&request.client())?;
        self.charge_write(request)?;
        let changed =
            self.changes.of(&portolan_catalog::Key::new(&*Key::of(&instance).namespace, &*instance.spec.service));
        let (status, body, connected) = self.writer(request).register_connected(instance).await?;
        let mut response = stream(held::events(connected, body, changed), waiting);
        *response.status_mut() = status;
        Ok(Answer::Stream(response))
    }

    async fn batch(&self, request: &Request) -> Result<Answer, Error> {
        let batch = Batch::parse(&request.body)?;
        let (requests, writes) = batch.cost();
        // All of it or none: half a batch would have to be told apart by the client.
        self.limiter.take(&request.client(), requests, writes, Instant::now())?;
        Ok(Answer::of(StatusCode::OK, batch.run(self.writer(request)).await))
    }

    fn show(&self, named: &Key) -> Result<Answer, Error> {
        let (key, snapshot) = (&batch::meant(&self.registrar, named)?, self.changes.current());
        let Some(instance) = self.registrar.instance(key) else {
            return Err(Error::NotFound(match snapshot.pod(&key.namespace, &key.name) {
                Some(_) => format!("{key} is a pod, which registers nothing: services that select it list it"),
                None => format!("{key} is not registered"),
            }));
        };
        let is_meant = |seen: &Instance| seen.registration.as_ref().is_some_and(|it| it.name() == key.name);
        let seen = snapshot.instances_of(&key.namespace, &instance.spec.service);
        let mut listed = seen.into_iter().flat_map(|list| list.iter());
        // What registered several times, in several dialects, is listed once.
        let is_same = |seen: &Instance| *seen.id == instance.spec.instance_id && *seen.address == instance.spec.address;
        match listed.clone().find(|seen| is_meant(seen)).or_else(|| listed.find(|seen| is_same(seen))) {
            Some(seen) => {
                let mut answer = view::instance(seen);
                let left = self.registrar.lease_remaining(key);
                answer["leaseSecondsLeft"] = left.map(|left| left.as_secs_f64()).into();
                let node = snapshot.external_node(&seen.node).or_else(|| snapshot.node(&seen.node));
                let held_by = self.registrar.held_by(key).or_else(|| self.registrar.why_held(key));
                answer["lease"] = instance.spec.lease.as_ref().map_or("none", |lease| lease.kind.as_str()).into();
                answer["explanation"] =
                    portolan_catalog::explain(seen, node.map(AsRef::as_ref), left, held_by.as_deref()).into();
                Ok(Answer::at(snapshot.index(), answer))
            }
            None => Err(Error::NotFound(format!("{key} is registered, but the catalog has not heard of it yet"))),
        }
    }

    fn services(&self, request: &Request, filter: &Filter) -> Answer {
        let snapshot = self.changes.current();
        let services = || {
            let mut keys: Vec<_> = snapshot.services().map(|service| service.key.clone()).collect();
            keys.extend(snapshot.instances().map(|(key, _)| key.clone()));
            keys.sort();
            keys.dedup();
            let wanted = keys.iter().filter(|key| filter.wants_service(&key.namespace, &key.name));
            let shown = wanted.filter_map(|key| view::service(&snapshot, &key.namespace, &key.name));
            shown.collect::<Value>().to_string()
        };
        self.tags.answer(request, snapshot.index(), filter.state(&snapshot), services)
    }

    fn service(&self, request: &Request, name: &str, filter: &Filter) -> Result<Answer, Error> {
        let namespace = filter.namespace().unwrap_or("default");
        let snapshot = self.changes.current();
        let Some(mut service) = view::service(&snapshot, namespace, name) else {
            return Err(Error::NotFound(format!("there is no service {name} in namespace {namespace}")));
        };
        let state = snapshot.service_index(namespace, name);
        Ok(self.tags.answer(request, snapshot.index(), state, || {
            let instances = snapshot.instances_of(namespace, name).into_iter().flat_map(|list| list.iter());
            let wanted = instances.filter(|instance| filter.wants(instance));
            service["instances"] = wanted.map(|instance| view::instance(instance)).collect();
            service.to_string()
        }))
    }

    fn pick(&self, name: &str, wish: &Wish) -> Result<Answer, Error> {
        let snapshot = self.changes.current();
        let instance = wish.pick(&snapshot, name, &self.turns, Instant::now(), rand::random())?;
        Ok(Answer::at(snapshot.index(), view::instance(&instance)))
    }

    fn watch(&self, request: &Request, filter: Filter) -> Result<Answer, Error> {
        let waiting = self.limiter.wait(&request.client())?;
        let last = request.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let events = self.events.clone().watch(self.changes.snapshots(), filter, request.query(), last);
        Ok(Answer::Stream(stream(events, waiting)))
    }

    /// What became of leases and checks since the start.
    fn metrics(&self) -> Answer {
        let mut response = Response::new(full(self.registrar.counters().text()));
        let text = http::HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        Answer::Stream(response)
    }
}

impl Handler for Registry {
    const BODY_LIMIT: usize = batch::BODY_LIMIT;

    async fn answer(&self, request: Request) -> Response<Body> {
        match self.route(&request).await {
            Ok(answer) => answer.into_response(&request.headers),
            Err(error) => error.into_response(),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        Error::from(refusal).into_response()
    }
}

/// An answer that goes on; as long as it is read, it counts as waiting.
fn stream(
    events: impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static,
    waiting: Waiting,
) -> Response<Body> {
    let frames = events.map(move |event| {
        let _ = &waiting;
        event.map(Frame::data)
    });
    let mut response = Response::new(Body::stream(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache"));
    response
}

/// Whether a registration is to live by its connection.
fn wants_connection(query: &str) -> Result<bool, Error> {
    let mut wanted = false;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("lease", "connection") => wanted = true,
            ("lease", other) => {
                return Err(Error::BadRequest(format!(
                    "lease: {other:?} is not known; ?lease=connection keeps the instance while the answer is read, \
                     ttlSeconds or session in the body give it another lease"
                )));
            }
            (other, _) => return Err(Error::BadRequest(format!("unknown parameter {other:?}; known is lease"))),
        }
    }
    Ok(wanted)
}

fn answered((status, value): (StatusCode, Value)) -> Result<Answer, Error> {
    Ok(Answer::of(status, value))
}

fn help() -> Value {
    let lines = OPERATIONS.iter().map(|operation| {
        let names: Vec<&str> = operation.parameters.iter().map(|parameter| parameter.name).collect();
        let filters = if names.is_empty() { String::new() } else { format!("; ?{}", names.join(", ?")) };
        (format!("{} {}", operation.method, operation.path), Value::from(format!("{}{filters}", operation.summary)))
    });
    Value::Object(lines.collect::<Map<String, Value>>())
}
