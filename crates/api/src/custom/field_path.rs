//! Paths by which rules say which field they are about.
//!
//! Source: `ValidFieldPath` of `apiextensions-apiserver/pkg/apiserver/schema/cel`.

use serde_json::Value;

/// The path that a rule of a schema gives, in the form that errors show: `a.b`, `m[key]`.
///
/// # Errors
/// It is malformed or leads nowhere.
pub fn field_path(text: &str, schema: &Value) -> Result<String, NoField> {
    let mut tokens = Tokens(text);
    let (mut path, mut place) = (String::new(), schema);
    while let Some(token) = tokens.next() {
        let name = match token {
            "." => tokens.next().ok_or(NoField)?.to_owned(),
            "[" => {
                let name = quoted(tokens.next().ok_or(NoField)?).ok_or(NoField)?;
                place = step(&mut path, place, &name)?;
                if tokens.next() != Some("]") {
                    return Err(NoField);
                }
                continue;
            }
            _ => return Err(NoField),
        };
        place = step(&mut path, place, &name)?;
    }
    Ok(path)
}

/// A path that is none of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not refer to a valid field")]
pub struct NoField;

fn step<'s>(path: &mut String, schema: &'s Value, name: &str) -> Result<&'s Value, NoField> {
    let properties = schema["properties"].as_object().filter(|properties| !properties.is_empty());
    match (properties, &schema["additionalProperties"]) {
        (Some(properties), _) => {
            let inner = properties.get(name).ok_or(NoField)?;
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            Ok(inner)
        }
        (None, Value::Null) => Err(NoField),
        (None, values) => {
            path.push_str(&format!("[{name}]"));
            Ok(values)
        }
    }
}

/// What is between quotes, a backslash taking the meaning from what follows it.
fn quoted(token: &str) -> Option<String> {
    let inner = token.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut name = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        name.push(if character == '\\' { characters.next()? } else { character });
    }
    Some(name)
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
            ("x", Err(NoField)),
            (".", Err(NoField)),
            (".q", Err(NoField)),
            (".x.y", Err(NoField)),
            ("['x'", Err(NoField)),
            ("['x", Err(NoField)),
            ("[x]", Err(NoField)),
            (".l[0]", Err(NoField)),
            (".l['0']", Err(NoField)),
            (".e.a", Err(NoField)),
        ];
        for (text, expected) in cases {
            assert_eq!(field_path(text, &schema).as_deref(), expected.as_ref().copied(), "{text}");
        }
        assert_eq!(field_path(".x", &json!({"type": "string"})), Err(NoField));
    }
}
