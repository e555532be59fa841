//! JSON Patch (RFC 6902).

use json_patch::PatchOperation;
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
    if !operations.iter().any(asks_for_null) {
        return json_patch::patch(document, &operations).map_err(|error| Error::Failed(error.to_string()));
    }
    let mut patched = document.clone();
    for (place, operation) in operations.iter().enumerate() {
        if asks_for_null(operation) && is_absent(&patched, operation) {
            continue;
        }
        json_patch::patch(&mut patched, std::slice::from_ref(operation)).map_err(|mut error| {
            error.operation = place;
            Error::Failed(error.to_string())
        })?;
    }
    *document = patched;
    Ok(())
}

/// Whether an operation tests for null. Upstream takes a field that is not there for one, against the standard,
/// and clients ask so whether they are the first to set it.
fn asks_for_null(operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test) if test.value.is_null())
}

/// Whether an operation is about a field that an object does not have.
fn is_absent(document: &Value, operation: &PatchOperation) -> bool {
    let path = operation.path().as_str();
    let parent = path.rsplit_once('/').and_then(|(parent, _)| document.pointer(parent));
    parent.is_some_and(Value::is_object) && document.pointer(path).is_none()
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

    #[test]
    fn what_is_absent_is_null() {
        let add = json!({"op": "add", "path": "/metadata/finalizers", "value": ["f"]});
        let test = |path: &str| json!({"op": "test", "path": path, "value": null});
        let fresh = json!({"metadata": {"name": "n", "note": null}});
        for (path, expected) in [
            ("/metadata/finalizers", "set"),
            ("/metadata/note", "set"),
            ("/metadata/name", "operation '/0' failed at path '/metadata/name': value did not match"),
            ("/status/phase", "operation '/0' failed at path '/status/phase': path is invalid"),
        ] {
            let mut document = fresh.clone();
            let outcome = apply(&mut document, &json!([test(path), add]));
            match outcome {
                Ok(()) => assert_eq!(document["metadata"]["finalizers"], json!(["f"]), "{path}"),
                Err(_) => assert_eq!(document, fresh, "{path}"),
            }
            assert_eq!(outcome.map_or_else(|error| error.to_string(), |()| "set".into()), expected, "{path}");
        }
    }
}
