//! Keeping the rules in step with the catalog.

use std::sync::Arc;
use std::time::Duration;

use portolan_base::readiness::State;
use portolan_base::{Backoff, Readiness, Shutdown, error};
use portolan_catalog::Snapshot;
use tokio::sync::watch;

use crate::plan::{Batch, Planner};
use crate::{Config, apply, conntrack};

/// Applies every change of the catalog to the rules of this node until shutdown.
///
/// Writes on `readiness`, as the part `network`, whether the rules are in force. Rules stay when it
/// returns, so that services keep working meanwhile; they are replaced in one step by the next run
/// and removed by [`teardown_node`](crate::teardown_node).
pub async fn run(
    config: Config,
    mut catalog: watch::Receiver<Arc<Snapshot>>,
    readiness: Readiness,
    shutdown: Shutdown,
) {
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
                readiness.set("network", State::Ready);
                false
            }
            Ok(Err(failure)) => {
                let reason = error::chain(&failure).to_string();
                tracing::error!(error = %reason, "service rules were not applied; all are sent again");
                readiness.set("network", State::Failed(reason));
                true
            }
            Err(failure) => {
                tracing::error!(error = %failure, "applying service rules failed; all are sent again");
                readiness.set("network", State::Failed(failure.to_string()));
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
