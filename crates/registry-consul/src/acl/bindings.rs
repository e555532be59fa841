//! Binding rules: what somebody gets who logged in.

use std::collections::BTreeMap;

use http::Response;
use portolan_registrar::http::Body;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::directory::{policies, roles};
use super::methods::methods;
use super::model::{Grants, Link, NodeIdentity, ServiceIdentity, TemplateVariables, TemplatedPolicy, is_identity};
use super::{Access, Call, check_id, identify};
use crate::Error;
use crate::bexpr::Filter;
use crate::space::{Record, Records, Space, WriteError};

const BIND_TYPES: [&str; 5] = ["service", "node", "role", "policy", "templated-policy"];

/// A binding rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BindingRule {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) description: String,
    pub(super) auth_method: String,
    /// Whom it is about; empty: everybody.
    pub(super) selector: String,
    pub(super) bind_type: String,
    /// May take names from who logged in: `${serviceaccount.name}`.
    pub(super) bind_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bind_vars: Option<TemplateVariables>,
}

/// Who somebody turned out to be.
pub(super) struct Identity {
    /// What selectors see.
    pub(super) selectable: Value,
    /// What names may take.
    pub(super) variables: BTreeMap<String, String>,
}

pub(super) fn rules(space: &Space) -> Records<'_, BindingRule> {
    space.records("acl/binding")
}

fn missing() -> Error {
    Error::NotFound("Requested binding rule does not exist: ACL not found".into())
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let mut found = rules(&call.state.space).list().await?;
    if let Some(method) = call.parameters.text("authmethod") {
        found.retain(|record| record.value.auth_method == method);
    }
    call.json(&found)
}

pub(super) async fn read(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    check_id(id)?;
    call.json(&rules(&call.state.space).get(id).await?.ok_or_else(missing)?)
}

pub(super) async fn write(call: &Call<'_>, id: Option<&str>) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let mut wanted: BindingRule = call.body()?;
    let records = rules(&call.state.space);
    let before = identify(&records, "Binding Rule", id, &mut wanted.id).await?;
    let invalid = |text: String| Error::BadRequest(format!("Invalid Binding Rule: {text}"));
    if let Some(before) = &before {
        if wanted.auth_method.is_empty() {
            wanted.auth_method.clone_from(&before.value.auth_method);
        }
        if wanted.auth_method != before.value.auth_method {
            return Err(invalid("the AuthMethod field of an Binding Rule is immutable".into()));
        }
    }
    let method = methods(&call.state.space).get(&wanted.auth_method).await?;
    let method = method.ok_or_else(|| invalid(format!("no auth method has the name {:?}", wanted.auth_method)))?;
    Filter::parse(&wanted.selector, method.value.selectable())
        .map_err(|error| invalid(format!("invalid Selector: {error}")))?;
    if !BIND_TYPES.contains(&wanted.bind_type.as_str()) {
        return Err(invalid(format!("unknown BindType {:?}; it is one of {BIND_TYPES:?}", wanted.bind_type)));
    }
    if wanted.bind_name.is_empty() || names(&wanted.bind_name).is_none() {
        return Err(invalid(format!("invalid BindName {:?}", wanted.bind_name)));
    }
    records.put(&wanted.id, None, &wanted, before.map(|before| (before.modified, None))).await?;
    call.json(&records.get(&wanted.id).await?.ok_or_else(missing)?)
}

pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    check_id(id)?;
    let records = rules(&call.state.space);
    let record = records.get(id).await?.ok_or_else(missing)?;
    if records.delete(id, record.modified, None).await? { call.json(&true) } else { Err(WriteError::Stale.into()) }
}

/// What the rules of a method give to somebody. Roles and policies that are not there give nothing.
pub(super) async fn bind(
    call: &Call<'_>,
    method: &super::methods::AuthMethod,
    identity: &Identity,
) -> Result<(Grants, Vec<Link>), Error> {
    let space = &call.state.space;
    let (mut grants, mut linked) = (Grants::default(), Vec::new());
    for Record { value: rule, .. } in rules(space).list().await? {
        if rule.auth_method != method.name
            || !Filter::parse(&rule.selector, method.selectable())?.lets(&identity.selectable)
        {
            continue;
        }
        let Some(name) = fill(&rule.bind_name, &identity.variables) else {
            let text = format!("Permission denied: binding rule {} names what the login does not say", rule.id);
            return Err(Error::Forbidden(text));
        };
        match rule.bind_type.as_str() {
            "service" if is_identity(&name) => {
                grants.service_identities.push(ServiceIdentity { service_name: name, datacenters: vec![] });
            }
            "node" if is_identity(&name) => {
                let datacenter = call.state.identity.datacenter.to_string();
                grants.node_identities.push(NodeIdentity { node_name: name, datacenter });
            }
            "role" => {
                let found = roles(space).by_name(&name).await?;
                linked.extend(found.map(|found| Link { id: found.value.id, name: found.value.name }));
            }
            "policy" => {
                let found = policies(space).by_name(&name).await?;
                grants.policies.extend(found.map(|found| Link { id: found.value.id, name: found.value.name }));
            }
            "templated-policy" => {
                let variables = rule.bind_vars.and_then(|given| fill(&given.name, &identity.variables));
                grants.templated_policies.push(TemplatedPolicy {
                    template_name: name,
                    template_variables: variables.map(|name| TemplateVariables { name }),
                    datacenters: vec![],
                });
            }
            kind => {
                let text = format!("Permission denied: {name:?} is no name of a {kind} (binding rule {})", rule.id);
                return Err(Error::Forbidden(text));
            }
        }
    }
    grants.check().map_err(|error| Error::Forbidden(format!("Permission denied: {error}")))?;
    Ok((grants, linked))
}

/// The pieces of a name: as they are, and the names of variables. `None`: a `${` without its end.
fn names(text: &str) -> Option<Vec<(&str, Option<&str>)>> {
    let (mut rest, mut pieces) = (text, Vec::new());
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, behind) = after.split_once('}')?;
        pieces.push((before, Some(variable.trim())));
        rest = behind;
    }
    pieces.push((rest, None));
    Some(pieces)
}

/// A name with its variables filled in; `None` if one of them is not there.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let mut filled = String::new();
    for (literal, variable) in names(text)? {
        filled.push_str(literal);
        if let Some(variable) = variable {
            filled.push_str(variables.get(variable)?);
        }
    }
    Some(filled.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_what_the_login_says_and_nothing_else() {
        let variables = BTreeMap::from([("serviceaccount.name".to_owned(), "Web".to_owned())]);
        let cases = [
            ("plain", Some("plain")),
            ("k8s-${serviceaccount.name}-x", Some("k8s-web-x")),
            ("${ serviceaccount.name }", Some("web")),
            ("${serviceaccount.uid}", None),
            ("${serviceaccount.name", None),
        ];
        for (text, expected) in cases {
            assert_eq!(fill(text, &variables).as_deref(), expected, "{text}");
        }
    }
}
