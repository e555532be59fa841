use portolan_base::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::apply::{Apart, Error, Force, apply, apply_apart, track_update};
use crate::decode::Limits;
use crate::description::{GroupVersionKind, builtin};

const IGNORED: &[&[&str]] = &[&["status"]];

fn kind() -> Kind<'static> {
    let kind = GroupVersionKind { group: "apps", version: "v1", kind: "Deployment" };
    Kind { schema: builtin().schema(kind).expect("known kind"), ignored: IGNORED, convert: &|_, _| None }
}

fn manager(name: &'static str, second: i64) -> Manager<'static> {
    let now = Timestamp::from_second(second).expect("a time");
    Manager { name, api_version: "apps/v1", subresource: "", now }
}

/// An object as the server stores it.
fn stored(object: &Value) -> Vec<u8> {
    const FIRST: [&str; 3] = ["kind", "apiVersion", "metadata"];
    let fields = object.as_object().expect("an object");
    let rest = fields.keys().map(String::as_str).filter(|name| !FIRST.contains(name));
    let members: Vec<String> = FIRST
        .into_iter()
        .filter(|name| fields.contains_key(*name))
        .chain(rest)
        .map(|name| format!("{}:{}", Value::from(name), fields[name]))
        .collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn in_place(stored: &[u8], applied: &Value, manager: &Manager<'_>, force: Force) -> Option<InPlace> {
    let body = applied.to_string();
    let manifest = Manifest::read(body.as_bytes(), &Limits::default()).expect("an object in JSON");
    apply_in_place(stored, &manifest, &kind(), manager, force)
}

/// What the short way makes of an object if it is forced, held against the long one; and what it makes of it
/// otherwise.
fn short_way(live: &Value, applied: &Value, manager: &Manager<'_>) -> Option<InPlace> {
    let [unforced, forced] = [Force::No, Force::Yes].map(|force| held_against(live, applied, manager, force));
    if forced.as_ref().is_some_and(InPlace::leaves_object) {
        assert_eq!(unforced, forced, "there is nothing to force");
    }
    forced
}

fn held_against(live: &Value, applied: &Value, manager: &Manager<'_>, force: Force) -> Option<InPlace> {
    let bytes = stored(live);
    let found = in_place(&bytes, applied, manager, force)?;
    let mut object = live.clone();
    let before = object["metadata"].as_object_mut().and_then(|it| it.remove("managedFields")).expect("has managers");
    assert_eq!(&bytes[found.place.clone()], before.to_string().as_bytes());
    let (new, managers) = whole_way(live, applied, manager, force).expect("no conflict");
    assert_eq!(found.leaves_object(), new == object);
    found.change(&mut object);
    assert_eq!(object, new);
    let managers = managers.expect("somebody owns something");
    let short = found.managers.clone().map_or(before.to_string(), |it| String::from_utf8(it).expect("text"));
    assert_eq!(short, managers);
    object["metadata"]["managedFields"] = serde_json::from_str(&managers).expect("JSON");
    let encoded = String::from_utf8(found.encoded(&bytes)).expect("text");
    assert_eq!(encoded, String::from_utf8(stored(&object)).expect("text"));
    Some(found)
}

/// What an apply makes of an object whose managers stand in it, apart from them. It is the same if they stand beside
/// it.
fn whole_way(
    live: &Value,
    applied: &Value,
    manager: &Manager<'_>,
    force: Force,
) -> Result<(Value, Option<String>), Error> {
    let taken = |mut object: Value| {
        if object["metadata"].is_null() {
            // Of which nothing is left; the server fills it in again.
            object["metadata"] = json!({});
        }
        let managers = object["metadata"].as_object_mut().and_then(|it| it.remove("managedFields"));
        (object, managers.map(|it| it.to_string()))
    };
    let whole = apply(Some(live), applied, &kind(), manager, force).map(taken);
    let (object, managers) = taken(live.clone());
    let managers = managers.unwrap_or_default();
    let beside =
        apply_apart(Some(Apart { object: &object, managers: managers.as_bytes() }), applied, &kind(), manager, force);
    let text = |managers: Vec<u8>| String::from_utf8(managers).expect("text");
    let beside = beside.map(|(object, managers)| (taken(object).0, managers.map(text)));
    assert_eq!(beside, whole);
    whole
}

/// A Deployment with those of many fields that the bits choose.
fn deployment(bits: u64) -> Value {
    let has = |bit: u32| bits & (1 << bit) != 0;
    let fields = |list: Vec<(u32, &str, Value)>| -> Value {
        list.into_iter().filter(|(bit, ..)| has(*bit)).map(|(_, name, value)| (name.to_owned(), value)).collect()
    };
    let items = |list: Vec<(u32, Value)>| -> Value {
        list.into_iter().filter(|(bit, _)| has(*bit)).map(|(_, item)| item).collect()
    };
    let ports = items(vec![
        (0, json!({"containerPort": 80, "name": "web"})),
        (1, json!({"containerPort": 443, "protocol": "TCP"})),
        (2, json!({"containerPort": 80, "protocol": "UDP"})),
    ]);
    let variables = items(vec![
        (3, json!({"name": "B", "value": "1"})),
        (4, json!({"name": "A", "value": "a \"b\" \\ c\n\u{1}ü"})),
        (5, json!({"name": "odd name", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})),
    ]);
    let one = fields(vec![
        (6, "image", json!("example.com/a:1")),
        (7, "ports", ports.clone()),
        (8, "env", variables),
        (9, "args", json!(["-x", "a\"b"])),
        (10, "resources", json!({"limits": {"cpu": "1500m", "memory": "0.5Gi"}})),
        (11, "securityContext", json!({"runAsUser": 0, "privileged": true})),
        (12, "volumeMounts", json!([{"mountPath": "/b", "name": "v"}, {"mountPath": "/a", "name": "v"}])),
    ]);
    let named = |mut container: Value, name: &str| {
        container["name"] = name.into();
        container
    };
    let mut containers = items(vec![
        (13, named(one.clone(), "web")),
        (14, named(json!({"ports": ports}), "a-sidecar")),
        (15, named(one, "web-2")),
    ]);
    if has(16)
        && let Some(list) = containers.as_array_mut()
    {
        list.reverse();
    }
    let pod = fields(vec![
        (17, "containers", containers),
        (18, "nodeSelector", json!({"kubernetes.io/os": "linux", "a": "b"})),
        (19, "tolerations", json!([{"key": "k", "operator": "Exists"}])),
        (20, "terminationGracePeriodSeconds", json!(30)),
    ]);
    let template =
        json!({"metadata": {"labels": fields(vec![(21, "app", json!("web")), (22, "tier", json!("x"))])}, "spec": pod});
    let metadata = fields(vec![
        (23, "labels", json!({"app": "web", "a/b": "c"})),
        (24, "annotations", json!({"n": "a \"note\"", "empty": ""})),
        (25, "finalizers", items(vec![(26, json!("x.y/z")), (27, json!("a.b/c"))])),
        (28, "ownerReferences", json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "2"}])),
        (29, "namespace", json!("default")),
        (30, "uid", json!("u")),
    ]);
    let spec = fields(vec![
        (31, "template", template),
        (32, "replicas", json!(3)),
        (33, "selector", json!({"matchLabels": {"app": "web"}})),
        (34, "strategy", json!({"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}})),
        (35, "paused", json!(true)),
    ]);
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec});
    object["metadata"]["name"] = "web".into();
    object
}

/// What the first manager makes of an object, as it is stored: in its one form.
fn created(object: &Value) -> Value {
    let mut live = object.clone();
    drop(crate::schema::prune(&mut live, kind().schema));
    live["metadata"]["uid"] = "u".into();
    live["metadata"]["namespace"] = "default".into();
    track_update(None, &mut live, &kind(), &manager("creator", 1));
    live
}

#[test]
fn the_first_apply_of_what_is_there_writes_managers_and_the_next_one_nothing() {
    let manifest = deployment(u64::MAX);
    let live = created(&manifest);
    let first = short_way(&live, &manifest, &manager("a", 2)).expect("can be told");
    assert!(first.leaves_object());
    let mut next = live.clone();
    next["metadata"]["managedFields"] = serde_json::from_slice(&first.managers.expect("one more")).expect("JSON");
    let second = short_way(&next, &manifest, &manager("a", 3)).expect("can be told");
    assert!(second.leaves_object() && second.managers.is_none());
    assert!(short_way(&next, &deployment(0xf_0000_0000), &manager("b", 3)).is_some(), "who says less stands beside");
}

#[test]
fn a_value_is_changed_in_place_or_goes_the_long_way() {
    let live = created(&deployment(u64::MAX));
    let changed = |path: &str, value: Value| {
        let mut manifest = deployment(u64::MAX);
        let (around, name) = path.rsplit_once('/').expect("a path");
        manifest.pointer_mut(around).unwrap_or_else(|| panic!("{path}"))[name] = value;
        manifest
    };
    let container = "/spec/template/spec/containers/0";
    let in_place = [
        changed("/spec/replicas", json!(4)),
        changed("/metadata/labels/app", json!("we")),
        changed("/metadata/labels", json!({"a": "first", "a/b": "c", "app": "web", "more": "x"})),
        changed("/metadata/labels", json!({"app": "web", "b": "between", "more": "x", "z": "last"})),
        changed("/metadata/annotations/odd\n\"name\"", json!("\u{1}")),
        changed("/metadata/generateName", json!("w")),
        changed("/spec/minReadySeconds", json!(5)),
        changed("/spec/selector", json!({"matchLabels": {"app": "other"}})),
        changed("/spec/template/metadata/annotations", json!({"a": "1", "b": "2"})),
        changed("/spec/template/metadata/labels", json!({"app": "a", "tier": "b"})),
        changed("/spec/template/spec/nodeSelector/b", json!("c")),
        changed("/spec/template/spec/hostNetwork", json!(true)),
        changed("/spec/template/spec/dnsConfig", json!({"nameservers": ["192.0.2.1"]})),
        changed("/spec/template/spec/tolerations", json!([{"key": "other", "operator": "Exists"}])),
        changed(&format!("{container}/image"), json!("example.com/a:2")),
        changed(&format!("{container}/imagePullPolicy"), json!("Always")),
        changed(&format!("{container}/resources/limits/cpu"), json!("1501m")),
        changed(&format!("{container}/resources/requests"), json!({"memory": "1Gi"})),
        changed(&format!("{container}/args"), json!(["-x"])),
        changed(&format!("{container}/args"), json!(["-x", "a\\\"b"])),
        changed(&format!("{container}/env/0/value"), json!("2")),
        changed(&format!("{container}/securityContext/capabilities"), json!({"drop": ["ALL"]})),
    ];
    for manifest in in_place {
        let found = short_way(&live, &manifest, &manager("a", 2)).unwrap_or_else(|| panic!("{manifest}"));
        assert!(!found.leaves_object(), "{manifest}");
    }
    let long = [
        changed("/spec/replicas", json!("3")),
        changed("/spec/replicas", json!(3_000_000_000_u32)),
        changed("/spec/replicas", json!(null)),
        changed("/spec/paused", json!(false)),
        changed("/spec/template", json!(null)),
        changed("/spec/template", json!("x")),
        changed("/spec/strategy", json!({"rollingUpdate": null})),
        changed("/metadata/labels/b", json!(1)),
        changed("/metadata/labels/b", json!(null)),
        changed("/metadata/finalizers", json!(["a.b/c", "x.y/z"])),
        changed("/metadata/finalizers", json!(["a.b/c", "new/one", "x.y/z"])),
        changed("/metadata/uid", json!("another")),
        changed("/metadata/resourceVersion", json!("1")),
        changed(&format!("{container}/ports/0/containerPort"), json!(81)),
        changed(&format!("{container}/name"), json!("new")),
        changed("/spec/template/spec", json!({"unknown": 1})),
        changed("/spec/template/spec/securityContext", json!({"unknown": 1})),
        changed("/kind", json!("Pod")),
        changed("/status", json!({})),
    ];
    for manifest in long {
        assert_eq!(short_way(&live, &manifest, &manager("a", 2)), None, "{manifest}");
    }
}

#[test]
fn labels_of_an_object_that_has_none_stand_where_they_belong() {
    let live = created(&deployment(0xf_0000_0000));
    let mut manifest = deployment(0xf_0000_0000);
    manifest["metadata"]["labels"] = json!({"b": "1", "a": "2"});
    manifest["metadata"]["annotations"] = json!({"z": "1", "a": "2"});
    let found = short_way(&live, &manifest, &manager("a", 2)).expect("can be told");
    assert!(!found.only_notes(|_| true), "they are new as a whole");
    let mut next = live.clone();
    next["metadata"]["labels"] = json!({});
    let found = short_way(&next, &manifest, &manager("a", 2)).expect("can be told");
    assert!(!found.leaves_object());
    next["metadata"]["labels"] = json!({"b": "1"});
    next["metadata"]["annotations"] = json!({"z": "2"});
    let found = short_way(&next, &manifest, &manager("a", 2)).expect("can be told");
    assert!(found.only_notes(|name| ["a", "z"].contains(&name)));
    assert!(!found.only_notes(|name| name == "a"));
}

#[test]
fn whose_value_is_changed_is_asked_unless_it_is_forced() {
    let all = deployment(u64::MAX);
    let live = apply(Some(&created(&all)), &all, &kind(), &manager("a", 2), Force::No).expect("no conflict");
    let mut other = all.clone();
    other["spec"]["replicas"] = 4.into();
    let bytes = stored(&live);
    let applied = |who, force| in_place(&bytes, &other, &manager(who, 3), force);
    assert_eq!(applied("b", Force::No), None, "a conflict");
    assert!(applied("b", Force::Yes).is_some());
    // It has to be asked of the creator, too.
    assert_eq!(applied("a", Force::No), None);
    let forced = held_against(&live, &other, &manager("a", 3), Force::Yes).expect("can be told");
    let mut alone = live.clone();
    forced.change(&mut alone);
    alone["metadata"]["managedFields"] = serde_json::from_slice(&forced.managers.expect("new ones")).expect("JSON");
    other["spec"]["replicas"] = 5.into();
    assert!(held_against(&alone, &other, &manager("a", 4), Force::No).is_some(), "nobody else has it now");
}

#[test]
fn what_is_given_up_goes_the_long_way() {
    let all = deployment(u64::MAX);
    let live = apply(Some(&created(&all)), &all, &kind(), &manager("a", 2), Force::No).expect("no conflict");
    assert_eq!(short_way(&live, &deployment(u64::MAX ^ (1 << 32)), &manager("a", 3)), None);
    let less = apply(Some(&created(&all)), &deployment(0xf_0000_0000), &kind(), &manager("a", 2), Force::No);
    assert!(short_way(&less.expect("no conflict"), &all, &manager("a", 3)).is_some(), "it owns more");
}

#[test]
fn managers_that_are_written_otherwise_are_read_the_long_way() {
    let all = deployment(u64::MAX);
    let mut live = created(&all);
    let entry = live["metadata"]["managedFields"][0].clone();
    let with = |name: &str, value: Value| {
        let mut entry = entry.clone();
        entry[name] = value;
        json!([entry])
    };
    let lists = [
        json!([]),
        json!([entry, entry]),
        with("apiVersion", json!("apps/v1beta1")),
        with("fieldsType", json!("FieldsV2")),
        with("fieldsV1", json!({})),
        with("fieldsV1", json!({"f:spec": {".": {}}})),
        with("fieldsV1", json!({"x:spec": {}})),
        with("fieldsV1", json!({"k:spec": {}})),
        with("fieldsV1", json!({"f:spec": 1})),
        // One owner has all of it by now.
        with("fieldsV1", json!({"f:spec": {"f:selector": {"f:matchLabels": {"f:app": {}}}}})),
        with("operation", json!("Delete")),
        with("subresource", json!("")),
        with("more", json!(1)),
        json!([{"manager": "x"}]),
        json!({}),
    ];
    for list in lists {
        live["metadata"]["managedFields"] = list.clone();
        let found = in_place(&stored(&live), &all, &manager("a", 2), Force::Yes);
        assert_eq!(found, None, "{list}");
    }
    let bytes = stored(&created(&all));
    for end in 0..bytes.len() {
        assert_eq!(in_place(&bytes[..end], &all, &manager("a", 2), Force::Yes), None);
    }
}

proptest! {
    #[test]
    fn the_short_way_says_what_the_long_one_says(
        first in any::<u64>(), second in any::<u64>(), third in any::<u64>(), order in any::<bool>(), which in 0..3_usize,
        who in 0..5_usize,
    ) {
        let (first, second, third) = (deployment(first), deployment(second), deployment(third));
        let live = created(&first);
        short_way(&live, &second, &manager("a", 2));
        let live = apply(Some(&live), &second, &kind(), &manager("a", 2), Force::Yes).expect("forced");
        let mut stored = live.clone();
        drop(crate::schema::prune(&mut stored, kind().schema));
        let mut again = second.clone();
        drop(crate::schema::prune(&mut again, kind().schema));
        if again == second {
            // Nothing in it that is as good as nothing.
            let again = short_way(&stored, &again, &manager("a", 3)).expect("can be told");
            prop_assert!(again.leaves_object() && again.managers.is_none());
        }
        let other = manager(if order { "0" } else { "b" }, 3);
        short_way(&stored, &third, &other);
        let mut live = apply(Some(&stored), &third, &kind(), &other, Force::Yes).expect("forced");
        drop(crate::schema::prune(&mut live, kind().schema));
        let (manifest, manager) = ([&first, &second, &third][which], manager(["a", "b", "0", "creator", "kubectl"][who], 4));
        short_way(&live, manifest, &manager);
        for force in [Force::No, Force::Yes] {
            let _ = whole_way(&live, manifest, &manager, force);
        }
    }
}
