//! One greedy client does not keep others waiting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use portolan_apiserver::authentication::{Authentication, StaticTokens};
use portolan_apiserver::{Access, Body, Peer};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Cluster, cluster_with, request};

async fn busy(most_requests: usize) -> Cluster {
    let static_tokens =
        StaticTokens::parse("greedy,greedy,1\npolite,polite,2\nadmin,admin,3,system:masters").expect("reads");
    let authentication = Authentication { static_tokens, ..Authentication::default() };
    let cluster =
        cluster_with(Access { authentication, most_requests: Some(most_requests), ..Access::default() }).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let subjects = [json!({"kind": "User", "name": "greedy"}), json!({"kind": "User", "name": "polite"})];
    for part in ["edit", "view"] {
        let role = format!("system:aggregate-to-{part}");
        let binding = json!({
            "metadata": {"name": part}, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        });
        assert_eq!(cluster.create(rbac, binding).await.code, 201);
    }
    cluster
}

fn as_user(user: &str, mut request: http::Request<Body>) -> http::Request<Body> {
    let value = format!("Bearer {user}").parse().expect("a header");
    request.headers_mut().insert("authorization", value);
    request
}

fn network() -> Peer {
    Peer::tls(&[], ([127, 0, 0, 1], 50000).into())
}

/// A request that writes, and ends once it runs and gets a permit.
fn open_ended(user: &str, permits: &Arc<Semaphore>) -> http::Request<Body> {
    let permits = permits.clone();
    let frames = futures::stream::once(async move {
        permits.acquire().await?.forget();
        Ok::<_, portolan_apiserver::BoxError>(http_body::Frame::data(Bytes::from_static(b"{}")))
    });
    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
    let plain = request("POST", "/api/v1/namespaces/default/configmaps", "application/json", "");
    as_user(user, plain.map(|_| body))
}

#[tokio::test]
async fn a_greedy_client_waits_for_itself() {
    // `global-default` gets 20 of 245 shares: two seats.
    let cluster = busy(20).await;
    let mut running = JoinSet::new();
    let permits = Arc::new(Semaphore::new(0));
    for _ in 0..40 {
        let request = open_ended("greedy", &permits);
        let server = cluster.server.clone();
        running.spawn(async move { server.handle(request, network()).await.status().as_u16() });
    }
    let metrics = async || cluster.get("/metrics").await.body.as_str().unwrap_or_default().to_owned();
    let waiting = "apiserver_flowcontrol_current_inqueue_requests{priority_level=\"global-default\"} 38";
    while !metrics().await.contains(waiting) {
        tokio::task::yield_now().await;
    }
    let levels = cluster.get("/debug/api_priority_and_fairness/dump_priority_levels").await;
    let levels = levels.body.as_str().unwrap_or_default().to_owned();
    let words: Vec<Vec<&str>> = levels.lines().map(|line| line.split(',').map(str::trim).collect()).collect();
    assert_eq!(words[0][..3], ["PriorityLevelName", "ActiveQueues", "IsIdle"]);
    let own = words.iter().find(|line| line[0] == "global-default").expect("a line");
    assert_eq!(own[2..], ["false", "false", "38", "2", "2", "0", "0", "0"], "{levels}");
    assert!(words.iter().any(|line| line[0] == "exempt" && line[3..5] == ["false", "0"]), "{levels}");
    let queues = cluster.get("/debug/api_priority_and_fairness/dump_queues").await;
    let queues = queues.body.as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<&str>> = queues.lines().map(|line| line.split(',').map(str::trim).collect()).collect();
    assert_eq!(rows[0][..3], ["PriorityLevelName", "Index", "PendingRequests"]);
    let own = rows.iter().filter(|row| row[0] == "global-default");
    assert_eq!(own.clone().map(|row| row[2].parse::<usize>().expect("a number")).sum::<usize>(), 38, "{queues}");
    assert!(own.clone().all(|row| row.len() == 9 && row[8] == format!("{}.00000000ss", row[2])), "{queues}");
    let requests = cluster.get("/debug/api_priority_and_fairness/dump_requests").await;
    let requests = requests.body.as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<&str>> = requests.lines().map(|line| line.split(',').map(str::trim).collect()).collect();
    assert_eq!(
        rows[0][..5],
        ["PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher"]
    );
    assert_eq!(rows[0][5..], ["ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime"]);
    assert_eq!(rows.len(), 1 + 40, "{requests}");
    for row in &rows[1..] {
        assert_eq!((row[0], row[1], row[4]), ("global-default", "global-default", "greedy"), "{requests}");
        let (waits, started) = (row[3] != "-1", row[9] != "0001-01-01T00:00:00Z");
        assert_eq!((row[2] != "-1", started), (waits, !waits), "{requests}");
        assert_eq!(row[6..9], ["1", "0", "0s"]);
    }
    let detailed = cluster.get("/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1").await;
    let detailed = detailed.body.as_str().unwrap_or_default().to_owned();
    let last: Vec<&str> = detailed.lines().last().unwrap_or_default().split(',').map(str::trim).collect();
    let path = "/api/v1/namespaces/default/configmaps";
    assert_eq!(last[10..], ["greedy", "create", path, "default", "", "v1", "configmaps", ""], "{detailed}");
    let get = |user: &str| as_user(user, request("GET", "/api/v1/namespaces/default/pods", "", ""));
    // Administrators are exempt.
    let exempt = cluster.server.handle(get("admin"), network()).await;
    assert_eq!(exempt.status(), 200);
    assert!(exempt.headers().contains_key("x-kubernetes-pf-flowschema-uid"));
    let server = cluster.server.clone();
    let polite = tokio::spawn(async move { server.handle(get("polite"), network()).await.status().as_u16() });
    let waiting = "apiserver_flowcontrol_current_inqueue_requests{priority_level=\"global-default\"} 39";
    while !metrics().await.contains(waiting) {
        tokio::task::yield_now().await;
    }
    // The greedy client's requests end one by one; long before all of them the polite one's turn comes.
    let mut ended = 0;
    while !polite.is_finished() {
        assert!(ended < 12, "the polite client waits for the greedy one");
        permits.add_permits(1);
        ended += 1;
        running.join_next().await.expect("one ends").expect("no panic");
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(polite.await.expect("no panic"), 200);
    permits.add_permits(100);
    while running.join_next().await.is_some() {}
}

#[tokio::test]
async fn who_waits_too_long_is_told_to_come_back() {
    let cluster = busy(1).await;
    let first = open_ended("greedy", &Arc::new(Semaphore::new(0)));
    let server = cluster.server.clone();
    let mut running = JoinSet::new();
    running.spawn(async move { server.handle(first, network()).await });
    tokio::time::pause();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let late = cluster.server.handle(as_user("polite", request("GET", "/version", "", "")), network()).await;
    assert_eq!(late.status(), 429);
    for (name, value) in [("retry-after", "1"), ("content-type", "text/plain; charset=utf-8")] {
        assert_eq!(late.headers()[name], value);
    }
    for name in ["x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"] {
        assert!(!late.headers()[name].is_empty(), "{name}");
    }
    let body = late.into_body().collect().await.expect("arrives").to_bytes();
    assert_eq!(&body[..], b"Too many requests, please try again later.\n");
}

const FLOWS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";

#[tokio::test]
async fn without_any_flow_requests_are_still_counted() {
    let cluster = busy(1).await;
    for path in [FLOWS, LEVELS] {
        assert_eq!(cluster.delete(path, json!({})).await.code, 200);
    }
    let answer = cluster.server.handle(as_user("polite", request("GET", "/version", "", "")), network()).await;
    assert_eq!(answer.status(), 200);
    // It is not stored, so it has no id.
    assert_eq!(answer.headers()["x-kubernetes-pf-flowschema-uid"], "");
    let first = open_ended("greedy", &Arc::new(Semaphore::new(0)));
    let server = cluster.server.clone();
    let mut running = JoinSet::new();
    running.spawn(async move { server.handle(first, network()).await });
    let metrics = async || cluster.get("/metrics").await.body.as_str().unwrap_or_default().to_owned();
    while !metrics().await.contains("current_executing_requests{priority_level=\"catch-all\"} 1") {
        tokio::task::yield_now().await;
    }
    let late = cluster.server.handle(as_user("polite", request("GET", "/version", "", "")), network()).await;
    assert_eq!(late.status(), 429);
    let exempt = cluster.server.handle(as_user("admin", request("GET", "/version", "", "")), network()).await;
    assert_eq!(exempt.status(), 200);
}

#[tokio::test]
async fn what_is_deleted_or_changed_of_the_flows_comes_back() {
    let cluster = cluster_with(Access::default()).await;
    let serving = cluster.serve().await;
    let before = cluster.get(FLOWS).await.revision();
    let patch = async |path: &str, patch: serde_json::Value| {
        cluster.ask("PATCH", path, "application/merge-patch+json", &patch.to_string()).await.text()
    };
    let annotated = |value: &str| json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": value}}});
    let spec = |precedence: u32| json!({"spec": {"matchingPrecedence": precedence}});
    for path in [format!("{FLOWS}/catch-all"), format!("{LEVELS}/exempt"), format!("{FLOWS}/system-nodes")] {
        assert_eq!(cluster.delete(&path, json!({})).await.code, 200);
    }
    assert_eq!(patch(&format!("{FLOWS}/exempt"), annotated("false")).await, "200");
    assert_eq!(patch(&format!("{FLOWS}/service-accounts"), spec(77)).await, "200");
    assert_eq!(patch(&format!("{FLOWS}/global-default"), annotated("false")).await, "200");
    assert_eq!(patch(&format!("{FLOWS}/global-default"), spec(78)).await, "200");
    tokio::time::pause();
    let found = async |name: &str| cluster.get(&format!("{FLOWS}/{name}")).await.body;
    let wanted = [("catch-all", 10_000), ("system-nodes", 500), ("service-accounts", 9000), ("global-default", 78)];
    let mut wrong = vec![String::new()];
    // The store's threads keep their own time, so it may take more than one of these minutes.
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_secs(61)).await;
        wrong.clear();
        for (name, precedence) in wanted {
            let precedence_found = found(name).await["spec"]["matchingPrecedence"].clone();
            if precedence_found != precedence {
                wrong.push(format!("{name}: {precedence_found}"));
            }
        }
        if found("exempt").await["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] != "true" {
            wrong.push("exempt: not looked after".into());
        }
        if cluster.get(&format!("{LEVELS}/exempt")).await.code != 200 {
            wrong.push("the level exempt is not there".into());
        }
        let flows = cluster.get(FLOWS).await.body["items"].take();
        if flows.as_array().into_iter().flatten().any(|flow| flow["status"]["conditions"][0]["status"] != "False") {
            wrong.push("it is not told whether levels are there".into());
        }
        if wrong.is_empty() {
            break;
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // What is as it should be is not written again.
    let settled = cluster.get(FLOWS).await.revision();
    assert!(settled > before);
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(cluster.get(FLOWS).await.revision(), settled);
    tokio::time::resume();
    serving.end().await;
}

#[tokio::test]
async fn mandatory_flows_and_levels_stay_as_they_are() {
    let cluster = cluster_with(Access::default()).await;
    for (path, patch, expected) in [
        (format!("{FLOWS}/catch-all"), json!({"spec": {"matchingPrecedence": 5}}), "422 FlowSchema"),
        (format!("{FLOWS}/exempt"), json!({"spec": {"distinguisherMethod": {"type": "ByUser"}}}), "422 FlowSchema"),
        (
            format!("{LEVELS}/catch-all"),
            json!({"spec": {"limited": {"nominalConcurrencyShares": 50}}}),
            "422 PriorityLevelConfiguration",
        ),
        (format!("{LEVELS}/exempt"), json!({"spec": {"exempt": {"nominalConcurrencyShares": 7}}}), "200"),
    ] {
        let text = cluster.ask("PATCH", &path, "application/merge-patch+json", &patch.to_string()).await.text();
        assert!(text.starts_with(expected), "{path}: {text}");
        if expected != "200" {
            assert!(text.ends_with("must equal the fixed value"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_timeout_that_cannot_be_read_is_refused() {
    let cluster = busy(600).await;
    for (timeout, expected) in [
        ("abc", "400 invalid timeout specified in the request URL - time: invalid duration \"abc\""),
        ("5", "400 invalid timeout specified in the request URL - time: missing unit in duration \"5\""),
        ("5x", "400 invalid timeout specified in the request URL - time: unknown unit \"x\" in duration \"5x\""),
        ("0", "200"),
        ("-3s", "200"),
        ("1h2m3s4ms5us", "200"),
    ] {
        assert_eq!(cluster.get(&format!("/api/v1/pods?timeout={timeout}")).await.text(), expected, "{timeout}");
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let cluster = busy(600).await;
    // Less than the server's own limit, and than a body may take.
    let mut request = open_ended("greedy", &Arc::new(Semaphore::new(0)));
    *request.uri_mut() = "/api/v1/namespaces/default/configmaps?timeout=5s".parse().expect("a URI");
    tokio::time::pause();
    let answer = cluster.server.handle(request, network()).await;
    assert_eq!(answer.status(), 504);
    let body = answer.into_body().collect().await.expect("arrives").to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("Timeout: request did not complete within the allotted timeout"), "{text}");
}

#[tokio::test]
async fn flows_say_whether_their_levels_are_there() {
    let cluster = cluster_with(Access::default()).await;
    let serving = cluster.serve().await;
    let told = async |name: &str, status: &str, reason: &str, message: &str| {
        let wanted = json!({"status": status, "reason": reason, "message": message, "type": "Dangling"});
        let is_told = async || {
            let mut flow = cluster.get(&format!("{FLOWS}/{name}")).await.body;
            let Some(condition) = flow.pointer_mut("/status/conditions/0") else { return false };
            condition.as_object_mut().is_some_and(|condition| condition.remove("lastTransitionTime").is_some())
                && *condition == wanted
        };
        for _ in 0..1000 {
            if is_told().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name}: {}", cluster.get(&format!("{FLOWS}/{name}")).await.body["status"]);
    };
    let names =
        |level: &str| format!("This FlowSchema references the PriorityLevelConfiguration object named \"{level}\"");
    told("exempt", "False", "Found", &format!("{} and it exists", names("exempt"))).await;
    let flow = json!({"metadata": {"name": "own"}, "spec": {"priorityLevelConfiguration": {"name": "later"}}});
    assert_eq!(cluster.create(FLOWS, flow).await.code, 201);
    told("own", "True", "NotFound", &format!("{} but there is no such object", names("later"))).await;
    let level = json!({"metadata": {"name": "later"}, "spec": {"type": "Exempt", "exempt": {}}});
    assert_eq!(cluster.create(LEVELS, level).await.code, 422);
    let level = json!({"metadata": {"name": "later"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"},
    }}});
    assert_eq!(cluster.create(LEVELS, level).await.code, 201);
    told("own", "False", "Found", &format!("{} and it exists", names("later"))).await;
    let managers = cluster.get(&format!("{FLOWS}/own")).await.body["metadata"]["managedFields"].take();
    let consumer = "api-priority-and-fairness-config-consumer-v1";
    let of_consumer = managers.as_array().into_iter().flatten().find(|entry| entry["manager"] == consumer);
    assert_eq!(
        of_consumer.map(|entry| (&entry["operation"], &entry["subresource"])),
        Some((&json!("Apply"), &json!("status")))
    );
    serving.end().await;
}
