//! The part of JSONPath that definitions may use: `.spec.replicas`, `.items[0].name`,
//! `.status.conditions[?(@.type=="Ready")].status`, `.metadata.annotations.a\.b`.

use serde_json::Value;

use crate::{go_text, go_type};

/// A path into an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    Where { path: Vec<String>, comparison: Comparison, value: Value },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// It is malformed, or uses what definitions may not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim().trim_start_matches('$');
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let (name, after) = field(after);
                match name.as_str() {
                    "" if after.starts_with('[') || after.is_empty() => {}
                    "" => return Err(format!("unexpected . in {text}")),
                    "*" => steps.push(Step::All),
                    _ => steps.push(Step::Field(name)),
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after).ok_or_else(|| "unterminated array".to_owned())?;
                steps.push(bracket(after[..end].trim())?);
                rest = &after[end + 1..];
            } else {
                return Err(format!("unrecognized character in {text}"));
            }
        }
        Ok(Self(steps))
    }

    /// All values at the path.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        found
    }

    /// The first value at the path.
    pub fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.find(object).into_iter().next()
    }

    /// The names of the fields on the way, if it leads through nothing else.
    pub fn fields(&self) -> Option<Vec<&str>> {
        self.0
            .iter()
            .map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The integer at a path of fields.
    ///
    /// # Errors
    /// Something else stands there or on the way, in upstream's words.
    pub fn integer(&self, object: &Value) -> Result<Option<i64>, String> {
        let read = |value: &Value| value.as_i64().ok_or_else(|| unexpected(&self.0, value, "int64"));
        self.nested(object)?.map(read).transpose()
    }

    /// The text at a path of fields.
    ///
    /// # Errors
    /// Something else stands there or on the way, in upstream's words.
    pub fn text<'a>(&self, object: &'a Value) -> Result<Option<&'a str>, String> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| unexpected(&self.0, value, "string"));
        self.nested(object)?.map(read).transpose()
    }

    fn nested<'a>(&self, object: &'a Value) -> Result<Option<&'a Value>, String> {
        let mut place = object;
        for (depth, step) in self.0.iter().enumerate() {
            let Step::Field(name) = step else { return Ok(None) };
            match place {
                Value::Null => return Ok(None),
                Value::Object(members) => match members.get(name) {
                    Some(member) => place = member,
                    None => return Ok(None),
                },
                other => return Err(unexpected(&self.0[..=depth], other, "map[string]interface{}")),
            }
        }
        Ok(Some(place))
    }

    /// Writes a value at a path of fields; makes the objects on the way. `false` if something else stands there.
    pub fn set(&self, object: &mut Value, value: Value) -> bool {
        let Some(fields) = self.fields() else { return false };
        let mut place = object;
        for name in fields {
            if place.is_null() {
                *place = Value::Object(serde_json::Map::new());
            }
            let Value::Object(members) = place else { return false };
            place = members.entry(name).or_insert(Value::Null);
        }
        *place = value;
        true
    }
}

fn unexpected(steps: &[Step], found: &Value, expected: &str) -> String {
    let path = JsonPath(steps.to_vec());
    format!("{path} accessor error: {} is of the type {}, expected {expected}", go_text(found), go_type(found))
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => match value {
                // A field of a list is that of each item.
                Value::Array(items) => items.iter().filter_map(|item| item.get(name)).collect(),
                value => value.get(name).into_iter().collect(),
            },
            Self::Index(index) => {
                let Value::Array(items) = value else { return Vec::new() };
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let index = if *index < 0 { index + length } else { *index };
                usize::try_from(index).ok().and_then(|index| items.get(index)).into_iter().collect()
            }
            Self::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where { path, comparison, value: wanted } => {
                let Value::Array(items) = value else { return Vec::new() };
                let at = |item: &'a Value| path.iter().try_fold(item, |value, name| value.get(name));
                let holds = |item: &&'a Value| {
                    at(item).is_some_and(|found| (found == wanted) == (*comparison == Comparison::Equal))
                };
                items.iter().filter(holds).collect()
            }
        }
    }
}

/// The field at the start of a text, and what follows it. A backslash takes the meaning from what it precedes.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((offset, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, character)| character)),
            '.' | '[' => return (name, &text[offset..]),
            other => name.push(other),
        }
    }
    (name, "")
}

/// Where the bracket that was opened before a text closes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    for (offset, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), character) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(offset),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Result<Step, String> {
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = quoted(text) {
        return Ok(Step::Field(name));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let (comparison, (path, value)) = match (filter.split_once("=="), filter.split_once("!=")) {
            (Some(sides), _) => (Comparison::Equal, sides),
            (None, Some(sides)) => (Comparison::NotEqual, sides),
            (None, None) => return Err(format!("unrecognized filter {filter}")),
        };
        let path = path.trim().strip_prefix('@').ok_or_else(|| format!("unrecognized filter {filter}"))?;
        let path = JsonPath::parse(path)?.fields().map(|fields| fields.into_iter().map(str::to_owned).collect());
        let path = path.ok_or_else(|| format!("unrecognized filter {filter}"))?;
        let value = value.trim();
        let value = match quoted(value) {
            Some(text) => Value::String(text),
            None => serde_json::from_str(value).map_err(|_| format!("unrecognized filter {filter}"))?,
        };
        return Ok(Step::Where { path, comparison, value });
    }
    text.parse().map(Step::Index).map_err(|_| format!("invalid array index {text}"))
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    Some(inner.replace('\\', ""))
}

impl std::fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in &self.0 {
            match step {
                Step::Field(name) => write!(formatter, ".{}", name.replace('.', "\\."))?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::All => formatter.write_str("[*]")?,
                Step::Where { path, comparison, value } => {
                    let comparison = if *comparison == Comparison::Equal { "==" } else { "!=" };
                    write!(formatter, "[?(@.{}{comparison}{value})]", path.join("."))?;
                }
            }
        }
        Ok(())
    }
}
