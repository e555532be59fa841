use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::description::{Resource, builtin};

mod arbitrary;
mod json;

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

fn written(object: &Value) -> Result<Vec<u8>, String> {
    encode(object.to_string().as_bytes()).map_err(|error| error.to_string())
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
fn measurements_have_their_durations_in_nanoseconds() {
    // 15 s, as the published client reads it.
    let window = [varint(1 << 3), varint(15_000_000_000)].concat();
    let usage = [bytes(1, "cpu"), bytes(2, bytes(1, "250m"))].concat();
    let metrics = [bytes(2, number(1, 1_767_323_040)), bytes(3, window), bytes(4, usage)].concat();
    let expected = json!({
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "metadata": {},
        "timestamp": "2026-01-02T03:04:00Z", "window": "15s", "usage": {"cpu": "250m"},
    });
    let read = read("metrics.k8s.io/v1beta1", "NodeMetrics", [bytes(1, ""), metrics].concat()).expect("reads");
    assert_eq!(read["window"], expected["window"]);
    assert_eq!((&read["timestamp"], &read["usage"]), (&expected["timestamp"], &expected["usage"]));
    let again = decode(&written(&expected).expect("writes"), None, &Limits::default()).expect("reads");
    assert_eq!((&again["window"], &again["usage"]), (&expected["window"], &expected["usage"]));
    let wrong = json!({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "window": "soon"});
    assert!(written(&wrong).is_err_and(|why| why.contains("not a duration")));
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
        // A group, which nobody knows.
        ("v1", "Namespace", vec![0x7b, 0x08, 0x01, 0x7b, 0x7c, 0x7c], json!({})),
        // Not text.
        ("v1", "Namespace", bytes(1, bytes(1, b"\xff")), json!({"metadata": {"name": "\u{fffd}"}})),
    ];
    for (api_version, kind, message, mut expected) in cases {
        expected["apiVersion"] = api_version.into();
        expected["kind"] = kind.into();
        assert_eq!(read(api_version, kind, message), Ok(expected));
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let too_long = [0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    let negative = [0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    let cases: [(Vec<u8>, &str); 23] = [
        (Vec::new(), "empty data"),
        (b"k8s\0".to_vec(), "empty body"),
        (b"{}".to_vec(), "does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"k8s\0\x12\x7f".to_vec(), "unexpected EOF"),
        (b"k8s\0\x0b".to_vec(), "proto: wrong wireType = 3 for field TypeMeta"),
        (b"k8s\0\x00".to_vec(), "proto: Unknown: illegal tag 0 (wire type 0)"),
        (b"k8s\0\x0a\x02\x10\x01".to_vec(), "proto: wrong wireType = 0 for field Kind"),
        (b"k8s\0\x20\x01".to_vec(), "proto: wrong wireType = 0 for field ContentType"),
        (body("v1", "Unheard", ""), "no kind \"Unheard\" is registered for version \"v1\""),
        (body("v1", "ConfigMap", number(1, 1)), "proto: wrong wireType = 0 for field ObjectMeta"),
        (body("v1", "ConfigMap", b"\x22\x01"), "proto: wrong wireType = 2 for field Immutable"),
        (body("v1", "ConfigMap", bytes(1, bytes(8, b"\x0a\x01"))), "proto: wrong wireType = 2 for field Seconds"),
        (body("v1", "ConfigMap", bytes(1, b"\x42\x05")), "unexpected EOF"),
        (body("v1", "ConfigMap", bytes(2, number(1, 1))), "unexpected EOF"),
        (body("v1", "ConfigMap", b"\x0c"), "proto: ConfigMap: wiretype end group for non-group"),
        (body("v1", "ConfigMap", b"\x00\x00"), "proto: ConfigMap: illegal tag 0 (wire type 0)"),
        (body("v1", "ConfigMap", b"\x7f"), "proto: illegal wireType 7"),
        (body("v1", "ConfigMap", b"\x7b\x00"), "unexpected EOF"),
        (body("v1", "ConfigMap", negative), "proto: negative length found during unmarshaling"),
        (body("v1", "ConfigMap", too_long), "proto: integer overflow"),
        (body("v1", "Pod", [0x80; 11]), "proto: integer overflow"),
        (body("v1", "Pod", [0x0b]), "proto: wrong wireType = 3 for field ObjectMeta"),
        (body("v1", "Event", bytes(6, [8, 255, 255, 255, 255, 255, 255, 255, 127])), "time out of range"),
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

/// The published examples of all kinds: name, JSON and protobuf of each.
fn examples() -> Vec<(String, Value, Vec<u8>)> {
    let Ok(folder) = std::env::var("PORTOLAN_KUBERNETES_FIXTURES") else { return Vec::new() };
    let files = PathBuf::from(&folder).read_dir().unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut examples: Vec<_> = files
        .map(|file| file.expect("the folder can be read").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "pb"))
        // What the next release makes of an example, with fields that it added.
        .filter(|file| !file.to_string_lossy().contains("after_roundtrip"))
        .map(|file| {
            let read = |file: &Path| std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let value = serde_json::from_slice(&read(&file.with_extension("json"))).expect("the example is JSON");
            (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), value, read(&file))
        })
        .collect();
    examples.sort_by(|left, right| left.0.cmp(&right.0));
    examples
}

/// The one example that is no object: an event says nothing about its kind.
const EVENT: &str = "core.v1.WatchEvent";

#[test]
fn published_examples_read_as_their_json() {
    let mut wrong = Vec::new();
    for (name, expected, body) in examples().into_iter().filter(|(name, ..)| name != EVENT) {
        match decode(&body, None, &Limits::default()) {
            Ok(value) if value == expected => {}
            Ok(value) => wrong.push(format!("{name}: {}", difference(&expected, &value, ""))),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn published_examples_are_written_as_upstream_writes_them() {
    let mut wrong = Vec::new();
    for (name, value, expected) in examples().into_iter().filter(|(name, ..)| name != EVENT) {
        match written(&value) {
            Ok(body) if body == expected => {}
            Ok(body) => {
                let same = body.iter().zip(&expected).take_while(|(left, right)| left == right).count();
                wrong.push(format!("{name}: {} bytes, expected {}, differ from {same}", body.len(), expected.len()));
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_frame_of_a_watch_holds_the_published_event() {
    let Some((_, value, example)) = examples().into_iter().find(|(name, ..)| name == EVENT) else { return };
    let mut frame = Vec::new();
    let object = value["object"].to_string();
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(object.as_bytes());
        Ok(())
    };
    write::frame_around(&mut frame, "typeValue", write).expect("fits");
    let (size, event) = frame.split_first_chunk::<4>().expect("a length comes first");
    assert_eq!(u32::from_be_bytes(*size) as usize, event.len());
    let envelope = [
        &b"k8s\0"[..],
        &bytes(1, [bytes(1, ""), bytes(2, "")].concat()),
        &bytes(2, event),
        &bytes(3, ""),
        &bytes(4, ""),
    ];
    assert_eq!(envelope.concat(), example);
}

#[test]
fn a_list_of_many_pieces_is_one_list() {
    let item = GroupVersionKind { group: "", version: "v1", kind: "ConfigMap" };
    let objects: Vec<Value> = [10, 70_000, 200, 64_000, 2_000_000, 1]
        .into_iter()
        .map(|size| json!({"metadata": {"name": size.to_string()}, "data": {"k": "v".repeat(size)}}))
        .collect();
    let mut list = List::new(item, b"{}").expect("a known kind");
    for object in &objects {
        list.push(object.to_string().as_bytes()).expect("fits");
    }
    let pieces = list.finish();
    assert!(pieces.len() > 3, "{}", pieces.len());
    let whole = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {}, "items": objects});
    assert!(written(&whole).expect("writes") == pieces.concat());
    let empty = List::new(item, b"{}").expect("a known kind").finish().concat();
    assert_eq!(Ok(empty), written(&json!({"apiVersion": "v1", "kind": "ConfigMapList"})));
}

#[test]
fn lists_and_sparse_objects_are_written_with_their_zeros() {
    let item = GroupVersionKind { group: "", version: "v1", kind: "ConfigMap" };
    let mut list = List::new(item, br#"{"resourceVersion": "7"}"#).expect("a known kind");
    for name in ["a", "b"] {
        let object = json!({"metadata": {"name": name}, "data": {"k": "v".repeat(300)}});
        list.push(object.to_string().as_bytes()).expect("fits");
    }
    let bytes_of_list = list.finish().concat();
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": [
        {"metadata": {"name": "a"}, "data": {"k": "v".repeat(300)}},
        {"metadata": {"name": "b"}, "data": {"k": "v".repeat(300)}},
    ]});
    assert_eq!(decode(&bytes_of_list, None, &Limits::default()).expect("reads"), expected);
    assert_eq!(written(&expected).expect("writes"), bytes_of_list);

    // Only what may be absent is: the details and, in the metadata, the number of items that remain.
    let status = written(&json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "code": 404})).expect("writes");
    let metadata = [bytes(1, ""), bytes(2, ""), bytes(3, "")].concat();
    let message = [bytes(1, metadata), bytes(2, ""), bytes(3, ""), bytes(4, ""), number(6, 404)].concat();
    assert_eq!(status, body("v1", "Status", message));
}

#[test]
fn schemas_of_custom_resources_keep_their_shapes() {
    let schema = |schema: Value| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a"},
            "spec": {"scope": "", "group": "", "names": {"plural": "", "kind": ""}, "versions": [
                {"name": "v1", "served": false, "storage": false, "schema": {"openAPIV3Schema": schema}}
            ]}, "status": {"acceptedNames": {"plural": "", "kind": ""}}})
    };
    let cases = [
        json!({"items": {"type": "string"}, "additionalProperties": true, "dependencies": {"a": ["b", "c"]}}),
        json!({"items": [{"type": "string"}, {}], "additionalProperties": {"$ref": "x"}, "dependencies": {"a": {}}}),
        json!({"default": {"a": [1, null]}, "enum": [1, "a", null], "additionalItems": false, "minLength": 0}),
        json!({"x-kubernetes-preserve-unknown-fields": true, "properties": {"b": {}, "a": {"format": "int32"}}}),
    ];
    for case in cases {
        let object = schema(case);
        let bytes = written(&object).expect("writes");
        let read = decode(&bytes, None, &Limits::default()).expect("reads");
        assert_eq!(read["spec"]["versions"], object["spec"]["versions"]);
    }
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
        thread_local!(static EXAMPLES: Vec<(String, Value, Vec<u8>)> = examples());
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
