//! The process: follows the API, answers names, keeps the rules.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use portolan_base::process::{Claim, Claimed, Signal, signal};
use portolan_base::readiness::State;
use portolan_base::{Readiness, Shutdown, TaskGroup, error};
use portolan_catalog::{Catalog, Input, Snapshot};
use portolan_client::{Client, Informers};
use portolan_dns::Sockets;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::credentials::Reloading;
use crate::error::file_error;
use crate::feed::feed_from;
use crate::layout::{Layout, STOP_GRACE};
use crate::report::Reporter;
use crate::{Error, Names, control, last_known, sockets};

/// The file of what is known is not written more often.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Writing it takes one part in this many of the time at most: a large cluster has a large file.
const SAVE_SHARE: u32 = 20;
/// How long questions wait, or are left to a predecessor, until it is known what there is.
const CATCH_UP: Duration = Duration::from_secs(5);
/// Somebody else's claim gives no notice of its end.
const CLAIM_INTERVAL: Duration = Duration::from_millis(5);

/// What the process is given.
#[derive(Debug)]
pub struct Process {
    /// Its files.
    pub layout: Layout,
    /// The network of this node.
    pub network: portolan_network::Config,
    /// What names are like.
    pub names: Names,
    /// What it was started with; its owner compares.
    pub arguments: Vec<String>,
}

/// What all parts of the process read.
struct Shared {
    informers: Arc<Informers>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    readiness: Readiness,
}

impl Process {
    /// Serves until shutdown, on the sockets that the owner hands over on standard input.
    ///
    /// # Errors
    /// It was not started by its owner, or a part of it failed for good.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let (control, names) = inherit()?;
        let mut tasks = TaskGroup::default();
        let shared = self.follow(&mut tasks, &shutdown);
        self.report(&shared, control, &names, &mut tasks, &shutdown)?;

        // The order of a succession: questions are answered all the time, by one process or both;
        // rules and file have one writer at a time.
        let mut snapshots = shared.snapshots.clone();
        let known = snapshots.wait_for(|snapshot| snapshot.index() > 0);
        // Who knows nothing by then at least answers for names elsewhere.
        let _ = shutdown.run(tokio::time::timeout(CATCH_UP, known)).await;
        let (mut answering, stop_answering) = (TaskGroup::default(), Shutdown::default());
        let (config, listeners) = self.names.served(&self.network, names)?;
        let names = portolan_dns::serve(config, listeners, shared.snapshots.clone(), stop_answering.clone());
        answering.spawn("dns", names);
        let claim = shutdown.run(succeed(&self.layout)).await.transpose()?;
        if claim.is_some() {
            self.write(&shared, &mut tasks, &shutdown);
        }

        let ended = tokio::select! {
            () = shutdown.requested() => None,
            ended = tasks.next_ended() => ended,
            ended = answering.next_ended() => ended,
        };
        shutdown.request();
        let mut unclean = tasks.join(STOP_GRACE / 2).await;
        // A successor waits for the claim, not for the last answers.
        drop(claim);
        stop_answering.request();
        unclean.extend(answering.join(STOP_GRACE / 2).await);
        if !unclean.is_empty() {
            tracing::warn!(parts = ?unclean, "did not stop in time");
        }
        match ended {
            None => Ok(()),
            Some((part, failure)) => {
                Err(Error::Part { part, reason: failure.unwrap_or_else(|| "see the log above".into()) })
            }
        }
    }

    /// Starts what follows the API.
    fn follow(&self, tasks: &mut TaskGroup, shutdown: &Shutdown) -> Shared {
        let informers = Informers::new(Client::new(Arc::new(Reloading::new(self.layout.kubeconfig.clone()))));
        let (running, stopping) = (informers.clone(), shutdown.clone());
        tasks.spawn("informers", async move { running.run(stopping).await });
        let (sender, snapshots) = watch::channel(Catalog::default().snapshot());
        tasks.spawn("catalog", feed_from(informers.clone(), self.remembered(), sender, shutdown.clone()));
        let readiness = Readiness::default();
        readiness.set("network", State::Starting("no service is known yet".into()));
        Shared { informers, snapshots, readiness }
    }

    fn remembered(&self) -> Vec<Input> {
        last_known::load(&self.layout.last_known).unwrap_or_else(|error| {
            // Without it names wait for the API, which is there in most cases.
            tracing::warn!(error = %error::chain(&error), "what was known last cannot be read");
            Vec::new()
        })
    }

    /// Starts what tells the owner how all is.
    fn report(
        &self,
        shared: &Shared,
        control: UnixListener,
        names: &[Sockets],
        tasks: &mut TaskGroup,
        shutdown: &Shutdown,
    ) -> Result<(), Error> {
        let copies = names.iter().map(Sockets::try_clone).collect::<Result<Vec<_>, _>>().map_err(Error::Sockets)?;
        let (reporter, status) =
            Reporter::new(self.arguments.clone(), &shared.informers, &shared.snapshots, &shared.readiness);
        tasks.spawn("status", reporter.run(shutdown.clone()));
        let served = control::serve(control, copies, status, shared.informers.clone(), shutdown.clone());
        tasks.spawn("control socket", async move {
            if let Err(error) = served.await {
                tracing::error!(error = %error::chain(&error), "the control socket failed");
            }
        });
        Ok(())
    }

    /// Starts what only one process at a time may do.
    fn write(&self, shared: &Shared, tasks: &mut TaskGroup, shutdown: &Shutdown) {
        let Shared { informers, snapshots, readiness } = shared;
        let network = self.network.clone();
        let rules = portolan_network::run(network, snapshots.clone(), readiness.clone(), shutdown.clone());
        tasks.spawn("network", rules);
        let saved = save(self.layout.clone(), informers.clone(), snapshots.clone(), shutdown.clone());
        tasks.spawn("last known state", saved);
    }
}

/// Takes the control socket and the sockets of names from standard input, where the owner put them.
fn inherit() -> Result<(UnixListener, Vec<Sockets>), Error> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::Sockets)?;
    let (_, mut descriptors) = sockets::receive(&UnixStream::from(stdin), &mut [0; 1]).map_err(Error::Sockets)?;
    if descriptors.is_empty() {
        return Err(Error::Sockets(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let control = UnixListener::from(descriptors.remove(0));
    Ok((control, sockets::pairs(descriptors).map_err(Error::Sockets)?))
}

/// Claims the rules; a process that has them is asked to end, and made to if it does not.
async fn succeed(layout: &Layout) -> Result<Claim, Error> {
    let begun = Instant::now();
    let mut asked = None;
    loop {
        let predecessor = match Claim::take(&layout.claim).map_err(file_error("claim", &layout.claim))? {
            Claimed::Ours(claim) => return Ok(claim),
            Claimed::Theirs(predecessor) => predecessor,
        };
        let late = begun.elapsed() > STOP_GRACE;
        if let Some(pid) = predecessor.filter(|_| late || asked != predecessor) {
            tracing::info!(pid, "taking over from another process");
            let how = if late { Signal::SIGKILL } else { Signal::SIGTERM };
            signal(pid, how).map_err(file_error("take over", &layout.claim))?;
            asked = predecessor;
        }
        tokio::time::sleep(CLAIM_INTERVAL).await;
    }
}

/// Writes down what is known after each change, but not all the time.
async fn save(
    layout: Layout,
    informers: Arc<Informers>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    shutdown: Shutdown,
) {
    let mut interrupted = informers.interrupted();
    loop {
        // What came from the file need not go there again.
        let current = async {
            snapshots.wait_for(|snapshot| snapshot.index() > 0).await.map(drop)?;
            interrupted.wait_for(|count| *count == 0).await.map(drop)
        };
        if !matches!(shutdown.run(current).await, Some(Ok(()))) {
            return;
        }
        let (path, source, begun) = (layout.last_known.clone(), informers.clone(), Instant::now());
        match tokio::task::spawn_blocking(move || last_known::save(&path, &source)).await {
            Ok(Ok(objects)) => tracing::debug!(objects, "wrote down what is known"),
            Ok(Err(error)) => tracing::warn!(error = %error::chain(&error), "what is known cannot be written down"),
            Err(panic) => tracing::error!(error = %panic, "writing down what is known failed"),
        }
        let pause = SAVE_INTERVAL.max(begun.elapsed() * SAVE_SHARE);
        if shutdown.run(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        if !matches!(shutdown.run(snapshots.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}
