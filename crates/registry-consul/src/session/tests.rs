use std::time::Duration;

use serde_json::{Value, json};

use crate::acl::AclConfig;
use crate::space::testing::{ask, settle, state};
use crate::state::State;

async fn create(state: &std::sync::Arc<State>, body: Value) -> String {
    let answer = ask(state, "PUT", "/v1/session/create", "", body.to_string()).await.json();
    answer["ID"].as_str().expect("an id").to_owned()
}

async fn put(state: &std::sync::Arc<State>, target: &str) -> String {
    ask(state, "PUT", target, "", "v").await.text
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_renewed_ends_between_one_and_two_times_its_time_to_live() {
    let state = state(AclConfig::default()).await;
    let id = create(&state, json!({"TTL": "10s", "LockDelay": "0s"})).await;
    assert_eq!(put(&state, &format!("/v1/kv/lock?acquire={id}")).await, "true");
    let index = ask(&state, "GET", "/v1/kv/lock", "", "").await.index();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        let renewed = ask(&state, "PUT", &format!("/v1/session/renew/{id}"), "", "").await;
        assert_eq!((renewed.status, &renewed.json()[0]["TTL"]), (200, &json!("10s")));
    }
    // Renewals write nothing.
    assert_eq!(ask(&state, "GET", "/v1/kv/lock", "", "").await.index(), index);
    tokio::time::sleep(Duration::from_secs(10)).await;
    settle().await;
    assert_eq!(ask(&state, "GET", &format!("/v1/session/info/{id}"), "", "").await.json()[0]["ID"], json!(id));
    let before = tokio::time::Instant::now();
    // Its end wakes who waits for the lock.
    let answer = ask(&state, "GET", &format!("/v1/kv/lock?index={index}"), "", "").await;
    assert!(answer.json()[0].get("Session").is_none());
    assert!(before.elapsed() <= Duration::from_secs(10), "{:?}", before.elapsed());
    settle().await;
    assert_eq!(ask(&state, "GET", &format!("/v1/session/info/{id}"), "", "").await.text, "[]");
    let renewed = ask(&state, "PUT", &format!("/v1/session/renew/{id}"), "", "").await;
    assert_eq!((renewed.status, renewed.text), (404, format!("Session id '{id}' not found")));
}

#[tokio::test(start_paused = true)]
async fn a_key_cannot_be_locked_for_the_lock_delay_of_the_session_that_lost_it() {
    let state = state(AclConfig::default()).await;
    let (first, second) = (create(&state, json!({})).await, create(&state, json!({})).await);
    assert_eq!(put(&state, &format!("/v1/kv/lock?acquire={first}")).await, "true");
    assert_eq!(put(&state, &format!("/v1/kv/given?acquire={first}")).await, "true");
    assert_eq!(put(&state, &format!("/v1/kv/given?release={first}")).await, "true");
    assert_eq!(put(&state, &format!("/v1/session/destroy/{first}")).await, "true");
    // Who gives a lock back leaves no delay behind.
    assert_eq!(put(&state, &format!("/v1/kv/given?acquire={second}")).await, "true");
    for (seconds, expected) in [(0, "false"), (14, "false"), (2, "true")] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(put(&state, &format!("/v1/kv/lock?acquire={second}")).await, expected, "{seconds}");
    }
    let found = ask(&state, "GET", "/v1/kv/lock", "", "").await.json();
    assert_eq!((&found[0]["LockIndex"], &found[0]["Session"]), (&json!(2), &json!(second)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_releases_or_deletes_what_it_held_and_deletes_its_queries() {
    let state = state(AclConfig::default()).await;
    for (behavior, status) in [("release", 200), ("delete", 404)] {
        let id = create(&state, json!({"Behavior": behavior, "LockDelay": "0s"})).await;
        put(&state, &format!("/v1/kv/{behavior}?acquire={id}")).await;
        let query = json!({"Name": behavior, "Session": id, "Service": {"Service": "web"}}).to_string();
        let query = ask(&state, "POST", "/v1/query", "", query).await.json();
        let target = format!("/v1/query/{}", query["ID"].as_str().expect("an id"));
        assert_eq!(ask(&state, "GET", &target, "", "").await.status, 200);
        put(&state, &format!("/v1/session/destroy/{id}")).await;
        assert_eq!(ask(&state, "GET", &format!("/v1/kv/{behavior}"), "", "").await.status, status);
        assert_eq!(ask(&state, "GET", &target, "", "").await.status, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_are_refused_and_listed_as_consul_does() {
    let state = state(AclConfig::default()).await;
    let id = create(&state, json!({"Name": "n"})).await;
    let body = |value: Value| value.to_string();
    let cases = [
        ("PUT", "/v1/session/create", body(json!({"Node": "n2"})), 500, "Missing node registration"),
        ("PUT", "/v1/session/create", body(json!({"NodeChecks": ["x"]})), 500, "Missing check 'x' registration"),
        ("PUT", "/v1/session/create", body(json!({"TTL": "1s"})), 500, "must be between"),
        ("PUT", "/v1/session/create?dc=dc2", String::new(), 500, "No path to datacenter"),
        ("GET", "/v1/session/create", String::new(), 405, "not allowed"),
        ("GET", "/v1/session/list", String::new(), 200, id.as_str()),
        ("GET", "/v1/session/node/agent", String::new(), 200, id.as_str()),
        ("GET", "/v1/session/node/other", String::new(), 200, "[]"),
        ("GET", "/v1/session/info/11111111-1111-1111-1111-111111111111", String::new(), 200, "[]"),
        ("PUT", "/v1/session/destroy/11111111-1111-1111-1111-111111111111", String::new(), 200, "true"),
    ];
    for (method, target, body, status, part) in cases {
        let answer = ask(&state, method, target, "", body).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text);
        assert!(answer.text.contains(part), "{method} {target}: {}", answer.text);
    }
    let found = ask(&state, "GET", &format!("/v1/session/info/{id}"), "", "").await.json();
    assert_eq!(found[0]["LockDelay"], json!(15_000_000_000_u64));
    assert_eq!((&found[0]["NodeChecks"], &found[0]["Behavior"]), (&json!(["serfHealth"]), &json!("release")));
}
