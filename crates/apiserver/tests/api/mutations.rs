//! Policies that cannot do what they say.

use serde_json::{Value, json};

use crate::policies::{
    BINDINGS, MAPS, MUTATING, MUTATING_BINDINGS, POLICIES, binding, create_map, made, policy, rules,
};
use crate::support::{Cluster, cluster};

fn patching(expressions: &[&str]) -> Value {
    let mutations: Vec<Value> = expressions
        .iter()
        .map(|expression| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}))
        .collect();
    json!({"reinvocationPolicy": "Never", "mutations": mutations})
}

async fn bound_mutation(cluster: &Cluster, name: &str, spec: Value) {
    made(cluster, MUTATING, policy(name, spec)).await;
    made(cluster, MUTATING_BINDINGS, json!({"metadata": {"name": name}, "spec": {"policyName": name}})).await;
}

#[tokio::test]
async fn a_policy_with_parameters_of_no_known_kind_refuses_wherever_it_is_bound() {
    let cluster = cluster().await;
    let spec =
        json!({"paramKind": {"apiVersion": "a.example/v1", "kind": "A"}, "validations": [{"expression": "true"}]});
    made(&cluster, POLICIES, policy("strange", spec)).await;
    assert_eq!(create_map(&cluster, "a", json!({})).await.code, 201, "bound nowhere");
    let mut elsewhere = binding("strange", "strange", &["Warn"]);
    elsewhere["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"no": "such"}}});
    made(&cluster, BINDINGS, elsewhere).await;
    assert_eq!(
        create_map(&cluster, "b", json!({})).await.text(),
        "422 configmaps \"b\" is forbidden: ValidatingAdmissionPolicy 'strange' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'a.example/v1, Kind=A'"
    );
}

#[tokio::test]
async fn every_mutation_that_fails_is_told() {
    let cluster = cluster().await;
    let failing = [
        "[JSONPatch{op: 'remove', path: '/data/x'}]",
        "[JSONPatch{op: 'add', path: '/data/y', value: 'y'}]",
        "[JSONPatch{op: 'add', value: 'y'}]",
    ];
    bound_mutation(&cluster, "failing", patching(&failing)).await;
    let refused = create_map(&cluster, "a", json!({"a": "b"})).await;
    let told = |why: &str| format!("policy 'failing' with binding 'failing' denied request: JSON Patch: {why}");
    let expected = [
        told("error in remove for path: '/data/x': Unable to remove nonexistent key: x: missing value"),
        told("add operation does not apply: doc is missing path: \"\": missing value"),
    ];
    let causes: Vec<Value> = expected.iter().map(|message| json!({"message": message})).collect();
    assert_eq!(refused.text(), format!("403 {}", expected[0]));
    assert_eq!(refused.body["details"]["causes"], json!(causes));
}

#[tokio::test]
async fn what_a_mutation_makes_must_be_an_object_of_its_kind() {
    let apply = |expression: &str| {
        let mutation = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}});
        json!({"reinvocationPolicy": "Never", "mutations": [mutation]})
    };
    for (spec, expected) in [
        (
            patching(&["[JSONPatch{op: 'add', path: '/data', value: 'x'}]"]),
            "500 Internal error occurred: json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            patching(&["[JSONPatch{op: 'add', path: '/nope', value: 'x'}]"]),
            "500 Internal error occurred: strict decoding error: unknown field \"nope\"",
        ),
        (
            apply("Object{nope: 'x'}"),
            "403 policy 'm' with binding 'm' denied request: error applying patch: failed to convert patch object to typed object: .nope: field not declared in schema",
        ),
        (
            apply("Object{metadata: Object.spec{}}"),
            "403 policy 'm' with binding 'm' denied request: type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field name path from root Object type",
        ),
        (
            patching(&["[JSONPatch{op: 'replace', path: '/metadata/namespace', value: 'x'}]"]),
            "400 the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            apply("Object{metadata: Object.metadata{resourceVersion: '5'}}"),
            "500 resourceVersion should not be set on objects to be created",
        ),
    ] {
        let cluster = cluster().await;
        bound_mutation(&cluster, "m", spec.clone()).await;
        assert_eq!(create_map(&cluster, "a", json!({})).await.text(), expected, "{spec}");
    }
}

#[tokio::test]
async fn an_object_is_stored_under_the_name_that_a_mutation_gave_it() {
    let cluster = cluster().await;
    bound_mutation(&cluster, "m", patching(&["[JSONPatch{op: 'replace', path: '/metadata/name', value: 'b'}]"])).await;
    let created = create_map(&cluster, "a", json!({})).await;
    assert_eq!(created.code, 201, "{created:?}");
    assert_eq!(created.body["metadata"]["name"], "b");
    assert_eq!(cluster.get(&format!("{MAPS}/a")).await.code, 404);
    assert_eq!(cluster.get(&format!("{MAPS}/b")).await.code, 200);
    assert_eq!(create_map(&cluster, "c", json!({})).await.text(), "409 configmaps \"b\" already exists");
}

#[tokio::test]
async fn nobody_refuses_tokens_for_accounts_that_are_not_there() {
    let cluster = cluster().await;
    let mut refusing = policy("no", json!({"validations": [{"expression": "object.metadata.name != 'a'"}]}));
    refusing["spec"]["matchConstraints"] = rules("", "serviceaccounts/token");
    made(&cluster, POLICIES, refusing).await;
    made(&cluster, BINDINGS, binding("no", "no", &["Deny"])).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = cluster.create(&format!("{accounts}/a/token"), asked.clone()).await;
    assert_eq!(answer.text(), "404 serviceaccounts \"a\" not found");
    made(&cluster, accounts, json!({"metadata": {"name": "a"}})).await;
    assert_eq!(cluster.create(&format!("{accounts}/a/token"), asked).await.code, 422);
}
