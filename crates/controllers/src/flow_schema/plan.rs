//! What is to be said of a flow schema. Pure.

use portolan_api::typed::kinds::flowcontrol::v1::FlowSchema;

/// The condition `Dangling`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The name of the priority level that a schema leads to.
pub(super) fn level_of(schema: &FlowSchema) -> &str {
    schema.spec.as_ref().map_or("", |spec| &spec.priority_level_configuration.name)
}

/// The condition that a schema should have, if it has another one.
pub(super) fn plan(schema: &FlowSchema, exists: bool) -> Option<Condition> {
    let level = level_of(schema);
    let lead = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let wanted = if exists {
        Condition { status: "False", reason: "Found", message: format!("{lead} and it exists") }
    } else {
        Condition { status: "True", reason: "NotFound", message: format!("{lead} but there is no such object") }
    };
    let conditions = schema.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_said = conditions.into_iter().any(|condition| {
        condition.type_.as_deref() == Some("Dangling")
            && condition.status.as_deref() == Some(wanted.status)
            && condition.reason.as_deref() == Some(wanted.reason)
            && condition.message.as_deref() == Some(wanted.message.as_str())
    });
    (!is_said).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_schema_says_whether_its_level_exists() {
        let schema = |conditions: Value| -> FlowSchema {
            let spec = json!({"matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "low"}});
            let object = json!({"metadata": {"name": "a"}, "spec": spec, "status": {"conditions": conditions}});
            serde_json::from_value(object).expect("a flow schema")
        };
        let found = "This FlowSchema references the PriorityLevelConfiguration object named \"low\" and it exists";
        let missing = "This FlowSchema references the PriorityLevelConfiguration object named \"low\" but there is no such object";
        let said = |status: &str, reason: &str, message: &str| json!([{"type": "Dangling", "status": status, "reason": reason, "message": message}]);
        for (conditions, exists, expected) in [
            (json!([]), true, Some(("False", "Found", found))),
            (json!([]), false, Some(("True", "NotFound", missing))),
            (said("False", "Found", found), true, None),
            (said("False", "Found", found), false, Some(("True", "NotFound", missing))),
            (said("True", "NotFound", missing), false, None),
            (said("True", "NotFound", missing), true, Some(("False", "Found", found))),
        ] {
            let planned = plan(&schema(conditions.clone()), exists);
            let planned = planned.as_ref().map(|it| (it.status, it.reason, it.message.as_str()));
            assert_eq!(planned, expected, "{conditions} {exists}");
        }
    }
}
