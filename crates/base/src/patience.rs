//! How long a peer may be silent before it has asked for anything.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Patience with a peer that is connected and has not asked for anything yet.
///
/// Whoever connects takes memory and a file descriptor; peers that never say what for are sent away.
#[derive(Debug, Clone, Default)]
pub struct Patience(CancellationToken);

impl Patience {
    /// The peer asked for something: there is no limit any more. Idempotent.
    pub fn asked(&self) {
        self.0.cancel();
    }

    /// Completes once the peer was silent for `limit`; never if it asked in time.
    pub async fn lost(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.0.cancelled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_silent_peers_are_sent_away() {
        let limit = Duration::from_secs(10);
        let (silent, asking) = (Patience::default(), Patience::default());
        let asked = asking.clone();
        asked.asked();
        tokio::select! {
            () = asking.lost(limit) => panic!("it asked"),
            () = silent.lost(limit) => {}
        }
    }
}
