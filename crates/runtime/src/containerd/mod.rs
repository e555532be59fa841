//! A private containerd: started, supervised, adopted again after a restart, and taken down.
//!
//! It has its own folders, socket and configuration, so that it lives beside any other containerd
//! of the machine. Pods survive the death of this process and of containerd itself; both are found
//! again through files in [`Options::run_dir`].

mod config;
mod host;
mod process;
mod purge;
mod supervisor;

use std::io;
use std::path::PathBuf;

pub use host::Snapshotter;
pub use portolan_base::supervise::Health;
pub(crate) use purge::cgroup_folders;
pub use purge::purge;
pub use supervisor::Supervisor;

use crate::cri::{self, CriRuntime};
use crate::pause::PAUSE_IMAGE;

/// Where a private containerd lives and what it is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Images, layers and containers; survives a reboot.
    pub data_dir: PathBuf,
    /// Socket, pid file, state of what runs; may vanish at a reboot.
    pub run_dir: PathBuf,
    /// Folder with the network's configuration list.
    pub cni_config_dir: PathBuf,
    /// Folder with the network plugin.
    pub cni_binary_dir: PathBuf,
    /// Image of a pod's first process.
    pub sandbox_image: String,
    /// Control group above those of all pods; what is empty in it is removed with the instance.
    pub cgroup_root: PathBuf,
    /// Registries that are spoken to in plain HTTP, as `host:port`.
    pub plain_http_registries: Vec<String>,
}

impl Options {
    /// Options with our own pause image.
    pub fn new(data_dir: PathBuf, run_dir: PathBuf, cni_config_dir: PathBuf, cni_binary_dir: PathBuf) -> Self {
        Self {
            data_dir,
            run_dir,
            cni_config_dir,
            cni_binary_dir,
            sandbox_image: PAUSE_IMAGE.to_owned(),
            cgroup_root: PathBuf::from("/kubepods"),
            plain_http_registries: Vec::new(),
        }
    }

    /// Path of the socket that containerd serves the Container Runtime Interface on.
    pub fn socket(&self) -> PathBuf {
        Layout::new(self).socket
    }
}

/// The runtime of an instance that another process supervises.
///
/// # Errors
/// A program is missing, or the socket cannot be used.
pub async fn connect(options: &Options) -> Result<CriRuntime, Error> {
    let host = host::Host::probe(&options.data_dir)?;
    Ok(CriRuntime::connect(runtime_options(options, &host)).await?)
}

fn runtime_options(options: &Options, host: &host::Host) -> cri::Options {
    cri::Options {
        socket: options.socket(),
        local_images: Some(options.data_dir.join("local-images.json")),
        ctr: Some(host.ctr.clone()),
        snapshotter: Some(host.snapshotter.name().to_owned()),
    }
}

/// The files of one instance.
#[derive(Debug, Clone)]
struct Layout {
    root: PathBuf,
    state: PathBuf,
    socket: PathBuf,
    ttrpc_socket: PathBuf,
    config: PathBuf,
    pid: PathBuf,
    log: PathBuf,
    registries: PathBuf,
    runc_root: PathBuf,
}

impl Layout {
    fn new(options: &Options) -> Self {
        let (data, run) = (&options.data_dir, &options.run_dir);
        Self {
            root: data.join("containerd"),
            state: run.join("containerd"),
            socket: run.join("containerd.sock"),
            ttrpc_socket: run.join("containerd.sock.ttrpc"),
            config: run.join("containerd.toml"),
            pid: run.join("containerd.pid"),
            log: data.join("containerd.log"),
            registries: data.join("registries"),
            runc_root: run.join("runc"),
        }
    }
}

/// Why containerd does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    #[error("{program} is not in PATH: install it, for example with `apt-get install {package}`")]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A path is too long for a socket.
    #[error("the socket path {path} is longer than a socket address allows: choose a shorter run directory")]
    SocketPath {
        /// The path.
        path: PathBuf,
    },
    /// A file could not be written or read.
    #[error("{what} {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The program could not be run.
    #[error("start {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It ended or does not answer.
    #[error("containerd {problem}; the end of {log}: {tail}")]
    NotServing {
        /// What is wrong.
        problem: &'static str,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// It runs but refuses a request.
    #[error(transparent)]
    Runtime(#[from] crate::Error),
}

fn file_error(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}
