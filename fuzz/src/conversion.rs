//! Objects of the kinds whose versions differ: any object can be converted, and one that went to the stored
//! version and back does not change any more.

use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::{conversion, schema};
use serde_json::Value;

const SHOWN: [(&str, &str, &str); 2] = [
    ("events", "events.k8s.io/v1", "Event"),
    ("horizontalpodautoscalers", "autoscaling/v1", "HorizontalPodAutoscaler"),
];

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let is_event = !text.contains("spec");
    let (resource, api_version, kind) = SHOWN[usize::from(!is_event)];
    let Ok(mut object) = serde_json::from_str::<Value>(text) else { return };
    if !object.is_object() {
        return;
    }
    object["apiVersion"] = api_version.into();
    let kind = GroupVersionKind::from_api_version(api_version, kind);
    let known = builtin().schema(kind).expect("a known kind");
    let fits = schema::check_at(&object, known).wrong_type.is_none();
    let conversion = conversion::of(kind.group, resource).expect("is converted");
    let mut there_and_back = || {
        conversion.convert(&mut object, conversion.stored);
        conversion.convert(&mut object, api_version);
        conversion.convert(&mut object, conversion.stored);
        let stored = object.clone();
        conversion.convert(&mut object, api_version);
        stored
    };
    // The first way may add what the one version requires, and drop what the other cannot say twice.
    let stored = there_and_back();
    let object = there_and_back();
    if fits {
        assert_eq!(object, stored);
    }
}
