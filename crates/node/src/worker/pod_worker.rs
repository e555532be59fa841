//! One pod: looks, decides, acts, reports; over and over, until nothing is left of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use portolan_api::typed::Object;
use portolan_base::error::chain;
use portolan_base::timer::sleep_until;
use portolan_base::{Backoff, Timestamp};
use portolan_client::EventType;
use portolan_runtime::{ContainerId, ContainerState};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;

use super::context::Context;
use super::execute::{Job, Outcome, image, start};
use super::messages;
use super::probing::{self, Probing};
use super::report::{self, Written};
use super::view::Snapshot;
use crate::lifecycle::resize::{self, Room};
use crate::lifecycle::{
    ImageState, Local, PodRuntime, Step, Surroundings, Verdict, Volumes, Work, crash, is_terminal, plan, status,
};
use crate::logs;
use crate::pod;
use crate::probes::Report;
use crate::sources::Freshness;

/// A step that failed without more knowledge is planned again after this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the API wants of a pod.
#[derive(Debug, Clone)]
pub(super) struct Desired {
    /// The last known object.
    pub(super) pod: Arc<Pod>,
    /// The API no longer has it.
    pub(super) gone: bool,
    /// The node does not let it run.
    pub(super) verdict: Option<Verdict>,
    /// Whether there is room for what it asks for, once it runs.
    pub(super) room: Room,
}

/// Ends once nothing is left of the pod.
pub(super) async fn run(context: Arc<Context>, desired: watch::Receiver<Desired>) {
    Worker::new(context, desired).run().await;
}

struct Worker {
    context: Arc<Context>,
    desired: watch::Receiver<Desired>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The listing that shows the effect of all steps that ended.
    wanted: u64,
    /// The listing that was looked at last.
    looked: u64,
    pod: Arc<Pod>,
    /// The same with what it may have: what is acted on.
    effective: Arc<Pod>,
    gone: bool,
    local: Local,
    jobs: JoinSet<Ended>,
    handles: HashMap<Work, AbortHandle>,
    probing: Probing,
    around: Surroundings,
    /// The last status written, and the object's version that came back.
    written: Option<(PodStatus, Option<String>)>,
    reporting: bool,
    report_backoff: Backoff,
    /// Nothing but a wake-up happens before this.
    paused_until: Option<Instant>,
    report_at: Option<Instant>,
    refresh_at: Option<Instant>,
    refreshing: bool,
    announced: BTreeSet<ContainerId>,
    /// A resize has begun and its end was not told yet.
    resizing: bool,
}

enum Ended {
    Step(Step, Outcome),
    Report(Box<PodStatus>, Result<Written, portolan_client::Error>),
    Refreshed(Result<(), String>),
}

impl Worker {
    fn new(context: Arc<Context>, desired: watch::Receiver<Desired>) -> Self {
        let Desired { pod, gone, verdict, room } = desired.borrow().clone();
        let local = Local { verdict, allocation: resize::allocation(&pod), ..Local::default() };
        let snapshots = context.view.subscribe();
        let around = Surroundings { host_addresses: context.config.addresses.clone(), messages: BTreeMap::new() };
        let mut worker = Self {
            context,
            desired,
            snapshots,
            wanted: 1,
            looked: 0,
            effective: pod.clone(),
            pod,
            gone,
            local,
            jobs: JoinSet::new(),
            handles: HashMap::new(),
            probing: Probing::new(),
            around,
            written: None,
            reporting: false,
            report_backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(10)),
            paused_until: None,
            report_at: None,
            refresh_at: None,
            refreshing: false,
            announced: BTreeSet::new(),
            resizing: false,
        };
        worker.allocate(room);
        worker
    }

    /// Lets the containers have what they ask for, if there is room. Those of a pod that is to end keep what they have.
    fn allocate(&mut self, room: Room) {
        if self.pod.metadata.deletion_timestamp.is_some() {
            self.effective = resize::with(&self.pod, &self.local.allocation);
            return;
        }
        let asked = resize::asked(&self.pod);
        let changes = self.local.allocation.differs(&asked);
        let room = if changes { room } else { Room::Enough };
        if let Some((reason, message)) = room.refusal().filter(|_| room != self.local.room) {
            self.resize_event(EventType::Warning, reason, reason, &resize::summary(&self.pod, message));
        }
        self.local.room = room;
        if self.local.room == Room::Enough {
            if changes {
                self.resizing = true;
                self.resize_event(EventType::Normal, "Started", "started", &resize::summary(&self.pod, ""));
                // What could not be given is not what is to be given now.
                self.local.forget_failed_resizes();
            }
            self.local.allocation = asked;
        }
        self.effective = resize::with(&self.pod, &self.local.allocation);
    }

    /// Tells how far a resize is.
    fn resize_event(&self, kind: EventType, reason: &str, word: &str, summary: &str) {
        let message = format!("Pod resize {word}: {summary}");
        self.context.pod_event(&self.pod, kind, &format!("Resize{reason}"), message);
    }

    /// Tells once that the containers have what they were to get.
    fn announce_resized(&mut self, runtime: &PodRuntime) {
        if self.resizing && resize::is_done(&self.effective, runtime, &self.local) {
            self.resizing = false;
            let summary = resize::summary(&self.effective, "");
            self.resize_event(EventType::Normal, "Completed", "completed", &summary);
        }
    }

    async fn run(mut self) {
        let mut seen: Option<Arc<PodRuntime>> = None;
        loop {
            let snapshot = self.snapshots.borrow_and_update().clone();
            let mut wake = None;
            if snapshot.answers(self.wanted) {
                let runtime = snapshot.pod(self.pod.uid());
                messages::collect(&runtime, &mut self.around.messages).await;
                match self.advance(&runtime) {
                    Next::Finished => return self.remove_logs().await,
                    Next::WakeAt(at) => wake = at,
                }
                self.looked = self.wanted;
                seen = Some(runtime);
            }
            self.wait(seen.as_ref(), wake).await;
        }
    }

    /// Nobody can ask for the logs of a pod that is gone.
    async fn remove_logs(&self) {
        let (folder, uid) = (self.context.config.log_dir.clone(), self.pod.uid().to_owned());
        let removed = tokio::task::spawn_blocking(move || logs::remove(&folder, &uid)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(pod = pod::display(&self.pod), "remove the pod's logs: {error}");
        }
    }

    /// Reports, probes, and begins what is to be done now.
    fn advance(&mut self, runtime: &Arc<PodRuntime>) -> Next {
        let now = self.context.now();
        let ending = self.gone
            || self.pod.metadata.deletion_timestamp.is_some()
            || is_terminal(&self.pod, runtime, &self.local, now);
        if ending {
            self.probing.stop();
            self.abort_starts();
        } else {
            self.probing.adjust(&self.context, &self.pod, runtime, &self.local, now);
            self.announce_back_off(runtime, now);
            self.announce_resized(runtime);
        }
        if !self.gone {
            self.report(runtime, now);
            if self.local.reported && self.settle_failures(runtime, now) {
                self.report(runtime, now);
            }
        }
        let plan = plan(&self.effective, self.gone, runtime, &self.local, now);
        if plan.finished {
            return Next::Finished;
        }
        if self.paused_until.is_none_or(|until| until <= Instant::now()) {
            self.paused_until = None;
            for step in plan.steps {
                self.begin(step, runtime);
            }
        }
        if !ending && self.local.volumes == Volumes::Ready {
            self.refresh(runtime);
        }
        // The clock may stand at a fraction of the second that the plan saw.
        let wake = plan.wake_at.map(|at| {
            let left = Duration::try_from(at.duration_since(self.context.config.clock.now())).unwrap_or_default();
            Instant::now() + left
        });
        let others = [self.paused_until, self.report_at, self.refresh_at.filter(|_| !ending && !self.refreshing)];
        Next::WakeAt(others.into_iter().flatten().chain(wake).min())
    }

    /// Waits until something may have changed, and takes it in.
    async fn wait(&mut self, seen: Option<&Arc<PodRuntime>>, wake: Option<Instant>) {
        let (uid, wanted, looked) = (self.pod.uid(), self.wanted, self.looked);
        let news = |snapshot: &Arc<Snapshot>| {
            // Also wakes for an answer that shows no difference: steps wait for it.
            let new = |seen: &Arc<PodRuntime>| looked < wanted || *seen != snapshot.pod(uid);
            snapshot.answers(wanted) && seen.is_none_or(new)
        };
        let snapshots = &mut self.snapshots;
        let look = async {
            // The view is made by a task that outlives all workers.
            snapshots.wait_for(news).await.is_ok()
        };
        let woken = tokio::select! {
            changed = self.desired.changed() => match changed {
                Ok(()) => Woken::Desired,
                // The supervisor is gone, and with it the reason to run.
                Err(_) => pending().await,
            },
            _ = look => Woken::Look,
            Some(ended) = self.jobs.join_next() => Woken::Ended(ended),
            report = self.probing.report() => Woken::Probe(report),
            () = sleep_until(wake) => Woken::Look,
        };
        match woken {
            Woken::Look => {}
            Woken::Desired => self.take_desired(),
            Woken::Ended(Ok(ended)) => self.take(ended),
            Woken::Ended(Err(error)) if error.is_cancelled() => self.forget_cancelled(),
            Woken::Ended(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            Woken::Probe(report) => {
                if let Some(runtime) = seen {
                    probing::remember(&self.context, &self.pod, runtime, &mut self.local, report);
                }
            }
        }
    }

    fn take_desired(&mut self) {
        let Desired { pod, gone, verdict, room } = self.desired.borrow_and_update().clone();
        self.gone = gone;
        self.local.verdict = verdict;
        if pod.revision() >= self.pod.revision() {
            self.pod = pod;
            self.allocate(room);
        }
    }

    fn take(&mut self, ended: Ended) {
        let now = self.context.now();
        match ended {
            Ended::Step(step, outcome) => {
                self.handles.remove(&step.work());
                self.local.in_flight.remove(&step.work());
                if let Step::Stop { id, .. } = &step {
                    self.local.stopping.remove(id);
                }
                if matches!(outcome, Outcome::Failed(_)) {
                    self.paused_until = Some(Instant::now() + PAUSE_AFTER_FAILURE);
                }
                outcome.remember(&mut self.local, now);
                self.wanted = self.context.view.request();
            }
            Ended::Report(status, outcome) => {
                self.reporting = false;
                match outcome {
                    Ok(Written::Yes(pod)) => {
                        self.report_backoff.reset();
                        self.written = Some((*status, pod.metadata.resource_version.clone()));
                        if pod.revision() >= self.pod.revision() {
                            self.pod = Arc::new(*pod);
                            self.effective = resize::with(&self.pod, &self.local.allocation);
                        }
                    }
                    // The informer will say so too.
                    Ok(Written::Gone) => self.report_at = Some(Instant::now() + self.report_backoff.advance()),
                    Err(error) => {
                        tracing::warn!(pod = pod::display(&self.pod), "write the pod's status: {}", chain(&error));
                        self.report_at = Some(Instant::now() + self.report_backoff.jittered());
                    }
                }
            }
            Ended::Refreshed(outcome) => {
                self.refreshing = false;
                if let Err(message) = outcome {
                    self.context.pod_event(&self.pod, EventType::Warning, "FailedMount", message);
                }
            }
        }
    }

    /// Begins a step; a stop with a shorter grace period takes the place of the one before.
    fn begin(&mut self, step: Step, runtime: &Arc<PodRuntime>) {
        let work = step.work();
        if let Some(handle) = self.handles.remove(&work) {
            handle.abort();
        }
        if let Step::Stop { id, grace, .. } = &step {
            self.local.stopping.insert(id.clone(), *grace);
        }
        let image = match &step {
            Step::Start { container, .. } => {
                self.local.containers.get(container).and_then(|local| match &local.image {
                    ImageState::Present(id) => Some(id.clone()),
                    ImageState::Unknown | ImageState::Failed(_) => None,
                })
            }
            _ => None,
        };
        let job = Job { context: self.context.clone(), pod: self.effective.clone(), runtime: runtime.clone(), image };
        self.local.in_flight.insert(work.clone());
        let handle = self.jobs.spawn(async move {
            let outcome = job.execute(step.clone()).await;
            Ended::Step(step, outcome)
        });
        self.handles.insert(work, handle);
    }

    /// Ends pulls and starts of a pod that is to end.
    fn abort_starts(&mut self) {
        for (work, handle) in &self.handles {
            if matches!(work, Work::Image(_) | Work::Start(_)) {
                handle.abort();
            }
        }
    }

    fn forget_cancelled(&mut self) {
        let local = &mut self.local;
        self.handles.retain(|work, handle| {
            let running = !handle.is_finished();
            if !running {
                local.in_flight.remove(work);
            }
            running
        });
        self.wanted = self.context.view.request();
    }

    fn report(&mut self, runtime: &PodRuntime, now: Timestamp) {
        let status = status(&self.effective, runtime, &self.local, &self.around, now);
        let known = self.pod.status.as_ref() == Some(&status)
            || self
                .written
                .as_ref()
                .is_some_and(|(written, version)| *written == status && *version == self.pod.metadata.resource_version);
        self.local.reported = known;
        if known || self.reporting || self.report_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.report_at = None;
        self.reporting = true;
        let (client, pod) = (self.context.config.client.clone(), self.pod.clone());
        self.jobs.spawn(async move {
            let outcome = report::write(&client, &pod, &status).await;
            Ended::Report(Box::new(status), outcome)
        });
    }

    /// Once people have seen what failed, they see that it waits. Returns whether that changes the status.
    fn settle_failures(&mut self, runtime: &PodRuntime, now: Timestamp) -> bool {
        let mut settled = false;
        for (name, local) in &mut self.local.containers {
            let ended = |name: &str| {
                runtime.current(name).is_some_and(|current| matches!(current.state, ContainerState::Exited { .. }))
            };
            if local.start_failure.as_ref().is_some_and(|failure| failure.reason == start::RUN_ERROR) && ended(name) {
                local.start_failure = None;
                settled = true;
            }
            let ImageState::Failed(failure) = &mut local.image else { continue };
            if failure.reason == image::PULL_ERROR && failure.retry_at > now {
                let reference = pod::container(&self.pod, name).and_then(|(_, container)| container.image);
                let text = format!("Back-off pulling image \"{}\"", reference.unwrap_or_default());
                failure.reason = "ImagePullBackOff".to_owned();
                failure.message = format!("{text}: {}: {}", image::PULL_ERROR, failure.message);
                self.context.container_event(&self.pod, name, EventType::Normal, "BackOff", text);
                let text = format!("Error: {}", failure.reason);
                self.context.container_event(&self.pod, name, EventType::Warning, "Failed", text);
                settled = true;
            }
        }
        settled
    }

    /// Says once for each crash that the next start waits.
    fn announce_back_off(&mut self, runtime: &PodRuntime, now: Timestamp) {
        self.announced.retain(|id| runtime.containers.iter().any(|container| container.id == *id));
        for (role, container) in pod::containers(&self.effective) {
            let Some(latest) = runtime.current(&container.name) else { continue };
            let next = crash::next(&self.effective, role, &container, latest);
            let waits = matches!(next, crash::Next::Restart(restart) if restart.at > now);
            if waits && self.announced.insert(latest.id.clone()) {
                let pod = pod::display(&self.pod);
                let text = format!("Back-off restarting failed container {} in pod {pod}", container.name);
                self.context.container_event(&self.pod, &container.name, EventType::Warning, "BackOff", text);
            }
        }
    }

    /// Brings the content of volumes up to date once it is due.
    fn refresh(&mut self, runtime: &Arc<PodRuntime>) {
        let Some(every) = self.context.volumes.refresh_after(&self.pod) else { return };
        let due =
            *self.refresh_at.get_or_insert_with(|| Instant::now() + every.mul_f64(rand::random_range(0.75..=1.0)));
        if due > Instant::now() || self.refreshing {
            return;
        }
        self.refresh_at = None;
        self.refreshing = true;
        let (context, pod, runtime) = (self.context.clone(), self.pod.clone(), runtime.clone());
        self.jobs.spawn(async move {
            let place = context.place(&pod, &runtime);
            let outcome = context.volumes.prepare(&pod, &place, Freshness::Recent).await;
            Ended::Refreshed(outcome.map_err(|error| {
                format!("MountVolume.SetUp failed for volume \"{}\" : {}", error.volume, error.message)
            }))
        });
    }
}

enum Woken {
    Look,
    Desired,
    Ended(Result<Ended, JoinError>),
    Probe(Report),
}

enum Next {
    WakeAt(Option<Instant>),
    Finished,
}
