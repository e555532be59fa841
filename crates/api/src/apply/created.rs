//! The first manager of a new object, written in one walk.

use serde_json::Value;

use super::managers::Operation;
use super::shape::{self, Item, Parts, Place};
use super::{Kind, Manager, always, fields};
use crate::time;

/// The encoded `managedFields` of a new object that names no managers yet: `manager` owns all of it.
///
/// What [`super::track_update`] records for such an object, without building the sets of paths.
/// `None` if nobody owns anything.
pub fn managers_of_new(object: &Value, kind: &Kind<'_>, manager: &Manager<'_>) -> Option<Vec<u8>> {
    let mut owned = Paths { bytes: Vec::with_capacity(2048), empty: true };
    let schema = Some(kind.schema);
    let is_ignored = |path: &[&str]| kind.ignored.contains(&path);
    owned.bytes.extend_from_slice(b"[{\"apiVersion\":");
    owned.text(manager.api_version);
    owned.bytes.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{");
    for (name, value) in object.as_object()? {
        match (name.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            (name, _) if is_ignored(&[name]) => {}
            ("metadata", Value::Object(metadata)) => {
                let place = shape::field(schema, "metadata");
                owned.group("f:metadata", Member::No, |owned| {
                    for (name, value) in metadata {
                        if !fields::IDENTITY.contains(&name.as_str()) && !is_ignored(&["metadata", name]) {
                            owned.field(name, value, place, Before::There);
                        }
                    }
                });
            }
            (name, value) => owned.field(name, value, schema, Before::There),
        }
    }
    if owned.empty {
        return None;
    }
    owned.bytes.extend_from_slice(b"},\"manager\":");
    owned.text(if manager.name.is_empty() { "unknown" } else { manager.name });
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

/// Whether the object around a value was there before, in upstream's eyes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    There,
    Absent,
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

    /// A field of an object.
    fn field(&mut self, name: &str, value: &Value, around: Place<'_>, before: Before) {
        let inner = shape::field(around, name);
        let zero = match before {
            Before::There => always::zero(around, name, inner),
            Before::Absent => None,
        };
        if zero.as_ref() == Some(value) {
            return;
        }
        let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        let key = |bytes: &mut Vec<u8>| {
            if name.bytes().all(plain) {
                [b"\"f:", name.as_bytes(), b"\""].iter().for_each(|part| bytes.extend(*part));
            } else {
                bytes.extend(Value::from(format!("f:{name}")).to_string().as_bytes());
            }
        };
        self.element(key, value, inner, zero.as_ref());
    }

    /// A field or item that was `zero` before, or was not there.
    fn element(&mut self, key: impl FnOnce(&mut Vec<u8>), value: &Value, place: Place<'_>, zero: Option<&Value>) {
        let is_leaf = matches!(shape::parts(value, place), Parts::Whole) || shape::is_empty(value);
        let member = if is_leaf || zero.is_none() { Member::Yes } else { Member::No };
        let before = if zero.is_some_and(Value::is_object) { Before::There } else { Before::Absent };
        self.keyed(key, member, |paths| {
            if !is_leaf {
                paths.children(value, place, before);
            }
        });
    }

    fn children(&mut self, value: &Value, place: Place<'_>, before: Before) {
        match shape::parts(value, place) {
            Parts::Whole => {}
            Parts::Object(fields) => {
                for (name, value) in fields {
                    self.field(name, value, place, before);
                }
            }
            Parts::List(list) => {
                for (element, item) in shape::index(list, place) {
                    let key = Value::from(element).to_string();
                    let write = |bytes: &mut Vec<u8>| bytes.extend(key.as_bytes());
                    match item {
                        Item::Single(item) => self.element(write, item, shape::items(place), None),
                        Item::Several(_) => self.keyed(write, Member::Yes, |_| {}),
                    }
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
