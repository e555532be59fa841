//! Patches of all types: two documents behind each other, what is there and what is to change.

use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::patch;

pub(crate) fn run(input: &[u8]) {
    let Some(position) = input.iter().position(|byte| *byte == 0) else { return };
    let (live, change) = (&input[..position], &input[position + 1..]);
    let (Ok(live), Ok(change)) = (decode::json(live, &Limits::default()), decode::json(change, &Limits::default()))
    else {
        return;
    };
    let mut merged = live.value.clone();
    patch::merge::apply(&mut merged, &change.value);
    let once = merged.clone();
    patch::merge::apply(&mut merged, &change.value);
    assert_eq!(merged, once, "a merge patch changes nothing the second time");
    let _ = patch::json::apply(&mut live.value.clone(), &change.value);
    let kind = GroupVersionKind { group: "", version: "v1", kind: "Pod" };
    let schema = builtin().schema(kind).expect("a known kind");
    let _ = patch::strategic::apply(&mut live.value.clone(), &change.value, schema);
}
