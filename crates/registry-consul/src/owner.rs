//! Who a check belongs to, and writing to that.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::{
    Checked, ExternalNode, ExternalNodeSpec, Health, HealthCheck, HealthCheckStatus, Object, ServiceInstance,
    drop_leftovers, has_leftovers, record_check,
};
use portolan_client::{DeleteOptions, Key};
use portolan_registrar::object_name;

use crate::Error;
use crate::settle::machine_object;
use crate::state::State;

/// Dialects without namespaces register here.
pub(crate) const NAMESPACE: &str = "default";
/// How often a write that others got in the way of is tried again.
const ATTEMPTS: usize = 8;

/// Who a check belongs to.
pub(crate) enum Owner {
    Instance(Arc<ServiceInstance>),
    Machine,
}

impl State {
    /// Key of an instance by its id and machine; ids of one machine are unique.
    pub(crate) fn key(&self, node: &str, id: &str) -> Key {
        let scope = if node == &*self.identity.node { "" } else { node };
        Key::new(NAMESPACE, object_name(scope, id))
    }

    /// Whether an instance is registered with this agent.
    pub(crate) fn is_local(&self, object: &ServiceInstance) -> bool {
        let node = object.spec.node.as_str();
        (node.is_empty() || node == &*self.identity.node)
            && object.namespace() == NAMESPACE
            && object.name() == object_name("", &object.spec.instance_id)
    }

    /// An instance that is registered with this agent.
    pub(crate) fn local(&self, id: &str) -> Option<Arc<ServiceInstance>> {
        let object = self.registrar.instance(&Key::new(NAMESPACE, object_name("", id)))?;
        (object.spec.instance_id == id && self.is_local(&object)).then_some(object)
    }

    /// All instances that are registered with this agent.
    pub(crate) fn locals(&self) -> Vec<Arc<ServiceInstance>> {
        let mut locals = self.registrar.informer().in_namespace(NAMESPACE);
        locals.retain(|object| self.is_local(object));
        locals
    }

    /// The owner of one of the agent's checks, and the check.
    pub(crate) async fn owner(&self, check_id: &str) -> Result<(Owner, HealthCheck), Error> {
        let of = |object: &ServiceInstance| object.spec.checks.iter().find(|check| check.id == check_id).cloned();
        // Most ids say whose they are.
        if let Some(id) = check_id.strip_prefix("service:") {
            let numbered = id.rsplit_once(':').map(|(id, _)| id);
            for id in [Some(id), numbered].into_iter().flatten() {
                if let Some(object) = self.local(id)
                    && let Some(check) = of(&object)
                {
                    return Ok((Owner::Instance(object), check));
                }
            }
        }
        for object in self.locals() {
            if let Some(check) = of(&object) {
                return Ok((Owner::Instance(object), check));
            }
        }
        let machine = self.machine(&self.identity.node).await?;
        let check = machine.and_then(|machine| machine.spec.checks.into_iter().find(|check| check.id == check_id));
        match check {
            Some(check) => Ok((Owner::Machine, check)),
            None => Err(Error::NotFound(format!(
                "Unknown check ID {check_id:?}. Ensure that the check ID is passed, not the check name."
            ))),
        }
    }

    /// Takes in what an instance says of itself: its time starts anew, and it is written if its health changes.
    pub(crate) async fn report(
        &self,
        owner: Owner,
        check: &HealthCheck,
        health: Health,
        output: &str,
    ) -> Result<(), Error> {
        match owner {
            Owner::Instance(object) => {
                let key = Key::of(&*object);
                self.registrar.report_check(&key, &check.id, health, output).await?;
                if let Some(written) = self.registrar.instance(&key) {
                    self.settle(&written).await;
                }
            }
            Owner::Machine => {
                let node = self.identity.node.to_string();
                let key = Key::new("", machine_object(&node));
                self.registrar.report_machine_check(&key, &check.id, health, output).await?;
                let written = self.machine(&node).await?;
                self.settle_machine(&node, written.as_ref()).await;
            }
        }
        Ok(())
    }

    /// What is registered of a machine.
    pub(crate) async fn machine(&self, node: &str) -> Result<Option<ExternalNode>, Error> {
        match self.client.get::<ExternalNode>("", &machine_object(node)).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Registers or changes a machine by `edit`; nothing is written if that changes nothing.
    pub(crate) async fn change_machine(
        &self,
        node: &str,
        edit: impl Fn(&mut ExternalNodeSpec) + Send + Sync,
    ) -> Result<ExternalNode, Error> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let present = self.machine(node).await?;
            let mut changed = present.clone().unwrap_or_else(|| {
                let mut object = ExternalNode::default();
                object.metadata.name = Some(machine_object(node));
                object.spec.node = node.to_owned();
                object.spec.origin = "consul".to_owned();
                object
            });
            edit(&mut changed.spec);
            let written = match &present {
                Some(present) if present.spec == changed.spec => return Ok(changed),
                Some(_) => self.client.update(&changed).await,
                None => self.client.create(&changed).await,
            };
            match written {
                Ok(written) => {
                    self.settle_machine(node, Some(&written)).await;
                    self.registrar.machine_written(&Key::new("", machine_object(node)), Some(&written));
                    // What was found by checks that left goes with them.
                    if has_leftovers(&written) {
                        self.change_machine_status(node, |_| {}).await?;
                    }
                    return Ok(written);
                }
                Err(error) if error.is_conflict() || error.is_already_exists() => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(|| Error::Internal("nothing was tried".into()), Error::from))
    }

    /// Changes what the checks of a machine found; nothing is written if that changes nothing.
    pub(crate) async fn change_machine_status(
        &self,
        node: &str,
        edit: impl Fn(&mut Vec<HealthCheckStatus>) + Send + Sync,
    ) -> Result<(), Error> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let Some(present) = self.machine(node).await? else { return Ok(()) };
            let mut changed = present.clone();
            edit(changed.results_mut());
            drop_leftovers(&mut changed);
            if changed.status == present.status {
                return Ok(());
            }
            match self.client.update_status(&changed).await {
                Ok(written) => {
                    self.settle_machine(node, Some(&written)).await;
                    return Ok(());
                }
                Err(error) if error.is_conflict() => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(|| Error::Internal("nothing was tried".into()), Error::from))
    }

    /// Forgets what is registered of a machine.
    pub(crate) async fn remove_machine(&self, node: &str) -> Result<(), Error> {
        match self.client.delete::<ExternalNode>("", &machine_object(node), &DeleteOptions::default()).await {
            Ok(()) => {
                self.settle_machine(node, None).await;
                self.registrar.machine_written(&Key::new("", machine_object(node)), None);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Adds a check, or replaces it where it stands: the order stays, so that the same registration is the same.
pub(crate) fn put_check(checks: &mut Vec<HealthCheck>, check: &HealthCheck) {
    match checks.iter_mut().find(|known| known.id == check.id) {
        Some(known) => known.clone_from(check),
        None => checks.push(check.clone()),
    }
}

/// Notes what a check found; `since` moves only with the health.
pub(crate) fn record(
    results: &mut Vec<HealthCheckStatus>,
    check: &HealthCheck,
    health: Health,
    output: &str,
    now: &Time,
) {
    record_check(results, check, health, output, now.0);
}
