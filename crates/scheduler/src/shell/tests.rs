use portolan_client::testing::FakeServer;
use portolan_client::{DeleteOptions, Status};
use serde_json::{Value, json};

use super::*;

async fn create<K: Object>(client: &Client, value: Value) {
    let object = K::decode(value.to_string().as_bytes()).expect("it is of this kind");
    client.create(&object).await.expect("the name is free");
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
    })
}

/// Runs a scenario against a running scheduler.
async fn with_scheduler<F: Future<Output = ()>>(
    server: &FakeServer,
    scenario: impl FnOnce(Client, Informer<Pod>) -> F,
) {
    let client = server.client();
    let informers = Informers::new(client.clone());
    let config = Config {
        client: client.clone(),
        informers: informers.clone(),
        clock: Arc::new(portolan_base::SystemClock),
        name: "default-scheduler".to_owned(),
        host: "here".to_owned(),
    };
    let shutdown = Shutdown::default();
    tokio::join!(informers.run(shutdown.clone()), run(config, shutdown.clone()), async {
        let limit = Duration::from_secs(300);
        tokio::time::timeout(limit, scenario(client, informers.informer())).await.expect("the scenario ends");
        shutdown.request();
    });
}

/// Waits until the pod satisfies a condition.
async fn until(pods: &Informer<Pod>, name: &str, condition: impl Fn(&Pod) -> bool) {
    let mut changes = pods.changes();
    while !pods.get("n", name).is_some_and(|pod| condition(&pod)) {
        changes.changed().await.expect("the informer lives");
    }
}

fn is_on(node: &str) -> impl Fn(&Pod) -> bool {
    move |pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
}

fn says(pod: &Pod) -> String {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions
        .into_iter()
        .find(|found| found.type_ == "PodScheduled")
        .and_then(|found| found.message)
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_with_its_reason_until_a_node_comes() {
    let server = FakeServer::default();
    with_scheduler(&server, |client, pods| async move {
        create::<Pod>(&client, pod("p", "1")).await;
        until(&pods, "p", |pod| says(pod) == "no nodes available to schedule pods").await;
        create::<Node>(&client, node("small", "500m")).await;
        until(&pods, "p", |pod| says(pod).starts_with("0/1 nodes are available: 1 Insufficient cpu.")).await;
        create::<Node>(&client, node("big", "2")).await;
        until(&pods, "p", is_on("big")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_takes_the_room_another_leaves() {
    let server = FakeServer::default();
    with_scheduler(&server, |client, pods| async move {
        create::<Node>(&client, node("a", "1")).await;
        create::<Pod>(&client, pod("first", "1")).await;
        until(&pods, "first", is_on("a")).await;
        create::<Pod>(&client, pod("second", "1")).await;
        until(&pods, "second", |pod| !says(pod).is_empty()).await;
        client.delete::<Pod>("n", "first", &DeleteOptions::now()).await.expect("it exists");
        until(&pods, "second", is_on("a")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_binding_is_tried_again_and_frees_what_was_assumed() {
    let server = FakeServer::default();
    server.fail(
        http::Method::POST,
        "/binding",
        2,
        Status { code: 500, reason: "InternalError".to_owned(), ..Status::default() },
    );
    with_scheduler(&server, |client, pods| async move {
        create::<Node>(&client, node("a", "1")).await;
        create::<Pod>(&client, pod("p", "1")).await;
        until(&pods, "p", is_on("a")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gated_pods_and_pods_of_other_schedulers_are_left_alone() {
    let server = FakeServer::default();
    with_scheduler(&server, |client, pods| async move {
        let mut gated = pod("gated", "1");
        gated["spec"]["schedulingGates"] = json!([{"name": "g"}]);
        let mut foreign = pod("foreign", "1");
        foreign["spec"]["schedulerName"] = json!("other");
        create::<Node>(&client, node("a", "8")).await;
        create::<Pod>(&client, gated).await;
        create::<Pod>(&client, foreign).await;
        create::<Pod>(&client, pod("last", "1")).await;
        until(&pods, "last", is_on("a")).await;
        assert!(is_untouched(&pods, "gated") && is_untouched(&pods, "foreign"));
    })
    .await;
}

fn is_untouched(pods: &Informer<Pod>, name: &str) -> bool {
    pods.get("n", name)
        .is_some_and(|pod| pod.status.is_none() && pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()))
}

#[tokio::test(start_paused = true)]
async fn a_burst_never_overcommits_a_node() {
    let server = FakeServer::default();
    with_scheduler(&server, |client, pods| async move {
        for name in ["a", "b", "c"] {
            create::<Node>(&client, node(name, "2")).await;
        }
        for index in 0..8 {
            create::<Pod>(&client, pod(&format!("p{index}"), "1")).await;
        }
        let bound = || {
            let list = pods.list();
            let mut per_node = std::collections::BTreeMap::new();
            for node in list.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()) {
                *per_node.entry(node).or_insert(0) += 1;
            }
            per_node
        };
        until(&pods, "p7", |pod| !says(pod).is_empty()).await;
        let mut changes = pods.changes();
        while bound().values().sum::<i32>() < 6 {
            changes.changed().await.expect("the informer lives");
        }
        assert_eq!(
            bound().into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), 2), ("b".to_owned(), 2), ("c".to_owned(), 2)]
        );
    })
    .await;
}
