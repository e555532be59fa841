//! Starting, adopting and watching containerd.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use portolan_base::{Backoff, Shutdown};
use tokio::process::Command;
use tokio::sync::watch;

use super::host::{Host, Snapshotter};
use super::process::{self, Ending};
use super::{Error, Layout, Options, config, file_error};
use crate::cri::{self, CriRuntime};
use crate::pause;

/// Longest start seen on a busy machine is a few seconds; a longer one means that it hangs.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A containerd that ran this long did not fail because of how it was started.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How long containerd may take to end by itself.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// A socket address has 108 bytes, and the name of the second socket is the longest.
const SOCKET_PATH_LIMIT: usize = 107;
/// A larger log is put aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;
/// How much of the log an error shows.
const TAIL_LINES: usize = 5;

/// Whether containerd runs.
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
    /// It was stopped on purpose.
    Stopped,
}

/// Keeps one private containerd running.
#[derive(Debug)]
pub struct Supervisor {
    options: Options,
    layout: Layout,
    host: Host,
    health: watch::Sender<Health>,
}

impl Supervisor {
    /// Starts containerd, or adopts the one that an earlier process started, and waits until it answers.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let layout = Layout::new(&options);
        if layout.ttrpc_socket.as_os_str().as_bytes().len() > SOCKET_PATH_LIMIT {
            return Err(Error::SocketPath { path: layout.ttrpc_socket });
        }
        let folders =
            [&layout.root, &layout.state, &layout.registries, &options.cni_config_dir, &options.cni_binary_dir];
        for folder in folders {
            fs::create_dir_all(folder).map_err(file_error("create folder", folder))?;
        }
        for registry in &options.plain_http_registries {
            let folder = layout.registries.join(registry);
            fs::create_dir_all(&folder).map_err(file_error("create folder", &folder))?;
            let path = folder.join("hosts.toml");
            fs::write(&path, config::plain_http_host(registry)).map_err(file_error("write", &path))?;
        }
        let host = Host::probe(&options.data_dir)?;
        if let Snapshotter::Native { reason } = &host.snapshotter {
            tracing::warn!(%reason, "overlayfs is not possible here: every container gets a full copy of its image");
        }
        let supervisor = Self { options, layout, host, health: watch::Sender::new(Health::Stopped) };
        supervisor.ensure_running(0).await?;
        Ok(supervisor)
    }

    /// Path of containerd's socket.
    pub fn socket(&self) -> &Path {
        &self.layout.socket
    }

    /// How layers are stacked, and why not with overlayfs if so.
    pub fn snapshotter(&self) -> &Snapshotter {
        &self.host.snapshotter
    }

    /// Whether containerd runs; wakes on every change.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// The runtime on this containerd, with the pause image in place.
    pub async fn runtime(&self) -> Result<CriRuntime, Error> {
        let runtime = CriRuntime::connect(super::runtime_options(&self.options, &self.host)).await?;
        if self.options.sandbox_image == pause::PAUSE_IMAGE {
            pause::ensure(&runtime, &self.options.data_dir).await?;
        }
        Ok(runtime)
    }

    /// Watches containerd and starts it again when it ends, until `shutdown`. containerd outlives this.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut restarts = 0;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        loop {
            let since = Instant::now();
            let watched = shutdown.run(self.watch_until_ended()).await;
            if watched.is_none() || *self.health.borrow() == Health::Stopped {
                return;
            }
            let reason = "containerd ended unexpectedly".to_owned();
            tracing::error!(log = %self.layout.log.display(), restarts, "containerd ended unexpectedly; starting it again");
            self.health.send_replace(Health::Failed { reason });
            if since.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            loop {
                if shutdown.run(tokio::time::sleep(backoff.advance())).await.is_none() {
                    return;
                }
                restarts += 1;
                match shutdown.run(self.ensure_running(restarts)).await {
                    None => return,
                    Some(Ok(())) => break,
                    Some(Err(error)) => {
                        let reason = portolan_base::error::chain(&error).to_string();
                        tracing::error!(%reason, "cannot start containerd");
                        self.health.send_replace(Health::Failed { reason });
                    }
                }
            }
        }
    }

    /// Ends containerd. Pods go on running; the next start adopts them.
    pub async fn stop(&self) -> Result<(), Error> {
        self.health.send_replace(Health::Stopped);
        stop(&self.layout).await
    }

    async fn watch_until_ended(&self) {
        let Health::Running { pid, .. } = *self.health.borrow() else { return };
        match Ending::watch(pid) {
            Ok(Some(ending)) => ending.ended().await,
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "cannot watch containerd"),
        }
    }

    async fn ensure_running(&self, restarts: u64) -> Result<(), Error> {
        let text = config::render(&self.options, &self.layout, &self.host);
        let unchanged = fs::read_to_string(&self.layout.config).is_ok_and(|known| known == text);
        let adopted = process::running(&self.layout.pid, &self.layout.config);
        let pid = match adopted {
            Some(pid) if unchanged => pid,
            _ => {
                stop(&self.layout).await?;
                fs::write(&self.layout.config, text).map_err(file_error("write", &self.layout.config))?;
                self.spawn()?
            }
        };
        self.wait_until_serving(pid).await?;
        tracing::info!(pid, adopted = adopted == Some(pid), "containerd serves");
        self.health.send_replace(Health::Running { pid, restarts });
        Ok(())
    }

    fn spawn(&self) -> Result<i32, Error> {
        let layout = &self.layout;
        if fs::metadata(&layout.log).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
            fs::rename(&layout.log, layout.log.with_extension("log.old"))
                .map_err(file_error("put aside", &layout.log))?;
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(&layout.log);
        let log = log.map_err(file_error("open log", &layout.log))?;
        let errors = log.try_clone().map_err(file_error("open log", &layout.log))?;
        // A process group of its own: Ctrl-C in a terminal is meant for us alone.
        let child = Command::new(&self.host.containerd)
            .arg("--config")
            .arg(&layout.config)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Spawn { program: self.host.containerd.clone(), source })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        fs::write(&layout.pid, pid.to_string()).map_err(file_error("write", &layout.pid))?;
        Ok(pid)
    }

    async fn wait_until_serving(&self, pid: i32) -> Result<(), Error> {
        let ending = Ending::watch(pid).map_err(file_error("watch process of", &self.layout.pid))?;
        let Some(ending) = ending else { return Err(self.not_serving("ended at once")) };
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(100));
        let answers = async {
            while cri::is_serving(&self.layout.socket).await.is_err() {
                tokio::time::sleep(backoff.advance()).await;
            }
        };
        tokio::select! {
            () = answers => Ok(()),
            () = ending.ended() => Err(self.not_serving("ended")),
            () = tokio::time::sleep(START_TIMEOUT) => Err(self.not_serving("does not answer")),
        }
    }

    fn not_serving(&self, problem: &'static str) -> Error {
        let text = fs::read_to_string(&self.layout.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ");
        Error::NotServing { problem, log: self.layout.log.clone(), tail }
    }
}

/// Ends the containerd of this layout, if it runs.
pub(super) async fn stop(layout: &Layout) -> Result<(), Error> {
    if let Some(pid) = process::running(&layout.pid, &layout.config) {
        process::end(pid, STOP_GRACE).await.map_err(file_error("end the process in", &layout.pid))?;
    }
    match fs::remove_file(&layout.pid) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file_error("remove", &layout.pid)(error)),
        _ => Ok(()),
    }
}
