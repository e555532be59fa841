//! Even spreading over zones, hosts and other domains.

use std::collections::HashMap;

use portolan_api::typed::kinds::core::v1::TopologySpreadConstraint;
use portolan_client::selects;

use super::{Reason, matches_required, tolerated};
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

/// Matching pods per domain, for each constraint that must hold.
#[derive(Debug)]
pub(super) struct Domains<'a>(Vec<Domain<'a>>);

#[derive(Debug)]
struct Domain<'a> {
    constraint: &'a TopologySpreadConstraint,
    counts: HashMap<&'a str, i64>,
    lowest: i64,
    /// Whether the pod itself is counted.
    counts_self: bool,
}

impl<'a> Domains<'a> {
    pub(super) fn new(info: &'a PodInfo, snapshot: &'a Snapshot) -> Self {
        let constraints = info.spec().and_then(|spec| spec.topology_spread_constraints.as_deref());
        let hard = constraints.unwrap_or_default().iter().filter(|found| found.when_unsatisfiable == "DoNotSchedule");
        Self(hard.map(|constraint| Domain::new(constraint, info, snapshot)).collect())
    }

    pub(super) fn check(&self, node: &NodeInfo) -> Vec<Reason> {
        for domain in &self.0 {
            let Some(value) = node.label(&domain.constraint.topology_key) else { return vec![Reason::SpreadLabel] };
            let count = domain.counts.get(value).copied().unwrap_or_default() + i64::from(domain.counts_self);
            if count - domain.lowest > i64::from(domain.constraint.max_skew) {
                return vec![Reason::Spread];
            }
        }
        Vec::new()
    }
}

impl<'a> Domain<'a> {
    fn new(constraint: &'a TopologySpreadConstraint, info: &'a PodInfo, snapshot: &'a Snapshot) -> Self {
        let counts = counts(constraint, info, snapshot);
        let missing = constraint.min_domains.is_some_and(|wanted| (counts.len() as i64) < i64::from(wanted));
        let lowest = if missing { 0 } else { counts.values().copied().min().unwrap_or_default() };
        Self { constraint, counts, lowest, counts_self: counts_as(constraint, info, info) }
    }
}

/// Whether `other` is one of those that `info`'s constraint spreads.
fn counts_as(constraint: &TopologySpreadConstraint, info: &PodInfo, other: &PodInfo) -> bool {
    let labels = other.labels.as_ref();
    let own = info.labels.as_ref();
    let same = |key: &String| {
        let value = own.and_then(|labels| labels.get(key));
        value.is_none() || labels.and_then(|labels| labels.get(key)) == value
    };
    other.namespace == info.namespace
        && constraint.label_selector.as_ref().is_some_and(|selector| selects(selector, labels))
        && constraint.match_label_keys.iter().flatten().all(same)
}

/// Matching pods per domain, over the nodes the pod could go to.
pub(super) fn counts<'a>(
    constraint: &TopologySpreadConstraint,
    info: &PodInfo,
    snapshot: &'a Snapshot,
) -> HashMap<&'a str, i64> {
    let mut counts = HashMap::new();
    let tolerations = info.spec().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    for node in snapshot.nodes() {
        let Some(value) = node.label(&constraint.topology_key) else { continue };
        let affine =
            constraint.node_affinity_policy.as_deref() == Some("Ignore") || matches_required(info.spec(), &node.node);
        let taints = node.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let mut hard = taints.iter().filter(|taint| taint.effect != "PreferNoSchedule");
        let honoured = constraint.node_taints_policy.as_deref() != Some("Honor")
            || hard.all(|taint| tolerated(tolerations, taint));
        if affine && honoured {
            let leaving = |pod: &PodInfo| pod.leaving;
            let matching = node.pods.values().filter(|pod| !leaving(pod) && counts_as(constraint, info, pod)).count();
            *counts.entry(value).or_default() += matching as i64;
        }
    }
    counts
}
