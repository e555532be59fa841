//! What is decided, as tables: a pod, what the runtime has, and the steps.

mod resizes;

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Pod;
use portolan_base::Timestamp;
use portolan_runtime::{ContainerId, ContainerState, ContainerStatus, PodIdentity, SandboxId, SandboxStatus};
use serde_json::{Value, json};

use super::labels::{self, Memory};
use super::*;
use crate::pod;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).expect("in range")
}

/// A pod, what the runtime has of it, and what the agent remembers.
struct Case {
    pod: Pod,
    gone: bool,
    runtime: PodRuntime,
    local: Local,
    now: i64,
}

fn case(spec: Value) -> Case {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        "status": {"startTime": labels_time(0)},
    });
    object["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    let pod: Pod = serde_json::from_value(object).expect("the test's pod is valid");
    let group = Some(crate::container::resources::of_pod(&pod));
    let mut local = Local { volumes: Volumes::Ready, reported: true, group, ..Local::default() };
    for (_, container) in pod::containers(&pod) {
        let present = LocalContainer { image: ImageState::Present("id".into()), ..LocalContainer::default() };
        local.containers.insert(container.name, present);
    }
    Case { pod, gone: false, runtime: PodRuntime::default(), local, now: 0 }
}

fn labels_time(seconds: i64) -> String {
    portolan_api::time::format(at(seconds))
}

impl Case {
    fn sandbox(mut self, attempt: u32, ready: bool) -> Self {
        self.runtime.sandboxes.push(SandboxStatus {
            id: SandboxId(format!("s{attempt}")),
            pod: PodIdentity { namespace: "shop".into(), name: "web".into(), uid: "u1".into(), attempt },
            ready,
            created_at: at(0),
            addresses: vec!["10.42.0.2".parse().expect("an address")],
            labels: Default::default(),
            annotations: Default::default(),
            network_namespace: None,
        });
        self
    }

    /// A start of a container in the newest sandbox.
    fn container(mut self, name: &str, attempt: u32, state: ContainerState, crash_delay: u64) -> Self {
        let specification = pod::container(&self.pod, name).map(|(_, container)| container).unwrap_or_default();
        let memory = Memory {
            restart_count: attempt,
            hash: labels::hash(&specification),
            grace: Duration::from_secs(30),
            crash_delay: Duration::from_secs(crash_delay),
            termination_file: String::new(),
            termination_policy: "File".into(),
            resources: Some(pod::whole::allowed(&self.pod, &specification)),
        };
        self.runtime.containers.push(ContainerStatus {
            sandbox: self.runtime.sandbox().expect("a sandbox comes first").id.clone(),
            state,
            annotations: memory.annotations(),
            ..running(name, attempt)
        });
        self
    }

    fn running(self, name: &str) -> Self {
        self.container(name, 0, ContainerState::Running { started_at: at(0) }, 0)
    }

    fn exited(self, name: &str, exit_code: i32) -> Self {
        self.container(name, 0, exited(exit_code, 0, 5), 0)
    }

    fn at(mut self, now: i64) -> Self {
        self.now = now;
        self
    }

    fn deleted(mut self) -> Self {
        self.pod.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(self.now + 30)));
        self.pod.metadata.deletion_grace_period_seconds = Some(30);
        self
    }

    fn local(mut self, change: impl FnOnce(&mut Local)) -> Self {
        change(&mut self.local);
        self
    }

    fn plan(&self) -> String {
        let plan = plan(&self.pod, self.gone, &self.runtime, &self.local, at(self.now));
        let mut lines: Vec<String> = plan.steps.iter().map(words).collect();
        if let Some(wake) = plan.wake_at {
            lines.push(format!("wake after {} s", wake.duration_since(at(self.now)).as_secs()));
        }
        if plan.finished {
            lines.push("finished".into());
        }
        lines.join("; ")
    }

    fn status(&self) -> k8s_openapi::api::core::v1::PodStatus {
        let pod = resize::with(&Arc::new(self.pod.clone()), &self.local.allocation);
        status(&pod, &self.runtime, &self.local, &Surroundings::default(), at(self.now))
    }
}

/// A start of a container that runs.
pub(crate) fn running(name: &str, attempt: u32) -> ContainerStatus {
    ContainerStatus {
        id: ContainerId(format!("{name}-{attempt}")),
        sandbox: SandboxId("s".into()),
        name: name.into(),
        attempt,
        image: "app:1".into(),
        image_id: "id".into(),
        state: ContainerState::Running { started_at: at(0) },
        created_at: at(0),
        labels: Default::default(),
        annotations: Default::default(),
        log_path: Default::default(),
    }
}

pub(crate) fn exited(exit_code: i32, started: i64, finished: i64) -> ContainerState {
    ContainerState::Exited {
        started_at: at(started),
        finished_at: at(finished),
        exit_code,
        reason: String::new(),
        message: String::new(),
    }
}

fn words(step: &Step) -> String {
    match step {
        Step::PrepareVolumes => "prepare volumes".into(),
        Step::RunSandbox { attempt } => format!("run sandbox {attempt}"),
        Step::EnsureImage { container } => format!("image {container}"),
        Step::Start { container, attempt, crash_delay } => {
            format!("start {container} {attempt} (then {} s)", crash_delay.as_secs())
        }
        Step::Resize { id, .. } => format!("resize {}", id.0),
        Step::Limit => "limit the pod".into(),
        Step::Stop { id, grace, .. } => format!("stop {} within {} s", id.0, grace.as_secs()),
        Step::Remove { id } => format!("remove {}", id.0),
        Step::StopSandbox { id } => format!("stop sandbox {}", id.0),
        Step::RemoveSandbox { id } => format!("remove sandbox {}", id.0),
        Step::TearDown => "tear down".into(),
        Step::Delete => "delete".into(),
    }
}

#[track_caller]
fn check(case: Case, expected: Expect) {
    expected.assert_eq(&case.plan());
}

#[test]
fn a_new_pod_gets_volumes_then_a_sandbox_then_images_then_containers() {
    check(case(json!({})).local(|local| local.volumes = Volumes::Unprepared), expect!["prepare volumes"]);
    check(case(json!({})), expect!["run sandbox 0"]);
    let unknown = |local: &mut Local| local.containers.clear();
    check(case(json!({})).sandbox(0, true).local(unknown), expect!["image app"]);
    check(case(json!({})).sandbox(0, true), expect!["start app 0 (then 0 s)"]);
    check(case(json!({})).sandbox(0, true).running("app"), expect![""]);
}

#[test]
fn what_is_in_flight_is_not_begun_again() {
    let busy = |work: Work| move |local: &mut Local| local.in_flight = [work].into();
    check(case(json!({})).sandbox(0, true).local(busy(Work::Start("app".into()))), expect![""]);
    check(case(json!({})).local(busy(Work::Sandbox)), expect![""]);
}

#[test]
fn init_containers_run_in_order_before_the_others() {
    let spec = json!({"initContainers": [
        {"name": "one", "image": "i"}, {"name": "side", "image": "i", "restartPolicy": "Always"}, {"name": "two", "image": "i"},
    ]});
    let case = || self::case(spec.clone()).sandbox(0, true);
    check(case(), expect!["start one 0 (then 0 s)"]);
    check(case().running("one"), expect![""]);
    check(case().exited("one", 0), expect!["start side 0 (then 0 s)"]);
    check(case().exited("one", 0).running("side"), expect!["start two 0 (then 0 s)"]);
    check(case().exited("one", 0).running("side").exited("two", 0), expect!["start app 0 (then 0 s)"]);
    check(case().exited("one", 1).at(20), expect!["start one 1 (then 10 s)"]);
}

#[test]
fn crashes_are_repeated_after_growing_delays() {
    let crash = |attempt, started, finished, delay| {
        case(json!({})).sandbox(0, true).container("app", attempt, exited(1, started, finished), delay).at(10)
    };
    check(crash(0, 0, 10, 0), expect!["start app 1 (then 10 s)"]);
    check(crash(1, 0, 10, 10), expect!["wake after 10 s"]);
    check(crash(1, -20, 0, 10), expect!["start app 2 (then 20 s)"]);
    check(crash(7, -300, -290, 300), expect!["start app 8 (then 300 s)"]);
    check(crash(7, -600, 10, 300), expect!["start app 8 (then 10 s)"]);
}

#[test]
fn a_first_crash_waits_for_nothing_even_within_the_same_second() {
    let ended = at(5) + Duration::from_millis(900);
    let mut state = exited(1, 0, 5);
    if let ContainerState::Exited { finished_at, .. } = &mut state {
        *finished_at = ended;
    }
    check(case(json!({})).sandbox(0, true).container("app", 0, state, 0).at(5), expect!["start app 1 (then 10 s)"]);
}

#[test]
fn the_restart_policy_decides_about_ended_containers() {
    let ended = |policy: &str, code| case(json!({"restartPolicy": policy})).sandbox(0, true).exited("app", code).at(60);
    check(ended("Always", 0), expect!["start app 1 (then 10 s)"]);
    check(ended("OnFailure", 1), expect!["start app 1 (then 10 s)"]);
    check(ended("OnFailure", 0), expect!["stop sandbox s0"]);
    check(ended("Never", 1), expect!["stop sandbox s0"]);
    assert_eq!(ended("OnFailure", 0).status().phase.as_deref(), Some("Succeeded"));
    assert_eq!(ended("Never", 1).status().phase.as_deref(), Some("Failed"));
}

#[test]
fn a_dead_sandbox_is_replaced_and_its_containers_with_it() {
    check(case(json!({})).sandbox(0, false).exited("app", 137), expect!["run sandbox 1"]);
    check(case(json!({})).sandbox(0, false).running("app"), expect!["stop sandbox s0"]);
    let replaced = case(json!({})).sandbox(0, false).exited("app", 137).sandbox(1, true);
    check(replaced, expect!["start app 1 (then 0 s)"]);
    // Nothing asks for the oldest start any more.
    let old = case(json!({})).sandbox(0, false).exited("app", 137).sandbox(1, true);
    let old = old.container("app", 1, exited(1, 0, 0), 0).container(
        "app",
        2,
        ContainerState::Running { started_at: at(0) },
        0,
    );
    check(old, expect!["remove app-0; remove sandbox s0"]);
}

#[test]
fn deletion_ends_containers_then_sidecars_then_the_rest() {
    let spec = json!({"initContainers": [
        {"name": "s1", "image": "i", "restartPolicy": "Always"}, {"name": "s2", "image": "i", "restartPolicy": "Always"},
    ]});
    let case = || self::case(spec.clone()).deleted().sandbox(0, true);
    check(case().running("s1").running("s2").running("app"), expect!["stop app-0 within 30 s"]);
    check(case().running("s1").running("s2").exited("app", 0).at(20), expect!["stop s2-0 within 10 s"]);
    check(case().running("s1").exited("s2", 0).exited("app", 0).at(29), expect!["stop s1-0 within 2 s"]);
    check(case().exited("app", 0), expect!["stop sandbox s0"]);
    let stopped = || self::case(json!({})).deleted().sandbox(0, false).exited("app", 0);
    check(stopped().local(|local| local.reported = false), expect![""]);
    check(stopped(), expect!["tear down"]);
    check(stopped().local(|local| local.volumes = Volumes::TornDown), expect!["delete"]);
    let mut gone = stopped().local(|local| local.volumes = Volumes::TornDown);
    gone.gone = true;
    check(gone, expect!["remove sandbox s0"]);
    let mut gone = self::case(json!({})).local(|local| local.volumes = Volumes::TornDown);
    gone.gone = true;
    check(gone, expect!["finished"]);
}

#[test]
fn a_shorter_grace_period_replaces_the_running_stop() {
    let stopping = |grace| {
        let mut case = case(json!({})).deleted().sandbox(0, true).running("app");
        case.local.stopping.insert(ContainerId("app-0".into()), Duration::from_secs(30));
        case.local.in_flight.insert(Work::Stop("app-0".into()));
        case.pod.metadata.deletion_grace_period_seconds = Some(grace);
        case
    };
    check(stopping(30), expect![""]);
    check(stopping(0), expect!["stop app-0 within 0 s"]);
}

#[test]
fn a_pod_past_its_deadline_is_failed() {
    let case = |now| case(json!({"activeDeadlineSeconds": 60})).sandbox(0, true).running("app").at(now);
    check(case(20), expect!["wake after 40 s"]);
    check(case(60), expect!["stop app-0 within 30 s"]);
    let mut stopped = case(61);
    stopped.runtime.containers[0].state = exited(137, 0, 61);
    let status = stopped.status();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("DeadlineExceeded")));
}

#[test]
fn doomed_and_changed_containers_are_stopped_and_lost_ones_removed() {
    let doomed = Doomed { id: ContainerId("app-0".into()), message: "unhealthy".into(), grace: Duration::from_secs(7) };
    let mark = |local: &mut Local| local.containers.get_mut("app").expect("known").doomed = Some(doomed);
    check(case(json!({})).sandbox(0, true).running("app").local(mark), expect!["stop app-0 within 7 s"]);
    let mut changed = case(json!({})).sandbox(0, true).running("app");
    changed.pod.spec.as_mut().expect("a spec").containers[0].image = Some("app:2".into());
    check(changed, expect!["stop app-0 within 30 s"]);
    check(case(json!({})).sandbox(0, true).container("app", 0, ContainerState::Created, 0), expect!["remove app-0"]);
}

#[test]
fn statuses_tell_why_a_container_does_not_run() {
    let waiting = |case: Case| {
        let statuses = case.status().container_statuses.expect("one container");
        let waiting = statuses[0].state.clone().and_then(|state| state.waiting).expect("it waits");
        format!("{} {}", waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())
    };
    assert_eq!(waiting(case(json!({}))), "ContainerCreating ");
    let crashed = case(json!({})).sandbox(0, true).container("app", 3, exited(1, 0, 5), 40).at(6);
    let backing_off = "CrashLoopBackOff back-off 40s restarting failed container=app pod=web_shop(u1)";
    assert_eq!(waiting(crashed), backing_off);
    // Until the next start runs.
    let due = || case(json!({})).sandbox(0, true).container("app", 3, exited(1, 0, 5), 40).at(60);
    assert_eq!(waiting(due()), backing_off);
    assert_eq!(waiting(due().container("app", 4, ContainerState::Created, 80)), backing_off);
    let failed = |local: &mut Local| {
        let failure =
            Failure::after(None, "RunContainerError", "no such file", at(60), (Duration::ZERO, Duration::ZERO));
        local.containers.get_mut("app").expect("known").start_failure = Some(failure);
    };
    let made = due().container("app", 4, ContainerState::Created, 80);
    assert_eq!(waiting(made.local(failed)), "RunContainerError no such file");
    // Another image is started at once, however often the one before crashed.
    let changed = |mut case: Case| {
        case.pod.spec.as_mut().expect("a spec").containers[0].image = Some("app:2".into());
        case
    };
    let ended = changed(due()).at(6).status().container_statuses.expect("one container").remove(0).state;
    assert!(ended.is_some_and(|state| state.terminated.is_some() && state.waiting.is_none()));
    assert_eq!(waiting(changed(due().container("app", 4, ContainerState::Created, 0)).at(6)), " ");
    let again = case(json!({})).sandbox(0, true).exited("app", 1).container("app", 1, ContainerState::Created, 10);
    assert_eq!(waiting(again.at(6)), " ");
    let first = case(json!({})).sandbox(0, true).exited("app", 1).at(6).status().container_statuses;
    assert!(first.expect("one container")[0].state.as_ref().is_some_and(|state| state.terminated.is_some()));
    let failed = |local: &mut Local| {
        let first = (Duration::from_secs(10), Duration::from_secs(300));
        let failure = Failure::after(None, "ErrImagePull", "no such image", at(0), first);
        local.containers.get_mut("app").expect("known").image = ImageState::Failed(failure);
    };
    let case = case(json!({})).sandbox(0, true).local(failed);
    assert_eq!(case.plan(), "wake after 10 s");
    assert_eq!(waiting(case), "ErrImagePull no such image");
}

#[test]
fn an_adopted_container_keeps_what_the_api_last_heard() {
    let spec = json!({"containers": [{"name": "app", "image": "app:1", "readinessProbe": {"tcpSocket": {"port": 1}}}]});
    let adopted = |ready: bool, id: &str| {
        let mut case = case(spec.clone()).sandbox(0, true).running("app");
        let status = json!({"containerStatuses": [{
            "name": "app", "image": "", "imageID": "", "restartCount": 0, "started": true, "ready": ready, "containerID": id,
        }]});
        case.pod.status = Some(serde_json::from_value(status).expect("the test's status is valid"));
        case.status().container_statuses.expect("one container")[0].ready
    };
    assert!(adopted(true, "containerd://app-0"));
    assert!(!adopted(false, "containerd://app-0"));
    assert!(!adopted(true, "containerd://another"));
}

#[test]
fn starts_are_counted_on_and_debug_containers_not_repeated_where_the_runtime_has_forgotten_all() {
    let ended = json!({"terminated": {"exitCode": 7, "finishedAt": labels_time(0), "startedAt": labels_time(0)}});
    let forgotten = |id: Value| {
        let mut case = case(json!({"ephemeralContainers": [{"name": "debug", "image": "app:1"}]})).sandbox(0, true);
        let status = |name: &str, id: &Value, rest: Value| {
            let mut status = json!({"name": name, "image": "", "imageID": "", "ready": false, "containerID": id});
            status.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
            status
        };
        let debug = status("debug", &json!("containerd://d"), json!({"restartCount": 0, "state": ended}));
        let app = status("app", &id, json!({"restartCount": 3, "lastState": ended}));
        let reported = json!({"containerStatuses": [app], "ephemeralContainerStatuses": [debug]});
        case.pod.status = Some(serde_json::from_value(reported).expect("the test's status is valid"));
        case
    };
    for id in [json!("containerd://app-3"), Value::Null] {
        let case = forgotten(id);
        assert_eq!(case.plan(), "start app 4 (then 0 s)");
        let status = case.status();
        let app = &status.container_statuses.expect("one container")[0];
        assert_eq!(app.restart_count, 3);
        assert!(app.last_state.as_ref().is_some_and(|last| last.terminated.is_some()), "{app:?}");
        let debug = &status.ephemeral_container_statuses.expect("one container")[0];
        assert_eq!(debug.state.as_ref().and_then(|state| state.terminated.as_ref()).map(|it| it.exit_code), Some(7));
    }
}

#[test]
fn a_container_that_cannot_start_says_so_and_then_backs_off() {
    let ended = ContainerState::Exited {
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: at(5),
        exit_code: 128,
        reason: "StartError".into(),
        message: "no such file".into(),
    };
    let case = || case(json!({})).sandbox(0, true).container("app", 3, ended.clone(), 40).at(6);
    let said = |case: Case| {
        let status = case.status().container_statuses.expect("one container").remove(0);
        let waiting = status.state.and_then(|state| state.waiting).and_then(|waiting| waiting.reason);
        let last = status.last_state.and_then(|state| state.terminated).expect("it ended");
        (waiting.unwrap_or_default(), last.exit_code, last.reason.unwrap_or_default())
    };
    let failed = |local: &mut Local| {
        let first = (Duration::from_secs(1), Duration::from_secs(60));
        let failure = Failure::after(None, "RunContainerError", "no such file", at(5), first);
        local.containers.get_mut("app").expect("known").start_failure = Some(failure);
    };
    assert_eq!(said(case().local(failed)), ("RunContainerError".into(), 128, "StartError".into()));
    assert_eq!(said(case()), ("CrashLoopBackOff".into(), 128, "StartError".into()));
    // It never ran, so it did not run long.
    check(case(), expect!["wake after 39 s"]);
}

#[test]
fn of_ended_starts_only_the_last_one_is_kept() {
    let running = ContainerState::Running { started_at: at(0) };
    let twice = || case(json!({})).sandbox(0, true).container("app", 0, exited(1, 0, 1), 0).at(2);
    check(twice().container("app", 1, running, 0), expect![""]);
    check(twice().container("app", 1, exited(1, 1, 2), 10), expect!["remove app-0; wake after 10 s"]);
}

#[test]
fn a_pod_with_a_verdict_fails_whatever_its_containers_say() {
    let verdict = |cause, reason: &str| {
        let verdict = Verdict { cause, reason: reason.into(), message: "no room".into() };
        move |local: &mut Local| local.verdict = Some(verdict)
    };
    let refused = || case(json!({})).local(verdict(Cause::Refused, "OutOfcpu"));
    check(refused(), expect!["tear down"]);
    let status = refused().status();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
    assert_eq!(status.message.as_deref(), Some("Pod was rejected: no room"));

    let evicted = || case(json!({})).sandbox(0, true).local(verdict(Cause::Evicted, "Evicted"));
    check(evicted().running("app"), expect!["stop app-0 within 1 s"]);
    assert_eq!(evicted().running("app").status().phase.as_deref(), Some("Running"));
    let status = evicted().exited("app", 0).status();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    let disrupted = status.conditions.into_iter().flatten().find(|condition| condition.type_ == "DisruptionTarget");
    assert_eq!(disrupted.and_then(|condition| condition.reason).as_deref(), Some("TerminationByKubelet"));
}
