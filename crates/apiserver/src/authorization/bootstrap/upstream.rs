//! Roles that nothing of ours needs, and that others count on.

use portolan_identity::PODS_GROUP;
use serde_json::{Value, json};

use super::{API, NODE_CLIENT, READ, Rule, SCHEDULER, SELF_NODE_CLIENT, allow, named, object, rule};

const CERTIFICATES: &str = "certificates.k8s.io";
/// Role of the pods that register through dialects without namespaces.
const REGISTRY_CLIENTS: &str = "portolan:registry-clients";
const EVENTS: Rule = allow("- events.k8s.io", "events", "create patch update");

pub(super) const ROLES: &[(&str, &[Rule])] = &[
    (NODE_CLIENT, &[allow(CERTIFICATES, "certificatesigningrequests/nodeclient", "create")]),
    (SELF_NODE_CLIENT, &[allow(CERTIFICATES, "certificatesigningrequests/selfnodeclient", "create")]),
    (
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[named(CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client", "approve")],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[named(CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client-kubelet", "approve")],
    ),
    (
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[named(CERTIFICATES, "signers", "kubernetes.io/kubelet-serving", "approve")],
    ),
    (
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[named(CERTIFICATES, "signers", "kubernetes.io/legacy-unknown", "approve")],
    ),
    ("system:heapster", &[allow("-", "events namespaces nodes pods", READ), allow("extensions", "deployments", READ)]),
    ("system:kube-aggregator", &[allow("-", "endpoints services", READ)]),
    (
        "system:kube-controller-manager",
        &[
            EVENTS,
            allow("coordination.k8s.io", "leases", "create"),
            named("coordination.k8s.io", "leases", "kube-controller-manager", "get update"),
            allow("-", "secrets serviceaccounts", "create"),
            allow("-", "secrets", "delete"),
            allow("-", "configmaps namespaces secrets serviceaccounts", "get"),
            allow("-", "secrets serviceaccounts", "update"),
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
            allow("*", "*", "list watch"),
            allow("-", "serviceaccounts/token", "create"),
        ],
    ),
    ("system:kube-dns", &[allow("-", "endpoints services", "list watch")]),
    (
        "system:kubelet-api-admin",
        &[
            allow("-", "nodes", READ),
            allow("-", "nodes", "proxy"),
            allow("-", "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats", "*"),
        ],
    ),
    ("system:node-bootstrapper", &[allow(CERTIFICATES, "certificatesigningrequests", "create get list watch")]),
    ("system:node-problem-detector", &[allow("-", "nodes", "get"), allow("-", "nodes/status", "patch"), EVENTS]),
    (
        "system:persistent-volume-provisioner",
        &[
            allow("-", "persistentvolumes", "create delete get list watch"),
            allow("-", "persistentvolumeclaims", "get list update watch"),
            allow("storage.k8s.io", "storageclasses", READ),
            allow("-", "events", "watch"),
            EVENTS,
        ],
    ),
    (
        "system:volume-scheduler",
        &[
            allow("-", "persistentvolumes", "get list patch update watch"),
            allow("storage.k8s.io", "storageclasses", READ),
            allow("-", "persistentvolumeclaims", "get list patch update watch"),
        ],
    ),
];

pub(super) const BINDINGS: &[(&str, &str, &str, &[&str])] = &[
    ("system:kube-controller-manager", "system:kube-controller-manager", "User", &["system:kube-controller-manager"]),
    ("system:volume-scheduler", "system:volume-scheduler", "User", &[SCHEDULER]),
];

/// Roles in namespaces: namespace, name, rules.
const IN_NAMESPACES: &[(&str, &str, &[Rule])] = &[(
    "kube-system",
    "extension-apiserver-authentication-reader",
    &[named("-", "configmaps", "extension-apiserver-authentication", READ)],
)];

/// Who is bound to them: namespace, name, role, users.
const BOUND: &[(&str, &str, &str, &[&str])] = &[(
    "kube-system",
    "system::extension-apiserver-authentication-reader",
    "extension-apiserver-authentication-reader",
    &["system:kube-controller-manager", SCHEDULER],
)];

pub(super) fn in_namespaces() -> Vec<Value> {
    let placed = |kind: &str, namespace: &str, name: &str| {
        let mut object = object(kind, name);
        object["metadata"]["namespace"] = namespace.into();
        object
    };
    let mut objects = Vec::new();
    for (namespace, name, rules) in IN_NAMESPACES {
        let mut role = placed("Role", namespace, name);
        role["rules"] = rules.iter().map(rule).collect();
        objects.push(role);
    }
    for (namespace, name, role, users) in BOUND {
        let mut binding = placed("RoleBinding", namespace, name);
        binding["roleRef"] = json!({"apiGroup": API, "kind": "Role", "name": role});
        binding["subjects"] = users.iter().map(|user| json!({"apiGroup": API, "kind": "User", "name": user})).collect();
        objects.push(binding);
    }
    // Clients of dialects without namespaces register in this one; every pod may, until the binding is taken away.
    let mut role = placed("Role", "default", REGISTRY_CLIENTS);
    role["rules"] = [allow("registry.portolan.dev", "serviceinstances keys", "create delete get list update watch")]
        .iter()
        .map(rule)
        .collect();
    objects.push(role);
    let mut binding = placed("RoleBinding", "default", REGISTRY_CLIENTS);
    binding["roleRef"] = json!({"apiGroup": API, "kind": "Role", "name": REGISTRY_CLIENTS});
    // Not all service accounts: their tokens work from other machines too.
    binding["subjects"] = json!([{"apiGroup": API, "kind": "Group", "name": PODS_GROUP}]);
    objects.push(binding);
    objects
}
