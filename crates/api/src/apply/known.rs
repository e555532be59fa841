//! Sets of paths that were found to be in order lately.
//!
//! Objects that are made from one template have the same owners of the same fields, letter by letter: what was held
//! against the schema for one of them need not be for the next.

use std::cell::RefCell;

use super::stored::Cursor;
use crate::description::Schema;

/// Most sets that a thread remembers, and most bytes of one.
const MOST: usize = 16;
const MOST_BYTES: usize = 16 << 10;

/// What follows a set in an entry of `managedFields`.
const BEHIND: &[u8] = b",\"manager\":";

thread_local! {
    /// The last ones first, each with the definition that it fits.
    static KNOWN: RefCell<Vec<(usize, Box<[u8]>)>> = const { RefCell::new(Vec::new()) };
}

/// Passes a set at the cursor, braces included, if it is known to fit an object of this schema.
pub(super) fn passes(cursor: &mut Cursor<'_>, schema: Schema<'_>) -> bool {
    let Some(definition) = schema.builtin_definition() else { return false };
    let rest = &cursor.bytes[cursor.at..];
    let is_next = |(fits, set): &(usize, Box<[u8]>)| {
        *fits == definition && rest.strip_prefix(&set[..]).is_some_and(|rest| rest.starts_with(BEHIND))
    };
    KNOWN.with_borrow_mut(|known| {
        let Some(place) = known.iter().position(is_next) else { return false };
        known[..=place].rotate_right(1);
        cursor.at += known[0].1.len();
        true
    })
}

/// Remembers a set that fits objects of this schema.
pub(super) fn remember(set: &[u8], schema: Schema<'_>) {
    // Only what is built in stays what it is.
    let Some(definition) = schema.builtin_definition().filter(|_| set.len() <= MOST_BYTES) else { return };
    KNOWN.with_borrow_mut(|known| {
        known.truncate(MOST - 1);
        known.insert(0, (definition, set.into()));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{GroupVersionKind, builtin};

    #[test]
    fn a_set_is_known_to_its_kind_as_long_as_it_is_one_of_the_last() {
        let schema = |kind| builtin().schema(GroupVersionKind { group: "", version: "v1", kind }).expect("known kind");
        let passed = |text: &str, kind| {
            let mut cursor = Cursor::new(text.as_bytes());
            passes(&mut cursor, schema(kind)).then_some(cursor.at)
        };
        let set = r#"{"f:data":{}}"#;
        let entry = format!("{set},\"manager\":\"m\"");
        assert_eq!(passed(&entry, "ConfigMap"), None);
        remember(set.as_bytes(), schema("ConfigMap"));
        assert_eq!(passed(&entry, "ConfigMap"), Some(set.len()));
        assert_eq!(passed(&entry, "Secret"), None);
        assert_eq!(passed(&format!("{set},\"time\":\"t\""), "ConfigMap"), None);
        assert_eq!(passed(&entry.replace("data", "date"), "ConfigMap"), None);
        for number in 0..MOST {
            assert_eq!(passed(&entry, "ConfigMap"), Some(set.len()), "it was asked for last");
            remember(format!("{{\"f:{number}\":{{}}}}").as_bytes(), schema("ConfigMap"));
        }
        (0..MOST).for_each(|number| remember(format!("{{\"f:a{number}\":{{}}}}").as_bytes(), schema("ConfigMap")));
        assert_eq!(passed(&entry, "ConfigMap"), None);
    }
}
