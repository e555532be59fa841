//! Waking on changes: containerd's event stream, and a slow relist as a safety net.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_cri::v1;
use portolan_base::Backoff;
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

use super::Inner;

/// With events this only covers what they missed; costs two list calls.
const RELIST_WITH_EVENTS: Duration = Duration::from_secs(30);
/// Without events this is how late an exit is noticed.
const RELIST_WITHOUT_EVENTS: Duration = Duration::from_secs(1);
/// containerd tells of an exit before its CRI part has taken note of it; that takes some milliseconds.
const SETTLE_FIRST: Duration = Duration::from_millis(2);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
const SUBSCRIBE: &str = "/containerd.services.events.v1.Events/Subscribe";
const TASK_EXIT: &str = "/tasks/exit";

/// `containerd.services.events.v1.SubscribeRequest`.
#[derive(Clone, PartialEq, Message)]
struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

/// `containerd.services.events.v1.Envelope`, without the time.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    topic: String,
    #[prost(message, optional, tag = "4")]
    event: Option<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `containerd.events.TaskExit`, the part that is needed.
#[derive(Clone, PartialEq, Message)]
struct TaskExit {
    #[prost(string, tag = "1")]
    container: String,
    /// The process: the container's own id for its first process, else a command run in it.
    #[prost(string, tag = "2")]
    process: String,
}

/// What one look at the runtime saw.
#[derive(Debug, Default, PartialEq)]
struct Seen(BTreeSet<(String, i32)>);

/// Follows events until the runtime handle is gone.
pub(super) async fn follow(inner: Weak<Inner>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
    let mut seen = Seen::default();
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let subscribed = subscribe(&strong).await;
        // Whatever happened while nobody listened.
        strong.changed();
        drop(strong);
        match subscribed {
            Ok(events) => {
                backoff.reset();
                listen(&inner, events, &mut seen).await;
            }
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                tracing::info!("the container runtime has no event stream; listing it every second instead");
                return relist(&inner, &mut seen).await;
            }
            Err(status) => tracing::debug!(reason = %status, "cannot subscribe to the container runtime's events"),
        }
        tokio::time::sleep(backoff.advance()).await;
    }
}

async fn subscribe(inner: &Inner) -> Result<tonic::Streaming<Envelope>, tonic::Status> {
    let topics = [TASK_EXIT, "/tasks/oom", "/tasks/start", "/containers/delete"];
    let filters = topics.iter().map(|topic| format!("namespace==k8s.io,topic==\"{topic}\"")).collect();
    let mut client = Grpc::new(inner.channel.clone());
    client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<SubscribeRequest, Envelope>::default();
    let request = tonic::Request::new(SubscribeRequest { filters });
    let call = client.server_streaming(request, PathAndQuery::from_static(SUBSCRIBE), codec);
    Ok(call.await?.into_inner())
}

async fn listen(inner: &Weak<Inner>, mut events: tonic::Streaming<Envelope>, seen: &mut Seen) {
    let mut settling = JoinSet::new();
    let mut ticks = ticks(RELIST_WITH_EVENTS);
    loop {
        tokio::select! {
            event = events.message() => match event {
                Ok(Some(event)) => {
                    let Some(strong) = inner.upgrade() else { return };
                    on_event(strong, event, &mut settling);
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(reason = %status, "the container runtime's event stream ended");
                    return;
                }
            },
            Some(_) = settling.join_next() => {}
            _ = ticks.tick() => {
                let Some(strong) = inner.upgrade() else { return };
                look(&strong, seen).await;
            }
        }
    }
}

fn on_event(inner: Arc<Inner>, event: Envelope, settling: &mut JoinSet<()>) {
    if event.topic != TASK_EXIT {
        inner.changed();
        return;
    }
    let exit = event.event.and_then(|any| TaskExit::decode(any.value.as_slice()).ok()).unwrap_or_default();
    // A command run in a container ended: whoever ran it knows.
    if exit.container == exit.process {
        settling.spawn(async move { wake_when_settled(&inner, &exit.container).await });
    }
}

/// Wakes once the runtime's own list shows the exit, so that the wake-up is not for nothing.
async fn wake_when_settled(inner: &Inner, id: &str) {
    let mut backoff = Backoff::new(SETTLE_FIRST, Duration::from_millis(250));
    let settled = async {
        while !has_ended(inner, id).await {
            tokio::time::sleep(backoff.advance()).await;
        }
    };
    // On time-out the list is looked at anyway; the relist catches what comes later.
    let _ = tokio::time::timeout(SETTLE_TIMEOUT, settled).await;
    inner.changed();
}

/// Whether the container or sandbox of this id is listed as ended, or not at all.
///
/// Asks by list and filter: to ask for the status of an unknown id fills the runtime's log with errors.
async fn has_ended(inner: &Inner, id: &str) -> bool {
    let filter = Some(v1::ContainerFilter { id: id.to_owned(), ..Default::default() });
    let mut client = inner.runtime();
    let listed = client.list_containers(v1::ListContainersRequest { filter }).await;
    match listed.map(|answer| answer.into_inner().containers) {
        Ok(containers) if containers.is_empty() => {}
        Ok(containers) => return containers.iter().all(|c| c.state == v1::ContainerState::ContainerExited as i32),
        Err(_) => return false,
    }
    let filter = Some(v1::PodSandboxFilter { id: id.to_owned(), ..Default::default() });
    let listed = client.list_pod_sandbox(v1::ListPodSandboxRequest { filter }).await;
    let ready = v1::PodSandboxState::SandboxReady as i32;
    listed.is_ok_and(|answer| answer.into_inner().items.iter().all(|sandbox| sandbox.state != ready))
}

async fn relist(inner: &Weak<Inner>, seen: &mut Seen) {
    let mut ticks = ticks(RELIST_WITHOUT_EVENTS);
    loop {
        ticks.tick().await;
        let Some(strong) = inner.upgrade() else { return };
        look(&strong, seen).await;
    }
}

/// Lists, and wakes if something differs from the last look.
async fn look(inner: &Inner, seen: &mut Seen) {
    let (Ok(sandboxes), Ok(containers)) = tokio::join!(inner.list_sandboxes(), inner.list_containers()) else {
        // Not reachable: the next look or the next subscription wakes.
        return;
    };
    let sandboxes = sandboxes.into_iter().map(|sandbox| (sandbox.id, sandbox.state));
    let containers = containers.into_iter().map(|container| (container.id, container.state));
    let now = Seen(sandboxes.chain(containers).collect());
    if *seen != now {
        *seen = now;
        inner.changed();
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
