//! Events that watchers were sent.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

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

/// The events of one resource; a watch looks for them once.
#[derive(Debug)]
pub(crate) struct Events(Mutex<Histogram<{ BUCKETS.len() }>>);

impl Watches {
    pub(crate) fn of(&self, resource: &Resource) -> Arc<Events> {
        let watched = (resource.group.clone(), resource.version.clone(), resource.name.clone());
        let mut all = self.0.lock();
        all.entry(watched).or_insert_with(|| Arc::new(Events(Mutex::new(Histogram::new(&BUCKETS))))).clone()
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let all = self.0.lock();
        let labels = |(group, version, resource): &Watched| {
            format!("group=\"{group}\",resource=\"{resource}\",version=\"{version}\"")
        };
        let metric = "apiserver_watch_events_total";
        writeln!(text, "# HELP {metric} Events that watchers were sent.\n# TYPE {metric} counter")?;
        for (watched, events) in all.iter() {
            writeln!(text, "{metric}{{{}}} {}", labels(watched), events.0.lock().count())?;
        }
        let metric = "apiserver_watch_events_sizes";
        writeln!(text, "# HELP {metric} Bytes of an event.\n# TYPE {metric} histogram")?;
        for (watched, events) in all.iter() {
            events.0.lock().write(text, metric, &labels(watched))?;
        }
        Ok(())
    }
}

impl Events {
    /// Counts an event of so many bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "an event is no petabyte")]
        self.0.lock().observe(bytes as f64);
    }
}
