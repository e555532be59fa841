//! The port on the Container Runtime Interface (`runtime.v1`), over a unix socket.
//!
//! Works on any runtime that serves it; what CRI lacks (events, taking in archives) is asked of
//! containerd on the same socket.

mod convert;
mod events;
mod exec;
mod images;
mod network;
mod runtime;
mod streams;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::port::*;

/// A list of thousands of containers is larger than gRPC's default.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;
/// Ordinary calls; a runtime that takes longer hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Version is answered from memory.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How to reach a runtime.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its socket.
    pub socket: PathBuf,
    /// File that remembers which images were loaded and not pulled; without it none counts as local.
    pub local_images: Option<PathBuf>,
    /// containerd's `ctr`, which takes in archives; without it loading is refused.
    pub ctr: Option<PathBuf>,
    /// Where `ctr` unpacks; `None` means its default.
    pub snapshotter: Option<String>,
}

impl Options {
    /// A runtime that is not ours: archives can be loaded only through its own tools.
    pub fn external(socket: PathBuf) -> Self {
        Self { socket, local_images: None, ctr: None, snapshotter: None }
    }
}

/// The port on a CRI socket.
#[derive(Debug)]
pub struct CriRuntime {
    inner: Arc<Inner>,
    /// The event loop and the commands that are being streamed; ended with this value.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    channel: Channel,
    changes: watch::Sender<u64>,
    cache: Mutex<Cache>,
    local: images::LocalImages,
}

/// Answers that do not change until the state in the cheap list call does.
#[derive(Debug, Default)]
struct Cache {
    sandboxes: HashMap<String, convert::KnownSandbox>,
    containers: HashMap<String, ContainerStatus>,
}

impl CriRuntime {
    /// Connects, and begins to follow the runtime's events.
    pub async fn connect(options: Options) -> Result<Self> {
        let channel = channel(&options.socket)?;
        let local = images::LocalImages::open(options.local_images.clone())?;
        let changes = watch::Sender::new(0);
        let inner = Arc::new(Inner { options, channel, changes, cache: Mutex::default(), local });
        inner.version().await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(events::follow(Arc::downgrade(&inner)));
        Ok(Self { inner, tasks: Mutex::new(tasks) })
    }

    /// The control group that was given for a sandbox's containers, if the runtime tells.
    pub async fn cgroup_parent(&self, id: &SandboxId) -> Option<PathBuf> {
        let known = self.inner.sandbox(&id.0, None).await.ok()??;
        known.cgroup_parent
    }

    /// Whether pods can get a network, and if not why, in the runtime's words.
    pub async fn network_ready(&self) -> Result<std::result::Result<(), String>> {
        let request = v1::StatusRequest { verbose: false };
        let answer = self.inner.runtime().status(request).await.map_err(failed("ask for the status"))?.into_inner();
        let conditions = answer.status.map(|status| status.conditions).unwrap_or_default();
        Ok(match conditions.into_iter().find(|condition| condition.r#type == "NetworkReady") {
            Some(condition) if !condition.status => Err(format!("{}: {}", condition.reason, condition.message)),
            _ => Ok(()),
        })
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Inner {
    fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    /// Name and version of the runtime.
    async fn version(&self) -> Result<(String, String)> {
        let request = v1::VersionRequest { version: "v1".to_owned() };
        let answer = timed("ask for the version", PROBE_TIMEOUT, self.runtime().version(request)).await?;
        Ok((answer.runtime_name, answer.runtime_version))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Whether a runtime answers on a socket.
pub async fn is_serving(socket: &Path) -> Result<()> {
    let mut client = RuntimeServiceClient::new(channel(socket)?);
    let request = v1::VersionRequest { version: "v1".to_owned() };
    timed("ask for the version", PROBE_TIMEOUT, client.version(request)).await.map(|_| ())
}

/// A channel that connects when it is used, and again after the runtime was restarted.
fn channel(socket: &Path) -> Result<Channel> {
    let socket = socket.to_owned();
    // The address is never resolved: the connector goes to the socket.
    let endpoint =
        Endpoint::try_from("http://runtime.invalid").map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(&socket).await?)) }
    })))
}

/// Awaits a call with a deadline of its own.
async fn timed<T>(
    operation: &'static str,
    deadline: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner).map_err(failed(operation)),
        Err(_) => Err(Error::Unavailable(format!("{operation}: no answer within {deadline:?}"))),
    }
}

/// Turns a gRPC status into an error of the port.
fn failed(operation: &'static str) -> impl Fn(tonic::Status) -> Error {
    move |status| match status.code() {
        tonic::Code::Unavailable => Error::Unavailable(with_sources(&status)),
        tonic::Code::NotFound => not_found(status.message()),
        _ => Error::Failed { operation, reason: status.message().to_owned() },
    }
}

/// Finds kind and name in texts like `... find container "0123": not found`.
fn not_found(text: &str) -> Error {
    let kinds = ["sandbox", "container", "image"];
    let what = kinds.into_iter().find(|kind| text.contains(kind)).unwrap_or("object");
    let name = text.split('"').nth(1).unwrap_or(text);
    Error::NotFound { what, name: name.to_owned() }
}

fn with_sources(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Success for what is gone already.
fn gone_is_fine<T: Default>(result: Result<T>) -> Result<T> {
    match result {
        Err(Error::NotFound { .. }) => Ok(T::default()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn missing_things_are_named() {
        let table = [
            ("an error occurred when try to find container \"01\": not found", "container 01 does not exist"),
            ("no such image \"x\" present", "image x does not exist"),
        ];
        for (text, expected) in table {
            assert_eq!(super::not_found(text).to_string(), expected);
        }
    }
}
