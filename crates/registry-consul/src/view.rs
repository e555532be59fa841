//! Answers that are encoded once per change and shared by all who ask for the same, and waiting for
//! the next one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use parking_lot::Mutex;
use portolan_base::Shutdown;
use portolan_catalog::{Instance, Key, Service, Snapshot};
use portolan_registrar::http::Body;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::parameters::ReadOptions;
use crate::sight::Sight;
use crate::state::State;
use crate::{Error, answer};

/// How many encoded answers are kept before those that nobody waits for are dropped.
const MOST_VIEWS: usize = 4096;

/// What of the catalog an answer depends on, and so whose changes wake who waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One service and the machines.
    Service(Key),
    /// Everything.
    All,
}

/// What an answer was made from: as long as this is the same, the answer is.
enum Stamp {
    Service { instances: Option<Arc<[Arc<Instance>]>>, service: Option<Arc<Service>>, nodes: u64 },
    All(u64),
}

impl Stamp {
    fn of(snapshot: &Snapshot, scope: &Scope) -> Self {
        match scope {
            Scope::Service(key) => Self::Service {
                instances: snapshot.instances_of(&key.namespace, &key.name).cloned(),
                service: snapshot.service(&key.namespace, &key.name).cloned(),
                nodes: snapshot.nodes_index(),
            },
            Scope::All => Self::All(snapshot.index()),
        }
    }

    fn holds(&self, newer: &Self) -> bool {
        fn same<T: ?Sized>(left: Option<&Arc<T>>, right: Option<&Arc<T>>) -> bool {
            match (left, right) {
                (Some(left), Some(right)) => Arc::ptr_eq(left, right),
                (left, right) => left.is_none() && right.is_none(),
            }
        }
        match (self, newer) {
            (Self::All(left), Self::All(right)) => left == right,
            (
                Self::Service { instances, service, nodes },
                Self::Service { instances: newer_instances, service: newer_service, nodes: newer_nodes },
            ) => {
                nodes == newer_nodes
                    && same(instances.as_ref(), newer_instances.as_ref())
                    && same(service.as_ref(), newer_service.as_ref())
            }
            _ => false,
        }
    }
}

/// An encoded answer.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The body.
    pub(crate) body: Bytes,
    /// Index of the snapshot with which it last changed, never 0.
    pub(crate) index: u64,
    /// Whether it says that there is no such thing.
    pub(crate) missing: bool,
    /// Whether something was left out that who asked may not see.
    pub(crate) filtered: bool,
}

impl View {
    /// Hash of the content, for a poll that waits for another; none if the answer has none.
    pub(crate) fn hash(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        value["ContentHash"].as_str().map(str::to_owned)
    }
}

/// What a question is answered with.
pub(crate) enum Found {
    /// A JSON value.
    Value(serde_json::Value),
    /// There is no such thing, in these words.
    Missing(String),
}

type Place = Arc<Mutex<Option<(Stamp, View)>>>;

/// The encoded answers, by question.
#[derive(Default)]
pub(crate) struct Views {
    places: Mutex<HashMap<String, Place>>,
}

impl Views {
    /// The place of a question. Whoever holds it keeps it.
    fn place(&self, question: &str) -> Place {
        let mut places = self.places.lock();
        if let Some(place) = places.get(question) {
            return place.clone();
        }
        if places.len() >= MOST_VIEWS {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        let place = Place::default();
        // With that many different questions under way a new one is simply not shared.
        if places.len() < MOST_VIEWS {
            places.insert(question.to_owned(), place.clone());
        }
        place
    }
}

/// Answers a question that is `question` as a text to somebody of this sight, waiting as `options` say.
///
/// `scope` tells what it depends on, `build` makes the answer; both are called again after changes.
pub(crate) async fn read(
    state: &State,
    options: &ReadOptions,
    (question, sight): (&str, &Sight),
    scope: impl Fn(&Snapshot) -> Scope,
    build: impl Fn(&Snapshot) -> Result<Found, Error>,
) -> Result<View, Error> {
    let place = state.views.place(question);
    if options.index == 0 && options.hash.is_none() {
        // Who does not wait need not be told of changes.
        let snapshot = state.snapshot();
        let scope = scope(&snapshot);
        return current(&place, &snapshot, &scope, options.pretty, sight, &build);
    }
    let deadline = Instant::now() + options.wait;
    loop {
        // Listening begins before reading, so that no change falls between.
        let mut everything = state.changes.snapshots();
        everything.mark_unchanged();
        let before = scope(&everything.borrow());
        let waiter = match &before {
            Scope::Service(key) => Some(state.changes.of(key)),
            Scope::All => None,
        };
        let woken = notified(waiter.as_deref());
        let machines = state.machines_changed.notified();
        tokio::pin!(woken, machines);
        machines.as_mut().enable();
        if let Some(woken) = woken.as_mut().as_pin_mut() {
            woken.enable();
        }
        let snapshot = state.snapshot();
        if scope(&snapshot) != before {
            continue;
        }
        let view = current(&place, &snapshot, &before, options.pretty, sight, &build)?;
        let waits = match &options.hash {
            Some(hash) => view.hash().as_deref() == Some(hash),
            // An index from the future is from before a restart: the client starts anew.
            None => options.index > 0 && view.index <= options.index && options.index <= snapshot.index().max(1),
        };
        if !waits {
            return Ok(view);
        }
        let changed = async {
            match woken.as_mut().as_pin_mut() {
                Some(woken) => woken.await,
                // The sender lives as long as the catalog; after it there are no changes.
                None if everything.changed().await.is_err() => std::future::pending().await,
                None => {}
            }
        };
        if ended(&state.shutdown, deadline, changed, machines).await {
            return Ok(view);
        }
    }
}

fn notified(waiter: Option<&Notify>) -> Option<tokio::sync::futures::Notified<'_>> {
    waiter.map(Notify::notified)
}

/// Waits for a change; whether the wait is over without one.
async fn ended(
    shutdown: &Shutdown,
    deadline: Instant,
    changed: impl Future<Output = ()>,
    machines: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        () = changed => false,
        () = machines => false,
        () = tokio::time::sleep_until(deadline) => true,
        () = shutdown.requested() => true,
    }
}

fn current(
    place: &Place,
    snapshot: &Snapshot,
    scope: &Scope,
    pretty: bool,
    sight: &Sight,
    build: impl Fn(&Snapshot) -> Result<Found, Error>,
) -> Result<View, Error> {
    let mut place = place.lock();
    let stamp = Stamp::of(snapshot, scope);
    if let Some((known, view)) = &*place
        && known.holds(&stamp)
    {
        return Ok(view.clone());
    }
    sight.take_hid();
    let (body, missing) = match build(snapshot)? {
        Found::Value(value) => (answer::encode(&value, pretty)?, false),
        Found::Missing(words) => (Bytes::from(words), true),
    };
    let index = match &*place {
        Some((_, view)) if view.body == body => view.index,
        Some(_) => snapshot.index(),
        // Nobody knows what it was before; its parts know when they changed.
        None => match scope {
            Scope::Service(key) => snapshot.service_index(&key.namespace, &key.name).max(snapshot.nodes_index()),
            Scope::All => snapshot.index(),
        },
    };
    let index = index.max(1);
    let view = View { body, index, missing, filtered: sight.take_hid() };
    *place = Some((stamp, view.clone()));
    Ok(view)
}

/// The answer with its headers; in `missing`'s words if there is no such thing.
pub(crate) fn respond(options: &ReadOptions, view: View) -> Result<Response<Body>, Error> {
    let response =
        if view.missing { answer::text(http::StatusCode::NOT_FOUND, view.body) } else { answer::encoded(view.body) };
    let response = if options.cached { answer::with_cache(response) } else { response };
    let response = crate::acl::marked(response, view.filtered);
    Ok(answer::with_index(response, view.index, options.consistency))
}
