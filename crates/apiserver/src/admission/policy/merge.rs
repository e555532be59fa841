//! Merging what a policy applies, and taking over what it made.

use portolan_api::description::Schema;
use portolan_api::schema;
use serde_json::Value;

use super::mutating::Failure;
use crate::admission::Attributes;
use crate::admission::webhook::select::Seen;
use crate::endpoint::expect_kind;
use crate::status::Status;

/// Merges an apply configuration into an object, by the schema of its kind.
pub(super) fn apply(
    object: &Value,
    mut applied: Value,
    attributes: &Attributes<'_>,
    seen: &Seen,
) -> Result<Value, Failure> {
    for field in ["apiVersion", "kind"] {
        applied[field] = object[field].clone();
    }
    let kind = seen.kind(attributes);
    let own = (kind == seen.resource.group_version_kind()).then(|| seen.resource.schema()).flatten();
    let Some(schema) = own.or_else(|| attributes.call.schema_of(kind)) else {
        return Err(Failure::Broken(Status::unavailable(format!(
            "Resource kind {kind} not found. There can be a delay between when CustomResourceDefinitions are created and when they are available."
        ))));
    };
    let refuse = |what: &str, why: String| Failure::Refused(format!("error applying patch: {what}: {why}"));
    let merged = portolan_api::apply::merge(object, &applied, schema);
    let merged = merged.map_err(|why| refuse("failed to convert patch object to typed object", why))?;
    let mut atomic = Vec::new();
    find_atomic(&applied, schema, String::new(), &mut atomic);
    if !atomic.is_empty() {
        let why = format!("may not mutate atomic arrays, maps or structs: {}", atomic.join(", "));
        return Err(refuse("invalid ApplyConfiguration", why));
    }
    Ok(merged)
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

/// Makes `object` the new object, checked and completed like a client's; tells whether it differs. One that was put
/// `together` by its schema is of its types already; what else an object has that its kind lacks breaks the request.
pub(super) fn accept(attributes: &mut Attributes<'_>, mut object: Value, together: bool) -> Result<bool, Failure> {
    let api_version = attributes.kind.api_version();
    if object["apiVersion"].is_string() {
        object["apiVersion"] = api_version.into();
    }
    if object == attributes.new {
        return Ok(false);
    }
    let call = attributes.call;
    let kind = attributes.kind;
    expect_kind(&mut object, kind).map_err(|status| Failure::Refused(status.message().to_owned()))?;
    if !together && let Some(findings) = call.findings(&mut object, kind) {
        let unknown = if call.is_of_users(kind) { None } else { schema::strict_decoding_error(&findings.unknown) };
        if let Some(problem) = findings.wrong_type.or(unknown) {
            return Err(Failure::Broken(Status::internal(problem)));
        }
    }
    call.take_over(&mut object, kind).map_err(Failure::Refused)?;
    if kind == call.resource.group_version_kind() {
        call.strategy.default(&mut object);
    }
    let differs = object != attributes.new;
    attributes.new = object;
    Ok(differs)
}
