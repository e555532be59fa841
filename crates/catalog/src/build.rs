//! From objects to snapshots.

mod addresses;
mod instances;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{Object, PreparedQuerySpec, ServiceInstance};

use self::addresses::owned;
use crate::indexes::Before;
use crate::input::{Input, Kind};
use crate::model::{Instance, Key, KeyParts, Node, Pod, Service};
use crate::pods;
use crate::pool::Pool;
use crate::query::Query;
use crate::snapshot::{AddressOwner, Snapshot};
use crate::translate::{endpoints, external_node, registered_instance, service};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

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
    /// Pods that are in the registry under a name of their own, by that name.
    published: HashMap<Key, BTreeSet<Arc<str>>>,
    /// Instances that registered themselves, by service and the names of their objects, as they are by themselves.
    registrations: HashMap<Key, BTreeMap<Arc<str>, Arc<Instance>>>,
    /// The services of registrations by their objects' names. Keys share their texts with the instances.
    registration_service: HashMap<Key, Key>,
    pool: Pool,
    /// Names of machines outside the cluster by their objects' names.
    machine_names: HashMap<Arc<str>, Arc<str>>,
    /// Services with registrations on a node, and how many.
    pub(crate) node_services: HashMap<Arc<str>, BTreeMap<Key, usize>>,
    /// The highest revision of the store that was heard of.
    pub(crate) revision: u64,
    address_counts: HashMap<IpAddr, BTreeMap<AddressOwner, usize>>,
    pub(crate) dirty_services: BTreeSet<Key>,
    dirty_addresses: BTreeSet<IpAddr>,
    pub(crate) changed: bool,
    pub(crate) current: Snapshot,
}

impl Catalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that everything up to this revision of the store has arrived; the index of the next
    /// snapshot with a change is not lower.
    pub fn seen(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    /// Adds or replaces an object.
    pub fn put(&mut self, input: Input) {
        self.seen(input.revision());
        match input {
            Input::Service(service) => {
                let key = Key::new(service.namespace(), service.name());
                self.dirty_services.insert(key.clone());
                self.services.insert(key, service);
            }
            Input::EndpointSlice(slice) => self.put_slice(slice),
            Input::Registration(object) => self.put_registration(&object),
            Input::Pod(pod) => {
                let pod = pods::pod(&pod);
                let (key, old) = (pod.key.clone(), self.current.pods.get(&pod.key).cloned());
                // A write that changed nothing of this is none.
                if old.as_ref().is_none_or(|old| !old.is_like(&pod)) {
                    self.replace_pod(&key, old.as_deref(), Some(pod));
                }
            }
            Input::Node(node) => self.put_node(pods::node(&node)),
            Input::ExternalNode(object) => {
                let mut node = external_node(&object);
                (node.created_index, node.modified_index) = stamps(&*object, self.next_index());
                let before = self.machine_names.insert(object.name().into(), node.name.clone());
                if let Some(before) = before.filter(|before| *before != node.name) {
                    self.remove_machine(&before);
                }
                self.put_machine(node);
            }
            Input::PreparedQuery(object) => self.put_query(object.name(), Some(&object.spec)),
        }
    }

    fn put_query(&mut self, id: &str, spec: Option<&PreparedQuerySpec>) {
        let known = self.current.queries.iter().find(|known| known.id() == id);
        if known.map(Query::spec) == spec {
            return;
        }
        // One that makes no sense could be asked by nobody; who wrote it was told.
        let query = spec.and_then(|spec| Query::new(id, spec.clone()).ok());
        if known.is_none() && query.is_none() {
            return;
        }
        let others = self.current.queries.iter().filter(|known| known.id() != id).cloned();
        self.current.queries = others.chain(query).collect();
        self.changed = true;
    }

    fn put_node(&mut self, node: Node) {
        let old = self.current.node(&node.name);
        if old.is_some_and(|old| old.is_like(&node)) {
            return;
        }
        if old.is_none_or(|old| old.locality != node.locality) {
            // Endpoints carry their node's locality, which hardly ever changes.
            self.dirty_services.extend(self.services.keys().cloned());
        }
        let node = Arc::new(self.stamp_node(node));
        let old = self.current.nodes.insert(Key::new("", node.name.clone()), node.clone());
        self.move_node(&node.name, old.as_ref().map_or(&[], |old| &old.addresses), &node.addresses);
    }

    fn put_machine(&mut self, node: Node) {
        if self.current.external_node(&node.name).is_some_and(|old| old.is_like(&node)) {
            return;
        }
        let node = Arc::new(self.stamp_node(node));
        let old = self.current.external_nodes.insert(Key::new("", node.name.clone()), node.clone());
        self.move_node(&node.name, old.as_ref().map_or(&[], |old| &old.addresses), &node.addresses);
    }

    fn remove_machine(&mut self, name: &Arc<str>) {
        if let Some(old) = self.current.external_nodes.remove(&Key::new("", name.clone())) {
            self.move_node(name, &old.addresses, &[]);
            self.forget_node(name);
        }
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
                if let Some(name) = self.machine_names.remove(&key.name) {
                    self.remove_machine(&name);
                }
            }
            Kind::PreparedQuery => self.put_query(&key.name, None),
            Kind::Node => {
                if let Some(old) = self.current.nodes.remove(&Key::new("", key.name.clone())) {
                    self.move_node(&key.name, &old.addresses, &[]);
                    self.forget_node(&key.name);
                }
            }
        }
    }

    /// The state after everything fed so far. The same `index` means the same state.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        for key in std::mem::take(&mut self.dirty_services) {
            let service = self.current.services.get(&key).cloned();
            let before = Before { service, instances: self.current.instances.get(&key).cloned() };
            self.derive_service(&key);
            self.index_service(&key, &before);
        }
        for address in std::mem::take(&mut self.dirty_addresses) {
            self.derive_address(address);
        }
        if std::mem::take(&mut self.changed) {
            self.current.index = self.next_index();
        }
        if self.current.first_index == 0 {
            self.begin();
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

    fn put_registration(&mut self, object: &ServiceInstance) {
        let (namespace, name) = (object.namespace(), object.name());
        let known = self.registration_service.get_key_value(&(namespace, name) as &dyn KeyParts);
        let known = known.map(|(key, service)| (key.clone(), service.clone()));
        let wanted = object.spec.service.as_str();
        let key = match &known {
            Some((key, _)) => key.clone(),
            None => Key { namespace: self.pool.texts.share(namespace), name: name.into() },
        };
        let service = match known {
            Some((_, service)) if *service.name == *wanted => service,
            moved => {
                if moved.is_some() {
                    self.remove_registration(&key);
                }
                match self.registrations.get_key_value(&(namespace, wanted) as &dyn KeyParts) {
                    Some((service, _)) => service.clone(),
                    None => Key { namespace: key.namespace.clone(), name: wanted.into() },
                }
            }
        };
        let mut instance = registered_instance(object, &key, &service, &mut self.pool);
        let stamps = stamps(object, self.next_index());
        let objects = self.registrations.entry(service.clone()).or_default();
        let old = objects.get(&key.name);
        if old.is_some_and(|old| old.is_like(&instance)) {
            return;
        }
        (instance.created_index, instance.modified_index) = stamps;
        let node = instance.node.clone();
        let old = objects.insert(key.name.clone(), Arc::new(instance));
        if old.is_none() {
            self.registration_service.insert(key, service.clone());
        }
        if old.as_ref().is_none_or(|old| old.node != node) {
            if let Some(old) = old {
                self.leave_node(&old.node, &service);
            }
            if !node.is_empty() {
                *self.node_services.entry(node).or_default().entry(service.clone()).or_default() += 1;
            }
        }
        self.dirty_services.insert(service);
    }

    fn leave_node(&mut self, node: &str, service: &Key) {
        let Some(services) = self.node_services.get_mut(node) else { return };
        if let Some(count) = services.get_mut(service) {
            *count -= 1;
            if *count == 0 {
                services.remove(service);
            }
        }
        if services.is_empty() {
            self.node_services.remove(node);
        }
    }

    fn remove_registration(&mut self, key: &Key) {
        let Some(service) = self.registration_service.remove(key) else { return };
        let mut removed = None;
        if let Some(objects) = self.registrations.get_mut(&service) {
            removed = objects.remove(&key.name);
            if objects.is_empty() {
                self.registrations.remove(&service);
            }
        }
        if let Some(removed) = removed {
            self.leave_node(&removed.node, &service);
        }
        self.dirty_services.insert(service);
    }

    fn replace_pod(&mut self, key: &Key, old: Option<&Pod>, new: Option<Pod>) {
        let address = |pod: &Pod| pod.address.filter(|_| !pod.host_network);
        let (before, after) = (old.and_then(address), new.as_ref().and_then(address));
        if before != after {
            let owner = AddressOwner::Pod(key.clone());
            before.into_iter().for_each(|address| self.release(address, &owner));
            after.into_iter().for_each(|address| self.claim(address, &owner));
        }
        let name = |pod: &Pod| {
            pod.published.as_ref().map(|published| Key::new(key.namespace.clone(), published.service.clone()))
        };
        let (before, after) = (old.and_then(name), new.as_ref().and_then(name));
        if let Some(service) = before {
            if let Some(pods) = self.published.get_mut(&service) {
                pods.remove(&key.name);
                if pods.is_empty() {
                    self.published.remove(&service);
                }
            }
            self.dirty_services.insert(service);
        }
        if let Some(service) = after {
            self.published.entry(service.clone()).or_default().insert(key.name.clone());
            self.dirty_services.insert(service);
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
}

/// When an object was created, and when it became as it is: by the store's revisions, so that both are the same after
/// a restart; `next` for one without.
fn stamps(object: &impl Object, next: u64) -> (u64, u64) {
    match object.revision() {
        0 => (next, next),
        revision => (object.created_revision(), revision),
    }
}
