//! Machines as Consul's "nodes": those of the cluster, those that registered, and the agent's own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use portolan_catalog::{Check, Instance, Locality, Node, Origin, Snapshot, Status};
use sha2::{Digest, Sha256};

use crate::state::Identity;

/// Check of a machine in maintenance.
pub(crate) const NODE_MAINTENANCE: &str = "_node_maintenance";
/// Check that gossip stands for in Consul.
pub(crate) const SERF_HEALTH: &str = "serfHealth";

/// A machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: Arc<str>,
    /// A UUID, or empty.
    pub(crate) id: String,
    /// IP address or host name.
    pub(crate) address: String,
    pub(crate) tagged_addresses: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) checks: Vec<Check>,
    pub(crate) locality: Locality,
    pub(crate) origin: Origin,
    pub(crate) created_index: u64,
    pub(crate) modified_index: u64,
}

/// All machines, by name.
#[derive(Debug)]
pub(crate) struct Machines {
    index: u64,
    agent: Arc<str>,
    by_name: BTreeMap<Arc<str>, Arc<Machine>>,
}

impl Machines {
    /// The machines of a snapshot. The agent's own is always there.
    pub(crate) fn of(snapshot: &Snapshot, identity: &Identity) -> Self {
        let mut by_name: BTreeMap<Arc<str>, Machine> = BTreeMap::new();
        for node in snapshot.nodes() {
            by_name.insert(node.name.clone(), Machine::of(node, &identity.version));
        }
        by_name.entry(identity.node.clone()).or_insert_with(|| Machine::agent(identity, snapshot.index()));
        for node in snapshot.external_nodes() {
            match by_name.get_mut(&node.name) {
                // What was registered about a node of the cluster adds to what the cluster knows.
                Some(machine) => machine.add(node),
                None => drop(by_name.insert(node.name.clone(), Machine::of(node, &identity.version))),
            }
        }
        let by_name = by_name.into_iter().map(|(name, machine)| (name, Arc::new(machine))).collect();
        Self { index: snapshot.nodes_index(), agent: identity.node.clone(), by_name }
    }

    /// Index of the snapshot that they were made from, as far as machines go.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// A machine by its name; letter case does not count if there is no exact match.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Machine>> {
        self.by_name.get(name).or_else(|| self.all().find(|machine| machine.name.eq_ignore_ascii_case(name)))
    }

    /// All machines, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Machine>> {
        self.by_name.values()
    }

    /// The machine of an instance: one that nobody told more about has the instance's address; one
    /// that is not said is the agent's.
    pub(crate) fn of_instance(&self, instance: &Instance) -> Arc<Machine> {
        let name = if instance.node.is_empty() { &self.agent } else { &instance.node };
        match self.by_name.get(name) {
            Some(machine) => machine.clone(),
            None => Arc::new(Machine::unknown(instance)),
        }
    }

    /// Name of the machine of an instance.
    pub(crate) fn name_of<'a>(&'a self, instance: &'a Instance) -> &'a str {
        if instance.node.is_empty() { &self.agent } else { &instance.node }
    }
}

impl Machine {
    fn of(node: &Node, version: &str) -> Self {
        let address = match node.addresses.first() {
            Some(address) => address.to_string(),
            None => node.host.to_string(),
        };
        let (mut tagged_addresses, mut metadata) = (node.tagged_addresses.clone(), node.metadata.clone());
        let mut id = node.id.to_string();
        if node.origin == Origin::Orchestrator {
            tagged_addresses.extend(tags_of(&node.addresses));
            metadata.insert("consul-network-segment".to_owned(), String::new());
            metadata.insert("consul-version".to_owned(), version.to_owned());
            if id.is_empty() {
                id = stable_id(&node.name);
            }
        }
        Self {
            name: node.name.clone(),
            id,
            address,
            tagged_addresses,
            metadata,
            checks: node.checks.to_vec(),
            locality: node.locality.clone(),
            origin: node.origin,
            created_index: node.created_index,
            modified_index: node.modified_index,
        }
    }

    fn add(&mut self, registered: &Node) {
        self.checks.retain(|check| registered.checks.iter().all(|other| other.id != check.id));
        self.checks.extend(registered.checks.iter().cloned());
        self.tagged_addresses.extend(registered.tagged_addresses.clone());
        self.metadata.extend(registered.metadata.clone());
        self.modified_index = self.modified_index.max(registered.modified_index);
    }

    /// The agent's machine while the cluster has no such node.
    fn agent(identity: &Identity, index: u64) -> Self {
        let addresses: Vec<IpAddr> = identity.addresses.iter().map(|address| address.ip()).collect();
        let node = Node {
            name: identity.node.clone(),
            id: "".into(),
            host: "".into(),
            addresses,
            pod_cidr: None,
            locality: Locality::default(),
            tagged_addresses: BTreeMap::new(),
            metadata: BTreeMap::new(),
            checks: Arc::new([Check {
                id: SERF_HEALTH.into(),
                name: "Serf Health Status".into(),
                check_type: "",
                status: Status::Passing,
                output: "Agent alive and reachable".into(),
                notes: String::new(),
                since: None,
            }]),
            origin: Origin::Orchestrator,
            created_index: index.min(1),
            modified_index: index.min(1),
        };
        Self::of(&node, &identity.version)
    }

    fn unknown(instance: &Instance) -> Self {
        Self {
            name: instance.node.clone(),
            id: String::new(),
            address: instance.address.to_string(),
            tagged_addresses: BTreeMap::new(),
            metadata: BTreeMap::new(),
            checks: Vec::new(),
            locality: Locality::clone(&instance.locality),
            origin: Origin::Registry,
            created_index: instance.created_index,
            modified_index: instance.modified_index,
        }
    }

    /// The worst that its own checks found.
    pub(crate) fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing)
    }
}

fn tags_of(addresses: &[IpAddr]) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let Some(lan) = addresses.first() else { return tags };
    for kind in ["lan", "wan"] {
        tags.insert(kind.to_owned(), lan.to_string());
        let family = if lan.is_ipv4() { "ipv4" } else { "ipv6" };
        tags.insert(format!("{kind}_{family}"), lan.to_string());
    }
    tags
}

/// A UUID that follows from the name, so that it is the same after every start.
fn stable_id(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
