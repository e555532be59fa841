//! `/containerLogs`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use portolan_api::typed::Object;
use portolan_runtime::{ContainerId, ContainerState, ContainerStatus};
use tokio::sync::mpsc;

use super::{Body, Query, Refusal, Shared, find, text};
use crate::lifecycle::PodRuntime;
use crate::logs::{self, Options, Stream};
use crate::pod;

/// Chunks that wait for a slow reader.
const QUEUE: usize = 32;

pub(super) async fn logs(
    shared: &Arc<Shared>,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let options = options(shared, query)?;
    let unknown = |what: String| Refusal::new(StatusCode::NOT_FOUND, what);
    let found = find::pod(shared, namespace, name);
    let (pod, runtime) = found.map_err(|_| unknown(format!("pod \"{name}\" does not exist")))?;
    if pod::container(&pod, container).is_none() {
        return Err(unknown(format!("container \"{container}\" not found in pod \"{name}\"")));
    }
    let refuse = |message: String| Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    let chosen = if query.flag(&["previous"]) {
        match previous_start(&runtime, container, is_waiting(&pod, container)) {
            Some(status) => status,
            None => {
                return refuse(format!("previous terminated container \"{container}\" in pod \"{name}\" not found"));
            }
        }
    } else {
        match newest_start(&runtime, container) {
            Some(status) => status,
            None => {
                let reason = waiting_reason(&pod, container);
                return refuse(format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"));
            }
        }
    };
    let follow = query.flag(&["follow"]);
    Ok(stream(shared, pod.uid(), chosen.id.clone(), chosen.log_path.clone(), options, follow))
}

/// The start before the one that runs. While the next one waits, that is the newest; what the API knows of that may
/// be older than what the runtime knows.
fn previous_start<'r>(runtime: &'r PodRuntime, name: &str, is_waiting: bool) -> Option<&'r ContainerStatus> {
    let has_ended = |status: &&ContainerStatus| matches!(status.state, ContainerState::Exited { .. });
    let waits = runtime.latest(name).filter(|latest| is_waiting && has_ended(latest));
    waits.or_else(|| runtime.previous(name))
}

/// The start that runs or ran last: one that is only being made has said nothing yet.
fn newest_start<'r>(runtime: &'r PodRuntime, name: &str) -> Option<&'r ContainerStatus> {
    let started = runtime.latest(name).filter(|latest| latest.state != ContainerState::Created);
    started.or_else(|| runtime.previous(name))
}

fn stream(
    shared: &Arc<Shared>,
    uid: &str,
    id: ContainerId,
    path: PathBuf,
    options: Options,
    follow: bool,
) -> Response<Body> {
    let (sender, receiver) = mpsc::channel::<Bytes>(QUEUE);
    let (shared_task, uid) = (shared.clone(), uid.to_owned());
    shared.streams.spawn(async move {
        let stop = shared_task.stop.clone();
        let follow = follow.then(|| ended(&shared_task, &uid, &id));
        match stop.run(logs::read(&path, &options, follow, &sender)).await {
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = format!("unable to retrieve container logs for containerd://{}\n", id.0);
                // The reader may have gone meanwhile.
                let _ = sender.send(Bytes::from(text)).await;
            }
            Some(Err(error)) => tracing::warn!("read {}: {error}", path.display()),
            Some(Ok(())) | None => {}
        }
    });
    let chunks = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let body = StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync();
    let (parts, _) = text(StatusCode::OK, "").into_parts();
    Response::from_parts(parts, body)
}

/// Completes when a container no longer runs.
async fn ended(shared: &Shared, uid: &str, id: &ContainerId) {
    let mut snapshots = shared.context.view.subscribe();
    let runs = |snapshot: &Arc<crate::worker::Snapshot>| {
        let pod = snapshot.pod(uid);
        pod.alive().any(|container| container.id == *id)
    };
    // The view outlives the server.
    let _ = snapshots.wait_for(|snapshot| !runs(snapshot)).await.is_ok();
}

fn options(shared: &Shared, query: &Query) -> Result<Options, Refusal> {
    let now = shared.context.config.clock.now();
    let since_seconds = query.number("sinceSeconds")?;
    let since_time = match query.get("sinceTime").filter(|text| !text.is_empty()) {
        Some(text) => Some(text.parse().map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("sinceTime {text:?} is not a time of RFC 3339"))
        })?),
        None => None,
    };
    let before = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        now.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    };
    Ok(Options {
        tail_lines: query.number("tailLines")?,
        since: since_seconds.map(before).or(since_time),
        limit_bytes: query.number("limitBytes")?,
        timestamps: query.flag(&["timestamps"]),
        stream: match query.get("stream") {
            Some("Stdout") => Some(Stream::Stdout),
            Some("Stderr") => Some(Stream::Stderr),
            _ => None,
        },
    })
}

fn is_waiting(pod: &k8s_openapi::api::core::v1::Pod, container: &str) -> bool {
    let state = pod::reported_status(pod, container).and_then(|status| status.state.as_ref());
    state.is_some_and(|state| state.waiting.is_some())
}

fn waiting_reason(pod: &k8s_openapi::api::core::v1::Pod, container: &str) -> String {
    let state = pod::reported_status(pod, container).and_then(|status| status.state.as_ref());
    let waiting = state.and_then(|state| state.waiting.as_ref());
    match waiting {
        Some(waiting) => match (&waiting.reason, &waiting.message) {
            (Some(reason), Some(message)) if reason != "ContainerCreating" => format!("{reason}: {message}"),
            (Some(reason), _) => reason.clone(),
            _ => "ContainerCreating".to_owned(),
        },
        None => "ContainerCreating".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::tests::{exited, running};

    #[test]
    fn a_start_has_a_log_once_it_ran_and_is_the_previous_one_once_it_ended() {
        let ended = |attempt| ContainerStatus { state: exited(7, 0, 1), ..running("app", attempt) };
        let made = |attempt| ContainerStatus { state: ContainerState::Created, ..running("app", attempt) };
        for (containers, is_waiting, newest, previous) in [
            (vec![], true, None, None),
            (vec![made(0)], true, None, None),
            (vec![running("app", 0)], false, Some(0), None),
            // The API does not know yet that it runs.
            (vec![running("app", 0)], true, Some(0), None),
            (vec![ended(0)], false, Some(0), None),
            (vec![ended(0)], true, Some(0), Some(0)),
            (vec![ended(0), made(1)], true, Some(0), Some(0)),
            (vec![ended(0), running("app", 1)], true, Some(1), Some(0)),
            (vec![ended(0), running("app", 1)], false, Some(1), Some(0)),
            (vec![ended(0), ended(1)], true, Some(1), Some(1)),
            (vec![ended(0), ended(1)], false, Some(1), Some(0)),
        ] {
            let runtime = PodRuntime { containers, ..PodRuntime::default() };
            let attempt = |status: Option<&ContainerStatus>| status.map(|status| status.attempt);
            assert_eq!(attempt(newest_start(&runtime, "app")), newest, "{runtime:?}");
            assert_eq!(attempt(previous_start(&runtime, "app", is_waiting)), previous, "{runtime:?} {is_waiting}");
        }
    }
}
