//! Keeping the rules in step with the catalog.

use std::sync::Arc;
use std::time::Duration;

use portolan_base::{Backoff, Shutdown, error};
use portolan_catalog::Snapshot;
use tokio::sync::watch;

use crate::plan::{Batch, Planner};
use crate::{Config, apply, conntrack};

/// Applies every change of the catalog to the rules of this node until shutdown.
///
/// Rules stay when it returns, so that services keep working while the agent restarts; they are
/// replaced in one step by the next run and removed by [`teardown_node`](crate::teardown_node).
pub async fn run(config: Config, mut catalog: watch::Receiver<Arc<Snapshot>>, shutdown: Shutdown) {
    let mut planner = Planner::new(config);
    // An empty catalog is one that has not arrived yet.
    let Some(Ok(_)) = shutdown.run(catalog.wait_for(|snapshot| snapshot.index() > 0)).await else { return };
    let mut whole = true;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        let snapshot = catalog.borrow_and_update().clone();
        let batch = if whole { planner.replace(&snapshot) } else { planner.update(&snapshot) };
        let applied = tokio::task::spawn_blocking(move || apply_batch(&batch)).await;
        whole = match applied {
            Ok(Ok(())) => {
                backoff.reset();
                false
            }
            Ok(Err(failure)) => {
                tracing::error!(error = %error::chain(&failure), "service rules were not applied; all are sent again");
                true
            }
            Err(failure) => {
                tracing::error!(error = %failure, "applying service rules failed; all are sent again");
                true
            }
        };
        if whole {
            if shutdown.run(tokio::time::sleep(backoff.jittered())).await.is_none() {
                return;
            }
        } else if !matches!(shutdown.run(catalog.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

fn apply_batch(batch: &Batch) -> Result<(), apply::ApplyError> {
    apply::apply(&batch.text)?;
    if let Err(failure) = conntrack::forget(&batch.stale_flows) {
        // Such flows end by themselves after their timeout, which is why this is no failure of the batch.
        tracing::warn!(error = %failure, "stale UDP flows could not be forgotten");
    }
    Ok(())
}
