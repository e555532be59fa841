//! Values in the form that upstream's messages have.

use portolan_base::go;
use serde_json::Value;

/// A value as Go prints it: `map[image:nginx ports:[80 443]]`.
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}:{}", go_text(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        Value::Number(number) if !number.is_i64() => float(number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

/// What the keys of a map may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Texts,
    /// Those that read as a number are one.
    Anything,
}

/// A value as Go's sources would have it: `map[string]interface {}{"image":"nginx"}`.
pub(crate) fn go_syntax(value: &Value, keys: Keys) -> String {
    let inside = |value: &Value| match value {
        Value::Null => "interface {}(nil)".into(),
        other => go_syntax(other, keys),
    };
    match value {
        Value::Object(fields) => {
            let r#type = if keys == Keys::Texts { "string" } else { "interface {}" };
            let key = |name: &str| match name.parse::<i64>() {
                Ok(number) if keys == Keys::Anything => number.to_string(),
                _ => go::quote(name),
            };
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}:{}", key(name), inside(value))).collect();
            format!("map[{type}]interface {{}}{{{}}}", fields.join(", "))
        }
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(inside).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => go::quote(text),
        other => go_text(other),
    }
}

/// A number in as few digits as tell it, with an exponent if it is far from zero.
pub(crate) fn float(number: f64) -> String {
    let digits = format!("{number:e}");
    let Some((digits, exponent)) = digits.split_once('e') else { return digits };
    match exponent.parse::<i32>().unwrap_or_default() {
        -4..6 => number.to_string(),
        exponent if exponent < 0 => format!("{digits}e-{:02}", -exponent),
        exponent => format!("{digits}e+{exponent:02}"),
    }
}

/// What Go calls the type of a value that was decoded without a type of its own.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn looks_like_go() {
        let value = json!({"image": "nginx", "ports": [80, 443], "none": null, "on": true});
        assert_eq!(go_text(&value), "map[image:nginx none:<nil> on:true ports:[80 443]]");
        let numbers = json!([2.0, 2.5, 1e19, 1234567.5, 0.0001, 0.00001, 123456.0, u64::MAX, -7]);
        let shown = "[2 2.5 1e+19 1.2345675e+06 0.0001 1e-05 123456 1.8446744073709552e+19 -7]";
        assert_eq!(go_text(&numbers), shown);
        let syntax = r#"map[string]interface {}{"image":"nginx", "none":interface {}(nil), "on":true, "ports":[]interface {}{80, 443}}"#;
        assert_eq!(go_syntax(&value, Keys::Texts), syntax);
        let keyed = json!({"1": "a", "b": null});
        let syntax = r#"map[interface {}]interface {}{1:"a", "b":interface {}(nil)}"#;
        assert_eq!(go_syntax(&keyed, Keys::Anything), syntax);
    }
}
