//! Transactions on nodes, services and checks.

use http::Method;
use serde_json::{Value, json};

use super::World;

fn kv(verb: &str, key: &str) -> Value {
    json!({"KV": {"Verb": verb, "Key": key, "Value": "MQ=="}})
}

fn node(verb: &str, index: u64) -> Value {
    json!({"Node": {"Verb": verb, "Node": {"Node": "vm", "Address": "192.0.2.1", "Meta": {"os": "x"}, "ModifyIndex": index}}})
}

fn service(verb: &str, port: u16, index: u64) -> Value {
    json!({"Service": {"Verb": verb, "Node": "vm", "Service": {"Service": "web", "ID": "w1", "Port": port, "ModifyIndex": index}}})
}

fn check(verb: &str, id: &str, service: &str) -> Value {
    json!({"Check": {"Verb": verb, "Check": {"Node": "vm", "CheckID": id, "Name": id, "Status": "passing", "ServiceID": service}}})
}

#[tokio::test]
async fn nodes_services_and_checks_are_all_or_nothing_too() {
    let world = World::start().await;
    let cases = [
        (json!([node("get", 0)]), "node \"vm\" doesn't exist"),
        (json!([service("set", 80, 0)]), "Missing node registration"),
        (json!([check("set", "c", "w1")]), "Missing node registration"),
        (json!([node("set", 0), check("set", "c", "w1")]), "Missing service registration"),
        // One step on a key fails, and nothing else is there either.
        (json!([node("set", 0), service("set", 80, 0), kv("get", "none")]), "key \"none\" doesn't exist"),
        (json!([node("get", 0)]), "node \"vm\" doesn't exist"),
        (
            json!([
                kv("set", "a"),
                node("cas", 0),
                service("cas", 80, 0),
                check("set", "c", "w1"),
                check("set", "n", ""),
                node("get", 0)
            ]),
            "",
        ),
        (json!([service("get", 0, 0), check("get", "c", ""), check("get", "n", ""), kv("get", "a")]), ""),
        (json!([service("cas", 81, 0)]), "failed to set service \"w1\" on node \"vm\", index is stale"),
        (json!([service("cas", 81, 999_999)]), "failed to set service \"w1\" on node \"vm\", index is stale"),
        (json!([service("delete-cas", 81, 1), node("delete-cas", 1)]), "failed to delete node \"vm\", index is stale"),
        (json!([service("set", 81, 0), kv("check-not-exists", "a")]), "key \"a\" exists"),
        (json!([check("delete", "n", ""), check("delete", "c", "w1"), service("delete", 0, 0), node("delete", 0)]), ""),
        (
            json!([node("get", 0), service("get", 0, 0), check("get", "c", "")]),
            "check \"c\" on node \"vm\" doesn't exist",
        ),
        (json!([node("delete", 0), kv("delete", "a")]), ""),
    ];
    for (number, (body, problem)) in cases.into_iter().enumerate() {
        let answer = world.ask(Method::PUT, "/v1/txn", &body.to_string()).await;
        let (status, found) = (answer.status, answer.json());
        if problem.is_empty() {
            assert_eq!(status, 200, "{number}: {body}: {found}");
        } else {
            assert_eq!(status, 409, "{number}: {body}: {found}");
            let errors = found["Errors"].as_array().expect("errors");
            assert!(errors.iter().any(|error| error["What"] == problem), "{number}: {body}: {found}");
        }
    }
    world.stop().await;
}
