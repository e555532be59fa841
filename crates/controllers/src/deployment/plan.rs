//! Decides what a rollout does next.
//!
//! The plan works on a copy of the ReplicaSets, changes it step by step the way upstream's controller
//! changes the cluster, and returns the difference. What a step may take away is counted from what is
//! available now, so doing several steps in one plan stays within `maxUnavailable`.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use portolan_api::typed::kinds::core::v1::PodTemplateSpec;
use portolan_base::Timestamp;

use super::annotations::{self, DESIRED_REPLICAS, MAX_REPLICAS, REVISION};
use super::limits::Limits;
use super::scale;
use super::status;
use super::template::{self, HASH_LABEL};
use crate::meta::{controller_reference, is_deleting};

/// What the plan is made from.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) deployment: &'a Deployment,
    /// The ReplicaSets it controls.
    pub(super) sets: &'a [Arc<ReplicaSet>],
    /// Whether pods of old ReplicaSets still exist; asked for by the Recreate strategy only.
    pub(super) old_pods: OldPods,
}

/// Whether pods of earlier templates still run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OldPods {
    Gone,
    Running,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Create(Box<ReplicaSet>),
    /// Bring the set of this name to this size and these annotations.
    Change {
        name: String,
        replicas: i32,
        annotations: BTreeMap<String, String>,
    },
    Delete(String),
    /// Write the revision onto the deployment.
    SetRevision(String),
}

/// What a deployment needs.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) status: DeploymentStatus,
    /// When the progress deadline passes.
    pub(super) requeue_at: Option<Timestamp>,
}

/// A ReplicaSet that the plan changes.
#[derive(Debug, Clone)]
pub(super) struct Set {
    /// As it is in the cluster; for a new one as it will be created.
    pub(super) original: Arc<ReplicaSet>,
    pub(super) is_new: bool,
    pub(super) replicas: i32,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Set {
    fn existing(set: &Arc<ReplicaSet>) -> Self {
        Self {
            original: set.clone(),
            is_new: false,
            replicas: replicas(set),
            annotations: set.metadata.annotations.clone().unwrap_or_default(),
        }
    }

    /// Pods of this set that can take traffic.
    pub(super) fn available(&self) -> i32 {
        let status = self.original.status.as_ref();
        status.and_then(|status| status.available_replicas).unwrap_or_default()
    }

    pub(super) fn actual(&self) -> i32 {
        self.original.status.as_ref().map_or(0, |status| status.replicas)
    }

    pub(super) fn created(&self) -> Option<Timestamp> {
        self.original.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// Sets the size and notes the deployment's wish, so that a later change of it is recognised.
    pub(super) fn scale(&mut self, replicas: i32, limits: &Limits) {
        self.replicas = replicas;
        self.note(limits);
    }

    pub(super) fn note(&mut self, limits: &Limits) {
        self.annotations.insert(DESIRED_REPLICAS.to_owned(), limits.replicas.to_string());
        self.annotations.insert(MAX_REPLICAS.to_owned(), (limits.replicas + limits.max_surge).to_string());
    }

    fn action(&self) -> Option<Action> {
        if self.is_new {
            let mut set = ReplicaSet::clone(&self.original);
            set.metadata.annotations = Some(self.annotations.clone());
            if let Some(spec) = &mut set.spec {
                spec.replicas = Some(self.replicas);
            }
            return Some(Action::Create(Box::new(set)));
        }
        let unchanged = self.replicas == replicas(&self.original)
            && Some(&self.annotations) == Some(self.original.metadata.annotations.as_ref().unwrap_or(&BTreeMap::new()));
        (!unchanged).then(|| Action::Change {
            name: self.original.name().to_owned(),
            replicas: self.replicas,
            annotations: self.annotations.clone(),
        })
    }
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Returns the next step of the rollout and the status as observed.
pub(super) fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let deployment = view.deployment;
    let Some(spec) = &deployment.spec else {
        return Plan { actions: Vec::new(), status: deployment.status.clone().unwrap_or_default(), requeue_at: None };
    };
    let limits = Limits::of(spec);
    let current = template::find(&spec.template, view.sets).map(|set| set.name().to_owned());
    let is_current = |set: &&Arc<ReplicaSet>| Some(set.name()) == current.as_deref();
    let mut new = view.sets.iter().find(is_current).map(Set::existing);
    let mut old: Vec<Set> = view.sets.iter().filter(|set| !is_current(set)).map(Set::existing).collect();
    old.sort_by_key(|set| (set.created(), set.original.name().to_owned()));

    let mut deleted = Vec::new();
    let mut revision = None;
    if !is_deleting(deployment) {
        let paused = spec.paused == Some(true);
        if paused || is_scaling(&new, &old, &limits) {
            scale::proportionally(&mut new, &mut old, &limits);
        } else {
            revision = Some(roll(view, spec, &limits, &mut new, &mut old));
        }
        if status::is_complete(deployment, &limits, new.as_ref(), &old) {
            deleted = beyond_history(spec, &old);
        }
    }

    let mut actions: Vec<Action> = new.iter().chain(&old).filter_map(Set::action).collect();
    actions.extend(deleted.into_iter().map(Action::Delete));
    let known = deployment.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    if let Some(revision) = revision.filter(|revision| known != Some(revision)) {
        actions.push(Action::SetRevision(revision));
    }
    let (status, requeue_at) = status::observe(deployment, spec, &limits, new.as_ref(), &old, now);
    Plan { actions, status, requeue_at }
}

/// The wish for a number of replicas changed since the sets were last sized.
fn is_scaling(new: &Option<Set>, old: &[Set], limits: &Limits) -> bool {
    new.iter().chain(old).filter(|set| set.replicas > 0).any(|set| {
        let desired = set.annotations.get(DESIRED_REPLICAS).and_then(|desired| desired.parse::<i32>().ok());
        desired.is_some_and(|desired| desired != limits.replicas)
    })
}

/// Moves one step towards the current template; returns the revision of that template.
fn roll(view: &View<'_>, spec: &DeploymentSpec, limits: &Limits, new: &mut Option<Set>, old: &mut [Set]) -> String {
    let recreate = limits.recreate;
    if recreate && old.iter().any(|set| set.replicas > 0) {
        old.iter_mut().filter(|set| set.replicas > 0).for_each(|set| set.scale(0, limits));
        // The new pods come once the old ones are gone.
        if new.is_none() {
            return annotations::highest(old).to_string();
        }
    }
    let may_start = !recreate || (view.old_pods == OldPods::Gone && old.iter().all(|set| set.replicas == 0));
    if new.is_none() && !may_start {
        return annotations::highest(old).to_string();
    }
    let set = new.get_or_insert_with(|| new_set(view.deployment, spec, view.sets));
    annotations::inherit(set, view.deployment, old);
    if recreate {
        if may_start {
            set.scale(limits.replicas, limits);
        }
    } else {
        scale::up_new(set, old, limits);
        scale::down_old(set, old, limits);
    }
    set.note(limits);
    set.annotations.get(REVISION).cloned().unwrap_or_default()
}

fn new_set(deployment: &Deployment, spec: &DeploymentSpec, sets: &[Arc<ReplicaSet>]) -> Set {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default();
    let hash = template::hash(&spec.template, collisions);
    let mut template: PodTemplateSpec = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let mut set = ReplicaSet::default();
    set.metadata.name = Some(format!("{}-{hash}", deployment.name()));
    set.metadata.namespace = Some(deployment.namespace().to_owned());
    set.metadata.labels = Some(labels);
    set.metadata.owner_references = Some(vec![controller_reference(deployment)]);
    set.spec = Some(k8s_openapi::api::apps::v1::ReplicaSetSpec {
        min_ready_seconds: spec.min_ready_seconds,
        replicas: Some(0),
        selector,
        template: Some(template),
    });
    debug_assert!(sets.iter().all(|other| !template::same(&spec.template, other)));
    Set { original: Arc::new(set), is_new: true, replicas: 0, annotations: BTreeMap::new() }
}

/// Old sets that the history has no room for, oldest first.
fn beyond_history(spec: &DeploymentSpec, old: &[Set]) -> Vec<String> {
    let keep = usize::try_from(spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
    let mut idle: Vec<&Set> = old
        .iter()
        .filter(|set| {
            let observed = set.original.status.as_ref().and_then(|status| status.observed_generation);
            set.replicas == 0
                && set.actual() == 0
                && set.original.metadata.generation <= observed
                && !is_deleting(&*set.original)
        })
        .collect();
    idle.sort_by_key(|set| annotations::revision(&set.annotations));
    let surplus = idle.len().saturating_sub(keep);
    idle.into_iter().take(surplus).map(|set| set.original.name().to_owned()).collect()
}

#[cfg(test)]
mod tests;
