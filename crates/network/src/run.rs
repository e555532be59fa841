//! Keeping the rules in step with the catalog.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use portolan_base::readiness::State;
use portolan_base::{Backoff, Readiness, Shutdown, error};
use portolan_catalog::Snapshot;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::apply::{ApplyError, Rules};
use crate::plan::{Batch, Planner};
use crate::{Config, conntrack};

/// Somebody who changes our rules again within this time is met with growing patience.
const PEACE: Duration = Duration::from_secs(60);

/// Applies every change of the catalog to the rules of this node until shutdown, and puts them right
/// when somebody else changes them.
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
    let mut planner = Planner::new(config.clone());
    // An empty catalog is one that has not arrived yet.
    let Some(Ok(_)) = shutdown.run(catalog.wait_for(|snapshot| snapshot.index() > 0)).await else { return };
    let mut kernel = None;
    let mut failures = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    let mut repairs = Repairs::new();
    loop {
        let snapshot = catalog.borrow_and_update().clone();
        let batch = if kernel.is_some() { planner.update(&snapshot) } else { planner.replace(&snapshot) };
        let delay = match apply(kernel.take(), &config, batch).await {
            Ok(mut opened) => {
                failures.reset();
                readiness.set("network", State::Ready);
                match shutdown.run(wait(&mut catalog, &mut opened)).await {
                    None | Some(Wake::End) => return,
                    Some(Wake::Catalog) => {
                        kernel = Some(opened);
                        continue;
                    }
                    Some(Wake::Rules(failure)) => repairs.begin(&failure),
                }
            }
            Err(failure @ ApplyError::Changed(_)) => repairs.begin(&failure),
            Err(failure) => {
                let reason = error::chain(&failure).to_string();
                tracing::error!(error = %reason, "service rules were not applied; all are sent again");
                readiness.set("network", State::Failed(reason));
                failures.jittered()
            }
        };
        if shutdown.run(tokio::time::sleep(delay)).await.is_none() {
            return;
        }
    }
}

/// When to put right what others did to the rules: at once, then ever later while they go on.
struct Repairs {
    last: Option<Instant>,
    backoff: Backoff,
}

impl Repairs {
    fn new() -> Self {
        Self { last: None, backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)) }
    }

    fn begin(&mut self, cause: &ApplyError) -> Duration {
        tracing::warn!(cause = %error::chain(cause), "service rules are not as they were left; all are sent again");
        let quiet = self.last.is_none_or(|last| last.elapsed() >= PEACE);
        self.last = Some(Instant::now());
        if quiet {
            self.backoff.reset();
            return Duration::ZERO;
        }
        self.backoff.jittered()
    }
}

/// Open rules, and the means to wait for news of them.
struct Kernel {
    rules: Rules,
    news: AsyncFd<Arc<OwnedFd>>,
}

enum Wake {
    /// The catalog has changed.
    Catalog,
    /// The rules are not as they were left.
    Rules(ApplyError),
    /// There will be no more snapshots.
    End,
}

/// Waits for a reason to do something.
async fn wait(catalog: &mut watch::Receiver<Arc<Snapshot>>, kernel: &mut Kernel) -> Wake {
    loop {
        tokio::select! {
            changed = catalog.changed() => return changed.map_or(Wake::End, |()| Wake::Catalog),
            ready = kernel.news.readable() => {
                let mut ready = match ready {
                    Ok(ready) => ready,
                    Err(failure) => return Wake::Rules(ApplyError::Unknown(failure)),
                };
                // Reads until there is no more, after which the readiness seen here means nothing.
                match kernel.rules.changed() {
                    Ok(None) => ready.clear_ready(),
                    Ok(Some(author)) => return Wake::Rules(ApplyError::Changed(author.clone())),
                    Err(failure) => return Wake::Rules(failure),
                }
            }
        }
    }
}

/// Applies a batch where blocking does no harm. After a failure the rules must be opened again.
async fn apply(kernel: Option<Kernel>, config: &Config, batch: Batch) -> Result<Kernel, ApplyError> {
    let Kernel { mut rules, news } = match kernel {
        Some(kernel) => kernel,
        None => {
            let rules = Rules::open(config.clone())?;
            // SAFETY: the value keeps the descriptor open for as long as it exists.
            let news = unsafe { AsyncFd::register_with_interest(rules.events(), Interest::READABLE) };
            let news = news.map_err(|failure| ApplyError::Open(failure.into()))?;
            Kernel { rules, news }
        }
    };
    let work = tokio::task::spawn_blocking(move || {
        rules.apply(&batch)?;
        if let Err(failure) = conntrack::forget(&batch.stale_flows) {
            // Such flows end by themselves after their timeout, which is why this is no failure of the batch.
            tracing::warn!(error = %failure, "stale UDP flows could not be forgotten");
        }
        Ok(rules)
    });
    let rules = work.await.map_err(|failure| ApplyError::Unknown(std::io::Error::other(failure)))??;
    Ok(Kernel { rules, news })
}
