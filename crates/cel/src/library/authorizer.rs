//! Functions that put a question to an authorizer together.

use std::sync::Arc;

use super::{fail, no_overload};
use crate::authorizer::{
    AUTHORIZER, Asked, DECISION, Decided, GROUP_CHECK, PATH_CHECK, RESOURCE_CHECK, Resource, What,
};
use crate::functions::{Outcome, Row, Style::Member};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row("path", Member, &[AUTHORIZER, "string"], PATH_CHECK, |values| match values {
        [_, Value::String(path)] if path.trim().is_empty() => fail("path must not be empty"),
        [_, Value::String(path)] => begin(values, What::Path(path.to_string())),
        _ => no_overload(),
    }),
    Row("group", Member, &[AUTHORIZER, "string"], GROUP_CHECK, |values| match values {
        [_, Value::String(group)] => begin(values, What::Group(group.to_string())),
        _ => no_overload(),
    }),
    Row("serviceAccount", Member, &[AUTHORIZER, "string", "string"], AUTHORIZER, service_account),
    Row("resource", Member, &[GROUP_CHECK, "string"], RESOURCE_CHECK, |values| match values {
        [Value::Asked(authorizer, asked), Value::String(resource)] => {
            let What::Group(group) = &asked.what else { return no_overload() };
            if resource.trim().is_empty() {
                return fail("resource must not be empty");
            }
            let resource = Resource { group: group.clone(), resource: resource.to_string(), ..Resource::default() };
            Ok(Value::Asked(*authorizer, Arc::new(Asked { what: What::Resource(resource), ..(**asked).clone() })))
        }
        _ => no_overload(),
    }),
    Row("subresource", Member, &[RESOURCE_CHECK, "string"], RESOURCE_CHECK, |values| {
        narrow(values, |resource, text| resource.subresource = text.to_owned())
    }),
    Row("namespace", Member, &[RESOURCE_CHECK, "string"], RESOURCE_CHECK, |values| {
        narrow(values, |resource, text| resource.namespace = text.to_owned())
    }),
    Row("name", Member, &[RESOURCE_CHECK, "string"], RESOURCE_CHECK, |values| {
        narrow(values, |resource, text| resource.name = text.to_owned())
    }),
    Row("fieldSelector", Member, &[RESOURCE_CHECK, "string"], RESOURCE_CHECK, |values| {
        narrow(values, |resource, text| resource.field_selector = text.to_owned())
    }),
    Row("labelSelector", Member, &[RESOURCE_CHECK, "string"], RESOURCE_CHECK, |values| {
        narrow(values, |resource, text| resource.label_selector = text.to_owned())
    }),
    Row("check", Member, &[PATH_CHECK, "string"], DECISION, check),
    Row("check", Member, &[RESOURCE_CHECK, "string"], DECISION, check),
    Row("allowed", Member, &[DECISION], "bool", |values| decided(values, |answer| answer.allowed.into())),
    Row("reason", Member, &[DECISION], "string", |values| decided(values, |answer| answer.reason.clone().into())),
    Row("errored", Member, &[DECISION], "bool", |values| decided(values, |answer| (!answer.error.is_empty()).into())),
    Row("error", Member, &[DECISION], "string", |values| decided(values, |answer| answer.error.clone().into())),
];

fn begin<'a>(values: &[Value<'a>], what: What) -> Outcome<'a> {
    match &values[0] {
        Value::Authorizer(authorizer) => Ok(Value::Asked(*authorizer, Arc::new(Asked { what, ..Asked::default() }))),
        Value::Asked(authorizer, asked) => Ok(Value::Asked(*authorizer, Arc::new(Asked { what, ..(**asked).clone() }))),
        _ => no_overload(),
    }
}

fn service_account<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Authorizer(authorizer) | Value::Asked(authorizer, _), Value::String(namespace), Value::String(name)] =
        values
    else {
        return no_overload();
    };
    for (text, field) in [(namespace, "namespace"), (name, "name")] {
        if let Some(problem) = portolan_api::validation::is_dns1123_subdomain(text).into_iter().next() {
            return fail(format!("Invalid service account {field}: {problem}"));
        }
    }
    let service_account = Some((namespace.to_string(), name.to_string()));
    Ok(Value::Asked(*authorizer, Arc::new(Asked { service_account, ..Asked::default() })))
}

fn narrow<'a>(values: &[Value<'a>], set: fn(&mut Resource, &str)) -> Outcome<'a> {
    let [Value::Asked(authorizer, asked), Value::String(text)] = values else { return no_overload() };
    let mut asked = (**asked).clone();
    let What::Resource(resource) = &mut asked.what else { return no_overload() };
    set(resource, text);
    Ok(Value::Asked(*authorizer, Arc::new(asked)))
}

fn check<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Asked(authorizer, asked), Value::String(verb)] = values else { return no_overload() };
    let asked = Asked { verb: verb.to_string(), ..(**asked).clone() };
    Ok(Value::Decided(Arc::new(authorizer.decide(&asked))))
}

fn decided<'a>(values: &[Value<'a>], read: fn(&Decided) -> Value<'a>) -> Outcome<'a> {
    match values {
        [Value::Decided(answer)] => Ok(read(answer)),
        _ => no_overload(),
    }
}
