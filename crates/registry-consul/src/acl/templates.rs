//! Templates of policies; those that are built in.

use http::Response;
use portolan_registrar::http::Body;
use serde_json::{Map, Value, json};

use super::model::{Policy, TEMPLATES, TemplateVariables, TemplatedPolicy, hash};
use super::{Access, Call};
use crate::Error;

fn described((name, text, named): &(&str, &str, bool)) -> Value {
    let schema = if *named {
        json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}).to_string()
    } else {
        String::new()
    };
    json!({"TemplateName": name, "Schema": schema, "Template": text})
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let all: Map<String, Value> =
        TEMPLATES.iter().map(|template| (template.0.to_owned(), described(template))).collect();
    call.json(&all)
}

pub(super) async fn read(call: &Call<'_>, name: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let found = TEMPLATES.iter().find(|(known, ..)| *known == name);
    let found = found.ok_or_else(|| Error::BadRequest(format!("Invalid templated policy Name: {name}")))?;
    call.json(&described(found))
}

pub(super) async fn preview(call: &Call<'_>, name: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let variables: TemplateVariables =
        if call.request.body.is_empty() { TemplateVariables::default() } else { call.body()? };
    let use_of =
        TemplatedPolicy { template_name: name.to_owned(), template_variables: Some(variables), datacenters: vec![] };
    let rules = use_of.text().map_err(Error::BadRequest)?;
    let id = hash(&rules)[..32].to_owned();
    let description = format!("synthetic policy generated from templated policy: {name}");
    let policy = Policy { name: format!("synthetic-policy-{id}"), id, description, rules, datacenters: vec![] };
    call.json(&policy)
}
