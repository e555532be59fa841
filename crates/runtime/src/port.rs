//! The port: pods' sandboxes, their containers, images, and streams into them.

mod config;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use portolan_base::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

pub use config::{
    ContainerConfig, DnsConfig, Mount, MountPropagation, NamespaceMode, PortMapping, Protocol, Resources,
    SandboxConfig, Seccomp, SecurityConfig,
};

/// Names a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SandboxId(pub String);

/// Names a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub String);

/// Which pod a sandbox is for, and which start of it (a sandbox that died is replaced by the next attempt).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodIdentity {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod.
    pub uid: String,
    /// Counts sandboxes of the same pod, from 0.
    pub attempt: u32,
}

/// State of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStatus {
    /// Its name.
    pub id: SandboxId,
    /// Whose.
    pub pod: PodIdentity,
    /// Whether it is running.
    pub ready: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Addresses, the primary one first; empty for the machine's network.
    pub addresses: Vec<IpAddr>,
    /// Labels given at creation.
    pub labels: BTreeMap<String, String>,
    /// Annotations given at creation.
    pub annotations: BTreeMap<String, String>,
    /// Path of the network namespace, if the sandbox has one of its own.
    pub network_namespace: Option<PathBuf>,
}

/// State of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its name.
    pub id: ContainerId,
    /// The sandbox it lives in.
    pub sandbox: SandboxId,
    /// Name within the pod.
    pub name: String,
    /// Which start of it.
    pub attempt: u32,
    /// Image reference as configured.
    pub image: String,
    /// Image by content (`name@sha256:...` or an id).
    pub image_id: String,
    /// Where it is in its life.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Labels given at creation.
    pub labels: BTreeMap<String, String>,
    /// Annotations given at creation.
    pub annotations: BTreeMap<String, String>,
    /// Log file on the machine.
    pub log_path: PathBuf,
}

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, not started. Left by `start_container`.
    Created,
    /// Running. Left when its first process ends.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// Ended. Left by removal only.
    Exited {
        /// When it was started.
        started_at: Timestamp,
        /// When it ended.
        finished_at: Timestamp,
        /// Exit code, 128 + n for signal n.
        exit_code: i32,
        /// One word, for example `Completed`, `Error`, `OOMKilled`.
        reason: String,
        /// For people.
        message: String,
    },
    /// The runtime does not know.
    Unknown,
}

/// Result of a command that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code.
    pub exit_code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// What to connect to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamOptions {
    /// Connect standard input.
    pub stdin: bool,
    /// Connect standard output.
    pub stdout: bool,
    /// Connect standard error (never together with `tty`).
    pub stderr: bool,
    /// Run on, or attach to, a terminal.
    pub tty: bool,
}

/// Reading half of a stream.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;
/// Writing half of a stream. Shutting it down closes the process's input.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// A process with its streams connected.
pub struct ExecSession {
    /// To its standard input.
    pub stdin: Option<Writer>,
    /// From its standard output (both outputs with a terminal).
    pub stdout: Option<Reader>,
    /// From its standard error.
    pub stderr: Option<Reader>,
    /// Sends the terminal's new size.
    pub resize: mpsc::Sender<TerminalSize>,
    /// Completes with the exit code (0 for an attach that was detached).
    pub exit: oneshot::Receiver<Result<i32, Error>>,
}

/// What a container uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerStats {
    /// Whose.
    pub container: String,
    /// Sandbox it lives in.
    pub sandbox: String,
    /// CPU time since its start.
    pub cpu: Duration,
    /// Memory that cannot be reclaimed, in bytes.
    pub working_set_bytes: u64,
    /// Writable layer, in bytes.
    pub writable_layer_bytes: u64,
}

/// An image on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Content address of its configuration.
    pub id: String,
    /// Names with tag.
    pub tags: Vec<String>,
    /// Names by digest.
    pub digests: Vec<String>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// User id of the image's configuration, if numeric.
    pub user_id: Option<i64>,
    /// User name of the image's configuration, if not numeric.
    pub user_name: String,
    /// Put here by `portolan image build` or `load`, not pulled: no registry is asked for it.
    pub local: bool,
    /// The runtime itself needs it, for example for every sandbox.
    pub pinned: bool,
}

/// Name and password for a registry.
#[derive(Clone)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RegistryAuth").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why the runtime refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No sandbox, container or image of that name.
    #[error("{what} {name} does not exist")]
    NotFound {
        /// Which kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The image cannot be had.
    #[error("pull image {image}: {reason}")]
    Pull {
        /// The reference.
        image: String,
        /// What the registry or the runtime said.
        reason: String,
    },
    /// The reference is not one.
    #[error("image reference {image:?} is not valid: {reason}")]
    InvalidImageName {
        /// The reference.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A command did not end in time.
    #[error("command did not end within {0:?}")]
    Timeout(Duration),
    /// The runtime cannot be reached.
    #[error("container runtime is not reachable: {0}")]
    Unavailable(String),
    /// Anything else, in the runtime's words.
    #[error("{operation}: {reason}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// The runtime's words.
        reason: String,
    },
}

/// Result of a runtime call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Runs sandboxes and containers.
///
/// All calls are idempotent where the Container Runtime Interface is: stopping what is stopped and
/// removing what is gone succeed.
#[async_trait]
pub trait Runtime: Images + Streams + fmt::Debug + Send + Sync + 'static {
    /// Name and version, for the node's status, for example `containerd://1.6.20`.
    async fn version(&self) -> Result<String>;

    /// Makes a sandbox and starts it.
    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxId>;
    /// Ends everything in a sandbox and gives back its network.
    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()>;
    /// Removes a sandbox with all containers in it.
    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()>;
    /// All sandboxes, running or not.
    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>>;

    /// Makes a container in a sandbox.
    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
        pod: &SandboxConfig,
    ) -> Result<ContainerId>;
    /// Starts a container that was made.
    async fn start_container(&self, id: &ContainerId) -> Result<()>;
    /// Sends the stop signal, and after `grace` the kill signal; returns when the container ended.
    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()>;
    /// Removes a container; kills it first if it runs.
    async fn remove_container(&self, id: &ContainerId) -> Result<()>;
    /// All containers, in whatever state.
    async fn containers(&self) -> Result<Vec<ContainerStatus>>;
    /// Changes the limits of a running container.
    async fn update_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()>;
    /// What running containers use.
    async fn stats(&self) -> Result<Vec<ContainerStats>>;
    /// Makes the runtime open the log file again, after it was rotated away.
    async fn reopen_log(&self, id: &ContainerId) -> Result<()>;

    /// Wakes whenever something may have changed. Carries no data: list again. A runtime without
    /// events of its own lists by itself and wakes on a difference.
    fn changes(&self) -> tokio::sync::watch::Receiver<u64>;
}

/// Keeps images.
#[async_trait]
pub trait Images {
    /// What is known of an image, or `None` if it is not here.
    async fn image(&self, reference: &str) -> Result<Option<Image>>;
    /// Fetches an image and returns its id.
    async fn pull(&self, reference: &str, auth: Option<&RegistryAuth>) -> Result<String>;
    /// All images.
    async fn images(&self) -> Result<Vec<Image>>;
    /// Removes an image.
    async fn remove_image(&self, reference: &str) -> Result<()>;
    /// Takes in an image archive (docker-archive or OCI layout tar); returns the names in it.
    async fn load(&self, archive: &std::path::Path) -> Result<Vec<String>>;
}

/// Streams into running containers.
#[async_trait]
pub trait Streams {
    /// Runs a command to its end.
    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput>;
    /// Starts a command with its streams connected.
    async fn exec(&self, id: &ContainerId, command: &[String], options: StreamOptions) -> Result<ExecSession>;
    /// Connects to a container's first process.
    async fn attach(&self, id: &ContainerId, options: StreamOptions) -> Result<ExecSession>;
    /// Connects to a port inside a sandbox.
    async fn connect(&self, id: &SandboxId, port: u16) -> Result<(Reader, Writer)>;
}
