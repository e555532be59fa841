//! All that may decide, and whether it does if nobody says.

use super::Operation;

/// Who decides, by upstream's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    pub(crate) name: &'static str,
    pub(crate) usual: Usual,
    /// What it looks at.
    pub(crate) handles: &'static [Operation],
}

/// What holds of a controller that no flag names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usual {
    /// It decides.
    On,
    /// It does not.
    Off,
}

const CREATE: &[Operation] = &[Operation::Create];
const UPDATE: &[Operation] = &[Operation::Update];
const WRITE: &[Operation] = &[Operation::Create, Operation::Update];
const ANY_WRITE: &[Operation] = &[Operation::Create, Operation::Update, Operation::Delete];
const ALL_BUT_DELETE: &[Operation] = &[Operation::Connect, Operation::Create, Operation::Update];
const EVERYTHING: &[Operation] = &[Operation::Connect, Operation::Create, Operation::Delete, Operation::Update];

macro_rules! controllers {
    ($($controller:ident: $usual:ident $name:literal $handles:ident,)*) => {
        $(
            pub(crate) const $controller: Controller =
                Controller { name: $name, usual: Usual::$usual, handles: $handles };
        )*
        /// Those that are part of this server, in upstream's order.
        pub(crate) const ALL: &[Controller] = &[$($controller),*];
    };
}

controllers! {
    ALWAYS_ADMIT: Off "AlwaysAdmit" EVERYTHING,
    NAMESPACE_LIFECYCLE: On "NamespaceLifecycle" ANY_WRITE,
    LIMIT_ANTI_AFFINITY: Off "LimitPodHardAntiAffinityTopology" WRITE,
    LIMIT_RANGER: On "LimitRanger" WRITE,
    SERVICE_ACCOUNT: On "ServiceAccount" WRITE,
    NODE_RESTRICTION: On "NodeRestriction" ANY_WRITE,
    TAINT_NODES_BY_CONDITION: On "TaintNodesByCondition" CREATE,
    ALWAYS_PULL_IMAGES: Off "AlwaysPullImages" WRITE,
    POD_SECURITY: On "PodSecurity" WRITE,
    PRIORITY: On "Priority" ANY_WRITE,
    DEFAULT_TOLERATION_SECONDS: On "DefaultTolerationSeconds" WRITE,
    EVENT_RATE_LIMIT: Off "EventRateLimit" WRITE,
    EXTENDED_RESOURCE_TOLERATION: Off "ExtendedResourceToleration" WRITE,
    DEFAULT_STORAGE_CLASS: On "DefaultStorageClass" CREATE,
    STORAGE_OBJECT_IN_USE_PROTECTION: On "StorageObjectInUseProtection" CREATE,
    PERSISTENT_VOLUME_CLAIM_RESIZE: On "PersistentVolumeClaimResize" UPDATE,
    RUNTIME_CLASS: On "RuntimeClass" CREATE,
    CERTIFICATE_APPROVAL: On "CertificateApproval" UPDATE,
    CERTIFICATE_SIGNING: On "CertificateSigning" UPDATE,
    CERTIFICATE_SUBJECT_RESTRICTION: On "CertificateSubjectRestriction" CREATE,
    DEFAULT_INGRESS_CLASS: On "DefaultIngressClass" CREATE,
    DENY_EXTERNAL_ADDRESSES: Off "DenyServiceExternalIPs" WRITE,
    POD_TOPOLOGY_LABELS: On "PodTopologyLabels" CREATE,
    MUTATING_POLICY: On "MutatingAdmissionPolicy" ALL_BUT_DELETE,
    MUTATING_WEBHOOK: On "MutatingAdmissionWebhook" EVERYTHING,
    VALIDATING_POLICY: On "ValidatingAdmissionPolicy" EVERYTHING,
    VALIDATING_WEBHOOK: On "ValidatingAdmissionWebhook" EVERYTHING,
    RESOURCE_QUOTA: On "ResourceQuota" WRITE,
    ALWAYS_DENY: Off "AlwaysDeny" EVERYTHING,
}

/// What others have and this server does not: it may be disabled, and cannot be enabled.
pub(crate) const ELSEWHERE: [&str; 13] = [
    "ClusterTrustBundleAttest",
    "ImagePolicyWebhook",
    "JobValidation",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "NodeDeclaredFeatureValidator",
    "OwnerReferencesPermissionEnforcement",
    "PodGroupProtection",
    "PodGroupWorkloadExists",
    "PodNodeSelector",
    "PodResizeValidator",
    "PodTolerationRestriction",
    "Webhook",
];

/// The one of that name, if it is part of this server.
pub(crate) fn named(name: &str) -> Option<&'static Controller> {
    ALL.iter().find(|controller| controller.name == name)
}
