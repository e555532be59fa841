//! How many objects of each resource are stored.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_store::{KeyRange, RangeRequest, Store};
use tokio::time::Instant;

const PREFIX: &str = "/registry/";
/// Counting looks at every key; upstream counts as often.
const AGAIN: Duration = Duration::from_secs(60);

/// By group and resource.
type Counts = BTreeMap<(String, String), usize>;

/// The last count.
#[derive(Debug, Default)]
pub(crate) struct Objects(Mutex<Option<(Instant, Counts)>>);

impl Objects {
    /// Appends the counts, made anew if the last ones are old.
    pub(super) async fn write(&self, store: &dyn Store, text: &mut String) -> fmt::Result {
        let is_old = self.0.lock().as_ref().is_none_or(|(at, _)| at.elapsed() >= AGAIN);
        if is_old {
            let range = KeyRange::prefix(Bytes::from_static(PREFIX.as_bytes()));
            match store.range(RangeRequest { range, revision: None, limit: 0 }).await {
                Ok(found) => {
                    let counts = count(found.entries.iter().map(|entry| &*entry.key));
                    *self.0.lock() = Some((Instant::now(), counts));
                }
                Err(error) => tracing::warn!(%error, "the stored objects could not be counted"),
            }
        }
        let last = self.0.lock();
        let Some((_, counts)) = &*last else { return Ok(()) };
        let metric = "apiserver_resource_objects";
        writeln!(
            text,
            "# HELP {metric} Number of stored objects at the time of last check split by kind.\n# TYPE {metric} gauge"
        )?;
        for ((group, resource), count) in counts {
            writeln!(text, "{metric}{{group=\"{group}\",resource=\"{resource}\"}} {count}")?;
        }
        let metric = "apiserver_storage_objects";
        writeln!(
            text,
            "# HELP {metric} [DEPRECATED, consider using apiserver_resource_objects instead] Number of stored objects at the time of last check split by kind.\n# TYPE {metric} gauge"
        )?;
        for ((group, resource), count) in counts {
            let dot = if group.is_empty() { "" } else { "." };
            writeln!(text, "{metric}{{resource=\"{resource}{dot}{group}\"}} {count}")?;
        }
        Ok(())
    }
}

fn count<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Counts {
    let mut counts = BTreeMap::<_, usize>::new();
    for key in keys {
        let Some(rest) = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(PREFIX)) else { continue };
        let mut parts = rest.splitn(3, '/');
        let (Some(group), Some(resource), Some(_)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let group = if group == "core" { "" } else { group };
        *counts.entry((group, resource)).or_default() += 1;
    }
    counts.into_iter().map(|((group, resource), count)| ((group.to_owned(), resource.to_owned()), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_by_resource() {
        let keys = [
            "/registry/core/pods/n/a",
            "/registry/core/pods/m/a",
            "/registry/core/nodes/a",
            "/registry/apps/deployments/n/a",
            "/registry/x",
        ];
        let counts = count(keys.iter().map(|key| key.as_bytes()));
        let shown: Vec<String> =
            counts.iter().map(|((group, resource), count)| format!("{group}/{resource} {count}")).collect();
        assert_eq!(shown, ["/nodes 1", "/pods 2", "apps/deployments 1"]);
    }
}
