//! Roles of the controllers of Kubernetes: one role each, bound to the service account of its name. Ours share another
//! one, but people look these up, bind them, and run single controllers of upstream beside ours.

use serde_json::{Value, json};

use super::upstream::EVENTS;
use super::{API, READ, Rule, allow, named, object, rule, service_account};

/// The controllers, and what each may do.
const ROLES: &[(&str, &[Rule])] = &[
    (
        "attachdetach-controller",
        &[
            allow("-", "persistentvolumeclaims persistentvolumes", "list watch"),
            allow("-", "nodes", READ),
            allow("-", "nodes/status", "patch update"),
            allow("-", "pods", "list watch"),
            EVENTS,
            allow("storage.k8s.io", "volumeattachments", "create delete get list watch"),
            allow("storage.k8s.io", "csidrivers", READ),
            allow("storage.k8s.io", "csinodes", READ),
        ],
    ),
    (
        "certificate-controller",
        &[
            allow("certificates.k8s.io", "certificatesigningrequests", "delete get list watch"),
            allow(
                "certificates.k8s.io",
                "certificatesigningrequests/approval certificatesigningrequests/status",
                "update",
            ),
            named("certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client-kubelet", "approve"),
            named(
                "certificates.k8s.io",
                "signers",
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
                "sign",
            ),
            allow("authorization.k8s.io", "subjectaccessreviews", "create"),
            EVENTS,
        ],
    ),
    (
        "clusterrole-aggregation-controller",
        &[allow("rbac.authorization.k8s.io", "clusterroles", "escalate get list patch update watch")],
    ),
    (
        "cronjob-controller",
        &[
            allow("batch", "cronjobs", "get list update watch"),
            allow("batch", "jobs", "create delete get list patch update watch"),
            allow("batch", "cronjobs/status", "update"),
            allow("batch", "cronjobs/finalizers", "update"),
            allow("-", "pods", "delete list watch"),
            EVENTS,
        ],
    ),
    (
        "daemon-set-controller",
        &[
            allow("apps extensions", "daemonsets", READ),
            allow("apps extensions", "daemonsets/status", "update"),
            allow("apps extensions", "daemonsets/finalizers", "update"),
            allow("-", "nodes", "list watch"),
            allow("-", "pods", "create delete list patch watch"),
            allow("-", "pods/binding", "create"),
            allow("apps", "controllerrevisions", "create delete get list patch update watch"),
            EVENTS,
        ],
    ),
    (
        "deployment-controller",
        &[
            allow("apps extensions", "deployments", "get list update watch"),
            allow("apps extensions", "deployments/status", "update"),
            allow("apps extensions", "deployments/finalizers", "update"),
            allow("apps extensions", "replicasets", "create delete get list patch update watch"),
            allow("-", "pods", "get list update watch"),
            EVENTS,
        ],
    ),
    (
        "device-taint-eviction-controller",
        &[
            allow("-", "pods", "delete get list watch"),
            allow("-", "pods/status", "patch update"),
            allow("resource.k8s.io", "resourceclaims", READ),
            allow("resource.k8s.io", "resourceslices", READ),
            allow("resource.k8s.io", "deviceclasses", READ),
            EVENTS,
        ],
    ),
    (
        "disruption-controller",
        &[
            allow("apps extensions", "deployments", READ),
            allow("apps extensions", "replicasets", READ),
            allow("-", "replicationcontrollers", READ),
            allow("policy", "poddisruptionbudgets", READ),
            allow("apps", "statefulsets", READ),
            allow("policy", "poddisruptionbudgets/status", "update"),
            allow("-", "pods/status", "patch update"),
            allow("*", "*/scale", "get"),
            EVENTS,
        ],
    ),
    (
        "endpoint-controller",
        &[
            allow("-", "pods services", READ),
            allow("-", "endpoints", "create delete get list update watch"),
            allow("-", "endpoints/restricted", "create"),
            EVENTS,
        ],
    ),
    (
        "endpointslice-controller",
        &[
            allow("-", "nodes pods services", READ),
            allow("-", "services/finalizers", "update"),
            allow("discovery.k8s.io", "endpointslices", "create delete get list update watch"),
            EVENTS,
        ],
    ),
    (
        "endpointslicemirroring-controller",
        &[
            allow("-", "endpoints services", READ),
            allow("-", "services/finalizers", "update"),
            allow("-", "endpoints/finalizers", "update"),
            allow("discovery.k8s.io", "endpointslices", "create delete get list update watch"),
            EVENTS,
        ],
    ),
    (
        "ephemeral-volume-controller",
        &[
            allow("-", "pods", READ),
            allow("-", "pods/finalizers", "update"),
            allow("-", "persistentvolumeclaims", "create get list watch"),
            EVENTS,
        ],
    ),
    (
        "expand-controller",
        &[
            allow("-", "persistentvolumes", "get list patch update watch"),
            allow("-", "persistentvolumeclaims/status", "patch update"),
            allow("-", "persistentvolumeclaims", READ),
            EVENTS,
        ],
    ),
    ("generic-garbage-collector", &[allow("*", "*", "delete get list patch update watch"), EVENTS]),
    (
        "horizontal-pod-autoscaler",
        &[
            allow("autoscaling", "horizontalpodautoscalers", READ),
            allow("autoscaling", "horizontalpodautoscalers/status", "update"),
            allow("*", "*/scale", "get update"),
            allow("-", "pods", "list watch"),
            allow("metrics.k8s.io", "pods", "list watch"),
            allow("custom.metrics.k8s.io", "*", READ),
            allow("external.metrics.k8s.io", "*", READ),
            EVENTS,
        ],
    ),
    (
        "job-controller",
        &[
            allow("batch", "jobs", "get list patch update watch"),
            allow("batch", "jobs/status", "update"),
            allow("batch", "jobs/finalizers", "update"),
            allow("-", "pods", "create delete list patch watch"),
            EVENTS,
        ],
    ),
    (
        "legacy-service-account-token-cleaner",
        &[
            named("-", "configmaps", "kube-apiserver-legacy-service-account-token-tracking", "get"),
            allow("-", "secrets", "delete patch"),
        ],
    ),
    (
        "namespace-controller",
        &[
            allow("-", "namespaces", "delete get list watch"),
            allow("-", "namespaces/finalize namespaces/status", "update"),
            allow("*", "*", "delete deletecollection get list watch"),
        ],
    ),
    (
        "node-controller",
        &[
            allow("-", "nodes", "delete get list patch update watch"),
            allow("-", "nodes/status", "patch update"),
            allow("-", "pods/status", "patch update"),
            allow("-", "pods", "delete get list watch"),
            EVENTS,
        ],
    ),
    (
        "persistent-volume-binder",
        &[
            allow("-", "persistentvolumes", "create delete get list update watch"),
            allow("-", "persistentvolumes/status", "update"),
            allow("-", "persistentvolumeclaims", "get list update watch"),
            allow("-", "persistentvolumeclaims/status", "update"),
            allow("-", "pods", "create delete get list watch"),
            allow("storage.k8s.io", "storageclasses", READ),
            allow("-", "nodes", "list watch"),
            EVENTS,
            allow("-", "events", "watch"),
        ],
    ),
    (
        "pod-garbage-collector",
        &[allow("-", "pods", "delete list watch"), allow("-", "nodes", READ), allow("-", "pods/status", "patch")],
    ),
    ("pv-protection-controller", &[allow("-", "persistentvolumes", "get list update watch"), EVENTS]),
    (
        "pvc-protection-controller",
        &[
            allow("-", "persistentvolumeclaims", "get list update watch"),
            allow("-", "persistentvolumeclaims/status", "update"),
            allow("-", "pods", READ),
            EVENTS,
        ],
    ),
    (
        "replicaset-controller",
        &[
            allow("apps extensions", "replicasets", "get list update watch"),
            allow("apps extensions", "replicasets/status", "update"),
            allow("apps extensions", "replicasets/finalizers", "update"),
            allow("-", "pods", "create delete list patch watch"),
            EVENTS,
        ],
    ),
    (
        "replication-controller",
        &[
            allow("-", "replicationcontrollers", "get list update watch"),
            allow("-", "replicationcontrollers/status", "update"),
            allow("-", "replicationcontrollers/finalizers", "update"),
            allow("-", "pods", "create delete list patch watch"),
            EVENTS,
        ],
    ),
    (
        "resource-claim-controller",
        &[
            allow("-", "pods", READ),
            allow("-", "pods/finalizers", "update"),
            allow("resource.k8s.io", "resourceclaims", "create delete get list watch"),
            allow("resource.k8s.io", "resourceclaims resourceclaims/status", "patch update"),
            allow("-", "pods/status", "patch update"),
            EVENTS,
            allow("resource.k8s.io", "resourceclaims/binding", "patch update"),
        ],
    ),
    (
        "resourcequota-controller",
        &[allow("*", "*", "list watch"), allow("-", "resourcequotas/status", "update"), EVENTS],
    ),
    ("root-ca-cert-publisher", &[allow("-", "configmaps", "create update"), EVENTS]),
    ("route-controller", &[allow("-", "nodes", "list watch"), allow("-", "nodes/status", "patch"), EVENTS]),
    (
        "selinux-warning-controller",
        &[
            EVENTS,
            allow("-", "persistentvolumes", READ),
            allow("-", "persistentvolumeclaims", READ),
            allow("-", "pods", READ),
            allow("storage.k8s.io", "csidrivers", READ),
        ],
    ),
    ("service-account-controller", &[allow("-", "serviceaccounts", "create"), EVENTS]),
    (
        "service-cidrs-controller",
        &[
            allow("networking.k8s.io", "servicecidrs", "get list patch update watch"),
            allow("networking.k8s.io", "servicecidrs/finalizers", "patch update"),
            allow("networking.k8s.io", "servicecidrs/status", "patch update"),
            allow("networking.k8s.io", "ipaddresses", READ),
            EVENTS,
        ],
    ),
    (
        "service-controller",
        &[
            allow("-", "services", READ),
            allow("-", "services/status", "patch update"),
            allow("-", "nodes", "list watch"),
            EVENTS,
        ],
    ),
    (
        "statefulset-controller",
        &[
            allow("-", "pods", "list watch"),
            allow("apps", "statefulsets", READ),
            allow("apps", "statefulsets/status", "update"),
            allow("apps", "statefulsets/finalizers", "update"),
            allow("-", "pods", "create delete get patch update"),
            allow("apps", "controllerrevisions", "create delete get list patch update watch"),
            allow("-", "persistentvolumeclaims", "create get list watch"),
            allow("-", "persistentvolumeclaims", "delete update"),
            allow("-", "pods/finalizers", "update"),
            EVENTS,
        ],
    ),
    ("ttl-after-finished-controller", &[allow("batch", "jobs", "delete get list watch"), EVENTS]),
    ("ttl-controller", &[allow("-", "nodes", "list patch update watch"), EVENTS]),
    (
        "validatingadmissionpolicy-status-controller",
        &[
            allow("admissionregistration.k8s.io", "validatingadmissionpolicies", READ),
            allow("admissionregistration.k8s.io", "validatingadmissionpolicies/status", "get patch update"),
            EVENTS,
        ],
    ),
    (
        "volumeattributesclass-protection-controller",
        &[
            allow("-", "persistentvolumeclaims", READ),
            allow("-", "persistentvolumes", READ),
            allow("storage.k8s.io", "volumeattributesclasses", "get list update watch"),
            EVENTS,
        ],
    ),
];

/// The roles and their bindings.
pub(super) fn objects() -> Vec<Value> {
    let mut objects = Vec::with_capacity(ROLES.len() * 2);
    for (controller, rules) in ROLES {
        let name = format!("system:controller:{controller}");
        let mut role = object("ClusterRole", &name);
        role["rules"] = rules.iter().map(rule).collect();
        let mut binding = object("ClusterRoleBinding", &name);
        binding["roleRef"] = json!({"apiGroup": API, "kind": "ClusterRole", "name": name});
        binding["subjects"] = json!([service_account(controller)]);
        objects.extend([role, binding]);
    }
    objects
}
