//! Watches: order, selections, beginnings and ends.

use std::time::Duration;

use http_body_util::BodyExt;
use portolan_apiserver::Body;
use serde_json::{Value, json};

use crate::support::{Cluster, admin, cluster, request};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) struct Watch {
    body: Body,
    rest: Vec<u8>,
}

impl Watch {
    async fn start(cluster: &Cluster, query: &str) -> Self {
        Self::of(cluster, &format!("{CONFIG_MAPS}?watch=true&{query}")).await
    }

    pub(crate) async fn of(cluster: &Cluster, uri: &str) -> Self {
        Self::with(cluster, uri, "application/json").await
    }

    pub(crate) async fn with(cluster: &Cluster, uri: &str, accept: &str) -> Self {
        let mut request = request("GET", uri, "", "");
        request.headers_mut().insert("accept", accept.parse().expect("a header"));
        let response = cluster.raw(admin(), request).await;
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), rest: Vec::new() }
    }

    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a JSON event"));
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame()).await.expect("in time")?;
            self.rest.extend_from_slice(&frame.expect("no error").into_data().expect("data"));
        }
    }

    /// Type and name of the next event.
    async fn line(&mut self) -> String {
        let event = self.next().await.expect("an event");
        format!(
            "{} {}",
            event["type"].as_str().unwrap_or_default(),
            event["object"]["metadata"]["name"].as_str().unwrap_or("-")
        )
    }
}

async fn label(cluster: &Cluster, name: &str, value: &str) {
    let patch = json!({"metadata": {"labels": {"app": value}}}).to_string();
    let answer = cluster.ask("PATCH", &format!("{CONFIG_MAPS}/{name}"), "application/merge-patch+json", &patch).await;
    assert_eq!(answer.code, 200, "{answer:?}");
}

#[tokio::test]
async fn changes_arrive_in_order_and_a_watch_can_be_resumed() {
    let cluster = cluster().await;
    let start = cluster.get(CONFIG_MAPS).await.revision();
    let mut watch = Watch::start(&cluster, &format!("resourceVersion={start}")).await;
    let made = cluster.config_map("a", json!({})).await;
    label(&cluster, "a", "x").await;
    cluster.delete(&format!("{CONFIG_MAPS}/a"), json!({})).await;
    let first = watch.next().await.expect("an event");
    assert_eq!((&first["type"], &first["object"]), (&json!("ADDED"), &made.body));
    assert_eq!(watch.line().await, "MODIFIED a");
    let last = watch.next().await.expect("an event");
    assert_eq!(last["type"], "DELETED");
    let revision = |event: &Value| event["object"]["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    assert!(revision(&last) > revision(&first));
    let query = format!("resourceVersion={}", revision(&first).expect("a revision"));
    let mut resumed = Watch::start(&cluster, &query).await;
    assert_eq!(resumed.line().await, "MODIFIED a");
    assert_eq!(resumed.line().await, "DELETED a");
}

#[tokio::test]
async fn a_selection_sees_objects_enter_and_leave() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({"app": "x"})).await;
    let start = cluster.get(CONFIG_MAPS).await.revision();
    let mut watch = Watch::start(&cluster, &format!("resourceVersion={start}&labelSelector=app%3Dx")).await;
    label(&cluster, "a", "y").await;
    cluster.config_map("b", json!({"app": "y"})).await;
    label(&cluster, "b", "x").await;
    label(&cluster, "a", "x").await;
    cluster.delete(&format!("{CONFIG_MAPS}/b"), json!({})).await;
    for expected in ["DELETED a", "ADDED b", "ADDED a", "DELETED b"] {
        assert_eq!(watch.line().await, expected);
    }
}

#[tokio::test]
async fn a_watch_list_says_where_the_state_ends() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    cluster.config_map("b", json!({})).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=";
    let mut watch = Watch::start(&cluster, query).await;
    assert_eq!(watch.line().await, "ADDED a");
    assert_eq!(watch.line().await, "ADDED b");
    let end = watch.next().await.expect("an event");
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!((&end["object"]["kind"], &end["object"]["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    cluster.config_map("c", json!({})).await;
    assert_eq!(watch.line().await, "ADDED c");
}

#[tokio::test]
async fn a_lost_revision_is_an_error_event() {
    let cluster = cluster().await;
    let start = cluster.get(CONFIG_MAPS).await.revision();
    cluster.config_map("a", json!({})).await;
    cluster.config_map("b", json!({})).await;
    cluster.compact().await;
    let mut watch = Watch::start(&cluster, &format!("resourceVersion={start}")).await;
    let event = watch.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["reason"], "Expired");
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout() {
    let cluster = cluster().await;
    let mut watch = Watch::start(&cluster, "timeoutSeconds=1").await;
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn events_are_counted_with_their_sizes() {
    let cluster = cluster().await;
    let mut watch = Watch::start(&cluster, "").await;
    for name in ["a", "b"] {
        cluster.config_map(name, json!({})).await;
        assert_eq!(watch.line().await, format!("ADDED {name}"));
    }
    let metrics = cluster.get("/metrics").await.body;
    let text = metrics.as_str().expect("a text");
    let labels = "group=\"\",resource=\"configmaps\",version=\"v1\"";
    for line in [
        format!("\napiserver_watch_events_total{{{labels}}} 2\n"),
        format!("\napiserver_watch_events_sizes_bucket{{{labels},le=\"131072\"}} 2\n"),
        format!("\napiserver_watch_events_sizes_count{{{labels}}} 2\n"),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_version_begins_with_the_state_unless_it_says_no() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    for (query, expected) in [
        ("allowWatchBookmarks=true", "ADDED BOOKMARK"),
        ("resourceVersion=0&allowWatchBookmarks=true", "ADDED BOOKMARK"),
        ("", "ADDED"),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "ADDED"),
        ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", ""),
    ] {
        let mut watch = Watch::start(&cluster, &format!("timeoutSeconds=1&{query}")).await;
        let mut types = Vec::new();
        while let Some(event) = watch.next().await {
            types.push(event["type"].as_str().expect("a type").to_owned());
        }
        assert_eq!(types.join(" "), expected, "{query}");
    }
    let refused = cluster.get(&format!("{CONFIG_MAPS}?watch=true&continue=x")).await;
    assert_eq!(refused.code, 422, "{refused:?}");
}
