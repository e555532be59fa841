//! Objects in YAML, byte for byte as clients know them from Kubernetes.
//!
//! Source: `sigs.k8s.io/yaml`, which writes with the second version of Go's YAML library: long texts are broken at
//! spaces, lists stand below their field without indentation, and texts that another reader could take for something
//! else are quoted.

mod keys;
mod scalar;

use serde_json::{Map, Value};

use self::scalar::{Place, Style};

/// The longest field name that stands on the line of its value, in bytes.
const LONGEST_SIMPLE_NAME: usize = 128;

/// How many spaces each level is indented.
const INDENT: usize = 2;

/// Writes a value, fields in their natural order.
pub fn encode(value: &Value) -> String {
    let mut writer = Writer::default();
    match value {
        Value::Object(fields) if !fields.is_empty() => writer.fields(fields, 0, Begins::Here),
        Value::Array(items) if !items.is_empty() => writer.items(items, 0, Begins::Here),
        value => writer.leaf(value, INDENT),
    }
    if !writer.0.ends_with('\n') {
        writer.0.push('\n');
    }
    writer.0
}

/// Where the first entry of a block stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// Behind what is on the line already.
    Here,
    /// On a line of its own.
    Below,
}

#[derive(Default)]
struct Writer(String);

impl Writer {
    fn fields(&mut self, fields: &Map<String, Value>, indent: usize, begins: Begins) {
        for (index, (name, value)) in keys::sorted(fields).into_iter().enumerate() {
            if index > 0 || begins == Begins::Below {
                self.line(indent);
            }
            if name.len() > LONGEST_SIMPLE_NAME || scalar::has_breaks(name) {
                self.0.push_str("? ");
                scalar::write(&mut self.0, name, Style::of(name), Place::Block(indent + INDENT));
                self.line(indent);
                self.0.push_str(": ");
                self.block(value, indent, Begins::Here);
                continue;
            }
            scalar::write(&mut self.0, name, Style::of(name), Place::Name);
            self.0.push(':');
            match value {
                // As far out as the field: upstream's lists are not indented.
                Value::Array(items) if !items.is_empty() => self.items(items, indent, Begins::Below),
                Value::Object(fields) if !fields.is_empty() => self.fields(fields, indent + INDENT, Begins::Below),
                value => {
                    self.0.push(' ');
                    self.leaf(value, indent + INDENT);
                }
            }
        }
    }

    fn items(&mut self, items: &[Value], indent: usize, begins: Begins) {
        for (index, value) in items.iter().enumerate() {
            if index > 0 || begins == Begins::Below {
                self.line(indent);
            }
            self.0.push_str("- ");
            self.block(value, indent, Begins::Here);
        }
    }

    /// A value that is indented by one level more than what it is in.
    fn block(&mut self, value: &Value, indent: usize, begins: Begins) {
        match value {
            Value::Object(fields) if !fields.is_empty() => self.fields(fields, indent + INDENT, begins),
            Value::Array(items) if !items.is_empty() => self.items(items, indent + INDENT, begins),
            value => self.leaf(value, indent + INDENT),
        }
    }

    fn leaf(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.0.push_str("null"),
            Value::Bool(value) => self.0.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => self.0.push_str(&scalar::number(number)),
            Value::String(text) => scalar::write(&mut self.0, text, Style::of(text), Place::Block(indent)),
            Value::Array(_) => self.0.push_str("[]"),
            Value::Object(_) => self.0.push_str("{}"),
        }
    }

    /// Begins a line; a text in lines of its own may have ended the one before.
    fn line(&mut self, indent: usize) {
        if !self.0.ends_with('\n') {
            self.0.push('\n');
        }
        self.0.extend(std::iter::repeat_n(' ', indent));
    }
}

#[cfg(test)]
mod tests;
