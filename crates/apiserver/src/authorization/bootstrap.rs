//! The roles and bindings that every cluster has.
//!
//! Source: `k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy`. Here all
//! controllers share one identity and one role; upstream's, one for each, are there for others.

use serde_json::{Value, json};

mod controllers;
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
const DISCOVERY_PATHS: &str =
    "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/";
const PUBLIC_PATHS: &str = "/healthz /livez /readyz /version /version/";

const VIEW: &[Rule] = &[
    allow(
        "-",
        "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status",
        READ,
    ),
    allow("discovery.k8s.io", "endpointslices", READ),
    allow(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        READ,
    ),
    allow("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    allow("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    allow("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    allow("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
    allow("events.k8s.io", "events", READ),
    allow("resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates", READ),
    allow(
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
        READ,
    ),
    allow("registry.portolan.dev", "serviceinstances serviceinstances/status", READ),
];

const EDIT: &[Rule] = &[
    allow("-", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
    allow("-", "serviceaccounts", "impersonate"),
    allow("-", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
    allow("-", "pods/eviction", "create"),
    allow(
        "-",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
        WRITE,
    ),
    allow("-", "serviceaccounts/token", "create"),
    allow(
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
        WRITE,
    ),
    allow("autoscaling", "horizontalpodautoscalers", WRITE),
    allow("batch", "cronjobs jobs", WRITE),
    allow("policy", "poddisruptionbudgets", WRITE),
    allow("networking.k8s.io", "ingresses networkpolicies", WRITE),
    allow("events.k8s.io", "events", WRITE),
    allow("resource.k8s.io", "resourceclaims resourceclaimtemplates", WRITE),
    allow(
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
        WRITE,
    ),
    allow("coordination.k8s.io", "leases", ALL),
    allow("registry.portolan.dev", "serviceinstances", WRITE),
];

const ADMIN: &[Rule] =
    &[allow("authorization.k8s.io", "localsubjectaccessreviews", "create"), allow(API, "rolebindings roles", ALL)];

/// As the published metrics-server brings it.
const METRICS: &[Rule] = &[allow("metrics.k8s.io", "nodes pods", READ)];

/// The cluster roles: name and rules.
const ROLES: &[(&str, &[Rule])] = &[
    ("cluster-admin", &[allow("*", "*", "*"), Rule::Paths { paths: "*", verbs: "*" }]),
    ("system:aggregate-to-admin", ADMIN),
    ("system:aggregate-to-edit", EDIT),
    ("system:aggregate-to-view", VIEW),
    (METRICS_READER, METRICS),
    (
        "system:basic-user",
        &[
            allow("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
            allow("authentication.k8s.io", "selfsubjectreviews", "create"),
        ],
    ),
    ("system:discovery", &[Rule::Paths { paths: DISCOVERY_PATHS, verbs: "get" }]),
    ("system:public-info-viewer", &[Rule::Paths { paths: PUBLIC_PATHS, verbs: "get" }]),
    (
        "system:monitoring",
        &[
            Rule::Paths {
                paths: "/flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz",
                verbs: "get",
            },
            allow("-", "nodes/metrics", "get"),
        ],
    ),
    (
        "system:service-account-issuer-discovery",
        &[Rule::Paths {
            paths: "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
            verbs: "get",
        }],
    ),
    (
        "system:auth-delegator",
        &[
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
        ],
    ),
    (
        "system:node",
        &[
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews", "create"),
            allow("-", "services", READ),
            allow("-", "nodes", "create get list patch update watch"),
            allow("-", "nodes/status", "patch update"),
            allow("- events.k8s.io", "events", "create patch update"),
            allow("-", "pods", "create delete get list watch"),
            allow("-", "pods/status", "patch update"),
            allow("-", "pods/eviction", "create"),
            allow("-", "configmaps secrets serviceaccounts", READ),
            allow("-", "serviceaccounts/token", "create"),
            allow("-", "endpoints namespaces persistentvolumeclaims persistentvolumes", READ),
            allow("-", "persistentvolumeclaims/status", "get patch update"),
            allow("certificates.k8s.io", "certificatesigningrequests", "create get list watch"),
            allow("coordination.k8s.io", "leases", "create delete get list patch update watch"),
            allow("discovery.k8s.io", "endpointslices", READ),
            allow("networking.k8s.io", "networkpolicies", READ),
            allow("node.k8s.io", "runtimeclasses", READ),
            allow("registry.portolan.dev", "serviceinstances", READ),
            allow("storage.k8s.io", "csidrivers storageclasses volumeattachments", READ),
            allow("storage.k8s.io", "csinodes", "create delete get patch update"),
            allow("resource.k8s.io", "resourceclaims", "get"),
            allow("resource.k8s.io", "resourceslices", "deletecollection"),
        ],
    ),
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
        "system:node-proxier",
        &[
            allow("-", "endpoints nodes services", READ),
            allow("- events.k8s.io", "events", "create patch update"),
            allow("discovery.k8s.io", "endpointslices", READ),
            allow("networking.k8s.io", "servicecidrs", "list watch"),
        ],
    ),
    (
        "system:kube-scheduler",
        &[
            allow("- events.k8s.io", "events", "create patch update"),
            allow("coordination.k8s.io", "leases", "create get list patch update watch"),
            allow("-", "namespaces nodes", READ),
            allow("-", "pods", "delete get list watch"),
            allow("-", "bindings pods/binding", "create"),
            allow("-", "pods/status", "patch update"),
            allow("-", "replicationcontrollers services", READ),
            allow("apps", "replicasets statefulsets", READ),
            allow("policy", "poddisruptionbudgets", READ),
            allow("-", "persistentvolumeclaims persistentvolumes", "get list patch update watch"),
            allow("storage.k8s.io", "csidrivers csinodes csistoragecapacities storageclasses volumeattachments", READ),
            allow("scheduling.k8s.io", "priorityclasses", READ),
            // What the scheduler of Kubernetes asks for beyond that, so that it may stand beside ours.
            allow("-", "pods/finalizers", "update"),
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
            allow("coordination.k8s.io", "leasecandidates", ALL),
            allow("extensions", "replicasets", READ),
            allow("resource.k8s.io", "deviceclasses resourceslices", READ),
            allow("resource.k8s.io", "resourceclaims", "create delete get list patch update watch"),
            allow("resource.k8s.io", "resourceclaims/status", "get list patch update watch"),
            allow("resource.k8s.io", "resourceclaims/binding", "patch update"),
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

/// Bindings of a cluster role: name, role, kind of subject, subjects.
const BINDINGS: &[(&str, &str, &str, &[&str])] = &[
    ("cluster-admin", "cluster-admin", "Group", &[MASTERS]),
    ("system:basic-user", "system:basic-user", "Group", &[AUTHENTICATED]),
    ("system:discovery", "system:discovery", "Group", &[AUTHENTICATED]),
    ("system:kube-scheduler", "system:kube-scheduler", "User", &[SCHEDULER]),
    ("system:monitoring", "system:monitoring", "Group", &["system:monitoring"]),
    // Nodes are not bound to the role: what they may do depends on their pods, see `node`.
    ("system:node", "system:node", "Group", &[]),
    ("system:node-proxier", "system:node-proxier", "User", &["system:kube-proxy"]),
    (AGENTS, AGENTS, "Group", &[AGENTS]),
    (CONTROLLERS, CONTROLLERS, "User", &[CONTROLLERS]),
    (REGISTRY, REGISTRY, "User", &[REGISTRY]),
    ("portolan:node-bootstrapper", "system:node-bootstrapper", "Group", &["system:bootstrappers"]),
    ("portolan:approve-nodes", NODE_CLIENT, "Group", &["system:bootstrappers"]),
    ("portolan:renew-nodes", SELF_NODE_CLIENT, "Group", &[NODES]),
    ("system:public-info-viewer", "system:public-info-viewer", "Group", &[AUTHENTICATED, UNAUTHENTICATED]),
    (
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        "Group",
        &["system:serviceaccounts"],
    ),
];

/// A role that is made of others: its name, the larger one that it is a part of, its rules.
type Aggregated = (&'static str, Option<&'static str>, &'static [&'static [Rule]]);

const AGGREGATED: &[Aggregated] = &[
    ("admin", None, &[EDIT, METRICS, VIEW, ADMIN]),
    ("edit", Some("admin"), &[EDIT, METRICS, VIEW]),
    ("view", Some("edit"), &[VIEW, METRICS]),
];

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
        if let Some(target) = name.strip_prefix("system:aggregate-to-") {
            // An aggregating role takes in whatever carries its label.
            role["metadata"]["labels"][label(target)] = "true".into();
        }
        if *name == METRICS_READER {
            for (target, ..) in AGGREGATED {
                role["metadata"]["labels"][label(target)] = "true".into();
            }
        }
        objects.push(role);
    }
    for (name, larger, parts) in AGGREGATED {
        let mut role = object("ClusterRole", name);
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label(name): "true"}}]});
        if let Some(larger) = larger {
            role["metadata"]["labels"][label(larger)] = "true".into();
        }
        // In the order in which the controller puts parts together, so that it finds nothing to do.
        role["rules"] = parts.iter().flat_map(|rules| rules.iter()).map(rule).collect();
        objects.push(role);
    }
    for (name, role, kind, subjects) in BINDINGS.iter().chain(upstream::BINDINGS) {
        let mut binding = object("ClusterRoleBinding", name);
        binding["roleRef"] = json!({"apiGroup": API, "kind": "ClusterRole", "name": role});
        binding["subjects"] =
            subjects.iter().map(|subject| json!({"apiGroup": API, "kind": kind, "name": subject})).collect();
        objects.push(binding);
    }
    objects.extend(controllers::objects());
    // A service account, unlike the others.
    let mut binding = object("ClusterRoleBinding", "system:kube-dns");
    binding["roleRef"] = json!({"apiGroup": API, "kind": "ClusterRole", "name": "system:kube-dns"});
    binding["subjects"] = json!([service_account("kube-dns")]);
    objects.push(binding);
    objects.extend(upstream::in_namespaces());
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
            ("view", "events.k8s.io", "events", "watch", true),
            ("view", "resource.k8s.io", "resourceclaims/status", "get", true),
            ("view", "resource.k8s.io", "resourceclaims", "create", false),
            ("view", "", "secrets", "get", false),
            ("edit", "resource.k8s.io", "resourceclaimtemplates", "deletecollection", true),
            ("edit", "resource.k8s.io", "resourceclaims/binding", "update", false),
            ("admin", "resource.k8s.io", "resourceclaims", "create", true),
            ("admin", "resource.k8s.io", "deviceclasses", "get", false),
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

    #[test]
    fn a_larger_role_contains_the_smaller() {
        let objects = objects();
        let rules = |name: &str| {
            let role =
                objects.iter().find(|object| object["metadata"]["name"] == name && object["kind"] == "ClusterRole");
            role.and_then(|role| role["rules"].as_array()).expect("a bootstrap role").clone()
        };
        let (admin, edit, view) = (rules("admin"), rules("edit"), rules("view"));
        assert!(view.iter().all(|rule| edit.contains(rule)));
        assert!(edit.iter().all(|rule| admin.contains(rule)));
        let secrets = json!("secrets");
        assert!(!view.iter().any(|rule| rule["resources"].as_array().is_some_and(|list| list.contains(&secrets))));
    }
}
