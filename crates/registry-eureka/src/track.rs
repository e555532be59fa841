//! Applications as they are, and what changed lately. Pure: `now` is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portolan_catalog::{Instance, Key, PersistentMap, Snapshot};
use tokio::time::Instant;

use crate::translate;
use crate::wire::{Action, Format, InstanceInfo, InstanceStatus, View, instance_fragment};

/// How long a delta tells of a change; clients fetch every half minute.
const RETENTION: Duration = Duration::from_secs(180);

/// An instance with its texts, each made when first asked for and shared by all answers. There may be very many, most
/// of which nobody asks for here, so what can be told from the catalog's instance is not kept beside it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) source: Arc<Instance>,
    /// As it is counted.
    pub(crate) status: InstanceStatus,
    texts: OnceLock<Box<[OnceLock<Box<str>>; 4]>>,
}

impl Entry {
    fn new(source: Arc<Instance>) -> Self {
        Self { status: translate::status(&source), source, texts: OnceLock::new() }
    }

    /// What Eureka's clients read of it.
    pub(crate) fn info(&self) -> InstanceInfo {
        translate::info(&self.source)
    }

    /// Its text in an answer.
    pub(crate) fn text(&self, format: Format, view: View) -> &str {
        let index = usize::from(format == Format::Json) + 2 * usize::from(view == View::Compact);
        let texts = self.texts.get_or_init(Box::default);
        texts[index].get_or_init(|| instance_fragment(&self.info(), format, view).into())
    }
}

/// The instances of one application, ordered by id.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: Arc<str>,
    pub(crate) instances: Vec<Arc<Entry>>,
}

impl App {
    pub(crate) fn instance(&self, id: &str) -> Option<&Arc<Entry>> {
        let index = self.instances.binary_search_by(|entry| (*entry.source.id).cmp(id)).ok()?;
        self.instances.get(index)
    }
}

/// All applications at one moment. Cloning shares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Applications {
    /// Rises with every change.
    pub(crate) version: u64,
    /// How many instances are in which state, as clients count them too.
    pub(crate) hash: Arc<str>,
    pub(crate) apps: PersistentMap<Arc<str>, Arc<App>>,
}

impl Applications {
    /// All of them, ordered by name.
    pub(crate) fn sorted(&self) -> Vec<&Arc<App>> {
        let mut apps: Vec<_> = self.apps.iter().map(|(_, app)| app).collect();
        apps.sort_by(|left, right| left.name.cmp(&right.name));
        apps
    }
}

/// One change of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) action: Action,
    /// Name of its application.
    pub(crate) app: Arc<str>,
    pub(crate) entry: Arc<Entry>,
    at: Instant,
}

/// Follows the catalog.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    seen: Snapshot,
    current: Applications,
    /// The services of the catalog that are one application; names that differ in case only are.
    services: HashMap<Arc<str>, BTreeSet<Key>>,
    counts: BTreeMap<InstanceStatus, usize>,
    /// The last change of each instance, oldest first.
    recent: BTreeMap<u64, Change>,
    latest: HashMap<(Arc<str>, Arc<str>), u64>,
    sequence: u64,
}

impl Tracker {
    /// Takes over what changed. The cost follows the changes, not the number of applications.
    pub(crate) fn follow(&mut self, newest: &Snapshot, now: Instant) {
        let mut changed = BTreeSet::new();
        for key in newest.changed_instances(&self.seen) {
            let app: Arc<str> = translate::application(&key.namespace, &key.name).into();
            let services = self.services.entry(app.clone()).or_default();
            if newest.instances_of(&key.namespace, &key.name).is_some() {
                services.insert(key);
            } else {
                services.remove(&key);
            }
            changed.insert(app);
        }
        self.seen = newest.clone();
        let before = self.sequence;
        for app in changed {
            self.derive(&app, now);
        }
        self.forget(now);
        if self.sequence != before {
            self.current.version += 1;
            let mut hash = String::new();
            for (status, count) in self.counts.iter().filter(|(_, count)| **count > 0) {
                // Writing to a string cannot fail.
                let _ = write!(hash, "{}_{count}_", status.as_str());
            }
            self.current.hash = hash.into();
        }
    }

    /// All applications as of the last [`Tracker::follow`].
    pub(crate) fn current(&self) -> &Applications {
        &self.current
    }

    /// What changed within the time that a delta covers, oldest first, and a number that tells this
    /// answer from others.
    pub(crate) fn delta(&mut self, now: Instant) -> (u64, Vec<Change>) {
        self.forget(now);
        let oldest = self.recent.keys().next().copied().unwrap_or(0);
        (oldest, self.recent.values().cloned().collect())
    }

    fn derive(&mut self, name: &Arc<str>, now: Instant) {
        let old = self.current.apps.get(name).cloned();
        let mut found: BTreeMap<Arc<str>, Arc<Instance>> = BTreeMap::new();
        for key in self.services.get(name).into_iter().flatten() {
            let instances = self.seen.instances_of(&key.namespace, &key.name);
            for instance in instances.into_iter().flat_map(|list| list.iter()) {
                // One id is one instance to a client. The first stays: the order is the catalog's.
                found.entry(instance.id.clone()).or_insert_with(|| instance.clone());
            }
        }
        if let Some(old) = &old {
            for entry in old.instances.iter().filter(|entry| !found.contains_key(&entry.source.id)) {
                self.count(entry.status, -1);
                self.note(name, Action::Deleted, entry, now);
            }
        }
        let mut instances = Vec::with_capacity(found.len());
        for (id, source) in found {
            let before = old.as_ref().and_then(|app| app.instance(&id));
            if let Some(before) = before
                && Arc::ptr_eq(&before.source, &source)
            {
                instances.push(before.clone());
                continue;
            }
            let entry = Arc::new(Entry::new(source));
            match before {
                // Something changed that these clients cannot see.
                Some(before) if before.info() == entry.info() => {}
                Some(before) => {
                    self.count(before.status, -1);
                    self.count(entry.status, 1);
                    self.note(name, Action::Modified, &entry, now);
                }
                None => {
                    self.count(entry.status, 1);
                    self.note(name, Action::Added, &entry, now);
                }
            }
            instances.push(entry);
        }
        if instances.is_empty() {
            self.services.remove(name);
            self.current.apps.remove(name);
        } else {
            self.current.apps.insert(name.clone(), Arc::new(App { name: name.clone(), instances }));
        }
    }

    fn count(&mut self, status: InstanceStatus, by: isize) {
        let count = self.counts.entry(status).or_default();
        *count = count.saturating_add_signed(by);
    }

    fn note(&mut self, app: &Arc<str>, action: Action, entry: &Arc<Entry>, now: Instant) {
        let identity = (app.clone(), entry.source.id.clone());
        self.sequence += 1;
        let mut action = action;
        if let Some(earlier) = self.latest.insert(identity, self.sequence).and_then(|old| self.recent.remove(&old))
            && (earlier.action, action) == (Action::Added, Action::Modified)
        {
            // Who has not heard of it yet must add it.
            action = Action::Added;
        }
        let change = Change { action, app: app.clone(), entry: entry.clone(), at: now };
        self.recent.insert(self.sequence, change);
    }

    fn forget(&mut self, now: Instant) {
        while let Some((sequence, change)) = self.recent.first_key_value()
            && change.at + RETENTION <= now
        {
            let (sequence, identity) = (*sequence, (change.app.clone(), change.entry.source.id.clone()));
            self.recent.remove(&sequence);
            self.latest.remove(&identity);
        }
    }
}
