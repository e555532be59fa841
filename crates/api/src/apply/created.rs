//! The first manager of a new object, written in one walk.

use serde_json::Value;

use super::managers::Operation;
use super::walk::{self, Parts};
use super::{Manager, fields};
use crate::description::{Schema, Type};
use crate::time;

/// The encoded `managedFields` of a new object that names no managers yet: `manager` owns all of it.
///
/// What [`super::track_update`] records for such an object, without building the sets of paths.
/// `None` if nobody owns anything.
pub fn managers_of_new(object: &Value, schema: Schema<'_>, manager: &Manager<'_>) -> Option<Vec<u8>> {
    let mut owned = Paths { bytes: Vec::with_capacity(2048), empty: true };
    owned.bytes.extend_from_slice(b"[{\"apiVersion\":");
    owned.text(manager.api_version);
    owned.bytes.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{");
    for (name, value) in object.as_object()?.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind"))
    {
        let inner = schema.field(name);
        match (name.as_str(), value) {
            ("metadata", Value::Object(metadata)) => {
                let kept = |name: &str| fields::IDENTITY.contains(&name);
                let metadata = metadata.iter().filter(|(name, _)| !kept(name));
                owned.group("f:metadata", Member::No, |owned| {
                    for (name, value) in metadata {
                        owned.field(name, value, inner.and_then(|inner| inner.field(name)), Member::No);
                    }
                });
            }
            _ => owned.field(name, value, inner, Member::No),
        }
    }
    if owned.empty {
        return None;
    }
    owned.bytes.extend_from_slice(b"},\"manager\":");
    owned.text(manager.name);
    owned.bytes.extend_from_slice(b",\"operation\":");
    owned.text(Operation::Update.name());
    if !manager.subresource.is_empty() {
        owned.bytes.extend_from_slice(b",\"subresource\":");
        owned.text(manager.subresource);
    }
    owned.bytes.extend_from_slice(b",\"time\":");
    owned.text(&time::format(manager.now));
    owned.bytes.extend_from_slice(b"}]");
    Some(owned.bytes)
}

/// Whether a path ends at an element whatever is behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Yes,
    No,
}

/// A set of paths as it is written.
struct Paths {
    bytes: Vec<u8>,
    /// Nothing was written at this level yet.
    empty: bool,
}

impl Paths {
    fn text(&mut self, text: &str) {
        serde_json::to_writer(&mut self.bytes, text).expect("writing to memory cannot fail");
    }

    /// A field of an object or a value of a map; of the latter the paths end here.
    fn field(&mut self, name: &str, value: &Value, schema: Option<Schema<'_>>, is_item: Member) {
        let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        if name.bytes().all(plain) {
            self.element(
                |bytes| [b"\"f:", name.as_bytes(), b"\""].iter().for_each(|part| bytes.extend(*part)),
                value,
                schema,
                is_item,
            );
        } else {
            let name = Value::from(format!("f:{name}")).to_string();
            self.element(|bytes| bytes.extend(name.as_bytes()), value, schema, is_item);
        }
    }

    fn element(&mut self, key: impl FnOnce(&mut Vec<u8>), value: &Value, schema: Option<Schema<'_>>, is_item: Member) {
        let is_whole = matches!(walk::parts(value, schema), Parts::Whole);
        let is_empty = match value {
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        let is_leaf = is_whole || is_empty;
        let is_container =
            walk::is_map(schema) || schema.is_some_and(|schema| matches!(schema.r#type(), Type::List(_)));
        let is_member = if is_leaf || is_container { Member::Yes } else { is_item };
        self.keyed(key, is_member, |paths| {
            if !is_leaf {
                paths.children(value, schema);
            }
        });
    }

    fn children(&mut self, value: &Value, schema: Option<Schema<'_>>) {
        match walk::parts(value, schema) {
            Parts::Whole => {}
            Parts::Object(fields) => {
                let is_item = if walk::is_map(schema) { Member::Yes } else { Member::No };
                for (name, value) in fields {
                    self.field(name, value, schema.and_then(|schema| schema.field(name)), is_item);
                }
            }
            Parts::List(items) => {
                for (element, item) in walk::index(items, schema) {
                    let key = Value::from(element).to_string();
                    self.element(
                        |bytes| bytes.extend(key.as_bytes()),
                        item,
                        schema.and_then(Schema::items),
                        Member::Yes,
                    );
                }
            }
        }
    }

    fn group(&mut self, element: &str, member: Member, children: impl FnOnce(&mut Self)) {
        self.keyed(
            |bytes| [b"\"", element.as_bytes(), b"\""].iter().for_each(|part| bytes.extend(*part)),
            member,
            children,
        );
    }

    /// Writes an element with what `children` writes; nothing if the path does not end here and no
    /// longer one does.
    fn keyed(&mut self, key: impl FnOnce(&mut Vec<u8>), member: Member, children: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        if !self.empty {
            self.bytes.push(b',');
        }
        key(&mut self.bytes);
        self.bytes.extend_from_slice(b":{");
        let inside = self.bytes.len();
        let was_empty = std::mem::replace(&mut self.empty, member == Member::No);
        if member == Member::Yes {
            self.bytes.extend_from_slice(b"\".\":{}");
        }
        let before = self.bytes.len();
        children(self);
        let has_children = self.bytes.len() > before;
        match (member, has_children) {
            (Member::No, false) => {
                self.bytes.truncate(start);
                self.empty = was_empty;
                return;
            }
            // A path that only ends here is an empty set.
            (Member::Yes, false) => self.bytes.truncate(inside),
            _ => {}
        }
        self.bytes.push(b'}');
        self.empty = false;
    }
}
