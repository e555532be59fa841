//! Shutdown and owned tasks.
//!
//! A process stops in two steps: everyone is told ([`Shutdown::request`]), then everyone is awaited
//! ([`TaskGroup::join`]). No task is ever detached: who spawns it owns it.

use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// Tells a tree of tasks to stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Asks everyone who holds a clone or a child to stop. Idempotent.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Completes once a stop was requested.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Whether a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// A shutdown that follows this one but can also be requested alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Runs `work` until it completes or a stop is requested; `None` means stopped.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }
}

/// Named tasks with one owner.
#[derive(Debug, Default)]
pub struct TaskGroup {
    tasks: JoinSet<()>,
    names: std::collections::HashMap<Id, &'static str>,
}

impl TaskGroup {
    /// Starts a task. Its panic is reported by [`TaskGroup::next_ended`] and [`TaskGroup::join`].
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits until a task ends and returns its name and, if it panicked, the reason.
    ///
    /// `None` once no task is left.
    pub async fn next_ended(&mut self) -> Option<(&'static str, Option<String>)> {
        let (id, failure) = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), error.is_panic().then(|| error.to_string())),
        };
        Some((self.names.remove(&id).unwrap_or("task"), failure))
    }

    /// Waits for all tasks to end, at most `deadline`, and returns the names of those that had to
    /// be aborted or panicked.
    pub async fn join(mut self, deadline: Duration) -> Vec<&'static str> {
        let mut unclean = Vec::new();
        let drained = tokio::time::timeout(deadline, async {
            while let Some((name, failure)) = self.next_ended().await {
                if failure.is_some() {
                    unclean.push(name);
                }
            }
        })
        .await;
        if drained.is_err() {
            unclean.extend(self.names.values());
            self.tasks.shutdown().await;
        }
        unclean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn join_names_the_tasks_that_did_not_stop_in_time() {
        let shutdown = Shutdown::default();
        let mut tasks = TaskGroup::default();
        let watched = shutdown.clone();
        tasks.spawn("polite", async move { watched.requested().await });
        tasks.spawn("stuck", std::future::pending());
        shutdown.request();
        assert_eq!(tasks.join(Duration::from_secs(5)).await, ["stuck"]);
    }

    #[tokio::test]
    async fn a_panic_is_reported_with_the_name_of_its_task() {
        let mut tasks = TaskGroup::default();
        tasks.spawn("broken", async { panic!("boom") });
        let (name, failure) = tasks.next_ended().await.expect("one task was started");
        assert_eq!(name, "broken");
        assert!(failure.is_some());
    }
}
