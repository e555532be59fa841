//! Names of fields that are no names in CEL.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/cel/#escaping>

use crate::parser::RESERVED;

/// Words of the language itself.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];

/// How a field is called in an expression; `None` if it cannot be.
///
/// ```
/// assert_eq!(portolan_cel::escape("namespace").as_deref(), Some("__namespace__"));
/// assert_eq!(portolan_cel::escape("a-b").as_deref(), Some("a__dash__b"));
/// assert_eq!(portolan_cel::escape("a b"), None);
/// ```
pub fn escape(field: &str) -> Option<String> {
    if field.is_empty() || field.starts_with(|character: char| character.is_ascii_digit()) {
        return None;
    }
    if KEYWORDS.contains(&field) || RESERVED.contains(&field) {
        return Some(format!("__{field}__"));
    }
    let mut escaped = String::with_capacity(field.len());
    let mut characters = field.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '_' if characters.peek() == Some(&'_') => {
                characters.next();
                escaped.push_str("__underscores__");
            }
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            '_' => escaped.push('_'),
            other if other.is_ascii_alphanumeric() => escaped.push(other),
            _ => return None,
        }
    }
    Some(escaped)
}
