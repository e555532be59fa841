//! The owner of the process: adopts, starts, replaces and watches it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_base::process::{self, Ending};
use portolan_base::readiness::State;
use portolan_base::supervise::{Health, Program, Supervision};
use portolan_base::{Readiness, Shutdown, error};
use portolan_dns::Sockets;
use tokio::process::Command;
use tokio::sync::{mpsc, watch};

use crate::control::{Connection, Knowledge, Status};
use crate::error::file_error;
use crate::layout::Layout;
use crate::{Error, sockets};

/// A process that does not tell its state in this time hangs and is replaced.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest start on a busy machine; a longer one means that it hangs.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A larger log is put aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;
/// How much of the log an error shows.
const TAIL_LINES: usize = 5;

/// What is to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program, which is this one.
    pub program: PathBuf,
    /// Its arguments; a process with others is replaced.
    pub arguments: Vec<OsString>,
    /// Its files.
    pub layout: Layout,
    /// Where names are asked for.
    pub names: Vec<SocketAddr>,
}

/// Keeps one data plane running, and the sockets of names open while it does not.
#[derive(Debug)]
pub struct Supervisor {
    options: Options,
    supervision: Supervision,
    /// What arrives while no process serves waits in these.
    held: Mutex<Vec<Sockets>>,
    status: watch::Sender<Status>,
    connections: mpsc::UnboundedSender<Connection>,
    connected: tokio::sync::Mutex<mpsc::UnboundedReceiver<Connection>>,
}

impl Supervisor {
    /// Adopts the process that runs, or starts one, and waits until it tells its state.
    ///
    /// # Errors
    /// An address of names is taken, or the process does not come up.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let (connections, connected) = mpsc::unbounded_channel();
        let supervisor = Self {
            options,
            supervision: Supervision::default(),
            held: Mutex::default(),
            status: watch::Sender::default(),
            connections,
            connected: tokio::sync::Mutex::new(connected),
        };
        supervisor.supervision.start(&supervisor).await?;
        Ok(supervisor)
    }

    /// Where names are asked for, in the order of the options; a port that was 0 there is the one that was free.
    ///
    /// # Errors
    /// A socket is broken.
    pub fn names(&self) -> Result<Vec<SocketAddr>, Error> {
        self.held.lock().iter().map(Sockets::address).collect::<Result<_, _>>().map_err(Error::Sockets)
    }

    /// Watches the process and starts it again when it ends, until `shutdown`; writes how it does on
    /// `readiness`, as the parts `dns` and `network`. The process outlives this.
    pub async fn run(&self, readiness: Readiness, shutdown: Shutdown) {
        let mut connected = self.connected.lock().await;
        let followed = self.follow(&mut connected);
        let reported = self.report(&readiness);
        tokio::select! {
            () = self.supervision.run(self, shutdown) => {}
            () = followed => {}
            () = reported => {}
        }
    }

    /// Takes each status of the newest process.
    async fn follow(&self, connected: &mut mpsc::UnboundedReceiver<Connection>) {
        let mut connection: Option<Connection> = None;
        loop {
            let next = async {
                match &mut connection {
                    Some(connection) => connection.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                newest = connected.recv() => match newest {
                    Some(newest) => connection = Some(newest),
                    None => return,
                },
                status = next => match status {
                    Ok(status) => drop(self.status.send_replace(status)),
                    // Its end is noticed by the supervision, too.
                    Err(error) => {
                        tracing::debug!(%error, "the data plane tells no more");
                        connection = None;
                    }
                },
            }
        }
    }

    async fn report(&self, readiness: &Readiness) {
        let (mut health, mut status) = (self.supervision.health(), self.status.subscribe());
        loop {
            let states = states(&health.borrow_and_update(), &status.borrow_and_update());
            for (part, state) in ["dns", "network"].into_iter().zip(states) {
                readiness.set(part, state);
            }
            let changed = tokio::select! {
                changed = health.changed() => changed,
                changed = status.changed() => changed,
            };
            // Both senders live in `self`.
            if changed.is_err() {
                return;
            }
        }
    }

    /// The process that runs, if it tells its state.
    async fn running(&self) -> Option<(Connection, Status)> {
        let open = async {
            let mut connection = Connection::open(&self.options.layout.control).await?;
            let status = connection.next().await?;
            std::io::Result::Ok((connection, status))
        };
        tokio::time::timeout(ANSWER_TIMEOUT, open).await.ok()?.ok()
    }

    fn is_wanted(&self, status: &Status, names: &[Sockets]) -> bool {
        let wanted = self.options.arguments.iter().map(|argument| argument.to_string_lossy());
        let names_too = names.len() == self.options.names.len()
            && names.iter().zip(&self.options.names).all(|(pair, wanted)| is_at(pair, wanted));
        names_too && process::runs_our_program(status.pid) && wanted.eq(status.arguments.iter().map(String::as_str))
    }

    /// A socket pair for every address: those that are open already, and new ones.
    fn open_names(&self, mut open: Vec<Sockets>) -> Result<Vec<Sockets>, Error> {
        let mut take = |wanted: &SocketAddr| {
            let at = open.iter().position(|pair| is_at(pair, wanted))?;
            Some(open.swap_remove(at))
        };
        let found: Vec<Option<Sockets>> = self.options.names.iter().map(&mut take).collect();
        let pairs = found.into_iter().zip(&self.options.names);
        Ok(pairs.map(|(pair, address)| pair.map_or_else(|| Sockets::bind(*address), Ok)).collect::<Result<_, _>>()?)
    }

    async fn spawn(&self, names: &[Sockets]) -> Result<(Connection, Status), Error> {
        let Options { program, arguments, layout, .. } = &self.options;
        let run_dir = layout.control.parent().unwrap_or(&layout.folder);
        for folder in [layout.folder.as_path(), run_dir] {
            std::fs::create_dir_all(folder).map_err(file_error("create folder", folder))?;
        }
        let control = listen(layout)?;
        let log = process::log_file(&layout.log, LOG_LIMIT).map_err(file_error("open log", &layout.log))?;
        let errors = log.try_clone().map_err(file_error("open log", &layout.log))?;
        let (ours, theirs) = UnixStream::pair().map_err(Error::Sockets)?;
        // A process group of its own: Ctrl-C in a terminal is meant for us alone.
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(log)
            .stderr(errors)
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Spawn { program: program.clone(), source })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let mut descriptors: Vec<RawFd> = vec![control.as_raw_fd()];
        descriptors.extend(sockets::descriptors(names));
        sockets::send(&ours, b"!", &descriptors).map_err(Error::Sockets)?;
        // From here on the process alone answers there, so that its end is noticed.
        drop(control);
        self.wait_until_telling(pid).await
    }

    async fn wait_until_telling(&self, pid: i32) -> Result<(Connection, Status), Error> {
        let ending = Ending::watch(pid).map_err(file_error("watch process of", &self.options.layout.log))?;
        let Some(ending) = ending else { return Err(self.not_serving("ended at once")) };
        let told = async {
            let mut connection = Connection::open(&self.options.layout.control).await?;
            let status = connection.next().await?;
            std::io::Result::Ok((connection, status))
        };
        tokio::select! {
            told = told => told.map_err(file_error("read", &self.options.layout.control)),
            () = ending.ended() => Err(self.not_serving("ended")),
            () = tokio::time::sleep(START_TIMEOUT) => Err(self.not_serving("does not answer")),
        }
    }

    fn not_serving(&self, problem: &'static str) -> Error {
        let log = &self.options.layout.log;
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ");
        Error::NotServing { problem, log: log.clone(), tail }
    }
}

impl Program for Supervisor {
    type Error = Error;

    fn name(&self) -> &'static str {
        "the data plane"
    }

    async fn ensure_running(&self) -> Result<i32, Error> {
        let found = self.running().await;
        if let Some((mut connection, status)) = found {
            let names = connection.take_sockets().map_err(Error::Sockets)?;
            if self.is_wanted(&status, &names) {
                *self.held.lock() = names;
                if let Err(error) = connection.hurry().await {
                    tracing::warn!(error = %error::chain(&error), "the data plane was not told that the API is there");
                }
                tracing::info!(pid = status.pid, "the data plane was adopted");
                return Ok(self.take(connection, status));
            }
            tracing::info!(
                pid = status.pid,
                "the data plane is of another build or was asked for something else; replacing it"
            );
            *self.held.lock() = names;
        } else if let Some(pid) = process::Claim::holder(&self.options.layout.claim) {
            tracing::warn!(pid, "the data plane that runs does not answer; ending it");
            let ended = process::end(pid, ANSWER_TIMEOUT).await;
            ended.map_err(file_error("end the process of", &self.options.layout.claim))?;
        }
        let open = std::mem::take(&mut *self.held.lock());
        let names = self.open_names(open)?;
        let spawned = self.spawn(&names).await;
        // Kept also after a failure: the next attempt serves what waits in them.
        *self.held.lock() = names;
        let (connection, status) = spawned?;
        tracing::info!(pid = status.pid, "the data plane runs");
        Ok(self.take(connection, status))
    }
}

impl Supervisor {
    fn take(&self, connection: Connection, status: Status) -> i32 {
        let pid = status.pid;
        self.status.send_replace(status);
        // The receiver lives in `self`.
        let _ = self.connections.send(connection);
        pid
    }
}

/// Whether sockets are those of an address; of port 0, any port will do.
fn is_at(pair: &Sockets, wanted: &SocketAddr) -> bool {
    pair.address().is_ok_and(|address| address == *wanted || (wanted.port() == 0 && address.ip() == wanted.ip()))
}

/// Makes the control socket, in place of the one of a process that is to be succeeded.
fn listen(layout: &Layout) -> Result<UnixListener, Error> {
    let temporary = layout.control.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(file_error("remove", &temporary)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&temporary).map_err(file_error("listen on", &temporary))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&temporary, private)
        .and_then(|()| std::fs::rename(&temporary, &layout.control))
        .map_err(file_error("listen on", &layout.control))?;
    Ok(listener)
}

/// The states of `dns` and `network`, as the owner sees them: the API is here, so that a data plane that
/// does not know what it says is not ready.
fn states(health: &Health, status: &Status) -> [State; 2] {
    let all = |state: State| [state.clone(), state];
    match health {
        Health::Failed { reason } => return all(State::Failed(reason.clone())),
        Health::Stopped => return all(State::Failed("the data plane was stopped".into())),
        Health::Running { pid, .. } if *pid != status.pid => {
            return all(State::Starting("the data plane starts".into()));
        }
        Health::Running { .. } => {}
    }
    ["dns", "network"].map(|part| {
        let told = status.parts.get(part).cloned().map_or_else(|| State::Starting("starting".into()), State::from);
        match (told, status.knowledge) {
            (State::Ready, Knowledge::LastKnown) => {
                State::Starting("as last known; waiting for the API server to tell what changed".into())
            }
            (told, _) => told,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Part;

    #[test]
    fn the_owner_sees_a_data_plane_as_it_is() {
        let running = Health::Running { pid: 7, restarts: 0 };
        let failed = Health::Failed { reason: "gone".into() };
        let part = |text: &str| Part::Starting(text.into());
        let cases = [
            (&running, 7, Knowledge::Current, Part::Ready, Part::Ready, "ready ready"),
            (&running, 7, Knowledge::Current, Part::Ready, Part::Failed("refused".into()), "ready failed: refused"),
            (&running, 7, Knowledge::None, part("waits"), part("waits"), "starting: waits starting: waits"),
            (
                &running,
                6,
                Knowledge::Current,
                Part::Ready,
                Part::Ready,
                "starting: the data plane starts starting: the data plane starts",
            ),
            (&failed, 7, Knowledge::Current, Part::Ready, Part::Ready, "failed: gone failed: gone"),
        ];
        let shown = |state: &State| match state {
            State::Ready => "ready".to_owned(),
            State::Starting(what) => format!("starting: {what}"),
            State::Failed(why) => format!("failed: {why}"),
        };
        for (health, pid, knowledge, dns, network, expected) in cases {
            let parts = [("dns".to_owned(), dns), ("network".to_owned(), network)].into();
            let status = Status { pid, knowledge, parts, ..Status::default() };
            assert_eq!(states(health, &status).map(|state| shown(&state)).join(" "), expected);
        }
        let parts = [("dns".to_owned(), Part::Ready), ("network".to_owned(), Part::Ready)].into();
        let old = Status { pid: 7, knowledge: Knowledge::LastKnown, parts, ..Status::default() };
        assert!(states(&running, &old).iter().all(|state| shown(state).contains("as last known")));
    }
}
