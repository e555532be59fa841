//! Names of resources such as `cpu` and `example.com/gpu`.

/// Resources of a quota that are no objects to count.
const QUOTA: [&str; 19] = [
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// Whether a resource has its name without a domain.
pub(crate) fn is_standard(name: &str) -> bool {
    is_standard_for_quota(name) || name == "storage"
}

/// Whether containers ask for a resource by this name alone.
pub(crate) fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "ephemeral-storage" | "memory") || name.starts_with("hugepages-")
}

/// Whether a quota names a resource by this name alone.
pub(crate) fn is_standard_for_quota(name: &str) -> bool {
    QUOTA.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// Whether amounts of a resource are whole numbers.
pub(crate) fn is_counted(name: &str) -> bool {
    matches!(
        name,
        "configmaps"
            | "persistentvolumeclaims"
            | "pods"
            | "replicationcontrollers"
            | "resourcequotas"
            | "secrets"
            | "services"
            | "services.loadbalancers"
            | "services.nodeports"
    ) || is_extended(name)
}

/// Whether a resource is one that a node offers under a domain of its own.
pub(crate) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// Whether a request may be less than the limit: not so of huge pages and of what nodes hand out whole.
pub(crate) fn can_overcommit(name: &str) -> bool {
    !name.starts_with("hugepages-") && (!name.contains('/') || name.contains("kubernetes.io/"))
}
