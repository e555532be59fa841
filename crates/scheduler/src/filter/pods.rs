//! Which pods want to be near which, and which do not.

use std::collections::HashSet;

use portolan_api::typed::kinds::core::v1::PodAffinityTerm;
use portolan_client::{is_empty, selects};

use super::Reason;
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

/// Domains (topology key and value) where a pod must, or must not, go.
#[derive(Debug)]
pub(super) struct Domains<'a> {
    /// Per term of the pod's affinity: its key, the values where a match is, and whether the pod would
    /// match itself while nobody else does, so that the first of a group can start.
    attracted: Vec<(&'a str, HashSet<&'a str>, bool)>,
    repelled: HashSet<(&'a str, &'a str)>,
    /// Where pods are that do not suffer this one.
    unwelcome: HashSet<(&'a str, &'a str)>,
}

impl<'a> Domains<'a> {
    pub(super) fn new(info: &'a PodInfo, snapshot: &'a Snapshot) -> Self {
        let affinity = info.spec().and_then(|spec| spec.affinity.as_ref());
        let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let near = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_deref());
        let attracted = near.unwrap_or_default().iter().map(|term| {
            let values: HashSet<&str> = places(term, info, snapshot).collect();
            let alone = values.is_empty() && matches(term, info, info);
            (term.topology_key.as_str(), values, alone)
        });
        let apart = anti_terms(info).iter();
        let repelled =
            apart.flat_map(|term| places(term, info, snapshot).map(|value| (term.topology_key.as_str(), value)));
        let unwelcome = snapshot.repelling().flat_map(|(node, other)| {
            let terms = anti_terms(other).iter().filter(|term| matches(term, other, info));
            terms.filter_map(|term| Some((term.topology_key.as_str(), node.label(&term.topology_key)?)))
        });
        Self { attracted: attracted.collect(), repelled: repelled.collect(), unwelcome: unwelcome.collect() }
    }

    pub(super) fn check(&self, node: &NodeInfo) -> Vec<Reason> {
        let near = self
            .attracted
            .iter()
            .all(|(key, values, alone)| node.label(key).is_some_and(|value| *alone || values.contains(value)));
        if !near {
            return vec![Reason::PodAffinity];
        }
        let inside = |(key, value): &(&str, &str)| node.label(key) == Some(*value);
        if self.repelled.iter().any(inside) {
            return vec![Reason::PodAntiAffinity];
        }
        if self.unwelcome.iter().any(inside) { vec![Reason::ExistingAntiAffinity] } else { Vec::new() }
    }
}

fn anti_terms(info: &PodInfo) -> &[PodAffinityTerm] {
    let affinity = info.spec().and_then(|spec| spec.affinity.as_ref());
    let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    apart.and_then(|apart| apart.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

/// The values of the term's topology key where a pod is that it means.
fn places<'a>(term: &'a PodAffinityTerm, info: &'a PodInfo, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a str> {
    snapshot.nodes().filter_map(move |node| {
        let value = node.label(&term.topology_key)?;
        node.pods.values().any(|other| matches(term, info, other)).then_some(value)
    })
}

/// Whether `other` is one of the pods that a term of `holder` means.
///
/// A `namespaceSelector` that is not empty needs the labels of namespaces, which the scheduler does not
/// follow; such a term means the listed namespaces only.
pub(crate) fn matches(term: &PodAffinityTerm, holder: &PodInfo, other: &PodInfo) -> bool {
    let listed = term.namespaces.as_deref().unwrap_or_default();
    let namespace = &other.namespace;
    let everywhere = term.namespace_selector.as_ref().is_some_and(is_empty);
    let in_namespace = everywhere
        || listed.contains(namespace)
        || (listed.is_empty() && term.namespace_selector.is_none() && *namespace == holder.namespace);
    let label = |info: &PodInfo, key: &String| info.labels.as_ref().and_then(|all| all.get(key)).cloned();
    let same = |key: &String| label(holder, key).is_none_or(|value| label(other, key) == Some(value));
    let different = |key: &String| label(holder, key).is_none_or(|value| label(other, key) != Some(value));
    in_namespace
        && term.label_selector.as_ref().is_some_and(|selector| selects(selector, other.labels.as_ref()))
        && term.match_label_keys.iter().flatten().all(same)
        && term.mismatch_label_keys.iter().flatten().all(different)
}
