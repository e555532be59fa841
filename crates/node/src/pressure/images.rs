//! Which images may go when the disk fills up. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_base::Timestamp;
use portolan_runtime::{ContainerStatus, Image};

use super::thresholds::Amount;

/// Above this part of the disk in use, images go, in percent. As upstream.
const HIGH: u64 = 85;
/// Until this part is in use, in percent.
const LOW: u64 = 80;
/// An image younger than this may be there for a pod that is about to begin.
const LEAST_AGE: Duration = Duration::from_secs(120);

/// When each image was seen first, and used last.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(BTreeMap<String, Times>);

#[derive(Debug, Clone, Copy)]
struct Times {
    first: Timestamp,
    used: Option<Timestamp>,
}

/// How much must become free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Down to the usual limit, if the upper one is crossed.
    Limit,
    /// As much as can be, because pods would have to make room else.
    Everything,
}

impl Seen {
    /// Takes in which images are there and which are in use.
    pub(super) fn look(&mut self, images: &[Image], containers: &[&ContainerStatus], now: Timestamp) {
        self.0.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in images {
            let times = self.0.entry(image.id.clone()).or_insert(Times { first: now, used: None });
            if containers.iter().any(|container| is_of(container, image)) {
                times.used = Some(now);
            }
        }
    }

    /// Returns the images that shall go: unused ones, the one longest unused first, until enough is free.
    ///
    /// Images that were built or loaded here stay: no registry would give them back.
    pub(super) fn plan(&self, images: &[Image], disk: Amount, goal: Goal, now: Timestamp) -> Vec<String> {
        let used_percent = 100 - (disk.available * 100).checked_div(disk.capacity).unwrap_or(100).min(100);
        let mut to_free = match goal {
            Goal::Everything => u64::MAX,
            Goal::Limit if used_percent >= HIGH => (disk.capacity * (100 - LOW) / 100).saturating_sub(disk.available),
            Goal::Limit => 0,
        };
        let unused = images.iter().filter(|image| !image.local && !image.pinned).filter_map(|image| {
            let times = self.0.get(&image.id)?;
            let young = now.duration_since(times.first) < jiff::SignedDuration::try_from(LEAST_AGE).unwrap_or_default();
            (times.used != Some(now) && !young).then_some((times.used, times.first, image))
        });
        let mut unused: Vec<_> = unused.collect();
        unused.sort_by_key(|(used, first, image)| (*used, *first, image.id.clone()));
        let mut planned = BTreeSet::new();
        let mut ordered = Vec::new();
        for (_, _, image) in unused {
            if to_free == 0 {
                break;
            }
            if planned.insert(image.id.clone()) {
                to_free = to_free.saturating_sub(image.size_bytes);
                ordered.push(image.id.clone());
            }
        }
        ordered
    }
}

/// Whether a container was made from an image: runtimes name it by id, digest or tag.
fn is_of(container: &ContainerStatus, image: &Image) -> bool {
    [&container.image_id, &container.image]
        .into_iter()
        .any(|name| image.id == *name || image.digests.contains(name) || image.tags.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + seconds).expect("in range")
    }

    fn image(id: &str, size_bytes: u64, local: bool) -> Image {
        let tags = vec![format!("{id}:1")];
        Image {
            id: id.into(),
            tags,
            digests: Vec::new(),
            size_bytes,
            user_id: None,
            user_name: String::new(),
            local,
            pinned: id == "pause",
        }
    }

    fn container(image: &str) -> ContainerStatus {
        ContainerStatus {
            id: portolan_runtime::ContainerId("c".into()),
            sandbox: portolan_runtime::SandboxId("s".into()),
            name: "c".into(),
            attempt: 0,
            image: image.into(),
            image_id: String::new(),
            state: portolan_runtime::ContainerState::Created,
            created_at: at(0),
            labels: Default::default(),
            annotations: Default::default(),
            log_path: Default::default(),
        }
    }

    #[test]
    fn unused_images_go_oldest_use_first_until_enough_is_free() {
        let images = [
            image("pause", 1, false),
            image("old", 4, false),
            image("used", 9, false),
            image("recent", 4, false),
            image("made here", 9, true),
        ];
        let mut seen = Seen::default();
        let (used, recent) = (container("used:1"), container("recent:1"));
        seen.look(&images, &[], at(0));
        seen.look(&images, &[&recent], at(100));
        seen.look(&images, &[&used], at(200));
        let young = [&images[..], &[image("young", 50, false)]].concat();
        seen.look(&young, &[&used], at(1000));
        let cases = [
            // Of 100, so much is available.
            (16, Goal::Limit, vec![]),
            (15, Goal::Limit, vec!["old", "recent"]),
            (17, Goal::Limit, vec![]),
            (14, Goal::Limit, vec!["old", "recent"]),
            (50, Goal::Everything, vec!["old", "recent"]),
        ];
        for (available, goal, expected) in cases {
            let planned = seen.plan(&young, Amount { available, capacity: 100 }, goal, at(1000));
            assert_eq!(planned, expected, "{available} {goal:?}");
        }
        let planned = seen.plan(&images, Amount { available: 0, capacity: 5 }, Goal::Limit, at(1000));
        assert_eq!(planned, ["old"], "one is enough");
        assert!(seen.plan(&images, Amount { available: 0, capacity: 0 }, Goal::Limit, at(1000)).is_empty());
    }
}
