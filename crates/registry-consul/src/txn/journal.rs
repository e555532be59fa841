//! What a transaction wrote to, as it was before.

use std::sync::Arc;

use portolan_api::typed::{ExternalNode, ServiceInstance};
use portolan_client::Key;

use crate::Error;
use crate::catalog::register;
use crate::state::State;

/// What was there before the first write.
#[derive(Default)]
pub(crate) struct Journal {
    machines: Vec<(String, Option<ExternalNode>)>,
    instances: Vec<(Key, Option<ServiceInstance>)>,
}

impl Journal {
    /// Notes a machine as it is.
    pub(crate) async fn machine(&mut self, state: &State, node: &str) -> Result<(), Error> {
        if !self.machines.iter().any(|(known, _)| known == node) {
            self.machines.push((node.to_owned(), state.machine(node).await?));
        }
        Ok(())
    }

    /// Notes an instance as it is.
    pub(crate) fn instance(&mut self, state: &State, key: Key) {
        if !self.instances.iter().any(|(known, _)| *known == key) {
            let before = state.registrar.instance(&key).map(Arc::unwrap_or_clone);
            self.instances.push((key, before));
        }
    }

    /// Puts everything back. What cannot be is logged: the caller has been refused for another reason already, and
    /// the rest is put back all the same.
    pub(crate) async fn put_back(&mut self, state: &State) {
        let failed = |what: &str, error: Error| {
            tracing::error!(what, %error, "a transaction that failed left something behind; register it anew");
        };
        for (node, before) in self.machines.drain(..).rev() {
            if let Err(error) = put_machine_back(state, &node, before).await {
                failed(&format!("node {node}"), error);
            }
        }
        for (key, before) in self.instances.drain(..).rev() {
            if let Err(error) = put_instance_back(state, &key, before).await {
                failed(&format!("instance {key}"), error);
            }
        }
    }
}

async fn put_machine_back(state: &State, node: &str, before: Option<ExternalNode>) -> Result<(), Error> {
    let Some(before) = before else { return state.remove_machine(node).await };
    state.change_machine(node, |spec| spec.clone_from(&before.spec)).await?;
    let checks = before.status.map(|status| status.checks).unwrap_or_default();
    state.change_machine_status(node, |found| found.clone_from(&checks)).await
}

async fn put_instance_back(state: &State, key: &Key, before: Option<ServiceInstance>) -> Result<(), Error> {
    match (before, state.registrar.instance(key)) {
        (None, None) => Ok(()),
        (None, Some(object)) => register::remove(state, &object).await,
        (Some(mut before), present) => {
            let status = before.status.clone().unwrap_or_default();
            before.metadata.resource_version = None;
            before.metadata.uid = None;
            let (_, mut written) = state.registrar.register(before).await?;
            if present.is_some() {
                written = state.registrar.change_status(key, |_, now| now.clone_from(&status)).await?;
            }
            state.settle(&written).await;
            Ok(())
        }
    }
}
