//! Starting, adopting and watching containerd.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use portolan_base::supervise::{Health, Program, Supervision};
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
/// How long containerd may take to end by itself.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// A socket address has 108 bytes, and the name of the second socket is the longest.
const SOCKET_PATH_LIMIT: usize = 107;
/// A larger log is put aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;
/// How much of the log an error shows.
const TAIL_LINES: usize = 5;

/// Keeps one private containerd running.
#[derive(Debug)]
pub struct Supervisor {
    options: Options,
    layout: Layout,
    host: Host,
    supervision: Supervision,
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
        let supervisor = Self { options, layout, host, supervision: Supervision::default() };
        supervisor.supervision.start(&supervisor).await?;
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
        self.supervision.health()
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
        self.supervision.run(self, shutdown).await;
    }

    /// Ends containerd. Pods go on running; the next start adopts them.
    pub async fn stop(&self) -> Result<(), Error> {
        self.supervision.stopping();
        stop(&self.layout).await
    }

    fn spawn(&self) -> Result<i32, Error> {
        let layout = &self.layout;
        let log = portolan_base::process::log_file(&layout.log, LOG_LIMIT);
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

impl Program for Supervisor {
    type Error = Error;

    fn name(&self) -> &'static str {
        "containerd"
    }

    async fn ensure_running(&self) -> Result<i32, Error> {
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
        Ok(pid)
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
