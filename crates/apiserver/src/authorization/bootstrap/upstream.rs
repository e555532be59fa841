//! Roles that nothing of ours needs, and that others count on.

use portolan_identity::PODS_GROUP;
use serde_json::{Value, json};

use super::{API, NODE_CLIENT, READ, Rule, SCHEDULER, SELF_NODE_CLIENT, allow, named, object, rule, service_account};

/// User and role of the controllers of Kubernetes.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const CERTIFICATES: &str = "certificates.k8s.io";
/// Role of the pods that register through dialects without namespaces.
const REGISTRY_CLIENTS: &str = "portolan:registry-clients";
pub(super) const EVENTS: Rule = allow("- events.k8s.io", "events", "create patch update");

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
        CONTROLLER_MANAGER,
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
    (CONTROLLER_MANAGER, CONTROLLER_MANAGER, "User", &[CONTROLLER_MANAGER]),
    ("system:volume-scheduler", "system:volume-scheduler", "User", &[SCHEDULER]),
];

const LEADER_OF_CONTROLLERS: &str = "system::leader-locking-kube-controller-manager";
const LEADER_OF_SCHEDULERS: &str = "system::leader-locking-kube-scheduler";
const LEADING: &[Rule] = &[
    allow("coordination.k8s.io", "leases", "create get list update watch"),
    allow("coordination.k8s.io", "leasecandidates", "create get list update watch"),
];

/// Roles in namespaces: namespace, name, rules.
const IN_NAMESPACES: &[(&str, &str, &[Rule])] = &[
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        &[allow("-", "configmaps", READ), named("-", "configmaps", "cluster-info", "update"), EVENTS],
    ),
    (
        "kube-system",
        "extension-apiserver-authentication-reader",
        &[named("-", "configmaps", "extension-apiserver-authentication", READ)],
    ),
    ("kube-system", LEADER_OF_CONTROLLERS, LEADING),
    ("kube-system", LEADER_OF_SCHEDULERS, LEADING),
    ("kube-system", "system:controller:bootstrap-signer", &[allow("-", "secrets", READ)]),
    ("kube-system", "system:controller:cloud-provider", &[allow("-", "configmaps", "create get list watch")]),
    ("kube-system", "system:controller:token-cleaner", &[allow("-", "secrets", "delete get list watch"), EVENTS]),
];

/// Who is bound to them.
struct Bound {
    namespace: &'static str,
    name: &'static str,
    role: &'static str,
    users: &'static [&'static str],
    /// In `kube-system`.
    service_accounts: &'static [&'static str],
}

const BOUND: &[Bound] = &[
    Bound {
        namespace: "kube-system",
        name: "system::extension-apiserver-authentication-reader",
        role: "extension-apiserver-authentication-reader",
        users: &[CONTROLLER_MANAGER, SCHEDULER],
        service_accounts: &[],
    },
    Bound {
        namespace: "kube-system",
        name: LEADER_OF_CONTROLLERS,
        role: LEADER_OF_CONTROLLERS,
        users: &[CONTROLLER_MANAGER],
        service_accounts: &["kube-controller-manager", "leader-election-controller"],
    },
    Bound {
        namespace: "kube-system",
        name: LEADER_OF_SCHEDULERS,
        role: LEADER_OF_SCHEDULERS,
        users: &[SCHEDULER],
        service_accounts: &["kube-scheduler"],
    },
    controller("kube-public", "system:controller:bootstrap-signer", &["bootstrap-signer"]),
    controller("kube-system", "system:controller:bootstrap-signer", &["bootstrap-signer"]),
    controller("kube-system", "system:controller:cloud-provider", &["cloud-provider"]),
    controller("kube-system", "system:controller:token-cleaner", &["token-cleaner"]),
];

const fn controller(namespace: &'static str, role: &'static str, service_accounts: &'static [&'static str]) -> Bound {
    Bound { namespace, name: role, role, users: &[], service_accounts }
}

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
    for Bound { namespace, name, role, users, service_accounts } in BOUND {
        let mut binding = placed("RoleBinding", namespace, name);
        binding["roleRef"] = json!({"apiGroup": API, "kind": "Role", "name": role});
        let users = users.iter().map(|user| json!({"apiGroup": API, "kind": "User", "name": user}));
        let accounts = service_accounts.iter().map(|name| service_account(name));
        binding["subjects"] = users.chain(accounts).collect();
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
