//! Rules for names, labels and ports, with upstream's messages.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation`. Each function returns what is wrong with the
//! value; an empty list means it is fine.

use serde_json::Value;

pub use self::metadata::{field_manager, manager_of_agent, metadata};
use crate::field::{Error, Path};

mod metadata;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
     and must start and end with an alphanumeric character";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
     '-' or '.', and must start and end with an alphanumeric character";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
     start with an alphabetic character, and end with an alphanumeric character";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character";
const VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
     '-', '_' or '.', and must start and end with an alphanumeric character";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";
const CONFIG_KEY_TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";

/// All annotations of an object together may not be larger than this many bytes.
pub const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// A value that must not be empty is.
pub const EMPTY: &str = "must be non-empty";

/// The message for a value of more than `limit` characters.
pub fn max_length(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// The message for a key or value of a label of more than `limit` bytes.
fn max_bytes(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// The message for a number outside `low..=high`.
pub fn inclusive_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn regex(text: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `inner` everywhere, `edge` at both ends, not empty.
fn is_framed(value: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    match value.as_bytes() {
        [] => false,
        bytes => edge(bytes[0]) && edge(bytes[bytes.len() - 1]) && bytes.iter().all(|byte| edge(*byte) || inner(*byte)),
    }
}

fn matches_label(value: &str) -> bool {
    is_framed(value, is_lower, |byte| byte == b'-')
}

fn matches_subdomain(value: &str) -> bool {
    value.split('.').all(matches_label)
}

fn matches_qualified(value: &str) -> bool {
    is_framed(value, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'-' | b'_' | b'.'))
}

/// An RFC 1123 label: at most 63 lower-case letters, digits and dashes.
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_length(63));
    }
    if !matches_label(value) {
        errors.push(if matches_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex(LABEL_TEXT, LABEL, &["my-name", "123-abc"])
        });
    }
    errors
}

/// An RFC 1123 subdomain: labels joined by dots, at most 253 characters.
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 253 {
        errors.push(max_length(253));
    }
    if !matches_subdomain(value) {
        errors.push(regex(SUBDOMAIN_TEXT, SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// An RFC 1123 subdomain in which underscores may stand, also at the beginning of labels: what resolvers search.
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 253 {
        errors.push(max_length(253));
    }
    let is_label = |label: &str| {
        let rest = label.strip_prefix('_').unwrap_or(label);
        is_framed(rest, is_lower, |byte| matches!(byte, b'-' | b'_'))
    };
    if !value.split('.').all(is_label) {
        let text = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
                    and must start and end with an alphanumeric character";
        let label = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        errors.push(regex(text, &format!(r"{label}(\.{label})*"), &["example.com"]));
    }
    errors
}

/// A name that belongs to somebody: a domain, a slash and a path, `acme.io/foo`.
///
/// Source: `IsDomainPrefixedPath` of `k8s.io/apimachinery/pkg/util/validation`.
pub fn is_domain_prefixed_path(place: &Path, value: &str) -> Vec<Error> {
    if value.is_empty() {
        return vec![Error::required(place, "")];
    }
    let parts = value.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty());
    let Some((domain, path)) = parts else {
        return vec![Error::invalid(place, value, "must be a domain-prefixed path (such as \"acme.io/foo\")")];
    };
    let mut errors: Vec<Error> =
        is_dns1123_subdomain(domain).into_iter().map(|why| Error::invalid(place, domain, why)).collect();
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)) {
        let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.push(Error::invalid(place, path, why));
    }
    errors
}

/// An RFC 1123 subdomain whose first label may be `*`.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 253 {
        errors.push(max_length(253));
    }
    if !value.strip_prefix("*.").is_some_and(matches_subdomain) {
        let text = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                    consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        errors.push(regex(text, &format!(r"\*\.{SUBDOMAIN}"), &["*.example.com"]));
    }
    errors
}

/// An RFC 1035 label: as [`is_dns1123_label`], but begins with a letter.
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_length(63));
    }
    if !matches_label(value) || !value.starts_with(|first: char| first.is_ascii_lowercase()) {
        errors.push(regex(LABEL_1035_TEXT, LABEL_1035, &["my-name", "abc-123"]));
    }
    errors
}

/// A key of a label: `name` or `prefix/name`.
pub fn is_qualified_name(value: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex(QUALIFIED_TEXT, QUALIFIED, &examples)
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {EMPTY}"));
            } else {
                errors.extend(is_dns1123_subdomain(prefix).into_iter().map(|error| format!("prefix part {error}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {EMPTY}"));
    } else if name.len() > 63 {
        errors.push(format!("name part {}", max_bytes(63)));
    }
    if !matches_qualified(name) {
        errors.push(format!("name part {}", regex(QUALIFIED_TEXT, QUALIFIED, &examples)));
    }
    errors
}

/// A value of a label.
pub fn is_valid_label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_bytes(63));
    }
    if !value.is_empty() && !matches_qualified(value) {
        errors.push(regex(VALUE_TEXT, VALUE, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A name that can be one segment of a path.
pub fn is_path_segment_name(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    is_path_segment_prefix(value)
}

/// What such a name can begin with.
pub fn is_path_segment_prefix(value: &str) -> Vec<String> {
    ["/", "%"].iter().filter(|part| value.contains(**part)).map(|part| format!("may not contain '{part}'")).collect()
}

/// Names of services, instances and machines as other registries allow them: anything that a line
/// of text and a path segment can carry.
pub fn is_registered_name(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push("must be no more than 253 bytes".to_owned());
    }
    if value.chars().any(|character| character.is_control() || character == '/') {
        problems.push("must not contain '/' or control characters".to_owned());
    }
    problems
}

/// A port number.
pub fn is_valid_port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![inclusive_range(1, 65535)] }
}

/// The name of a port (RFC 6335): at most 15 lower-case letters, digits and dashes.
pub fn is_valid_port_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 15 {
        errors.push(max_length(15));
    }
    if value.is_empty() || !value.bytes().all(|byte| is_lower(byte) || byte == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !value.bytes().any(|byte| byte.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".into());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".into());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".into());
    }
    errors
}

/// A key of a ConfigMap or Secret.
pub fn is_config_map_key(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 253 {
        errors.push(max_length(253));
    }
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        errors.push(regex(CONFIG_KEY_TEXT, CONFIG_KEY, &["key.name", "KEY_NAME", "key-name"]));
    }
    if value == "." || value == ".." {
        errors.push(format!("must not be '{value}'"));
    } else if value.starts_with("..") {
        errors.push("must not start with '..'".into());
    }
    errors
}

/// The name of an environment variable.
pub fn is_env_var_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".into()];
    }
    if value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()]
}

/// What is wrong with a map of labels.
pub fn labels(labels: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        errors.extend(is_qualified_name(key).into_iter().map(|text| Error::invalid(path, key.as_str(), text)));
        let value = value.as_str().unwrap_or_default();
        errors.extend(is_valid_label_value(value).into_iter().map(|text| Error::invalid(path, value, text)));
    }
    errors
}

/// What is wrong with a map of annotations.
pub fn annotations(annotations: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        let name = key.to_lowercase();
        errors.extend(is_qualified_name(&name).into_iter().map(|text| Error::invalid(path, key.as_str(), text)));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(Error::too_long(path, ANNOTATIONS_LIMIT));
    }
    errors
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(errors: Vec<String>, expected: Expect) {
        expected.assert_eq(&errors.join("; "));
    }

    #[test]
    fn accepts_good_names() {
        let long = "a".repeat(63);
        for name in ["a", "my-name", "1a", long.as_str()] {
            check(is_dns1123_label(name), expect![[""]]);
            check(is_dns1123_subdomain(name), expect![[""]]);
            check(is_qualified_name(name), expect![[""]]);
            check(is_valid_label_value(name), expect![[""]]);
        }
        check(is_qualified_name("example.com/My_Name.1"), expect![[""]]);
        check(is_valid_label_value(""), expect![[""]]);
        check(is_valid_port_name("http-2"), expect![[""]]);
    }

    #[test]
    fn refuses_bad_names_in_upstreams_words() {
        check(is_dns1123_label("a.b"), expect![["must not contain dots"]]);
        check(
            is_dns1123_label("My"),
            expect![[
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]],
        );
        check(
            is_dns1123_subdomain("a..b"),
            expect![[
                r#"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
            ]],
        );
        check(
            is_dns1035_label("1a"),
            expect![[
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
            ]],
        );
        check(is_qualified_name("/a"), expect![["prefix part must be non-empty"]]);
        check(
            is_qualified_name("a/"),
            expect![[
                "name part must be non-empty; name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ]],
        );
        check(
            is_valid_label_value("-"),
            expect![[
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ]],
        );
        check(
            is_valid_port_name("-A--"),
            expect![[
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-); must contain at least one letter (a-z); must not contain consecutive hyphens; must not begin or end with a hyphen"
            ]],
        );
        check(is_valid_port_number(0), expect![["must be between 1 and 65535, inclusive"]]);
        check(is_path_segment_name("a/%"), expect![["may not contain '/'; may not contain '%'"]]);
        check(is_config_map_key("..a"), expect![["must not start with '..'"]]);
    }
}
