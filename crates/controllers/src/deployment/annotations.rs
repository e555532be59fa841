//! What deployments and their ReplicaSets note about revisions.

use std::collections::BTreeMap;

use portolan_api::typed::kinds::apps::v1::Deployment;

use super::plan::Set;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";

/// Not copied from a deployment to its sets.
const OWN: [&str; 6] = [REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, LAST_APPLIED, ROLLBACK_TO];

pub(super) fn revision(annotations: &BTreeMap<String, String>) -> i64 {
    annotations.get(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

pub(super) fn highest(sets: &[Set]) -> i64 {
    sets.iter().map(|set| revision(&set.annotations)).max().unwrap_or_default()
}

/// Gives the new set the deployment's annotations and a revision above all old ones.
///
/// A set that served before keeps its earlier revisions in the history annotation.
pub(super) fn inherit(new: &mut Set, deployment: &Deployment, old: &[Set]) {
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !OWN.contains(&key.as_str()) {
            new.annotations.insert(key.clone(), value.clone());
        }
    }
    let next = highest(old) + 1;
    let current = revision(&new.annotations);
    if current >= next {
        return;
    }
    if current > 0 {
        let history = new.annotations.entry(REVISION_HISTORY.to_owned()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&current.to_string());
    }
    new.annotations.insert(REVISION.to_owned(), next.to_string());
}
