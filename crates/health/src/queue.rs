//! The checks of this process and when each is due: one structure for all, nothing runs for a check
//! that waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::{Health, HealthCheck, HealthCheckStatus};
use tokio::time::Instant;

use crate::assign::share_of;
use crate::verdict::Verdict;
use crate::write::Owner;

/// How often words are written while the health stays the same, as in Consul.
const WORDS_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// A number for a check of this process.
pub(crate) type Number = u64;

/// One check of this process.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) owner: Arc<Owner>,
    pub(crate) check: Arc<HealthCheck>,
    verdict: Verdict,
    /// The health that was established here; none before.
    decided: Option<Health>,
    /// The output that was given to be written last, and when.
    told: Option<(u64, Instant)>,
    due: Instant,
}

/// All checks of this process.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: HashMap<Number, Entry>,
    order: BTreeSet<(Instant, Number)>,
    next: Number,
}

impl Queue {
    /// Adds a check. Its first try comes within one interval, at a moment of its own, so that
    /// thousands that are added together are not tried together.
    ///
    /// What was `known` of it before is not written again, so that a new process causes no writes.
    pub(crate) fn add(
        &mut self,
        owner: Arc<Owner>,
        check: Arc<HealthCheck>,
        known: Option<&HealthCheckStatus>,
        now: Instant,
    ) -> Number {
        self.next += 1;
        let due = now + share_of(check.interval(), &format!("{owner}/{}", check.id));
        self.order.insert((due, self.next));
        // Before its first try a check has a health and no words; those of the first try are awaited.
        let told = known.filter(|known| !known.output.is_empty()).map(|known| (digest(&known.output), now));
        let decided = known.map(|known| known.health);
        self.entries.insert(self.next, Entry { owner, check, verdict: Verdict::default(), decided, told, due });
        self.next
    }

    pub(crate) fn remove(&mut self, number: Number) {
        if let Some(entry) = self.entries.remove(&number) {
            self.order.remove(&(entry.due, number));
        }
    }

    pub(crate) fn get(&self, number: Number) -> Option<&Entry> {
        self.entries.get(&number)
    }

    /// When the next check is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes out a check that is due; it is due again only after [`Queue::finish`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<(Number, Arc<HealthCheck>)> {
        let (_, number) = *self.order.first().filter(|(due, _)| *due <= now)?;
        self.order.pop_first();
        Some((number, self.entries.get(&number)?.check.clone()))
    }

    /// Takes in the result of a try. Returns the health to be written, if it is time to write.
    pub(crate) fn finish(&mut self, number: Number, found: Health, output: &str, now: Instant) -> Option<Health> {
        let entry = self.entries.get_mut(&number)?;
        // In step with its first try, unless it took longer than its interval.
        entry.due = (entry.due + entry.check.interval()).max(now);
        self.order.insert((entry.due, number));
        let health = entry.verdict.count(&entry.check, found)?;
        let words = digest(output);
        let changed = entry.decided != Some(health);
        let new_words = entry.told.is_none_or(|(told, since)| told != words && now >= since + WORDS_INTERVAL);
        if !changed && !new_words {
            return None;
        }
        (entry.decided, entry.told) = (Some(health), Some((words, now)));
        Some(health)
    }

    /// Compares what was established here with what is written; the next result is written if that is not the same.
    pub(crate) fn compare(&mut self, number: Number, written: Option<Health>) {
        if let Some(entry) = self.entries.get_mut(&number).filter(|entry| entry.decided != written) {
            entry.decided = None;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn digest(output: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    output.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: usize) -> Arc<HealthCheck> {
        let interval_milliseconds = Some(10_000);
        Arc::new(HealthCheck { id: id.to_string(), interval_milliseconds, ..HealthCheck::default() })
    }

    #[test]
    fn thousands_of_checks_are_spread_over_their_interval_and_stay_so() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let owner = Arc::new(Owner::Machine("vm".into()));
        for number in 0..5000 {
            queue.add(owner.clone(), check(number), None, start);
        }
        for second in 0..30 {
            let mut tried = 0;
            for tenth in 0..10 {
                let now = start + Duration::from_millis(second * 1000 + tenth * 100);
                while let Some((number, _)) = queue.take(now) {
                    queue.finish(number, Health::Passing, "", now);
                    tried += 1;
                }
            }
            assert!((350..650).contains(&tried), "second {second}: {tried}");
        }
        assert!(size_of::<Entry>() + size_of::<HealthCheck>() < 1024);
    }

    #[test]
    fn the_first_words_are_written_at_once_and_known_ones_not_again() {
        let known = |output: &str| HealthCheckStatus {
            id: "1".to_owned(),
            health: Health::Critical,
            output: output.to_owned(),
            since: None,
        };
        // What is known; what is found; whether that is written, and whether other words a moment later are.
        let cases = [("", "refused", true), ("refused", "refused", false), ("refused", "reset", false)];
        for (before, found, written) in cases {
            let (mut queue, now) = (Queue::default(), Instant::now());
            let number = queue.add(Arc::new(Owner::Machine("vm".into())), check(1), Some(&known(before)), now);
            let first = queue.finish(number, Health::Critical, found, now);
            assert_eq!(first.is_some(), written, "{before:?} {found:?}");
            assert_eq!(queue.finish(number, Health::Critical, "other", now), None, "{before:?} {found:?}");
        }
    }

    #[test]
    fn words_alone_are_written_every_five_minutes_at_most() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let number = queue.add(Arc::new(Owner::Machine("vm".into())), check(1), None, start);
        let steps = [
            (0, Health::Passing, "a", Some(Health::Passing)),
            (10, Health::Passing, "b", None),
            (20, Health::Critical, "c", Some(Health::Critical)),
            (30, Health::Critical, "d", None),
            (319, Health::Critical, "e", None),
            (321, Health::Critical, "c", None),
            (330, Health::Critical, "f", Some(Health::Critical)),
            (340, Health::Critical, "g", None),
        ];
        for (second, found, output, written) in steps {
            let now = start + Duration::from_secs(second);
            assert_eq!(queue.finish(number, found, output, now), written, "at {second}");
        }
    }
}
