//! One file per kind that needs more than the API description says: `resources/<group>/<kind>.rs`.

pub(crate) mod addresses;
mod admission_registration;
mod apiextensions;
mod apiregistration;
mod apps;
mod at;
mod autoscaling;
mod batch;
mod certificates;
mod checks;
mod conditions;
mod coordination;
pub mod core;
mod discovery;
mod flowcontrol;
pub(crate) mod json;
mod metrics;
mod networking;
mod node;
mod pem;
mod policy;
pub mod print;
mod rbac;
mod registry;
pub(crate) mod resource;
mod scheduling;
pub(crate) mod shown;
mod storage;
pub(crate) mod url;
mod workload;

pub(crate) use apiextensions::unusable_bundle;

use crate::strategy::Strategy;

/// A kind that needs nothing of its own.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a resource, for example `("apps", "deployments")`; the core group is `""`.
pub fn strategy(group: &str, resource: &str) -> &'static dyn Strategy {
    match (group, resource) {
        ("", "componentstatuses") => &core::component_status::ComponentStatus,
        ("", "configmaps") => &core::config_map::ConfigMap,
        ("", "endpoints") => &core::endpoints::Endpoints,
        ("", "events") => &core::event::Event { group: "" },
        ("events.k8s.io", "events") => &core::event::Event { group: "events.k8s.io" },
        ("", "limitranges") => &core::limit_range::LimitRange,
        ("", "namespaces") => &core::namespace::Namespace,
        ("", "nodes") => &core::node::Node,
        ("", "persistentvolumeclaims") => &core::persistent_volume_claim::PersistentVolumeClaim,
        ("", "persistentvolumes") => &core::persistent_volume::PersistentVolume,
        ("", "pods") => &core::pod::Pod,
        ("", "podtemplates") => &core::pod_template_object::PodTemplate,
        ("", "replicationcontrollers") => &core::replication_controller::ReplicationController,
        ("", "resourcequotas") => &core::resource_quota::ResourceQuota,
        ("", "secrets") => &core::secret::Secret,
        ("", "serviceaccounts") => &core::service_account::ServiceAccount,
        ("", "services") => &core::service::Service,
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => {
            &admission_registration::mutating_policy::MutatingPolicy
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings") => {
            &admission_registration::policy_binding::PolicyBinding { is_validating: false }
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            &admission_registration::validating_policy::ValidatingPolicy
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            &admission_registration::policy_binding::PolicyBinding { is_validating: true }
        }
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations") => {
            &admission_registration::webhook_configuration::WebhookConfiguration { is_mutating: true }
        }
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations") => {
            &admission_registration::webhook_configuration::WebhookConfiguration { is_mutating: false }
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            &apiextensions::custom_resource_definition::CustomResourceDefinition
        }
        ("apiregistration.k8s.io", "apiservices") => &apiregistration::api_service::ApiService,
        ("apps", "controllerrevisions") => &apps::controller_revision::ControllerRevision,
        ("apps", "daemonsets") => &apps::daemon_set::DaemonSet,
        ("apps", "deployments") => &apps::deployment::Deployment,
        ("apps", "replicasets") => &apps::replica_set::ReplicaSet,
        ("apps", "statefulsets") => &apps::stateful_set::StatefulSet,
        ("autoscaling", "horizontalpodautoscalers") => &autoscaling::horizontal_pod_autoscaler::HorizontalPodAutoscaler,
        ("batch", "cronjobs") => &batch::cron_job::CronJob,
        ("batch", "jobs") => &batch::job::Job,
        ("certificates.k8s.io", "certificatesigningrequests") => {
            &certificates::certificate_signing_request::CertificateSigningRequest
        }
        ("coordination.k8s.io", "leases") => &coordination::lease::Lease,
        ("discovery.k8s.io", "endpointslices") => &discovery::endpoint_slice::EndpointSlice,
        ("networking.k8s.io", "ingressclasses") => &networking::ingress_class::IngressClass,
        ("networking.k8s.io", "ingresses") => &networking::ingress::Ingress,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => &flowcontrol::flow_schema::FlowSchema,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => {
            &flowcontrol::priority_level::PriorityLevelConfiguration
        }
        (crate::measurements::GROUP, _) => &metrics::Metrics,
        ("networking.k8s.io", "ipaddresses") => &networking::ip_address::IpAddress,
        ("networking.k8s.io", "networkpolicies") => &networking::network_policy::NetworkPolicy,
        ("networking.k8s.io", "servicecidrs") => &networking::service_cidr::ServiceCidr,
        ("node.k8s.io", "runtimeclasses") => &node::runtime_class::RuntimeClass,
        ("policy", "poddisruptionbudgets") => &policy::pod_disruption_budget::PodDisruptionBudget,
        ("rbac.authorization.k8s.io", "clusterrolebindings") => &rbac::binding::ClusterRoleBinding,
        ("rbac.authorization.k8s.io", "clusterroles") => &rbac::role::ClusterRole,
        ("rbac.authorization.k8s.io", "rolebindings") => &rbac::binding::RoleBinding,
        ("rbac.authorization.k8s.io", "roles") => &rbac::role::Role,
        ("registry.portolan.dev", "externalnodes") => &registry::external_node::ExternalNode,
        ("registry.portolan.dev", "preparedqueries") => &registry::prepared_query::PreparedQuery,
        ("registry.portolan.dev", "serviceinstances") => &registry::service_instance::ServiceInstance,
        ("resource.k8s.io", "deviceclasses") => &resource::device_class::DeviceClass,
        ("resource.k8s.io", "resourceclaims") => &resource::resource_claim::ResourceClaim,
        ("resource.k8s.io", "resourceclaimtemplates") => &resource::resource_claim::ResourceClaimTemplate,
        ("resource.k8s.io", "resourceslices") => &resource::resource_slice::ResourceSlice,
        ("scheduling.k8s.io", "priorityclasses") => &scheduling::priority_class::PriorityClass,
        ("storage.k8s.io", "csidrivers") => &storage::csi_driver::CsiDriver,
        ("storage.k8s.io", "csinodes") => &storage::csi_node::CsiNode,
        ("storage.k8s.io", "csistoragecapacities") => &storage::csi_storage_capacity::CsiStorageCapacity,
        ("storage.k8s.io", "storageclasses") => &storage::storage_class::StorageClass,
        ("storage.k8s.io", "volumeattachments") => &storage::volume_attachment::VolumeAttachment,
        ("storage.k8s.io", "volumeattributesclasses") => &storage::volume_attributes_class::VolumeAttributesClass,
        _ => &Plain,
    }
}

#[cfg(test)]
mod tests;
