//! What the registrar remembers of checks that others report: their time to live, words that were not
//! worth a write, and when a critical instance is to go. Pure: `now` is an argument.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::{CheckType, Checked, Health, Object as _, ServiceInstance};
use portolan_base::Timestamp;
use portolan_client::Key;
use tokio::time::Instant;

use crate::timers::Timers;

/// How often words are written while the health stays the same, as in Consul.
const WORDS_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// No instance goes sooner after it became critical, as in Consul.
const SHORTEST_CRITICAL: Duration = Duration::from_secs(60);

/// Whose checks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    Instance(Key),
    /// The object of a machine outside the cluster.
    Machine(Key),
}

impl Owner {
    pub(crate) fn key(&self) -> &Key {
        match self {
            Self::Instance(key) | Self::Machine(key) => key,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(formatter)
    }
}

/// One check of one owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CheckKey {
    pub(crate) owner: Owner,
    pub(crate) id: String,
}

#[derive(Debug)]
struct Report {
    written: Instant,
    /// The newest words, if they are not written.
    words: Option<Box<str>>,
}

/// What to do with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    Nothing,
    Write,
}

/// Checks that others report.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    timers: Timers<Arc<CheckKey>>,
    owners: HashMap<Owner, Vec<Arc<CheckKey>>>,
    reports: HashMap<Arc<CheckKey>, Report>,
    critical: Timers<Key>,
}

impl Checks {
    /// Takes in an owner as it is now; a check that is new has its full time.
    pub(crate) fn follow(&mut self, owner: &Owner, object: Option<&impl Checked>, now: Instant) {
        let reported = |kind: CheckType| matches!(kind, CheckType::Ttl | CheckType::External);
        let checks = object.map_or(&[][..], Checked::checks).iter().filter(|check| reported(check.r#type));
        let old = self.owners.remove(owner).unwrap_or_default();
        let mut keys = Vec::new();
        for check in checks {
            let known = old.iter().find(|key| key.id == check.id).cloned();
            let key = known.unwrap_or_else(|| Arc::new(CheckKey { owner: owner.clone(), id: check.id.clone() }));
            match check.ttl() {
                Some(ttl) => self.timers.ensure(&key, ttl, now),
                None => drop(self.timers.end(&key)),
            }
            keys.push(key);
        }
        for key in old.iter().filter(|key| !keys.contains(key)) {
            self.timers.end(key);
            self.reports.remove(key);
        }
        if !keys.is_empty() {
            self.owners.insert(owner.clone(), keys);
        }
    }

    /// Forgets an owner.
    pub(crate) fn forget(&mut self, owner: &Owner, now: Instant) {
        self.follow(owner, None::<&ServiceInstance>, now);
    }

    /// Takes in whether an instance is to go, and when.
    pub(crate) fn follow_critical(&mut self, key: &Key, left: Option<Duration>, now: Instant) {
        match left {
            Some(left) => self.critical.start(key, left, now),
            None => drop(self.critical.end(key)),
        }
    }

    /// A report arrived: the check has its full time again.
    pub(crate) fn heard(&mut self, key: &Arc<CheckKey>, ttl: Option<Duration>, now: Instant) {
        if let Some(ttl) = ttl
            && self.timers.heard(key, now).is_none_or(|sign| sign.ttl != ttl)
        {
            self.timers.start(key, ttl, now);
        }
    }

    /// Whether words that differ from the written ones while the health does not are worth a write; if
    /// not, they are kept here.
    pub(crate) fn weigh(&mut self, key: &Arc<CheckKey>, output: &str, now: Instant) -> Worth {
        match self.reports.get_mut(key) {
            Some(report) if now < report.written + WORDS_INTERVAL => {
                report.words = Some(output.into());
                Worth::Nothing
            }
            _ => Worth::Write,
        }
    }

    /// A report was written.
    pub(crate) fn written(&mut self, key: &Arc<CheckKey>, now: Instant) {
        self.reports.insert(key.clone(), Report { written: now, words: None });
        // A report may come before its owner was looked at; it goes with its check all the same.
        let known = self.owners.entry(key.owner.clone()).or_default();
        if !known.contains(key) {
            known.push(key.clone());
        }
    }

    /// The newest words of a check, if they are not written.
    pub(crate) fn words(&self, key: &CheckKey) -> Option<&str> {
        self.reports.get(key)?.words.as_deref()
    }

    /// Whether a check was not reported in time.
    pub(crate) fn has_expired(&self, key: &Arc<CheckKey>) -> bool {
        self.timers.has_run_out(key)
    }

    /// Lets a check whose expiry could not be written expire again.
    pub(crate) fn expire_again(&mut self, key: &Arc<CheckKey>, after: Duration, now: Instant) {
        self.timers.again(key, after, now);
    }

    /// The checks that were not reported in time since the last call.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Arc<CheckKey>> {
        self.timers.run_out(now)
    }

    /// The instances whose time to be critical is over.
    pub(crate) fn critical_too_long(&mut self, now: Instant) -> Vec<Key> {
        self.critical.run_out(now)
    }

    pub(crate) fn postpone(&mut self, by: Duration) {
        self.timers.postpone(by);
        self.critical.postpone(by);
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.critical.next()).min()
    }
}

/// How long an instance may still stay critical; none if it need not go.
pub(crate) fn critical_left(instance: &ServiceInstance, now: Timestamp) -> Option<Duration> {
    let created = instance.metadata().creation_timestamp.as_ref().map_or(now, |time| time.0);
    let left = instance.checks().iter().filter_map(|check| {
        let after = check.deregister_critical_after()?.max(SHORTEST_CRITICAL);
        let result = instance.result(&check.id);
        let health = result.map_or_else(|| check.initial(), |result| result.health);
        let since = result.and_then(|result| result.since.as_ref()).map_or(created, |time| time.0);
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        (health == Health::Critical).then(|| after.saturating_sub(passed))
    });
    left.min()
}

/// The words of a check that was not reported in time, as in Consul.
pub(crate) fn expired_output(last: &str) -> String {
    const WORDS: &str = "TTL expired";
    match last {
        "" => WORDS.to_owned(),
        last if last.starts_with(WORDS) => last.to_owned(),
        last => format!("{WORDS} (last output before timeout follows): {last}"),
    }
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::{HealthCheck, HealthCheckStatus};

    use super::*;

    #[test]
    fn an_instance_goes_after_its_longest_critical_time() {
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        // Deregistration after; health since; now; left.
        let cases = [
            (Some(120), Some((Health::Critical, 1000)), 1030, Some(90)),
            (Some(1), Some((Health::Critical, 1000)), 1030, Some(30)),
            (Some(60), Some((Health::Critical, 1000)), 2000, Some(0)),
            (Some(60), Some((Health::Warning, 1000)), 2000, None),
            (None, Some((Health::Critical, 1000)), 2000, None),
            // Never reported: critical since its creation, which here is now.
            (Some(60), None, 2000, Some(60)),
        ];
        for (after, result, now, left) in cases {
            let mut instance = ServiceInstance::default();
            instance.spec.checks = vec![HealthCheck {
                id: "c".to_owned(),
                deregister_critical_after_seconds: after,
                ..HealthCheck::default()
            }];
            if let Some((health, since)) = result {
                let since = Some(portolan_api::typed::Time(at(since)));
                let output = String::new();
                instance.results_mut().push(HealthCheckStatus { id: "c".to_owned(), health, output, since });
            }
            assert_eq!(critical_left(&instance, at(now)), left.map(Duration::from_secs), "{after:?} {result:?}");
        }
    }

    #[test]
    fn the_last_words_of_a_check_that_expired_stay() {
        for (last, output) in [
            ("", "TTL expired"),
            ("ok", "TTL expired (last output before timeout follows): ok"),
            ("TTL expired", "TTL expired"),
        ] {
            assert_eq!(expired_output(last), output);
        }
    }
}
