//! Roles in namespaces, and who is bound to them.

use portolan_identity::PODS_GROUP;
use serde_json::{Value, json};

use super::upstream::{CONTROLLER_MANAGER, EVENTS};
use super::{API, READ, Rule, SCHEDULER, allow, named, object, rule, service_account};

/// Role of the pods that register through dialects without namespaces.
const REGISTRY_CLIENTS: &str = "portolan:registry-clients";
const LEADER_OF_CONTROLLERS: &str = "system::leader-locking-kube-controller-manager";
const LEADER_OF_SCHEDULERS: &str = "system::leader-locking-kube-scheduler";
const LEADING: &[Rule] = &[
    allow("coordination.k8s.io", "leases", "create get list update watch"),
    allow("coordination.k8s.io", "leasecandidates", "create get list update watch"),
];

/// Namespace, name, rules.
const ROLES: &[(&str, &str, &[Rule])] = &[
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

/// The roles and their bindings.
pub(super) fn objects() -> Vec<Value> {
    let placed = |kind: &str, namespace: &str, name: &str| {
        let mut object = object(kind, name);
        object["metadata"]["namespace"] = namespace.into();
        object
    };
    let mut objects = Vec::new();
    for (namespace, name, rules) in ROLES {
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
