//! JSON Patch (RFC 6902), as Kubernetes reads it.
//!
//! It is more lenient than the standard: indices may count from the end, what is not there is null to a test, and may be
//! replaced. It is stricter in that the whole document can only be tested or replaced, and that copies are limited.
//!
//! Source: `github.com/evanphx/json-patch` v4, `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.

use std::fmt;

use serde_json::{Map, Value};

use super::Error;
use crate::decode::type_of;

/// The most operations in one patch.
pub const LIMIT: usize = 10_000;

/// How many bytes the copies of one patch may hold together.
const COPY_LIMIT: usize = 3 << 20;

/// What an operation may say.
const FIELDS: [&str; 4] = ["op", "path", "from", "value"];

const MISSING: &str = "missing value";

/// Applies the operations of `patch` to `document`.
///
/// # Errors
/// The patch is malformed, too long, or one of its operations does not fit the document, which
/// is then left as it was.
pub fn apply(document: &mut Value, patch: &Value) -> Result<(), Error> {
    let operations = operations(patch)?;
    if operations.len() > LIMIT {
        return Err(Error::TooManyOperations { limit: LIMIT, found: operations.len() });
    }
    let mut patched = document.clone();
    let mut copied = 0;
    for operation in operations {
        Operation(operation.as_object()).apply(&mut patched, &mut copied).map_err(Error::Failed)?;
    }
    *document = patched;
    Ok(())
}

/// What operations say that none may: `unknown field "[0].foo"`.
pub fn unknown_fields(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().into_iter().flatten().enumerate();
    let fields = operations.flat_map(|(index, operation)| {
        let names = operation.as_object().into_iter().flat_map(Map::keys);
        names.filter(|name| !FIELDS.contains(&name.as_str())).map(move |name| (index, name))
    });
    fields.map(|(index, name)| format!("unknown field \"[{index}].{name}\"")).collect()
}

/// The operations of a patch, whose fields are of the types that they should be of.
fn operations(patch: &Value) -> Result<&[Value], Error> {
    let wrong = |found: &str, what: String| Error::Malformed(format!("json: cannot unmarshal {found} into Go {what}"));
    let operations = match patch {
        Value::Null => return Ok(&[]),
        Value::Array(operations) => operations,
        other => return Err(wrong(type_of(other), "value of type []handlers.jsonPatchOp".into())),
    };
    for operation in operations {
        let fields = match operation {
            Value::Null => continue,
            Value::Object(fields) => fields,
            other => return Err(wrong(type_of(other), "value of type handlers.jsonPatchOp".into())),
        };
        for name in &FIELDS[..3] {
            match fields.get(*name) {
                None | Some(Value::Null | Value::String(_)) => {}
                Some(other) => {
                    return Err(wrong(type_of(other), format!("struct field jsonPatchOp.{name} of type string")));
                }
            }
        }
    }
    Ok(operations)
}

/// One operation; one that is null says nothing.
struct Operation<'a>(Option<&'a Map<String, Value>>);

impl Operation<'_> {
    fn field(&self, name: &str) -> Option<&Value> {
        self.0?.get(name)
    }

    /// The text of a field that must be there.
    fn text(&self, kind: &str, name: &str) -> Result<&str, String> {
        let found = self.field(name).and_then(Value::as_str);
        found.ok_or_else(|| format!("{kind} operation failed to decode {name}: {MISSING}"))
    }

    fn value(&self) -> &Value {
        self.field("value").unwrap_or(&Value::Null)
    }

    fn apply(&self, document: &mut Value, copied: &mut usize) -> Result<(), String> {
        let kind = self.field("op").and_then(Value::as_str).unwrap_or("unknown");
        match kind {
            "add" => {
                let path = self.text(kind, "path")?;
                let (container, key) = find(document, path, kind, format_args!("doc is missing path: \"{path}\""))?;
                container
                    .add(&key, self.value().clone())
                    .map_err(|why| format!("error in add for path: '{path}': {why}"))
            }
            "remove" => {
                let path = self.text(kind, "path")?;
                let (container, key) = find(document, path, kind, format_args!("doc is missing path: \"{path}\""))?;
                let removed = container.remove(&key);
                removed.map(drop).map_err(|why| format!("error in remove for path: '{path}': {why}"))
            }
            "replace" => self.replace(document),
            "move" => self.move_value(document),
            "copy" => self.copy(document, copied),
            "test" => self.test(document),
            other => Err(format!("Unexpected kind: {other}")),
        }
    }

    fn replace(&self, document: &mut Value) -> Result<(), String> {
        let path = self.text("replace", "path")?;
        if path.is_empty() {
            if !matches!(self.value(), Value::Object(_) | Value::Array(_)) {
                return Err("replace operation value must be object or array".into());
            }
            document.clone_from(self.value());
            return Ok(());
        }
        let (container, key) = find(document, path, "replace", format_args!("doc is missing path: {path}"))?;
        container
            .set(&key, self.value().clone())
            .map_err(|_| format!("replace operation does not apply: doc is missing key: {path}: {MISSING}"))
    }

    fn move_value(&self, document: &mut Value) -> Result<(), String> {
        let from = self.text("move", "from")?;
        let (container, key) = find(document, from, "move", format_args!("doc is missing from path: {from}"))?;
        let value = container.remove(&key).map_err(|why| format!("error in move for path: '{key}': {why}"))?;
        let path = self.text("move", "path")?;
        let (container, key) = find(document, path, "move", format_args!("doc is missing destination path: {path}"))?;
        container.add(&key, value).map_err(|why| format!("error in move for path: '{path}': {why}"))
    }

    fn copy(&self, document: &mut Value, copied: &mut usize) -> Result<(), String> {
        let from = self.text("copy", "from")?;
        let (container, key) = find(document, from, "copy", format_args!("doc is missing from path: {from}"))?;
        let value = container.get(&key).map_err(|why| format!("error in copy for from: '{from}': {why}"))?;
        let value = value.cloned().unwrap_or_default();
        let path = self.text("copy", "path")?;
        let (container, key) = find(document, path, "copy", format_args!("doc is missing destination path: {path}"))?;
        *copied += value.to_string().len();
        if *copied > COPY_LIMIT {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPY_LIMIT}"
            ));
        }
        container.add(&key, value).map_err(|why| format!("error while adding value during copy: {why}"))
    }

    fn test(&self, document: &mut Value) -> Result<(), String> {
        let path = self.text("test", "path")?;
        let found = if path.is_empty() {
            Some(document)
        } else {
            let (container, key) = find(document, path, "test", format_args!("is missing path: {path}"))?;
            container.get(&key).map_err(|why| format!("error in test for path: '{path}': {why}"))?
        };
        let is_as_wanted = found.map_or(self.value().is_null(), |found| found == self.value());
        if is_as_wanted { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
    }
}

/// What has members.
enum Container<'a> {
    Fields(&'a mut Map<String, Value>),
    Items(&'a mut Vec<Value>),
}

/// The container that a path ends in, and the name or index there; else refuses the operation.
fn find<'a>(
    document: &'a mut Value,
    path: &str,
    operation: &str,
    why: fmt::Arguments<'_>,
) -> Result<(Container<'a>, String), String> {
    followed(document, path).ok_or_else(|| format!("{operation} operation does not apply: {why}: {MISSING}"))
}

/// What stands before the first slash of a path counts for nothing.
fn followed<'a>(document: &'a mut Value, path: &str) -> Option<(Container<'a>, String)> {
    let (parents, key) = path.rsplit_once('/')?;
    let mut at = document;
    for part in parents.split('/').skip(1) {
        at = Container::of(at)?.get(&decoded(part)).ok()??;
    }
    Some((Container::of(at)?, decoded(key)))
}

/// A part of a path without its escapes (RFC 6901, section 4).
fn decoded(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The place that a key names among so many, counted from the end if it is negative.
fn index(key: &str, places: usize) -> Result<usize, String> {
    let number: i64 = key.parse().map_err(|_| format!("strconv.Atoi: parsing \"{key}\": invalid syntax"))?;
    let from_start = if number < 0 { number.checked_add_unsigned(places as u64) } else { Some(number) };
    let found = from_start.and_then(|it| usize::try_from(it).ok()).filter(|it| *it < places);
    found.ok_or_else(|| format!("Unable to access invalid index: {number}: invalid array index"))
}

impl<'a> Container<'a> {
    fn of(value: &'a mut Value) -> Option<Self> {
        match value {
            Value::Object(fields) => Some(Self::Fields(fields)),
            Value::Array(items) => Some(Self::Items(items)),
            _ => None,
        }
    }

    /// What is there. An object may lack it.
    fn get(self, key: &str) -> Result<Option<&'a mut Value>, String> {
        match self {
            Self::Fields(fields) => Ok(fields.get_mut(key)),
            Self::Items(items) => index(key, items.len()).map(|at| items.get_mut(at)),
        }
    }

    /// Puts another value where one is; into an object also where none is.
    fn set(self, key: &str, value: Value) -> Result<(), String> {
        match self {
            Self::Fields(fields) => _ = fields.insert(key.to_owned(), value),
            Self::Items(items) => {
                let at = index(key, items.len())?;
                items[at] = value;
            }
        }
        Ok(())
    }

    fn add(self, key: &str, value: Value) -> Result<(), String> {
        match self {
            Self::Fields(fields) => _ = fields.insert(key.to_owned(), value),
            Self::Items(items) if key == "-" => items.push(value),
            Self::Items(items) => {
                let at = index(key, items.len() + 1).map_err(|why| match why.strip_prefix("strconv") {
                    Some(_) => format!("value was not a proper array index: '{key}': {why}"),
                    None => why,
                })?;
                items.insert(at, value);
            }
        }
        Ok(())
    }

    fn remove(self, key: &str) -> Result<Value, String> {
        match self {
            Self::Fields(fields) => {
                fields.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))
            }
            Self::Items(items) => index(key, items.len()).map(|at| items.remove(at)),
        }
    }
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
    fn operations_do_what_upstreams_do() {
        let document = json!({"a": [1, 2, 3], "b": {"c/d": "x", "e~f": null}, "n": null});
        let cases = [
            // (operations, the document or why not)
            (r#"[{"op":"add","path":"/a/-1","value":9}]"#, r#"{"a":[1,2,3,9],"b":{"c/d":"x","e~f":null},"n":null}"#),
            (r#"[{"op":"add","path":"/a/-4","value":9}]"#, r#"{"a":[9,1,2,3],"b":{"c/d":"x","e~f":null},"n":null}"#),
            (r#"[{"op":"remove","path":"/a/-1"}]"#, r#"{"a":[1,2],"b":{"c/d":"x","e~f":null},"n":null}"#),
            (r#"[{"op":"replace","path":"/a/-3","value":0}]"#, r#"{"a":[0,2,3],"b":{"c/d":"x","e~f":null},"n":null}"#),
            (
                r#"[{"op":"replace","path":"/b/none","value":0}]"#,
                r#"{"a":[1,2,3],"b":{"c/d":"x","e~f":null,"none":0},"n":null}"#,
            ),
            (
                r#"[{"op":"remove","path":"/b/c~1d"},{"op":"remove","path":"/b/e~0f"}]"#,
                r#"{"a":[1,2,3],"b":{},"n":null}"#,
            ),
            (r#"[{"op":"add","path":"/n"}]"#, r#"{"a":[1,2,3],"b":{"c/d":"x","e~f":null},"n":null}"#),
            (r#"[{"op":"add","path":"ignored/n","value":1}]"#, r#"{"a":[1,2,3],"b":{"c/d":"x","e~f":null},"n":1}"#),
            (r#"[{"op":"move","from":"/a/0","path":"/n"}]"#, r#"{"a":[2,3],"b":{"c/d":"x","e~f":null},"n":1}"#),
            (r#"[{"op":"copy","from":"/a","path":"/b"}]"#, r#"{"a":[1,2,3],"b":[1,2,3],"n":null}"#),
            (r#"[{"op":"copy","from":"/none","path":"/b"}]"#, r#"{"a":[1,2,3],"b":null,"n":null}"#),
            (r#"[{"op":"replace","path":"","value":{"z":1}}]"#, r#"{"z":1}"#),
            ("null", r#"{"a":[1,2,3],"b":{"c/d":"x","e~f":null},"n":null}"#),
            (
                r#"[{"op":"add","path":"","value":{}}]"#,
                r#"add operation does not apply: doc is missing path: "": missing value"#,
            ),
            (r#"[{"op":"replace","path":"","value":1}]"#, "replace operation value must be object or array"),
            (
                r#"[{"op":"add","path":"/a/5","value":9}]"#,
                "error in add for path: '/a/5': Unable to access invalid index: 5: invalid array index",
            ),
            (
                r#"[{"op":"add","path":"/a/x","value":9}]"#,
                "error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                r#"[{"op":"remove","path":"/nope"}]"#,
                "error in remove for path: '/nope': Unable to remove nonexistent key: nope: missing value",
            ),
            (
                r#"[{"op":"remove","path":"/n/x"}]"#,
                "remove operation does not apply: doc is missing path: \"/n/x\": missing value",
            ),
            (
                r#"[{"op":"replace","path":"/a/3","value":9}]"#,
                "replace operation does not apply: doc is missing key: /a/3: missing value",
            ),
            (r#"[{"op":"move","path":"/n"}]"#, "move operation failed to decode from: missing value"),
            (r#"[{"op":"test","path":"/a/0","value":1.0}]"#, "testing value /a/0 failed: test failed"),
            (r#"[{"path":"/a"}]"#, "Unexpected kind: unknown"),
            ("[null]", "Unexpected kind: unknown"),
            (r#"[{"op":"frob"}]"#, "Unexpected kind: frob"),
            ("[1]", "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
            ("{}", "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
            (r#"[{"op":1}]"#, "json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"),
        ];
        for (patch, expected) in cases {
            let mut patched = document.clone();
            let outcome = apply(&mut patched, &serde_json::from_str(patch).expect("JSON"));
            let told = outcome.map_or_else(|error| error.to_string(), |()| patched.to_string());
            assert_eq!(told, expected, "{patch}");
        }
    }

    #[test]
    fn copies_do_not_grow_without_end() {
        let mut document = json!({"a": "x".repeat(1000)});
        let double = json!({"op": "copy", "from": "", "path": "/b"});
        assert!(apply(&mut document, &json!([double])).is_err(), "the whole document is not copied");
        let mut document = json!({"a": {"text": "x".repeat(1000)}, "b": {}});
        let steps: Vec<Value> = (0..40)
            .flat_map(|step| {
                let (from, to) = if step % 2 == 0 { ("/a", "/b") } else { ("/b", "/a") };
                [json!({"op": "copy", "from": from, "path": format!("{to}/{step}")})]
            })
            .collect();
        let refused = apply(&mut document, &Value::Array(steps)).expect_err("is too much");
        assert!(refused.to_string().starts_with("Unable to complete the copy"), "{refused}");
    }

    #[test]
    fn fields_that_no_operation_has_are_told() {
        let patch = json!([{"op": "test", "path": "/a", "value": 1}, {"op": "test", "foo": 1, "Path": "x"}, null]);
        assert_eq!(unknown_fields(&patch), ["unknown field \"[1].Path\"", "unknown field \"[1].foo\""]);
    }

    #[test]
    fn what_is_absent_is_null() {
        let add = json!({"op": "add", "path": "/metadata/finalizers", "value": ["f"]});
        let test = |path: &str| json!({"op": "test", "path": path, "value": null});
        let fresh = json!({"metadata": {"name": "n", "note": null}});
        for (path, expected) in [
            ("/metadata/finalizers", "set"),
            ("/metadata/note", "set"),
            ("/metadata/name", "testing value /metadata/name failed: test failed"),
            ("/status/phase", "test operation does not apply: is missing path: /status/phase: missing value"),
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
