//! Files with which operators set the server up, in upstream's formats.

use std::collections::HashSet;

use portolan_api::decode::{self, Limits};
use portolan_api::field::Error;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a file cannot be used. Says what is wrong where.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) String);

/// Says all that is wrong, as upstream aggregates errors.
pub(crate) fn all(errors: Vec<Error>) -> Result<(), Invalid> {
    aggregate(errors.iter().map(ToString::to_string).collect())
}

/// The same for texts, each of which is said once.
pub(crate) fn aggregate(mut errors: Vec<String>) -> Result<(), Invalid> {
    let mut said = HashSet::new();
    errors.retain(|error| said.insert(error.clone()));
    match errors.len() {
        0 => Ok(()),
        1 => Err(Invalid(errors.remove(0))),
        _ => Err(Invalid(format!("[{}]", errors.join(", ")))),
    }
}

/// Reads a file of one of these versions and kinds: YAML or JSON, strict about names. `T` is what it says besides both.
pub(crate) fn read<T: DeserializeOwned>(text: &str, kinds: &[(&str, &str)]) -> Result<T, Invalid> {
    let decoded = decode::yaml(text.as_bytes(), &Limits::default()).map_err(|error| Invalid(error.to_string()))?;
    let found = |field: &str| decoded.value[field].as_str().unwrap_or_default();
    let (version, kind) = (found("apiVersion"), found("kind"));
    if !kinds.contains(&(version, kind)) {
        let expected: Vec<String> = kinds.iter().map(|(version, kind)| format!("{kind} of {version}")).collect();
        return Err(Invalid(format!(
            "no kind \"{kind}\" is registered for version \"{version}\"; expected {}",
            expected.join(" or ")
        )));
    }
    if let Some(twice) = decoded.duplicates.first() {
        return Err(Invalid(twice.clone()));
    }
    let mut value = decoded.value;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind"));
    }
    without_nulls(&mut value);
    serde_json::from_value(value).map_err(|error| Invalid(error.to_string()))
}

/// Takes away what is null: it counts as not said.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
