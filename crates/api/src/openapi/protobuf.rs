//! The protobuf form of the version 2 document, which older kubectl insist on.
//!
//! The messages are those of gnostic's `openapiv2/OpenAPIv2.proto`; field numbers are named after
//! the fields there.

use serde_json::{Map, Value};

/// Writes the document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, document, "swagger");
    message.message(2, |info| {
        info.text(1, &document["info"], "title");
        info.text(2, &document["info"], "version");
    });
    message.message(8, |paths| {
        for (name, item) in fields(&document["paths"]) {
            paths.named(2, name, |message| path_item(message, item));
        }
    });
    message.message(9, |definitions| {
        for (name, definition) in fields(&document["definitions"]) {
            definitions.named(1, name, |message| schema(message, definition));
        }
    });
    message.0
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn path_item(message: &mut Message, item: &Value) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(found) = item.get(method) {
            message.message(number, |message| operation(message, found));
        }
    }
    parameters(message, 9, &item["parameters"]);
}

fn operation(message: &mut Message, operation: &Value) {
    message.text(5, operation, "operationId");
    message.texts(6, &operation["produces"]);
    message.texts(7, &operation["consumes"]);
    parameters(message, 8, &operation["parameters"]);
    message.message(9, |responses| {
        for (code, answer) in fields(&operation["responses"]) {
            responses.named(1, code, |value| {
                value.message(1, |response| {
                    response.text(1, answer, "description");
                    response.message(2, |item| item.message(1, |message| schema(message, &answer["schema"])));
                });
            });
        }
    });
    message.texts(10, &operation["schemes"]);
    message.extensions(13, operation);
}

fn parameters(message: &mut Message, number: u32, parameters: &Value) {
    for parameter in items(parameters) {
        // ParametersItem.parameter, then Parameter's choice of kinds.
        message.message(number, |item| {
            item.message(1, |choice| match parameter["in"].as_str() {
                Some("body") => choice.message(1, |body| {
                    body.text(2, parameter, "name");
                    body.text(3, parameter, "in");
                    body.boolean(4, parameter, "required");
                    body.message(5, |message| schema(message, &parameter["schema"]));
                }),
                Some("path") => choice.message(2, |choice| {
                    choice.message(4, |path| {
                        path.boolean(1, parameter, "required");
                        path.text(2, parameter, "in");
                        path.text(4, parameter, "name");
                        path.text(5, parameter, "type");
                        path.boolean(19, parameter, "uniqueItems");
                    });
                }),
                _ => choice.message(2, |choice| {
                    choice.message(3, |query| {
                        query.text(2, parameter, "in");
                        query.text(4, parameter, "name");
                        query.text(6, parameter, "type");
                        query.boolean(20, parameter, "uniqueItems");
                    });
                }),
            });
        });
    }
}

fn schema(message: &mut Message, value: &Value) {
    message.text(1, value, "$ref");
    message.text(2, value, "format");
    message.texts(19, &value["required"]);
    if let Some(values) = value.get("additionalProperties") {
        message.message(21, |item| item.message(1, |message| schema(message, values)));
    }
    if value.get("type").is_some() {
        message.message(22, |item| item.text(1, value, "type"));
    }
    if let Some(items) = value.get("items") {
        message.message(23, |item| item.message(1, |message| schema(message, items)));
    }
    if let Some(properties) = value.get("properties") {
        message.message(25, |message| {
            for (name, property) in fields(properties) {
                message.named(1, name, |message| schema(message, property));
            }
        });
    }
    message.extensions(31, value);
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text field; left out if the source has none.
    fn text(&mut self, number: u32, source: &Value, field: &str) {
        if let Some(text) = source.get(field).and_then(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u32, source: &Value) {
        items(source).filter_map(Value::as_str).for_each(|text| self.bytes(number, text.as_bytes()));
    }

    fn boolean(&mut self, number: u32, source: &Value, field: &str) {
        if source.get(field).and_then(Value::as_bool) == Some(true) {
            self.varint(u64::from(number) << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// An entry of a map, which gnostic writes as a pair of name and value.
    fn named(&mut self, number: u32, name: &str, write: impl FnOnce(&mut Message)) {
        self.message(number, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, write);
        });
    }

    /// All fields whose name begins with `x-`; their values are written as YAML, which JSON is.
    fn extensions(&mut self, number: u32, source: &Value) {
        for (name, value) in fields(source).filter(|(name, _)| name.starts_with("x-")) {
            self.named(number, name, |any| any.bytes(2, value.to_string().as_bytes()));
        }
    }
}
