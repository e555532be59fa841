//! The first manager of a new object, written in one walk.

use serde_json::Value;

use super::encoded::{self, By};
use super::managers::Operation;
use super::paths::{Key, Member, Paths};
use super::shape::{self, Item, Parts, Place};
use super::{Kind, Manager, always, fields};
use crate::time;

/// The encoded `managedFields` of a new object that names no managers yet: `manager` owns all of it.
///
/// What [`super::track_update`] records for such an object, without building the sets of paths.
/// `None` if nobody owns anything.
pub fn managers_of_new(object: &Value, kind: &Kind<'_>, manager: &Manager<'_>) -> Option<Vec<u8>> {
    let mut owned = Paths::new();
    let schema = Some(kind.schema);
    let is_ignored = |path: &[&str]| kind.ignored.contains(&path);
    owned.bytes.push(b'[');
    encoded::begin(manager.api_version, &mut owned.bytes);
    for (name, value) in object.as_object()? {
        match (name.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            (name, _) if is_ignored(&[name]) => {}
            ("metadata", Value::Object(metadata)) => {
                let place = shape::field(schema, "metadata");
                owned.keyed(Key::Field("metadata"), Member::No, |owned| {
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
    let by = By {
        manager: manager.recorded_name(),
        operation: Operation::Update,
        subresource: manager.subresource,
        time: Some(&time::format(manager.now)),
    };
    encoded::end(&by, &mut owned.bytes);
    owned.bytes.push(b']');
    Some(owned.bytes)
}

/// Whether the object around a value was there before, in upstream's eyes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    There,
    Absent,
}

impl Paths {
    /// A field of an object.
    fn field(&mut self, name: &str, value: &Value, around: Place<'_>, before: Before) {
        let inner = shape::field(around, name);
        let zero = match before {
            Before::There => always::zero(inner),
            Before::Absent => None,
        };
        if zero.as_ref() == Some(value) {
            return;
        }
        self.element(Key::Field(name), value, inner, zero.as_ref());
    }

    /// A field or item that was `zero` before, or was not there.
    fn element(&mut self, key: Key<'_>, value: &Value, place: Place<'_>, zero: Option<&Value>) {
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
                    let key = Key::Item(&element);
                    match item {
                        Item::Single(item) => self.element(key, item, shape::items(place), None),
                        Item::Several(_) => self.keyed(key, Member::Yes, |_| {}),
                    }
                }
            }
        }
    }
}
