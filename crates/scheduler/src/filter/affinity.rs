//! Which nodes a pod wants.

use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

use super::Reason;
use crate::snapshot::{NodeInfo, PodInfo};

pub(super) fn node_affinity(info: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    if matches_required(info.spec(), &node.node) { Vec::new() } else { vec![Reason::NodeAffinity] }
}

/// Whether a node has what the pod's selector and required affinity ask for.
pub(crate) fn matches_required(spec: Option<&PodSpec>, node: &Node) -> bool {
    let Some(spec) = spec else { return true };
    let labels = node.metadata.labels.as_ref();
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    // Terms are alternatives.
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_matches(term, node)))
}

/// Whether a node matches all requirements of a term. An empty term matches nothing.
pub(crate) fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then(|| node.name());
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|requirement| holds(requirement, label(&requirement.key)))
        && fields.iter().all(|requirement| holds(requirement, field(&requirement.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|listed| listed == value);
    let compare = |holds: fn(i64, i64) -> bool| {
        let bound = values.first().and_then(|bound| bound.parse().ok());
        let number = value.and_then(|value| value.parse().ok());
        number.zip(bound).is_some_and(|(number, bound)| holds(number, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|number, bound| number > bound),
        "Lt" => compare(|number, bound| number < bound),
        _ => false,
    }
}
