//! Informers of encoded objects.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use portolan_api::encoded::{Header, controller_among, fields, raw_at, string_at, value_from};
use portolan_api::typed::PartialObject;
use tokio::sync::watch;

use super::{Feed, Inner, MapKeys as AnyKeys};
use crate::queue::{Key, WorkQueue};

/// An object that nobody decoded yet, without `metadata.managedFields`.
#[derive(Debug)]
pub struct Encoded<'a> {
    bytes: &'a [u8],
    header: Header<'a>,
    controller: OnceCell<Option<&'a [u8]>>,
    /// Where the parts stand that many ask for: they are looked for once.
    parts: [Part<'a>; 3],
    labels: OnceCell<BTreeMap<String, String>>,
}

/// A field of the object and what is in it.
#[derive(Debug)]
struct Part<'a> {
    name: &'static str,
    fields: OnceCell<Vec<(Cow<'a, str>, &'a [u8])>>,
}

impl Part<'_> {
    const fn new(name: &'static str) -> Self {
        Self { name, fields: OnceCell::new() }
    }
}

impl<'a> Encoded<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::scan(bytes);
        if header.is_none() {
            tracing::error!("an object without readable metadata concerns nobody");
        }
        let parts = [Part::new("metadata"), Part::new("spec"), Part::new("status")];
        Some(Self { bytes, header: header?, controller: OnceCell::new(), parts, labels: OnceCell::new() })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its identity and labels.
    pub fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// Its namespace and name.
    pub fn key(&self) -> Key {
        Key::new(&*self.header.namespace, &*self.header.name)
    }

    /// Its labels, to be held against selectors.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        let owned = |(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into_owned(), value.into_owned());
        self.labels.get_or_init(|| self.header.labels().into_iter().map(owned).collect())
    }

    /// Whether somebody asked for its deletion.
    pub fn is_deleting(&self) -> bool {
        self.header.deletion_timestamp.is_some()
    }

    /// The encoded value at a path.
    fn raw(&self, path: &[&str]) -> Option<&'a [u8]> {
        let [name, field, rest @ ..] = path else { return raw_at(self.bytes, path) };
        let Some(part) = self.parts.iter().find(|part| part.name == *name) else { return raw_at(self.bytes, path) };
        let fields = part.fields.get_or_init(|| fields(value_from(self.bytes, &[name]).unwrap_or_default()));
        let (_, value) = fields.iter().find(|(name, _)| name == field)?;
        raw_at(value, rest)
    }

    /// The text at a path; see [`string_at`].
    pub fn text(&self, path: &[&str]) -> Option<Cow<'a, str>> {
        string_at(self.raw(path)?, &[])
    }

    /// Whether there is a list or map with content at a path.
    pub fn has(&self, path: &[&str]) -> bool {
        self.raw(path).is_some_and(|found| !matches!(found, b"null" | b"[]" | b"{}"))
    }

    /// The encoded reference to the owner that controls it.
    pub fn controller(&self) -> Option<&'a [u8]> {
        *self.controller.get_or_init(|| controller_among(self.raw(&["metadata", "ownerReferences"])?))
    }
}

pub(super) type MapKeys = Box<dyn Fn(&Encoded<'_>) -> Vec<Key> + Send + Sync>;

/// The objects of an informer whatever their type.
pub(super) trait EncodedStore: Send + Sync {
    fn metadata(&self, namespace: &str, name: &str) -> Option<PartialObject>;
    fn feed_encoded(&self, queue: &WorkQueue, keys: MapKeys);
    fn is_synced(&self) -> watch::Receiver<bool>;
    fn changes(&self) -> watch::Receiver<u64>;
}

impl<T: Send + Sync + 'static> EncodedStore for Inner<T> {
    fn metadata(&self, namespace: &str, name: &str) -> Option<PartialObject> {
        let decoded = self.store.read().show(namespace, name, |bytes| serde_json::from_slice(bytes))?;
        decoded.map_err(|error| tracing::error!("the metadata of an object cannot be decoded: {error}")).ok()
    }

    fn feed_encoded(&self, queue: &WorkQueue, keys: MapKeys) {
        let feeds = &mut self.feeds.lock().list;
        let store = self.store.read();
        for key in store.keys() {
            store.show(&key.namespace, &key.name, |bytes| {
                queue.add(Encoded::of(bytes).iter().flat_map(&keys));
            });
        }
        drop(store);
        feeds.push(Feed { queue: queue.downgrade(), keys: AnyKeys::Encoded(keys) });
    }

    fn is_synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// The identities and metadata of a kind. Cheap to clone.
#[derive(Clone)]
pub struct MetadataInformer(pub(super) Arc<dyn EncodedStore>);

impl fmt::Debug for MetadataInformer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MetadataInformer")
    }
}

impl MetadataInformer {
    /// The metadata of the object of this namespace (empty for cluster kinds) and name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<PartialObject> {
        self.0.metadata(namespace, name)
    }

    /// See [`super::Informer::feed_encoded`].
    pub fn feed_encoded(&self, queue: &WorkQueue, keys: impl Fn(&Encoded<'_>) -> Vec<Key> + Send + Sync + 'static) {
        self.0.feed_encoded(queue, Box::new(keys));
    }

    /// Waits until all objects that existed at the start have arrived.
    pub async fn synced(&self) {
        let mut synced = self.0.is_synced();
        // `self` keeps the sender alive, so this ends only when the value is true.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// See [`super::Informer::changes`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes()
    }
}
