//! How the process does, in one value.

use std::sync::Arc;

use portolan_base::readiness::State;
use portolan_base::{Readiness, Shutdown};
use portolan_catalog::Snapshot;
use portolan_client::Informers;
use tokio::sync::watch;

use crate::control::{Knowledge, Status};

/// Keeps a [`Status`] up to date.
pub(crate) struct Reporter {
    interrupted: watch::Receiver<usize>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    readiness: Readiness,
    status: watch::Sender<Status>,
}

impl Reporter {
    pub(crate) fn new(
        arguments: Vec<String>,
        informers: &Informers,
        snapshots: &watch::Receiver<Arc<Snapshot>>,
        readiness: &Readiness,
    ) -> (Self, watch::Receiver<Status>) {
        let pid = std::process::id().try_into().expect("process ids are positive");
        let (status, watched) = watch::channel(Status { pid, arguments, ..Status::default() });
        let (snapshots, readiness) = (snapshots.clone(), readiness.clone());
        let reporter = Self { interrupted: informers.interrupted(), snapshots, readiness, status };
        reporter.update();
        (reporter, watched)
    }

    /// Reports every change until shutdown.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut parts = self.readiness.changes();
        loop {
            let changed = async {
                tokio::select! {
                    changed = self.interrupted.changed() => changed.is_ok(),
                    changed = self.snapshots.wait_for(|snapshot| snapshot.index() > 0), if self.nothing_known() => changed.is_ok(),
                    changed = parts.changed() => changed.is_ok(),
                }
            };
            if shutdown.run(changed).await != Some(true) {
                return;
            }
            self.update();
        }
    }

    fn nothing_known(&self) -> bool {
        self.snapshots.borrow().index() == 0
    }

    fn update(&self) {
        let knowledge = match (self.nothing_known(), *self.interrupted.borrow()) {
            (true, _) => Knowledge::None,
            (false, 0) => Knowledge::Current,
            (false, _) => Knowledge::LastKnown,
        };
        self.readiness.set(
            "dns",
            match knowledge {
                Knowledge::None => State::Starting("waiting for the API server, no name is known yet".into()),
                Knowledge::LastKnown | Knowledge::Current => State::Ready,
            },
        );
        let before = self.status.borrow().knowledge;
        match (before, knowledge) {
            (Knowledge::Current, Knowledge::LastKnown) | (Knowledge::None, Knowledge::LastKnown) => {
                tracing::warn!("the API server is away; names and rules are as last known");
            }
            (Knowledge::LastKnown | Knowledge::None, Knowledge::Current) => {
                tracing::info!("names and rules are in step with the API server");
            }
            _ => {}
        }
        let parts = self.readiness.parts().into_iter().map(|(name, state)| (name.to_owned(), state.into())).collect();
        self.status.send_if_modified(|status| {
            let changed = status.knowledge != knowledge || status.parts != parts;
            (status.knowledge, status.parts) = (knowledge, parts);
            changed
        });
    }
}
