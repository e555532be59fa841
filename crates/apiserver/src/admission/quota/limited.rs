//! What may be used only where a quota speaks of it: `limitedResources` of the `ResourceQuotaConfiguration`.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/resourcequota`, `CheckRequest`.

use std::collections::BTreeSet;

use portolan_api::field::{Error, Path};
use portolan_api::quota::{self, Amounts};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::Attributes;
use crate::configuration::{self, Invalid};
use crate::status::Status;

/// The settings as a file has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    limited_resources: Vec<LimitedResource>,
}

/// What of a resource needs a quota.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LimitedResource {
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    match_contains: Vec<String>,
    #[serde(default)]
    match_scopes: Vec<Value>,
}

impl LimitedResource {
    /// What a file says, if that can be.
    pub(crate) fn checked(file: File) -> Result<Vec<Self>, Invalid> {
        let list = Path::new("limitedResources");
        let wrong = file.limited_resources.iter().enumerate().filter(|(_, limited)| limited.resource.is_empty());
        let errors = wrong.map(|(index, _)| Error::required(&list.index(index).child("resource"), ""));
        configuration::all(errors.collect())?;
        Ok(file.limited_resources)
    }
}

/// Refuses what needs a quota and has none. `covering` are the quotas that speak of the object, of `all` in its namespace.
pub(super) fn check(
    attributes: &Attributes<'_>,
    limited: &[LimitedResource],
    covering: &[&Value],
    all: &[&Value],
) -> Result<(), Status> {
    let (group, resource) = (&*attributes.call.resource.group, &*attributes.call.resource.name);
    let used = quota::usage(group, resource, &attributes.new, attributes.call.now);
    let of_it = limited.iter().filter(|limited| limited.api_group == group && limited.resource == resource);
    let parts: Vec<&str> = of_it.flat_map(|limited| &limited.match_contains).map(String::as_str).collect();
    let names = used.iter().filter(|(_, amount)| !amount.is_zero() && !amount.is_negative()).map(|(name, _)| name);
    let needed: BTreeSet<&str> = names.filter(|name| parts.iter().any(|part| name.contains(part))).collect();
    let hard: Vec<Amounts> = covering.iter().map(|quota| Amounts::read(&quota["status"]["hard"])).collect();
    let missing: Vec<&str> =
        needed.into_iter().filter(|name| !hard.iter().any(|hard| hard.get(name).is_some())).collect();
    if !missing.is_empty() {
        return Err(attributes.forbidden(&format!("insufficient quota to consume: {}", missing.join(","))));
    }
    let matches = |requirement: &Value| {
        let spec = json!({"scopeSelector": {"matchExpressions": [requirement]}});
        quota::in_scope(&spec, group, resource, &attributes.new)
    };
    let of_quotas: Vec<Value> = all.iter().copied().flat_map(scopes).filter(|scope| matches(scope)).collect();
    let is_covered = |scope: &Value| of_quotas.iter().any(|other| other["scopeName"] == scope["scopeName"]);
    let wanted = limited.iter().flat_map(|limited| &limited.match_scopes).filter(|scope| matches(scope));
    let missing: Vec<String> = wanted.filter(|scope| !is_covered(scope)).map(told).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Upstream knows no reason for it.
    Err(Status::new(500, "", format!("insufficient quota to match these scopes: [{}]", missing.join(" "))))
}

/// The scopes of a quota, each as a requirement.
fn scopes(quota: &Value) -> impl Iterator<Item = Value> {
    let plain = quota["spec"]["scopes"].as_array().cloned().unwrap_or_default();
    let plain = plain.into_iter().map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    plain.chain(quota["spec"]["scopeSelector"]["matchExpressions"].as_array().cloned().unwrap_or_default())
}

/// `{PriorityClass In [a b]}`.
fn told(scope: &Value) -> String {
    let text = |field: &str| scope[field].as_str().unwrap_or_default();
    let values = scope["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
    format!("{{{} {} [{}]}}", text("scopeName"), text("operator"), values.collect::<Vec<_>>().join(" "))
}
