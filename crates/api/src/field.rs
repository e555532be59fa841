//! Errors that name the field they are about, in the words `kubectl` users know.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation/field`.

use std::fmt;

use portolan_base::go;
use serde_json::Value;

/// Where a field is: `spec.ports[0].name`, `metadata.labels[app]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// A path that begins with a field.
    pub fn new(field: &str) -> Self {
        Self(field.to_owned())
    }

    /// The path of a field inside this one.
    #[must_use]
    pub fn child(&self, field: &str) -> Self {
        if self.0.is_empty() { Self::new(field) } else { Self(format!("{}.{field}", self.0)) }
    }

    /// The path of an item of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path of a key of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// Missing.
    Required,
    /// Malformed or out of bounds.
    Invalid,
    /// Not one of the values that are known.
    NotSupported,
    /// Appears twice where once is allowed.
    Duplicate,
    /// Well-formed but not permitted here.
    Forbidden,
    /// Refers to something that does not exist.
    NotFound,
    /// Longer than allowed.
    TooLong,
    /// More items than allowed.
    TooMany,
    /// Of the wrong JSON type.
    TypeInvalid,
    /// A failure of the server itself.
    Internal,
}

impl ErrorType {
    /// The `reason` of a Status cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TypeInvalid => "Invalid value",
            Self::Internal => "Internal error",
        }
    }
}

/// How an error tells of the offending value.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// As JSON.
    Json(Value),
    /// In a form that JSON cannot keep: a structure by the names and in the order of upstream's own fields.
    Text(String),
    /// Not at all: there is none, it is secret, or it is too large.
    Omitted,
}

impl<T> From<T> for Shown
where
    Value: From<T>,
{
    fn from(value: T) -> Self {
        Self::Json(value.into())
    }
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What kind of thing.
    pub error_type: ErrorType,
    /// Which field.
    pub path: Path,
    /// The offending value.
    pub value: Shown,
    /// More words; may be empty.
    pub detail: String,
}

impl Error {
    /// A field is missing.
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self { error_type: ErrorType::Required, path: path.clone(), value: Shown::Omitted, detail: detail.into() }
    }

    /// A field's value is malformed or out of bounds.
    pub fn invalid(path: &Path, value: impl Into<Shown>, detail: impl Into<String>) -> Self {
        Self { error_type: ErrorType::Invalid, path: path.clone(), value: value.into(), detail: detail.into() }
    }

    /// A field's value is not one of those known.
    pub fn not_supported(path: &Path, value: impl Into<Shown>, supported: &[&str]) -> Self {
        let mut sorted = supported.to_vec();
        sorted.sort_unstable();
        Self::not_supported_as_listed(path, value, &sorted)
    }

    /// The same with the values in the given order.
    pub fn not_supported_as_listed(path: &Path, value: impl Into<Shown>, supported: &[&str]) -> Self {
        let names: Vec<String> = supported.iter().map(|name| format!("\"{name}\"")).collect();
        let detail = format!("supported values: {}", names.join(", "));
        Self { error_type: ErrorType::NotSupported, path: path.clone(), value: value.into(), detail }
    }

    /// A value appears twice.
    pub fn duplicate(path: &Path, value: impl Into<Shown>) -> Self {
        Self { error_type: ErrorType::Duplicate, path: path.clone(), value: value.into(), detail: String::new() }
    }

    /// A value is not permitted here.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self { error_type: ErrorType::Forbidden, path: path.clone(), value: Shown::Omitted, detail: detail.into() }
    }

    /// A value refers to something that does not exist.
    pub fn not_found(path: &Path, value: impl Into<Shown>) -> Self {
        Self { error_type: ErrorType::NotFound, path: path.clone(), value: value.into(), detail: String::new() }
    }

    /// A value is longer than `limit` bytes.
    pub fn too_long(path: &Path, limit: usize) -> Self {
        let detail = format!("may not be more than {limit} byte{}", if limit == 1 { "" } else { "s" });
        Self { error_type: ErrorType::TooLong, path: path.clone(), value: Shown::Omitted, detail }
    }

    /// A value is longer than a limit that is below zero.
    pub fn too_long_for_nothing(path: &Path) -> Self {
        let detail = "value is too long".to_owned();
        Self { error_type: ErrorType::TooLong, path: path.clone(), value: Shown::Omitted, detail }
    }

    /// The server itself could not tell.
    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self { error_type: ErrorType::Internal, path: path.clone(), value: Shown::Omitted, detail: detail.into() }
    }

    /// The text behind the field's name.
    pub fn body(&self) -> String {
        let words = self.error_type.words();
        let mut text = match &self.value {
            Shown::Json(Value::String(text)) => format!("{words}: {}", go::quote(text)),
            Shown::Json(value) => format!("{words}: {}", go::html_safe(&value.to_string())),
            Shown::Text(value) => format!("{words}: {value}"),
            Shown::Omitted => words.to_owned(),
        };
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_upstream() {
        let spec = Path::new("spec");
        let cases = [
            (Error::required(&spec.child("selector"), ""), "spec.selector: Required value"),
            (
                Error::invalid(
                    &spec.child("ports").index(0).child("port"),
                    70000,
                    "must be between 1 and 65535, inclusive",
                ),
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                Error::not_supported(&spec.child("type"), "Foo", &["NodePort", "ClusterIP"]),
                "spec.type: Unsupported value: \"Foo\": supported values: \"ClusterIP\", \"NodePort\"",
            ),
            (Error::duplicate(&spec.child("a").key("b"), "x"), "spec.a[b]: Duplicate value: \"x\""),
            (Error::duplicate(&spec.child("a"), Shown::Text("{\"B\":1}".into())), "spec.a: Duplicate value: {\"B\":1}"),
            (Error::invalid(&spec, Shown::Omitted, "too much"), "spec: Invalid value: too much"),
            (Error::invalid(&spec, "a\u{200b}<\u{1}", "hidden"), "spec: Invalid value: \"a\\u200b<\\x01\": hidden"),
            (
                Error::duplicate(&spec, serde_json::json!({"a": ["<\u{200b}\u{1}"]})),
                "spec: Duplicate value: {\"a\":[\"\\u003c\u{200b}\\u0001\"]}",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
