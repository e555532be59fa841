//! What holds of every apply, patch and conversion, tried on made-up objects.

use portolan_api::apply::{Error, Force, Kind, Manager, apply};
use portolan_api::description::{GroupVersionKind, Schema, builtin};
use portolan_api::{conversion, patch};
use portolan_base::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const STATUS: &[&[&str]] = &[&["status"]];

fn schema() -> Schema<'static> {
    builtin().schema(GroupVersionKind::from_api_version("apps/v1", "Deployment")).expect("known kind")
}

fn apply_as(name: &'static str, live: Option<&Value>, applied: &Value, force: Force) -> Result<Value, Error> {
    let manager = Manager { name, api_version: "apps/v1", subresource: "", now: Timestamp::UNIX_EPOCH };
    let kind = Kind { schema: schema(), ignored: STATUS, convert: &|_, _| None };
    let mut object = apply(live, applied, &kind, &manager, force)?;
    // Nobody owns its identity; whoever stores the object keeps that.
    object["metadata"]["name"] = "web".into();
    Ok(object)
}

/// Every way in which fields are owned: scalars, granular and atomic maps, sets, atomic lists, lists by one key
/// and by two, with names out of `alphabet` so that two managers can be kept apart.
fn some_deployment(alphabet: &'static str) -> impl Strategy<Value = Value> {
    let name = move || prop::string::string_regex(alphabet).expect("a pattern");
    let names = move || prop::collection::btree_map(name(), "[x-z]", 0..3);
    let container = (
        prop::option::of("[x-z]"),
        prop::collection::btree_map(80_u16..83, prop::sample::select(vec!["TCP", "UDP"]), 0..3),
        prop::collection::vec("[x-z]", 0..3),
        names(),
    );
    let containers = prop::collection::btree_map(name(), container, 0..3);
    (names(), prop::collection::btree_set(name(), 0..3), containers, names()).prop_map(
        |(labels, finalizers, containers, volumes)| {
            let container = |(name, (image, ports, args, env)): (String, (_, _, Vec<String>, _))| {
                let image: Option<String> = image;
                let ports: std::collections::BTreeMap<u16, &str> = ports;
                let env: std::collections::BTreeMap<String, String> = env;
                let mut container = json!({"name": name});
                if let Some(image) = image {
                    container["image"] = image.into();
                }
                if !ports.is_empty() {
                    let port = |(port, protocol)| json!({"containerPort": port, "protocol": protocol});
                    container["ports"] = ports.into_iter().map(port).collect();
                }
                if !args.is_empty() {
                    container["args"] = json!(args);
                }
                if !env.is_empty() {
                    let variable = |(name, value)| json!({"name": name, "value": value});
                    container["env"] = env.into_iter().map(variable).collect();
                }
                container
            };
            let containers: Vec<Value> = containers.into_iter().map(container).collect();
            let volumes: Vec<Value> =
                volumes.into_iter().map(|(name, path)| json!({"name": name, "hostPath": {"path": path}})).collect();
            let mut object = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"template": {"spec": {}}},
            });
            let mut set = |pointer: &str, field: &str, value: Value, is_empty: bool| {
                if !is_empty && let Some(place) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
                    place.insert(field.to_owned(), value);
                }
            };
            set("/metadata", "labels", json!(labels), labels.is_empty());
            set("/metadata", "finalizers", json!(finalizers), finalizers.is_empty());
            set("/spec/template/spec", "containers", json!(containers), containers.is_empty());
            set("/spec/template/spec", "volumes", json!(volumes), volumes.is_empty());
            object
        },
    )
}

/// Lists in one order and without what is empty, managers left out: what must not depend on the order of writes.
fn content(object: &Value) -> Value {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(sorted).collect();
                items.sort_by_key(|item| item["name"].as_str().unwrap_or_default().to_owned() + &item.to_string());
                Value::Array(items)
            }
            Value::Object(fields) => {
                let kept =
                    fields.iter().filter(|(name, _)| *name != "managedFields").map(|(n, v)| (n.clone(), sorted(v)));
                let kept = kept.filter(|(_, value)| *value != json!({}) && *value != json!([]));
                Value::Object(kept.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }
    sorted(object)
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(
        first in some_deployment("[a-d]"), second in some_deployment("[a-d]"), third in some_deployment("[a-d]"),
    ) {
        let live = apply_as("x", None, &first, Force::No).expect("nobody else is there");
        let live = apply_as("y", Some(&live), &second, Force::Yes).expect("forced");
        let once = apply_as("x", Some(&live), &third, Force::Yes).expect("forced");
        let twice = apply_as("x", Some(&once), &third, Force::No).expect("it has all of it");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn disjoint_owners_commute(first in some_deployment("[ab]"), second in some_deployment("[cd]")) {
        let apply = |live: Option<&Value>, name, object| apply_as(name, live, object, Force::No).expect("no conflict");
        let one = apply(Some(&apply(None, "x", &first)), "y", &second);
        let other = apply(Some(&apply(None, "y", &second)), "x", &first);
        prop_assert_eq!(content(&one), content(&other));
        // What the one gives up leaves the other alone.
        let nothing = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
        let left = apply(Some(&one), "x", &nothing);
        prop_assert_eq!(content(&left), content(&apply(None, "y", &second)));
    }

    #[test]
    fn who_applies_what_is_there_changes_nothing(first in some_deployment("[a-d]")) {
        let live = apply_as("x", None, &first, Force::No).expect("nobody else is there");
        let shared = apply_as("y", Some(&live), &first, Force::No).expect("the same values");
        prop_assert_eq!(content(&live), content(&shared));
        // And it stays when one of two owners gives it up.
        let nothing = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
        let left = apply_as("x", Some(&shared), &nothing, Force::No).expect("no conflict");
        prop_assert_eq!(content(&live), content(&left));
    }

    #[test]
    fn a_patch_changes_nothing_the_second_time(live in some_deployment("[a-d]"), change in some_deployment("[a-d]")) {
        let mut merged = live.clone();
        patch::merge::apply(&mut merged, &change);
        let once = merged.clone();
        patch::merge::apply(&mut merged, &change);
        prop_assert_eq!(&merged, &once);
        let mut merged = live;
        patch::strategic::apply(&mut merged, &change, schema()).expect("a patch");
        let once = merged.clone();
        patch::strategic::apply(&mut merged, &change, schema()).expect("a patch");
        prop_assert_eq!(merged, once);
    }

    #[test]
    fn an_event_is_the_same_after_a_way_through_the_other_group(
        fields in prop::collection::btree_map(
            prop::sample::select(vec!["regarding", "note", "reason", "action", "deprecatedCount", "series", "type"]),
            "[a-c]", 0..6),
    ) {
        let mut event = json!({"apiVersion": "events.k8s.io/v1", "metadata": {"name": "e"}});
        fields.iter().for_each(|(name, value)| event[*name] = value.as_str().into());
        let before = event.clone();
        let conversion = conversion::of("", "events").expect("is converted");
        conversion.convert(&mut event, "v1");
        conversion.convert(&mut event, "events.k8s.io/v1");
        prop_assert_eq!(event, before);
    }
}
