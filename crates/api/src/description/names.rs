//! Short names and categories, which the published document lacks.

/// Other ways to name a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// Abbreviations.
    pub(super) short: &'static [&'static str],
    /// Groups of resources.
    pub(super) categories: &'static [&'static str],
}

const NONE: Names = Names { short: &[], categories: &[] };
const ALL: &[&str] = &["all"];
const API_EXTENSIONS: &[&str] = &["api-extensions"];

/// The other names of a resource.
pub(super) fn of(group: &str, resource: &str) -> Names {
    let row = TABLE.iter().find(|(row_group, row_resource, ..)| *row_group == group && *row_resource == resource);
    row.map_or(NONE, |(_, _, short, categories)| Names { short, categories })
}

type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const TABLE: &[Row] = &[
    ("", "componentstatuses", &["cs"], &[]),
    ("", "configmaps", &["cm"], &[]),
    ("", "endpoints", &["ep"], &[]),
    ("", "events", &["ev"], &[]),
    ("", "limitranges", &["limits"], &[]),
    ("", "namespaces", &["ns"], &[]),
    ("", "nodes", &["no"], &[]),
    ("", "persistentvolumeclaims", &["pvc"], &[]),
    ("", "persistentvolumes", &["pv"], &[]),
    ("", "pods", &["po"], ALL),
    ("", "replicationcontrollers", &["rc"], ALL),
    ("", "resourcequotas", &["quota"], &[]),
    ("", "serviceaccounts", &["sa"], &[]),
    ("", "services", &["svc"], ALL),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", &[], API_EXTENSIONS),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", &[], API_EXTENSIONS),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", &[], API_EXTENSIONS),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", &[], API_EXTENSIONS),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", &[], API_EXTENSIONS),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", &[], API_EXTENSIONS),
    ("apiextensions.k8s.io", "customresourcedefinitions", &["crd", "crds"], API_EXTENSIONS),
    ("apiregistration.k8s.io", "apiservices", &[], API_EXTENSIONS),
    ("apps", "daemonsets", &["ds"], ALL),
    ("apps", "deployments", &["deploy"], ALL),
    ("apps", "replicasets", &["rs"], ALL),
    ("apps", "statefulsets", &["sts"], ALL),
    ("autoscaling", "horizontalpodautoscalers", &["hpa"], ALL),
    ("batch", "cronjobs", &["cj"], ALL),
    ("batch", "jobs", &[], ALL),
    ("certificates.k8s.io", "certificatesigningrequests", &["csr"], &[]),
    ("events.k8s.io", "events", &["ev"], &[]),
    ("networking.k8s.io", "ingresses", &["ing"], &[]),
    ("networking.k8s.io", "ipaddresses", &["ip"], &[]),
    ("networking.k8s.io", "networkpolicies", &["netpol"], &[]),
    ("policy", "poddisruptionbudgets", &["pdb"], &[]),
    ("registry.portolan.dev", "externalnodes", &["xn"], &[]),
    ("registry.portolan.dev", "preparedqueries", &["pq"], &[]),
    ("registry.portolan.dev", "serviceinstances", &["si"], &[]),
    ("scheduling.k8s.io", "priorityclasses", &["pc"], &[]),
    ("storage.k8s.io", "storageclasses", &["sc"], &[]),
    ("storage.k8s.io", "volumeattributesclasses", &["vac"], &[]),
];
