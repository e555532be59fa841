//! Objects that are encrypted where they are stored.
//!
//! A store around the store: what is written is encrypted, what is read and watched decrypted, so
//! that nobody above knows. Watchers of encrypted kinds do not share the bytes of an event; those of
//! all others do.

mod cipher;
mod configuration;
pub(crate) mod reload;
mod rule;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use portolan_base::go;
use portolan_store::{
    Entry, Error, Event, EventKind, KeyRange, LeaseId, LeaseStatus, Operation, OperationResult, RangeRequest,
    RangeResponse, Revision, Status, Store, Txn, TxnResponse, Watch, WatchItem, WatchRequest,
};

pub use configuration::Encryption;

use cipher::Failed;
use reload::Source;
use rule::Rule;

/// The store, with some of its values encrypted.
#[derive(Debug)]
pub(crate) struct EncryptedStore {
    inner: Arc<dyn Store>,
    rules: Arc<Rules>,
    /// Where new rules come from while it is in use.
    source: Option<Source>,
    unreadable: Unreadables,
}

/// What becomes of values that no rule decrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreadables {
    /// Whoever asks is told.
    Fail,
    /// They are left out.
    LeaveOut,
}

/// A value that no rule decrypts.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Unreadable {
    /// In upstream's words.
    pub(crate) text: String,
}

/// The rules, which may be replaced.
#[derive(Debug)]
struct Rules(RwLock<Arc<Vec<Rule>>>);

impl Rules {
    /// Those that count now.
    fn now(&self) -> Arc<Vec<Rule>> {
        self.0.read().clone()
    }

    fn replace(&self, rules: Vec<Rule>) {
        *self.0.write() = Arc::new(rules);
    }
}

impl EncryptedStore {
    pub(crate) fn new(inner: Arc<dyn Store>, settings: Encryption) -> Self {
        let rules = Arc::new(Rules(RwLock::new(Arc::new(settings.rules))));
        Self { inner, rules, source: settings.source, unreadable: Unreadables::Fail }
    }

    /// The same without what cannot be decrypted, for those for whom the rest is of use without it.
    pub(crate) fn readable(&self) -> Self {
        let (inner, rules) = (self.inner.clone(), self.rules.clone());
        Self { inner, rules, source: None, unreadable: Unreadables::LeaveOut }
    }

    /// What is stored, as it is stored: for who looks at keys alone.
    pub(crate) fn below(&self) -> &dyn Store {
        &*self.inner
    }

    /// Whether the newest version of a key is stored otherwise than it would be now: writing it
    /// again, even unchanged, is worth the while.
    pub(crate) async fn is_stale(&self, key: &Bytes) -> bool {
        let rules = self.rules.now();
        let Some(rule) = find(&rules, key) else { return false };
        let request = RangeRequest { range: KeyRange::key(key.clone()), revision: None, limit: 1 };
        let stored = self.inner.range(request).await;
        stored.is_ok_and(|answer| answer.entries.first().is_some_and(|entry| !rule.is_current(key, &entry.value)))
    }
}

fn find<'a>(rules: &'a [Rule], key: &[u8]) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.holds(key))
}

fn decrypted(rules: &[Rule], entry: Arc<Entry>) -> Result<Arc<Entry>, Error> {
    opened(rules, &entry).map_err(|why| unreadable(&entry.key, why.to_string()))
}

/// An entry with its value as it was before it was stored.
fn opened(rules: &[Rule], entry: &Arc<Entry>) -> Result<Arc<Entry>, Failed> {
    let Some(rule) = find(rules, &entry.key) else { return Ok(entry.clone()) };
    let value = rule.decrypt(&entry.key, &entry.value).inspect_err(|why| rule.tell(&entry.key, *why))?;
    Ok(Arc::new(Entry { value, ..Entry::clone(entry) }))
}

fn unreadable(key: &[u8], text: String) -> Error {
    let operation = format!("decrypt {}", String::from_utf8_lossy(key));
    Error::Backend { operation, source: Arc::new(Unreadable { text }) }
}

fn failed(operation: &str, key: &[u8], why: Failed) -> Error {
    let operation = format!("{operation} {}: {why}", String::from_utf8_lossy(key));
    Error::Backend { operation, source: Arc::new(why) }
}

/// All entries of a list.
fn all(rules: &[Rule], entries: Vec<Arc<Entry>>, unreadables: Unreadables) -> Result<Vec<Arc<Entry>>, Error> {
    let entry = |entry: Arc<Entry>| match opened(rules, &entry) {
        Err(_) if unreadables == Unreadables::LeaveOut => None,
        opened => Some(opened.map_err(|why| {
            let key = go::quote(&upstream_key(&entry.key));
            unreadable(&entry.key, format!("unable to transform key {key}: {why}"))
        })),
    };
    entries.into_iter().filter_map(entry).collect()
}

/// The key under which upstream would store an object: the core group has no part of its own there.
fn upstream_key(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    match key.strip_prefix("/registry/core/") {
        Some(rest) => format!("/registry/{rest}"),
        None => key.into_owned(),
    }
}

fn without_value(entry: &Entry) -> Arc<Entry> {
    Arc::new(Entry { value: Bytes::new(), ..entry.clone() })
}

/// What a watch delivers, readable.
fn readable(rules: &[Rule], item: WatchItem, unreadables: Unreadables) -> WatchItem {
    let WatchItem::Events(events) = item else { return item };
    if !events.iter().any(|event| find(rules, &event.entry.key).is_some()) {
        return WatchItem::Events(events);
    }
    let readable = events.into_iter().map(|event| {
        if find(rules, &event.entry.key).is_none() {
            return Ok(event);
        }
        let leaves_out = unreadables == Unreadables::LeaveOut;
        let (kind, entry) = match event.kind {
            EventKind::Delete => (EventKind::Delete, event.entry.clone()),
            EventKind::Put => match decrypted(rules, event.entry.clone()) {
                // As in a list, the object is not there: nobody is to go on with the version before.
                Err(_) if leaves_out => (EventKind::Delete, without_value(&event.entry)),
                entry => (EventKind::Put, entry?),
            },
        };
        let previous = event.previous.clone().map(|previous| decrypted(rules, previous)).transpose();
        let previous = if leaves_out { previous.unwrap_or_default() } else { previous? };
        Ok(Arc::new(Event { kind, entry, previous, encoded: Default::default() }))
    });
    match readable.collect::<Result<Vec<_>, Error>>() {
        Ok(events) => WatchItem::Events(events),
        Err(error) => {
            tracing::error!(error = %portolan_base::error::chain(&error), "a watch ends");
            WatchItem::Closed
        }
    }
}

#[async_trait::async_trait]
impl Store for EncryptedStore {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let is_one = KeyRange::key(request.range.start.clone()) == request.range;
        let answer = self.inner.range(request).await?;
        let rules = self.rules.now();
        let entries = match is_one && self.unreadable == Unreadables::Fail {
            true => answer.entries.into_iter().map(|entry| decrypted(&rules, entry)).collect(),
            false => all(&rules, answer.entries, self.unreadable),
        };
        Ok(RangeResponse { entries: entries?, ..answer })
    }

    async fn txn(&self, mut txn: Txn) -> Result<TxnResponse, Error> {
        let rules = self.rules.now();
        for operation in txn.success.iter_mut().chain(&mut txn.failure) {
            if let Operation::Put { key, value, .. } = operation
                && let Some(rule) = find(&rules, key)
            {
                let sealed = rule.encrypt(key, std::mem::take(value));
                *value = sealed.map_err(|why| failed("encrypt", key, why))?;
            }
        }
        let mut answer = self.inner.txn(txn).await?;
        // They may have been replaced meanwhile, and what is read be newer than those above.
        let rules = self.rules.now();
        for result in &mut answer.results {
            match result {
                OperationResult::Put { previous } => {
                    *previous = previous.take().map(|entry| decrypted(&rules, entry)).transpose()?;
                }
                OperationResult::Delete { previous: entries } | OperationResult::Range { entries } => {
                    let taken = std::mem::take(entries).into_iter().map(|entry| decrypted(&rules, entry));
                    *entries = taken.collect::<Result<_, _>>()?;
                }
            }
        }
        Ok(answer)
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, Error> {
        let (rules, unreadables) = (self.rules.clone(), self.unreadable);
        Ok(self.inner.watch(request).await?.mapped(Arc::new(move |item| readable(&rules.now(), item, unreadables))))
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, Error> {
        self.inner.grant_lease(ttl).await
    }

    async fn renew_lease(&self, id: LeaseId) -> Result<Duration, Error> {
        self.inner.renew_lease(id).await
    }

    async fn revoke_lease(&self, id: LeaseId) -> Result<Revision, Error> {
        self.inner.revoke_lease(id).await
    }

    async fn lease(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        self.inner.lease(id).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.inner.compact(revision).await
    }

    async fn snapshot(&self, path: &Path) -> Result<Revision, Error> {
        self.inner.snapshot(path).await
    }

    async fn status(&self) -> Status {
        self.inner.status().await
    }
}

#[cfg(test)]
mod tests {
    use super::rule::{Provider, Resources};
    use super::*;

    #[test]
    fn for_those_who_go_on_an_object_that_cannot_be_read_any_more_is_gone() {
        let secrets = Resources::parse("secrets").expect("a resource");
        let rules = [Rule::new(vec![secrets], vec![Provider::identity()])];
        let entry = |key: &'static str, value: &'static str| {
            let (key, value) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()));
            Arc::new(Entry {
                key,
                value,
                create_revision: Revision(1),
                mod_revision: Revision(2),
                version: 2,
                lease: None,
            })
        };
        let put = |entry: &Arc<Entry>, previous: &Arc<Entry>| {
            let (entry, previous) = (entry.clone(), Some(previous.clone()));
            Arc::new(Event { kind: EventKind::Put, entry, previous, encoded: Default::default() })
        };
        let (plain, sealed) =
            (entry("/registry/core/secrets/n/a", "{}"), entry("/registry/core/secrets/n/a", "k8s:enc:x"));
        let other = entry("/registry/core/pods/n/a", "k8s:enc:x");
        let events = WatchItem::Events(vec![put(&sealed, &plain), put(&plain, &sealed), put(&other, &other)]);
        let WatchItem::Events(seen) = readable(&rules, events.clone(), Unreadables::LeaveOut) else {
            panic!("it goes on");
        };
        let seen: Vec<_> = seen
            .iter()
            .map(|event| (event.kind, event.entry.value.clone(), event.previous.as_ref().map(|it| it.value.clone())))
            .collect();
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        let expected = [
            (EventKind::Delete, text(""), Some(text("{}"))),
            (EventKind::Put, text("{}"), None),
            (EventKind::Put, text("k8s:enc:x"), Some(text("k8s:enc:x"))),
        ];
        assert_eq!(seen, expected);
        assert!(matches!(readable(&rules, events, Unreadables::Fail), WatchItem::Closed));
    }
}
