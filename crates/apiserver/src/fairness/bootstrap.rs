//! The flows and levels that every cluster has.
//!
//! Source: `k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap`.

use portolan_base::go;
use serde_json::{Value, json};

use super::GROUP;

/// Name, shares, percentage that may be lent, queues, hand.
const LIMITED: [(&str, u32, u32, u32, u32); 6] = [
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
];

/// Says whether an object follows what is suggested.
const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

const ALL: &str = "system:unauthenticated system:authenticated";

/// Who writes them, as upstream names it.
pub(crate) const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";

/// Those without which nothing works: nobody may take them away or change them.
pub(crate) const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// The object of this kind and name that every cluster must have.
pub(crate) fn mandatory(kind: &str, name: &str) -> Option<Value> {
    if !MANDATORY.contains(&name) {
        return None;
    }
    objects().into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

/// How a stored object must change; nothing if it is as it should be, or its owner keeps it as it is.
///
/// Source: `pkg/registry/flowcontrol/ensurer/strategy.go` of Kubernetes.
pub(crate) fn revised(old: &Value, wanted: &Value) -> Option<Value> {
    let is_mandatory = wanted["metadata"]["name"].as_str().is_some_and(|name| MANDATORY.contains(&name));
    let said = old["metadata"]["annotations"][AUTOUPDATE].as_str().and_then(go::parse_bool);
    // Whoever has changed the spec without a word keeps it.
    let follows = is_mandatory || said.unwrap_or(old["metadata"]["generation"] == 1);
    let mut new = old.clone();
    if follows {
        let exempt = old["spec"]["exempt"].clone();
        new["spec"].clone_from(&wanted["spec"]);
        // How much the exempt level lends is for administrators to say.
        if exempt.is_object() && new["spec"]["exempt"].is_object() {
            new["spec"]["exempt"] = exempt;
        }
    }
    if said != Some(follows) {
        new["metadata"]["annotations"][AUTOUPDATE] = follows.to_string().into();
    }
    (new != *old).then_some(new)
}

/// All objects, levels first.
pub(crate) fn objects() -> Vec<Value> {
    let mut objects = vec![level(
        "exempt",
        json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
    )];
    let reject = json!({"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}});
    objects.push(level("catch-all", json!({"type": "Limited", "limited": reject})));
    for (name, shares, lendable, queues, hand) in LIMITED {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        let limited = json!({
            "nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing},
        });
        objects.push(level(name, json!({"type": "Limited", "limited": limited})));
    }
    let leases = |verbs: &str| resources(verbs, "coordination.k8s.io", "leases", Reach::Namespaces);
    let users = |names: &str| subjects("User", names);
    let groups = |names: &str| subjects("Group", names);
    let nodes = [resources("*", "", "nodes nodes/status", Reach::Everywhere), leases("*")];
    let leaders = [users("system:kube-controller-manager system:kube-scheduler"), accounts("kube-system")].concat();
    let everything = || rules(&[resources("*", "*", "*", Reach::Everywhere)], &["*"]);
    objects.extend([
        schema("exempt", 1, "exempt", "", &[with(groups("system:masters"), everything())]),
        schema("probes", 2, "exempt", "", &[with(groups(ALL), rules(&[], &["/healthz", "/readyz", "/livez"]))]),
        schema(
            "system-leader-election",
            100,
            "leader-election",
            "ByUser",
            &[with(leaders, rules(&[leases("get create update")], &[]))],
        ),
        schema("system-node-high", 400, "node-high", "ByUser", &[with(groups("system:nodes"), rules(&nodes, &[]))]),
        schema("system-nodes", 500, "system", "ByUser", &[with(groups("system:nodes"), everything())]),
        schema(
            "kube-controller-manager",
            800,
            "workload-high",
            "ByNamespace",
            &[with(users("system:kube-controller-manager"), everything())],
        ),
        schema(
            "kube-scheduler",
            800,
            "workload-high",
            "ByNamespace",
            &[with(users("system:kube-scheduler"), everything())],
        ),
        schema(
            "kube-system-service-accounts",
            900,
            "workload-high",
            "ByNamespace",
            &[with(accounts("kube-system"), everything())],
        ),
        schema(
            "service-accounts",
            9000,
            "workload-low",
            "ByUser",
            &[with(groups("system:serviceaccounts"), everything())],
        ),
        schema("global-default", 9900, "global-default", "ByUser", &[with(groups(ALL), everything())]),
        schema("catch-all", 10000, "catch-all", "ByUser", &[with(groups(ALL), everything())]),
    ]);
    objects
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "annotations": {AUTOUPDATE: "true"}})
}

fn level(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "PriorityLevelConfiguration", "metadata": metadata(name), "spec": spec,
    })
}

fn schema(name: &str, precedence: u32, level: &str, distinguisher: &str, rules: &[Value]) -> Value {
    let mut spec =
        json!({"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level}, "rules": rules});
    if !distinguisher.is_empty() {
        spec["distinguisherMethod"] = json!({"type": distinguisher});
    }
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "FlowSchema", "metadata": metadata(name), "spec": spec})
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn subjects(kind: &str, names: &str) -> Vec<Value> {
    let field = if kind == "User" { "user" } else { "group" };
    words(names).into_iter().map(|name| json!({"kind": kind, field: {"name": name}})).collect()
}

fn accounts(namespace: &str) -> Vec<Value> {
    vec![json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": "*"}})]
}

/// Where resources are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// In any namespace.
    Namespaces,
    /// There and in none.
    Everywhere,
}

fn resources(verbs: &str, group: &str, resources: &str, reach: Reach) -> Value {
    let mut rule =
        json!({"verbs": words(verbs), "apiGroups": [group], "resources": words(resources), "namespaces": ["*"]});
    if reach == Reach::Everywhere {
        rule["clusterScope"] = true.into();
    }
    rule
}

fn rules(resources: &[Value], paths: &[&str]) -> Value {
    let mut rules = json!({});
    if !resources.is_empty() {
        rules["resourceRules"] = json!(resources);
    }
    if !paths.is_empty() {
        let verbs = if paths == ["*"] { "*" } else { "get" };
        rules["nonResourceRules"] = json!([{"verbs": [verbs], "nonResourceURLs": paths}]);
    }
    rules
}

fn with(subjects: Vec<Value>, mut rules: Value) -> Value {
    rules["subjects"] = subjects.into();
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_those_of_upstream() {
        let spec = |name: &str| {
            let mut found = objects().into_iter().filter(|object| object["kind"] == "FlowSchema");
            found.find(|object| object["metadata"]["name"] == name).map(|object| object["spec"].clone())
        };
        let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
        let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
        let everything = json!([{
            "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
        }]);
        let leases = |verbs: &[&str]| json!({"verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]});
        assert_eq!(
            spec("catch-all"),
            Some(json!({
                "priorityLevelConfiguration": {"name": "catch-all"}, "matchingPrecedence": 10000,
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [{
                    "subjects": [group("system:unauthenticated"), group("system:authenticated")],
                    "resourceRules": everything, "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                }],
            }))
        );
        assert_eq!(
            spec("system-leader-election"),
            Some(json!({
                "priorityLevelConfiguration": {"name": "leader-election"}, "matchingPrecedence": 100,
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [{
                    "subjects": [
                        user("system:kube-controller-manager"),
                        user("system:kube-scheduler"),
                        {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}},
                    ],
                    "resourceRules": [leases(&["get", "create", "update"])],
                }],
            }))
        );
        assert_eq!(
            spec("system-node-high").map(|spec| spec["rules"][0]["resourceRules"].clone()),
            Some(json!([
                {
                    "verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"], "clusterScope": true,
                    "namespaces": ["*"],
                },
                leases(&["*"]),
            ]))
        );
        assert_eq!(spec("workload-leader-election"), None);
    }
}
