//! Bodies in JSON, as every write reads them: what is read is checked, pruned and told about without
//! a panic, and reads the same once more after it was written. What is applied reads as what is decoded.

use portolan_api::apply::Manifest;
use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::schema;

pub(crate) fn run(body: &[u8]) {
    let manifest = Manifest::read(body, &Limits::default());
    let Ok(decoded) = decode::json(body, &Limits::default()) else {
        assert_eq!(manifest, None, "what cannot be decoded is not applied either");
        return;
    };
    // What is not quite JSON is decoded nevertheless, and applied by way of that.
    let is_strict = serde_json::from_slice::<serde_json::Value>(body).is_ok();
    if body.starts_with(b"{") && is_strict && decoded.duplicates.is_empty() {
        assert_eq!(manifest.map(|read| read.to_value()).as_ref(), Some(&decoded.value));
    } else {
        assert_eq!(manifest, None);
    }
    let written = serde_json::to_vec(&decoded.value).expect("what was read can be written");
    let again = decode::json(&written, &Limits::default()).expect("what was written can be read");
    assert_eq!(again.value, decoded.value);
    for (group, version, kind) in [("", "v1", "Pod"), ("apps", "v1", "Deployment")] {
        let schema = builtin().schema(GroupVersionKind { group, version, kind }).expect("a known kind");
        let findings = schema::check_at(&decoded.value, schema);
        let told = schema::strict_problems(body, schema);
        // Problems in the order of the body are the same problems.
        assert!(
            told.len() >= 100
                || findings.unknown.iter().all(|problem| told.contains(problem))
                || findings.wrong_type.is_some()
        );
        let mut pruned = decoded.value.clone();
        let _ = schema::prune(&mut pruned, schema);
    }
}
