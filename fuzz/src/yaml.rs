//! Bodies in YAML: what is read can be written and read again.

use portolan_api::decode::{self, Limits};
use portolan_api::yaml;
use serde_json::Value;

pub(crate) fn run(body: &[u8]) {
    let Ok(decoded) = decode::yaml(body, &Limits::default()) else { return };
    let written = yaml::encode(&decoded.value);
    let again = decode::yaml(written.as_bytes(), &Limits { bytes: usize::MAX, ..Limits::default() });
    assert_same(&again.expect("what was written can be read").value, &decoded.value);
}

/// Numbers are the same if their values are: upstream writes those without a fraction as whole ones.
fn assert_same(one: &Value, other: &Value) {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => assert_eq!(one.as_f64(), other.as_f64()),
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            one.iter().zip(other).for_each(|(one, other)| assert_same(one, other));
        }
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()));
            one.values().zip(other.values()).for_each(|(one, other)| assert_same(one, other));
        }
        (one, other) => assert_eq!(one, other),
    }
}
