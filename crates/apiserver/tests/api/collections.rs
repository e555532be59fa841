//! Lists: pages, selectors, revisions.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, admin, cluster, request};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn names(answer: &Answer) -> Vec<&str> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name")).collect()
}

async fn ten() -> Cluster {
    let cluster = cluster().await;
    for index in 0..10 {
        cluster.config_map(&format!("c{index}"), json!({"even": (index % 2 == 0).to_string()})).await;
    }
    cluster
}

#[tokio::test]
async fn pages_belong_to_one_revision() {
    let cluster = ten().await;
    let first = cluster.get(&format!("{CONFIG_MAPS}?limit=4")).await;
    assert_eq!(names(&first), ["c0", "c1", "c2", "c3"]);
    assert_eq!(first.body["metadata"]["remainingItemCount"], 6);
    cluster.delete(&format!("{CONFIG_MAPS}/c5"), json!({})).await;
    let token = first.body["metadata"]["continue"].as_str().expect("a token").to_owned();
    let second = cluster.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}")).await;
    assert_eq!(names(&second), ["c4", "c5", "c6", "c7"]);
    assert_eq!(second.revision(), first.revision());
    let token = second.body["metadata"]["continue"].as_str().expect("a token").to_owned();
    let third = cluster.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}")).await;
    assert_eq!((names(&third), third.body["metadata"].get("continue")), (vec!["c8", "c9"], None));
}

#[tokio::test]
async fn a_page_of_a_lost_revision_is_gone_but_can_be_continued() {
    let cluster = ten().await;
    let first = cluster.get(&format!("{CONFIG_MAPS}?limit=4")).await;
    let token = first.body["metadata"]["continue"].as_str().expect("a token").to_owned();
    cluster.config_map("d", json!({})).await;
    cluster.compact().await;
    let gone = cluster.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}")).await;
    assert_eq!((gone.code.as_u16(), gone.body["reason"].as_str()), (410, Some("Expired")));
    let token = gone.body["metadata"]["continue"].as_str().expect("a token").to_owned();
    let rest = cluster.get(&format!("{CONFIG_MAPS}?continue={token}")).await;
    assert_eq!(names(&rest), ["c4", "c5", "c6", "c7", "c8", "c9", "d"]);
}

#[tokio::test]
async fn selectors_choose_also_across_pages() {
    let cluster = ten().await;
    let cases: [(&str, &[&str]); 7] = [
        ("labelSelector=even%3Dtrue", &["c0", "c2", "c4", "c6", "c8"]),
        ("labelSelector=even+notin+(true)", &["c1", "c3", "c5", "c7", "c9"]),
        ("labelSelector=even%3Dtrue&limit=2", &["c0", "c2"]),
        ("fieldSelector=metadata.name%3Dc3", &["c3"]),
        ("fieldSelector=metadata.name!%3Dc3&limit=4", &["c0", "c1", "c2", "c4"]),
        ("fieldSelector=metadata.namespace%3Dother", &[]),
        ("labelSelector=unheard", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(names(&cluster.get(&format!("{CONFIG_MAPS}?{query}")).await), expected, "{query}");
    }
    let everywhere = cluster.get("/api/v1/configmaps?fieldSelector=metadata.name%3Dc3").await;
    assert_eq!(names(&everywhere), ["c3"]);
    let page = cluster.get(&format!("{CONFIG_MAPS}?labelSelector=even%3Dtrue&limit=3")).await;
    assert_eq!(page.body["metadata"].get("remainingItemCount"), None);
    let token = page.body["metadata"]["continue"].as_str().expect("a token");
    let rest = cluster.get(&format!("{CONFIG_MAPS}?labelSelector=even%3Dtrue&limit=3&continue={token}")).await;
    assert_eq!((names(&rest), rest.body["metadata"].get("continue")), (vec!["c6", "c8"], None));
}

#[tokio::test]
async fn options_are_read_as_upstream_reads_them() {
    let cluster = ten().await;
    let cases = [
        ("limit=-1", "10"),
        ("limit=abc", "400 strconv.ParseInt: parsing \"abc\": invalid syntax"),
        ("timeoutSeconds=abc", "400 strconv.ParseInt: parsing \"abc\": invalid syntax"),
        ("watch=true&timeoutSeconds=abc", "400 strconv.ParseInt: parsing \"abc\": invalid syntax"),
        ("limit=99999999999999999999", "400 strconv.ParseInt: parsing \"99999999999999999999\": value out of range"),
        ("labelSelector=a+in+()", "0"),
        (
            "labelSelector=a+foo+b",
            "400 unable to parse requirement: found 'foo', expected: in, notin, =, ==, !=, gt, lt",
        ),
        ("labelSelector=x%3Da+b", "400 found 'b', expected: ',' or 'end of string'"),
    ];
    for (query, expected) in cases {
        let answer = cluster.get(&format!("{CONFIG_MAPS}?{query}")).await;
        let found = if answer.code == 200 { names(&answer).len().to_string() } else { answer.text() };
        assert_eq!(found, expected, "{query}");
    }
    let watch = request("GET", &format!("{CONFIG_MAPS}?watch=foo&timeoutSeconds=1"), "", "");
    let bytes = cluster.raw(admin(), watch).await.into_body().collect().await.expect("a body").to_bytes();
    assert!(bytes.starts_with(b"{\"type\":\"ADDED\""));
}

#[tokio::test]
async fn the_end_of_the_state_is_told_to_those_who_take_bookmarks() {
    let cluster = ten().await;
    for (bookmarks, expected) in [("", 0), ("&allowWatchBookmarks=true", 1)] {
        let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
        let watch = request("GET", &format!("{CONFIG_MAPS}?{query}{bookmarks}"), "", "");
        let bytes = cluster.raw(admin(), watch).await.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        let ends: Vec<&str> = text.lines().filter(|line| line.contains("BOOKMARK")).collect();
        assert_eq!(ends.len(), expected, "{text}");
        assert!(ends.iter().all(|end| !end.contains("creationTimestamp")), "{text}");
    }
}

#[tokio::test]
async fn revisions_can_be_asked_for() {
    let cluster = ten().await;
    let now = cluster.get(CONFIG_MAPS).await.revision();
    cluster.delete(CONFIG_MAPS, Value::Null).await;
    let at = |query: String| {
        let cluster = &cluster;
        async move { cluster.get(&format!("{CONFIG_MAPS}?{query}")).await }
    };
    assert_eq!(names(&at(format!("resourceVersion={now}&resourceVersionMatch=Exact")).await).len(), 10);
    assert_eq!(names(&at(format!("resourceVersion={now}")).await).len(), 0);
    assert_eq!(names(&at("resourceVersion=0".into()).await).len(), 0);
    let future = at("resourceVersion=999999&resourceVersionMatch=NotOlderThan".into()).await;
    assert_eq!((future.code.as_u16(), future.body["reason"].as_str()), (504, Some("Timeout")));
    assert!(future.text().starts_with("504 Timeout: Too large resource version: 999999, current: "), "{future:?}");
    assert_eq!(future.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test]
async fn a_list_is_streamed_whole() {
    let cluster = cluster().await;
    let filler = "x".repeat(10_000);
    for index in 0..40 {
        let body = json!({"metadata": {"name": format!("c{index:02}")}, "data": {"filler": filler}});
        assert_eq!(cluster.create(CONFIG_MAPS, body).await.code, 201);
    }
    let list = cluster.get(CONFIG_MAPS).await;
    assert_eq!(names(&list).len(), 40);
    assert!(
        list.body["items"]
            .as_array()
            .expect("items")
            .iter()
            .all(|item| item["metadata"]["resourceVersion"].is_string())
    );
    // The list says of what kind they are.
    assert_eq!((list.body["items"][0].get("kind"), list.body["items"][0].get("apiVersion")), (None, None));
}
