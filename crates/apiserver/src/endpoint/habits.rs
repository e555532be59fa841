//! What updates and deletions of some resources do otherwise than those of most.
//!
//! Source: the strategies and stores of `k8s.io/kubernetes/pkg/registry` (`AllowCreateOnUpdate`,
//! `AllowUnconditionalUpdate`, `ReturnDeletedObject`, `DefaultGarbageCollectionPolicy`).

use portolan_api::description::Resource;

/// Group and plural name.
type Name = (&'static str, &'static str);

/// Those that an update may create.
const CREATED_BY_UPDATE: [Name; 10] = [
    ("", "endpoints"),
    ("", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
];

/// Those that are only updated by who has read them.
const NEVER_BLIND: [Name; 15] = [
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("coordination.k8s.io", "leases"),
    ("node.k8s.io", "runtimeclasses"),
    ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"),
];

/// Those of which a deletion answers the object that was there, instead of a status.
const SHOWN_ONCE_GONE: [Name; 17] = [
    ("", "namespaces"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"),
    ("resource.k8s.io", "resourceslices"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"),
    ("storage.k8s.io", "volumeattributesclasses"),
];

/// Those whose dependents stay unless the deletion says otherwise, and the warning that says so.
const ORPHANING: [(Name, Option<&str>); 2] = [
    (("", "replicationcontrollers"), None),
    (
        ("batch", "jobs"),
        Some(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them \
             or set propagationPolicy=Orphan to suppress this warning",
        ),
    ),
];

fn is_among(resource: &Resource, names: &[Name]) -> bool {
    names.contains(&(&*resource.group, &*resource.name))
}

pub(super) fn is_created_by_update(resource: &Resource) -> bool {
    is_among(resource, &CREATED_BY_UPDATE)
}

pub(super) fn is_never_updated_blindly(resource: &Resource) -> bool {
    resource.custom.is_some() || is_among(resource, &NEVER_BLIND)
}

pub(super) fn is_shown_once_gone(resource: &Resource) -> bool {
    is_among(resource, &SHOWN_ONCE_GONE)
}

/// Whether dependents stay by default; if so, what a deletion that does not say is warned of.
pub(super) fn orphans(resource: &Resource) -> Option<Option<&'static str>> {
    let is_it = |(name, _): &&(Name, Option<&'static str>)| *name == (&*resource.group, &*resource.name);
    ORPHANING.iter().find(is_it).map(|(_, warning)| *warning)
}
