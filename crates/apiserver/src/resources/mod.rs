//! One file per kind that needs more than the API description says: `resources/<group>/<kind>.rs`.

mod apps;
mod at;
mod checks;
pub mod core;
mod json;
pub mod print;
mod workload;

use crate::strategy::Strategy;

/// A kind that needs nothing of its own.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a resource, for example `("apps", "deployments")`; the core group is `""`.
pub fn strategy(group: &str, resource: &str) -> &'static dyn Strategy {
    match (group, resource) {
        ("", "configmaps") => &core::config_map::ConfigMap,
        ("", "endpoints") => &core::endpoints::Endpoints,
        ("" | "events.k8s.io", "events") => &core::event::Event,
        ("", "namespaces") => &core::namespace::Namespace,
        ("", "nodes") => &core::node::Node,
        ("", "persistentvolumeclaims") => &core::persistent_volume_claim::PersistentVolumeClaim,
        ("", "persistentvolumes") => &core::persistent_volume::PersistentVolume,
        ("", "pods") => &core::pod::Pod,
        ("", "replicationcontrollers") => &core::replication_controller::ReplicationController,
        ("", "secrets") => &core::secret::Secret,
        ("", "serviceaccounts") => &core::service_account::ServiceAccount,
        ("", "services") => &core::service::Service,
        ("apps", "controllerrevisions") => &apps::controller_revision::ControllerRevision,
        ("apps", "daemonsets") => &apps::daemon_set::DaemonSet,
        ("apps", "deployments") => &apps::deployment::Deployment,
        ("apps", "replicasets") => &apps::replica_set::ReplicaSet,
        ("apps", "statefulsets") => &apps::stateful_set::StatefulSet,
        _ => &Plain,
    }
}
