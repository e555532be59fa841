use serde_json::json;

use super::*;
use crate::description::{GroupVersionKind, builtin};

fn patched(api_version: &str, kind: &str, mut document: Value, patch: &Value) -> Result<Value, Error> {
    let schema = builtin().schema(GroupVersionKind::from_api_version(api_version, kind)).expect("known kind");
    apply(&mut document, patch, schema)?;
    Ok(document)
}

fn check(api_version: &str, kind: &str, document: Value, patch: Value, expected: Value) {
    assert_eq!(patched(api_version, kind, document, &patch), Ok(expected), "{patch}");
}

fn pod(containers: Value) -> Value {
    json!({"spec": {"containers": containers}})
}

#[test]
fn merges_lists_by_their_key() {
    check(
        "v1",
        "Service",
        json!({"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]}}),
        json!({"spec": {"ports": [{"port": 443, "name": "tls"}, {"port": 81}]}}),
        json!({"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "tls"}, {"port": 81}]}}),
    );
    check(
        "v1",
        "Pod",
        pod(json!([{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}])),
        pod(json!([{"name": "a", "env": [{"name": "Y", "value": "3"}]}])),
        pod(json!([{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]}])),
    );
    check(
        "v1",
        "Pod",
        pod(json!([{"name": "a", "volumeMounts": [{"mountPath": "/x", "name": "v"}]}])),
        pod(
            json!([{"name": "a", "volumeMounts": [{"mountPath": "/y", "name": "v"}, {"mountPath": "/x", "readOnly": true}]}]),
        ),
        pod(
            json!([{"name": "a", "volumeMounts": [{"mountPath": "/y", "name": "v"}, {"mountPath": "/x", "name": "v", "readOnly": true}]}]),
        ),
    );
}

#[test]
fn new_items_come_first_without_an_order_and_in_place_with_one() {
    let live = pod(json!([{"name": "a"}, {"name": "b"}]));
    check(
        "v1",
        "Pod",
        live.clone(),
        pod(json!([{"name": "c"}])),
        pod(json!([{"name": "c"}, {"name": "a"}, {"name": "b"}])),
    );
    check(
        "v1",
        "Pod",
        live.clone(),
        json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "containers": [{"name": "c"}]}}),
        pod(json!([{"name": "b"}, {"name": "c"}, {"name": "a"}])),
    );
    check(
        "v1",
        "Pod",
        live,
        json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}),
        pod(json!([{"name": "b"}, {"name": "a"}])),
    );
}

#[test]
fn replaces_lists_that_are_not_merged() {
    check(
        "v1",
        "Pod",
        json!({"spec": {"tolerations": [{"key": "a"}, {"key": "b"}]}}),
        json!({"spec": {"tolerations": [{"key": "c"}]}}),
        json!({"spec": {"tolerations": [{"key": "c"}]}}),
    );
    check(
        "v1",
        "Pod",
        json!({"spec": {"tolerations": [{"key": "a"}]}}),
        json!({"spec": {"tolerations": [{"$patch": "delete", "key": "a"}, {"$patch": "replace"}]}}),
        json!({"spec": {"tolerations": [{"$patch": "delete", "key": "a"}, {"$patch": "replace"}]}}),
    );
    check(
        "v1",
        "Pod",
        pod(json!([{"name": "a", "args": ["x"]}])),
        pod(json!([{"name": "a", "args": ["y", "z"]}])),
        pod(json!([{"name": "a", "args": ["y", "z"]}])),
    );
}

#[test]
fn obeys_directives() {
    let live = || pod(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]));
    check(
        "v1",
        "Pod",
        live(),
        pod(json!([{"name": "a", "$patch": "delete"}])),
        pod(json!([{"name": "b", "image": "2"}])),
    );
    check("v1", "Pod", live(), pod(json!([{"$patch": "replace"}, {"name": "c"}])), pod(json!([{"name": "c"}])));
    check(
        "v1",
        "Pod",
        live(),
        json!({"spec": {"$patch": "replace", "nodeName": "n"}}),
        json!({"spec": {"nodeName": "n"}}),
    );
    check("v1", "Pod", live(), json!({"spec": {"$patch": "delete"}}), json!({"spec": {}}));
    let finalizers = json!({"metadata": {"finalizers": ["a", "b", "c"]}});
    check(
        "v1",
        "Pod",
        finalizers.clone(),
        json!({"metadata": {"finalizers": ["d", "b"]}}),
        json!({"metadata": {"finalizers": ["d", "a", "b", "c"]}}),
    );
    check(
        "v1",
        "Pod",
        finalizers.clone(),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b", "x"]}}),
        json!({"metadata": {"finalizers": ["a", "c"]}}),
    );
    check(
        "v1",
        "Pod",
        finalizers,
        json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["c", "d", "a"], "finalizers": ["d"]}}),
        json!({"metadata": {"finalizers": ["c", "d", "a"]}}),
    );
    check(
        "apps/v1",
        "Deployment",
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
}

#[test]
fn null_deletes_and_new_parts_lose_their_nulls() {
    check(
        "v1",
        "Pod",
        json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
        json!({"metadata": {"labels": {"a": null, "x": null}, "annotations": {"y": null, "z": "1"}}}),
        json!({"metadata": {"labels": {"b": "2"}, "annotations": {"z": "1"}}}),
    );
    check(
        "v1",
        "Pod",
        json!({"spec": {}}),
        json!({"spec": {"$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "b", "$patch": "delete"}, {"name": "a", "env": [{"name": "X", "$patch": "delete"}]}]}}),
        pod(json!([{"name": "a", "env": []}])),
    );
}

#[test]
fn what_is_new_is_taken_as_it_is() {
    // Directives inside are fields that no kind has: the check of fields tells of them.
    check(
        "v1",
        "Pod",
        pod(json!([{"name": "a"}])),
        pod(json!([{"name": "b", "image": null, "env": [{"name": "X", "$patch": "delete"}], "$retainKeys": []}])),
        pod(json!([{"name": "b", "env": [{"name": "X", "$patch": "delete"}], "$retainKeys": []}, {"name": "a"}])),
    );
    check(
        "v1",
        "Pod",
        json!({}),
        json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "nodeName": null, "containers": [{"name": "a"}]}}),
        json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a"}]}}),
    );
    check(
        "v1",
        "Pod",
        json!({"spec": {}}),
        json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "b"}, {"name": "c", "$patch": "delete"}, {"name": "a"}]}}),
        pod(json!([{"name": "b"}, {"name": "a"}])),
    );
    // The order is set before anything is taken out.
    check(
        "v1",
        "Pod",
        json!({"metadata": {"finalizers": ["b"]}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["d", "b"]}}),
        json!({"metadata": {"finalizers": []}}),
    );
}

#[test]
fn refuses_malformed_patches_and_leaves_the_document() {
    let live = json!({"metadata": {}, "spec": {"containers": [{"name": "a"}]}});
    let malformed = |text: &str| Error::Malformed(text.into());
    let unexpected = |text: &str| Error::Unexpected(text.into());
    let cases = [
        (json!([]), malformed("strategic merge patch format is not supported")),
        (pod(json!([{"image": "x"}])), unexpected("map: map[image:x] does not contain declared merge key: name")),
        (
            pod(json!([{"name": "a", "$patch": "twist"}])),
            unexpected("unknown patch type: twist in map: map[$patch:twist name:a]"),
        ),
        (json!({"spec": {"$patch": "twist"}}), unexpected("unknown patch type: twist in map: map[$patch:twist]")),
        (json!({"spec": {"$patch": "merge"}}), unexpected("unknown patch type: merge in map: map[$patch:merge]")),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a"}, {"$patch": "replace"}]}}),
            unexpected(
                "The order in patch list:\n[map[name:a] map[$patch:replace]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
            ),
        ),
        (
            pod(json!([{"name": "a", "$patch": "merge"}])),
            unexpected("merging lists cannot yet be specified in the patch"),
        ),
        (json!({"spec": {"$retainKeys": ["x"], "nodeName": "n"}}), malformed("invalid patch format of retainKeys")),
        (
            json!({"spec": {"$setElementOrder/containers": 3, "containers": []}}),
            unexpected("expected a []interface {}, but received a int64"),
        ),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}}),
            unexpected(
                "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
            ),
        ),
        (
            json!({"spec": {"$setElementOrder/volumes": [{"name": "a"}], "volumes": []}}),
            unexpected("no elements in any of the given slices"),
        ),
        (
            pod(json!([{"name": "a", "$patch": "replace"}, {}])),
            unexpected("map: map[] does not contain declared merge key: name"),
        ),
        (
            pod(json!([{"name": "a", "$patch": "merge"}, {"$patch": "replace"}])),
            unexpected("merging lists cannot yet be specified in the patch"),
        ),
        (
            pod(json!([{"name": "b"}, "c"])),
            unexpected("list element types are not identical: [[map[name:a]] [map[name:b] c]]"),
        ),
        (pod(json!([["c"]])), unexpected("list element types are not identical: [[map[name:a]] [[c]]]")),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": true}}),
            unexpected("expected a []interface {}, but received a bool"),
        ),
    ];
    for (patch, error) in cases {
        assert_eq!(patched("v1", "Pod", live.clone(), &patch), Err(error), "{patch}");
    }
}

#[test]
fn a_patch_applied_twice_changes_nothing_more() {
    let live = pod(json!([{"name": "a", "ports": [{"containerPort": 80}]}, {"name": "b"}]));
    let patch = json!({"metadata": {"finalizers": ["x"]}, "spec": {"containers": [
        {"name": "c"}, {"name": "a", "ports": [{"containerPort": 81}]}]}});
    let once = patched("v1", "Pod", live, &patch).expect("applies");
    assert_eq!(patched("v1", "Pod", once.clone(), &patch), Ok(once));
}
