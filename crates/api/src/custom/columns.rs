//! Columns of `kubectl get` that a definition names.

use portolan_base::go;
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

/// The cell of an object; `age` tells how long ago a time is. Of several values it shows the first.
///
/// Source: `tableconvertor.go`.
pub fn cell(column: &Column, object: &Value, age: impl FnOnce(&str) -> Option<String>) -> Value {
    let Some(first) = column.path.first(object) else { return Value::Null };
    match (column.value_type.as_str(), first) {
        ("string", _) => printed(first).into(),
        ("date", Value::String(time)) => age(time).unwrap_or_else(|| "<invalid>".into()).into(),
        ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => first.clone(),
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            #[expect(clippy::cast_possible_truncation, reason = "so it is shown")]
            (None, Some(number)) => (number as i64).into(),
            (None, None) => Value::Null,
        },
        _ => Value::Null,
    }
}

/// A value as text, as Go's templates and its package for JSON write it.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        other => go::html_safe(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_of_the_type_of_their_column() {
        let object = json!({
            "list": [{"n": "x"}, {"n": "y"}], "whole": 4, "part": 1.5, "yes": true, "map": {"z": 1, "a": "<"},
            "null": null, "time": "2026-01-02T03:04:05Z",
        });
        let cases = [
            ("string", ".list[*].n", json!("x")),
            ("string", ".whole", json!("4")),
            ("string", ".part", json!("1.5")),
            ("string", ".yes", json!("true")),
            ("string", ".map.a", json!("<")),
            ("string", ".map", json!(r#"{"a":"\u003c","z":1}"#)),
            ("string", ".list", json!(r#"[{"n":"x"},{"n":"y"}]"#)),
            ("string", ".null", json!("<no value>")),
            ("string", ".nothing", json!(null)),
            ("integer", ".part", json!(1)),
            ("integer", ".map.a", json!(null)),
            ("number", ".part", json!(1.5)),
            ("boolean", ".yes", json!(true)),
            ("boolean", ".whole", json!(null)),
            ("date", ".time", json!("3h")),
            ("date", ".map.a", json!("<invalid>")),
            ("date", ".map", json!(null)),
        ];
        for (value_type, path, expected) in cases {
            let source = json!([{"name": "Column", "type": value_type, "jsonPath": path}]);
            let [column] = &Column::read_all(&source)[..] else { panic!("{path}") };
            let age = |time: &str| time.starts_with("2026").then(|| "3h".to_owned());
            assert_eq!(cell(column, &object, age), expected, "{value_type} {path}");
        }
    }
}
