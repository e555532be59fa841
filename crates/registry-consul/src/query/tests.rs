use serde_json::{Value, json};

use crate::acl::AclConfig;
use crate::space::testing::{ask, state};

#[tokio::test(start_paused = true)]
async fn queries_are_kept_found_and_explained() {
    let state = state(AclConfig::default()).await;
    assert_eq!(ask(&state, "GET", "/v1/query", "", "").await.text, "[]");
    let body = json!({"name": "geo-", "template": {"type": "name_prefix_match", "regexp": "^geo-(.+)$"},
        "service": {"service": "${match(1)}", "tags": ["!old"], "nodemeta": {"Rack": "a"}}, "dns": {"ttl": "10s"}});
    let made = ask(&state, "POST", "/v1/query", "", body.to_string()).await.json();
    let id = made["ID"].as_str().expect("an id").to_owned();
    let refused = |body: Value| (body.to_string(), 400);
    let cases = [
        (refused(json!({"Name": "geo-", "Service": {"Service": "x"}})), "aliases an existing query name"),
        (refused(json!({"Name": "x"})), "Must provide a Service name"),
        (refused(json!({"Service": {"Service": "x"}})), "Must be bound to a session"),
        (refused(json!({"Name": "x", "Session": "s", "Service": {"Service": "x"}})), "invalid session"),
        (refused(json!({"Name": "x", "Service": {"Service": "x"}, "DNS": {"TTL": "x"}})), "Bad DNS TTL"),
        (refused(json!({"Name": "x", "Service": {"Service": "x", "Failover": {"NearestN": -1}}})), "Bad NearestN"),
        (refused(json!({"Name": "x", "Template": {"Type": "y"}, "Service": {"Service": "x"}})), "Bad Template.Type"),
    ];
    for ((body, status), part) in cases {
        let answer = ask(&state, "POST", "/v1/query", "", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.text.contains(part), "{body}: {}", answer.text);
    }
    let explained = ask(&state, "GET", "/v1/query/geo-db/explain", "", "").await.json();
    assert_eq!(explained["Query"]["Service"]["Service"], json!("db"));
    assert_eq!(explained["Query"]["Service"]["NodeMeta"], json!({"Rack": "a"}));
    let run = ask(&state, "GET", "/v1/query/geo-db/execute", "", "").await.json();
    assert_eq!((&run["Nodes"], &run["DNS"], &run["Service"]), (&json!([]), &json!({"TTL": "10s"}), &json!("db")));
    assert_eq!(ask(&state, "GET", "/v1/query/nobody/execute", "", "").await.status, 404);
    let changed = json!({"Name": "geo-", "Service": {"Service": "fixed"}}).to_string();
    assert_eq!(ask(&state, "PUT", &format!("/v1/query/{id}"), "", changed).await.status, 200);
    assert_eq!(ask(&state, "GET", "/v1/query/geo-db/explain", "", "").await.status, 404);
    assert_eq!(ask(&state, "DELETE", &format!("/v1/query/{id}"), "", "").await.text, "true");
    assert_eq!(ask(&state, "GET", &format!("/v1/query/{id}"), "", "").await.status, 404);
}
