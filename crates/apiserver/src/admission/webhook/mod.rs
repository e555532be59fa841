//! Decisions by webhooks: `MutatingWebhookConfiguration` and `ValidatingWebhookConfiguration`.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/webhook`.

mod configuration;
mod mutating;
mod review;
pub(super) mod rules;
pub(super) mod select;
mod validating;

pub(super) use configuration::{Hook, Hooks};
pub(super) use mutating::{Rounds, mutate};
pub(super) use validating::validate;

use std::time::Duration;

use super::attributes::{Attributes, Operation};
use super::policy::FailurePolicy;
use crate::metrics::{Asked, Outcome};
use crate::status::Status;

const GROUP: &str = "admissionregistration.k8s.io";

/// Kinds that say who decides; those who decide do not decide about these.
const EXEMPT: [&str; 6] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

fn is_exempt(attributes: &Attributes<'_>) -> bool {
    attributes.call.resource.group == GROUP && EXEMPT.contains(&&*attributes.call.resource.name)
}

/// Why a hook did not say yes.
#[derive(Debug)]
enum Failure {
    /// It said no.
    Rejected(Status),
    /// It could not be asked, or what it answered is no answer.
    Unanswered(String),
    /// It must not be asked.
    Unaskable(Status),
}

impl Failure {
    /// What the client hears, unless the hook may fail.
    fn into_status(self) -> Status {
        match self {
            Self::Rejected(status) | Self::Unaskable(status) => status,
            Self::Unanswered(why) => Status::internal(why),
        }
    }
}

/// Refuses to ask a hook that does things, in a request that shall do nothing.
fn may_ask(hook: &configuration::Hook, attributes: &Attributes<'_>) -> Result<(), Failure> {
    if attributes.dry_run && hook.has_side_effects {
        let text = format!("admission webhook \"{}\" does not support dry run", hook.name);
        return Err(Failure::Unaskable(Status::bad_request(text)));
    }
    Ok(())
}

/// Counts that a hook was asked. Its answer may be a refusal.
fn measured(
    hook: &Hook,
    attributes: &Attributes<'_>,
    kind: &'static str,
    answer: Result<Option<&Status>, &Failure>,
    took: Duration,
) {
    let outcome = match answer {
        Ok(None) => Outcome::Allowed,
        Ok(Some(refusal)) | Err(Failure::Rejected(refusal)) => Outcome::Rejected(refusal.code()),
        Err(Failure::Unanswered(_)) if hook.failure_policy == FailurePolicy::Ignore => Outcome::FailedOpen,
        Err(Failure::Unanswered(_)) => Outcome::Failed,
        // It was not asked.
        Err(Failure::Unaskable(_)) => return,
    };
    let asked = Asked { name: hook.name.clone(), kind, operation: attributes.operation.name() };
    attributes.call.server.metrics.webhooks.record(asked, outcome, took);
}

/// Name of the operation in rules.
fn operation(attributes: &Attributes<'_>) -> &'static str {
    attributes.operation.name()
}

fn is_delete(attributes: &Attributes<'_>) -> bool {
    attributes.operation == Operation::Delete
}
