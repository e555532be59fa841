//! Field selectors: `metadata.name=a,spec.nodeName!=b`.

use std::fmt;

use super::Error;

/// One comparison of a field with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field, for example `spec.nodeName`.
    pub field: String,
    /// Whether the field must have the value, or must not.
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// A selector over a few fields of an object; all terms must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    /// The terms.
    pub terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Reads a selector; the empty text selects everything.
    ///
    /// # Errors
    /// A term has no operator, or an escape is malformed.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut terms = Vec::new();
        for part in split_terms(text).into_iter().filter(|part| !part.is_empty()) {
            let (field, equal, value) = split_term(part)
                .ok_or_else(|| Error(format!("invalid selector: '{text}'; can't understand '{part}'")))?;
            let value = unescape(value)?;
            // As upstream: a lone operator says nothing.
            if !field.is_empty() || !value.is_empty() {
                terms.push(FieldTerm { field: field.to_owned(), equal, value });
            }
        }
        Ok(Self { terms })
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `field` must have, if the selector demands one.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }

    /// Whether all terms hold for an object with these fields. A field that is absent is empty.
    pub fn matches<V: AsRef<str>>(&self, field: impl Fn(&str) -> Option<V>) -> bool {
        self.terms.iter().all(|term| {
            let value = field(&term.field);
            (value.as_ref().map_or("", AsRef::as_ref) == term.value) == term.equal
        })
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term.value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
            write!(formatter, "{separator}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Field, operator and value of a term.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (index, _) in term.char_indices() {
        let rest = &term[index..];
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..index], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(Error(format!("invalid field selector: invalid escape sequence: {sequence}")));
                }
            },
            ',' | '=' => {
                // Upstream writes the character as a number.
                let character = u32::from(character);
                return Err(Error(format!("invalid field selector: unescaped character in value: {character}")));
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_terms_and_refuses_the_rest() {
        let cases = [
            ("", Ok("")),
            ("a=b", Ok("a=b")),
            ("a==b,c!=d,", Ok("a=b,c!=d")),
            (r"a=b\,c\=d\\", Ok(r"a=b\,c\=d\\")),
            ("a=", Ok("a=")),
            ("=,!=,a=b,==", Ok("a=b")),
            ("=a", Ok("=a")),
            ("a", Err("invalid selector: 'a'; can't understand 'a'")),
            ("a=b=c", Err("invalid field selector: unescaped character in value: 61")),
            (r"a=b\x", Err(r"invalid field selector: invalid escape sequence: \x")),
        ];
        for (text, expected) in cases {
            let found = FieldSelector::parse(text).map(|it| it.to_string()).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }

    #[test]
    fn an_absent_field_is_empty() {
        let selector = FieldSelector::parse("spec.nodeName=,status.phase!=Failed").expect("valid");
        assert!(selector.matches(|_| None::<&str>));
        assert!(!selector.matches(|field| (field == "status.phase").then_some("Failed")));
        assert_eq!(selector.required("spec.nodeName"), Some(""));
        assert_eq!(selector.required("status.phase"), None);
    }
}
