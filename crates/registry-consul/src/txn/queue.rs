//! Transactions that write objects, done one at a time by a task of the dialect.
//!
//! One at a time, as others would see one half done, and undone. By a task of its own, as one that its client does
//! not wait for any more must be done, or undone, all the same.

use std::sync::Arc;

use parking_lot::Mutex;
use portolan_registrar::limits::Client;
use tokio::sync::{mpsc, oneshot};

use super::{Done, Errors, Steps, write_objects};
use crate::Error;
use crate::acl::Authorizer;
use crate::state::State;

/// Transactions that wait for one before them; further clients wait until they are taken.
const MOST_WAITING: usize = 64;

type Answer = Result<Result<Done, Errors>, Error>;

struct Job {
    client: Client,
    steps: Arc<Steps>,
    authorizer: Arc<Authorizer>,
    answer: oneshot::Sender<Answer>,
}

/// Transactions to do.
pub(crate) struct Queue {
    jobs: mpsc::Sender<Job>,
    /// Taken by the one that does them.
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
}

impl Default for Queue {
    fn default() -> Self {
        let (jobs, waiting) = mpsc::channel(MOST_WAITING);
        Self { jobs, waiting: Mutex::new(Some(waiting)) }
    }
}

impl Queue {
    /// Has a transaction done, after those before it.
    pub(super) async fn write(&self, client: Client, steps: Arc<Steps>, authorizer: Arc<Authorizer>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let stopping = || Error::Internal("the server is stopping; nothing was done".into());
        self.jobs.send(Job { client, steps, authorizer, answer }).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    /// Does transactions until shutdown is requested; one that was begun is ended.
    pub(crate) async fn run(state: &State) {
        let Some(mut waiting) = state.transactions.waiting.lock().take() else { return };
        while let Some(Some(job)) = state.shutdown.run(waiting.recv()).await {
            let done = write_objects(state, &job.client, &job.steps, &job.authorizer).await;
            // Whoever asked may have gone.
            let _ = job.answer.send(done);
        }
    }
}
