//! Keeping another process running: started or adopted once, and again whenever it ends.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::error::chain;
use crate::process::Ending;
use crate::{Backoff, Shutdown};

/// A process that ran this long did not fail because of how it was started.
const STABLE_AFTER: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const SLOWEST_RETRY: Duration = Duration::from_secs(30);

/// Whether a supervised process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Running {
        /// Its process id.
        pid: i32,
        /// How often it had to be started again.
        restarts: u64,
    },
    /// It died or does not answer, and is being started again.
    Failed {
        /// What was seen.
        reason: String,
    },
    /// It was stopped on purpose, or never started.
    Stopped,
}

/// A program that can be started, or found running.
pub trait Program: Sync {
    /// Why it cannot be started.
    type Error: std::error::Error + Send + 'static;

    /// Its name in logs.
    fn name(&self) -> &'static str;

    /// Adopts the process that runs, or starts one, and returns its id once it answers.
    fn ensure_running(&self) -> impl Future<Output = Result<i32, Self::Error>> + Send;
}

/// The state of one supervised process.
#[derive(Debug)]
pub struct Supervision {
    health: watch::Sender<Health>,
}

impl Default for Supervision {
    fn default() -> Self {
        Self { health: watch::Sender::new(Health::Stopped) }
    }
}

impl Supervision {
    /// Whether the process runs; wakes on every change.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Notes that the process is about to be stopped on purpose; [`Supervision::run`] ends with it.
    pub fn stopping(&self) {
        self.health.send_replace(Health::Stopped);
    }

    /// Starts the process or adopts it.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start<P: Program>(&self, program: &P) -> Result<(), P::Error> {
        self.ensure_running(program, 0).await
    }

    /// Watches the process and starts it again when it ends, until `shutdown`. The process outlives this.
    pub async fn run<P: Program>(&self, program: &P, shutdown: Shutdown) {
        let name = program.name();
        let mut restarts = 0;
        let mut backoff = Backoff::new(FIRST_RETRY, SLOWEST_RETRY);
        loop {
            let since = Instant::now();
            let watched = shutdown.run(self.watch_until_ended(name)).await;
            if watched.is_none() || *self.health.borrow() == Health::Stopped {
                return;
            }
            tracing::error!(restarts, "{name} ended unexpectedly; starting it again");
            self.health.send_replace(Health::Failed { reason: format!("{name} ended unexpectedly") });
            if since.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            loop {
                if shutdown.run(tokio::time::sleep(backoff.advance())).await.is_none() {
                    return;
                }
                restarts += 1;
                match shutdown.run(self.ensure_running(program, restarts)).await {
                    None => return,
                    Some(Ok(())) => break,
                    Some(Err(error)) => {
                        let reason = chain(&error).to_string();
                        tracing::error!(%reason, "cannot start {name}");
                        self.health.send_replace(Health::Failed { reason });
                    }
                }
            }
        }
    }

    async fn ensure_running<P: Program>(&self, program: &P, restarts: u64) -> Result<(), P::Error> {
        let pid = program.ensure_running().await?;
        self.health.send_replace(Health::Running { pid, restarts });
        Ok(())
    }

    async fn watch_until_ended(&self, name: &str) {
        let Health::Running { pid, .. } = *self.health.borrow() else { return };
        match Ending::watch(pid) {
            Ok(Some(ending)) => ending.ended().await,
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "cannot watch {name}"),
        }
    }
}
