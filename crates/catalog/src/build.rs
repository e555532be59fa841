//! From objects to snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{ExternalNode, Object as _, ServiceInstance};

use crate::model::{Check, Endpoint, Health, Instance, InstancePort, Key, Node, Origin, Service, Status, Weights};
use crate::pods;
use crate::snapshot::{AddressOwner, Snapshot};
use crate::translate::{endpoints, external_node, registered_instance, service};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// An object the catalog is derived from.
#[derive(Debug, Clone)]
pub enum Input {
    /// A service.
    Service(Arc<core::Service>),
    /// Endpoints of a service.
    EndpointSlice(Arc<EndpointSlice>),
    /// A pod.
    Pod(Arc<core::Pod>),
    /// A node.
    Node(Arc<core::Node>),
    /// An instance that registered itself.
    Registration(Arc<ServiceInstance>),
    /// A machine outside the cluster.
    ExternalNode(Arc<ExternalNode>),
}

/// The kind of an [`Input`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A service.
    Service,
    /// Endpoints of a service.
    EndpointSlice,
    /// A pod.
    Pod,
    /// A node.
    Node,
    /// An instance that registered itself.
    Registration,
    /// A machine outside the cluster.
    ExternalNode,
}

/// Derives snapshots from objects.
///
/// Feed it with [`Catalog::put`] and [`Catalog::remove`] in any order and any batch, then take
/// [`Catalog::snapshot`]; only what the batch touched is derived again.
#[derive(Debug, Default)]
pub struct Catalog {
    services: HashMap<Key, Arc<core::Service>>,
    slices: HashMap<Key, BTreeMap<Arc<str>, Arc<EndpointSlice>>>,
    slice_service: HashMap<Key, Key>,
    pod_services: HashMap<Key, BTreeSet<Key>>,
    registrations: HashMap<Key, BTreeMap<Arc<str>, Arc<ServiceInstance>>>,
    registration_service: HashMap<Key, Key>,
    address_counts: HashMap<IpAddr, BTreeMap<AddressOwner, usize>>,
    dirty_services: BTreeSet<Key>,
    dirty_addresses: BTreeSet<IpAddr>,
    changed: bool,
    current: Snapshot,
}

impl Catalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces an object.
    pub fn put(&mut self, input: Input) {
        match input {
            Input::Service(service) => {
                let key = Key::new(service.namespace(), service.name());
                self.dirty_services.insert(key.clone());
                self.services.insert(key, service);
            }
            Input::EndpointSlice(slice) => self.put_slice(slice),
            Input::Registration(object) => self.put_registration(object),
            Input::Pod(pod) => {
                let pod = pods::pod(&pod);
                let key = pod.key.clone();
                let old = self.current.pods.get(&key).cloned();
                if old.as_deref() != Some(&pod) {
                    self.replace_pod(&key, old.as_deref(), Some(pod));
                }
            }
            Input::Node(node) => {
                let node = pods::node(&node);
                if self.current.node(&node.name).is_none_or(|old| !old.is_like(&node)) {
                    let node = self.stamp_node(node);
                    self.current.nodes.insert(Key::new("", node.name.clone()), Arc::new(node));
                    // Instances carry their node's locality. Nodes change rarely (heartbeats do not), so all are derived.
                    self.dirty_services.extend(self.services.keys().cloned());
                    self.node_changed();
                }
            }
            Input::ExternalNode(object) => {
                let key = Key::new("", object.name());
                let node = external_node(&object);
                if self.current.external_nodes.get(&key).is_none_or(|old| !old.is_like(&node)) {
                    let node = self.stamp_node(node);
                    self.current.external_nodes.insert(key, Arc::new(node));
                    self.node_changed();
                }
            }
        }
    }

    /// A node that is new or different carries the index of the snapshot that shows it.
    fn stamp_node(&self, node: Node) -> Node {
        let next = self.current.index + 1;
        let old = self.current.node(&node.name).or_else(|| self.current.external_node(&node.name));
        Node { created_index: old.map_or(next, |old| old.created_index), modified_index: next, ..node }
    }

    fn node_changed(&mut self) {
        self.changed = true;
        self.current.nodes_index = self.current.index + 1;
    }

    /// Removes an object; one that was never added is ignored.
    pub fn remove(&mut self, kind: Kind, key: &Key) {
        match kind {
            Kind::Service => {
                if self.services.remove(key).is_some() {
                    self.dirty_services.insert(key.clone());
                }
            }
            Kind::EndpointSlice => self.remove_slice(key),
            Kind::Registration => self.remove_registration(key),
            Kind::Pod => {
                if let Some(old) = self.current.pods.get(key).cloned() {
                    self.replace_pod(key, Some(&old), None);
                }
            }
            Kind::ExternalNode => {
                if self.current.external_nodes.remove(&Key::new("", key.name.clone())).is_some() {
                    self.node_changed();
                }
            }
            Kind::Node => {
                if self.current.nodes.remove(&Key::new("", key.name.clone())).is_some() {
                    self.node_changed();
                }
            }
        }
    }

    /// The state after everything fed so far. The same `index` means the same state.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        for key in std::mem::take(&mut self.dirty_services) {
            self.derive_service(&key);
        }
        for address in std::mem::take(&mut self.dirty_addresses) {
            self.derive_address(address);
        }
        if std::mem::take(&mut self.changed) {
            self.current.index += 1;
        }
        Arc::new(self.current.clone())
    }

    fn put_slice(&mut self, slice: Arc<EndpointSlice>) {
        let key = Key::new(slice.namespace(), slice.name());
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL));
        let Some(service) = service.map(|name| Key::new(key.namespace.clone(), name.as_str())) else {
            return self.remove_slice(&key);
        };
        if self.slice_service.get(&key).is_some_and(|old| *old != service) {
            self.remove_slice(&key);
        }
        self.slice_service.insert(key.clone(), service.clone());
        self.slices.entry(service.clone()).or_default().insert(key.name, slice);
        self.dirty_services.insert(service);
    }

    fn remove_slice(&mut self, key: &Key) {
        let Some(service) = self.slice_service.remove(key) else { return };
        if let Some(slices) = self.slices.get_mut(&service) {
            slices.remove(&key.name);
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        self.dirty_services.insert(service);
    }

    fn put_registration(&mut self, object: Arc<ServiceInstance>) {
        let key = Key::new(object.namespace(), object.name());
        let service = Key::new(key.namespace.clone(), object.spec.service.as_str());
        if self.registration_service.get(&key).is_some_and(|old| *old != service) {
            self.remove_registration(&key);
        }
        self.registration_service.insert(key.clone(), service.clone());
        self.registrations.entry(service.clone()).or_default().insert(key.name, object);
        self.dirty_services.insert(service);
    }

    fn remove_registration(&mut self, key: &Key) {
        let Some(service) = self.registration_service.remove(key) else { return };
        if let Some(objects) = self.registrations.get_mut(&service) {
            objects.remove(&key.name);
            if objects.is_empty() {
                self.registrations.remove(&service);
            }
        }
        self.dirty_services.insert(service);
    }

    fn replace_pod(&mut self, key: &Key, old: Option<&crate::model::Pod>, new: Option<crate::model::Pod>) {
        let address = |pod: &crate::model::Pod| pod.address.filter(|_| !pod.host_network);
        let (before, after) = (old.and_then(address), new.as_ref().and_then(address));
        if before != after {
            let owner = AddressOwner::Pod(key.clone());
            before.into_iter().for_each(|address| self.release(address, &owner));
            after.into_iter().for_each(|address| self.claim(address, &owner));
        }
        match new {
            Some(pod) => self.current.pods.insert(key.clone(), Arc::new(pod)),
            None => self.current.pods.remove(key),
        };
        self.changed = true;
        if let Some(services) = self.pod_services.get(key) {
            self.dirty_services.extend(services.iter().cloned());
        }
    }

    fn derive_service(&mut self, key: &Key) {
        let old = self.current.services.get(key).cloned();
        let new = self.services.get(key).map(|object| {
            let slices = self.slices.get(key).into_iter().flat_map(BTreeMap::values).map(Arc::as_ref);
            service(key, object, endpoints(slices))
        });
        if old.as_deref() != new.as_ref() {
            self.replace_owned(key, old.as_deref(), new.as_ref());
            match new {
                Some(service) => self.current.services.insert(key.clone(), Arc::new(service)),
                None => self.current.services.remove(key),
            };
            self.changed = true;
        }
        self.derive_instances(key);
    }

    /// Moves the claims on addresses and the index of pods from one version of a service to the next.
    fn replace_owned(&mut self, key: &Key, old: Option<&Service>, new: Option<&Service>) {
        if let Some(service) = old {
            for (address, owner) in owned(service) {
                self.release(address, &owner);
            }
            for pod in service.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()) {
                if let Some(services) = self.pod_services.get_mut(pod) {
                    services.remove(key);
                    if services.is_empty() {
                        self.pod_services.remove(pod);
                    }
                }
            }
        }
        if let Some(service) = new {
            for (address, owner) in owned(service) {
                self.claim(address, &owner);
            }
            for pod in service.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()) {
                self.pod_services.entry(pod.clone()).or_default().insert(key.clone());
            }
        }
    }

    fn derive_instances(&mut self, key: &Key) {
        let mut instances: Vec<Arc<Instance>> = Vec::new();
        if let Some(service) = self.current.services.get(key) {
            instances.extend(service.endpoints.iter().map(|endpoint| Arc::new(self.instance(service, endpoint))));
        }
        let registered = self.registrations.get(key).into_iter().flat_map(BTreeMap::values);
        instances.extend(registered.map(|object| Arc::new(registered_instance(object))));
        instances.sort_by(|left, right| left.id.cmp(&right.id).then_with(|| left.address.cmp(&right.address)));
        instances.dedup_by(|left, right| left.id == right.id && left.address == right.address);
        let old = self.current.instances.get(key).map_or(&[][..], |old| old);
        let next = self.current.index + 1;
        for instance in &mut instances {
            let before = old.iter().find(|before| before.id == instance.id && before.address == instance.address);
            let stamp = match before {
                Some(before) if before.is_like(instance) => {
                    *instance = before.clone();
                    continue;
                }
                Some(before) => (before.created_index, next),
                None => (next, next),
            };
            if let Some(instance) = Arc::get_mut(instance) {
                (instance.created_index, instance.modified_index) = stamp;
            }
        }
        if old.len() == instances.len() && old.iter().zip(&instances).all(|(old, new)| Arc::ptr_eq(old, new)) {
            return;
        }
        self.changed = true;
        if instances.is_empty() {
            self.current.instances.remove(key);
        } else {
            self.current.instances.insert(key.clone(), instances.into());
        }
    }

    fn instance(&self, service: &Service, endpoint: &Endpoint) -> Instance {
        let pod = endpoint.pod.as_ref().and_then(|key| self.current.pods.get(key));
        let address: Arc<str> = endpoint.address.to_string().into();
        let name = endpoint.pod.as_ref().map_or_else(|| address.clone(), |key| key.name.clone());
        let node = endpoint.node.clone().unwrap_or_default();
        let mut locality = self.current.node(&node).map(|node| node.locality.clone()).unwrap_or_default();
        if let Some(zone) = &endpoint.zone {
            locality.zone = zone.to_string();
        }
        let health = merged_health(endpoint, pod.map(|pod| &pod.health));
        Instance {
            id: name.clone(),
            name,
            service: service.key.name.clone(),
            namespace: service.key.namespace.clone(),
            address,
            ports: endpoint
                .ports
                .iter()
                .map(|port| InstancePort { name: port.name.clone(), port: port.port, protocol: port.protocol })
                .collect(),
            node,
            tags: Vec::new(),
            labels: pod.map(|pod| pod.labels.clone()).unwrap_or_default(),
            metadata: BTreeMap::new(),
            version: pod.and_then(|pod| pod.labels.get("app.kubernetes.io/version")).cloned().unwrap_or_default(),
            weights: Weights::default(),
            locality,
            ttl: None,
            origin: Origin::Orchestrator,
            checks: Arc::new([Check {
                id: "kubernetes-readiness-check".into(),
                name: "Kubernetes Readiness Check".into(),
                check_type: "",
                status: health.status,
                output: health.reason.clone(),
                notes: String::new(),
                since: health.since,
            }]),
            health,
            registration: None,
            created_index: 0,
            modified_index: 0,
        }
    }

    fn claim(&mut self, address: IpAddr, owner: &AddressOwner) {
        *self.address_counts.entry(address).or_default().entry(owner.clone()).or_default() += 1;
        self.dirty_addresses.insert(address);
    }

    fn release(&mut self, address: IpAddr, owner: &AddressOwner) {
        let Some(owners) = self.address_counts.get_mut(&address) else { return };
        if let Some(count) = owners.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                owners.remove(owner);
            }
        }
        if owners.is_empty() {
            self.address_counts.remove(&address);
        }
        self.dirty_addresses.insert(address);
    }

    fn derive_address(&mut self, address: IpAddr) {
        let owners: Arc<[AddressOwner]> =
            self.address_counts.get(&address).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        if self.current.owners_of(address) == &*owners {
            return;
        }
        self.changed = true;
        if owners.is_empty() {
            self.current.addresses.remove(&address);
        } else {
            self.current.addresses.insert(address, owners);
        }
    }
}

/// Readiness decides, the pod says why.
fn merged_health(endpoint: &Endpoint, pod: Option<&Health>) -> Health {
    let status = match (endpoint.ready, endpoint.serving) {
        (true, _) => Status::Passing,
        (false, true) => Status::Warning,
        (false, false) => Status::Critical,
    };
    match pod {
        Some(health) if endpoint.terminating || health.status == status || status == Status::Critical => {
            Health { status, ..health.clone() }
        }
        _ => {
            let reason = if endpoint.terminating {
                "the endpoint is terminating"
            } else if endpoint.ready {
                "the endpoint is ready"
            } else {
                "the endpoint is not ready"
            };
            Health { status, reason: reason.into(), since: pod.and_then(|health| health.since) }
        }
    }
}

fn owned(service: &Service) -> impl Iterator<Item = (IpAddr, AddressOwner)> + '_ {
    let addresses = service.cluster_addresses.iter();
    let own = addresses.map(|address| (*address, AddressOwner::Service(service.key.clone())));
    let endpoints = service.endpoints.iter();
    own.chain(endpoints.map(|endpoint| (endpoint.address, AddressOwner::Endpoint(service.key.clone()))))
}
