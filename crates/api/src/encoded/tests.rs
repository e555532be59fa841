use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"annotations": {"x": "a\"}\\"}, "labels": {"app": "web", "tier": "a"}, "name": "web-0",
            "namespace": "default", "uid": "u-1"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "}]"}], "n": 5},
        "status": {"phase": "Running"}
    })
}

#[test]
fn reads_the_header() {
    let bytes = serde_json::to_vec(&pod()).expect("encodes");
    let header = Header::scan(&bytes).expect("an object");
    assert_eq!((&*header.name, &*header.namespace, &*header.uid), ("web-0", "default", "u-1"));
    assert_eq!(header.label("tier").as_deref(), Some("a"));
    assert_eq!(header.labels().len(), 2);
    assert!(header.matches(&LabelSelector::parse("app=web,!x").expect("valid")));
    assert!(!header.matches(&LabelSelector::parse("app!=web").expect("valid")));
    assert_eq!(header.deletion_timestamp, None);
}

#[test]
fn reads_paths() {
    let bytes = serde_json::to_vec(&pod()).expect("encodes");
    let cases: [(&[&str], Option<&str>); 7] = [
        (&["spec", "nodeName"], Some("node-1")),
        (&["spec", "n"], Some("5")),
        (&["status", "phase"], Some("Running")),
        (&["metadata", "annotations", "x"], Some("a\"}\\")),
        (&["spec", "containers"], None),
        (&["spec", "missing"], None),
        (&["kind", "x"], None),
    ];
    for (path, expected) in cases {
        assert_eq!(string_at(&bytes, path).as_deref(), expected, "{path:?}");
    }
}

#[test]
fn reads_lists_and_owners() {
    let owners = br#"{"metadata":{"ownerReferences":[{"uid":"a"},{"controller":true,"uid":"]"}]}}"#;
    assert_eq!(string_at(controller(owners).expect("one controls"), &["uid"]).as_deref(), Some("]"));
    assert_eq!(controller(br#"{"metadata":{"ownerReferences":[]}}"#), None);
    for (list, expected) in [("[]", ""), ("[1,\"a,\",{\"b\":[2]}]", "1 \"a,\" {\"b\":[2]}"), ("[1,", "1"), ("", "")] {
        let items: Vec<_> = items(list.as_bytes()).map(String::from_utf8_lossy).collect();
        assert_eq!(items.join(" "), expected);
    }
}

#[test]
fn reads_the_members_of_metadata() {
    for (members, without) in [
        (r#""managedFields":[{"a":"}"}],"name":"a"},"spec":1}"#, r#""name":"a"},"spec":1}"#),
        (r#""name":"a","managedFields":[]},"spec":1}"#, r#""name":"a"},"spec":1}"#),
        (r#""name":"a","managedFields":[],"uid":"u"}}"#, r#""name":"a","uid":"u"}}"#),
        (r#""managedFields":[{}]}}"#, "}}"),
        (r#""name":"a"}}"#, r#""name":"a"}}"#),
        ("}}", "}}"),
    ] {
        let found = Members::scan(members.as_bytes()).expect("members");
        let rest = [&members[..found.managers.start], &members[found.managers.end..]].concat();
        assert_eq!(rest, without);
        assert_eq!(found.name, if members.contains("name") { "a" } else { "" });
        assert_eq!(found.annotations, 0..0);
    }
    let noted = br#""annotations":{"a":"}"},"name":"a"}}"#;
    assert_eq!(&noted[Members::scan(noted).expect("members").annotations], br#"{"a":"}"}"#);
    assert_eq!(Members::scan(br#""name":"a""#), None);
}

#[test]
fn puts_the_resource_version_where_it_belongs() {
    let mut without_uid = pod();
    without_uid["metadata"].as_object_mut().expect("object").remove("uid");
    for mut object in [pod(), without_uid, json!({"metadata": {}})] {
        let bytes = with_resource_version(&serde_json::to_vec(&object).expect("encodes"), 42).expect("an object");
        object["metadata"]["resourceVersion"] = "42".into();
        assert_eq!(String::from_utf8(bytes).expect("text"), object.to_string());
    }
}

#[test]
fn refuses_what_is_not_an_object() {
    for bytes in ["", "{", "[]", "{\"metadata\":", "{\"metadata\":{\"name\":\"a", "{\"metadata\":3}", "{}", "\"\\"] {
        assert_eq!(Header::scan(bytes.as_bytes()), None, "{bytes}");
    }
}

proptest! {
    #[test]
    fn agrees_with_the_decoder(name in any::<String>(), value in any::<String>(), key in any::<String>()) {
        let object = json!({"metadata": {"name": name, "labels": {&key: &value}, "uid": "u"}});
        let bytes = serde_json::to_vec(&object).expect("encodes");
        let header = Header::scan(&bytes).expect("an object");
        prop_assert_eq!(&*header.name, &name);
        prop_assert_eq!(header.label(&key).map(|it| it.into_owned()), Some(value));
    }

    #[test]
    fn never_panics(bytes in any::<Vec<u8>>()) {
        let _ = Header::scan(&bytes);
        let mut object = b"{\"metadata\":{".to_vec();
        object.extend(bytes);
        let _ = Header::scan(&object);
    }
}

#[test]
fn malformed_lists_come_to_an_end() {
    for (list, items) in [("[1,{},\"a\"]", 3), ("[,,]", 0), ("[1,,2]", 1), ("[}", 0), ("[{},}", 1), ("[1", 0)] {
        assert_eq!(super::items(list.as_bytes()).take(9).count(), items, "{list}");
    }
}
