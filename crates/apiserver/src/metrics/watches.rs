//! Events that watchers were sent.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use portolan_api::description::{Name, Resource};

use super::histogram::Histogram;

/// Upper ends of the buckets in bytes, as upstream.
const BUCKETS: [f64; 8] = [1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

/// Group, version and name of a resource.
type Watched = (Name, Name, Name);

/// The events of all resources.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<BTreeMap<Watched, Arc<Events>>>);

/// The events of one resource; a watch looks for them once. All its watchers count at the same time.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// How many were as large as each bucket takes, the last one all that are larger.
    counts: [AtomicU64; BUCKETS.len() + 1],
    bytes: AtomicU64,
}

impl Watches {
    pub(crate) fn of(&self, resource: &Resource) -> Arc<Events> {
        let watched = (resource.group.clone(), resource.version.clone(), resource.name.clone());
        let mut all = self.0.lock();
        all.entry(watched).or_default().clone()
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let all = self.0.lock();
        let labels = |(group, version, resource): &Watched| {
            format!("group=\"{group}\",resource=\"{resource}\",version=\"{version}\"")
        };
        let metric = "apiserver_watch_events_total";
        writeln!(text, "# HELP {metric} Events that watchers were sent.\n# TYPE {metric} counter")?;
        for (watched, events) in all.iter() {
            writeln!(text, "{metric}{{{}}} {}", labels(watched), events.histogram().count())?;
        }
        let metric = "apiserver_watch_events_sizes";
        writeln!(text, "# HELP {metric} Bytes of an event.\n# TYPE {metric} histogram")?;
        for (watched, events) in all.iter() {
            events.histogram().write(text, metric, &labels(watched))?;
        }
        Ok(())
    }
}

impl Events {
    /// Counts an event of so many bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "an event is no petabyte")]
        let size = bytes as f64;
        let bucket = BUCKETS.iter().position(|end| size <= *end).unwrap_or(BUCKETS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn histogram(&self) -> Histogram<{ BUCKETS.len() }> {
        #[expect(clippy::cast_precision_loss, reason = "a sum of bytes need not be exact")]
        let sum = self.bytes.load(Ordering::Relaxed) as f64;
        Histogram::of(&BUCKETS, self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)).as_slice(), sum)
    }
}
