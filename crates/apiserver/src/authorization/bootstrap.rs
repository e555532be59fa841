//! The roles and bindings that every cluster has.
//!
//! Source: `k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy`. Here all
//! controllers share one identity and one role; upstream's, one for each, are there for others.

use serde_json::{Value, json};

mod controllers;
mod in_namespaces;
mod upstream;

/// User of the controllers, the garbage collector included.
pub const CONTROLLERS: &str = "system:portolan:controllers";
/// User of the service registry.
pub const REGISTRY: &str = "system:portolan:registry";
/// User of the scheduler.
pub const SCHEDULER: &str = "system:kube-scheduler";
/// Group of all nodes; a node's user is `system:node:NAME`.
pub const NODES: &str = "system:nodes";
/// Group of the nodes whose agent is this program: they also lead names and packets through the cluster.
pub const AGENTS: &str = "portolan:agents";
/// Group of those who may do everything.
pub const MASTERS: &str = "system:masters";
/// Group of everybody who has proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

pub(crate) const API: &str = "rbac.authorization.k8s.io";

/// What one rule allows. The lists are separated by spaces; `-` is the core group.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Resources { groups: &'static str, resources: &'static str, verbs: &'static str },
    Named { groups: &'static str, resources: &'static str, names: &'static str, verbs: &'static str },
    Paths { paths: &'static str, verbs: &'static str },
}

const fn allow(groups: &'static str, resources: &'static str, verbs: &'static str) -> Rule {
    Rule::Resources { groups, resources, verbs }
}

const fn named(groups: &'static str, resources: &'static str, names: &'static str, verbs: &'static str) -> Rule {
    Rule::Named { groups, resources, names, verbs }
}

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const ALL: &str = "create delete deletecollection get list patch update watch";
/// What the roles for everybody's objects allow with ours.
const VIEW: &[Rule] = &[allow("registry.portolan.dev", "serviceinstances serviceinstances/status", READ)];
const EDIT: &[Rule] = &[allow("registry.portolan.dev", "serviceinstances", WRITE)];

/// As the published metrics-server brings it.
const METRICS: &[Rule] = &[allow("metrics.k8s.io", "nodes pods", READ)];

/// The cluster roles of our own: name and rules.
const ROLES: &[(&str, &[Rule])] = &[
    ("portolan:aggregate-to-edit", EDIT),
    ("portolan:aggregate-to-view", VIEW),
    (METRICS_READER, METRICS),
    (
        AGENTS,
        &[
            allow("-", "endpoints namespaces nodes pods services", READ),
            allow("discovery.k8s.io", "endpointslices", READ),
            allow("networking.k8s.io", "networkpolicies", READ),
            allow("storage.k8s.io", "storageclasses", READ),
            allow("registry.portolan.dev", "externalnodes preparedqueries", READ),
            allow("registry.portolan.dev", "serviceinstances", "create delete get list patch update watch"),
            allow("registry.portolan.dev", "externalnodes/status serviceinstances/status", "get patch update"),
        ],
    ),
    (
        CONTROLLERS,
        &[
            // Garbage collection and the end of a namespace reach every kind.
            allow("*", "*", "delete deletecollection get list patch update watch"),
            // Roles are put together from others whatever these allow.
            allow(API, "clusterroles", "escalate"),
            allow("certificates.k8s.io", "signers", "approve sign"),
            allow(
                "-",
                "configmaps endpoints events namespaces persistentvolumeclaims persistentvolumes pods pods/binding pods/eviction replicationcontrollers secrets serviceaccounts serviceaccounts/token",
                "create",
            ),
            allow("events.k8s.io", "events", "create"),
            allow("apps", "controllerrevisions replicasets", "create"),
            allow("batch", "jobs", "create"),
            allow("coordination.k8s.io", "leases", "create"),
            allow("discovery.k8s.io", "endpointslices", "create"),
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
        ],
    ),
    (
        REGISTRY,
        &[
            allow("-", "endpoints namespaces nodes pods services", READ),
            allow("- events.k8s.io", "events", "create patch update"),
            allow("discovery.k8s.io", "endpointslices", READ),
            // Whoever registers from another machine is judged by the cluster's rules.
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
            allow(
                "registry.portolan.dev",
                "externalnodes externalnodes/status preparedqueries serviceinstances serviceinstances/status",
                ALL,
            ),
        ],
    ),
];

/// The role that lets whoever may look at objects look at what they use.
const METRICS_READER: &str = "system:aggregated-metrics-reader";

const NODE_CLIENT: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
const SELF_NODE_CLIENT: &str = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";

/// A binding of a cluster role: name, role, kind of subject, subjects.
type Binding = (&'static str, &'static str, &'static str, &'static [&'static str]);

const BINDINGS: &[Binding] = &[
    (AGENTS, AGENTS, "Group", &[AGENTS]),
    (CONTROLLERS, CONTROLLERS, "User", &[CONTROLLERS]),
    (REGISTRY, REGISTRY, "User", &[REGISTRY]),
    ("portolan:node-bootstrapper", "system:node-bootstrapper", "Group", &["system:bootstrappers"]),
    ("portolan:approve-nodes", NODE_CLIENT, "Group", &["system:bootstrappers"]),
    ("portolan:renew-nodes", SELF_NODE_CLIENT, "Group", &[NODES]),
];

/// A role that is made of others, which a controller puts together: its name, the larger one that it is a part of.
const AGGREGATED: &[(&str, Option<&str>)] = &[("admin", None), ("edit", Some("admin")), ("view", Some("edit"))];

/// All bootstrap objects, complete.
///
/// The caller creates those that are missing and, unless the annotation
/// `rbac.authorization.kubernetes.io/autoupdate` says `false`, adds rules and subjects that those
/// that exist lack.
pub fn objects() -> Vec<Value> {
    let mut objects = Vec::with_capacity(ROLES.len() + BINDINGS.len() + AGGREGATED.len());
    let label = |part: &str| format!("rbac.authorization.k8s.io/aggregate-to-{part}");
    for (name, rules) in ROLES.iter().chain(upstream::ROLES) {
        let mut role = object("ClusterRole", name);
        role["rules"] = rules.iter().map(rule).collect();
        if let Some((_, target)) = name.split_once(":aggregate-to-") {
            // An aggregating role takes in whatever carries its label.
            role["metadata"]["labels"][label(target)] = "true".into();
        }
        if *name == METRICS_READER {
            for (target, _) in AGGREGATED {
                role["metadata"]["labels"][label(target)] = "true".into();
            }
        }
        objects.push(role);
    }
    for (name, larger) in AGGREGATED {
        let mut role = object("ClusterRole", name);
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label(name): "true"}}]});
        if let Some(larger) = larger {
            role["metadata"]["labels"][label(larger)] = "true".into();
        }
        role["rules"] = Value::Null;
        objects.push(role);
    }
    for (name, role, kind, subjects) in BINDINGS.iter().chain(upstream::BINDINGS) {
        let mut binding = object("ClusterRoleBinding", name);
        binding["roleRef"] = json!({"apiGroup": API, "kind": "ClusterRole", "name": role});
        if !subjects.is_empty() {
            binding["subjects"] =
                subjects.iter().map(|subject| json!({"apiGroup": API, "kind": kind, "name": subject})).collect();
        }
        objects.push(binding);
    }
    objects.extend(controllers::objects());
    // A service account, unlike the others.
    let mut binding = object("ClusterRoleBinding", "system:kube-dns");
    binding["roleRef"] = json!({"apiGroup": API, "kind": "ClusterRole", "name": "system:kube-dns"});
    binding["subjects"] = json!([service_account("kube-dns")]);
    objects.push(binding);
    objects.extend(in_namespaces::objects());
    objects
}

fn object(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        },
    })
}

/// A service account in `kube-system`, as a subject.
fn service_account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"})
}

fn rule(rule: &Rule) -> Value {
    let words =
        |list: &str| list.split(' ').map(|word| Value::from(if word == "-" { "" } else { word })).collect::<Value>();
    match rule {
        Rule::Resources { groups, resources, verbs } => {
            json!({"apiGroups": words(groups), "resources": words(resources), "verbs": words(verbs)})
        }
        Rule::Named { groups, resources, names, verbs } => json!({
            "apiGroups": words(groups), "resources": words(resources), "resourceNames": words(names),
            "verbs": words(verbs),
        }),
        Rule::Paths { paths, verbs } => json!({"nonResourceURLs": words(paths), "verbs": words(verbs)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binding_names_a_role_that_exists() {
        let objects = objects();
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let roles: Vec<String> = objects.iter().filter(|object| object["kind"] == "ClusterRole").map(name).collect();
        for binding in objects.iter().filter(|object| object["kind"] == "ClusterRoleBinding") {
            let role = binding["roleRef"]["name"].as_str().unwrap_or_default();
            assert!(roles.iter().any(|name| name == role), "{role}");
        }
        let place = |object: &Value| (object["metadata"]["namespace"].clone(), name(object));
        for binding in objects.iter().filter(|object| object["kind"] == "RoleBinding") {
            let wanted =
                (binding["metadata"]["namespace"].clone(), binding["roleRef"]["name"].as_str().unwrap_or_default());
            let is_wanted =
                |object: &&Value| object["kind"] == "Role" && place(object) == (wanted.0.clone(), wanted.1.into());
            assert!(objects.iter().any(|object| is_wanted(&object)), "{wanted:?}");
        }
    }

    #[test]
    fn controllers_of_kubernetes_have_their_roles() {
        let objects = objects();
        let find = |kind: &str, namespace: &str, name: &str| {
            let is_wanted = |object: &&Value| {
                let metadata = &object["metadata"];
                let placed = metadata["namespace"].as_str().unwrap_or_default();
                object["kind"] == kind && placed == namespace && metadata["name"] == name
            };
            objects.iter().find(is_wanted).unwrap_or_else(|| panic!("{kind} {namespace}/{name}"))
        };
        let account = |name: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"});
        for controller in ["attachdetach-controller", "generic-garbage-collector", "ttl-controller"] {
            let name = format!("system:controller:{controller}");
            assert!(find("ClusterRole", "", &name)["rules"].as_array().is_some_and(|rules| !rules.is_empty()));
            let binding = find("ClusterRoleBinding", "", &name);
            assert_eq!(binding["subjects"], json!([account(controller)]));
            assert_eq!(binding["roleRef"], json!({"apiGroup": API, "kind": "ClusterRole", "name": name}));
        }
        let leaders = find("RoleBinding", "kube-system", "system::leader-locking-kube-controller-manager");
        assert_eq!(
            leaders["subjects"],
            json!([
                {"apiGroup": API, "kind": "User", "name": "system:kube-controller-manager"},
                account("kube-controller-manager"),
                account("leader-election-controller"),
            ])
        );
        assert_eq!(find("ClusterRoleBinding", "", "system:kube-dns")["subjects"], json!([account("kube-dns")]));
        assert_eq!(
            find("Role", "kube-public", "system:controller:bootstrap-signer")["rules"][1],
            json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["update"]})
        );
    }

    #[test]
    fn roles_reach_what_those_of_kubernetes_do() {
        let objects = objects();
        let allows = |name: &str, group: &str, resource: &str, verb: &str| {
            let role =
                objects.iter().find(|object| object["metadata"]["name"] == name && object["kind"] == "ClusterRole");
            let rules = role.and_then(|role| role["rules"].as_array()).expect("a bootstrap role");
            let has = |list: &Value, word: &str| {
                list.as_array().is_some_and(|list| list.iter().any(|it| it == word || it == "*"))
            };
            rules.iter().any(|rule| {
                has(&rule["apiGroups"], group) && has(&rule["resources"], resource) && has(&rule["verbs"], verb)
            })
        };
        for (role, group, resource, verb, allowed) in [
            ("system:aggregate-to-view", "events.k8s.io", "events", "watch", true),
            ("system:aggregate-to-view", "resource.k8s.io", "resourceclaims/status", "get", true),
            ("system:aggregate-to-view", "resource.k8s.io", "resourceclaims", "create", false),
            ("system:aggregate-to-view", "", "secrets", "get", false),
            ("system:aggregate-to-edit", "resource.k8s.io", "resourceclaimtemplates", "deletecollection", true),
            ("system:aggregate-to-edit", "resource.k8s.io", "resourceclaims/binding", "update", false),
            ("system:aggregate-to-admin", "rbac.authorization.k8s.io", "roles", "create", true),
            ("system:aggregate-to-admin", "resource.k8s.io", "deviceclasses", "get", false),
            ("system:kube-scheduler", "resource.k8s.io", "resourceclaims/binding", "patch", true),
            ("system:node", "resource.k8s.io", "resourceclaims", "get", true),
            ("system:node", "resource.k8s.io", "resourceclaims", "update", false),
            ("system:node-proxier", "networking.k8s.io", "servicecidrs", "watch", true),
            ("system:monitoring", "", "nodes/metrics", "get", true),
            ("system:kubelet-api-admin", "", "nodes/configz", "get", true),
        ] {
            assert_eq!(allows(role, group, resource, verb), allowed, "{role} {verb} {group}/{resource}");
        }
    }
}
