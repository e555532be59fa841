//! What makes no sense gets the answer that Consul gives, and changes nothing.

use http::Method;
use portolan_api::typed::{ExternalNode, PreparedQuery, ServiceInstance};
use portolan_registrar::http::{Handler as _, Refusal};
use serde_json::Value;

use super::World;

fn deep(bracket: char, depth: usize) -> String {
    std::iter::repeat_n(bracket, depth).collect()
}

#[tokio::test]
async fn malformed_requests_are_refused_in_consuls_words_and_change_nothing() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", r#"{"Name": "web", "ID": "web-1", "Check": {"TTL": "10s"}}"#).await;
    world.put("/v1/kv/there", "1").await;
    let state = async || {
        let kept = world.get("/v1/kv/?recurse").await.json();
        let sessions = world.get("/v1/session/list").await.json();
        let objects = (
            world.api.objects::<ServiceInstance>(),
            world.api.objects::<ExternalNode>(),
            world.api.objects::<PreparedQuery>(),
        );
        (kept, sessions, objects)
    };
    let before = state().await;
    let nested = format!("{{\"Name\": \"a\", \"Meta\": {}", deep('[', 5_000));
    let brackets = format!("/v1/catalog/nodes?filter={}", deep('(', 2_000));
    let negations = format!("/v1/catalog/nodes?filter={}Node==a", "not%20".repeat(2_000));
    let long_key = format!("/v1/kv/{}", "k".repeat(4_096));
    let (get, put, post, delete, patch) = (Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH);
    let register = "/v1/agent/service/register";
    let cases: Vec<(&Method, &str, &str, u16, &str)> = vec![
        // Bodies.
        (&put, register, "{", 400, "Request decode failed: EOF while parsing"),
        (&put, register, "[]", 400, "Request decode failed: invalid type: sequence"),
        (&put, register, "null", 400, "Request decode failed"),
        (&put, register, "\u{0}", 400, "Request decode failed"),
        (&put, register, "<xml/>", 400, "Request decode failed"),
        (&put, register, r#"{"Name": "a"} trailing"#, 400, "Request decode failed: trailing characters"),
        (&put, register, &nested, 400, "Request decode failed: recursion limit exceeded"),
        (&put, register, r#"{"Name": 7}"#, 400, "cannot unmarshal number into field Name of type string"),
        (
            &put,
            register,
            r#"{"Name": "a", "Port": 99999999999999999999}"#,
            400,
            "cannot unmarshal number into field Port",
        ),
        (&put, register, r#"{"Name": "a", "Port": 1e400}"#, 400, "Request decode failed: number out of range"),
        (&put, register, r#"{"Name": "a", "Port": 65536}"#, 400, "Invalid port number 65536"),
        (&put, register, r#"{"Name": "a", "Port": -1}"#, 400, "Invalid port number -1"),
        (&put, register, r#"{"Name": "a", "Tags": [1]}"#, 400, "cannot unmarshal number into field Tags"),
        (&put, register, r#"{"Name": "a", "Meta": {"a": 1}}"#, 400, "cannot unmarshal number into field Meta"),
        (&put, register, r#"{"Name": "a", "Check": {"TTL": "10"}}"#, 400, "missing unit in duration \"10\""),
        (&put, register, r#"{"Name": "a", "Check": {"TTL": "x"}}"#, 400, "invalid duration \"x\""),
        (&put, register, r#"{"Name": "a", "Check": {"TTL": -5}}"#, 400, "cannot unmarshal number into field TTL"),
        (&put, register, r#"{"Name": "a", "Checks": {"TTL": "1s"}}"#, 400, "Checks"),
        (&put, register, r#"{"Name": "a", "Check": {"HTTP": "http://x"}}"#, 400, "Invalid check: Interval must be > 0"),
        (&put, register, r#"{"Name": "a", "Weights": {"Passing": -1}}"#, 400, "Weight"),
        (&put, "/v1/agent/check/register", r#"{"Name": "c"}"#, 400, "Invalid check"),
        (&put, "/v1/agent/check/update/service:web-1", r#"{"Status": "fine"}"#, 400, "Invalid check status: 'fine'"),
        (&put, "/v1/agent/check/update/service:web-1", "{", 400, "Request decode failed"),
        (&put, "/v1/catalog/register", r#"{"Node": "a", "Address": 1}"#, 400, "field Address of type string"),
        (&put, "/v1/catalog/register", r#"{"Node": "a", "Address": "192.0.2.1", "Service": []}"#, 400, "field Service"),
        (&put, "/v1/catalog/register", r#"{"Node": "a", "Address": "192.0.2.1", "Checks": [1]}"#, 400, "field Checks"),
        (
            &put,
            "/v1/catalog/register",
            r#"{"Datacenter": "x", "Node": "a", "Address": "192.0.2.1"}"#,
            500,
            "No path to datacenter",
        ),
        (&put, "/v1/catalog/deregister", "[1]", 400, "Request decode failed"),
        (&put, "/v1/session/create", "{", 400, "Request decode failed"),
        (&put, "/v1/session/create", r#"{"TTL": "1s"}"#, 500, "Invalid Session TTL"),
        (&put, "/v1/session/create", r#"{"TTL": "x"}"#, 500, "duration"),
        (
            &put,
            "/v1/session/create",
            r#"{"LockDelay": "99999999999h"}"#,
            400,
            "Request decode failed: invalid LockDelay",
        ),
        (&put, "/v1/session/create", r#"{"Behavior": "explode"}"#, 500, "Invalid Behavior setting 'explode'"),
        (&put, "/v1/session/create", r#"{"Checks": ["none"]}"#, 500, "Missing check 'none' registration"),
        (&put, "/v1/txn", "{", 400, "Failed to parse body"),
        (&post, "/v1/query", "{", 400, "Request decode failed"),
        (&post, "/v1/query", "{}", 400, "Must be bound to a session"),
        (
            &post,
            "/v1/query",
            r#"{"Service": {"Service": "web"}, "Template": {"Type": "name_prefix_match", "Regexp": "("}, "Name": "a"}"#,
            400,
            "",
        ),
        (&put, "/v1/coordinate/update", "[", 400, "Request decode failed"),
        // Parameters.
        (&put, "/v1/kv/a?flags=x", "1", 500, "strconv.ParseUint: parsing \"x\": invalid syntax"),
        (&put, "/v1/kv/a?cas=x", "1", 500, "strconv.ParseUint: parsing \"x\": invalid syntax"),
        (&put, "/v1/kv/a?cas=-1", "1", 500, "strconv.ParseUint: parsing \"-1\": invalid syntax"),
        (&put, "/v1/kv/a?flags=99999999999999999999", "1", 500, "value out of range"),
        (&put, "/v1/kv/a?acquire=x&release=y", "1", 400, "Conflicting flags"),
        (&put, "/v1/kv/a?acquire=nobody", "1", 500, "session"),
        (&delete, "/v1/kv/there?cas=x", "", 500, "strconv.ParseUint"),
        (&delete, "/v1/kv/there?cas=1&recurse", "", 400, "Conflicting flags"),
        (&put, "/v1/kv/", "1", 400, "Missing key name"),
        (&delete, "/v1/kv/", "", 400, "Missing key name"),
        (&get, "/v1/kv/", "", 400, "Missing key name"),
        (&get, "/v1/kv/there?index=x", "", 400, "Invalid index"),
        (&get, "/v1/kv/there?wait=10", "", 400, "Invalid wait time"),
        (&get, "/v1/kv/there?stale&consistent", "", 400, "Cannot specify ?stale with ?consistent"),
        (&get, "/v1/kv/there?dc=x", "", 500, "No path to datacenter"),
        (&get, "/v1/health/service/web?index=-1", "", 400, "Invalid index"),
        (&get, "/v1/health/service/web?index=18446744073709551616", "", 400, "Invalid index"),
        (&get, "/v1/health/service/web?index=1.5", "", 400, "Invalid index"),
        (&get, "/v1/health/service/web?wait=1y", "", 400, "Invalid wait time"),
        (&get, "/v1/health/service/web?cached&consistent", "", 400, "Cannot specify ?cached with ?consistent"),
        (&get, "/v1/catalog/nodes?max_stale=x", "", 400, "Invalid max_stale value \"x\""),
        (&get, "/v1/health/service/web?filter=%22", "", 400, "Failed to create boolean expression evaluator"),
        (
            &get,
            "/v1/health/service/web?filter=Service.Port+%3D%3D",
            "",
            400,
            "Failed to create boolean expression evaluator",
        ),
        (&get, "/v1/health/service/web?filter=Service.Port%3D%3Dx", "", 400, ""),
        (&get, "/v1/health/service/web?filter=Node+matches+%22(%22", "", 400, ""),
        (&get, &brackets, "", 400, "Failed to create boolean expression evaluator"),
        (&get, &negations, "", 400, "Failed to create boolean expression evaluator"),
        (&put, "/v1/agent/service/maintenance/web-1?enable=maybe", "", 400, "Invalid value for enable: \"maybe\""),
        (&put, "/v1/agent/maintenance", "", 400, "Missing value for enable"),
        (&put, "/v1/agent/maintenance?enable=2", "", 400, "Invalid value for enable: \"2\""),
        // Paths and methods.
        (&get, "/v1/", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
        (&get, "/v1/nothing", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
        (&get, "/v1/catalog/nothing", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
        (&get, "/elsewhere", "", 404, "ensure the path starts with '/v1/'"),
        (&get, "/v1/kv/%", "", 400, "invalid URL escape"),
        (&put, "/v1/kv/%ff", "1", 400, ""),
        (&get, "/v1/health/service/%g0", "", 400, "invalid URL escape"),
        (&post, register, "{}", 405, "method POST not allowed"),
        (&patch, "/v1/kv/there", "2", 405, "method PATCH not allowed"),
        (&delete, "/v1/catalog/services", "", 405, "method DELETE not allowed"),
        (&get, "/v1/txn", "", 405, "method GET not allowed"),
        (&put, "/v1/event/fire/", "", 400, "Missing name"),
        (&put, "/v1/event/fire/a?node=(", "", 400, "Invalid node filter: error parsing regexp: missing closing ): `(`"),
        (&put, "/v1/session/renew/nobody", "", 404, "Session id 'nobody' not found"),
        (&put, "/v1/session/destroy/", "", 400, "Missing session"),
        (&put, "/v1/session/renew/", "", 400, "Missing session"),
        (&get, "/v1/session/info/", "", 400, "Missing session"),
        (&get, "/v1/session/node/", "", 400, "Missing node name"),
        (&get, "/v1/health/node/", "", 400, "Missing node name"),
        (&get, "/v1/health/checks/", "", 400, "Missing service name"),
        (&get, "/v1/health/state/", "", 400, "Missing check state"),
        (&get, "/v1/catalog/node/", "", 400, "Missing node name"),
        (&get, "/v1/catalog/service/", "", 400, "Missing service name"),
        (&put, "/v1/agent/check/deregister/none", "", 404, "Unknown check ID \"none\""),
        (&put, &long_key, "1", 400, "the key is 4096 bytes long, at most 4000 are possible"),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, status, words) in cases {
        let answer = world.ask(method.clone(), path, body).await;
        let shown = if path.len() > 100 { &path[..100] } else { path };
        if answer.status != status || !answer.text().contains(words) {
            wrong.push(format!(
                "{method} {shown} {:.80}: {} {:.200}; not {status} {words}",
                body,
                answer.status,
                answer.text()
            ));
        } else if answer.headers["content-type"] != "text/plain; charset=utf-8" {
            wrong.push(format!("{method} {shown}: {:?}", answer.headers["content-type"]));
        }
        if state().await != before {
            wrong.push(format!("{method} {shown} {body:.80} changed something"));
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let large = world.consul.refuse(Refusal::TooLarge(7));
    assert_eq!(large.status(), 413);
    // Whatever was asked, the next request is answered.
    assert_eq!(world.get("/v1/kv/there").await.json()[0]["Value"], Value::from("MQ=="));
    world.stop().await;
}
