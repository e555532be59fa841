//! What a quota's status should be.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_api::quantity::Quantity;
use portolan_api::quota::{self, Amounts};
use portolan_base::Timestamp;
use portolan_base::clock::later;
use serde_json::{Value, json};

/// The outcome of a count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// The status to write; nothing if it says so already.
    pub(super) status: Option<Value>,
    /// When something stops to count by itself.
    pub(super) again: Option<Timestamp>,
}

/// Counts objects, given by their group and resource.
pub(super) fn plan(quota: &Value, objects: &BTreeMap<(String, String), Vec<Value>>, now: Timestamp) -> Counted {
    let hard = Amounts::read(&quota["spec"]["hard"]);
    let mut used = Amounts::default();
    let mut again = None;
    for ((group, resource), objects) in objects {
        let counts = |name: &str| hard.get(name).is_some() && quota::counts(group, resource, name);
        for (name, _) in hard.iter().filter(|(name, _)| counts(name)) {
            used.add(name, Quantity::ZERO);
        }
        for object in objects.iter().filter(|object| quota::in_scope(&quota["spec"], group, resource, object)) {
            used.add_all(&quota::usage(group, resource, object, now).only(counts));
            if resource == "pods" {
                again = again.into_iter().chain(deadline(object).filter(|deadline| *deadline > now)).min();
            }
        }
    }
    let is_current = Amounts::read(&quota["status"]["hard"]) == hard && Amounts::read(&quota["status"]["used"]) == used;
    let status = (!is_current).then(|| json!({"hard": hard.to_value(), "used": used.to_value()}));
    Counted { status, again }
}

/// When a pod that is to go stops to count although it is still there.
fn deadline(pod: &Value) -> Option<Timestamp> {
    let at: Timestamp = pod["metadata"]["deletionTimestamp"].as_str()?.parse().ok()?;
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64()?;
    // It counts up to and with this second.
    Some(later(at, Duration::from_secs(grace.saturating_add(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    #[test]
    fn what_is_there_is_counted_and_what_is_gone_is_not() {
        let pod = |cpu: &str| json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        let quota = json!({
            "spec": {"hard": {"pods": "5", "requests.cpu": "2", "secrets": "9", "count/unheard.example.com": "1"}},
            "status": {"hard": {"pods": "5"}, "used": {"pods": "7"}},
        });
        let mut leaving = pod("1");
        leaving["metadata"] = json!({"deletionTimestamp": "2026-01-02T03:04:00Z", "deletionGracePeriodSeconds": 30});
        let objects = BTreeMap::from([
            ((String::new(), "pods".to_owned()), vec![pod("100m"), pod("200m"), leaving.clone()]),
            ((String::new(), "secrets".to_owned()), vec![]),
        ]);
        let counted = plan(&quota, &objects, now());
        let used = json!({"pods": "3", "requests.cpu": "1300m", "secrets": "0"});
        assert_eq!(counted.status, Some(json!({"hard": quota["spec"]["hard"], "used": used})));
        assert_eq!(counted.again.map(|at| at.to_string()).as_deref(), Some("2026-01-02T03:04:31Z"));
        let mut current = quota.clone();
        current["status"] = json!({"hard": quota["spec"]["hard"], "used": used});
        assert_eq!(plan(&current, &objects, now()).status, None);
        leaving["metadata"]["deletionGracePeriodSeconds"] = i64::MAX.into();
        let objects = BTreeMap::from([((String::new(), "pods".to_owned()), vec![leaving])]);
        assert_eq!(plan(&quota, &objects, now()).again, Some(Timestamp::MAX));
    }
}
