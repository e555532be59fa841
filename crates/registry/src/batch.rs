//! Many changes in one request, each with an outcome of its own.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use http::StatusCode;
use portolan_api::typed::ServiceInstance;
use portolan_client::Key;
use portolan_registrar::access::{Caller, Resource, Verb};
use portolan_registrar::http::Request;
use portolan_registrar::limits::Limiter;
use portolan_registrar::{Connected, Outcome, Registrar};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Error;
use crate::registration::{Registration, default_namespace};

/// The largest body of a batch.
pub(crate) const BODY_LIMIT: usize = 1 << 20;
/// The most items of a batch, of all kinds together.
pub(crate) const MOST_ITEMS: usize = 1000;
/// Writes under way at the same time, so that they share what the store does at once.
const AT_ONCE: usize = 16;

/// The body of `POST /registry/batch`. Items are read one by one, so that a malformed one spoils no other.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Batch {
    register: Vec<Value>,
    deregister: Vec<Value>,
    renew: Vec<Value>,
}

/// Names an instance.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    #[serde(default = "default_namespace")]
    namespace: String,
    id: String,
}

impl Batch {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Error> {
        // By way of a map: an array would be taken for the fields in their order.
        let fields = serde_json::from_slice::<serde_json::Map<String, Value>>(body);
        let batch = fields.and_then(|fields| serde_json::from_value::<Self>(Value::Object(fields)));
        let batch = batch.map_err(|error| {
            Error::BadRequest(format!(
                "the body is not a batch: {error}; send {{\"register\": [...], \"deregister\": [...], \"renew\": [...]}}"
            ))
        })?;
        match batch.len() {
            len if len > MOST_ITEMS => {
                Err(Error::BadRequest(format!("the batch has {len} items; at most {MOST_ITEMS} are taken")))
            }
            _ => Ok(batch),
        }
    }

    fn len(&self) -> usize {
        self.register.len() + self.deregister.len() + self.renew.len()
    }

    /// Requests, and writes among them, that it stands for.
    pub(crate) fn cost(&self) -> (u32, u32) {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        (count(self.len()), count(self.register.len() + self.deregister.len()))
    }

    /// Does everything: registers, then deregisters, then renews. Outcomes come in the order of the items.
    pub(crate) async fn run(self, writer: Writer<'_>) -> Value {
        let mut seen = HashSet::new();
        let wanted: Vec<_> = self.register.into_iter().map(|item| wanted(item, writer, &mut seen)).collect();
        let register: Vec<Value> = stream::iter(wanted)
            .map(|wanted| async move {
                match wanted {
                    Ok(instance) => {
                        let key = Key::of(&instance);
                        outcome(Some(&key), writer.register(instance).await)
                    }
                    Err(error) => outcome(None, Err(error)),
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let deregister: Vec<Value> = stream::iter(self.deregister)
            .map(|item| async move {
                match reference(item) {
                    Ok(key) => outcome(Some(&key), writer.deregister(&key).await),
                    Err(error) => outcome(None, Err(error)),
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut renew = Vec::with_capacity(self.renew.len());
        for item in self.renew {
            renew.push(match reference(item) {
                Ok(key) => outcome(Some(&key), writer.renew(&key).await),
                Err(error) => outcome(None, Err(error)),
            });
        }
        json!({"register": register, "deregister": deregister, "renew": renew})
    }
}

/// Writes for one request, as far as its caller may.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) registrar: &'a Arc<Registrar>,
    pub(crate) limiter: &'a Limiter,
    pub(crate) request: &'a Request,
}

impl Writer<'_> {
    fn caller(&self) -> &Caller {
        &self.request.caller
    }

    /// Registers an instance; status and body of the answer.
    pub(crate) async fn register(&self, mut instance: ServiceInstance) -> Result<(StatusCode, Value), Error> {
        self.admit(&mut instance).await?;
        let (outcome, instance) = self.registrar.register(instance).await?;
        Ok(registered(outcome, &instance))
    }

    /// Registers an instance that lives as long as what is returned with status and body.
    pub(crate) async fn register_connected(
        &self,
        mut instance: ServiceInstance,
    ) -> Result<(StatusCode, Value, Connected), Error> {
        self.admit(&mut instance).await?;
        let (outcome, instance, connected) = self.registrar.register_connected(instance).await?;
        let (status, body) = registered(outcome, &instance);
        Ok((status, body, connected))
    }

    /// Whether the caller may register an instance.
    async fn admit(&self, instance: &mut ServiceInstance) -> Result<(), Error> {
        let (registrar, key) = (self.registrar, Key::of(instance));
        let verb = if registrar.instance(&key).is_some() { Verb::Update } else { Verb::Create };
        self.caller().require(verb, Resource::Instances, &key.namespace).await?;
        let is_there = |key: &Key| registrar.instance(key).is_some();
        self.limiter.hold(&self.request.client(), &key, Instant::now(), is_there)?;
        self.request.client().note_on(instance);
        Ok(())
    }

    /// Ends a registration.
    pub(crate) async fn deregister(&self, key: &Key) -> Result<(StatusCode, Value), Error> {
        self.caller().require(Verb::Delete, Resource::Instances, &key.namespace).await?;
        self.registrar.deregister(&meant(self.registrar, key)?).await?;
        Ok((StatusCode::OK, json!({"namespace": key.namespace, "id": key.name, "outcome": "deregistered"})))
    }

    /// Renews a lease.
    pub(crate) async fn renew(&self, key: &Key) -> Result<(StatusCode, Value), Error> {
        self.caller().require(Verb::Update, Resource::Instances, &key.namespace).await?;
        let ttl = match self.registrar.renew(key) {
            // Most are renewed by their own names; others are looked up.
            Err(portolan_registrar::Error::NotFound(_)) => self.registrar.renew(&meant(self.registrar, key)?)?,
            renewed => renewed?,
        };
        Ok((StatusCode::OK, json!({"ttlSeconds": ttl.as_secs()})))
    }
}

/// The object that a client means by a namespace and an id: the one of this name, or the only one whose instance has
/// this id; what is not there is meant literally.
pub(crate) fn meant(registrar: &Registrar, named: &Key) -> Result<Key, Error> {
    let mut found = registrar.find(&named.namespace, &named.name);
    match found.len() {
        0 => Ok(named.clone()),
        1 => Ok(found.remove(0)),
        _ => Err(Error::Ambiguous(ambiguous(registrar, named, &found))),
    }
}

fn ambiguous(registrar: &Registrar, named: &Key, found: &[Key]) -> String {
    let one = |key: &Key| match registrar.instance(key) {
        Some(object) if object.spec.node.is_empty() => format!("{} (of {})", key.name, object.spec.service),
        Some(object) => format!("{} (of {} on {})", key.name, object.spec.service, object.spec.node),
        None => key.name.clone(),
    };
    let names: Vec<String> = found.iter().map(one).collect();
    format!("{} instances have the id {named}; name one of their objects: {}", found.len(), names.join(", "))
}

/// Status and body of the answer to a registration.
fn registered(outcome: Outcome, instance: &ServiceInstance) -> (StatusCode, Value) {
    let (status, outcome) = match outcome {
        Outcome::Created => (StatusCode::CREATED, "created"),
        Outcome::Changed => (StatusCode::OK, "changed"),
        Outcome::Unchanged => (StatusCode::OK, "unchanged"),
    };
    let key = Key::of(instance);
    (status, json!({"namespace": key.namespace, "id": key.name, "outcome": outcome}))
}

/// The instance that an item wants. Items run side by side, so one that names the same as an earlier one
/// would leave open which of them counts.
fn wanted(item: Value, writer: Writer<'_>, seen: &mut HashSet<Key>) -> Result<ServiceInstance, Error> {
    let instance = Registration::from_item(item)?.into_object(writer.request.peer)?;
    let key = Key::of(&instance);
    if seen.insert(key.clone()) {
        Ok(instance)
    } else {
        Err(Error::BadRequest(format!("an earlier item of the batch registers {key} already")))
    }
}

fn reference(item: Value) -> Result<Key, Error> {
    let Reference { namespace, id } = serde_json::from_value(item)
        .map_err(|error| Error::BadRequest(format!("the item names no instance: {error}; send {{namespace, id}}")))?;
    Ok(Key::new(namespace, id))
}

/// What became of an item: the answer that it would have got alone, with its status and what it names.
fn outcome(key: Option<&Key>, result: Result<(StatusCode, Value), Error>) -> Value {
    let (status, mut answer) = result.unwrap_or_else(|error| (error.status(), error.body()));
    answer["status"] = status.as_u16().into();
    if let Some(key) = key {
        answer["namespace"] = json!(key.namespace);
        answer["id"] = json!(key.name);
    }
    answer
}
