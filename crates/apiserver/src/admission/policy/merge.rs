//! Merging what a policy applies, and taking over what it made.

use portolan_api::description::Schema;
use serde_json::Value;

use crate::admission::Attributes;
use crate::admission::webhook::select::Seen;
use crate::endpoint::expect_kind;

/// Merges an apply configuration into an object, by the schema of its kind.
pub(super) fn apply(
    object: &Value,
    mut applied: Value,
    attributes: &Attributes<'_>,
    seen: &Seen,
) -> Result<Value, String> {
    for field in ["apiVersion", "kind"] {
        applied[field] = object[field].clone();
    }
    let kind = seen.kind(attributes);
    let own = (kind == seen.resource.group_version_kind()).then(|| seen.resource.schema()).flatten();
    let Some(schema) = own.or_else(|| attributes.call.schema_of(kind)) else {
        return Err(format!(
            "Resource kind {kind} not found. There can be a delay between when CustomResourceDefinitions are created and when they are available."
        ));
    };
    let mut atomic = Vec::new();
    find_atomic(&applied, schema, String::new(), &mut atomic);
    if !atomic.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    Ok(portolan_api::apply::merge(object, &applied, schema))
}

/// Lists, maps and objects that can only be replaced as a whole: whoever applies a part would lose the rest.
fn find_atomic(value: &Value, schema: Schema<'_>, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if schema.is_atomic() && !path.is_empty() {
                found.push(path.clone());
            }
            for (name, value) in fields {
                if let Some(inner) = schema.field(name) {
                    find_atomic(value, inner, format!("{path}.{name}"), found);
                }
            }
        }
        Value::Array(items) => {
            if schema.is_atomic() {
                found.push(path.clone());
            }
            let Some(inner) = schema.items() else { return };
            for (index, item) in items.iter().enumerate() {
                find_atomic(item, inner, format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Makes `object` the new object, checked and completed like a client's; tells whether it differs.
pub(super) fn accept(attributes: &mut Attributes<'_>, mut object: Value) -> Result<bool, String> {
    let api_version = attributes.kind.api_version();
    if object["apiVersion"].is_string() {
        object["apiVersion"] = api_version.into();
    }
    if object == attributes.new {
        return Ok(false);
    }
    let call = attributes.call;
    expect_kind(&mut object, attributes.kind).map_err(|status| status.message().to_owned())?;
    call.check(&mut object, attributes.kind, Vec::new()).map_err(|status| status.message().to_owned())?;
    if attributes.kind == call.resource.group_version_kind() {
        call.strategy.default(&mut object);
    }
    let differs = object != attributes.new;
    attributes.new = object;
    Ok(differs)
}
