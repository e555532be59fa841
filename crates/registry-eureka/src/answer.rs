//! Encoded answers, made once for each state of the registry and shared by all who ask.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::track::{App, Applications, Change, Entry};
use crate::translate;
use crate::wire::{Action, Document, Format, InstanceInfo, View, envelope, instance_fragment};

/// In which form a client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub(crate) format: Format,
    pub(crate) view: View,
    pub(crate) gzip: bool,
}

/// Answers to one question.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    /// What they were made from.
    state: (u64, u64),
    answers: HashMap<Variant, Arc<OnceCell<Bytes>>>,
}

impl Cache {
    /// The answer for a state, made by `make` unless somebody asked before.
    ///
    /// Large answers take time to encode, so that is done beside the threads that serve.
    pub(crate) async fn get(
        &self,
        state: (u64, u64),
        variant: Variant,
        make: impl FnOnce() -> String + Send + 'static,
    ) -> Bytes {
        let cell = {
            let mut cached = self.0.lock();
            if cached.state != state {
                *cached = Cached { state, answers: HashMap::new() };
            }
            cached.answers.entry(variant).or_default().clone()
        };
        let bytes = cell.get_or_init(|| async move {
            let encode = move || if variant.gzip { gzip(make().as_bytes()) } else { Bytes::from(make()) };
            match tokio::task::spawn_blocking(encode).await {
                Ok(bytes) => bytes,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        });
        bytes.await.clone()
    }
}

pub(crate) fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8 + 64), Compression::fast());
    encoder.write_all(plain).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail").into()
}

fn texts(app: &App, variant: Variant) -> impl Iterator<Item = (&str, Action)> {
    app.instances.iter().map(move |entry| (entry.text(variant.format, variant.view), Action::Added))
}

/// All applications.
pub(crate) fn all(applications: &Applications, variant: Variant) -> String {
    let sorted = applications.sorted();
    let apps = sorted.iter().map(|app| (&*app.name, texts(app, variant)));
    // Netflix's server says 1 here; only deltas count.
    envelope(&Document::Applications { version: Some(1), hash: &applications.hash }, variant.format, apps)
}

/// What changed lately, by application.
pub(crate) fn delta(applications: &Applications, changes: &[Change], variant: Variant) -> String {
    let mut apps: Vec<(&str, Vec<(&str, Action)>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for change in changes {
        let name = &*change.app;
        let place = *places.entry(name).or_insert_with(|| {
            apps.push((name, Vec::new()));
            apps.len() - 1
        });
        apps[place].1.push((change.entry.text(variant.format, variant.view), change.action));
    }
    envelope(
        &Document::Applications { version: Some(applications.version), hash: &applications.hash },
        variant.format,
        apps,
    )
}

/// One application.
pub(crate) fn application(app: &App, variant: Variant) -> String {
    envelope(&Document::Application, variant.format, [(&*app.name, texts(app, variant))])
}

/// One instance.
pub(crate) fn instance(info: &InstanceInfo, variant: Variant) -> String {
    let text = instance_fragment(info, variant.format, variant.view);
    envelope(&Document::Instance, variant.format, [("", [(text.as_str(), Action::Added)])])
}

/// The instances whose virtual address is `address`, with a hash over these alone.
pub(crate) fn virtual_address(applications: &Applications, address: &str, secure: bool, variant: Variant) -> String {
    let mut counts = std::collections::BTreeMap::new();
    let mut apps = Vec::new();
    for app in applications.sorted() {
        let has = |entry: &&Arc<Entry>| {
            let addresses = translate::virtual_addresses(&entry.source, secure);
            addresses.split(',').any(|candidate| candidate.trim().eq_ignore_ascii_case(address))
        };
        let found: Vec<&Arc<Entry>> = app.instances.iter().filter(has).collect();
        for entry in &found {
            *counts.entry(entry.status).or_insert(0_usize) += 1;
        }
        if !found.is_empty() {
            let texts = found.into_iter().map(|entry| (entry.text(variant.format, variant.view), Action::Added));
            apps.push((&*app.name, texts));
        }
    }
    let hash: String = counts.iter().map(|(status, count)| format!("{}_{count}_", status.as_str())).collect();
    envelope(&Document::Applications { version: None, hash: &hash }, variant.format, apps)
}
