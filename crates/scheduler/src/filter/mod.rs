//! Which nodes can take a pod, and why the others cannot.
//!
//! Every filter answers with the reasons it rejects for; none means it lets the node pass. The texts are
//! upstream's, because people and programs search for them.

mod affinity;
mod node;
pub(crate) mod pods;
mod spread;

use std::fmt;

use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

pub(crate) use affinity::{matches_required, term_matches};
pub(crate) use node::tolerated;

/// Why a node cannot take a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Unschedulable,
    NodeName,
    Taint,
    NodeAffinity,
    HostPorts,
    TooManyPods,
    Insufficient { resource: String, room: Room },
    Spread,
    SpreadLabel,
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
}

/// Whether a node would have enough of a resource if no other pod were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    /// It has enough, and others use it.
    Taken,
    /// It never has so much.
    Never,
}

impl Reason {
    /// Whether removing pods from the node could make it fit.
    pub(crate) fn is_resolvable(&self) -> bool {
        match self {
            Self::HostPorts
            | Self::TooManyPods
            | Self::Insufficient { room: Room::Taken, .. }
            | Self::Spread
            | Self::PodAntiAffinity
            | Self::ExistingAntiAffinity => true,
            Self::Unschedulable
            | Self::NodeName
            | Self::Taint
            | Self::Insufficient { room: Room::Never, .. }
            | Self::NodeAffinity
            | Self::SpreadLabel
            | Self::PodAffinity => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unschedulable => "node(s) were unschedulable",
            Self::NodeName => "node(s) didn't match the requested node name",
            Self::Taint => "node(s) had untolerated taint(s)",
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Self::HostPorts => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::Insufficient { resource, .. } => return write!(formatter, "Insufficient {resource}"),
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::SpreadLabel => "node(s) didn't match pod topology spread constraints (missing required label)",
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
        })
    }
}

/// What is computed once per pod, not once per pod and node.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) info: &'a PodInfo,
    spread: spread::Domains<'a>,
    pods: pods::Domains<'a>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(info: &'a PodInfo, snapshot: &'a Snapshot) -> Self {
        Self { info, spread: spread::Domains::new(info, snapshot), pods: pods::Domains::new(info, snapshot) }
    }
}

type Filter = fn(&Prepared<'_>, &NodeInfo) -> Vec<Reason>;

/// In upstream's order: cheap and final ones first.
const FILTERS: [Filter; 8] = [
    |pod, node| node::unschedulable(pod.info, node),
    |pod, node| node::node_name(pod.info, node),
    |pod, node| node::taints(pod.info, node),
    |pod, node| affinity::node_affinity(pod.info, node),
    |pod, node| node::host_ports(pod.info, node),
    |pod, node| node::resources(pod.info, node),
    |pod, node| pod.spread.check(node),
    |pod, node| pod.pods.check(node),
];

/// The reasons of the first filter that rejects the node; none if it can take the pod.
pub(crate) fn first_rejection(pod: &Prepared<'_>, node: &NodeInfo) -> Vec<Reason> {
    FILTERS.iter().map(|filter| filter(pod, node)).find(|reasons| !reasons.is_empty()).unwrap_or_default()
}

/// The reasons of all filters that reject the node.
pub(crate) fn all_rejections(pod: &Prepared<'_>, node: &NodeInfo) -> Vec<Reason> {
    FILTERS.iter().flat_map(|filter| filter(pod, node)).collect()
}
