//! Lists and maps that an object had and that held nothing.

use serde_json::Value;

/// What [`super::prune()`] dropped although it was there: lists and maps without anything in them.
///
/// What is stored is the same with and without them. Only a refusal shows which it was, because upstream drops
/// them later.
#[derive(Debug, Default)]
pub struct Emptied(Vec<Place>);

/// Where one was.
#[derive(Debug)]
struct Place {
    /// The innermost step first.
    path: Vec<Step>,
    /// `[]` or `{}`.
    value: Value,
}

/// A step into an object.
#[derive(Debug)]
pub(super) enum Step {
    Field(String),
    Item(usize),
}

impl Emptied {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object with them, where there is nothing else now. `None` if that changes nothing.
    pub fn restored(&self, object: &Value) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        let mut restored = object.clone();
        let mut changed = false;
        for Place { path, value } in &self.0 {
            changed |= restore(&mut restored, path, value);
        }
        changed.then_some(restored)
    }

    /// Notes the value of a field that is dropped.
    pub(super) fn note(&mut self, field: &str, value: &Value) {
        if matches!(value, Value::Array(_) | Value::Object(_)) {
            self.0.push(Place { path: vec![Step::Field(field.to_owned())], value: value.clone() });
        }
    }

    /// Whatever `inner` notes is below `step`.
    pub(super) fn within(&mut self, step: impl Fn() -> Step, inner: impl FnOnce(&mut Self)) {
        let before = self.0.len();
        inner(self);
        for place in &mut self.0[before..] {
            place.path.push(step());
        }
    }
}

fn restore(object: &mut Value, path: &[Step], value: &Value) -> bool {
    let Some((last, way)) = path.split_first() else { return false };
    let mut holder = object;
    for step in way.iter().rev() {
        let inner = match step {
            Step::Field(name) => holder.get_mut(name.as_str()),
            Step::Item(index) => holder.get_mut(*index),
        };
        match inner {
            Some(inner) => holder = inner,
            None => return false,
        }
    }
    let (Step::Field(name), Some(fields)) = (last, holder.as_object_mut()) else { return false };
    let is_free = fields.get(name).is_none_or(Value::is_null);
    if is_free {
        fields.insert(name.clone(), value.clone());
    }
    is_free
}
