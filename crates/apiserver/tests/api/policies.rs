//! Admission policies: who refuses, who warns, who changes.

use serde_json::{Value, json};

use crate::support::{Answer, Cluster, admin, cluster, request};

pub(crate) const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
pub(crate) const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
pub(crate) const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies";
pub(crate) const MUTATING_BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings";
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

pub(crate) fn rules(group: &str, resource: &str) -> Value {
    json!({"resourceRules": [
        {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]},
    ]})
}

pub(crate) fn policy(name: &str, spec: Value) -> Value {
    let mut policy = json!({"metadata": {"name": name}, "spec": spec});
    if !policy["spec"]["matchConstraints"].is_object() {
        policy["spec"]["matchConstraints"] = rules("", "configmaps");
    }
    policy
}

pub(crate) fn binding(name: &str, policy: &str, actions: &[&str]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"policyName": policy, "validationActions": actions}})
}

pub(crate) async fn made(cluster: &Cluster, path: &str, object: Value) {
    let reply = cluster.create(path, object).await;
    assert_eq!(reply.code, 201, "{reply:?}");
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "x"}}, "data": data})
}

pub(crate) async fn create_map(cluster: &Cluster, name: &str, data: Value) -> Answer {
    cluster.create(MAPS, map(name, data)).await
}

/// Texts of the `Warning` headers.
fn warnings(answer: &Answer) -> Vec<String> {
    let headers = answer.headers.get_all("warning").iter();
    headers
        .filter_map(|header| Some(header.to_str().ok()?.split_once('"')?.1.trim_end_matches('"').to_owned()))
        .collect()
}

fn deployment(replicas: i64) -> Value {
    json!({"metadata": {"name": "d"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }})
}

#[tokio::test]
async fn a_policy_refuses_with_its_message_where_it_is_bound() {
    let cluster = cluster().await;
    let spec = json!({
        "matchConstraints": rules("apps", "deployments"),
        "variables": [{"name": "replicas", "expression": "object.spec.replicas"}],
        "matchConditions": [{"name": "named", "expression": "object.metadata.name != 'free'"}],
        "validations": [
            {"expression": "variables.replicas <= 5", "messageExpression": "'too many: ' + string(variables.replicas)"},
            {"expression": "variables.replicas > 0", "message": "none at all", "reason": "Forbidden"},
        ],
    });
    made(&cluster, POLICIES, policy("few.example.com", spec)).await;
    assert_eq!(cluster.create(DEPLOYMENTS, deployment(6)).await.code, 201, "bound nowhere");
    cluster.delete(&format!("{DEPLOYMENTS}/d"), json!({})).await;
    made(&cluster, BINDINGS, binding("everywhere", "few.example.com", &["Deny"])).await;
    let refused = cluster.create(DEPLOYMENTS, deployment(6)).await;
    assert_eq!(
        refused.text(),
        "422 deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'few.example.com' with binding 'everywhere' denied request: too many: 6"
    );
    assert_eq!(refused.body["reason"], "Invalid");
    assert_eq!(
        refused.body["details"]["causes"][0]["message"],
        "ValidatingAdmissionPolicy 'few.example.com' with binding 'everywhere' denied request: too many: 6"
    );
    let refused = cluster.create(DEPLOYMENTS, deployment(0)).await;
    assert_eq!(refused.code, 403, "{refused:?}");
    assert!(refused.text().ends_with("denied request: none at all"), "{refused:?}");
    let mut free = deployment(6);
    free["metadata"]["name"] = "free".into();
    assert_eq!(cluster.create(DEPLOYMENTS, free).await.code, 201);
    assert_eq!(cluster.create(DEPLOYMENTS, deployment(3)).await.code, 201);
    let patch =
        request("PATCH", &format!("{DEPLOYMENTS}/d"), "application/merge-patch+json", "{\"spec\":{\"replicas\":9}}");
    assert_eq!(cluster.send(admin(), patch).await.code, 422);
    cluster.delete(&format!("{BINDINGS}/everywhere"), json!({})).await;
    let patch =
        request("PATCH", &format!("{DEPLOYMENTS}/d"), "application/merge-patch+json", "{\"spec\":{\"replicas\":9}}");
    assert_eq!(cluster.send(admin(), patch).await.code, 200);
}

#[tokio::test]
async fn errors_follow_the_failure_policy_and_warnings_warn() {
    let cluster = cluster().await;
    let validations = json!([{"expression": "object.data.a == 'b'"}]);
    made(&cluster, POLICIES, policy("strict", json!({"validations": validations}))).await;
    made(&cluster, BINDINGS, binding("strict", "strict", &["Deny"])).await;
    let refused = create_map(&cluster, "m", json!({})).await;
    assert_eq!(
        refused.text(),
        "422 configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'strict' with binding 'strict' denied request: expression 'object.data.a == 'b'' resulted in error: no such key: data"
    );
    let variable = json!({"variables": [{"name": "a", "expression": "object.data.a"}], "validations": [{"expression": "variables.a == 'b'"}]});
    made(&cluster, POLICIES, policy("by-variable", variable)).await;
    cluster.delete(&format!("{BINDINGS}/strict"), json!({})).await;
    made(&cluster, BINDINGS, binding("by-variable", "by-variable", &["Deny"])).await;
    let refused = create_map(&cluster, "m", json!({})).await;
    let why = "expression 'variables.a == 'b'' resulted in error: composited variable \"a\" fails to evaluate: no such key: data";
    assert!(refused.text().ends_with(why), "{}", refused.text());
    cluster.delete(&format!("{BINDINGS}/by-variable"), json!({})).await;
    made(&cluster, BINDINGS, binding("strict", "strict", &["Deny"])).await;
    let refused = create_map(&cluster, "m", json!({"a": "c"})).await;
    assert!(refused.text().ends_with("denied request: failed expression: object.data.a == 'b'"), "{refused:?}");
    cluster.delete(&format!("{BINDINGS}/strict"), json!({})).await;

    let spec = json!({"validations": validations, "failurePolicy": "Ignore"});
    made(&cluster, POLICIES, policy("lenient", spec)).await;
    made(&cluster, BINDINGS, binding("lenient", "lenient", &["Warn"])).await;
    let allowed = create_map(&cluster, "m", json!({})).await;
    assert_eq!(allowed.code, 201);
    assert_eq!(warnings(&allowed), Vec::<String>::new());
    let allowed = create_map(&cluster, "n", json!({"a": "c"})).await;
    assert_eq!(allowed.code, 201);
    assert_eq!(
        warnings(&allowed),
        [
            "Validation failed for ValidatingAdmissionPolicy 'lenient' with binding 'lenient': failed expression: object.data.a == 'b'"
        ]
    );
}

#[tokio::test]
async fn parameters_are_looked_up() {
    let cluster = cluster().await;
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": rules("apps", "deployments"),
        "validations": [{
            "expression": "object.spec.replicas <= int(params.data.max)",
            "messageExpression": "'at most ' + params.data.max + ' in ' + namespaceObject.metadata.name",
        }],
    });
    made(&cluster, POLICIES, policy("limit", spec)).await;
    let mut bound = binding("limit", "limit", &["Deny"]);
    bound["spec"]["paramRef"] = json!({"name": "limits", "parameterNotFoundAction": "Deny"});
    made(&cluster, BINDINGS, bound).await;
    let refused = cluster.create(DEPLOYMENTS, deployment(2)).await;
    assert!(
        refused.text().ends_with(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        ),
        "{refused:?}"
    );
    made(&cluster, MAPS, map("limits", json!({"max": "3"}))).await;
    assert_eq!(cluster.create(DEPLOYMENTS, deployment(3)).await.code, 201);
    cluster.delete(&format!("{DEPLOYMENTS}/d"), json!({})).await;
    let refused = cluster.create(DEPLOYMENTS, deployment(4)).await;
    assert!(refused.text().ends_with("denied request: at most 3 in default"), "{refused:?}");
    let mut bound = binding("others", "limit", &["Deny"]);
    bound["spec"]["paramRef"] = json!({"selector": {"matchLabels": {"app": "x"}}, "parameterNotFoundAction": "Allow"});
    made(&cluster, BINDINGS, bound).await;
    made(&cluster, MAPS, map("more", json!({"max": "1"}))).await;
    let refused = cluster.create(DEPLOYMENTS, deployment(2)).await;
    assert!(refused.text().contains("with binding 'others' denied request: at most 1 in default"), "{refused:?}");
}

#[tokio::test]
async fn policies_that_make_no_sense_are_refused() {
    let cluster = cluster().await;
    let of = |expression: &str| json!({"validations": [{"expression": expression}]});
    let cases = [
        (
            of("object.foo ="),
            "spec.validations[0].expression: Invalid value: \"object.foo =\": compilation failed: ERROR: <input>:1:12: Syntax error: token recognition error at: '='\n | object.foo =\n | ...........^",
        ),
        (
            of("request.foo == 'a'"),
            "spec.validations[0].expression: Invalid value: \"request.foo == 'a'\": compilation failed: ERROR: <input>:1:8: undefined field 'foo'\n | request.foo == 'a'\n | .......^",
        ),
        (of("1"), "spec.validations[0].expression: Invalid value: \"1\": must evaluate to bool but got int"),
        (of(" "), "spec.validations[0].expression: Required value: expression is not specified"),
        (
            json!({"validations": [{"expression": "params.a == 1"}]}),
            "spec.validations[0].expression: Invalid value: \"params.a == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.a == 1\n | ^",
        ),
        (
            json!({"variables": [{"name": "a", "expression": "1"}], "validations": [{"expression": "variables.b"}]}),
            "spec.validations[0].expression: Invalid value: \"variables.b\": compilation failed: ERROR: <input>:1:10: undefined field 'b'\n | variables.b\n | .........^",
        ),
        (
            json!({"failurePolicy": "Perhaps", "validations": [{"expression": "true"}]}),
            "spec.failurePolicy: Unsupported value: \"Perhaps\": supported values: \"Fail\", \"Ignore\"",
        ),
    ];
    for (spec, expected) in cases {
        let reply = cluster.create(POLICIES, policy("p", spec)).await;
        assert_eq!(
            reply.text(),
            format!("422 ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: {expected}")
        );
    }
    let both = cluster.create(BINDINGS, binding("b", "p", &["Deny", "Warn"])).await;
    assert!(both.text().contains("must not contain both Deny and Warn"), "{both:?}");
}

#[tokio::test]
async fn mutating_policies_merge_and_patch() {
    let cluster = cluster().await;
    let apply = json!({
        "matchConstraints": rules("apps", "deployments"), "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{labels: {'team': 'a'}}, spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{name: c.name, image: 'registry/' + c.image})}}}}",
            }},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {'seen': string(object.spec.replicas)}}]",
            }},
        ],
    });
    made(&cluster, MUTATING, policy("prefix", apply)).await;
    made(&cluster, MUTATING_BINDINGS, json!({"metadata": {"name": "prefix"}, "spec": {"policyName": "prefix"}})).await;
    let reply = cluster.create(DEPLOYMENTS, deployment(2)).await;
    assert_eq!(reply.code, 201, "{reply:?}");
    assert_eq!(reply.body["metadata"]["labels"], json!({"team": "a"}));
    assert_eq!(reply.body["metadata"]["annotations"], json!({"seen": "2"}));
    let containers = &reply.body["spec"]["template"]["spec"]["containers"];
    assert_eq!((&containers[0]["name"], &containers[0]["image"]), (&json!("c"), &json!("registry/i")));

    let wrong = json!({"matchConstraints": rules("", "configmaps"), "reinvocationPolicy": "Never", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{metadata: Object.spec{labels: {'a': 'b'}}}"}},
    ]});
    made(&cluster, MUTATING, policy("wrong", wrong)).await;
    made(&cluster, MUTATING_BINDINGS, json!({"metadata": {"name": "wrong"}, "spec": {"policyName": "wrong"}})).await;
    let refused = create_map(&cluster, "m", json!({})).await;
    assert_eq!(
        refused.text(),
        "403 policy 'wrong' with binding 'wrong' denied request: type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field name path from root Object type"
    );
    let bad = json!({"reinvocationPolicy": "Never", "mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "Object{}"}},
    ]});
    let refused = cluster.create(MUTATING, policy("bad", bad)).await;
    assert!(refused.text().ends_with("must evaluate to list(JSONPatch) but got Object"), "{refused:?}");
}

#[tokio::test]
async fn a_policy_sees_other_versions_in_the_one_that_it_names() {
    const SCALERS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let cluster = cluster().await;
    let equivalent = json!({"matchPolicy": "Equivalent", "resourceRules": [{
        "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["horizontalpodautoscalers"],
    }]});
    let mut exact = equivalent.clone();
    exact["matchPolicy"] = "Exact".into();
    let low = "object.spec.targetCPUUtilizationPercentage <= 80 && request.kind.version == 'v1' \
               && request.requestKind.version == 'v2'";
    let validations = json!([{"expression": low, "message": "too busy"}]);
    let never = json!([{"expression": "false"}]);
    for (name, constraints, validations) in
        [("low.example.com", &equivalent, validations), ("never.example.com", &exact, never)]
    {
        let spec = json!({"matchConstraints": constraints, "validations": validations});
        made(&cluster, POLICIES, policy(name, spec)).await;
        made(&cluster, BINDINGS, binding(name, name, &["Deny"])).await;
    }
    let mutation =
        "Object{spec: Object.spec{targetCPUUtilizationPercentage: object.spec.targetCPUUtilizationPercentage - 30}}";
    let spec = json!({
        "matchConstraints": equivalent, "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "tall", "expression": "object.spec.maxReplicas == 7"}],
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mutation}}],
    });
    made(&cluster, MUTATING, policy("calm.example.com", spec)).await;
    made(
        &cluster,
        MUTATING_BINDINGS,
        json!({"metadata": {"name": "calm"}, "spec": {"policyName": "calm.example.com"}}),
    )
    .await;
    let scaler = |name: &str, most: i64, percent: i64| {
        json!({"metadata": {"name": name}, "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent},
            }}],
        }})
    };
    for (name, most, percent, expected) in
        [("a", 5, 80, Ok(80)), ("b", 5, 81, Err("too busy")), ("c", 7, 90, Ok(60)), ("d", 7, 111, Err("too busy"))]
    {
        let answer = cluster.create(SCALERS, scaler(name, most, percent)).await;
        match expected {
            Ok(percent) => {
                let metric = &answer.body["spec"]["metrics"][0]["resource"];
                assert_eq!(metric["target"]["averageUtilization"], percent, "{name}: {answer:?}");
            }
            Err(why) => assert!(answer.code == 422 && answer.text().ends_with(why), "{name}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn expressions_ask_who_may_what() {
    let cluster = cluster().await;
    let spec = json!({"validations": [{
        "expression": "authorizer.group('').resource('secrets').namespace('default').check('get').allowed() && !authorizer.serviceAccount('default', 'default').group('').resource('secrets').namespace('default').check('get').allowed() && authorizer.requestResource.check('create').allowed()",
    }]});
    made(&cluster, POLICIES, policy("asks", spec)).await;
    made(&cluster, BINDINGS, binding("asks", "asks", &["Deny"])).await;
    let reply = create_map(&cluster, "m", json!({})).await;
    assert_eq!(reply.code, 422, "three questions are too expensive: {reply:?}");
    assert!(reply.text().ends_with("operation cancelled: actual cost limit exceeded"), "{reply:?}");
}
