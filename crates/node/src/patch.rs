//! What patches of objects must say of what is gone. Pure.

use serde_json::Value;

/// Names in `new` what `old` has and it no longer has, all the way down: fields that merge name by name stay otherwise.
pub(crate) fn forget_all(new: &mut Value, old: &Value) {
    let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else { return };
    for (name, old) in old {
        forget_all(new.entry(name).or_insert(Value::Null), old);
    }
}
