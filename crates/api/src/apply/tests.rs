use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::description::{GroupVersionKind, builtin};

fn manager(name: &'static str) -> Manager<'static> {
    Manager { name, api_version: "apps/v1", subresource: "", now: Timestamp::UNIX_EPOCH }
}

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

fn containers(containers: &Value) -> Value {
    deployment(&json!({"template": {"spec": {"containers": containers}}}))
}

fn schema() -> Schema<'static> {
    builtin().schema(GroupVersionKind::from_api_version("apps/v1", "Deployment")).expect("known kind")
}

const STATUS: &[&[&str]] = &[&["status"]];

/// Another version of Deployments, with the same fields.
const OLDER: &str = "apps/v1beta1";

fn convert<'v>(object: &'v Value, version: &str) -> Option<Versioned<'v, 'static>> {
    (version == OLDER).then(|| (Cow::Borrowed(object), schema()))
}

fn kind() -> Kind<'static> {
    Kind { schema: schema(), ignored: STATUS, convert: &convert }
}

fn apply_as(name: &'static str, live: Option<&Value>, applied: &Value) -> Result<Value, Error> {
    apply(live, applied, &kind(), &manager(name), Force::No)
}

fn applied(name: &'static str, live: Option<&Value>, applied: &Value) -> Value {
    apply_as(name, live, applied).expect("no conflict")
}

/// The object without its managers, and one line for each of them.
fn check(object: &Value, expected: Expect) {
    let mut object = object.clone();
    let managers = object["metadata"].as_object_mut().and_then(|it| it.remove("managedFields")).unwrap_or_default();
    let mut text = object["spec"].to_string();
    for entry in managers.as_array().into_iter().flatten() {
        let part = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        text.push_str(&format!("\n{} {}: {}", part("manager"), part("operation"), entry["fieldsV1"]));
    }
    expected.assert_eq(&text);
}

#[test]
fn an_apply_owns_what_it_says() {
    let object = applied(
        "a",
        None,
        &containers(&json!([{"name": "c", "image": "i", "args": ["x"],
        "ports": [{"containerPort": 80}]}])),
    );
    check(
        &object,
        expect![[r#"
        {"template":{"spec":{"containers":[{"args":["x"],"image":"i","name":"c","ports":[{"containerPort":80}]}]}}}
        a Apply: {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}}"#]],
    );
}

#[test]
fn what_is_given_up_goes_unless_others_own_it() {
    let first = applied("a", None, &deployment(&json!({"replicas": 3, "paused": true, "minReadySeconds": 1})));
    let second = applied("b", Some(&first), &deployment(&json!({"replicas": 3})));
    check(
        &applied("a", Some(&second), &deployment(&json!({"minReadySeconds": 1}))),
        expect![[r#"
        {"minReadySeconds":1,"replicas":3}
        a Apply: {"f:spec":{"f:minReadySeconds":{}}}
        b Apply: {"f:spec":{"f:replicas":{}}}"#]],
    );
}

#[test]
fn an_item_that_is_given_up_goes_with_its_defaults() {
    let mut live = applied("a", None, &containers(&json!([{"name": "c"}, {"name": "d"}])));
    live["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always".into();
    check(
        &applied("a", Some(&live), &containers(&json!([{"name": "c"}]))),
        expect![[r#"
        {"template":{"spec":{"containers":[{"name":"c"}]}}}
        a Apply: {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{}}}}}}}"#]],
    );
}

#[test]
fn a_change_of_what_others_own_is_a_conflict() {
    let mut live = deployment(&json!({"replicas": 3}));
    track_update(None, &mut live, &kind(), &manager("kubectl-client-side-apply"));
    let change = deployment(&json!({"replicas": 4}));
    let error = apply_as("kubectl", Some(&live), &change).expect_err("conflict");
    expect![[
        r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas"#
    ]]
    .assert_eq(&error.to_string());
    let forced = apply(Some(&live), &change, &kind(), &manager("kubectl"), Force::Yes).expect("forced");
    check(
        &forced,
        expect![[r#"
        {"replicas":4}
        kubectl Apply: {"f:spec":{"f:replicas":{}}}"#]],
    );
    // The same value is no conflict: both own it.
    check(
        &applied("kubectl", Some(&live), &deployment(&json!({"replicas": 3}))),
        expect![[r#"
        {"replicas":3}
        kubectl Apply: {"f:spec":{"f:replicas":{}}}
        kubectl-client-side-apply Update: {"f:spec":{"f:replicas":{}}}"#]],
    );
}

#[test]
fn many_conflicts_are_listed_by_manager() {
    let live = applied("a", None, &containers(&json!([{"name": "c", "image": "1", "command": ["x"]}])));
    let live = applied("b", Some(&live), &deployment(&json!({"replicas": 1})));
    let change = deployment(&json!({"replicas": 2, "template": {"spec": {"containers": [
        {"name": "c", "image": "2", "command": ["y"]}]}}}));
    let Err(Error::Conflicts(conflicts)) = apply_as("x", Some(&live), &change) else { panic!("conflict") };
    expect![[r#"
        Apply failed with 3 conflicts: conflicts with "a":
        - .spec.template.spec.containers[name="c"].command
        - .spec.template.spec.containers[name="c"].image
        conflicts with "b":
        - .spec.replicas"#]]
    .assert_eq(&conflicts.to_string());
    assert_eq!(conflicts.0[2].message(), r#"conflict with "b""#);
}

#[test]
fn an_apply_that_changes_nothing_changes_no_byte() {
    let applied_object = containers(&json!([{"name": "c", "image": "1"}]));
    let live = applied("a", None, &applied_object);
    let later = Manager { now: Timestamp::MAX, ..manager("a") };
    let again = apply(Some(&live), &applied_object, &kind(), &later, Force::No).expect("no conflict");
    assert_eq!(again.to_string(), live.to_string());
}

#[test]
fn updates_take_what_they_change() {
    let live = applied("a", None, &deployment(&json!({"replicas": 1, "paused": true})));
    let mut new = live.clone();
    new["spec"] = json!({"replicas": 2});
    new["metadata"]["labels"] = json!({"x": "1"});
    track_update(Some(&live), &mut new, &kind(), &manager("edit"));
    check(
        &new,
        expect![[r#"
        {"replicas":2}
        edit Update: {"f:metadata":{"f:labels":{".":{},"f:x":{}}},"f:spec":{"f:replicas":{}}}"#]],
    );
    let before = new.clone();
    track_update(Some(&before), &mut new, &kind(), &Manager { now: Timestamp::MAX, ..manager("edit") });
    assert_eq!(new, before);
}

#[test]
fn managed_fields_can_be_reset() {
    let live = applied("a", None, &deployment(&json!({"replicas": 1})));
    let mut new = live.clone();
    new["metadata"]["managedFields"] = json!([{}]);
    track_update(Some(&live), &mut new, &kind(), &manager("edit"));
    assert_eq!(new["metadata"].get("managedFields"), None);
    // Objects that nobody is recorded for belong to a stand-in.
    let error = apply_as("b", Some(&new), &deployment(&json!({"replicas": 2}))).expect_err("conflict");
    expect![[r#"Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas"#]]
        .assert_eq(&error.to_string());
}

#[test]
fn old_updates_are_merged() {
    let mut live = deployment(&json!({"replicas": 1}));
    let first = Manager { subresource: "scale", ..manager("m00") };
    track_update(None, &mut live, &kind(), &first);
    let names = ["m00", "m01", "m02", "m03", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11", "m12"];
    for (index, name) in names.into_iter().enumerate() {
        let mut new = live.clone();
        new["metadata"]["labels"][name] = "x".into();
        let now = Timestamp::from_second(index as i64).expect("in range");
        track_update(Some(&live), &mut new, &kind(), &Manager { now, ..manager(name) });
        live = new;
    }
    let entries = live["metadata"]["managedFields"].as_array().expect("a list");
    let names: Vec<&str> = entries.iter().filter_map(|entry| entry["manager"].as_str()).collect();
    assert_eq!(names, ["ancient-changes", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11", "m12"]);
}

#[test]
fn refuses_what_cannot_be_applied() {
    let cases = [
        (
            deployment(&json!({"foo": 1})),
            "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
        ),
        (
            containers(&json!([{"name": "a"}, {"name": "a"}])),
            "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (json!({"metadata": {"managedFields": []}}), "metadata.managedFields must be nil"),
    ];
    for (object, expected) in cases {
        assert_eq!(apply_as("a", None, &object).map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
}

#[test]
fn sets_atomic_lists_and_status() {
    let object = |finalizers: &Value, tolerations: &Value| {
        json!({"metadata": {"finalizers": finalizers}, "status": {"replicas": 1},
            "spec": {"template": {"spec": {"tolerations": tolerations}}}})
    };
    let live = applied("a", None, &object(&json!(["x", "y"]), &json!([{"key": "t"}])));
    assert_eq!(live.get("status"), None);
    let live = applied("b", Some(&live), &json!({"metadata": {"finalizers": ["z", "y"]}}));
    assert_eq!(live["metadata"]["finalizers"], json!(["x", "z", "y"]));
    let live = applied("a", Some(&live), &object(&json!([]), &json!([{"key": "u"}])));
    assert_eq!(live["metadata"]["finalizers"], json!(["z", "y"]));
    assert_eq!(live["spec"]["template"]["spec"]["tolerations"], json!([{"key": "u"}]));
}

/// The paths that the first writer of an object gets.
fn first_owner(api_version: &str, kind_name: &str, object: &Value, expected: Expect) {
    let known = builtin().schema(GroupVersionKind::from_api_version(api_version, kind_name)).expect("known kind");
    let mut object = object.clone();
    let kind = Kind { schema: known, ignored: STATUS, convert: &|_, _| None };
    track_update(None, &mut object, &kind, &Manager { api_version, ..manager("m") });
    expected.assert_eq(&object["metadata"]["managedFields"][0]["fieldsV1"].to_string());
}

#[test]
fn what_is_always_there_is_not_added() {
    first_owner(
        "apps/v1",
        "Deployment",
        &deployment(&json!({
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {"containers": [{"name": "c", "resources": {}, "ports": []}], "securityContext": {},
                "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}}},
        })),
        expect![[
            r#"{"f:spec":{"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{}},"f:type":{}},"f:template":{"f:spec":{"f:affinity":{".":{},"f:nodeAffinity":{".":{},"f:preferredDuringSchedulingIgnoredDuringExecution":{}}},"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{},"f:ports":{},"f:resources":{}}},"f:securityContext":{}}}}}"#
        ]],
    );
}

#[test]
fn what_is_kept_as_it_came_has_one_owner() {
    first_owner(
        "apps/v1",
        "ControllerRevision",
        &json!({"revision": 1, "data": {"spec": {"list": [{"a": 1}], "text": "x", "empty": {}}}}),
        expect![[r#"{"f:data":{},"f:revision":{}}"#]],
    );
}

#[test]
fn one_who_says_nothing_writes_once() {
    let bare = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    let mut live = applied("a", None, &bare);
    live["spec"] = json!({"replicas": 1});
    assert_eq!(applied("a", Some(&live), &bare), live);
}

#[test]
fn null_takes_a_value_away_and_keeps_the_field() {
    let live = applied("a", None, &deployment(&json!({"replicas": 1, "paused": true})));
    let object = deployment(&json!({"replicas": null}));
    assert!(matches!(apply_as("b", Some(&live), &object), Err(Error::Conflicts(_))));
    check(
        &apply(Some(&live), &object, &kind(), &manager("b"), Force::Yes).expect("forced"),
        expect![[r#"
            {"paused":true,"replicas":null}
            a Apply: {"f:spec":{"f:paused":{}}}
            b Apply: {"f:spec":{"f:replicas":{}}}"#]],
    );
}

#[test]
fn who_agrees_shares_without_a_time_of_its_own() {
    let object = deployment(&json!({"replicas": 1}));
    let live = applied("a", None, &object);
    let both = applied("b", Some(&live), &object);
    let times: Vec<bool> = both["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry.get("time").is_some())
        .collect();
    assert_eq!(times, [true, false]);
}

#[test]
fn only_taking_something_changes_the_time() {
    let mut live = deployment(&json!({"replicas": 1, "paused": true}));
    track_update(None, &mut live, &kind(), &manager("edit"));
    let mut new = live.clone();
    new["spec"] = json!({"replicas": 1});
    track_update(Some(&live), &mut new, &kind(), &Manager { now: Timestamp::MAX, ..manager("edit") });
    let entry = &new["metadata"]["managedFields"][0];
    assert_eq!(entry["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(entry["time"], live["metadata"]["managedFields"][0]["time"]);
}

#[test]
fn managers_of_other_versions_are_compared_and_of_gone_ones_dropped() {
    let older = Manager { api_version: OLDER, ..manager("old") };
    let gone = Manager { api_version: "apps/v0", ..manager("gone") };
    let live = apply(None, &deployment(&json!({"replicas": 1})), &kind(), &gone, Force::No).expect("new");
    let live = apply(Some(&live), &deployment(&json!({"paused": true})), &kind(), &older, Force::No);
    let live = live.expect("no conflict");
    let error = apply_as("x", Some(&live), &deployment(&json!({"paused": false}))).expect_err("conflict");
    expect![[r#"Apply failed with 1 conflict: conflict with "old": .spec.paused"#]].assert_eq(&error.to_string());
    check(
        &applied("x", Some(&live), &deployment(&json!({"replicas": 2}))),
        expect![[r#"
            {"paused":true,"replicas":2}
            old Apply: {"f:spec":{"f:paused":{}}}
            x Apply: {"f:spec":{"f:replicas":{}}}"#]],
    );
}

#[test]
fn kubectl_takes_over_from_its_client_side_apply() {
    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let mut live = deployment(&json!({"replicas": 3, "paused": true}));
    live["metadata"]["annotations"][LAST] = live.to_string().into();
    track_update(None, &mut live, &kind(), &manager("kubectl-client-side-apply"));
    let next = deployment(&json!({"replicas": 4, "paused": true}));
    assert!(apply_as("other", Some(&live), &next).is_err());
    let taken = applied("kubectl", Some(&live), &next);
    assert_eq!(taken["spec"]["replicas"], 4);
    assert_eq!(taken["metadata"]["annotations"][LAST], format!("{next}\n"));
    // Not what someone changed since.
    live["spec"]["replicas"] = 5.into();
    let error = apply_as("kubectl", Some(&live), &next).expect_err("conflict");
    expect![[
        r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas"#
    ]]
    .assert_eq(&error.to_string());
}

#[test]
fn the_scale_knows_who_owns_the_replicas() {
    let path = |version: &str| (version == "apps/v1").then(|| vec!["spec".to_owned(), "replicas".to_owned()]);
    let live = applied("a", None, &deployment(&json!({"replicas": 1, "paused": true})));
    let parent = &live["metadata"]["managedFields"];
    let of_scale = replicas_of_parent(parent, &path);
    assert_eq!(of_scale[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(of_scale[0]["apiVersion"], "autoscaling/v1");
    assert_eq!(&replicas_to_parent(parent, &of_scale, "apps/v1", &path), parent);
    let mut other = of_scale;
    other[0]["manager"] = "b".into();
    other[0]["subresource"] = "scale".into();
    let mut taken = live.clone();
    taken["metadata"]["managedFields"] = replicas_to_parent(parent, &other, "apps/v1", &path);
    check(
        &taken,
        expect![[r#"
            {"paused":true,"replicas":1}
            a Apply: {"f:spec":{"f:paused":{}}}
            b Apply: {"f:spec":{"f:replicas":{}}}"#]],
    );
}

#[test]
fn duplicates_of_stored_objects_are_replaced() {
    let live = containers(&json!([{"name": "c", "env": [{"name": "X", "value": "1"}, {"name": "Y"}, {"name": "X"}]}]));
    let object = containers(&json!([{"name": "c", "env": [{"name": "X", "value": "2"}]}]));
    let merged = apply(Some(&live), &object, &kind(), &manager("a"), Force::Yes).expect("forced");
    let env = &merged["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env, &json!([{"name": "X", "value": "2"}, {"name": "Y"}]));
}

#[test]
fn what_became_atomic_is_owned_as_a_whole() {
    let mut live = deployment(&json!({"selector": {"matchLabels": {"a": "b"}}}));
    live["metadata"]["managedFields"] = json!([{"manager": "a", "operation": "Apply", "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:selector": {"f:matchLabels": {"f:a": {}}}}}}]);
    let next = applied("b", Some(&live), &deployment(&json!({"replicas": 1})));
    assert_eq!(next["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:spec": {"f:selector": {}}}));
}

#[test]
fn field_sets_survive_a_round_trip() {
    let value = json!({"f:a": {}, "f:b": {".": {}, "k:{\"name\":\"x\"}": {}}, "f:c": {"v:\"s\"": {}, "i:0": {}}});
    assert_eq!(FieldSet::read(&value).expect("well-formed").to_value(), value);
}

fn some_containers(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let container = (
        prop::sample::select(names),
        prop::option::of("[a-c]"),
        prop::collection::btree_map(80_u16..83, "[a-c]", 0..3),
    );
    prop::collection::vec(container, 0..4).prop_map(|rows| {
        let rows: std::collections::BTreeMap<_, _> =
            rows.into_iter().map(|(name, image, ports)| (name, (image, ports))).collect();
        let rows = rows.into_iter().map(|(name, (image, ports))| {
            let ports: Vec<Value> =
                ports.iter().map(|(port, name)| json!({"containerPort": port, "name": name})).collect();
            let mut container = json!({"name": name, "ports": ports});
            if let Some(image) = image {
                container["image"] = image.into();
            }
            container
        });
        containers(&rows.collect())
    })
}

/// Lists sorted by name, managers left out: what must not depend on the order of writes.
fn content(object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    if let Some(list) = spec.pointer_mut("/template/spec/containers").and_then(Value::as_array_mut) {
        list.sort_by_key(|item| item["name"].to_string());
    }
    spec
}

/// Applies with the managers beside the object, and puts them in again.
fn apply_apart_as(name: &'static str, live: &Value, applied: &Value, force: Force) -> Result<Value, Error> {
    let (object, managers) = taken_apart(live);
    let live = Apart { object: &object, managers: managers.as_bytes() };
    let (object, managers) = apply_apart(Some(live), applied, &kind(), &manager(name), force)?;
    Ok(put_together(object, managers))
}

fn update_apart_as(name: &'static str, live: &Value, new: &Value) -> Value {
    let (object, managers) = taken_apart(live);
    let live = Apart { object: &object, managers: managers.as_bytes() };
    let mut new = new.clone();
    let managers = track_update_apart(live, &mut new, &kind(), &manager(name));
    put_together(new, managers)
}

fn taken_apart(live: &Value) -> (Value, String) {
    let mut object = live.clone();
    let managers = object["metadata"].as_object_mut().and_then(|it| it.remove("managedFields"));
    (object, managers.map(|list| list.to_string()).unwrap_or_default())
}

fn put_together(mut object: Value, managers: Option<Vec<u8>>) -> Value {
    if let Some(managers) = managers {
        object["metadata"]["managedFields"] = serde_json::from_slice(&managers).expect("is JSON");
    }
    object
}

proptest! {
    #[test]
    fn managers_beside_the_object_are_those_in_it(
        first in some_containers(&["a", "b", "c"]), second in some_containers(&["a", "b", "c"]), force in any::<bool>(),
    ) {
        let live = applied("x", None, &first);
        let force = if force { Force::Yes } else { Force::No };
        let inside = apply(Some(&live), &second, &kind(), &manager("y"), force);
        prop_assert_eq!(apply_apart_as("y", &live, &second, force), inside.clone());
        if let Ok(live) = inside {
            let mut updated = first.clone();
            track_update(Some(&live), &mut updated, &kind(), &manager("z"));
            prop_assert_eq!(update_apart_as("z", &live, &first), updated);
            let inside = apply(Some(&live), &first, &kind(), &manager("y"), force);
            prop_assert_eq!(apply_apart_as("y", &live, &first, force), inside);
        }
    }

    #[test]
    fn applying_twice_is_applying_once(first in some_containers(&["a", "b", "c"]), second in some_containers(&["a", "b", "c"])) {
        let live = applied("x", None, &first);
        let live = apply(Some(&live), &second, &kind(), &manager("y"), Force::Yes).expect("forced");
        let once = apply(Some(&live), &first, &kind(), &manager("x"), Force::Yes).expect("forced");
        let twice = apply(Some(&once), &first, &kind(), &manager("x"), Force::Yes).expect("forced");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn disjoint_owners_do_not_depend_on_order(first in some_containers(&["a", "b"]), second in some_containers(&["c", "d"])) {
        let one = applied("y", Some(&applied("x", None, &first)), &second);
        let other = applied("x", Some(&applied("y", None, &second)), &first);
        prop_assert_eq!(content(&one), content(&other));
        // And what the one gives up leaves the other alone.
        let gone = applied("x", Some(&one), &json!({"metadata": {"name": "web"}}));
        let others: Value = gone.pointer("/spec/template/spec/containers").cloned().unwrap_or(json!([]));
        let expected = second.pointer("/spec/template/spec/containers").cloned().unwrap_or(json!([]));
        prop_assert_eq!(others, expected);
    }
}

#[test]
fn the_first_manager_is_the_same_written_or_built() {
    let metadata = json!({
        "name": "web", "namespace": "n", "uid": "u", "generation": 1, "creationTimestamp": "1970-01-01T00:00:00Z",
        "labels": {"app": "web", "a\"b": "c"}, "annotations": {}, "finalizers": ["x", "y"],
        "ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}],
    });
    let spec = json!({"replicas": 1, "strategy": {}, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"creationTimestamp": null, "labels": {}},
        "spec": {
            "containers": [
                {"name": "b", "image": "i", "args": ["x"], "ports": [{"containerPort": 80}, {"containerPort": 80}],
                 "resources": {"limits": {"cpu": "1"}, "requests": {}}, "env": [{"name": "A_B"}, {"name": "a b"}]},
                {"name": "a", "securityContext": {}, "volumeMounts": [{"mountPath": "/x", "name": "v"}]},
                {"image": "without a name"},
            ],
            "volumes": [], "hostAliases": [{"hostnames": ["a"]}], "tolerations": [{"key": "k"}],
            "topologySpreadConstraints": [{"topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
        },
    }});
    let bare = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    let full =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "unknown": {"x": 1}});
    let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": {}});
    for object in [full, bare, labelled] {
        for subresource in ["", "status"] {
            let manager = Manager { subresource, ..manager("m\"") };
            let mut built = object.clone();
            track_update(None, &mut built, &kind(), &manager);
            let built = built["metadata"].get("managedFields").map(Value::to_string);
            let written = managers_of_new(&object, &kind(), &manager);
            assert_eq!(written.map(|it| String::from_utf8(it).expect("text")), built);
        }
    }
}
