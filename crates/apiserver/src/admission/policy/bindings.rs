//! Bindings: where a policy applies, with which parameters, and to what effect.

use serde_json::Value;

use super::matching::Constraints;
use super::params::Reference;

/// A binding of a policy.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(super) name: String,
    pub(super) policy: String,
    pub(super) constraints: Constraints,
    pub(super) params: Option<Reference>,
    /// `Deny`, `Warn`, `Audit`
    pub(super) actions: Vec<String>,
}

impl Binding {
    pub(super) fn read(object: &Value) -> Self {
        let spec = &object["spec"];
        let actions = spec["validationActions"].as_array().into_iter().flatten();
        Self {
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            policy: spec["policyName"].as_str().unwrap_or_default().to_owned(),
            constraints: Constraints::read(&spec["matchResources"]),
            params: spec["paramRef"].is_object().then(|| Reference::read(&spec["paramRef"])),
            actions: actions.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }
}
