//! `matchConditions`: boolean expressions that must all hold for a hook to be asked.

use super::configuration::{FailurePolicy, Hook};
use crate::admission::Attributes;
use crate::status::Status;

/// What the conditions of a hook say.
pub(super) enum Outcome {
    /// It is asked.
    Hold,
    /// It is not asked.
    Skip,
    /// Nobody knows, and the hook must not be passed over.
    Refuse(Status),
}

pub(super) fn hold(hook: &Hook, attributes: &Attributes<'_>) -> Outcome {
    let Some(condition) = hook.conditions.first() else { return Outcome::Hold };
    let why = format!("expression '{}' of condition \"{}\" is not evaluated", condition.expression, condition.name);
    match hook.failure_policy {
        FailurePolicy::Ignore => Outcome::Skip,
        FailurePolicy::Fail => Outcome::Refuse(attributes.forbidden(&why)),
    }
}
