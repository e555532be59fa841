//! Waiting for a moment that there may not be.

use tokio::time::Instant;

/// Completes at a moment; never without one. For loops that are woken by other things, too.
pub async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_a_moment_only_others_wake() {
        let start = Instant::now();
        tokio::select! {
            () = sleep_until(None) => panic!("there is no moment"),
            () = sleep_until(Some(start + Duration::from_secs(9))) => {}
        }
        assert_eq!(start.elapsed().as_secs(), 9);
    }
}
