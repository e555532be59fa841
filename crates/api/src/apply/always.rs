//! Which fields are always there in upstream's eyes.

use serde_json::Value;

use crate::description::Schema;

/// What an absent field of an object counts as: `None` if as absent. `schema` is that of the field.
pub(super) fn zero(schema: Option<Schema<'_>>) -> Option<Value> {
    let schema = schema.filter(|schema| schema.is_always())?;
    Some(crate::schema::zero(schema.r#type()).unwrap_or(Value::Null))
}
