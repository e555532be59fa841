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
        ("?policy=least&version=1", "a b"),
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

#[tokio::test(start_paused = true)]
async fn the_least_is_who_was_sent_the_fewest_callers_for_its_weight() {
    let world = World::start(fake()).await;
    world.show(&mut Catalog::new(), &billing());
    // What others were sent by name counts: "a" has more to do than "b".
    for _ in 0..3 {
        let (status, _) = world.ask(Method::GET, "/registry/services/billing/pick?policy=nearest&zone=z1", "").await;
        assert_eq!(status, StatusCode::OK);
    }
    let mut ids = Vec::new();
    for _ in 0..7 {
        let (_, answer) = world.ask(Method::GET, "/registry/services/billing/pick?policy=least", "").await;
        ids.push(answer["id"].as_str().expect("an id").to_owned());
    }
    // Of weights 3, 3 and 1 each gets its share: of ten callers 4, 4 and 2 at most.
    let count = |id: &str| ids.iter().filter(|found| *found == id).count();
    assert!(count("a") <= 1 && count("b") >= 3 && count("c") >= 1, "{ids:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn prometheus_is_told_what_to_scrape() {
    let world = World::start(fake()).await;
    let spec = json!({"service": "web", "address": "2001:db8::1", "tags": ["blue", "edge"], "metadata": {"build-id": "7"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "admin", "port": 81, "protocol": "TCP"}]});
    world.show(&mut Catalog::new(), &[("web-1", json!({"spec": spec}))]);
    let (status, answer) = world.ask(Method::GET, "/registry/targets?service=web", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&answer[0]["targets"], &answer[1]["targets"]),
        (&json!(["[2001:db8::1]:80"]), &json!(["[2001:db8::1]:81"]))
    );
    let labels = &answer[0]["labels"];
    assert_eq!(labels["__meta_portolan_service"], "web");
    assert_eq!(labels["__meta_portolan_tags"], ",blue,edge,");
    assert_eq!(labels["__meta_portolan_metadata_build_id"], "7");
    assert_eq!(labels["__meta_portolan_port_name"], "http");
    world.stop().await;
}
