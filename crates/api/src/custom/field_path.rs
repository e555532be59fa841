//! Paths by which rules say which field they are about.
//!
//! Source: `ValidFieldPath` of `apiextensions-apiserver/pkg/apiserver/schema/cel`.

use serde_json::Value;

/// How fields may be named in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// `.a.b` only.
    Dots,
    /// `['a']` too.
    DotsAndBrackets,
}

/// The path that a rule of a schema gives, in the form that errors show: `a.b`, `m[key]`; and the schema of what it
/// leads to.
///
/// # Errors
/// It is malformed or leads nowhere.
pub fn field_path<'s>(text: &str, schema: &'s Value, notation: Notation) -> Result<(String, &'s Value), NoField> {
    let mut tokens = Tokens(text);
    let (mut path, mut place) = (String::new(), schema);
    while let Some(token) = tokens.next() {
        match token {
            "." => {
                let name = tokens.next().ok_or(NoField::End)?;
                place = step(&mut path, place, name)?;
            }
            "[" if notation == Notation::Dots => return Err(NoField::Brackets),
            "[" => {
                let name = quoted(tokens.next().ok_or(NoField::End)?)?;
                place = step(&mut path, place, &name)?;
                match tokens.next().ok_or(NoField::End)? {
                    "]" => {}
                    other => return Err(NoField::NoBracket(other.to_owned())),
                }
            }
            other => return Err(NoField::NoStep(other.to_owned())),
        }
    }
    Ok((path, place))
}

/// Why a path is none of a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoField {
    /// The schema has no such field.
    #[error("does not refer to a valid field")]
    Unknown,
    /// Something is missing at the end.
    #[error("unexpected end of JSON path")]
    End,
    /// Brackets, where there may be none.
    #[error("array notation is not allowed")]
    Brackets,
    /// No name in quotes behind a bracket.
    #[error("expected single quoted string but got {0}")]
    NoQuotes(String),
    /// A backslash before something that it cannot be about.
    #[error("invalid string literal: invalid escape char \\{0}")]
    Escape(char),
    /// A bracket is not closed.
    #[error("expected ] but got {0}")]
    NoBracket(String),
    /// Neither a dot nor a bracket.
    #[error("expected [ or . but got: {0}")]
    NoStep(String),
}

fn step<'s>(path: &mut String, schema: &'s Value, name: &str) -> Result<&'s Value, NoField> {
    let properties = schema["properties"].as_object().filter(|properties| !properties.is_empty());
    match (properties, &schema["additionalProperties"]) {
        (Some(properties), _) => {
            let inner = properties.get(name).ok_or(NoField::Unknown)?;
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            Ok(inner)
        }
        (None, Value::Null) => Err(NoField::Unknown),
        (None, values) => {
            path.push_str(&format!("[{name}]"));
            Ok(values)
        }
    }
}

/// What is between quotes, a backslash taking the meaning from what follows it.
fn quoted(token: &str) -> Result<String, NoField> {
    let inner = token.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let inner = inner.ok_or_else(|| NoField::NoQuotes(token.to_owned()))?;
    let mut name = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        name.push(match character {
            '\\' => match characters.next() {
                Some('a') => '\u{7}',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                Some(same @ ('\'' | '\\')) => same,
                Some(other) => return Err(NoField::Escape(other)),
                None => '\\',
            },
            character => character,
        });
    }
    Ok(name)
}

/// Dots, brackets, and what stands between them.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0;
        let mut before = text.chars().next()?;
        let end = match before {
            '.' | '[' | ']' => 1,
            '\'' => {
                let mut rest = text.char_indices().skip(1);
                let closing = rest.find(|(_, character)| {
                    let closes = *character == '\'' && before != '\\';
                    before = *character;
                    closes
                });
                closing.map_or(text.len(), |(offset, _)| offset + 1)
            }
            _ => text.find(['.', '[', ']']).unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(end);
        self.0 = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_a_field_of_the_schema() {
        let schema = json!({"type": "object", "properties": {
            "x": {"type": "string"}, "y-z": {"type": "object", "properties": {"it's": {"type": "string"}}},
            "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"k": {"type": "string"}}}},
            "l": {"type": "array", "items": {"type": "string"}}, "e": {"type": "object"},
        }});
        let cases = [
            ("", Ok("")),
            (".x", Ok("x")),
            ("['x']", Ok("x")),
            (".y-z", Ok("y-z")),
            ("['y-z']['it\\'s']", Ok("y-z.it's")),
            (".m.a", Ok("m[a]")),
            (".m['a.b'].k", Ok("m[a.b].k")),
            ("x", Err("expected [ or . but got: x")),
            (" ", Err("expected [ or . but got:  ")),
            (".", Err("unexpected end of JSON path")),
            (".q", Err("does not refer to a valid field")),
            (".x.y", Err("does not refer to a valid field")),
            ("['x'", Err("unexpected end of JSON path")),
            ("['x", Err("expected single quoted string but got 'x")),
            ("['x'y", Err("expected ] but got y")),
            ("[x]", Err("expected single quoted string but got x")),
            (".l[0]", Err("expected single quoted string but got 0")),
            (".l['0']", Err("does not refer to a valid field")),
            (".e.a", Err("does not refer to a valid field")),
        ];
        for (text, expected) in cases {
            let found = field_path(text, &schema, Notation::DotsAndBrackets);
            let found = found.map(|(path, _)| path).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        let text = json!({"type": "string"});
        assert_eq!(field_path(".x", &text, Notation::Dots), Err(NoField::Unknown));
        assert_eq!(field_path("['x']", &schema, Notation::Dots), Err(NoField::Brackets));
        assert_eq!(field_path(".y-z", &schema, Notation::Dots).map(|(_, place)| &place["type"]), Ok(&json!("object")));
    }
}
