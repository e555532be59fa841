//! Of which kind an object of a user's kind is: nothing but the object says so.
//!
//! Source: `apimachinery/pkg/runtime/serializer/json` and `unstructured`, which refuse what says nothing, and
//! `apiextensions-apiserver/pkg/registry/customresource`, which refuses what is of another kind when it is validated.

use portolan_api::decode;
use portolan_api::description::GroupVersionKind;
use portolan_api::field::{self, Path};
use serde_json::{Map, Value};

use super::bodies::unrecognized;
use super::decode::{FieldValidation, wrong_version};
use super::{Call, kinds, metadata};
use crate::status::Status;

impl Call<'_> {
    /// Whether a body of this kind is one of users' objects.
    pub(crate) fn is_of_users(&self, kind: GroupVersionKind<'_>) -> bool {
        self.resource.custom.is_some() && kind == self.kind()
    }

    /// Checks that the body of a create or update says of which kind it is, in the version that the URL speaks of.
    ///
    /// Another kind is refused later: it may still lack a name, or be of no object that there is.
    pub(super) fn expect_own_version(&self, object: &mut Value, bytes: &[u8]) -> Result<(), Status> {
        let expected = self.kind();
        if let Some(problem) = kinds::version_problem(text(object, "apiVersion")) {
            return Err(unrecognized(bytes, expected, &problem));
        }
        let (version, kind) = (text(object, "apiVersion").to_owned(), text(object, "kind").to_owned());
        let handled = |kind: &str, why: &str| {
            let version = GroupVersionKind::from_api_version(&version, "").version;
            let version = if version.is_empty() { expected.version } else { version };
            let expected = expected.kind;
            Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {expected}: {why}"))
        };
        if kind.is_empty() {
            // Upstream notices it in two places, one of which knows of the kind that was expected.
            return Err(match self.field_validation()? {
                FieldValidation::Ignore if self.content_type() == "application/yaml" => {
                    handled(expected.kind, &missing_kind(&object.to_string()))
                }
                FieldValidation::Ignore => handled(expected.kind, &missing_kind(&String::from_utf8_lossy(bytes))),
                _ => unrecognized(bytes, expected, &missing_kind(&String::from_utf8_lossy(bytes))),
            });
        }
        if let Some(problem) = metadata_problem(object) {
            return Err(handled(&kind, &problem));
        }
        if version != expected.api_version() {
            return Err(wrong_version(version.strip_prefix('/').unwrap_or(&version), expected));
        }
        Ok(())
    }

    /// What keeps that which a patch made of a user's object from being read as an object.
    pub(super) fn unreadable_patched(&self, object: &mut Value) -> Option<String> {
        if let Some(problem) = kinds::unreadable(object) {
            return Some(problem);
        }
        if let Some(problem) = kinds::version_problem(text(object, "apiVersion")) {
            return Some(problem);
        }
        if text(object, "kind").is_empty() {
            return Some(missing_kind(&object.to_string()));
        }
        metadata_problem(object)
    }

    /// Refuses a user's object that says to be of another kind or version than that of the URL.
    pub(super) fn expect_own_kind(&self, object: &Value) -> Result<(), Status> {
        if self.resource.custom.is_none() {
            return Ok(());
        }
        let expected = self.kind();
        let (version, kind) = (text(object, "apiVersion"), text(object, "kind"));
        let mut errors = Vec::new();
        if kind != expected.kind {
            errors.push(field::Error::invalid(&Path::new("kind"), kind, format!("must be {}", expected.kind)));
        }
        if version != expected.api_version() {
            let detail = format!("must be {}", expected.api_version());
            errors.push(field::Error::invalid(&Path::new("apiVersion"), version, detail));
        }
        if errors.is_empty() {
            return Ok(());
        }
        let group = GroupVersionKind::from_api_version(version, kind).group;
        Err(Status::invalid(group, kind, metadata::text(object, "name"), &errors))
    }
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn missing_kind(shown: &str) -> String {
    format!("Object 'Kind' is missing in '{shown}'")
}

/// Why metadata cannot be read. Makes some where there is none.
fn metadata_problem(object: &mut Value) -> Option<String> {
    let metadata = object.as_object_mut()?.entry("metadata").or_insert(Value::Null);
    match metadata {
        Value::Object(_) => None,
        Value::Null => {
            *metadata = Value::Object(Map::new());
            None
        }
        other => {
            let found = decode::type_of(other);
            Some(format!("json: cannot unmarshal {found} into Go value of type v1.ObjectMeta"))
        }
    }
}
