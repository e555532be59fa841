//! Who waits for what: readers for changes, writers for each other.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{defaults, resolver};
use crate::acl::AclConfig;
use crate::space::testing::{MemoryStore, ask, settle, state, state_over};

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_entry_or_a_list_is_woken_by_what_changes_it_alone() {
    let state = state(AclConfig::default()).await;
    let put = async |body: serde_json::Value| {
        let answer = ask(&state, "PUT", "/v1/config", "", body.to_string()).await;
        assert_eq!(answer.text, "true", "{body}");
    };
    let delete = async |path: &str| {
        let answer = ask(&state, "DELETE", &format!("/v1/config/{path}"), "", "").await;
        assert_eq!(answer.status, 200, "{path}");
    };
    for (path, status) in [("service-defaults/web", 404), ("service-defaults", 200), ("", 200)] {
        let mut index = ask(&state, "GET", &format!("/v1/config/{path}"), "", "").await.index();
        let wait = |index: u64| {
            let (asking, target) = (state.clone(), format!("/v1/config/{path}?index={index}&wait=5m"));
            tokio::spawn(async move { ask(&asking, "GET", &target, "", "").await })
        };
        // What changes what is waited for, and what of it is there then.
        for (protocol, there) in [("http", true), ("grpc", true), ("", false)] {
            let waiting = wait(index);
            settle().await;
            let before = tokio::time::Instant::now();
            if !path.is_empty() {
                put(resolver("web", json!({"ConnectTimeout": format!("{index}s")}))).await;
                delete("service-resolver/web").await;
                settle().await;
                assert!(!waiting.is_finished(), "{path} was woken by another kind");
            }
            if there {
                put(defaults("web", protocol)).await
            } else {
                delete("service-defaults/web").await
            }
            let answer = waiting.await.expect("no panic");
            assert_eq!(before.elapsed(), Duration::ZERO, "{path} {protocol}");
            assert!(answer.index() > index, "{path} {protocol}");
            assert_eq!(answer.status, if there { 200 } else { status }, "{path} {protocol}");
            assert_eq!(answer.text.contains(&format!("\"Protocol\":{protocol:?}")), there, "{path}: {}", answer.text);
            index = answer.index();
        }
        let before = tokio::time::Instant::now();
        let answer = ask(&state, "GET", &format!("/v1/config/{path}?index={index}&wait=10s"), "", "").await;
        assert_eq!((answer.status, answer.index()), (status, index), "{path}");
        assert!(before.elapsed() >= Duration::from_secs(10), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_entry_is_not_woken_by_one_whose_name_begins_the_same() {
    let state = state(AclConfig::default()).await;
    let path = "/v1/config/service-defaults/web";
    let index = ask(&state, "GET", path, "", "").await.index();
    ask(&state, "PUT", "/v1/config", "", defaults("web2", "http").to_string()).await;
    ask(&state, "DELETE", "/v1/config/service-defaults/web2", "", "").await;
    settle().await;
    let before = tokio::time::Instant::now();
    let answer = ask(&state, "GET", &format!("{path}?index={index}&wait=10s"), "", "").await;
    assert_eq!((answer.status, answer.index()), (404, index));
    assert!(before.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_pauses_and_gives_up_in_the_end() {
    let store = Arc::new(MemoryStore::default());
    let state = state_over(store.clone(), AclConfig::default()).await;
    let body = defaults("web", "http").to_string();
    let path = "/v1/config/service-defaults/web";
    for (method, path, body) in [("PUT", "/v1/config", &*body), ("DELETE", path, "")] {
        for (lost, status, seconds) in [(20, 500, 1..5), (9, 200, 1..5), (0, 200, 0..1)] {
            store.lose(lost);
            let before = tokio::time::Instant::now();
            let answer = ask(&state, method, path, "", body.to_owned()).await;
            assert_eq!(answer.status, status, "{method} {lost}: {}", answer.text);
            assert!(seconds.contains(&before.elapsed().as_secs()), "{method} {lost}: {:?}", before.elapsed());
            if status == 500 {
                assert_eq!(answer.text, "somebody else changed it at the same time; try again");
            }
        }
    }
}
