//! JSON Patch (RFC 6902).

use serde_json::Value;

use super::Error;

/// The most operations in one patch.
pub const LIMIT: usize = 10_000;

/// Applies the operations of `patch` to `document`.
///
/// # Errors
/// The patch is malformed, too long, or one of its operations does not fit the document, which
/// is then left as it was.
pub fn apply(document: &mut Value, patch: &Value) -> Result<(), Error> {
    let Value::Array(operations) = patch else {
        return Err(Error::Malformed("json: cannot unmarshal object into Go value of type jsonpatch.Patch".into()));
    };
    if operations.len() > LIMIT {
        return Err(Error::TooManyOperations { limit: LIMIT, found: operations.len() });
    }
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|error| Error::Malformed(error.to_string()))?;
    json_patch::patch(document, &operations).map_err(|error| Error::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn applies_operations_or_leaves_the_document() {
        let mut document = json!({"a": {"b": [1, 2]}});
        let patch = json!([{"op": "test", "path": "/a/b/0", "value": 1}, {"op": "add", "path": "/a/b/-", "value": 3}]);
        assert_eq!(apply(&mut document, &patch), Ok(()));
        let before = json!({"a": {"b": [1, 2, 3]}});
        assert_eq!(document, before);
        for patch in [
            json!([{"op": "remove", "path": "/a/b/0"}, {"op": "test", "path": "/a/b/0", "value": 1}]),
            json!([{"op": "remove", "path": "/x"}]),
            json!([{"op": "twist", "path": "/x"}]),
            json!({"op": "remove"}),
            Value::Array(vec![json!({"op": "test", "path": "", "value": 1}); LIMIT + 1]),
        ] {
            assert!(apply(&mut document, &patch).is_err());
            assert_eq!(document, before);
        }
    }
}
