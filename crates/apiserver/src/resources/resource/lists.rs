//! Lists of limited length, and lists whose items differ.

use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::items;

impl Errors {
    /// The items of a list. One that is too long is not looked at any further.
    pub(super) fn each(
        &mut self,
        at: &At<'_>,
        list: &Value,
        most: usize,
        mut check: impl FnMut(&Value, &At<'_>, &mut Self),
    ) {
        let list = items(list);
        if list.len() > most {
            return self.too_many(at, list.len(), most);
        }
        for (index, item) in list.iter().enumerate() {
            check(item, &at.index(index), self);
        }
    }

    /// The same for items that differ in what `key` shows of them.
    pub(super) fn each_once(
        &mut self,
        at: &At<'_>,
        list: &Value,
        most: usize,
        key: impl Fn(&Value) -> String,
        check: impl FnMut(&Value, &At<'_>, &mut Self),
    ) {
        self.each(at, list, most, check);
        if items(list).len() <= most {
            for (index, again) in repeated(items(list).iter().map(key)) {
                self.duplicate(&at.index(index), again);
            }
        }
    }
}

/// Which items were there before, and where they are again.
pub(super) fn repeated<K: Ord + Clone>(keys: impl Iterator<Item = K>) -> impl Iterator<Item = (usize, K)> {
    let mut seen = std::collections::BTreeSet::new();
    keys.enumerate().filter(move |(_, key)| !seen.insert(key.clone()))
}
