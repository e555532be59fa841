//! The kinds that ask for a number of pods like each other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use portolan_api::typed::kinds::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use portolan_client::{is_empty, selects};

/// A kind that asks for a number of pods like each other.
pub(crate) trait PodSet: Object {
    /// Name for logs.
    const CONTROLLER: &'static str;
    /// Who says so in events.
    const COMPONENT: &'static str;
    /// Whether its status tells how many pods are on their way out.
    const COUNTS_TERMINATING: bool;

    /// Whether its selector has no terms, which the server refuses.
    fn selects_all(&self) -> bool;
    /// Whether pods with these labels are its own.
    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool;
    /// How many pods it asks for.
    fn replicas(&self) -> i32;
    /// How long a pod must be ready to count as available.
    fn min_ready_seconds(&self) -> i32;
    /// What its pods are like.
    fn template(&self) -> Option<&PodTemplateSpec>;
    /// Its status, in the form that all of these kinds have in common.
    fn status(&self) -> Option<Cow<'_, ReplicaSetStatus>>;
    /// Writes the status into the object.
    fn set_status(&mut self, status: ReplicaSetStatus);
}

impl PodSet for ReplicaSet {
    const CONTROLLER: &'static str = "replicaset";
    const COMPONENT: &'static str = "replicaset-controller";
    const COUNTS_TERMINATING: bool = true;

    fn selects_all(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| is_empty(&spec.selector))
    }

    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.spec.as_ref().is_some_and(|spec| !self.selects_all() && selects(&spec.selector, labels))
    }

    fn replicas(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn status(&self) -> Option<Cow<'_, ReplicaSetStatus>> {
        self.status.as_ref().map(Cow::Borrowed)
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        self.status = Some(status);
    }
}

impl PodSet for ReplicationController {
    const CONTROLLER: &'static str = "replicationcontroller";
    const COMPONENT: &'static str = "replication-controller";
    const COUNTS_TERMINATING: bool = false;

    fn selects_all(&self) -> bool {
        let selector = self.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_none_or(BTreeMap::is_empty)
    }

    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let selector = self.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.filter(|selector| !selector.is_empty()).is_some_and(|selector| {
            selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
        })
    }

    fn replicas(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn status(&self) -> Option<Cow<'_, ReplicaSetStatus>> {
        let status = self.status.as_ref()?;
        let conditions = status.conditions.as_ref().map(|all| {
            let in_common = |condition: &ReplicationControllerCondition| ReplicaSetCondition {
                type_: condition.type_.clone(),
                status: condition.status.clone(),
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                last_transition_time: condition.last_transition_time.clone(),
            };
            all.iter().map(in_common).collect()
        });
        Some(Cow::Owned(ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            terminating_replicas: None,
            observed_generation: status.observed_generation,
            conditions,
        }))
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        let conditions = status.conditions.map(|all| {
            let own = |condition: ReplicaSetCondition| ReplicationControllerCondition {
                type_: condition.type_,
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
                last_transition_time: condition.last_transition_time,
            };
            all.into_iter().map(own).collect()
        });
        self.status = Some(ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions,
        });
    }
}
