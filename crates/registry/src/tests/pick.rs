//! Which instance a caller is told, and which ones it is shown.

use std::collections::BTreeMap;

use super::*;

/// Two healthy instances in two zones, a third that warns, and a fourth that is down.
fn billing() -> Vec<(&'static str, Value)> {
    let instance = |zone: &str, version: &str, node: &str, health: &str| {
        json!({
            "spec": {
                "service": "billing", "address": "192.0.2.1", "version": version, "node": node,
                "locality": {"region": "north", "zone": zone}, "weights": {"passing": 3, "warning": 1},
            },
            "status": {"health": health, "reason": "as its check says"},
        })
    };
    vec![
        ("a", instance("z1", "1", "n1", "passing")),
        ("b", instance("z2", "1", "n2", "passing")),
        ("c", instance("z2", "2", "n2", "warning")),
        ("d", instance("z1", "2", "n1", "critical")),
        (
            "lone",
            json!({"spec": {"service": "ledger", "address": "192.0.2.2"}, "status": {"health": "critical", "reason": "no disk"}}),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_pick_follows_its_policy_and_never_meets_the_critical() {
    let world = World::start(fake()).await;
    world.show(&mut Catalog::new(), &billing());
    let cases = [
        ("", "a b c"),
        ("?policy=round-robin&version=1", "a b"),
        ("?policy=nearest&region=north&zone=z1", "a"),
        ("?policy=nearest&zone=z1", "a"),
        ("?policy=weighted&version=2", "c"),
        ("?policy=weighted", "a b c"),
    ];
    for (query, expected) in cases {
        let mut counts = BTreeMap::<String, u32>::new();
        for _ in 0..120 {
            let (status, answer) = world.ask(Method::GET, &format!("/registry/services/billing/pick{query}"), "").await;
            assert_eq!(status, StatusCode::OK, "{query}: {answer}");
            *counts.entry(answer["id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
        let ids: Vec<&str> = counts.keys().map(String::as_str).collect();
        assert_eq!(ids.join(" "), expected, "{query}");
        if !query.contains("weighted") {
            assert!(counts.values().all(|count| *count as usize == 120 / counts.len()), "{query}: {counts:?}");
        }
    }
    let of_key = |key: u32| format!("/registry/services/billing/pick?policy=hash&key={key}");
    let mut all = std::collections::BTreeSet::new();
    for key in 0..50 {
        let (_, first) = world.ask(Method::GET, &of_key(key), "").await;
        assert_eq!(world.ask(Method::GET, &of_key(key), "").await.1["id"], first["id"]);
        all.insert(first["id"].to_string());
    }
    assert!(all.len() > 1, "keys are spread");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pick_that_cannot_be_says_why() {
    let world = World::start(fake()).await;
    world.show(&mut Catalog::new(), &billing());
    let cases = [
        ("billing/pick?policy=best", 400, "none of round-robin"),
        ("billing/pick?policy=least", 400, "does not see requests"),
        ("billing/pick?policy=hash", 400, "key: "),
        ("billing/pick?policy=nearest", 400, "where the caller is"),
        ("billing/pick?node=n1", 400, "unknown parameter \"node\"; known are namespace, tag"),
        ("billing/pick?version=3", 404, "none of its 4 instances is as asked for"),
        ("billing/pick?namespace=other", 404, "no service billing in namespace other"),
        ("ledger/pick", 404, "1 are critical and 0 have weight 0; lone: no disk"),
        ("none/pick", 404, "no service none"),
    ];
    for (path, status, words) in cases {
        let (answered, answer) = world.ask(Method::GET, &format!("/registry/services/{path}"), "").await;
        assert_eq!(answered.as_u16(), status, "{path}");
        assert!(answer["message"].as_str().expect("a text").contains(words), "{path}: {answer}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_what_was_asked_for() {
    let world = World::start(fake()).await;
    world.show(&mut Catalog::new(), &billing());
    let cases = [
        ("service=billing", "a b c d"),
        ("version=2", "c d"),
        ("zone=z1", "a d"),
        ("region=north&zone=z2&version=1", "b"),
        ("region=south", ""),
        ("node=n2&health=warning", "c"),
        ("namespace=default&service=ledger", "lone"),
    ];
    for (query, expected) in cases {
        let (_, answer) = world.ask(Method::GET, &format!("/registry/instances?{query}"), "").await;
        let ids: Vec<&str> = answer.as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect();
        assert_eq!(ids.join(" "), expected, "{query}");
    }
    world.stop().await;
}
