//! Lives of pods.

use std::time::Duration;

use portolan_api::typed::kinds::core::v1::{ConfigMap, Pod};
use portolan_client::{DeleteOptions, Patch};
use portolan_runtime::Runtime as _;
use portolan_runtime::simulated::Operation;
use portolan_runtime::simulated::program::Program;
use serde_json::json;

use crate::harness::{NODE, Node, condition, status};

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_its_status_says_so() {
    let node = Node::start().await;
    node.create("web", json!({})).await;
    node.until_ready("web").await;
    let pod = node.pod("web").expect("it is there");
    let status = status(&pod);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(status.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(status.host_ip.as_deref(), Some("127.0.0.1"));
    for name in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&pod, name), "True", "{name}");
    }
    let container = &status.container_statuses.expect("one container")[0];
    assert!(container.ready && container.started == Some(true) && container.restart_count == 0);
    assert!(container.container_id.as_deref().is_some_and(|id| id.starts_with("containerd://")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_leaves_nothing_behind() {
    let node = Node::start().await;
    node.create("web", json!({"volumes": [{"name": "tmp", "emptyDir": {}}]})).await;
    node.until_ready("web").await;
    node.client.delete::<Pod>("default", "web", &DeleteOptions::default()).await.expect("deletable");
    node.until_gone("web").await;
    until_empty(&node).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_adopts_what_runs() {
    let mut node = Node::start().await;
    node.create(
        "web",
        json!({"containers": [{"name": "app", "image": "app:1",
        "readinessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 60}}]}),
    )
    .await;
    node.until_ready("web").await;
    let before = (node.runtime.sandboxes().await.expect("listed"), node.runtime.containers().await.expect("listed"));
    node.kill().await;
    node.run_idle().await;
    let pod = node.pod("web").expect("it is there");
    assert_eq!(condition(&pod, "Ready"), "True", "the probe has not spoken yet");
    let after = (node.runtime.sandboxes().await.expect("listed"), node.runtime.containers().await.expect("listed"));
    assert_eq!(before, after);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_the_agent_was_away_is_removed() {
    let mut node = Node::start().await;
    node.create("web", json!({})).await;
    node.until_ready("web").await;
    node.kill().await;
    let options = DeleteOptions::now();
    node.client.delete::<Pod>("default", "web", &options).await.expect("deletable");
    node.run();
    until_empty(&node).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_is_restarted_after_growing_delays() {
    let node = Node::start().await;
    node.runtime.set_program("app", Program::exits(1));
    node.create("web", json!({})).await;
    node.until("web", "restarted 3 times", |pod| pod.is_some_and(|pod| restarts(pod) == 3)).await;
    let starts: Vec<i64> = {
        let pod = node.pod("web").expect("it is there");
        let status = &status(&pod).container_statuses.expect("one container")[0];
        let waits = status.state.clone().and_then(|state| state.waiting).and_then(|waiting| waiting.reason);
        assert!(matches!(waits.as_deref(), None | Some("CrashLoopBackOff")), "{waits:?}");
        let begun = status_start(&pod);
        vec![node.now().as_second() - begun]
    };
    // At once, then 10 s, then 20 s.
    assert!((30..=34).contains(&starts[0]), "{starts:?}");
    node.until_event("web", "BackOff Back-off restarting failed container app in pod web_").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failing_probes_restart_a_container_and_say_so() {
    let node = Node::start().await;
    node.create(
        "web",
        json!({"containers": [{"name": "app", "image": "app:1",
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 5, "failureThreshold": 2}}]}),
    )
    .await;
    node.until("web", "restarted", |pod| pod.is_some_and(|pod| restarts(pod) == 1)).await;
    for expected in
        ["Unhealthy Liveness probe failed: ", "Killing Container app failed liveness probe, will be restarted"]
    {
        node.until_event("web", expected).await;
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_probe() {
    let node = Node::start().await;
    node.create(
        "web",
        json!({"containers": [{"name": "app", "image": "app:1",
        "startupProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
        "readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}}]}),
    )
    .await;
    node.until("web", "started", |pod| {
        let statuses = pod.and_then(|pod| status(pod).container_statuses).unwrap_or_default();
        statuses.iter().any(|status| status.started == Some(true))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let pod = node.pod("web").expect("it is there");
    assert_eq!(condition(&pod, "Ready"), "False");
    assert_eq!(restarts(&pod), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_is_told_and_tried_again() {
    let node = Node::start().await;
    node.runtime.fail(Operation::Pull, "app:1", "no such image");
    node.create("web", json!({})).await;
    let waits = |pod: Option<&Pod>, reason: &str| {
        let statuses = pod.and_then(|pod| status(pod).container_statuses).unwrap_or_default();
        let waiting = statuses.into_iter().find_map(|status| status.state.and_then(|state| state.waiting));
        waiting.is_some_and(|waiting| {
            waiting.reason.as_deref() == Some(reason)
                && waiting.message.is_some_and(|text| text.contains("no such image"))
        })
    };
    node.until("web", "backing off", |pod| waits(pod, "ImagePullBackOff")).await;
    node.create("kept", json!({"containers": [{"name": "app", "image": "none:1", "imagePullPolicy": "Never"}]})).await;
    let absent = "ErrImageNeverPull Container image \"none:1\" is not present with pull policy of Never";
    let cases = [
        ("web", "Failed Failed to pull image \"app:1\": "),
        ("web", "Failed Error: ErrImagePull"),
        ("web", "BackOff Back-off pulling image \"app:1\""),
        ("web", "Failed Error: ImagePullBackOff"),
        ("kept", absent),
        ("kept", "Failed Error: ErrImageNeverPull"),
    ];
    for (name, told) in cases {
        node.until_event(name, told).await;
    }
    node.runtime.heal();
    node.until_ready("web").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_start_is_an_ended_one_that_is_tried_again() {
    let node = Node::start().await;
    node.runtime.fail(Operation::StartContainer, "app", "exec: \"nothing\": executable file not found in $PATH");
    node.create("web", json!({})).await;
    let state = |pod: Option<&Pod>| {
        let statuses = pod.and_then(|pod| status(pod).container_statuses).unwrap_or_default();
        statuses.into_iter().next().unwrap_or_default()
    };
    let waits = |pod: Option<&Pod>| state(pod).state.and_then(|state| state.waiting?.reason).unwrap_or_default();
    node.until("web", "backing off", |pod| waits(pod) == "CrashLoopBackOff").await;
    let ended = state(node.pod("web").as_ref()).last_state.and_then(|state| state.terminated).expect("it ended");
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (128, Some("StartError")));
    assert!(ended.message.is_some_and(|text| text.contains("executable file not found")));
    node.runtime.heal();
    node.until_ready("web").await;
    assert!(restarts(&node.pod("web").expect("it is there")) >= 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_being_killed_is_not_probed_any_more() {
    let node = Node::start().await;
    node.runtime.set_program("app", Program { stop_delay: Duration::from_secs(25), ..Program::default() });
    node.create(
        "web",
        json!({"containers": [{"name": "app", "image": "app:1",
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 3}}]}),
    )
    .await;
    node.until("web", "restarted", |pod| pod.is_some_and(|pod| restarts(pod) == 1)).await;
    let unhealthy = node.api.objects::<portolan_api::typed::kinds::core::v1::Event>();
    let count: i32 = unhealthy
        .iter()
        .filter(|event| event.reason.as_deref() == Some("Unhealthy"))
        .map(|event| event.count.unwrap_or(1))
        .sum();
    assert!((3..=5).contains(&count), "{count} failures were told, 25 s of them while it was being killed");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_do_not_fit_are_refused_and_others_run() {
    let node = Node::start().await;
    let asks = |cpu: &str, port: u16| {
        json!({"containers": [{"name": "app", "image": "app:1", "resources": {"requests": {"cpu": cpu}},
            "ports": [{"containerPort": 80, "hostPort": port}]}]})
    };
    node.create("first", asks("1500m", 8080)).await;
    node.until_ready("first").await;
    let of = |resource: &str, amount: &str| {
        let requests = json!({"requests": {resource: amount}});
        json!({"containers": [{"name": "app", "image": "app:1", "resources": requests}]})
    };
    for (name, spec, reason) in [
        ("too-large", asks("600m", 1), "OutOfcpu"),
        ("same-port", asks("100m", 8080), "NodePorts"),
        // A quarter of the machine's memory is in huge pages.
        ("large-memory", of("memory", "3073Mi"), "OutOfmemory"),
        ("huge-pages", of("hugepages-2Mi", "2Mi"), "OutOfhugepages-2Mi"),
    ] {
        node.create(name, spec).await;
        node.until_phase(name, "Failed").await;
        let status = status(&node.pod(name).expect("it is there"));
        assert_eq!(status.reason.as_deref(), Some(reason));
        assert!(status.message.is_some_and(|text| text.starts_with("Pod was rejected: ")));
        assert!(status.container_statuses.is_none(), "nothing of it ever ran");
    }
    node.client.delete::<Pod>("default", "first", &DeleteOptions::default()).await.expect("deletable");
    node.until_gone("first").await;
    node.create("second", asks("1500m", 8080)).await;
    node.until_ready("second").await;
    assert_eq!(node.runtime.sandboxes().await.expect("listed").len(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_logs_of_deleted_pods_go_also_if_the_agent_was_away() {
    let mut node = Node::start().await;
    let folders = |node: &Node| std::fs::read_dir(node.log_dir()).expect("a folder").count();
    node.create("one", json!({})).await;
    node.create("two", json!({})).await;
    for name in ["one", "two"] {
        node.until_ready(name).await;
    }
    assert_eq!(folders(&node), 2);
    node.client.delete::<Pod>("default", "one", &DeleteOptions::default()).await.expect("deletable");
    node.until_gone("one").await;
    until_empty_but(&node, 1).await;
    assert_eq!(folders(&node), 1);
    node.kill().await;
    node.client.delete::<Pod>("default", "two", &DeleteOptions::now()).await.expect("deletable");
    node.run();
    let removed = async {
        while folders(&node) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), removed).await.expect("the folder is removed");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_given_up_or_deleted_comes_back_at_once() {
    use portolan_api::typed::kinds::core::v1::Node as NodeObject;
    let node = Node::start().await;
    let ready = || {
        let object = node.api.objects::<NodeObject>().into_iter().next()?;
        let conditions = object.status?.conditions?;
        Some(conditions.iter().find(|condition| condition.type_ == "Ready")?.status.clone())
    };
    let back = async || {
        while ready().as_deref() != Some("True") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back()).await.expect("it registers");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let lost = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    let patch = portolan_client::Patch::Merge(lost);
    node.client.patch::<NodeObject>("", crate::harness::NODE, "status", &patch).await.expect("it exists");
    assert_eq!(ready().as_deref(), Some("Unknown"));
    tokio::time::timeout(Duration::from_secs(5), back()).await.expect("it says that it is there");
    tokio::time::sleep(Duration::from_secs(30)).await;
    node.client.delete::<NodeObject>("", crate::harness::NODE, &DeleteOptions::default()).await.expect("it exists");
    tokio::time::timeout(Duration::from_secs(5), back()).await.expect("it registers again");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn missing_configuration_is_told_and_found_later() {
    let node = Node::start().await;
    node.create(
        "web",
        json!({"containers": [{"name": "app", "image": "app:1", "envFrom": [{"configMapRef": {"name": "late"}}]}]}),
    )
    .await;
    node.until("web", "waiting for its configuration", |pod| {
        let statuses = pod.and_then(|pod| status(pod).container_statuses).unwrap_or_default();
        let waiting = statuses.into_iter().find_map(|status| status.state.and_then(|state| state.waiting));
        waiting.is_some_and(|waiting| {
            waiting.reason.as_deref() == Some("CreateContainerConfigError")
                && waiting.message.as_deref() == Some("configmap \"late\" not found")
        })
    })
    .await;
    let map = json!({"metadata": {"name": "late", "namespace": "default"}, "data": {"A": "b"}});
    let map: ConfigMap = serde_json::from_value(map).expect("valid");
    node.client.create(&map).await.expect("creatable");
    node.until_ready("web").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_end_in_their_phase() {
    let node = Node::start().await;
    node.runtime.set_program("good", Program::exits(0));
    node.runtime.set_program("bad", Program::exits(2));
    for (name, phase) in [("good", "Succeeded"), ("bad", "Failed")] {
        let spec = json!({"restartPolicy": "Never", "containers": [{"name": name, "image": "app:1"}]});
        node.create(name, spec).await;
        node.until_phase(name, phase).await;
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn volumes_have_the_content_of_their_sources_and_follow_it() {
    let node = Node::start().await;
    let map = json!({"metadata": {"name": "map", "namespace": "default"}, "data": {"key": "old"}});
    let map: ConfigMap = serde_json::from_value(map).expect("valid");
    let map = node.client.create(&map).await.expect("creatable");
    let pod = node
        .create("web", json!({"volumes": [{"name": "conf", "configMap": {"name": "map"}}, {"name": "tmp", "emptyDir": {}}],
            "containers": [{"name": "app", "image": "app:1", "volumeMounts": [{"name": "conf", "mountPath": "/conf"}]}]}))
        .await;
    node.until_ready("web").await;
    let file = node.data_dir().join("pods").join(pod.metadata.uid.expect("a uid")).join("volumes/conf/key");
    assert_eq!(std::fs::read_to_string(&file).expect("written"), "old");
    let mut map = map;
    map.data = Some([("key".to_owned(), "new".to_owned())].into());
    node.client.update(&map).await.expect("changeable");
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(std::fs::read_to_string(&file).expect("written"), "new");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unsupported_volume_is_told() {
    let node = Node::start().await;
    let cases = [
        ("claim", json!({"persistentVolumeClaim": {"claimName": "c"}}), "this node has no plugin"),
        ("huge", json!({"emptyDir": {"medium": "HugePages"}}), "medium HugePages: hugePages storage requested, but"),
    ];
    for (name, mut volume, why) in cases {
        volume["name"] = json!("disk");
        node.create(name, json!({"volumes": [volume]})).await;
        let told = format!("FailedMount MountVolume.SetUp failed for volume \"disk\" : {why}");
        node.until_event(name, &told).await;
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_node_registers_and_an_idle_one_only_renews_its_lease() {
    let node = Node::start().await;
    node.create("web", json!({})).await;
    node.until_ready("web").await;
    let object = &node.api.objects::<portolan_api::typed::kinds::core::v1::Node>()[0];
    let labels = object.metadata.labels.clone().unwrap_or_default();
    assert_eq!(labels.get("kubernetes.io/hostname").map(String::as_str), Some("north"));
    let status = object.status.clone().unwrap_or_default();
    let capacity = status.capacity.unwrap_or_default();
    assert_eq!(
        (capacity["cpu"].0.as_str(), capacity["memory"].0.as_str(), capacity["pods"].0.as_str()),
        ("2", "4Gi", "110")
    );
    let allocatable = status.allocatable.unwrap_or_default();
    let amounts = ["memory", "hugepages-2Mi"].map(|name| [&capacity, &allocatable].map(|list| list[name].0.as_str()));
    assert_eq!(amounts, [["4Gi", "3Gi"], ["1Gi", "0"]]);
    tokio::time::sleep(Duration::from_secs(30)).await;
    node.api.clear_requests();
    tokio::time::sleep(Duration::from_secs(240)).await;
    let others: Vec<String> = node
        .api
        .writes()
        .into_iter()
        .filter(|write| !write.contains("/leases/") && !write.contains("/nodes/"))
        .collect();
    assert_eq!(others, Vec::<String>::new());
    let statuses = node.api.writes().into_iter().filter(|write| write.contains("/nodes/")).count();
    assert!(statuses <= 1, "{statuses} writes of an unchanged status");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_others_say_the_node_has_can_be_had_and_costs_no_writes() {
    use portolan_api::typed::kinds::core::v1::Node as Object;

    let node = Node::start().await;
    node.create("web", json!({})).await;
    node.until_ready("web").await;
    let tell = async |list: &str, amounts: serde_json::Value| {
        let patch = Patch::Merge(json!({"status": {list: amounts}}));
        node.client.patch::<Object>("", NODE, "status", &patch).await.expect("the API takes it");
        tokio::time::sleep(Duration::from_secs(30)).await;
    };
    let amounts = || {
        let status = node.api.objects::<Object>()[0].status.clone().unwrap_or_default();
        [status.capacity, status.allocatable].map(|list| {
            let others = list.unwrap_or_default().into_iter().filter(|(name, _)| {
                !matches!(
                    name.as_str(),
                    "cpu" | "memory" | "ephemeral-storage" | "pods" | "hugepages-2Mi" | "hugepages-1Gi"
                )
            });
            others.map(|(name, amount)| format!("{name}={}", amount.0)).collect::<Vec<_>>().join(",")
        })
    };
    // A pool of such pages is on no machine.
    tell("capacity", json!({"example.com/dongle": "4", "hugepages-3Ki": "3Ki"})).await;
    assert_eq!(amounts(), ["example.com/dongle=4"; 2]);
    node.api.clear_requests();
    tokio::time::sleep(Duration::from_secs(200)).await;
    let statuses = node.api.writes().into_iter().filter(|write| write.contains("/nodes/")).count();
    assert!(statuses <= 1, "{statuses} writes of an unchanged status");
    tell("capacity", json!({"example.com/dongle": null})).await;
    assert_eq!(amounts(), [""; 2]);
    tell("allocatable", json!({"example.com/dongle": "1", "cpu": "64"})).await;
    assert_eq!(amounts(), [""; 2]);
    node.stop().await;
}

fn restarts(pod: &Pod) -> i32 {
    status(pod).container_statuses.unwrap_or_default().iter().map(|status| status.restart_count).sum()
}

fn status_start(pod: &Pod) -> i64 {
    status(pod).start_time.expect("it has started").0.as_second()
}

async fn until_empty(node: &Node) {
    until_empty_but(node, 0).await;
}

async fn until_empty_but(node: &Node, left: usize) {
    let empty = async {
        while node.runtime.sandboxes().await.expect("listed").len() > left {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), empty).await.expect("the sandbox is removed");
}
