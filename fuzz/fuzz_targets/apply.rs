//! Server-side apply: an object with whatever stands in its `managedFields`, and what is applied to it. Applying
//! twice is applying once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_api::apply::{self, FieldSet, Force, Kind, Manager};
use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::schema;
use portolan_base::Timestamp;

fuzz_target!(|input: &[u8]| {
    let Some((live, applied)) = portolan_fuzz::two(input) else { return };
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
            schema::prune(&mut object, known);
            object
        })
    };
    let (Some(live), Some(applied)) = (read(live), read(applied)) else { return };
    for entry in live["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let set = FieldSet::from_value(entry["fieldsV1"].clone());
        let written = set.into_value();
        assert_eq!(FieldSet::from_value(written.clone()).into_value(), written);
    }
    let kind = Kind { schema: known, ignored: &[&["status"]], convert: &|_, _| None };
    let manager = |name| Manager { name, api_version, subresource: "", now: Timestamp::UNIX_EPOCH };
    let _ = apply::apply(Some(&live), &applied, &kind, &manager("a"), Force::No);
    let Ok(once) = apply::apply(Some(&live), &applied, &kind, &manager("a"), Force::Yes) else { return };
    let twice = apply::apply(Some(&once), &applied, &kind, &manager("a"), Force::Yes).expect("it was applied before");
    assert_eq!(once, twice);
    let mut updated = applied.clone();
    apply::track_update(Some(&once), &mut updated, &kind, &manager("b"));
    let _ = apply::managers_of_new(&applied, &kind, &manager("c"));
});
