//! Keeps one informer in step with the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use portolan_base::error::chain;
use portolan_base::{Backoff, Shutdown};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::kept::{Change, SharedEvent};
use super::{Inner, Link, Source};
use crate::client::Client;
use crate::error::Error;
use crate::params::{ListParams, WatchParams};
use crate::queue::Key;
use crate::watch::{RawEvent, RawWatch};

const FIRST_RETRY: Duration = Duration::from_millis(200);
const SLOWEST_RETRY: Duration = Duration::from_secs(30);

/// Where an informer stands.
enum State {
    /// Knows nothing, or what it knows is too old to continue from. Left when a watch-list delivered
    /// everything, or, where the server has none, a list did.
    Behind(Catchup),
    /// Has everything up to this revision. Left when the revision has expired.
    Following { resource_version: String },
}

/// How to obtain everything.
#[derive(Clone, Copy)]
enum Catchup {
    WatchList,
    /// The server does not know watch-lists.
    List,
}

/// Runs until shutdown.
pub(super) async fn run<T: Send + Sync + 'static>(
    client: Client,
    source: Source<T>,
    inner: Arc<Inner<T>>,
    link: &mut Link,
    shutdown: Shutdown,
) {
    let mut reflector = Reflector { client, source, inner, link };
    let mut state = State::Behind(Catchup::WatchList);
    let mut backoff = Backoff::new(FIRST_RETRY, SLOWEST_RETRY);
    loop {
        // A call to hurry during the attempt is for the one after it.
        reflector.link.hurry.mark_unchanged();
        let Some(outcome) = shutdown.run(reflector.step(&mut state, &mut backoff)).await else { return };
        if let Err(error) = outcome {
            reflector.link.note(true);
            let delay = backoff.jittered();
            let resource = reflector.source.path.resource();
            tracing::warn!(resource, delay_ms = delay.as_millis(), "watch interrupted: {}", chain(&error));
            let wait = async {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    Ok(()) = reflector.link.hurry.changed() => {}
                }
            };
            if shutdown.run(wait).await.is_none() {
                return;
            }
        }
    }
}

struct Reflector<'a, T> {
    client: Client,
    source: Source<T>,
    inner: Arc<Inner<T>>,
    link: &'a mut Link,
}

impl<T: Send + Sync + 'static> Reflector<'_, T> {
    /// One request, followed to its end.
    async fn step(&mut self, state: &mut State, backoff: &mut Backoff) -> Result<(), Error> {
        match state {
            State::Behind(Catchup::WatchList) => match self.watch_list(state, backoff).await {
                Err(error) if error.is_invalid() => {
                    *state = State::Behind(Catchup::List);
                    Ok(())
                }
                outcome => outcome,
            },
            State::Behind(Catchup::List) => {
                let resource_version = self.list().await?;
                *state = State::Following { resource_version };
                Ok(())
            }
            State::Following { resource_version } => match self.follow(resource_version, backoff).await {
                Err(error) if error.is_expired() => {
                    *state = State::Behind(Catchup::WatchList);
                    Ok(())
                }
                outcome => outcome,
            },
        }
    }

    async fn open(&mut self, params: &WatchParams) -> Result<RawWatch, Error> {
        let path = params.on(&self.source.path.collection(""));
        let answer = self.client.answer(Method::GET, &path, self.source.accept, "", Bytes::new()).await?;
        self.link.note(false);
        Ok(RawWatch::new(path, answer))
    }

    /// Receives everything that exists, then follows.
    async fn watch_list(&mut self, state: &mut State, backoff: &mut Backoff) -> Result<(), Error> {
        let params = WatchParams {
            field_selector: self.source.field_selector.clone(),
            send_initial_events: true,
            ..WatchParams::default()
        };
        let mut watch = self.open(&params).await?;
        let mut present = BTreeSet::new();
        while let Some(line) = watch.next().await? {
            if let Some(SharedEvent { change, key, opening, object }) = line.pieces().and_then(SharedEvent::read) {
                match change {
                    Change::Put => {
                        self.inner.put_shared(&key, &opening, object);
                        present.insert(key);
                    }
                    Change::Delete => {
                        self.inner.remove(&key, Some(object.revision));
                        present.remove(&key);
                    }
                }
                continue;
            }
            match line.into_whole().parse()? {
                RawEvent::Added(object) | RawEvent::Modified(object) => {
                    present.insert(self.put(object)?);
                }
                RawEvent::Deleted(object) => {
                    let (key, version) = self.identify(object)?;
                    present.remove(&key);
                    self.inner.remove(&key, version.parse().ok());
                }
                RawEvent::Bookmark { resource_version, initial_events_end: true } => {
                    self.inner.reached(&resource_version);
                    self.complete(&present);
                    backoff.reset();
                    let mut reached = resource_version;
                    let outcome = self.continue_with(watch, &mut reached).await;
                    *state = State::Following { resource_version: reached };
                    return outcome;
                }
                RawEvent::Bookmark { .. } => {}
            }
        }
        Ok(())
    }

    async fn list(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Body<'a> {
            metadata: Metadata,
            #[serde(borrow, default)]
            items: Option<Vec<&'a RawValue>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            resource_version: String,
            #[serde(default)]
            r#continue: String,
        }
        let mut params = ListParams {
            field_selector: self.source.field_selector.clone(),
            limit: Some(500),
            ..ListParams::default()
        };
        let mut present = BTreeSet::new();
        loop {
            let path = params.on(&self.source.path.collection(""));
            let bytes =
                self.client.bytes(Method::GET, &path, list_accept(self.source.accept), "", Bytes::new()).await?;
            let body: Body<'_> = serde_json::from_slice(&bytes).map_err(|source| Error::Decode { path, source })?;
            for item in body.items.unwrap_or_default() {
                present.insert(self.put(item)?);
            }
            if body.metadata.r#continue.is_empty() {
                self.inner.reached(&body.metadata.resource_version);
                self.complete(&present);
                return Ok(body.metadata.resource_version);
            }
            params.continue_token = body.metadata.r#continue;
        }
    }

    async fn follow(&mut self, resource_version: &mut String, backoff: &mut Backoff) -> Result<(), Error> {
        let params = WatchParams {
            field_selector: self.source.field_selector.clone(),
            resource_version: resource_version.clone(),
            ..WatchParams::default()
        };
        let watch = self.open(&params).await?;
        let outcome = self.continue_with(watch, resource_version).await;
        if *resource_version != params.resource_version {
            backoff.reset();
        } else if outcome.is_ok() {
            // A server that ends every watch at once must not be asked in a tight loop.
            tokio::time::sleep(FIRST_RETRY).await;
        }
        outcome
    }

    async fn continue_with(&self, mut watch: RawWatch, resource_version: &mut String) -> Result<(), Error> {
        while let Some(line) = watch.next().await? {
            if let Some(SharedEvent { change, key, opening, object }) = line.pieces().and_then(SharedEvent::read) {
                *resource_version = object.revision.to_string();
                match change {
                    Change::Put => self.inner.put_shared(&key, &opening, object),
                    Change::Delete => self.inner.remove(&key, Some(object.revision)),
                }
                self.inner.publish();
                continue;
            }
            match line.into_whole().parse()? {
                RawEvent::Added(object) | RawEvent::Modified(object) => {
                    let (_, version) = self.identify(object)?;
                    self.put(object)?;
                    *resource_version = version;
                }
                RawEvent::Deleted(object) => {
                    let (key, version) = self.identify(object)?;
                    self.inner.remove(&key, version.parse().ok());
                    *resource_version = version;
                }
                RawEvent::Bookmark { resource_version: version, .. } => {
                    self.inner.reached(&version);
                    *resource_version = version;
                    continue;
                }
            }
            self.inner.reached(resource_version);
            self.inner.publish();
        }
        Ok(())
    }

    /// Everything that exists has arrived: what is not among it is gone.
    fn complete(&self, present: &BTreeSet<Key>) {
        self.inner.store.write().forget_foretold();
        let known = self.inner.store.read().keys();
        for key in known.iter().filter(|key| !present.contains(key)) {
            self.inner.remove(key, None);
        }
        self.inner.publish();
        self.inner.synced.send_replace(true);
    }

    /// Stores an object unless the same version is there already; decodes only in the former case.
    fn put(&self, raw: &RawValue) -> Result<Key, Error> {
        let (key, version) = self.identify(raw)?;
        if !self.inner.store.read().has(&key, &version) {
            self.inner.put(&key, version.parse().ok(), raw.get().as_bytes());
        }
        Ok(key)
    }

    /// Reads key and version without decoding the rest.
    fn identify(&self, raw: &RawValue) -> Result<(Key, String), Error> {
        #[derive(Deserialize)]
        struct Identity {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            #[serde(default)]
            namespace: String,
            name: String,
            resource_version: String,
        }
        let identity: Identity = serde_json::from_str(raw.get()).map_err(|source| self.undecodable(source))?;
        let Metadata { namespace, name, resource_version } = identity.metadata;
        Ok((Key { namespace, name }, resource_version))
    }

    fn undecodable(&self, source: serde_json::Error) -> Error {
        Error::Decode { path: self.source.path.collection(""), source }
    }
}

/// The list form of an accept header for single objects.
fn list_accept(accept: &'static str) -> &'static str {
    if accept.contains("PartialObjectMetadata") {
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
    } else {
        accept
    }
}
