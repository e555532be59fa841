//! Which process runs the checks of an instance or a machine. Pure.

use std::net::IpAddr;

use portolan_catalog::{Node, Status};

/// A process that runs checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The agent of this node.
    Node(&'a str),
    /// The server itself, because there is no node that could.
    Server,
}

/// What of a node decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckerNode {
    name: String,
    addresses: Vec<IpAddr>,
    pods: Option<(IpAddr, u8)>,
    ready: bool,
    hash: u64,
}

/// What of an instance or a machine decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    address: Option<IpAddr>,
    node: Box<str>,
    hash: u64,
}

impl CheckerNode {
    /// A node of the cluster.
    pub fn new(node: &Node) -> Self {
        let pods = node.pod_cidr.as_deref().and_then(|network| network.split_once('/'));
        Self {
            name: node.name.to_string(),
            addresses: node.addresses.clone(),
            pods: pods.and_then(|(address, length)| Some((address.parse().ok()?, length.parse().ok()?))),
            ready: node.checks.iter().all(|check| check.status == Status::Passing),
            hash: hash(node.name.as_bytes()),
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address) || self.pods.is_some_and(|network| contains(network, address))
    }
}

impl Subject {
    /// Something at `address`, on the node that it names if that is not empty; `id` is unique.
    pub fn new(id: &str, address: &str, node: &str) -> Self {
        Self { address: address.parse().ok(), node: node.into(), hash: hash(id.as_bytes()) }
    }
}

/// Who runs the checks of `subject`: the node of the cluster that it names; else the ready node that
/// has its address, as its own or among those of its pods; else a ready node by rendezvous, so that
/// a node that comes or goes moves only its own share.
pub fn checker_of<'a>(subject: &Subject, nodes: &'a [CheckerNode]) -> Place<'a> {
    let named = nodes.iter().find(|node| !subject.node.is_empty() && *node.name == *subject.node);
    let ready = || nodes.iter().filter(|node| node.ready);
    let holder = || subject.address.and_then(|address| ready().find(|node| node.has(address)));
    let any = || ready().max_by_key(|node| (mixed(node.hash ^ subject.hash), &node.name));
    named.or_else(holder).or_else(any).map_or(Place::Server, |node| Place::Node(&node.name))
}

fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((network, width), (address, other)) = (bits(network), bits(address));
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - u32::from(length.min(128))) };
    width == other && length <= width && network & mask == address & mask
}

/// FNV-1a: the same in every process and release, unlike the standard library's.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Spreads similar numbers (the finaliser of SplitMix64).
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A fixed share of `whole` for everything called `id`, evenly spread.
pub(crate) fn share_of(whole: std::time::Duration, id: &str) -> std::time::Duration {
    let part = mixed(hash(id.as_bytes())) >> 32;
    whole.mul_f64(part as f64 / (1_u64 << 32) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, addresses: &[&str], pods: Option<&str>, ready: bool) -> CheckerNode {
        let parse = |text: &&str| text.parse().expect("an address");
        let pods = pods.and_then(|network| network.split_once('/'));
        CheckerNode {
            name: name.to_owned(),
            addresses: addresses.iter().map(parse).collect(),
            pods: pods.map(|(address, length)| (parse(&address), length.parse().expect("a length"))),
            ready,
            hash: hash(name.as_bytes()),
        }
    }

    #[test]
    fn the_nearest_node_checks() {
        let nodes = [
            node("a", &["192.0.2.1"], Some("10.42.0.0/24"), true),
            node("b", &["192.0.2.2", "2001:db8::2"], Some("10.42.1.0/24"), true),
            node("c", &["192.0.2.3"], None, false),
        ];
        let cases = [
            ("named", "10.42.0.7", "b", Place::Node("b")),
            ("named, even if it is not ready", "", "c", Place::Node("c")),
            ("address of a node", "2001:db8::2", "", Place::Node("b")),
            ("address of a pod", "10.42.1.200", "", Place::Node("b")),
            ("named node unknown", "10.42.0.7", "vm-1", Place::Node("a")),
        ];
        for (case, address, named, place) in cases {
            assert_eq!(checker_of(&Subject::new("default/x", address, named), &nodes), place, "{case}");
        }
        let elsewhere = checker_of(&Subject::new("default/x", "192.0.2.3", ""), &nodes);
        assert!(matches!(elsewhere, Place::Node("a" | "b")), "{elsewhere:?}");
        let nobody = checker_of(&Subject::new("default/x", "192.0.2.3", ""), &nodes[2..]);
        assert_eq!(nobody, Place::Server);
    }

    #[test]
    fn a_node_that_leaves_moves_only_its_own_share() {
        let nodes: Vec<CheckerNode> = (0..10).map(|number| node(&format!("n{number}"), &[], None, true)).collect();
        let subjects: Vec<Subject> =
            (0..10_000).map(|number| Subject::new(&format!("default/i-{number}"), "", "")).collect();
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for subject in &subjects {
            let Place::Node(before) = checker_of(subject, &nodes) else { panic!("there are nodes") };
            *counts.entry(before).or_default() += 1;
            let after = checker_of(subject, &nodes[1..]);
            assert!(before == "n0" || after == Place::Node(before));
        }
        assert!(counts.len() == 10 && counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
