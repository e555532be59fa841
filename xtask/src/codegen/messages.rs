//! The table of protobuf messages.
//!
//! ```text
//! io.k8s.api.core.v1.Volume
//!  1 name! string
//!  2 - &io.k8s.api.core.v1.VolumeSource
//! ```
//!
//! A field is its number, its name in JSON and its type. `!` marks a field whose zero value is
//! kept; `-` stands for a message whose fields are, in JSON, fields of the object around it.

use super::*;

const SPECIAL: [(&str, &str); 6] = [
    ("k8s.io.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1", "json"),
    ("k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime", "micro-time"),
    ("k8s.io.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("k8s.io.apimachinery.pkg.runtime.RawExtension", "json"),
    ("k8s.io.apimachinery.pkg.util.intstr.IntOrString", "int-or-string"),
];

/// Packages whose kinds are only read as JSON: the schema inside a custom resource definition has
/// several shapes in one message, and no published example shows them.
const LEFT_OUT: [&str; 1] = ["k8s.io.apiextensions_apiserver."];

/// Writes the messages that the definitions need.
pub(super) fn render(definitions: &BTreeMap<&str, &Value>, messages: &Value, presence: &str) -> Result<String> {
    let messages = messages.as_object().context("the list of protobuf fields is not an object")?;
    let names: BTreeMap<String, &str> = definitions.keys().map(|name| (message_name(name), *name)).collect();
    let tables = Tables { definitions, messages, names, presence: read_presence(presence) };
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut queue: Vec<(String, Option<&Value>)> = tables
        .names
        .keys()
        .filter(|name| messages.contains_key(*name) && simple(name).is_none())
        .filter(|name| !LEFT_OUT.iter().any(|package| name.starts_with(package)))
        .map(|name| (name.clone(), None))
        .collect();
    while let Some((name, around)) = queue.pop() {
        let text = tables.message(&name, around, &mut queue).with_context(|| name.clone())?;
        let key = tables.definition_name(&name);
        match texts.get(&key) {
            Some(known) if *known == text => {}
            Some(_) => bail!("{key} differs by what is around it"),
            None => _ = texts.insert(key, text),
        }
    }
    let mut all = String::new();
    for (name, fields) in texts {
        writeln!(all, "{name}\n{}", fields.trim_end_matches('\n'))?;
    }
    Ok(all)
}

struct Tables<'a> {
    definitions: &'a BTreeMap<&'a str, &'a Value>,
    messages: &'a Map<String, Value>,
    /// Definitions by the names of their messages.
    names: BTreeMap<String, &'a str>,
    presence: BTreeSet<(String, String)>,
}

impl<'a> Tables<'a> {
    fn definition_name(&self, message: &str) -> String {
        let name = self.names.get(message).map(|name| (*name).to_owned());
        name.unwrap_or_else(|| message.replacen("k8s.io.", "io.k8s.", 1))
    }

    /// The fields of a message. One without a definition takes its names from the object around it.
    fn message(
        &self,
        name: &str,
        around: Option<&'a Value>,
        queue: &mut Vec<(String, Option<&'a Value>)>,
    ) -> Result<String> {
        let definition = self.names.get(name).map(|found| self.definitions[found]).or(around);
        let definition = definition.context("no definition")?;
        let required: BTreeSet<&str> = definition
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut lines = BTreeMap::new();
        for (field, shape) in self.messages[name].as_object().context("a message is an object")? {
            let (number, r#type, label) = parts(shape).with_context(|| field.clone())?;
            let Some(json_name) = property(definition, field) else {
                // Either inlined, or newer than the document.
                if self.is_inline(r#type, definition) && label == "optional" {
                    lines.insert(number, format!(" {number} - &{}\n", self.definition_name(r#type)));
                    let has_definition = self.names.contains_key(r#type);
                    queue.push((r#type.to_owned(), (!has_definition).then_some(definition)));
                }
                continue;
            };
            let kept = required.contains(json_name) || self.presence.contains(&(name.to_owned(), field.to_owned()));
            let mark = if kept { "!" } else { "" };
            let prefix = match label {
                "repeated" => "[]",
                "map" => "{}",
                _ => "",
            };
            let value = match label {
                "map" => r#type.strip_prefix("string,").context("the keys of a map are not text")?,
                _ => r#type,
            };
            let value = self.type_of(value).with_context(|| field.clone())?;
            lines.insert(number, format!(" {number} {json_name}{mark} {prefix}{value}\n"));
        }
        Ok(lines.into_values().collect())
    }

    fn type_of(&self, r#type: &str) -> Result<String> {
        if !r#type.contains('.') {
            return Ok(r#type.to_owned());
        }
        if let Some(simple) = simple(r#type) {
            return Ok(simple.to_owned());
        }
        if let Some(name) = self.names.get(r#type) {
            return Ok(format!("&{name}"));
        }
        // A list of text that is a message only because maps cannot hold lists.
        let fields = self.messages.get(r#type).and_then(Value::as_object).context("no such message")?;
        match fields.get("items").map(parts).transpose()? {
            Some((1, "string", "repeated")) if fields.len() == 1 => Ok("strings".to_owned()),
            _ => bail!("{} has no definition", r#type),
        }
    }

    fn is_inline(&self, message: &str, around: &Value) -> bool {
        let fields = self.messages.get(message).and_then(Value::as_object).into_iter().flatten();
        simple(message).is_none()
            && fields.into_iter().any(|(field, shape)| {
                property(around, field).is_some()
                    || parts(shape)
                        .is_ok_and(|(_, r#type, _)| r#type.contains('.') && self.is_inline_below(r#type, around))
            })
    }

    /// One level deeper is as deep as inlined messages nest.
    fn is_inline_below(&self, message: &str, around: &Value) -> bool {
        let fields = self.messages.get(message).and_then(Value::as_object).into_iter().flatten();
        self.names.contains_key(message) && fields.into_iter().any(|(field, _)| property(around, field).is_some())
    }
}

fn simple(message: &str) -> Option<&'static str> {
    SPECIAL.iter().find(|(special, _)| *special == message).map(|(_, simple)| *simple)
}

/// `io.k8s.kube-aggregator.pkg` is the package `k8s.io.kube_aggregator.pkg`.
fn message_name(definition: &str) -> String {
    definition.replacen("io.k8s.", "k8s.io.", 1).replace('-', "_")
}

/// Number, type and label.
fn parts(shape: &Value) -> Result<(u64, &str, &str)> {
    match shape.as_array().map(Vec::as_slice) {
        Some([number, Value::String(r#type), Value::String(label)]) => {
            Ok((number.as_u64().context("no number")?, r#type, label))
        }
        _ => bail!("a field is not [number, type, label]"),
    }
}

/// The property that a field is in JSON: `uID` is `uid`.
fn property<'a>(definition: &'a Value, field: &str) -> Option<&'a str> {
    let properties = definition.get("properties").and_then(Value::as_object)?;
    properties.keys().map(String::as_str).find(|name| name.eq_ignore_ascii_case(field))
}

fn read_presence(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .flat_map(|(message, fields)| fields.split(' ').map(|field| (message.to_owned(), field.to_owned())))
        .collect()
}
