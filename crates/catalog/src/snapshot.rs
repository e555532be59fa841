//! The immutable view that readers share.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Instance, Key, KeyParts, Node, Pod, Service};
use crate::persistent::PersistentMap;
use crate::query::Query;
use crate::residents::{Resident, Residents};

/// Who an address belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressOwner {
    /// Cluster address of a service.
    Service(Key),
    /// Endpoint of a service.
    Endpoint(Key),
    /// A pod with a network of its own.
    Pod(Key),
}

/// Everything known at one moment. Cloning shares.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) index: u64,
    /// Index of the first snapshot, below which no other index is told.
    pub(crate) first_index: u64,
    pub(crate) service_indexes: PersistentMap<Key, u64>,
    pub(crate) node_indexes: PersistentMap<Arc<str>, u64>,
    /// When a service, or a node, was removed last.
    pub(crate) extinction: [u64; 2],
    pub(crate) services_index: u64,
    pub(crate) nodes_index: u64,
    pub(crate) services: PersistentMap<Key, Arc<Service>>,
    pub(crate) instances: PersistentMap<Key, Arc<[Arc<Instance>]>>,
    /// Services that have instances, by their published names in lower case; of several with one name the first is meant.
    pub(crate) folded_names: PersistentMap<Arc<str>, Arc<[Key]>>,
    pub(crate) pods: PersistentMap<Key, Arc<Pod>>,
    pub(crate) nodes: PersistentMap<Key, Arc<Node>>,
    pub(crate) external_nodes: PersistentMap<Key, Arc<Node>>,
    pub(crate) addresses: PersistentMap<IpAddr, Arc<[AddressOwner]>>,
    pub(crate) residents: Residents,
    /// Prepared queries: few, and changed seldom.
    pub(crate) queries: Arc<[Query]>,
}

impl Snapshot {
    /// Number of this state: rises whenever, and only when, something changed. It follows the revisions
    /// of the store, so it does not go back when a process starts anew; 0 means that nothing is
    /// known yet.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Index of the last change of a service: of itself, of an instance, or the removal of one. Of a
    /// service that does not exist, that of the last removal of any, so that it never goes back.
    pub fn service_index(&self, namespace: &str, name: &str) -> u64 {
        let known = self.service_indexes.get(&(namespace, name) as &dyn KeyParts).copied();
        let exists = || self.service(namespace, name).is_some() || self.instances_of(namespace, name).is_some();
        let unknown = || if exists() { 0 } else { self.extinction[0] };
        known.unwrap_or_else(unknown).max(self.first_index)
    }

    /// Index of the last change of a node: of itself, or of an instance on it. As of services, never
    /// goes back.
    pub fn node_index(&self, name: &str) -> u64 {
        let known = self.node_indexes.get(name).copied();
        let exists = || self.node(name).is_some() || self.external_node(name).is_some();
        let unknown = || if exists() { 0 } else { self.extinction[1] };
        known.unwrap_or_else(unknown).max(self.first_index)
    }

    /// Index of the last change of the set of services: one appeared or went, an instance appeared or
    /// went, or tags changed. Changes of health are none.
    pub fn services_index(&self) -> u64 {
        self.services_index.max(self.first_index)
    }

    /// Index of the last change of any node.
    pub fn nodes_index(&self) -> u64 {
        self.nodes_index.max(self.first_index)
    }

    /// A service by namespace and name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Arc<Service>> {
        self.services.get(&(namespace, name) as &dyn KeyParts)
    }

    /// All services, in no particular order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter().map(|(_, service)| service)
    }

    /// How many services there are.
    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// Services that were added, changed or removed since `older`; the cost follows the number of
    /// changes, not of services.
    pub fn changed_services(&self, older: &Self) -> Vec<Key> {
        self.services.changed_since(&older.services, Arc::ptr_eq)
    }

    /// Instances of a service, ordered by id: those of its pods and those that registered.
    pub fn instances_of(&self, namespace: &str, service: &str) -> Option<&Arc<[Arc<Instance>]>> {
        self.instances.get(&(namespace, service) as &dyn KeyParts)
    }

    /// All instances by service, in no particular order.
    pub fn instances(&self) -> impl Iterator<Item = (&Key, &Arc<[Arc<Instance>]>)> {
        self.instances.iter()
    }

    /// Services whose instances changed since `older`.
    pub fn changed_instances(&self, older: &Self) -> Vec<Key> {
        self.instances.changed_since(&older.instances, Arc::ptr_eq)
    }

    /// A pod by namespace and name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        self.pods.get(&(namespace, name) as &dyn KeyParts)
    }

    /// All pods, in no particular order.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().map(|(_, pod)| pod)
    }

    /// Pods that were added, changed or removed since `older`.
    pub fn changed_pods(&self, older: &Self) -> Vec<Key> {
        self.pods.changed_since(&older.pods, Arc::ptr_eq)
    }

    /// A node by name.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(&("", name) as &dyn KeyParts)
    }

    /// All nodes, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().map(|(_, node)| node)
    }

    /// A machine outside the cluster by its name.
    pub fn external_node(&self, name: &str) -> Option<&Arc<Node>> {
        self.external_nodes.get(&("", name) as &dyn KeyParts)
    }

    /// All machines outside the cluster, in no particular order.
    pub fn external_nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.external_nodes.iter().map(|(_, node)| node)
    }

    /// A machine by its name: a node of the cluster, or one outside.
    pub fn machine(&self, name: &str) -> Option<&Arc<Node>> {
        self.node(name).or_else(|| self.external_node(name))
    }

    /// Who `address` belongs to; several when pods share it or services have it in common.
    pub fn owners_of(&self, address: IpAddr) -> &[AddressOwner] {
        self.addresses.get(&address).map_or(&[], |owners| owners)
    }

    /// Who registered with `address`, in no particular order: services by their instances, and machines.
    pub fn residents_of(&self, address: IpAddr) -> impl Iterator<Item = &Resident> {
        self.residents.at(address)
    }
}
