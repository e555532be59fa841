//! Copies of whole kinds, kept up to date and shared.

mod encoded;
mod kept;
mod reflect;
mod store;

use std::any::{Any, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use portolan_api::typed::{Object, PartialObject, Scope};
use portolan_base::{Shutdown, TaskGroup};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::params::ResourcePath;
use crate::queue::{Key, KeyFeed, WorkQueue};
use encoded::EncodedStore;
pub use encoded::{Encoded, MetadataInformer};
use kept::{Difference, Kept, Shared};
use store::{Form, Slot, Store};

/// How objects of a type are requested and read.
struct Source<T> {
    path: ResourcePath,
    accept: &'static str,
    field_selector: String,
    form: Form<T>,
}

/// A kind known at run time only, for [`Informers::partial`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialKind {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource name.
    pub resource: String,
    /// Where its objects live.
    pub scope: Scope,
}

type Start = Box<dyn FnOnce(Shutdown) -> BoxFuture<'static, ()> + Send>;

/// An informer as the set of them keeps it.
#[derive(Clone)]
struct SharedInformer {
    typed: Arc<dyn Any + Send + Sync>,
    encoded: Arc<dyn EncodedStore>,
    /// Ends it.
    stop: CancellationToken,
}

/// Under which name the informer of all objects of a kind is found, whatever their type.
fn whole_kind(path: &ResourcePath) -> String {
    path.collection("")
}

/// All informers of a process: one per kind and selector, shared by everyone who asks.
pub struct Informers {
    client: Client,
    shared: Mutex<HashMap<String, SharedInformer>>,
    /// Informers that were asked for and do not run yet.
    waiting: Mutex<Vec<Start>>,
    asked: Notify,
    /// Raised to end all back-offs.
    hurry: watch::Sender<()>,
    interrupted: Arc<watch::Sender<usize>>,
}

impl fmt::Debug for Informers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Informers").field("running", &self.shared.lock().len()).finish_non_exhaustive()
    }
}

impl Informers {
    /// No informers yet; they are made when asked for and filled by [`Informers::run`].
    pub fn new(client: Client) -> Arc<Self> {
        Arc::new(Self {
            client,
            shared: Mutex::default(),
            waiting: Mutex::default(),
            asked: Notify::new(),
            hurry: watch::Sender::new(()),
            interrupted: Arc::default(),
        })
    }

    /// The informer of a kind.
    pub fn informer<K: Object>(self: &Arc<Self>) -> Informer<K> {
        self.selected("")
    }

    /// The informer of the objects of a kind that match a field selector.
    pub fn selected<K: Object>(self: &Arc<Self>, field_selector: &str) -> Informer<K> {
        self.obtain(Source {
            path: ResourcePath::of::<K>(),
            accept: "application/json",
            field_selector: field_selector.to_owned(),
            form: Form { decode: K::decode },
        })
    }

    /// The identities and metadata of a kind that is known at run time only: from the informer of
    /// its whole objects if there is one already, so that a process keeps them once.
    pub fn partial(self: &Arc<Self>, kind: &PartialKind) -> MetadataInformer {
        let path = ResourcePath::new(&kind.group, &kind.version, &kind.resource, kind.scope);
        let whole = self.shared.lock().get(&whole_kind(&path)).cloned();
        if let Some(shared) = whole {
            return MetadataInformer(shared.encoded);
        }
        let informer = self.obtain::<PartialObject>(Source {
            path,
            // A server that does not know the transformation answers with complete objects, which read as well.
            accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            field_selector: String::new(),
            form: Form { decode: |bytes| serde_json::from_slice(bytes) },
        });
        MetadataInformer(informer.inner)
    }

    /// Stops to follow a kind that the server has no more. Who holds its informer keeps the last copy.
    pub fn forget(&self, kind: &PartialKind) {
        let path = ResourcePath::new(&kind.group, &kind.version, &kind.resource, kind.scope);
        let mut shared = self.shared.lock();
        if let Some(informer) = shared.get(&whole_kind(&path)).cloned() {
            informer.stop.cancel();
            shared.retain(|_, other| !Arc::ptr_eq(&other.typed, &informer.typed));
        }
    }

    fn obtain<T: Send + Sync + 'static>(self: &Arc<Self>, source: Source<T>) -> Informer<T> {
        let id = format!("{} {} {}", type_name::<T>(), source.path.collection(""), source.field_selector);
        let mut shared = self.shared.lock();
        if let Some(informer) = shared.get(&id).and_then(|shared| shared.typed.downcast_ref::<Informer<T>>()) {
            return informer.clone();
        }
        let informer = Informer { inner: Arc::new(Inner::new(source.form)) };
        let stop = CancellationToken::new();
        let found =
            SharedInformer { typed: Arc::new(informer.clone()), encoded: informer.inner.clone(), stop: stop.clone() };
        if source.field_selector.is_empty() {
            shared.insert(whole_kind(&source.path), found.clone());
        }
        shared.insert(id, found);
        drop(shared);
        let (client, inner) = (self.client.clone(), informer.inner.clone());
        let link = Link { hurry: self.hurry.subscribe(), interrupted: self.interrupted.clone(), failing: false };
        let start: Start = Box::new(move |shutdown| {
            Box::pin(async move {
                let mut link = link;
                let following = reflect::run(client, source, inner, &mut link, shutdown);
                if stop.run_until_cancelled(following).await.is_none() {
                    // Nobody waits for a kind that is gone.
                    link.note(false);
                }
            })
        });
        self.waiting.lock().push(start);
        self.asked.notify_one();
        informer
    }

    /// How many informers failed in their last attempt to follow the server, so that their copies may be old.
    pub fn interrupted(&self) -> watch::Receiver<usize> {
        self.interrupted.subscribe()
    }

    /// Lets informers whose watch was interrupted try again now instead of after their back-off.
    pub fn retry_now(&self) {
        self.hurry.send_replace(());
    }

    /// Keeps all informers up to date, those asked for later included, until shutdown.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut tasks = TaskGroup::default();
        loop {
            for start in std::mem::take(&mut *self.waiting.lock()) {
                tasks.spawn("informer", start(shutdown.clone()));
            }
            tokio::select! {
                () = shutdown.requested() => break,
                () = self.asked.notified() => {}
                Some((_, Some(failure))) = tasks.next_ended() => {
                    // A view that stands still would mislead everyone who reads it.
                    panic!("an informer ended: {failure}");
                }
            }
        }
        // Reflectors only wait on the network and on shutdown; nothing needs saving.
        tasks.join(std::time::Duration::from_secs(1)).await;
    }
}

/// What an informer and the set that it belongs to tell each other.
struct Link {
    hurry: watch::Receiver<()>,
    interrupted: Arc<watch::Sender<usize>>,
    failing: bool,
}

impl Link {
    fn note(&mut self, failing: bool) {
        match (std::mem::replace(&mut self.failing, failing), failing) {
            (false, true) => self.interrupted.send_modify(|count| *count += 1),
            (true, false) => self.interrupted.send_modify(|count| *count -= 1),
            _ => {}
        }
    }
}

struct Inner<T> {
    store: parking_lot::RwLock<Store<T>>,
    synced: watch::Sender<bool>,
    changes: watch::Sender<u64>,
    /// Everything up to this revision of the store has arrived.
    revision: AtomicU64,
    feeds: Mutex<Feeds<T>>,
}

/// Room that is kept for the next object.
const SCRATCH: usize = 64 * 1024;

struct Feeds<T> {
    list: Vec<Feed<T>>,
    /// Room in which shared objects are put together to be looked at.
    scratch: Vec<u8>,
}

struct Feed<T> {
    queue: crate::queue::WeakQueue,
    keys: MapKeys<T>,
}

type MapDecoded<T> = Box<dyn Fn(&T) -> Vec<Key> + Send + Sync>;

/// Which keys an object concerns.
enum MapKeys<T> {
    Decoded(MapDecoded<T>),
    Encoded(encoded::MapKeys),
}

impl<T> Inner<T> {
    fn new(form: Form<T>) -> Self {
        Self {
            store: parking_lot::RwLock::new(Store::new(form)),
            synced: watch::Sender::new(false),
            changes: watch::Sender::new(0),
            revision: AtomicU64::new(0),
            feeds: Mutex::new(Feeds { list: Vec::new(), scratch: Vec::new() }),
        }
    }

    /// Puts an object in place of the one of the same key.
    fn put(&self, key: &Key, revision: Option<u64>, encoded: &[u8]) {
        self.put_kept(key, revision, |_| Kept::of(encoded));
    }

    /// Puts an object that shares its memory in place of the one of the same key.
    fn put_shared(&self, key: &Key, opening: &[u8], object: Shared) {
        self.put_kept(key, Some(object.revision), |store| store.keep(opening, object));
    }

    fn put_kept(&self, key: &Key, revision: Option<u64>, keep: impl FnOnce(&mut Store<T>) -> Kept) {
        // The feeds lock is held over the change, so that a feed that is just being added sees the
        // object either in the store or as a change.
        let mut feeds = self.feeds.lock();
        let Feeds { list, scratch } = &mut *feeds;
        scratch.clear();
        scratch.shrink_to(SCRATCH);
        let old = {
            let mut store = self.store.write();
            revision.into_iter().for_each(|revision| store.arrives(revision));
            let kept = keep(&mut store);
            store.insert(key, kept, scratch)
        };
        self.announce(list, key, old.as_ref(), scratch);
    }

    /// Takes an object out that was deleted at a revision, or that is known to be gone.
    fn remove(&self, key: &Key, revision: Option<u64>) {
        let mut feeds = self.feeds.lock();
        let old = {
            let mut store = self.store.write();
            revision.into_iter().for_each(|revision| store.arrives(revision));
            store.remove(key)
        };
        self.announce(&mut feeds.list, key, old.as_ref(), &[]);
    }

    /// Tells the feeds about the version that was and the one that is, whose bytes are `new` if they
    /// had to be put together.
    fn announce(&self, feeds: &mut Vec<Feed<T>>, key: &Key, old: Option<&Slot<T>>, new: &[u8]) {
        feeds.retain(|feed| feed.queue.upgrade().is_some());
        if feeds.is_empty() {
            return;
        }
        let store = self.store.read();
        let difference = old.map_or(Difference::More, |old| store.difference(key, old));
        if difference == Difference::Nothing {
            return;
        }
        let mut keys = vec![Vec::new(); feeds.len()];
        let mut look = |encoded: Option<Encoded<'_>>, decoded: &dyn Fn() -> Option<Arc<T>>| {
            let mut object = None;
            for (feed, keys) in feeds.iter().zip(&mut keys) {
                match &feed.keys {
                    MapKeys::Encoded(map) => keys.extend(encoded.iter().flat_map(map)),
                    MapKeys::Decoded(map) => {
                        // Decoded once for all of them, and only if one of them wants that.
                        let object = object.get_or_insert_with(decoded);
                        keys.extend(object.iter().flat_map(|object| map(object)));
                    }
                }
            }
        };
        if let Some(old) = old {
            let decoded = || old.decoded().cloned().or_else(|| store.show_slot(old, |bytes| store.decode(bytes)));
            match difference {
                // Those who look at encoded objects have the same keys for both versions.
                Difference::Annotations => look(None, &decoded),
                _ => store.show_slot(old, |bytes| look(Encoded::of(bytes), &decoded)),
            }
        }
        let decoded = || store.get(&key.namespace, &key.name);
        if new.is_empty() {
            store.show(&key.namespace, &key.name, |bytes| look(Encoded::of(bytes), &decoded));
        } else {
            look(Encoded::of(new), &decoded);
        }
        drop(store);
        for (feed, keys) in feeds.iter().zip(keys) {
            if let Some(queue) = feed.queue.upgrade().filter(|_| !keys.is_empty()) {
                queue.add(keys);
            }
        }
    }

    /// Notes up to where everything has arrived. Of a server whose versions are no numbers nothing is known.
    fn reached(&self, resource_version: &str) {
        if let Ok(revision) = resource_version.parse() {
            self.revision.fetch_max(revision, Ordering::Relaxed);
        }
    }

    /// Wakes those who wait for any change. Called after each batch, not after each object.
    fn publish(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// A shared copy of a kind, up to date but for the time changes take to arrive. Cheap to clone.
///
/// `metadata.managedFields` is left out of its objects.
pub struct Informer<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Clone for Informer<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for Informer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Informer")
            .field("type", &type_name::<T>())
            .field("objects", &self.inner.store.read().len())
            .field("synced", &*self.inner.synced.borrow())
            .finish()
    }
}

impl<T: Send + Sync + 'static> Informer<T> {
    /// The object of this namespace (empty for cluster kinds) and name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.inner.store.read().get(namespace, name)
    }

    /// Takes the decoded form of a version from who has just written it, without `metadata.managedFields`: where it
    /// arrives as the server's own bytes nobody decodes it again. It is not shown before it has arrived.
    pub fn foretell(&self, key: &Key, revision: u64, object: Arc<T>) {
        self.inner.store.write().foretell(key, revision, object);
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<T>> {
        self.inner.store.read().list()
    }

    /// The objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        self.inner.store.read().in_namespace(namespace)
    }

    /// The objects whose controlling owner has this UID.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<T>> {
        self.inner.store.read().controlled_by(uid)
    }

    /// The objects of a namespace that no owner controls.
    pub fn orphans(&self, namespace: &str) -> Vec<Arc<T>> {
        self.inner.store.read().orphans(namespace, |_| true)
    }

    /// The objects of a namespace that no owner controls and whose encoded form pleases `keep`.
    ///
    /// Of many objects this decodes only the few that are wanted; see [`portolan_api::encoded`] for
    /// looking into the others.
    pub fn orphans_where(&self, namespace: &str, keep: impl Fn(&[u8]) -> bool) -> Vec<Arc<T>> {
        self.inner.store.read().orphans(namespace, keep)
    }

    /// The objects of a namespace, or of all, whose encoded form pleases `keep`.
    ///
    /// Of many objects this decodes only the few that are wanted; see [`portolan_api::encoded`] for
    /// looking into the others.
    pub fn filter(&self, namespace: Option<&str>, keep: impl Fn(&[u8]) -> bool) -> Vec<Arc<T>> {
        self.inner.store.read().filter(namespace, keep)
    }

    /// The keys of all objects, by namespace and name.
    pub fn all_keys(&self) -> Vec<Key> {
        self.inner.store.read().keys()
    }

    /// The revision of the store up to which everything has arrived; 0 before the first.
    pub fn revision(&self) -> u64 {
        self.inner.revision.load(Ordering::Relaxed)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.inner.store.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all objects that existed at the start have arrived.
    pub fn is_synced(&self) -> bool {
        *self.inner.synced.borrow()
    }

    /// Waits until all objects that existed at the start have arrived.
    pub async fn synced(&self) {
        let mut synced = self.inner.synced.subscribe();
        // `self` keeps the sender alive, so this ends only when the value is true.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// A counter that grows with every batch of changes. Level-triggered: look, then wait for the next value.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// The keys of changed objects; begins with all.
    pub fn keys(&self) -> KeyFeed {
        let queue = WorkQueue::new();
        self.feed_encoded(&queue, |object| vec![object.key()]);
        KeyFeed(queue)
    }

    /// Adds to `queue` the keys that `keys` derives from every object there is now and from the old and
    /// new version of every object that changes in more than who manages its fields. Ends when the queue is dropped.
    ///
    /// `keys` must be quick and must not call the informer.
    pub fn feed(&self, queue: &WorkQueue, keys: impl Fn(&T) -> Vec<Key> + Send + Sync + 'static) {
        let feeds = &mut self.inner.feeds.lock().list;
        // One at a time: all of a large cluster at once would be much memory.
        for key in self.all_keys() {
            queue.add(self.get(&key.namespace, &key.name).iter().flat_map(|object| keys(object)));
        }
        feeds.push(Feed { queue: queue.downgrade(), keys: MapKeys::Decoded(Box::new(keys)) });
    }

    /// Like [`Informer::feed`], from the encoded objects: where most objects concern nobody, they
    /// are not decoded. `keys` must not depend on annotations: if only these change, the old version is not looked at.
    pub fn feed_encoded(&self, queue: &WorkQueue, keys: impl Fn(&Encoded<'_>) -> Vec<Key> + Send + Sync + 'static) {
        self.inner.feed_encoded(queue, Box::new(keys));
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
