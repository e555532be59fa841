//! Server-side apply: an object with whatever stands in its `managedFields`, and what is applied to it. Applying
//! twice is applying once, and it is the same whether the managers stand in the object or, encoded, beside it.

use portolan_api::apply::{self, Apart, Force, Kind, Manager};
use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::schema;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::two;

pub(crate) fn run(input: &[u8]) {
    let Some((live, applied)) = two(input) else { return };
    let is_pod = live.len() % 2 == 0;
    let (api_version, name) = if is_pod { ("v1", "Pod") } else { ("apps/v1", "Deployment") };
    let kind = GroupVersionKind::from_api_version(api_version, name);
    let known = builtin().schema(kind).expect("a known kind");
    let read = |text: &str| {
        let mut object = decode::json(text.as_bytes(), &Limits::default()).ok()?.value;
        if !object.is_object() || !object["metadata"].is_object() {
            return None;
        }
        object["apiVersion"] = api_version.into();
        object["kind"] = name.into();
        // What the endpoint does before anything is merged.
        schema::check_at(&object, known).wrong_type.is_none().then(|| {
            let _ = schema::prune(&mut object, known);
            object
        })
    };
    let (Some(live), Some(applied)) = (read(live), read(applied)) else { return };
    let kind = Kind { schema: known, ignored: &[&["status"]], convert: &|_, _| None };
    let manager = |name| Manager { name, api_version, subresource: "", now: Timestamp::UNIX_EPOCH };
    let _ = apply::apply(Some(&live), &applied, &kind, &manager("a"), Force::No);
    let Ok(once) = apply::apply(Some(&live), &applied, &kind, &manager("a"), Force::Yes) else { return };
    let twice = apply::apply(Some(&once), &applied, &kind, &manager("a"), Force::Yes).expect("it was applied before");
    assert_eq!(once, twice);
    let (object, managers) = apart(live);
    let stored = Apart { object: &object, managers: &managers };
    let (object, managers) =
        apply::apply_apart(Some(stored), &applied, &kind, &manager("a"), Force::Yes).expect("it was applied before");
    let managers: Option<Value> =
        managers.map(|managers| serde_json::from_slice(&managers).expect("managers are written as JSON"));
    let (expected, expected_managers) = taken_apart(once.clone());
    assert_eq!((object, managers), (expected, expected_managers));
    let mut updated = applied.clone();
    apply::track_update(Some(&once), &mut updated, &kind, &manager("b"));
    let _ = apply::managers_of_new(&applied, &kind, &manager("c"));
}

/// An object without its managers, and these.
fn taken_apart(mut object: Value) -> (Value, Option<Value>) {
    let managers = object["metadata"].as_object_mut().and_then(|metadata| metadata.remove("managedFields"));
    (object, managers)
}

/// The same as they are stored.
fn apart(object: Value) -> (Value, Vec<u8>) {
    let (object, managers) = taken_apart(object);
    (object, managers.map_or_else(Vec::new, |managers| managers.to_string().into_bytes()))
}
