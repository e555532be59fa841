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

use super::attributes::{Attributes, Operation};
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

/// Name of the operation in rules.
fn operation(attributes: &Attributes<'_>) -> &'static str {
    attributes.operation.name()
}

fn is_delete(attributes: &Attributes<'_>) -> bool {
    attributes.operation == Operation::Delete
}
