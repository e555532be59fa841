//! Finds unknown fields and values of the wrong type.

use std::fmt;

use portolan_base::go;
use serde_json::Value;

use super::prune;
use crate::decode::type_of;
use crate::description::{GroupVersionKind, Schema, Type, builtin};
use crate::quantity::Quantity;

/// What does not fit the schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// One text per field that the schema does not have: `unknown field "spec.foo"`.
    pub unknown: Vec<String>,
    /// The first value of a wrong type, in the words of upstream's decoder:
    /// `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`.
    pub wrong_type: Option<String>,
    /// Whether [`super::prune()`] would change something; false lets the caller leave that walk out.
    pub to_prune: bool,
}

impl Findings {
    /// The text of the refusal because of a wrong type, as `kubectl` prints it.
    pub fn refusal(&self, kind: GroupVersionKind<'_>) -> Option<String> {
        let GroupVersionKind { version, kind, .. } = kind;
        let problem = self.wrong_type.as_ref()?;
        Some(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {problem}"))
    }
}

/// The text of the refusal under strict field validation: `strict decoding error: unknown field "a", ...`.
///
/// `None` if there are no problems.
pub fn strict_decoding_error(problems: &[String]) -> Option<String> {
    if problems.is_empty() {
        return None;
    }
    // What the YAML parser found is one error of several lines, and comes first.
    let (lines, others): (Vec<&String>, Vec<&String>) =
        problems.iter().partition(|problem| problem.starts_with("line "));
    let mut texts: Vec<String> = Vec::with_capacity(others.len() + 1);
    if !lines.is_empty() {
        let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
        texts.push(format!("yaml: unmarshal errors:{lines}"));
    }
    texts.extend(others.into_iter().cloned());
    Some(format!("strict decoding error: {}", texts.join(", ")))
}

/// Holds an object against the schema of `kind`. A kind without a known schema accepts everything.
pub fn check(value: &Value, kind: GroupVersionKind<'_>) -> Findings {
    builtin().schema(kind).map(|schema| check_at(value, schema)).unwrap_or_default()
}

/// Holds a value against a schema.
pub fn check_at(value: &Value, schema: Schema<'_>) -> Findings {
    let mut checker = Checker { findings: Findings::default() };
    checker.value(value, schema, &Place::Root, "");
    checker.findings
}

/// Where the checker is; written out only when something is found.
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The path as upstream's decoder writes it, without keys of maps and indices.
    fn without_indices(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(parent, name) => {
                let parent = parent.without_indices();
                if parent.is_empty() { (*name).to_owned() } else { format!("{parent}.{name}") }
            }
            Self::Key(parent, _) | Self::Item(parent, _) => parent.without_indices(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => formatter.write_str(name),
            Self::Field(parent, name) | Self::Key(parent, name) => write!(formatter, "{parent}.{name}"),
            Self::Item(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

struct Checker {
    findings: Findings,
}

impl Checker {
    /// `structure` is the name of the innermost object with known fields, as the messages want it.
    fn value(&mut self, value: &Value, schema: Schema<'_>, place: &Place<'_>, structure: &str) {
        match (schema.r#type(), value) {
            (_, Value::Null) => self.findings.to_prune = true,
            (Type::Any | Type::Dynamic, _) => {}
            (Type::Struct(_), Value::Object(fields)) => {
                let structure = schema.definition().map_or("", |definition| short_name(&definition.name));
                for (name, value) in fields {
                    let place = Place::Field(place, name);
                    match schema.field(name) {
                        Some(schema) => {
                            self.findings.to_prune |= schema.leaves_out(value);
                            self.value(value, schema, &place, structure);
                        }
                        None => {
                            self.findings.to_prune = true;
                            self.findings.unknown.push(format!("unknown field {}", go::quote(&place.to_string())));
                        }
                    }
                }
            }
            (Type::Map(_), Value::Object(fields)) => {
                let Some(values) = schema.values() else { return };
                for (name, value) in fields {
                    self.value(value, values, &Place::Key(place, name), structure);
                }
            }
            (Type::List(_), Value::Array(list)) => {
                let Some(items) = schema.items() else { return };
                for (index, item) in list.iter().enumerate() {
                    self.value(item, items, &Place::Item(place, index), structure);
                }
            }
            (r#type, value) => {
                if self.findings.wrong_type.is_none() {
                    self.findings.wrong_type = scalar_problem(r#type, value, schema, place, structure);
                }
                self.findings.to_prune |= !prune::is_canonical(r#type, value);
            }
        }
    }
}

/// What is wrong with a value that is not an object or list where one is wanted.
fn scalar_problem(
    r#type: &Type,
    value: &Value,
    schema: Schema<'_>,
    place: &Place<'_>,
    structure: &str,
) -> Option<String> {
    let fits = match (r#type, value) {
        (Type::String, Value::String(_)) | (Type::Boolean, Value::Bool(_)) | (Type::Number, Value::Number(_)) => true,
        (Type::IntOrString, Value::String(_)) => true,
        (Type::Int32 | Type::IntOrString, Value::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (Type::Int64, Value::Number(number)) => number.as_i64().is_some(),
        (Type::Quantity, Value::String(text)) => return Quantity::parse(text).err().map(|error| error.to_string()),
        (Type::Quantity, Value::Number(number)) => {
            return Quantity::parse(&number.to_string()).err().map(|error| error.to_string());
        }
        (Type::Time | Type::MicroTime, Value::String(text)) => {
            let layout = match r#type {
                Type::MicroTime => "2006-01-02T15:04:05.000000Z07:00",
                _ => "2006-01-02T15:04:05Z07:00",
            };
            return crate::time::parse(text)
                .is_none()
                .then(|| format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\" as \"2006\""));
        }
        (Type::Bytes, Value::String(text)) => {
            return base64_problem(text).map(|offset| format!("illegal base64 data at input byte {offset}"));
        }
        _ => false,
    };
    if fits {
        return None;
    }
    let found = match value {
        Value::Number(number) if matches!(r#type, Type::Int32 | Type::Int64 | Type::IntOrString) => {
            format!("number {number}")
        }
        value => type_of(value).into(),
    };
    let wanted = go_type(r#type, schema);
    // Types with a decoder of their own do not know the field they stand in.
    let has_own_decoder = matches!(r#type, Type::Time | Type::MicroTime | Type::IntOrString);
    Some(if has_own_decoder || structure.is_empty() {
        format!("json: cannot unmarshal {found} into Go value of type {wanted}")
    } else {
        let path = place.without_indices();
        format!("json: cannot unmarshal {found} into Go struct field {structure}.{path} of type {wanted}")
    })
}

/// The last part of a definition's name.
fn short_name(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

/// The name of a type in upstream's source.
fn go_type(r#type: &Type, schema: Schema<'_>) -> String {
    match r#type {
        Type::Any | Type::Dynamic => "interface {}".into(),
        Type::String | Type::Time | Type::MicroTime => "string".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Boolean => "bool".into(),
        Type::Int32 | Type::IntOrString => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Number => "float64".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::Struct(_) | Type::Builtin(_) => {
            let name = schema.definition().map_or("", |definition| &*definition.name);
            let start = name.rmatch_indices('.').nth(1).map_or(0, |(index, _)| index + 1);
            name[start..].to_owned()
        }
        Type::Map(values) => {
            format!("map[string]{}", schema.values().map(|it| go_type(values, it)).unwrap_or_default())
        }
        Type::List(items) => format!("[]{}", schema.items().map(|it| go_type(items, it)).unwrap_or_default()),
    }
}

/// Where a text stops being base64 with padding.
fn base64_problem(text: &str) -> Option<usize> {
    // Line breaks are allowed, as in upstream's decoder.
    let mut length = 0;
    let mut padding = 0;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => continue,
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return Some(offset),
        }
        length += 1;
    }
    (length % 4 != 0 || padding > 2).then_some(text.len() - text.len() % 4)
}
