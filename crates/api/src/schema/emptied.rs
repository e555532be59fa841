//! Lists and maps that an object had and that held nothing.

use serde_json::Value;

/// What [`super::prune()`] dropped although it was there: lists and maps without anything in them.
///
/// What is stored is the same with and without them. Only a refusal shows which it was, because upstream drops
/// them later.
///
/// A tree, so that what stands deep inside others costs no more than the body in which it came.
#[derive(Debug, Default)]
#[must_use = "who refuses the object shows them"]
pub struct Emptied {
    /// Fields that held `[]` or `{}`.
    fields: Vec<(String, Value)>,
    /// What was further inside.
    inner: Vec<(Step, Self)>,
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
        self.fields.is_empty() && self.inner.is_empty()
    }

    /// The object with them, where there is nothing else now. `None` if that changes nothing.
    pub fn restored(&self, object: &Value) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        let mut restored = object.clone();
        self.restore(&mut restored).then_some(restored)
    }

    /// Notes the value of a field that is dropped.
    pub(super) fn note(&mut self, field: &str, value: &Value) {
        if matches!(value, Value::Array(_) | Value::Object(_)) {
            self.fields.push((field.to_owned(), value.clone()));
        }
    }

    /// Whatever `inner` notes is below `step`.
    pub(super) fn within(&mut self, step: impl FnOnce() -> Step, inner: impl FnOnce(&mut Self)) {
        let mut below = Self::default();
        inner(&mut below);
        if !below.is_empty() {
            self.inner.push((step(), below));
        }
    }

    fn restore(&self, object: &mut Value) -> bool {
        let mut changed = false;
        for (step, inner) in &self.inner {
            let below = match step {
                Step::Field(name) => object.get_mut(name.as_str()),
                Step::Item(index) => object.get_mut(*index),
            };
            changed |= below.is_some_and(|below| inner.restore(below));
        }
        let Some(fields) = object.as_object_mut() else { return changed };
        for (name, value) in &self.fields {
            if fields.get(name).is_none_or(Value::is_null) {
                fields.insert(name.clone(), value.clone());
                changed = true;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_way_to_many_is_noted_once() {
        let mut emptied = Emptied::default();
        emptied.within(
            || Step::Field("deep".into()),
            |emptied| {
                for index in 0..3 {
                    emptied.within(|| Step::Item(index), |emptied| emptied.note("list", &json!([])));
                }
                emptied.within(|| Step::Item(3), |emptied| emptied.note("text", &json!("")));
            },
        );
        let [(Step::Field(name), items)] = &emptied.inner[..] else { panic!("{emptied:?}") };
        assert_eq!((name.as_str(), items.inner.len()), ("deep", 3));
        let object = json!({"deep": [{}, {"list": null, "other": 1}, {"list": ["a"]}]});
        let expected = json!({"deep": [{"list": []}, {"list": [], "other": 1}, {"list": ["a"]}]});
        assert_eq!(emptied.restored(&object), Some(expected));
        assert_eq!(emptied.restored(&json!({"deep": "other"})), None, "what is there by now stays");
    }
}
