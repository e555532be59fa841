use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{World, ask};

const WEB: &str = r#"{"name": "web", "id": "web-1", "port": 8080}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_who_wait_for_one_service_share_one_answer() {
    const WATCHERS: usize = 10_000;
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    let index = world.get("/v1/health/service/web").await.index();
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let consul = world.consul.clone();
        watchers.spawn(async move {
            let path = format!("/v1/health/service/web?index={index}&wait=1m");
            let answer = ask(&consul, Method::GET, &path, "").await;
            (answer.body.as_ptr() as usize, answer.index(), answer.json()[0]["Service"]["Port"].clone(), Instant::now())
        });
    }
    // Another service wakes nobody of them.
    world.put("/v1/agent/service/register", r#"{"name": "other"}"#).await;
    assert!(watchers.try_join_next().is_none());
    let changed = Instant::now();
    world.put("/v1/agent/service/register", &WEB.replace("8080", "9090")).await;
    let mut times = Vec::new();
    let mut bodies = Vec::new();
    while let Some(woken) = watchers.join_next().await {
        let (body, newer, port, at) = woken.expect("a watcher does not panic");
        assert!(newer > index);
        assert_eq!(port, json!(9090));
        bodies.push(body);
        times.push(at.duration_since(changed));
    }
    times.sort_unstable();
    println!("woken: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    bodies.sort_unstable();
    bodies.dedup();
    // One answer is encoded per state of the catalog, and there are at most two on the way to the last.
    assert!(bodies.len() <= 2, "{} different bodies", bodies.len());
    world.stop().await;
}

#[tokio::test]
async fn a_poll_ends_without_a_change_after_its_time() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    for path in ["/v1/health/service/web", "/v1/catalog/services", "/v1/catalog/nodes", "/v1/health/state/any"] {
        let before = world.get(path).await;
        let after = world.get(&format!("{path}?index={}&wait=10ms", before.index())).await;
        assert_eq!((after.status, after.index(), &after.body), (200, before.index(), &before.body), "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_index_from_the_future_is_answered_at_once() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    let answer = world.get("/v1/health/service/web?index=999999999&wait=5m").await;
    assert!(answer.index() < 999_999_999);
    world.stop().await;
}

#[tokio::test]
async fn a_machine_that_changes_wakes_who_waits_for_a_service_on_it() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    let index = world.get("/v1/health/service/web?passing").await.index();
    let consul = world.consul.clone();
    let watcher = tokio::spawn(async move {
        ask(&consul, Method::GET, &format!("/v1/health/service/web?passing&index={index}&wait=1m"), "").await.json()
    });
    world.put("/v1/agent/maintenance?enable=true", "").await;
    assert_eq!(watcher.await.expect("it does not panic"), json!([]));
    world.stop().await;
}

#[tokio::test]
async fn a_service_that_appears_wakes_who_waits_for_its_name() {
    let world = World::start().await;
    let index = world.get("/v1/health/service/web").await.index();
    let consul = world.consul.clone();
    let watcher = tokio::spawn(async move {
        ask(&consul, Method::GET, &format!("/v1/health/service/web?index={index}&wait=1m"), "").await.json()
    });
    world.put("/v1/agent/service/register", r#"{"name": "other"}"#).await;
    world.put("/v1/agent/service/register", WEB).await;
    assert_eq!(watcher.await.expect("it does not panic")[0]["Service"]["ID"], "web-1");
    world.stop().await;
}

#[tokio::test]
async fn a_poll_by_hash_waits_for_another_content() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    let first = world.get("/v1/agent/service/web-1").await;
    let hash = first.headers["x-consul-contenthash"].to_str().expect("ASCII").to_owned();
    assert_eq!(first.json()["ContentHash"], hash.as_str());
    let same = world.get(&format!("/v1/agent/service/web-1?hash={hash}&wait=10ms")).await;
    assert_eq!(same.body, first.body);
    let consul = world.consul.clone();
    let watcher = tokio::spawn(async move {
        ask(&consul, Method::GET, &format!("/v1/agent/service/web-1?hash={hash}&wait=1m"), "").await.json()
    });
    world.put("/v1/agent/service/register", &WEB.replace("8080", "9090")).await;
    assert_eq!(watcher.await.expect("it does not panic")["Port"], 9090);
    world.stop().await;
}

#[tokio::test]
async fn a_poll_of_events_ends_with_the_next_one() {
    let world = World::start().await;
    world.put("/v1/event/fire/deploy", "one").await;
    let index = world.get("/v1/event/list").await.index();
    let consul = world.consul.clone();
    let watcher = tokio::spawn(async move {
        ask(&consul, Method::GET, &format!("/v1/event/list?index={index}&wait=1m"), "").await.json()
    });
    world.put("/v1/event/fire/deploy", "two").await;
    let events = watcher.await.expect("it does not panic");
    assert_eq!(events.as_array().map(Vec::len), Some(2));
    assert_eq!(events[1]["Payload"], "dHdv");
    world.stop().await;
}

#[tokio::test]
async fn shutdown_ends_all_polls() {
    let world = World::start().await;
    let index = world.get("/v1/catalog/services").await.index();
    let consul = world.consul.clone();
    let watcher = tokio::spawn(async move {
        ask(&consul, Method::GET, &format!("/v1/catalog/services?index={index}&wait=10m"), "").await.status
    });
    world.shutdown.request();
    let ended = tokio::time::timeout(Duration::from_secs(5), watcher).await;
    assert_eq!(ended.expect("in time").expect("it does not panic"), 200);
    world.stop().await;
}
