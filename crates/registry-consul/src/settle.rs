//! Reading one's own writes: a write is answered once the catalog shows it.

use std::time::Duration;

use portolan_api::typed::{ExternalNode, Object, ServiceInstance};
use portolan_catalog::Snapshot;
use portolan_registrar::object_name;

use crate::state::State;

/// A catalog that lags more than this is not waited for; the write is done either way.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a snapshot shows this version of a registration, or a later one.
fn shows(snapshot: &Snapshot, written: &ServiceInstance) -> bool {
    let shown = snapshot.instances_of(written.namespace(), &written.spec.service);
    let shown = shown.into_iter().flat_map(|list| list.iter()).filter_map(|instance| instance.registration.as_ref());
    shown.filter(|object| object.name() == written.name()).any(|object| object.revision() >= written.revision())
}

impl State {
    async fn settled(&self, shows: impl Fn(&Snapshot) -> bool) {
        let mut snapshots = self.changes.snapshots();
        let waiting = async {
            // The sender lives as long as the catalog; after it nothing is shown any more.
            let _ = snapshots.wait_for(|snapshot| shows(snapshot)).await;
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            tracing::debug!("the catalog does not show a write yet");
        }
    }

    /// Waits until the catalog shows a registration as it was written.
    pub(crate) async fn settle(&self, written: &ServiceInstance) {
        self.settled(|snapshot| shows(snapshot, written)).await;
    }

    /// Waits until the catalog no longer shows a registration.
    pub(crate) async fn settle_removed(&self, removed: &ServiceInstance) {
        self.settled(|snapshot| {
            let shown = snapshot.instances_of(removed.namespace(), &removed.spec.service);
            let mut shown = shown.into_iter().flat_map(|list| list.iter());
            !shown.any(|instance| instance.registration.as_ref().is_some_and(|object| object.uid() == removed.uid()))
        })
        .await;
    }

    /// Waits until the catalog shows a machine as it was written; `None` that it is gone.
    pub(crate) async fn settle_machine(&self, name: &str, written: Option<&ExternalNode>) {
        self.settled(|snapshot| {
            let shown = snapshot.external_node(name);
            match (shown, written) {
                (None, None) => true,
                (Some(shown), Some(written)) => {
                    // A machine carries no version, so the comparison is by content.
                    let expected = portolan_catalog::external_node(written);
                    shown.is_like(&portolan_catalog::Node {
                        created_index: shown.created_index,
                        modified_index: shown.modified_index,
                        ..expected
                    })
                }
                _ => false,
            }
        })
        .await;
    }
}

/// Name of the object of a machine.
pub(crate) fn machine_object(node: &str) -> String {
    object_name("", &node.to_lowercase())
}
