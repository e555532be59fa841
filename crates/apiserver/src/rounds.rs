//! Work that goes on as long as the server serves.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::status::Status;

/// Does one round of work after the other until `stop`. After one that failed, which is logged as `failed`, the next
/// begins `pause` later.
pub(crate) async fn until<Round>(stop: &CancellationToken, pause: Duration, failed: &str, round: impl Fn() -> Round)
where
    Round: Future<Output = Result<(), Status>>,
{
    while let Some(outcome) = stop.run_until_cancelled(round()).await {
        if let Err(status) = outcome {
            tracing::warn!(error = %status, "{failed}");
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }
}

/// Does a round of work whenever `interval` has passed, until `stop`.
pub(crate) async fn every<Round>(stop: &CancellationToken, interval: Duration, round: impl Fn() -> Round)
where
    Round: Future<Output = ()>,
{
    let next = async || {
        tokio::time::sleep(interval).await;
        round().await;
    };
    while stop.run_until_cancelled(next()).await.is_some() {}
}
