//! What the scheduler knows: nodes and the pods on them, kept up in steps as large as the change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portolan_api::quantity::Quantity;
use portolan_api::resources::{Resources, requests};
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Node, Pod, PodSpec};

/// A pod and what the filters ask of it again and again.
#[derive(Debug, Clone)]
pub(crate) struct PodInfo {
    /// The whole pod, as long as its wishes matter: until it is placed, and beyond that if it repels.
    pod: Option<Arc<Pod>>,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// Whether it is being deleted.
    pub(crate) leaving: bool,
    pub(crate) priority: i32,
    pub(crate) requests: Resources,
    pub(crate) host_ports: Vec<HostPort>,
    /// UID of the controlling owner; empty if there is none.
    pub(crate) owner: String,
    pub(crate) repels: bool,
}

/// A port taken on the node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) address: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let any = |address: &str| address.is_empty() || address == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.address) || any(&other.address) || self.address == other.address)
    }
}

impl PodInfo {
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        let owners = pod.metadata.owner_references.iter().flatten();
        let owner = owners.filter(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()).next();
        let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
        let anti = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let required = anti.and_then(|anti| anti.required_during_scheduling_ignored_during_execution.as_ref());
        Self {
            requests: requests(&pod),
            host_ports: host_ports(&pod),
            owner: owner.unwrap_or_default(),
            repels: required.is_some_and(|terms| !terms.is_empty()),
            namespace: pod.namespace().to_owned(),
            uid: pod.uid().to_owned(),
            labels: pod.metadata.labels.clone(),
            leaving: pod.metadata.deletion_timestamp.is_some(),
            priority: pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default(),
            pod: Some(pod),
        }
    }

    pub(crate) fn spec(&self) -> Option<&PodSpec> {
        self.pod.as_ref()?.spec.as_ref()
    }

    /// Without what no longer matters once a place was found: most pods are placed, and whole they
    /// would be most of the memory of a large cluster.
    fn settled(mut self) -> Arc<Self> {
        if !self.repels {
            self.pod = None;
        }
        Arc::new(self)
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let host_network = spec.host_network == Some(true);
    let taken = ports.filter_map(|port| {
        // In the host's network every port is the host's.
        let number = port.host_port.filter(|number| *number > 0);
        let number = number.or_else(|| host_network.then_some(port.container_port))?;
        Some(HostPort {
            address: port.host_ip.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: number,
        })
    });
    taken.collect()
}

fn is_silent(info: &PodInfo) -> i64 {
    i64::from(info.requests.milli_cpu == 0)
}

/// A node and what is on it.
#[derive(Debug)]
pub(crate) struct NodeInfo {
    pub(crate) node: Arc<Node>,
    pub(crate) allocatable: Resources,
    pub(crate) allowed_pods: i64,
    pub(crate) requested: Resources,
    pub(crate) pods: HashMap<String, Arc<PodInfo>>,
    /// How many of the pods do not say how much CPU they need.
    pub(crate) silent: i64,
    /// Pods per controlling owner.
    pub(crate) owners: HashMap<String, usize>,
}

impl NodeInfo {
    pub(crate) fn name(&self) -> &str {
        self.node.name()
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.node.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    fn put(&mut self, info: &Arc<PodInfo>) {
        self.requested.add(&info.requests);
        self.silent += is_silent(info);
        if !info.owner.is_empty() {
            *self.owners.entry(info.owner.clone()).or_default() += 1;
        }
        self.pods.insert(info.uid.clone(), info.clone());
    }

    fn take(&mut self, uid: &str) {
        let Some(info) = self.pods.remove(uid) else { return };
        self.requested.subtract(&info.requests);
        self.silent -= is_silent(&info);
        if let Some(count) = self.owners.get_mut(&info.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&info.owner);
            }
        }
    }

    fn set_node(&mut self, node: Arc<Node>) {
        let status = node.status.as_ref();
        let amounts = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        self.allocatable = Resources::of(amounts);
        let pods = amounts.and_then(|amounts| amounts.get("pods"));
        self.allowed_pods = pods.and_then(|pods| Quantity::parse(&pods.0).ok()).map_or(0, Quantity::value);
        self.node = node;
    }
}

/// Nodes by name, and where each pod is.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    nodes: BTreeMap<String, NodeInfo>,
    /// The pods of each node name, nodes that do not exist (yet) included.
    placed: HashMap<String, (String, Arc<PodInfo>)>,
    /// Pods that do not suffer certain others near them.
    repelling: HashMap<String, Arc<PodInfo>>,
}

impl Snapshot {
    pub(crate) fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeInfo> {
        self.nodes.values()
    }

    /// Pods that have a required anti-affinity, with the node they are on.
    pub(crate) fn repelling(&self) -> impl Iterator<Item = (&NodeInfo, &PodInfo)> {
        self.repelling.iter().filter_map(|(uid, info)| {
            let (node, _) = self.placed.get(uid)?;
            Some((self.nodes.get(node)?, &**info))
        })
    }

    /// Takes in a node; returns whether anything changed that matters to where pods can go.
    pub(crate) fn set_node(&mut self, node: Arc<Node>) -> bool {
        let name = node.name().to_owned();
        if let Some(info) = self.nodes.get_mut(&name) {
            let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
            let same = info.node.spec == node.spec
                && info.node.metadata.labels == node.metadata.labels
                && allocatable(&info.node) == allocatable(&node);
            info.set_node(node);
            return !same;
        }
        let mut info = NodeInfo {
            node: node.clone(),
            allocatable: Resources::default(),
            allowed_pods: 0,
            requested: Resources::default(),
            pods: HashMap::new(),
            silent: 0,
            owners: HashMap::new(),
        };
        info.set_node(node);
        for (place, pod) in self.placed.values() {
            if *place == name {
                info.put(pod);
            }
        }
        self.nodes.insert(name, info);
        true
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Takes in that a pod is on a node.
    pub(crate) fn place(&mut self, node: &str, info: PodInfo) {
        let info = info.settled();
        let uid = info.uid.clone();
        self.remove_pod(&uid);
        if let Some(node) = self.nodes.get_mut(node) {
            node.put(&info);
        }
        if info.repels {
            self.repelling.insert(uid.clone(), info.clone());
        }
        self.placed.insert(uid, (node.to_owned(), info));
    }

    /// Takes in that a pod is gone; returns whether it was anywhere.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> bool {
        let Some((node, _)) = self.placed.remove(uid) else { return false };
        self.repelling.remove(uid);
        if let Some(node) = self.nodes.get_mut(&node) {
            node.take(uid);
        }
        true
    }

    /// The node a pod is on.
    pub(crate) fn place_of(&self, uid: &str) -> Option<&str> {
        self.placed.get(uid).map(|(node, _)| node.as_str())
    }
}
