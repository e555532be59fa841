//! Objects in YAML, as they are answered to those who ask for it.

use serde_json::Value;

/// Writes a value, fields in the order of their names.
///
/// # Errors
/// The writer refuses; values that came from JSON it takes.
pub fn encode(value: &Value) -> Result<String, serde_yaml_ng::Error> {
    serde_yaml_ng::to_string(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decode;

    #[test]
    fn what_is_written_reads_as_the_same() {
        let object =
            json!({"a": ["1", 1, true, "true", null, "", "x: y", "a\nb\n"], "b": {"1": -0.5, "": {}}, "c": []});
        let text = encode(&object).expect("writes");
        let decoded = decode::yaml(text.as_bytes(), &decode::Limits::default()).expect("reads");
        assert_eq!(decoded.value, object);
    }
}
