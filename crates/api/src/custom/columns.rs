//! Columns of `kubectl get` that a definition names.

use serde_json::Value;

use super::json_path::JsonPath;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Title.
    pub name: String,
    /// `boolean`, `date`, `integer`, `number` or `string`.
    pub value_type: String,
    /// Format; may be empty.
    pub format: String,
    /// What it tells.
    pub description: String,
    /// 0: always shown; more: shown with `-o wide`.
    pub priority: i64,
    /// Where its cells stand.
    pub path: JsonPath,
}

impl Column {
    /// Reads `additionalPrinterColumns`.
    pub(super) fn read_all(columns: &Value) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = |column: &Value| {
            Some(Self {
                name: text(&column["name"]),
                value_type: text(&column["type"]),
                format: text(&column["format"]),
                description: text(&column["description"]),
                priority: column["priority"].as_i64().unwrap_or(0),
                path: JsonPath::parse(column["jsonPath"].as_str()?).ok()?,
            })
        };
        columns.as_array().into_iter().flatten().filter_map(read).collect()
    }
}

/// The cell of an object; `age` tells how long ago a time is. Source: `tableconvertor.go`.
pub fn cell(column: &Column, object: &Value, age: impl FnOnce(&str) -> Option<String>) -> Value {
    let found = column.path.find(object);
    let Some(first) = found.first() else { return Value::Null };
    match (column.value_type.as_str(), first) {
        ("string", _) => found.iter().map(|value| printed(value)).collect::<Vec<_>>().join(" ").into(),
        ("date", Value::String(time)) => age(time).unwrap_or_else(|| "<invalid>".into()).into(),
        ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => (*first).clone(),
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            #[expect(clippy::cast_possible_truncation, reason = "so it is shown")]
            (None, Some(number)) => (number as i64).into(),
            (None, None) => Value::Null,
        },
        _ => Value::Null,
    }
}

/// A value as text.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
