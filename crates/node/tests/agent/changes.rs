//! What changes in a pod that runs: containers for debugging, and resources.

use std::time::Duration;

use portolan_api::typed::kinds::core::v1::{ContainerStatus, Pod};
use portolan_client::Patch;
use portolan_runtime::{ContainerId, Resources};
use serde_json::{Value, json};

use crate::harness::{Node, condition, status};

async fn patch(node: &Node, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    node.client.patch::<Pod>("default", name, "", &patch).await.expect("the API takes the change");
}

fn container(pod: Option<&Pod>) -> Option<ContainerStatus> {
    status(pod?).container_statuses?.into_iter().next()
}

fn ephemeral(pod: Option<&Pod>) -> Option<ContainerStatus> {
    status(pod?).ephemeral_container_statuses?.into_iter().next()
}

fn id(status: &ContainerStatus) -> ContainerId {
    let uri = status.container_id.clone().unwrap_or_default();
    ContainerId(uri.trim_start_matches("containerd://").to_owned())
}

/// The message and reason of a condition.
fn why(pod: Option<&Pod>, name: &str) -> String {
    let conditions = pod.and_then(|pod| status(pod).conditions).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == name);
    found.map_or(String::new(), |it| format!("{}: {}", it.reason.unwrap_or_default(), it.message.unwrap_or_default()))
}

fn limits(node: &Node, name: &str) -> Resources {
    let running = container(node.pod(name).as_ref()).expect("it has a container");
    node.runtime.limits(&id(&running)).expect("the runtime has it")
}

fn with_resources(resources: &Value, policy: &Value) -> Value {
    json!({"containers": [{"name": "app", "image": "app:1", "resources": resources, "resizePolicy": policy}]})
}

fn cpu(request: &str, limit: &str) -> Value {
    json!({"requests": {"cpu": request}, "limits": {"cpu": limit}})
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_container_is_started_in_a_running_pod_and_never_again() {
    let node = Node::start().await;
    node.create("web", json!({})).await;
    node.until_ready("web").await;
    let debugger =
        json!({"name": "debug", "image": "tools:1", "stdin": true, "tty": true, "targetContainerName": "app"});
    patch(&node, "web", json!({"ephemeralContainers": [debugger]})).await;
    let runs =
        |pod: Option<&Pod>| ephemeral(pod).is_some_and(|it| it.state.is_some_and(|state| state.running.is_some()));
    node.until("web", "debugged", runs).await;
    let pod = node.pod("web").expect("it is there");
    let (app, debug) = (container(Some(&pod)).expect("it runs"), ephemeral(Some(&pod)).expect("it runs"));
    assert_eq!(node.runtime.process_target(&id(&debug)), Some(id(&app)));
    assert_eq!((app.restart_count, condition(&pod, "Ready").as_str()), (0, "True"));
    node.runtime.exit(&id(&debug), 3);
    let ended =
        |pod: Option<&Pod>| ephemeral(pod).is_some_and(|it| it.state.is_some_and(|state| state.terminated.is_some()));
    node.until("web", "left by the debugger", ended).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let pod = node.pod("web").expect("it is there");
    assert_eq!(ephemeral(Some(&pod)).map(|it| it.restart_count), Some(0));
    assert_eq!(condition(&pod, "Ready"), "True");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_container_does_not_wait_for_the_init_containers() {
    let node = Node::start().await;
    node.runtime.set_program("prepare", portolan_runtime::simulated::program::Program::default());
    node.create("web", json!({"initContainers": [{"name": "prepare", "image": "app:1"}]})).await;
    patch(&node, "web", json!({"ephemeralContainers": [{"name": "debug", "image": "tools:1"}]})).await;
    let runs =
        |pod: Option<&Pod>| ephemeral(pod).is_some_and(|it| it.state.is_some_and(|state| state.running.is_some()));
    node.until("web", "debugged", runs).await;
    assert_eq!(condition(&node.pod("web").expect("it is there"), "Initialized"), "False");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_gets_other_limits_while_it_runs() {
    let mut node = Node::start().await;
    node.create("web", with_resources(&cpu("500m", "1"), &json!([]))).await;
    node.until_ready("web").await;
    let before = container(node.pod("web").as_ref()).expect("it runs");
    assert_eq!(json!(before.resources), cpu("500m", "1"));
    assert_eq!(json!(before.allocated_resources), json!({"cpu": "500m"}));
    assert_eq!(limits(&node, "web").cpu_quota_us, 100_000);
    patch(&node, "web", with_resources(&cpu("700m", "1500m"), &json!([]))).await;
    let resized = |pod: Option<&Pod>| {
        container(pod).is_some_and(|it| json!(it.resources) == cpu("700m", "1500m"))
            && why(pod, "PodResizeInProgress").is_empty()
    };
    node.until("web", "resized", resized).await;
    let after = container(node.pod("web").as_ref()).expect("it runs");
    assert_eq!((after.restart_count, after.container_id.clone()), (0, before.container_id));
    assert_eq!(json!(after.allocated_resources), json!({"cpu": "700m"}));
    assert_eq!(limits(&node, "web").cpu_quota_us, 150_000);
    let told = r#"{"containers":[{"name":"app","resources":{"limits":{"cpu":"1500m"},"requests":{"cpu":"700m"}}}],"generation":2}"#;
    node.until_event("web", &format!("ResizeStarted Pod resize started: {told}")).await;
    node.until_event("web", &format!("ResizeCompleted Pod resize completed: {told}")).await;
    // An agent that comes back finds nothing to do.
    node.kill().await;
    node.run_idle().await;
    assert_eq!(limits(&node, "web").cpu_quota_us, 150_000);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_wants_a_restart_for_it_is_restarted() {
    let node = Node::start().await;
    let policy = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    node.create("web", with_resources(&cpu("500m", "1"), &policy)).await;
    node.until_ready("web").await;
    patch(&node, "web", with_resources(&cpu("500m", "2"), &policy)).await;
    let resized = |pod: Option<&Pod>| {
        container(pod).is_some_and(|it| it.restart_count == 1 && it.ready && json!(it.resources) == cpu("500m", "2"))
    };
    node.until("web", "restarted", resized).await;
    assert_eq!(limits(&node, "web").cpu_quota_us, 200_000);
    node.until_event("web", "Killing Container app resize requires restart").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_waits_for_room_or_for_ever() {
    let mut node = Node::start().await;
    node.create("web", with_resources(&cpu("500m", "2"), &json!([]))).await;
    // The other one is the younger one.
    tokio::time::sleep(Duration::from_secs(2)).await;
    node.create("other", with_resources(&cpu("1", "2"), &json!([]))).await;
    node.until_ready("web").await;
    node.until_ready("other").await;
    patch(&node, "web", with_resources(&cpu("5", "5"), &json!([]))).await;
    let never = "Infeasible: Node didn't have enough capacity: cpu, requested: 5000, capacity: 2000";
    node.until("web", "refused", |pod| why(pod, "PodResizePending") == never).await;
    assert_eq!(
        json!(container(node.pod("web").as_ref()).and_then(|it| it.allocated_resources)),
        json!({"cpu": "500m"})
    );
    patch(&node, "web", with_resources(&cpu("1500m", "2"), &json!([]))).await;
    let later = "Deferred: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000";
    node.until("web", "put off", |pod| why(pod, "PodResizePending") == later).await;
    // An agent that comes back knows that the other one has what it has, before it looks after it.
    node.kill().await;
    node.run();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(why(node.pod("web").as_ref(), "PodResizePending"), later);
    assert_eq!(
        json!(container(node.pod("web").as_ref()).and_then(|it| it.allocated_resources)),
        json!({"cpu": "500m"})
    );
    let options = portolan_client::DeleteOptions::now();
    node.client.delete::<Pod>("default", "other", &options).await.expect("deletable");
    let resized = |pod: Option<&Pod>| {
        container(pod).is_some_and(|it| json!(it.resources) == cpu("1500m", "2"))
            && why(pod, "PodResizePending").is_empty()
    };
    node.until("web", "resized", resized).await;
    // Events are written behind the status.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for told in [never, later] {
        let (reason, why) = told.split_once(": ").expect("it has both");
        let is_it = |event: &&String| {
            let summary = event.strip_prefix(&format!("Resize{reason} Pod resize {reason}: "));
            let summary = summary.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
            summary["containers"][0]["name"] == "app" && summary["error"] == why
        };
        assert!(node.events("web").iter().any(|event| is_it(&event)), "{told}: {:?}", node.events("web"));
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_made_while_the_agent_was_away_needs_room_too() {
    let mut node = Node::start().await;
    node.create("web", with_resources(&cpu("500m", "2"), &json!([]))).await;
    node.until_ready("web").await;
    node.kill().await;
    patch(&node, "web", with_resources(&cpu("5", "5"), &json!([]))).await;
    node.run();
    let never = "Infeasible: Node didn't have enough capacity: cpu, requested: 5000, capacity: 2000";
    node.until("web", "refused", |pod| why(pod, "PodResizePending") == never).await;
    assert_eq!(limits(&node, "web").cpu_quota_us, 200_000);
    node.kill().await;
    patch(&node, "web", with_resources(&cpu("1", "1"), &json!([]))).await;
    node.run();
    let resized = |pod: Option<&Pod>| container(pod).is_some_and(|it| json!(it.resources) == cpu("1", "1"));
    node.until("web", "resized", resized).await;
    assert_eq!(limits(&node, "web").cpu_quota_us, 100_000);
    for reason in ["ResizeInfeasible", "ResizeStarted", "ResizeCompleted"] {
        node.until_event("web", reason).await;
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_back_limits_the_group_of_a_pod_again() {
    let mut node = Node::prepare().with_groups();
    node.run();
    let own = json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    node.create("web", with_resources(&own, &json!([]))).await;
    node.until_ready("web").await;
    let [quota, memory] = ["cpu.cfs_quota_us", "memory.limit_in_bytes"].map(|name| node.group_file("web", name));
    let read = |file| std::fs::read_to_string(file).expect("it was written");
    assert_eq!((read(&quota).as_str(), read(&memory).as_str()), ("100000", "1073741824"));
    node.kill().await;
    // The one before had something in hand.
    std::fs::write(&quota, "-1").expect("a file of the test");
    node.run_idle().await;
    assert_eq!(read(&quota), "100000");
    node.kill().await;
    std::fs::write(&memory, "-1").expect("a file of the test");
    let usage = node.group_file("web", "memory.usage_in_bytes");
    std::fs::write(&usage, "2147483648").expect("a file of the test");
    node.run();
    let refused = "Error: cannot decrease memory limits: attempting to set pod memory limit (1073741824) below current \
                   usage (2147483648)";
    node.until("web", "refused", |pod| why(pod, "PodResizeInProgress") == refused).await;
    assert_eq!(read(&memory), "-1");
    // The next one knows that too, and when it is over.
    node.kill().await;
    node.run();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(why(node.pod("web").as_ref(), "PodResizeInProgress"), refused);
    std::fs::write(&usage, "1").expect("a file of the test");
    node.until("web", "limited", |pod| why(pod, "PodResizeInProgress").is_empty()).await;
    assert_eq!(read(&memory), "1073741824");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_fails_is_told_once() {
    let mut node = Node::prepare().with_groups();
    node.run();
    let own = |cpu: &str, memory: &str| {
        let own = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": cpu, "memory": memory}});
        with_resources(&own, &json!([]))
    };
    node.create("web", own("1", "1Gi")).await;
    node.until_ready("web").await;
    // Half of what it may have is in use.
    patch(&node, "web", own("500m", "256Mi")).await;
    let refused = "Error: cannot decrease memory limits: attempting to set container \"app\" memory limit (268435456) \
                   below current usage (536870912)";
    node.until("web", "refused", |pod| why(pod, "PodResizeInProgress") == refused).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    node.api.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    node.wrote_no_pods();
    assert_eq!(whole(node.pod("web").as_ref())["limits"], json!({"cpu": "1", "memory": "1Gi"}));
    let read = |name: &str| std::fs::read_to_string(node.group_file("web", name)).expect("it was written");
    assert_eq!((read("cpu.cfs_quota_us").as_str(), read("memory.limit_in_bytes").as_str()), ("100000", "1073741824"));
    // Another one does not wait for the next try of this one.
    patch(&node, "web", own("2", "1Gi")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(why(node.pod("web").as_ref(), "PodResizeInProgress"), "");
    assert_eq!((limits(&node, "web").cpu_quota_us, read("cpu.cfs_quota_us").as_str()), (200_000, "200000"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_takes_the_place_of_a_failed_one_does_not_wait_for_its_next_try() {
    let mut node = Node::prepare().with_groups();
    node.run();
    let memory = |limit: &str| json!({"requests": {"cpu": "100m"}, "limits": {"memory": limit}});
    node.create("web", with_whole(&memory("1Gi"), &json!([]))).await;
    node.until_ready("web").await;
    std::fs::write(node.group_file("web", "memory.usage_in_bytes"), "838860800").expect("a file of the test");
    patch(&node, "web", json!({"resources": memory("512Mi")})).await;
    let refused = "Error: cannot decrease memory limits: attempting to set pod memory limit (536870912) below current \
                   usage (838860800)";
    node.until("web", "refused", |pod| why(pod, "PodResizeInProgress") == refused).await;
    // The next try is a minute away.
    tokio::time::sleep(Duration::from_secs(190)).await;
    patch(&node, "web", json!({"resources": memory("900Mi")})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(why(node.pod("web").as_ref(), "PodResizeInProgress"), "");
    let limit = std::fs::read_to_string(node.group_file("web", "memory.limit_in_bytes")).expect("it was written");
    assert_eq!(limit, "943718400");
    node.stop().await;
}

fn with_whole(whole: &Value, policy: &Value) -> Value {
    json!({"containers": [{"name": "app", "image": "app:1", "resizePolicy": policy}], "resources": whole})
}

fn whole(pod: Option<&Pod>) -> Value {
    json!(pod.and_then(|pod| status(pod).resources))
}

#[tokio::test(start_paused = true)]
async fn a_pod_as_a_whole_gets_other_limits_while_it_runs() {
    let mut node = Node::start().await;
    node.create("web", with_whole(&cpu("500m", "1"), &json!([]))).await;
    node.until_ready("web").await;
    node.until("web", "told what it has", |pod| whole(pod) == cpu("500m", "1")).await;
    let before = container(node.pod("web").as_ref()).expect("it runs");
    // The container has no limit of its own, and is not said to have one.
    assert_eq!(json!(before.resources), json!({}));
    assert_eq!(limits(&node, "web").cpu_quota_us, 100_000);
    patch(&node, "web", json!({"resources": cpu("700m", "1500m")})).await;
    let resized = |pod: Option<&Pod>| {
        whole(pod) == cpu("700m", "1500m")
            && why(pod, "PodResizeInProgress").is_empty()
            && limits(&node, "web").cpu_quota_us == 150_000
    };
    node.until("web", "resized", resized).await;
    let pod = node.pod("web").expect("it is there");
    let after = container(Some(&pod)).expect("it runs");
    assert_eq!((after.restart_count, after.container_id.clone()), (0, before.container_id));
    assert_eq!(json!(status(&pod).allocated_resources), json!({"cpu": "700m"}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for reason in ["ResizeStarted Pod resize started: ", "ResizeCompleted Pod resize completed: "] {
        let told = node.events("web").iter().filter(|event| event.starts_with(reason)).count();
        assert_eq!(told, 1, "{reason}: {:?}", node.events("web"));
    }
    // An agent that comes back finds nothing to do.
    node.kill().await;
    node.run_idle().await;
    assert_eq!(limits(&node, "web").cpu_quota_us, 150_000);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_with_the_limits_of_its_pod_is_restarted_if_it_wants_that() {
    let node = Node::start().await;
    let policy = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    node.create("web", with_whole(&cpu("500m", "1"), &policy)).await;
    node.until_ready("web").await;
    patch(&node, "web", json!({"resources": cpu("500m", "2")})).await;
    let resized = |pod: Option<&Pod>| {
        container(pod).is_some_and(|it| it.restart_count == 1 && it.ready) && whole(pod) == cpu("500m", "2")
    };
    node.until("web", "restarted", resized).await;
    assert_eq!(limits(&node, "web").cpu_quota_us, 200_000);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_is_restarted_once_also_if_the_group_of_its_pod_cannot_follow() {
    let mut node = Node::prepare().with_groups();
    node.run();
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let memory = |limit: &str| json!({"requests": {"cpu": "100m"}, "limits": {"memory": limit}});
    node.create("web", with_whole(&memory("1Gi"), &policy)).await;
    node.until_ready("web").await;
    // What it leaves behind stays in use.
    std::fs::write(node.group_file("web", "memory.usage_in_bytes"), "838860800").expect("a file of the test");
    patch(&node, "web", json!({"resources": memory("512Mi")})).await;
    let refused = "Error: cannot decrease memory limits: attempting to set pod memory limit (536870912) below current \
                   usage (838860800)";
    for _agent in 0..2 {
        node.until("web", "refused", |pod| why(pod, "PodResizeInProgress") == refused).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let running = container(node.pod("web").as_ref()).expect("it has one");
        assert_eq!((running.restart_count, running.ready), (1, true));
        assert_eq!(limits(&node, "web").memory_limit, 536_870_912);
        node.kill().await;
        node.run();
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_of_a_pod_as_a_whole_waits_for_room() {
    let node = Node::start().await;
    node.create("web", with_whole(&cpu("500m", "2"), &json!([]))).await;
    node.until_ready("web").await;
    patch(&node, "web", json!({"resources": cpu("5", "5")})).await;
    let never = "Infeasible: Node didn't have enough capacity: cpu, requested: 5000, capacity: 2000";
    node.until("web", "refused", |pod| why(pod, "PodResizePending") == never && whole(pod) == cpu("500m", "2")).await;
    let pod = node.pod("web").expect("it is there");
    assert_eq!(json!(status(&pod).allocated_resources), json!({"cpu": "500m"}));
    assert_eq!(limits(&node, "web").cpu_quota_us, 200_000);
    node.stop().await;
}
