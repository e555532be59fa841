//! Results on their way into the status of their owners.

use std::collections::BTreeMap;
use std::fmt;

use portolan_api::typed::{Checked, Health, HealthCheck, HealthCheckStatus, record_check};
use portolan_base::Timestamp;
use portolan_client::{Client, Error, Informer, Key};

/// How often a write that others got in the way of is tried again at once.
const ATTEMPTS: usize = 5;

/// Whose checks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    Instance(Key),
    Machine(String),
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(key) => key.fmt(formatter),
            Self::Machine(name) => formatter.write_str(name),
        }
    }
}

/// What checks of one owner found, by the check's id.
pub(crate) type Findings = BTreeMap<String, (Health, String)>;

/// Puts findings among the results of an owner with these checks; results of checks that it no
/// longer has go. Returns whether that changed anything. Pure.
pub(crate) fn apply(
    results: &mut Vec<HealthCheckStatus>,
    checks: &[HealthCheck],
    findings: &Findings,
    now: Timestamp,
) -> bool {
    let before = results.len();
    results.retain(|result| checks.iter().any(|check| check.id == result.id));
    let mut changed = results.len() != before;
    for check in checks {
        if let Some((health, output)) = findings.get(&check.id) {
            changed |= record_check(results, check, *health, output, now);
        }
    }
    changed
}

/// Writes findings; nothing if the owner is gone or has them already.
///
/// # Errors
/// The API did not take them.
pub(crate) async fn write<K: Checked>(
    client: &Client,
    informer: &Informer<K>,
    key: &Key,
    findings: &Findings,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(present) = informer.get(&key.namespace, &key.name) else { return Ok(()) };
    let mut object = (*present).clone();
    for _ in 0..ATTEMPTS {
        let checks = object.checks().to_vec();
        if !apply(object.results_mut(), &checks, findings, now) {
            return Ok(());
        }
        match client.update_status(&object).await {
            Err(error) if error.is_conflict() => match client.get(&key.namespace, &key.name).await {
                Ok(newest) => object = newest,
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            },
            Err(error) if error.is_not_found() => return Ok(()),
            outcome => return outcome.map(drop),
        }
    }
    // Somebody else changes it all the time; the next look finds the difference again.
    Ok(())
}
