//! The protobuf form of the version 2 document, which older kubectl insist on.
//!
//! The messages are those of gnostic's `openapiv2/OpenAPIv2.proto`, as tables of the fields' numbers. They are
//! complete for what documents of Kubernetes and of servers that extend it hold.

use serde_json::Value;

use self::Form::{All, Any, Anys, Boolean, Extensions, Fields, Integer, List, Named, Number, Text, Texts, Write};

/// How a field is written.
enum Form {
    Text,
    Texts,
    Boolean,
    Integer,
    Number,
    /// Any value. It is written as YAML, which JSON is.
    Any,
    Anys,
    /// Every field whose name begins with `x-`.
    Extensions,
    /// A message.
    Fields(&'static [Field]),
    /// A message for each item.
    List(Writer),
    /// A message with a pair of name and value for each entry, below a field of this number.
    Named(u32, Writer),
    /// The pairs themselves.
    All(Writer),
    /// Whatever does not follow from the field alone.
    Write(Writer),
}

type Writer = fn(&mut Message, &Value);

/// A field's number, its name in the document, and how it is written.
type Field = (u32, &'static str, Form);

/// Writes the document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.fields(DOCUMENT, document);
    message.0
}

const DOCUMENT: &[Field] = &[
    (1, "swagger", Text),
    (2, "info", Fields(&[(1, "title", Text), (2, "version", Text), (3, "description", Text)])),
    (8, "paths", Named(2, |message, item| message.fields(PATH_ITEM, item))),
    (9, "definitions", Named(1, schema)),
    (10, "parameters", Named(1, parameter)),
];

const PATH_ITEM: &[Field] = &[
    (2, "get", Fields(OPERATION)),
    (3, "put", Fields(OPERATION)),
    (4, "post", Fields(OPERATION)),
    (5, "delete", Fields(OPERATION)),
    (6, "options", Fields(OPERATION)),
    (7, "head", Fields(OPERATION)),
    (8, "patch", Fields(OPERATION)),
    (9, "parameters", List(parameter_or_reference)),
    (10, "", Extensions),
];

const OPERATION: &[Field] = &[
    (1, "tags", Texts),
    (2, "summary", Text),
    (3, "description", Text),
    (5, "operationId", Text),
    (6, "produces", Texts),
    (7, "consumes", Texts),
    (8, "parameters", List(parameter_or_reference)),
    (9, "responses", Named(1, response)),
    (10, "schemes", Texts),
    (11, "deprecated", Boolean),
    (12, "security", List(|message, item| message.fields(&[(1, "", All(scopes))], item))),
    (13, "", Extensions),
];

const RESPONSE: &[Field] = &[
    (1, "description", Text),
    (2, "schema", Write(|message, value| message.message(1, |message| schema(message, value)))),
    (5, "", Extensions),
];

const REFERENCE: &[Field] = &[(1, "$ref", Text), (2, "description", Text)];

const BODY: &[Field] = &[
    (1, "description", Text),
    (2, "name", Text),
    (3, "in", Text),
    (4, "required", Boolean),
    (5, "schema", Write(schema)),
    (6, "", Extensions),
];

/// Of a parameter in the path or in a header.
const PLAIN_PARAMETER: &[Field] = &[
    (1, "required", Boolean),
    (2, "in", Text),
    (3, "description", Text),
    (4, "name", Text),
    (5, "type", Text),
    (6, "format", Text),
    (7, "items", Fields(ITEMS)),
    (8, "collectionFormat", Text),
    (9, "default", Any),
    (10, "maximum", Number),
    (11, "exclusiveMaximum", Boolean),
    (12, "minimum", Number),
    (13, "exclusiveMinimum", Boolean),
    (14, "maxLength", Integer),
    (15, "minLength", Integer),
    (16, "pattern", Text),
    (17, "maxItems", Integer),
    (18, "minItems", Integer),
    (19, "uniqueItems", Boolean),
    (20, "enum", Anys),
    (21, "multipleOf", Number),
    (22, "", Extensions),
];

/// Of a parameter in the query or in a form.
const QUERY_PARAMETER: &[Field] = &[
    (1, "required", Boolean),
    (2, "in", Text),
    (3, "description", Text),
    (4, "name", Text),
    (5, "allowEmptyValue", Boolean),
    (6, "type", Text),
    (7, "format", Text),
    (8, "items", Fields(ITEMS)),
    (9, "collectionFormat", Text),
    (10, "default", Any),
    (11, "maximum", Number),
    (12, "exclusiveMaximum", Boolean),
    (13, "minimum", Number),
    (14, "exclusiveMinimum", Boolean),
    (15, "maxLength", Integer),
    (16, "minLength", Integer),
    (17, "pattern", Text),
    (18, "maxItems", Integer),
    (19, "minItems", Integer),
    (20, "uniqueItems", Boolean),
    (21, "enum", Anys),
    (22, "multipleOf", Number),
    (23, "", Extensions),
];

/// Of the items of a parameter.
const ITEMS: &[Field] = &[
    (1, "type", Text),
    (2, "format", Text),
    (3, "items", Write(|message, value| message.fields(ITEMS, value))),
    (4, "collectionFormat", Text),
    (5, "default", Any),
    (15, "uniqueItems", Boolean),
    (16, "enum", Anys),
    (18, "", Extensions),
];

const SCHEMA: &[Field] = &[
    (1, "$ref", Text),
    (2, "format", Text),
    (3, "title", Text),
    (4, "description", Text),
    (5, "default", Any),
    (6, "multipleOf", Number),
    (7, "maximum", Number),
    (8, "exclusiveMaximum", Boolean),
    (9, "minimum", Number),
    (10, "exclusiveMinimum", Boolean),
    (11, "maxLength", Integer),
    (12, "minLength", Integer),
    (13, "pattern", Text),
    (14, "maxItems", Integer),
    (15, "minItems", Integer),
    (16, "uniqueItems", Boolean),
    (17, "maxProperties", Integer),
    (18, "minProperties", Integer),
    (19, "required", Texts),
    (20, "enum", Anys),
    (21, "additionalProperties", Write(additional_properties)),
    (22, "type", Write(types)),
    (23, "items", Write(items)),
    (24, "allOf", List(schema)),
    (25, "properties", Named(1, schema)),
    (26, "discriminator", Text),
    (27, "readOnly", Boolean),
    (30, "example", Any),
    (31, "", Extensions),
];

fn schema(message: &mut Message, value: &Value) {
    message.fields(SCHEMA, value);
}

fn additional_properties(message: &mut Message, value: &Value) {
    match value {
        Value::Bool(is_allowed) => message.number(2, u64::from(*is_allowed)),
        _ => message.message(1, |message| schema(message, value)),
    }
}

/// One type or several.
fn types(message: &mut Message, value: &Value) {
    each(value).filter_map(Value::as_str).for_each(|text| message.bytes(1, text.as_bytes()));
}

/// The schema of all items or the schemas of each.
fn items(message: &mut Message, value: &Value) {
    each(value).for_each(|item| message.message(1, |message| schema(message, item)));
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter()
}

fn response(message: &mut Message, value: &Value) {
    match value.get("$ref") {
        Some(_) => message.message(2, |message| message.fields(REFERENCE, value)),
        None => message.message(1, |message| message.fields(RESPONSE, value)),
    }
}

fn parameter_or_reference(message: &mut Message, value: &Value) {
    match value.get("$ref") {
        Some(_) => message.message(2, |message| message.fields(REFERENCE, value)),
        None => message.message(1, |message| parameter(message, value)),
    }
}

fn parameter(message: &mut Message, value: &Value) {
    let (number, fields) = match value["in"].as_str() {
        Some("body") => return message.message(1, |message| message.fields(BODY, value)),
        Some("header") => (1, PLAIN_PARAMETER),
        Some("formData") => (2, QUERY_PARAMETER),
        Some("path") => (4, PLAIN_PARAMETER),
        _ => (3, QUERY_PARAMETER),
    };
    message.message(2, |choice| choice.message(number, |message| message.fields(fields, value)));
}

/// What a caller needs to be allowed, by a way to prove who it is.
fn scopes(message: &mut Message, value: &Value) {
    message.texts(1, value);
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Writes the fields that are there; one without a name is about the message itself. What is of another form
    /// than it should be is left out.
    fn fields(&mut self, fields: &[Field], source: &Value) {
        for (number, name, form) in fields {
            let value = if name.is_empty() { Some(source) } else { source.get(name) };
            if let Some(value) = value {
                self.field(*number, form, value);
            }
        }
    }

    fn field(&mut self, number: u32, form: &Form, value: &Value) {
        match form {
            Text => {
                if let Some(text) = value.as_str() {
                    self.bytes(number, text.as_bytes());
                }
            }
            Texts => self.texts(number, value),
            Boolean => {
                if value == true {
                    self.number(number, 1);
                }
            }
            // Counts below nothing mean nothing.
            Integer => {
                if let Some(value) = value.as_u64() {
                    self.number(number, value);
                }
            }
            Number => {
                if let Some(value) = value.as_f64() {
                    self.varint(u64::from(number) << 3 | 1);
                    self.0.extend_from_slice(&value.to_le_bytes());
                }
            }
            Any => self.any(number, value),
            Anys => value.as_array().into_iter().flatten().for_each(|value| self.any(number, value)),
            Fields(fields) => self.message(number, |message| message.fields(fields, value)),
            List(write) => {
                for item in value.as_array().into_iter().flatten() {
                    self.message(number, |message| write(message, item));
                }
            }
            Named(inner, write) => self.message(number, |message| message.pairs(*inner, value, *write)),
            All(write) => self.pairs(number, value, *write),
            Extensions => self.extensions(number, value),
            Write(write) => self.message(number, |message| write(message, value)),
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, number: u32, value: u64) {
        self.varint(u64::from(number) << 3);
        self.varint(value);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn texts(&mut self, number: u32, value: &Value) {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.for_each(|text| self.bytes(number, text.as_bytes()));
    }

    fn any(&mut self, number: u32, value: &Value) {
        self.message(number, |any| any.bytes(2, value.to_string().as_bytes()));
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// The entries of a map, each of which gnostic writes as a pair of name and value.
    fn pairs(&mut self, number: u32, entries: &Value, write: Writer) {
        for (name, value) in entries.as_object().into_iter().flatten() {
            self.message(number, |pair| {
                pair.bytes(1, name.as_bytes());
                pair.message(2, |message| write(message, value));
            });
        }
    }

    fn extensions(&mut self, number: u32, entries: &Value) {
        let entries = entries.as_object().into_iter().flatten();
        for (name, value) in entries.filter(|(name, _)| name.starts_with("x-")) {
            self.message(number, |pair| {
                pair.bytes(1, name.as_bytes());
                pair.any(2, value);
            });
        }
    }
}
