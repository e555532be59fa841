//! What is served beside what is built in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use portolan_api::custom::Definition;
use portolan_api::description::{Description, Resource, builtin};
use portolan_store::{Entry, EventKind, Revision, Store};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::authorization::followed::{Followed, View};
use crate::status::Status;

/// Where definitions are stored.
const PREFIX: &str = "/registry/apiextensions.k8s.io/customresourcedefinitions/";

/// The definitions in the store, and the description of the API with them.
pub(crate) struct Extensions(Followed<Served>);

impl Extensions {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self(Followed::new(store, PREFIX))
    }

    /// Takes over everything that was written before now.
    pub(crate) async fn refresh(&self) -> Result<(), Status> {
        self.0.refresh().await
    }

    /// Says that a definition was written at `revision`.
    pub(crate) fn expect(&self, revision: Revision) {
        self.0.expect(revision);
    }

    /// The API as it is described now.
    pub(crate) fn description(&self) -> Arc<Description> {
        self.0.view().0.lock().description()
    }

    /// The other definitions of a group: who else may have a name.
    pub(crate) fn others(&self, group: &str, name: &str) -> Vec<Arc<Definition>> {
        let view = self.0.view();
        let inner = view.0.lock();
        let kept = inner.groups.get(group).into_iter().flatten().filter(|(other, _)| *other != name);
        kept.filter_map(|(_, kept)| Some(kept.resources.first()?.custom.as_ref()?.definition.clone())).collect()
    }

    /// Cancelled once a definition says something else than the one that `definition` was read from.
    pub(crate) fn replaced(&self, definition: &Definition) -> CancellationToken {
        let view = self.0.view();
        let inner = view.0.lock();
        let kept = inner.groups.get(&definition.group).and_then(|group| group.get(&definition.name));
        let token = kept.filter(|kept| kept.since == definition.since).map(|kept| kept.replaced.clone());
        token.unwrap_or_else(|| {
            let token = CancellationToken::new();
            token.cancel();
            token
        })
    }
}

/// What a definition serves.
struct Kept {
    uid: String,
    generation: i64,
    /// Revision at which what it says last changed.
    since: u64,
    resources: Vec<Arc<Resource>>,
    /// Cancelled when it is replaced or goes.
    replaced: CancellationToken,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.replaced.cancel();
    }
}

#[derive(Default)]
struct Served(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// By group and name.
    groups: HashMap<String, BTreeMap<String, Kept>>,
    /// Groups whose description is not made yet.
    changed: HashSet<String>,
    description: Option<Arc<Description>>,
}

impl Inner {
    fn description(&mut self) -> Arc<Description> {
        let mut description = self.description.take().unwrap_or_else(|| Arc::new(builtin().clone()));
        for group in self.changed.drain() {
            let kept = self.groups.get(&group).into_iter().flat_map(BTreeMap::values);
            let resources = kept.flat_map(|kept| kept.resources.iter().cloned());
            description = Arc::new(description.with_custom(&group, resources));
        }
        self.description = Some(description.clone());
        description
    }

    fn put(&mut self, group: &str, name: &str, entry: &Entry, object: &Value) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        let kept = self.groups.entry(group.to_owned()).or_default();
        let same = kept.get(name).filter(|kept| kept.uid == uid && kept.generation == generation);
        let since = same.map_or(entry.mod_revision.0, |kept| kept.since);
        let resources = Definition::resources(object, &entry.value, since);
        let replaced = match same {
            // What it says is the same, so who watches its objects need not care.
            Some(same) if !resources.is_empty() => {
                let token = same.replaced.clone();
                let old = kept.remove(name);
                if let Some(mut old) = old {
                    old.replaced = CancellationToken::new();
                }
                token
            }
            _ => CancellationToken::new(),
        };
        let new = Kept { uid: uid.to_owned(), generation, since, resources, replaced };
        kept.insert(name.to_owned(), new);
        self.changed.insert(group.to_owned());
    }

    fn remove(&mut self, group: &str, name: &str) {
        if let Some(kept) = self.groups.get_mut(group)
            && kept.remove(name).is_some()
        {
            if kept.is_empty() {
                self.groups.remove(group);
            }
            self.changed.insert(group.to_owned());
        }
    }
}

impl View for Served {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        let key = String::from_utf8_lossy(&entry.key);
        let Some(name) = key.strip_prefix(PREFIX) else { return };
        // `<plural>.<group>`, which the server holds every definition to.
        let group = name.split_once('.').map_or("", |(_, group)| group);
        let inner = self.0.get_mut();
        if kind == EventKind::Delete {
            inner.remove(group, name);
            return;
        }
        match serde_json::from_slice::<Value>(&entry.value) {
            Ok(object) => inner.put(group, name, entry, &object),
            Err(error) => tracing::error!(definition = name, %error, "a stored definition is damaged"),
        }
    }
}
