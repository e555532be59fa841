//! Typed views of objects, decoded in this crate only.
//!
//! The generated `Deserialize` code is generic and would be compiled again in every crate that
//! calls it, so [`Object::decode`] is a plain function per kind, compiled here.

use serde::{Deserialize, Serialize};

use crate::annotations::CREATED_REVISION;

mod external_node;
mod health_check;
mod plain;
mod prepared_query;
mod service_instance;
mod stored;

pub use k8s_openapi::api as kinds;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

pub use external_node::{ExternalNode, ExternalNodeSpec, ExternalNodeStatus};
pub use health_check::{
    CheckType, Checked, Health, HealthCheck, HealthCheckStatus, drop_leftovers, has_leftovers, record_check,
};
pub use plain::{LARGEST_OUTPUT, LONGEST_TTL_SECONDS};
pub use prepared_query::{PreparedQuery, PreparedQuerySpec, PreparedQueryTemplate};
pub use service_instance::{
    InstanceLease, InstanceLocality, InstanceOverride, InstancePort, InstanceWeights, LeaseKind, LeaseTerm,
    OverrideMode, ServiceInstance, ServiceInstanceSpec, ServiceInstanceStatus, TaggedAddress, Verdict,
};
pub use stored::Birth;

/// Whether objects of a kind live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One flat set for the cluster.
    Cluster,
    /// Inside a namespace.
    Namespaced,
}

/// The answer to a list request, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct List<K> {
    /// The objects.
    pub items: Vec<K>,
    /// Revision of the list, for a watch that follows it.
    pub resource_version: String,
    /// Token for the next page; empty on the last one.
    pub continue_token: String,
}

/// An object of a kind of our own that the server in this process understands without its encoded form.
#[derive(Debug)]
pub enum Known<'a> {
    /// A registration.
    ServiceInstance(&'a mut ServiceInstance),
}

/// A kind with a typed view.
pub trait Object: Clone + std::fmt::Debug + Send + Sync + Sized + 'static {
    /// API group; empty for the core group.
    const GROUP: &'static str;
    /// API version, for example `v1`.
    const VERSION: &'static str;
    /// `group/version`, or `version` in the core group.
    const API_VERSION: &'static str;
    /// Kind, for example `Pod`.
    const KIND: &'static str;
    /// Resource, for example `pods`.
    const RESOURCE: &'static str;
    /// Where its objects live.
    const SCOPE: Scope;

    /// Reads an object.
    ///
    /// # Errors
    /// The bytes are not JSON or do not fit the kind.
    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error>;
    /// Reads a list of objects.
    ///
    /// # Errors
    /// The bytes are not JSON or do not fit the kind's list.
    fn decode_list(bytes: &[u8]) -> Result<List<Self>, serde_json::Error>;
    /// Writes an object, with `apiVersion` and `kind`.
    fn encode(&self) -> Vec<u8>;
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// Its metadata, to change.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;

    /// Its name; empty if it has none yet.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
    /// Its namespace; empty for kinds without.
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }
    /// The revision of the store at which it became like this: versions of one object can be compared by it. 0 if it
    /// has none, which is older than any.
    fn revision(&self) -> u64 {
        self.metadata().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
    }
    /// The revision at which it came into being, as far as that is known: of one that was changed since, only kinds of
    /// the registry remember it. Not above [`Object::revision`].
    fn created_revision(&self) -> u64 {
        let annotations = self.metadata().annotations.as_ref();
        let noted = annotations.and_then(|annotations| annotations.get(CREATED_REVISION)?.parse().ok());
        noted.map_or_else(|| self.revision(), |noted: u64| noted.min(self.revision()))
    }
    /// Itself, if a server in this process understands its typed view.
    fn known(&mut self) -> Option<Known<'_>> {
        None
    }
    /// Its UID; empty if it has none yet.
    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(bound = "K: for<'a> Deserialize<'a>")]
struct ListBody<K> {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default = "Vec::new")]
    items: Vec<K>,
}

impl<K> From<ListBody<K>> for List<K> {
    fn from(body: ListBody<K>) -> Self {
        Self {
            items: body.items,
            resource_version: body.metadata.resource_version,
            continue_token: body.metadata.r#continue,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: String,
    r#continue: String,
}

/// The form of a kind of our own on the wire, which says its kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnKind<'a, Spec, Status> {
    api_version: &'static str,
    kind: &'static str,
    metadata: &'a ObjectMeta,
    spec: &'a Spec,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: &'a Option<Status>,
}

macro_rules! own_kind {
    ($($kind:ident, $resource:literal: $scope:ident $(, known as $known:ident)?;)*) => {$(
        impl Object for $kind {
            const GROUP: &'static str = "registry.portolan.dev";
            const VERSION: &'static str = "v1";
            const API_VERSION: &'static str = "registry.portolan.dev/v1";
            const KIND: &'static str = stringify!($kind);
            const RESOURCE: &'static str = $resource;
            const SCOPE: Scope = Scope::$scope;

            fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(bytes)
            }
            fn decode_list(bytes: &[u8]) -> Result<List<Self>, serde_json::Error> {
                let body: ListBody<Self> = serde_json::from_slice(bytes)?;
                Ok(body.into())
            }
            fn encode(&self) -> Vec<u8> {
                let own = OwnKind {
                    api_version: Self::API_VERSION,
                    kind: Self::KIND,
                    metadata: &self.metadata,
                    spec: &self.spec,
                    status: &self.status,
                };
                serde_json::to_vec(&own).expect("plain structs serialise to JSON: their map keys are strings")
            }
            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
            $(
                fn known(&mut self) -> Option<Known<'_>> {
                    Some(Known::$known(self))
                }
            )?
        }
    )*};
}

own_kind! {
    ExternalNode, "externalnodes": Cluster;
    PreparedQuery, "preparedqueries": Cluster;
    ServiceInstance, "serviceinstances": Namespaced, known as ServiceInstance;
}

macro_rules! object {
    ($($kind:ty: $scope:ident;)*) => {$(
        impl Object for $kind {
            const GROUP: &'static str = <$kind as k8s_openapi::Resource>::GROUP;
            const VERSION: &'static str = <$kind as k8s_openapi::Resource>::VERSION;
            const API_VERSION: &'static str = <$kind as k8s_openapi::Resource>::API_VERSION;
            const KIND: &'static str = <$kind as k8s_openapi::Resource>::KIND;
            const RESOURCE: &'static str = <$kind as k8s_openapi::Resource>::URL_PATH_SEGMENT;
            const SCOPE: Scope = Scope::$scope;

            fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(bytes)
            }
            fn decode_list(bytes: &[u8]) -> Result<List<Self>, serde_json::Error> {
                let body: ListBody<Self> = serde_json::from_slice(bytes)?;
                Ok(body.into())
            }
            fn encode(&self) -> Vec<u8> {
                serde_json::to_vec(self).expect("generated types serialise to JSON: their map keys are strings")
            }
            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    )*};
}

object! {
    kinds::core::v1::ConfigMap: Namespaced;
    kinds::core::v1::Endpoints: Namespaced;
    kinds::core::v1::Event: Namespaced;
    kinds::core::v1::Namespace: Cluster;
    kinds::core::v1::Node: Cluster;
    kinds::core::v1::PersistentVolume: Cluster;
    kinds::core::v1::PersistentVolumeClaim: Namespaced;
    kinds::core::v1::Pod: Namespaced;
    kinds::core::v1::ReplicationController: Namespaced;
    kinds::core::v1::ResourceQuota: Namespaced;
    kinds::core::v1::Secret: Namespaced;
    kinds::core::v1::Service: Namespaced;
    kinds::core::v1::ServiceAccount: Namespaced;
    kinds::apps::v1::ControllerRevision: Namespaced;
    kinds::apps::v1::DaemonSet: Namespaced;
    kinds::apps::v1::Deployment: Namespaced;
    kinds::apps::v1::ReplicaSet: Namespaced;
    kinds::apps::v1::StatefulSet: Namespaced;
    kinds::batch::v1::CronJob: Namespaced;
    kinds::batch::v1::Job: Namespaced;
    kinds::certificates::v1::CertificateSigningRequest: Cluster;
    kinds::coordination::v1::Lease: Namespaced;
    kinds::discovery::v1::EndpointSlice: Namespaced;
    kinds::flowcontrol::v1::FlowSchema: Cluster;
    kinds::flowcontrol::v1::PriorityLevelConfiguration: Cluster;
    kinds::networking::v1::IPAddress: Cluster;
    kinds::networking::v1::ServiceCIDR: Cluster;
    kinds::policy::v1::PodDisruptionBudget: Namespaced;
    kinds::rbac::v1::ClusterRole: Cluster;
    kinds::rbac::v1::ClusterRoleBinding: Cluster;
    kinds::rbac::v1::Role: Namespaced;
    kinds::rbac::v1::RoleBinding: Namespaced;
    kinds::scheduling::v1::PriorityClass: Cluster;
    kinds::storage::v1::VolumeAttributesClass: Cluster;
}

/// An object of any kind: identity and metadata only.
///
/// For consumers such as the garbage collector that never look further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartialObject {
    /// `group/version`.
    #[serde(default)]
    pub api_version: String,
    /// Kind.
    #[serde(default)]
    pub kind: String,
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
}
