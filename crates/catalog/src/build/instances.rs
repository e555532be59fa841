//! The instances of a service: those of its pods, of pods published under its name, and those that registered.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use portolan_api::typed::Object as _;

use super::Catalog;
use crate::model::{
    Check, Endpoint, EndpointPort, Health, Instance, InstancePort, Key, KeyParts, Locality, Node, Origin, Pod,
    Published, Status, Weights,
};
use crate::names;
use crate::pool::{Own, Pool};
use crate::translate::health_of_node;

impl Catalog {
    pub(super) fn derive_instances(&mut self, key: &Key) {
        let mut pool = std::mem::take(&mut self.pool);
        let mut instances = self.instances_of(key, &mut pool);
        self.pool = pool;
        let order = |left: &Instance, right: &Instance| (&left.id, &left.address).cmp(&(&right.id, &right.address));
        instances.sort_by(|left, right| order(left, right));
        instances.dedup_by(|left, right| left.id == right.id && left.address == right.address);
        let old = self.current.instances.get(key).map_or(&[][..], |old| old);
        let next = self.next_index();
        for instance in &mut instances {
            let before = old.binary_search_by(|before| order(before, instance)).ok().map(|at| &old[at]);
            if let Some(before) = before
                && (Arc::ptr_eq(before, instance) || before.is_like(instance))
            {
                *instance = before.clone();
                continue;
            }
            // Objects say when they became as they are; the rest, or another view of the same object, is new with
            // the snapshot that shows it.
            let newest = before.map_or(0, |before| before.modified_index);
            if instance.modified_index > newest {
                continue;
            }
            let created = before.map_or(next, |before| before.created_index);
            let created = if instance.created_index > 0 { instance.created_index } else { created };
            let new = Arc::make_mut(instance);
            (new.created_index, new.modified_index) = (created, next);
        }
        if old.len() == instances.len() && old.iter().zip(&instances).all(|(old, new)| Arc::ptr_eq(old, new)) {
            return;
        }
        self.changed = true;
        if instances.is_empty() {
            self.current.instances.remove(key);
            names::forget(&mut self.current.folded_names, key);
        } else {
            if old.is_empty() {
                names::learn(&mut self.current.folded_names, key);
            }
            self.current.instances.insert(key.clone(), instances.into());
        }
    }

    /// The instances of a service in no particular order, those of the orchestrator first.
    fn instances_of(&self, key: &Key, pool: &mut Pool) -> Vec<Arc<Instance>> {
        let own = self.registrations.get(key);
        let mut instances: Vec<Arc<Instance>> = Vec::with_capacity(own.map_or(0, BTreeMap::len));
        if let Some(service) = self.current.services.get(key).filter(|service| !service.endpoints.is_empty()) {
            // Of a service that selects registrations of its own name, the endpoints are these registrations.
            let addresses = own.into_iter().flat_map(BTreeMap::values).map(|instance| instance.address.parse());
            let registered: HashSet<IpAddr> = addresses.filter_map(Result::ok).collect();
            let is_registered = |endpoint: &Endpoint| endpoint.pod.is_none() && registered.contains(&endpoint.address);
            let endpoints = service.endpoints.iter().filter(|endpoint| !is_registered(endpoint));
            let revision = self.newest_slice(key);
            let instance = |endpoint| Arc::new(self.instance(&service.key, endpoint, revision, pool));
            instances.extend(endpoints.map(instance));
        }
        if let Some(published) = self.published.get(key) {
            self.add_published(key, published, &mut instances, pool);
        }
        instances.extend(own.into_iter().flat_map(BTreeMap::values).map(|instance| {
            let Some(node) = self.node_of(instance) else { return instance.clone() };
            match health_of_node(instance, node) {
                None => instance.clone(),
                Some(health) => Arc::new(Instance { health, ..Instance::clone(instance) }),
            }
        }));
        instances
    }

    /// The revision of the newest slice of a service, 0 without one.
    fn newest_slice(&self, service: &Key) -> u64 {
        self.slices.get(service).into_iter().flat_map(BTreeMap::values).map(|slice| slice.revision()).max().unwrap_or(0)
    }

    fn node_of(&self, instance: &Instance) -> Option<&Arc<Node>> {
        let node = Some(&instance.node).filter(|node| !node.is_empty())?;
        self.current.external_node(node).or_else(|| self.current.node(node))
    }

    fn add_published(
        &self,
        key: &Key,
        published: &BTreeSet<Arc<str>>,
        instances: &mut Vec<Arc<Instance>>,
        pool: &mut Pool,
    ) {
        // A service of the same name may select them too; then only the tags are news.
        let place = |(at, instance): (usize, &Arc<Instance>)| ((instance.id.clone(), instance.address.clone()), at);
        let known: HashMap<(Arc<str>, Arc<str>), usize> = instances.iter().enumerate().map(place).collect();
        for pod in published {
            let Some(pod) = self.current.pods.get(&(&*key.namespace, &**pod) as &dyn KeyParts) else { continue };
            let Some((published, endpoint)) = published_endpoint(pod) else { continue };
            let tags = pool.tags.share(Own(published.tags.clone()));
            match known.get(&(pod.key.name.clone(), endpoint.address.to_string().into())) {
                Some(at) => Arc::make_mut(&mut instances[*at]).tags = tags,
                None => {
                    let mut instance = Instance { tags, ..self.instance(key, &endpoint, pod.revision, pool) };
                    if let Some(reason) = &published.complaint {
                        complain(&mut instance, reason, pool);
                    }
                    instances.push(Arc::new(instance));
                }
            }
        }
    }

    /// An endpoint as an instance; of one without a pod, `revision` is the one that it has.
    fn instance(&self, service: &Key, endpoint: &Endpoint, revision: u64, pool: &mut Pool) -> Instance {
        let pod = endpoint.pod.as_ref().and_then(|key| self.current.pods.get(key));
        let address: Arc<str> = endpoint.address.to_string().into();
        let name = endpoint.pod.as_ref().map_or_else(|| address.clone(), |key| key.name.clone());
        let node = endpoint.node.clone().unwrap_or_default();
        let known = self.current.node(&node).map(|node| &node.locality);
        let locality = Locality {
            zone: endpoint.zone.as_deref().or(known.map(|known| &*known.zone)).unwrap_or_default().to_owned(),
            ..known.cloned().unwrap_or_default()
        };
        let health = merged_health(endpoint, pod.map(|pod| &pod.health));
        let revision = pod.map_or(revision, |pod| pod.revision);
        let port =
            |port: &EndpointPort| InstancePort { name: port.name.clone(), port: port.port, protocol: port.protocol };
        let version = pod.and_then(|pod| pod.labels.get("app.kubernetes.io/version")).map_or("", String::as_str);
        Instance {
            id: name.clone(),
            name,
            service: service.name.clone(),
            namespace: service.namespace.clone(),
            address,
            ports: pool.ports.share(Own(endpoint.ports.iter().map(port).collect())),
            node,
            tags: pool.tags.share(Own(Vec::new())),
            labels: pod.map_or_else(|| pool.maps.share(Own(BTreeMap::new())), |pod| pod.labels.clone()),
            metadata: pool.maps.share(Own(BTreeMap::new())),
            version: pool.texts.share(version),
            weights: Weights::default(),
            locality: pool.localities.share(Own(locality)),
            ttl: None,
            origin: Origin::Orchestrator,
            checks: Arc::new([Check {
                id: pool.texts.share("kubernetes-readiness-check"),
                name: pool.texts.share("Kubernetes Readiness Check"),
                check_type: "",
                status: health.status,
                output: health.reason.to_string(),
                notes: String::new(),
                since: health.since,
            }]),
            health,
            registration: None,
            // When a pod, or an address that somebody wrote, came into being nobody remembers.
            created_index: revision,
            modified_index: revision,
        }
    }
}

/// A pod that is in the registry under a name of its own, as an endpoint of that name. One that ended, or has
/// no address yet, is not there.
fn published_endpoint(pod: &Pod) -> Option<(&Published, Endpoint)> {
    let published = pod.published.as_ref()?;
    let ports = published.port.iter().map(|port| EndpointPort {
        name: port.name.clone(),
        protocol: port.protocol,
        port: port.port,
    });
    let ready = pod.health.status == Status::Passing;
    let endpoint = Endpoint {
        address: pod.address?,
        ports: ports.collect(),
        ready,
        serving: ready,
        terminating: false,
        node: Some(pod.node.clone()).filter(|node| !node.is_empty()),
        zone: None,
        hostname: None,
        pod: Some(pod.key.clone()),
    };
    (!pod.has_ended).then_some((published, endpoint))
}

/// Lists an instance as one that takes no requests: it is seen so, and nobody is sent to a port that is none.
fn complain(instance: &mut Instance, reason: &Arc<str>, pool: &mut Pool) {
    let check = Check {
        id: pool.texts.share("published-port"),
        name: pool.texts.share("Published Port"),
        check_type: "",
        status: Status::Critical,
        output: reason.to_string(),
        notes: String::new(),
        since: None,
    };
    instance.checks = instance.checks.iter().cloned().chain([check]).collect();
    instance.health = Health { status: Status::Critical, reason: reason.clone(), since: None };
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
