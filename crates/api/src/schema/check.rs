//! Finds unknown fields and values of the wrong type.

use portolan_base::go;
use serde_json::Value;

use super::place::Place;
use super::prune;
use crate::decode::type_of;
use crate::description::{GroupVersionKind, Schema, Type, builtin};
use crate::quantity::Quantity;
use crate::time::layout;

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
    let mut checker = Checker { root: schema, findings: Findings::default(), is_ended: false };
    checker.value(value, schema, &Place::Root, "");
    checker.findings
}

struct Checker<'a> {
    root: Schema<'a>,
    findings: Findings,
    /// Whether upstream's decoder would read no further: what it told before does not matter then.
    is_ended: bool,
}

impl Checker<'_> {
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
                if !self.is_ended
                    && let Some(misfit) = misfit(value, None, schema, self.root, place, structure)
                    && (misfit.ends || self.findings.wrong_type.is_none())
                {
                    self.is_ended = misfit.ends;
                    self.findings.wrong_type = Some(misfit.text);
                }
                self.findings.to_prune |= !prune::is_canonical(r#type, value);
            }
        }
    }
}

/// A value that does not fit its type.
pub(super) struct Misfit {
    /// In the words of upstream's decoder.
    pub(super) text: String,
    /// Whether the decoder reads no further: it goes on after what it finds itself, but not after what the decoders of
    /// single types find.
    pub(super) ends: bool,
}

/// What is wrong with a value that is neither null nor of a type with parts. `literal` is how a number was written.
pub(super) fn misfit(
    value: &Value,
    literal: Option<&str>,
    schema: Schema<'_>,
    root: Schema<'_>,
    place: &Place<'_>,
    structure: &str,
) -> Option<Misfit> {
    let r#type = schema.r#type();
    // These decode a number or text within, whose type is told.
    let (decoded, ends) = match r#type {
        Type::Time | Type::MicroTime if !value.is_string() => (&Type::String, true),
        Type::IntOrString if !value.is_string() => (&Type::Int32, true),
        _ => (r#type, false),
    };
    if !ends && let Some(text) = own_problem(r#type, value) {
        return Some(Misfit { text, ends: !matches!(r#type, Type::Bytes) });
    }
    let wanted = || match place.declared(root).filter(|_| !ends) {
        Some(name) => name.to_owned(),
        None => go_type(decoded, schema),
    };
    let path = || place.without_indices(root);
    type_problem(decoded, value, literal, wanted, path, structure).map(|text| Misfit { text, ends })
}

/// What is wrong with a value for a type that has a decoder of its own.
pub(super) fn own_problem(r#type: &Type, value: &Value) -> Option<String> {
    match (r#type, value) {
        (Type::Quantity, Value::String(text)) => Quantity::parse(text).err().map(|error| error.to_string()),
        (Type::Quantity, value) => Quantity::parse(&value.to_string()).err().map(|error| error.to_string()),
        (Type::Time | Type::MicroTime, Value::String(text)) => {
            let layout = if *r#type == Type::MicroTime { layout::MICROSECONDS } else { layout::SECONDS };
            layout.problem(text)
        }
        (Type::IntOrString, Value::String(_)) => None,
        (Type::IntOrString, Value::Number(number)) if is_int32(number) => None,
        // These do not know the field that they stand in.
        (Type::Time | Type::MicroTime, value) => {
            Some(format!("json: cannot unmarshal {} into Go value of type string", type_of(value)))
        }
        (Type::IntOrString, value) => {
            let found = found(&Type::Int32, value, None);
            Some(format!("json: cannot unmarshal {found} into Go value of type int32"))
        }
        (Type::Bytes, Value::String(text)) => {
            base64_problem(text).map(|offset| format!("illegal base64 data at input byte {offset}"))
        }
        _ => None,
    }
}

/// What is wrong with the type of a value. `structure` is the name of the innermost object with known fields.
fn type_problem(
    r#type: &Type,
    value: &Value,
    literal: Option<&str>,
    wanted: impl FnOnce() -> String,
    path: impl FnOnce() -> String,
    structure: &str,
) -> Option<String> {
    let fits = match (r#type, value) {
        (Type::String | Type::Bytes, Value::String(_)) | (Type::Boolean, Value::Bool(_)) => true,
        (Type::Number, Value::Number(_)) => {
            literal.is_none_or(|literal| literal.parse::<f64>().is_ok_and(f64::is_finite))
        }
        (Type::Int32, Value::Number(number)) => is_int32(number),
        (Type::Int64, Value::Number(number)) => number.as_i64().is_some(),
        (Type::Quantity | Type::Time | Type::MicroTime | Type::IntOrString, _) => true,
        _ => false,
    };
    if fits {
        return None;
    }
    let (found, wanted) = (found(r#type, value, literal), wanted());
    Some(if structure.is_empty() {
        format!("json: cannot unmarshal {found} into Go value of type {wanted}")
    } else {
        let path = path();
        format!("json: cannot unmarshal {found} into Go struct field {structure}.{path} of type {wanted}")
    })
}

fn is_int32(number: &serde_json::Number) -> bool {
    number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

/// What a decoder calls a value that is of a wrong type.
fn found(wanted: &Type, value: &Value, literal: Option<&str>) -> String {
    match value {
        Value::Number(number) if matches!(wanted, Type::Int32 | Type::Int64 | Type::Number) => {
            format!("number {}", literal.map_or_else(|| number.to_string(), str::to_owned))
        }
        value => type_of(value).into(),
    }
}

/// The last part of a definition's name.
pub(super) fn short_name(definition: &str) -> &str {
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
pub fn base64_problem(text: &str) -> Option<usize> {
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
