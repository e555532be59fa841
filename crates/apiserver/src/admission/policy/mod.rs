//! Decisions by policies: `ValidatingAdmissionPolicy`, `MutatingAdmissionPolicy` and their bindings.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy`. Policies and bindings are followed in the store;
//! the expressions of a policy are compiled once per version of it.

mod authorizer;
mod bindings;
pub(crate) mod compile;
mod conditions;
mod followed;
pub(crate) mod hook;
mod made;
mod matching;
mod merge;
mod mutating;
mod params;
mod scene;
pub(crate) mod type_check;
mod validating;

pub(super) use followed::Policies;
pub(super) use mutating::{Rounds, mutate};
pub(crate) use mutating::{object_types, patch_types};
pub(super) use validating::validate;

use super::attributes::Attributes;

const GROUP: &str = "admissionregistration.k8s.io";

/// Kinds about which policies do not decide: a policy must not keep anyone from repairing it.
const EXEMPT: [&str; 4] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

fn is_exempt(attributes: &Attributes<'_>) -> bool {
    let resource = &attributes.call.resource;
    let name: &str = &resource.name;
    resource.group == GROUP && EXEMPT.contains(&name)
}

/// What happens if a policy cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailurePolicy {
    /// The request is refused.
    Fail,
    /// The policy is passed over.
    Ignore,
}

impl FailurePolicy {
    fn read(spec: &serde_json::Value) -> Self {
        if spec["failurePolicy"] == "Ignore" { Self::Ignore } else { Self::Fail }
    }
}
