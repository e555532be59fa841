//! The cluster roles that Kubernetes brings, rule by rule, except for those of its controllers.
//!
//! What people look up, bind and compare is as they know it. What parts of this program need beyond that has roles of
//! its own.

use super::{
    ALL, AUTHENTICATED, Binding, MASTERS, NODE_CLIENT, READ, Rule, SCHEDULER, SELF_NODE_CLIENT, UNAUTHENTICATED, WRITE,
    allow, named,
};

/// User and role of the controllers of Kubernetes.
pub(super) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
pub(super) const EVENTS: Rule = allow("- events.k8s.io", "events", "create patch update");

/// Name and rules.
pub(super) const ROLES: &[(&str, &[Rule])] = &[
    ("cluster-admin", &[allow("*", "*", "*"), Rule::Paths { paths: "*", verbs: "*" }]),
    (
        "system:aggregate-to-admin",
        &[
            allow("authorization.k8s.io", "localsubjectaccessreviews", "create"),
            allow("rbac.authorization.k8s.io", "rolebindings roles", ALL),
        ],
    ),
    (
        "system:aggregate-to-edit",
        &[
            allow("-", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
            allow("-", "serviceaccounts", "impersonate"),
            allow("-", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
            allow("-", "pods/eviction", "create"),
            allow(
                "-",
                "configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
                WRITE,
            ),
            allow("-", "serviceaccounts/token", "create"),
            allow("- events.k8s.io", "events", WRITE),
            allow(
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
                WRITE,
            ),
            allow("autoscaling", "horizontalpodautoscalers", WRITE),
            allow("batch", "cronjobs jobs", WRITE),
            allow(
                "extensions",
                "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
                WRITE,
            ),
            allow("policy", "poddisruptionbudgets", WRITE),
            allow("networking.k8s.io", "ingresses networkpolicies", WRITE),
            allow("coordination.k8s.io", "leases", ALL),
            allow("resource.k8s.io", "resourceclaims resourceclaimtemplates", WRITE),
        ],
    ),
    (
        "system:aggregate-to-view",
        &[
            allow(
                "-",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
                READ,
            ),
            allow(
                "-",
                "bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status",
                READ,
            ),
            allow("-", "namespaces", READ),
            allow("- events.k8s.io", "events", READ),
            allow("discovery.k8s.io", "endpointslices", READ),
            allow(
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
                READ,
            ),
            allow("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
            allow("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
            allow(
                "extensions",
                "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
                READ,
            ),
            allow("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
            allow("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
            allow("resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates", READ),
        ],
    ),
    (
        "system:auth-delegator",
        &[
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
        ],
    ),
    (
        "system:basic-user",
        &[
            allow("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
            allow("authentication.k8s.io", "selfsubjectreviews", "create"),
        ],
    ),
    (NODE_CLIENT, &[allow("certificates.k8s.io", "certificatesigningrequests/nodeclient", "create")]),
    (SELF_NODE_CLIENT, &[allow("certificates.k8s.io", "certificatesigningrequests/selfnodeclient", "create")]),
    (
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[named("certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client", "approve")],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[named("certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client-kubelet", "approve")],
    ),
    (
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[named("certificates.k8s.io", "signers", "kubernetes.io/kubelet-serving", "approve")],
    ),
    (
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[named("certificates.k8s.io", "signers", "kubernetes.io/legacy-unknown", "approve")],
    ),
    (
        "system:discovery",
        &[Rule::Paths {
            paths: "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
            verbs: "get",
        }],
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
        SCHEDULER,
        &[
            EVENTS,
            allow("coordination.k8s.io", "leases", "create"),
            named("coordination.k8s.io", "leases", "kube-scheduler", "get list update watch"),
            allow("coordination.k8s.io", "leasecandidates", ALL),
            allow("-", "nodes", READ),
            allow("-", "pods", "delete get list watch"),
            allow("-", "bindings pods/binding", "create"),
            allow("-", "pods/status", "patch update"),
            allow("-", "replicationcontrollers services", READ),
            allow("apps extensions", "replicasets", READ),
            allow("apps", "statefulsets", READ),
            allow("policy", "poddisruptionbudgets", READ),
            allow("-", "persistentvolumeclaims persistentvolumes", READ),
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
            allow("storage.k8s.io", "csinodes", READ),
            allow("storage.k8s.io", "volumeattachments", READ),
            allow("-", "namespaces", READ),
            allow("storage.k8s.io", "csidrivers", READ),
            allow("storage.k8s.io", "csistoragecapacities", READ),
            allow("resource.k8s.io", "deviceclasses", READ),
            allow("resource.k8s.io", "resourceclaims", "get list patch update watch"),
            allow("resource.k8s.io", "resourceclaims/status", "get list patch update watch"),
            allow("-", "pods/finalizers", "update"),
            allow("resource.k8s.io", "resourceslices", READ),
            allow("resource.k8s.io", "resourceclaims", "create delete"),
            allow("resource.k8s.io", "resourceclaims/binding", "patch update"),
        ],
    ),
    (
        "system:kubelet-api-admin",
        &[
            allow("-", "nodes", READ),
            allow("-", "nodes", "proxy"),
            allow("-", "nodes/log nodes/metrics nodes/proxy nodes/stats", "*"),
            allow("-", "nodes/configz nodes/healthz nodes/pods", "*"),
        ],
    ),
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
        "system:node",
        &[
            allow("authentication.k8s.io", "tokenreviews", "create"),
            allow("authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews", "create"),
            allow("-", "services", READ),
            allow("-", "nodes", "create get list watch"),
            allow("-", "nodes/status", "patch update"),
            allow("-", "nodes", "patch update"),
            EVENTS,
            allow("-", "pods", READ),
            allow("-", "pods", "create delete"),
            allow("-", "pods/status", "patch update"),
            allow("-", "pods/eviction", "create"),
            allow("-", "configmaps secrets", READ),
            allow("-", "persistentvolumeclaims persistentvolumes", "get"),
            allow("-", "endpoints", "get"),
            allow("certificates.k8s.io", "certificatesigningrequests", "create get list watch"),
            allow("coordination.k8s.io", "leases", "create delete get patch update"),
            allow("storage.k8s.io", "volumeattachments", "get"),
            allow("-", "serviceaccounts/token", "create"),
            allow("-", "persistentvolumeclaims/status", "get patch update"),
            allow("storage.k8s.io", "csidrivers", READ),
            allow("storage.k8s.io", "csinodes", "create delete get patch update"),
            allow("node.k8s.io", "runtimeclasses", READ),
            allow("resource.k8s.io", "resourceclaims", "get"),
            allow("resource.k8s.io", "resourceslices", "deletecollection"),
            allow("-", "serviceaccounts", "get"),
        ],
    ),
    (
        "system:node-bootstrapper",
        &[allow("certificates.k8s.io", "certificatesigningrequests", "create get list watch")],
    ),
    ("system:node-problem-detector", &[allow("-", "nodes", "get"), allow("-", "nodes/status", "patch"), EVENTS]),
    (
        "system:node-proxier",
        &[
            allow("-", "endpoints services", "list watch"),
            allow("-", "nodes", READ),
            EVENTS,
            allow("networking.k8s.io", "servicecidrs", "list watch"),
            allow("discovery.k8s.io", "endpointslices", "list watch"),
        ],
    ),
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
    ("system:public-info-viewer", &[Rule::Paths { paths: "/healthz /livez /readyz /version /version/", verbs: "get" }]),
    (
        "system:service-account-issuer-discovery",
        &[Rule::Paths {
            paths: "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
            verbs: "get",
        }],
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

pub(super) const BINDINGS: &[Binding] = &[
    ("cluster-admin", "cluster-admin", "Group", &[MASTERS]),
    ("system:basic-user", "system:basic-user", "Group", &[AUTHENTICATED]),
    ("system:discovery", "system:discovery", "Group", &[AUTHENTICATED]),
    (CONTROLLER_MANAGER, CONTROLLER_MANAGER, "User", &[CONTROLLER_MANAGER]),
    (SCHEDULER, SCHEDULER, "User", &[SCHEDULER]),
    ("system:monitoring", "system:monitoring", "Group", &["system:monitoring"]),
    // Nodes are not bound to the role: what they may do depends on their pods, see `node`.
    ("system:node", "system:node", "Group", &[]),
    ("system:node-proxier", "system:node-proxier", "User", &["system:kube-proxy"]),
    ("system:public-info-viewer", "system:public-info-viewer", "Group", &[AUTHENTICATED, UNAUTHENTICATED]),
    (
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        "Group",
        &["system:serviceaccounts"],
    ),
    ("system:volume-scheduler", "system:volume-scheduler", "User", &[SCHEDULER]),
];
