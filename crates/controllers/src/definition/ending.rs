//! What a definition says of its end. Pure.
//!
//! Source: `apiextensions-apiserver/pkg/controller/finalizer`.

use std::time::Duration;

use portolan_api::custom::set_condition;
use portolan_api::time;
use portolan_base::Timestamp;
use serde_json::Value;

/// How long objects may take to go before it is said that they do not.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far the deletion of the objects of a definition is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage<'a> {
    /// It goes on since the definition was deleted.
    Going,
    /// The objects cannot be listed.
    Unlisted(&'a str),
    /// Some cannot be deleted.
    Undeleted(&'a str),
    /// All are gone.
    Gone,
    /// There never were any: the names were another's.
    NeverServed,
}

/// The conditions of a definition at this stage, if that is not what it says already.
pub(super) fn conditions(definition: &Value, stage: Stage<'_>, now: Timestamp) -> Option<Value> {
    let deleted = definition["metadata"]["deletionTimestamp"].as_str().and_then(time::parse);
    let is_late = deleted.is_some_and(|deleted| now > deleted + PATIENCE);
    let (goes_on, reason, message) = match stage {
        Stage::Going if is_late => (
            true,
            "InstanceDeletionCheck",
            "could not confirm zero CustomResources remaining: context deadline exceeded".to_owned(),
        ),
        Stage::Going => (true, "InstanceDeletionInProgress", "CustomResource deletion is in progress".to_owned()),
        Stage::Unlisted(why) => (true, "InstanceDeletionFailed", format!("could not list instances: {why}")),
        Stage::Undeleted(why) => (true, "InstanceDeletionFailed", format!("could not issue all deletes: {why}")),
        Stage::Gone => (false, "InstanceDeletionCompleted", "removed all instances".to_owned()),
        Stage::NeverServed => (false, "NeverEstablished", "resource was never established".to_owned()),
    };
    let mut new = definition.clone();
    set_condition(&mut new, "Terminating", goes_on, reason, &message, &time::format(now));
    let conditions = new["status"]["conditions"].take();
    (conditions != definition["status"]["conditions"]).then_some(conditions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_says_how_far_its_end_is() {
        let deleted = "2026-01-01T00:00:00Z";
        let now: Timestamp = "2026-01-01T00:00:09Z".parse().expect("a time");
        let pending = json!({
            "metadata": {"deletionTimestamp": deleted},
            "status": {"conditions": [{
                "type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "message": "soon",
                "lastTransitionTime": deleted,
            }]},
        });
        let condition = |status: &str, reason: &str, message: &str| {
            let since = if status == "True" { deleted } else { "2026-01-01T00:00:09Z" };
            Some(json!([{
                "type": "Terminating", "status": status, "reason": reason, "message": message,
                "lastTransitionTime": since,
            }]))
        };
        let going = condition("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
        let cases = [
            (Stage::Going, going.clone()),
            (Stage::Unlisted("no"), condition("True", "InstanceDeletionFailed", "could not list instances: no")),
            (Stage::Undeleted("no"), condition("True", "InstanceDeletionFailed", "could not issue all deletes: no")),
            (Stage::Gone, condition("False", "InstanceDeletionCompleted", "removed all instances")),
            (Stage::NeverServed, condition("False", "NeverEstablished", "resource was never established")),
        ];
        for (stage, expected) in cases {
            assert_eq!(conditions(&pending, stage, now), expected, "{stage:?}");
        }
        let mut told = pending.clone();
        told["status"]["conditions"] = going.expect("conditions");
        assert_eq!(conditions(&told, Stage::Going, now), None, "said once");
        let late = conditions(&told, Stage::Going, now + PATIENCE).expect("news");
        assert_eq!(late[0]["reason"], "InstanceDeletionCheck");
        assert_eq!(late[0]["message"], "could not confirm zero CustomResources remaining: context deadline exceeded");
    }
}
