//! Which of the nodes that can take a pod is the best.

use portolan_api::typed::kinds::core::v1::WeightedPodAffinityTerm;

use crate::filter::{pods, term_matches, tolerated};
use crate::snapshot::{NodeInfo, PodInfo};

/// What a pod counts as that asks for nothing, so that such pods spread too.
const SILENT_MILLI_CPU: i64 = 100;
const SILENT_MEMORY: i64 = 200 << 20;

/// A scorer's points for each node, before they are brought to a common scale.
struct Scorer {
    weight: i64,
    better: Better,
    points: fn(&PodInfo, &NodeInfo) -> i64,
}

enum Better {
    More,
    Fewer,
}

const SCORERS: [Scorer; 6] = [
    Scorer { weight: 1, better: Better::More, points: least_allocated },
    Scorer { weight: 2, better: Better::Fewer, points: same_owner },
    Scorer { weight: 2, better: Better::More, points: preferred_nodes },
    Scorer { weight: 3, better: Better::Fewer, points: unwanted_taints },
    Scorer { weight: 2, better: Better::More, points: preferred_pods },
    Scorer { weight: 2, better: Better::Fewer, points: soft_spread },
];

/// Scores nodes that passed the filters; more is better. In the order of `nodes`.
pub(crate) fn score(info: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    for scorer in &SCORERS {
        let points: Vec<i64> = nodes.iter().map(|node| (scorer.points)(info, node)).collect();
        let lowest = points.iter().copied().min().unwrap_or_default();
        let range = points.iter().copied().max().unwrap_or_default() - lowest;
        if range == 0 {
            continue;
        }
        for (total, points) in totals.iter_mut().zip(points) {
            let share = (points - lowest) * 100 / range;
            *total += scorer.weight
                * match scorer.better {
                    Better::More => share,
                    Better::Fewer => 100 - share,
                };
        }
    }
    totals
}

/// The best node: the highest score, then the fewest pods, then the name.
pub(crate) fn best<'a>(info: &PodInfo, nodes: &[&'a NodeInfo]) -> Option<&'a NodeInfo> {
    let scores = score(info, nodes);
    let ranked = nodes.iter().zip(scores);
    ranked
        .max_by(|(a, a_score), (b, b_score)| {
            a_score.cmp(b_score).then_with(|| b.pods.len().cmp(&a.pods.len())).then_with(|| b.name().cmp(a.name()))
        })
        .map(|(node, _)| *node)
}

/// Percent of CPU and memory that would be left, averaged, in hundredths.
fn least_allocated(info: &PodInfo, node: &NodeInfo) -> i64 {
    let left = |has: i64, used: i64, wanted: i64| {
        if has <= 0 { 0 } else { (has - used - wanted).max(0) * 10_000 / has }
    };
    let or = |value: i64, default: i64| if value == 0 { default } else { value };
    let cpu = left(
        node.allocatable.milli_cpu,
        node.requested.milli_cpu + node.silent * SILENT_MILLI_CPU,
        or(info.requests.milli_cpu, SILENT_MILLI_CPU),
    );
    let memory = left(node.allocatable.memory, node.requested.memory, or(info.requests.memory, SILENT_MEMORY));
    (cpu + memory) / 2
}

/// Pods of the same owner, so that losing a node loses as few of them as possible.
fn same_owner(info: &PodInfo, node: &NodeInfo) -> i64 {
    if info.owner.is_empty() { 0 } else { node.owners.get(&info.owner).copied().unwrap_or_default() as i64 }
}

fn preferred_nodes(info: &PodInfo, node: &NodeInfo) -> i64 {
    let affinity = info.spec().and_then(|spec| spec.affinity.as_ref());
    let affinity = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
    let terms = affinity.and_then(|found| found.preferred_during_scheduling_ignored_during_execution.as_deref());
    let matching = terms.unwrap_or_default().iter().filter(|term| term_matches(&term.preference, &node.node));
    matching.map(|term| i64::from(term.weight)).sum()
}

fn unwanted_taints(info: &PodInfo, node: &NodeInfo) -> i64 {
    let tolerations = info.spec().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let taints = node.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let soft = taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    soft.filter(|taint| !tolerated(tolerations, taint)).count() as i64
}

/// Preferred affinity and anti-affinity to the pods on the node itself.
///
/// Wider domains (zones) count through the nodes in them only as far as pods are on this node; required
/// terms look at whole domains.
fn preferred_pods(info: &PodInfo, node: &NodeInfo) -> i64 {
    let Some(affinity) = info.spec().and_then(|spec| spec.affinity.as_ref()) else { return 0 };
    let points = |terms: Option<&Vec<WeightedPodAffinityTerm>>| -> i64 {
        let matching = terms.into_iter().flatten().map(|term| {
            let near = node.pods.values().filter(|pod| pods::matches(&term.pod_affinity_term, info, pod)).count();
            i64::from(term.weight) * near as i64
        });
        matching.sum()
    };
    let near = affinity.pod_affinity.as_ref();
    let apart = affinity.pod_anti_affinity.as_ref();
    points(near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref()))
        - points(apart.and_then(|apart| apart.preferred_during_scheduling_ignored_during_execution.as_ref()))
}

/// Pods on the node that soft spread constraints want elsewhere.
fn soft_spread(info: &PodInfo, node: &NodeInfo) -> i64 {
    let constraints = info.spec().and_then(|spec| spec.topology_spread_constraints.as_deref());
    let soft = constraints.unwrap_or_default().iter().filter(|found| found.when_unsatisfiable == "ScheduleAnyway");
    let crowd = soft.map(|constraint| {
        let matching = node.pods.values().filter(|pod| {
            let labels = pod.labels.as_ref();
            pod.namespace == info.namespace
                && constraint.label_selector.as_ref().is_some_and(|found| portolan_client::selects(found, labels))
        });
        matching.count() as i64
    });
    crowd.sum()
}
