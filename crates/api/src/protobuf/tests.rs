use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::description::Resource;

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field with bytes.
fn bytes(number: usize, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(number << 3 | 2), varint(value.len()), value.to_vec()].concat()
}

fn number(number: usize, value: usize) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn body(api_version: &str, kind: &str, message: impl AsRef<[u8]>) -> Vec<u8> {
    let type_meta = [bytes(1, api_version), bytes(2, kind)].concat();
    [MAGIC.to_vec(), bytes(1, type_meta), bytes(2, message), bytes(3, ""), bytes(4, "")].concat()
}

fn read(api_version: &str, kind: &str, message: impl AsRef<[u8]>) -> Result<Value, String> {
    decode(&body(api_version, kind, message), None, &Limits::default()).map_err(|error| error.to_string())
}

#[test]
fn a_zero_is_kept_only_where_it_differs_from_absence() {
    // As a typed client sends it: `replicas` may be absent, `minReadySeconds`, `paused`,
    // `generation`, the strategy and the time of creation are always written.
    let metadata = [bytes(1, "web"), bytes(2, ""), number(7, 0), bytes(8, "")].concat();
    let spec = [number(1, 0), bytes(4, bytes(1, "")), number(5, 0), number(7, 0)].concat();
    let deployment = read("apps/v1", "Deployment", [bytes(1, metadata), bytes(2, spec), bytes(3, "")].concat());
    let expected = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 0, "strategy": {}}, "status": {}
    });
    assert_eq!(deployment, Ok(expected));
}

#[test]
fn values_are_written_as_in_json() {
    let data = |name: &str, value: &[u8]| bytes(2, [bytes(1, name), bytes(2, value)].concat());
    let cases = [
        ("v1", "Secret", [data("a", b"\xff\0"), data("b", b"")].concat(), json!({"data": {"a": "/wA=", "b": ""}})),
        ("v1", "Secret", bytes(2, bytes(1, "key only")), json!({"data": {"key only": ""}})),
        (
            "coordination.k8s.io/v1",
            "Lease",
            bytes(2, bytes(4, [number(1, 1), vec![0x10, 0xe8, 7]].concat())),
            json!({"spec": {"renewTime": "1970-01-01T00:00:01.000001Z"}}),
        ),
        ("policy/v1", "Eviction", bytes(2, number(1, 0)), json!({"deleteOptions": {"gracePeriodSeconds": 0}})),
        ("apps/v1", "DeleteOptions", number(1, 0), json!({"gracePeriodSeconds": 0})),
        (
            "v1",
            "Pod",
            bytes(2, [bytes(1, [bytes(1, "v"), bytes(2, bytes(19, bytes(1, bytes(1, "x"))))].concat())].concat()),
            json!({"spec": {"volumes": [{"name": "v", "configMap": {"name": "x"}}]}}),
        ),
        // The parts of a message add up; numbers may come in one piece; unknown fields are skipped.
        ("v1", "ConfigMap", [bytes(1, bytes(1, "a")), bytes(1, bytes(3, "b"))].concat(), {
            json!({"metadata": {"name": "a", "namespace": "b"}})
        }),
        (
            "v1",
            "Pod",
            bytes(2, bytes(14, bytes(4, [1, 0x80, 1]))),
            json!({"spec": {"securityContext": {"supplementalGroups": [1, 128]}}}),
        ),
        ("v1", "Namespace", bytes(15, "news"), json!({})),
    ];
    for (api_version, kind, message, mut expected) in cases {
        expected["apiVersion"] = api_version.into();
        expected["kind"] = kind.into();
        assert_eq!(read(api_version, kind, message), Ok(expected));
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let cases: [(Vec<u8>, &str); 9] = [
        (b"{}".to_vec(), "does not appear to be a protobuf message"),
        (b"k8s\0\x12\x7f".to_vec(), "unexpected end"),
        (body("v1", "Unheard", ""), "no kind \"Unheard\" is registered for version \"v1\""),
        (body("v1", "Pod", number(1, 1)), "io.k8s.api.core.v1.Pod: wrong wire type"),
        (body("v1", "Pod", bytes(1, bytes(1, b"\xff"))), "not UTF-8"),
        (body("v1", "Pod", [0x0b]), "illegal wire type"),
        (body("v1", "Pod", [0x80; 11]), "longer than 64 bits"),
        (body("v1", "Event", bytes(6, [8, 255, 255, 255, 255, 255, 255, 255, 127])), "time out of range"),
        ([body("v1", "Pod", ""), bytes(3, "gzip")].concat(), "\"gzip\", which is not supported"),
    ];
    for (body, expected) in cases {
        let error = decode(&body, None, &Limits::default()).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
    let small = Limits { bytes: 10, depth: 2 };
    assert!(matches!(decode(&[0; 11], None, &small), Err(Error::TooLarge { limit: 10 })));
    let deep = body("v1", "Pod", bytes(2, bytes(2, bytes(8, ""))));
    let error = decode(&deep, None, &Limits { bytes: 1000, depth: 2 }).expect_err("too deep").to_string();
    assert!(error.contains("exceeded max depth"), "{error}");
    let many = body("v1", "Pod", bytes(1, bytes(14, "").repeat(600_000)));
    let error = decode(&many, None, &Limits::default()).expect_err("too many").to_string();
    assert!(error.contains("too many values"), "{error}");
}

/// Kinds with published examples: the JSON and the protobuf of each.
fn examples() -> Vec<(&'static Resource, Value, Vec<u8>)> {
    let Ok(folder) = std::env::var("PORTOLAN_KUBERNETES_FIXTURES") else { return Vec::new() };
    let folder = PathBuf::from(folder);
    let others = ["apiextensions.k8s.io", "apiregistration.k8s.io", "registry.portolan.dev"];
    let resources = builtin().resources().filter(|resource| !others.contains(&&*resource.group));
    resources
        .map(|resource| {
            let group = if resource.group.is_empty() { "core" } else { &*resource.group };
            let read = |form: &str| {
                let file = folder.join(format!("{group}.{}.{}.{form}", resource.version, resource.kind));
                std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
            };
            let mut value: Value = serde_json::from_slice(&read("json")).expect("the example is JSON");
            // Alpha fields that the release after the examples' gave new numbers and names.
            for (place, field) in [
                ("/status/nodeAllocatableResourceClaimStatuses/0", "resources"),
                ("/spec/devices/0", "nodeAllocatableResourceMappings"),
            ] {
                value.pointer_mut(place).and_then(Value::as_object_mut).map(|object| object.remove(field));
            }
            (resource, value, read("pb"))
        })
        .collect()
}

#[test]
fn published_examples_read_as_their_json() {
    let mut wrong = Vec::new();
    for (resource, expected, body) in examples() {
        match decode(&body, None, &Limits::default()) {
            Ok(value) if value == expected => {}
            Ok(value) => wrong.push(format!("{}: {}", resource.kind, difference(&expected, &value, ""))),
            Err(error) => wrong.push(format!("{}: {error}", resource.kind)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where two values differ.
fn difference(expected: &Value, found: &Value, path: &str) -> String {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key)));
            keys.map(|key| {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                difference(&of(left), &of(right), &format!("{path}.{key}"))
            })
            .collect()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).map(|(left, right)| difference(left, right, path)).collect()
        }
        _ if expected == found => String::new(),
        _ => format!("\n  {path}: expected {expected}, found {found}"),
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(garbage: Vec<u8>, kind in 0_usize..200) {
        let resources: Vec<&Resource> = builtin().resources().collect();
        let resource = resources[kind % resources.len()];
        let envelope = bytes(1, [bytes(1, resource.group_version_kind().api_version()), bytes(2, resource.kind.as_bytes())].concat());
        let raw = bytes(2, &garbage[..garbage.len().min(100)]);
        let _ = decode(&[MAGIC.to_vec(), envelope, raw].concat(), None, &Limits::default());
        let _ = decode(&[MAGIC, &garbage].concat(), Some(resource.group_version_kind()), &Limits::default());
    }

    #[test]
    fn damaged_examples_never_panic(
        example: usize,
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        cut: Option<usize>,
    ) {
        thread_local!(static EXAMPLES: Vec<(&'static Resource, Value, Vec<u8>)> = examples());
        EXAMPLES.with(|examples| {
            if examples.is_empty() {
                return;
            }
            let mut body = examples[example % examples.len()].2.clone();
            for (place, value) in damage {
                let place = place % body.len();
                body[place] = value;
            }
            body.truncate(cut.map_or(usize::MAX, |cut| cut % body.len()));
            let _ = decode(&body, None, &Limits::default());
        });
    }
}
