//! Transactions on nodes, services and checks.

use std::time::Duration;

use http::Method;
use portolan_api::typed::{Object as _, ServiceInstance};
use portolan_client::Status;
use serde_json::{Value, json};

use super::World;
use crate::AclConfig;

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

const ROOT: &str = "8fc9e787-674f-0709-cfd5-bfdabd73a70d";

/// A world where tokens are asked for.
async fn guarded() -> World {
    let acl = AclConfig { enabled: true, initial_management: Some(ROOT.into()), ..AclConfig::default() };
    World::with_acl(acl).await
}

/// Makes a token with these rules, and tells its secret.
async fn token(world: &World, name: &str, rules: &str) -> String {
    let policy = json!({"Name": name, "Rules": rules}).to_string();
    world.put(&format!("/v1/acl/policy?token={ROOT}"), &policy).await;
    let token = json!({"Policies": [{"Name": name}]}).to_string();
    let made = world.ask(Method::PUT, &format!("/v1/acl/token?token={ROOT}"), &token).await.json();
    made["SecretID"].as_str().expect("a secret").to_owned()
}

/// The checks on the node, each with its service.
async fn checks(world: &World) -> Vec<String> {
    let shown = world.get(&format!("/v1/health/node/vm?token={ROOT}")).await.json();
    let text = |check: &Value, field: &str| check[field].as_str().expect("a text").to_owned();
    let mut checks: Vec<String> = shown
        .as_array()
        .expect("a list")
        .iter()
        .map(|check| format!("{}@{}", text(check, "CheckID"), text(check, "ServiceID")))
        .collect();
    checks.sort();
    checks
}

#[tokio::test]
async fn a_step_on_a_check_needs_the_right_to_all_that_it_touches() {
    let world = guarded().await;
    let register = |service: &str, id: &str| json!({"Service": {"Verb": "set", "Node": "vm", "Service": {"Service": service, "ID": id, "Port": 1}}});
    let prepared = json!([
        node("set", 0),
        register("web", "w1"),
        register("bank", "b1"),
        check("set", "c", ""),
        check("set", "c", "w1"),
        check("set", "c", "b1"),
        check("set", "own", "w1"),
        check("set", "bank", "b1"),
    ]);
    world.put(&format!("/v1/txn?token={ROOT}"), &prepared.to_string()).await;
    let web = token(&world, "web", "service \"web\" { policy = \"write\" }").await;
    let services = token(&world, "services", "service_prefix \"\" { policy = \"write\" }").await;
    let machine = token(&world, "machine", "node \"vm\" { policy = \"write\" }").await;
    let before = checks(&world).await;
    assert_eq!(before, ["bank@b1", "c@", "c@b1", "c@w1", "own@w1"]);

    let refused = [
        // What names no service is the machine's, even where a service has a check of the id.
        (&web, check("set", "c", "")),
        (&services, check("set", "c", "")),
        (&web, check("cas", "new", "")),
        (&web, check("set", "c", "b1")),
        (&web, check("set", "c", "none")),
        (&machine, check("set", "c", "w1")),
        (&machine, check("get", "c", "w1")),
        (&web, check("get", "c", "b1")),
        (&web, check("get", "bank", "")),
        (&web, check("get", "c", "")),
        (&services, check("get", "c", "")),
        (&machine, check("get", "c", "")),
        (&web, check("delete", "c", "")),
        (&services, check("delete", "c", "")),
        (&machine, check("delete", "c", "")),
        (&web, check("delete", "c", "b1")),
        (&web, check("delete", "none", "")),
        // An id that is taken by another service.
        (&web, register("web", "b1")),
    ];
    for (token, step) in refused {
        let answer = world.ask(Method::PUT, &format!("/v1/txn?token={token}"), &json!([step]).to_string()).await;
        assert_eq!(answer.status, 409, "{step}: {}", answer.text());
        assert_eq!(answer.json()["Errors"][0]["What"], "Permission denied", "{step}");
        assert_eq!(checks(&world).await, before, "{step}");
    }

    let allowed = [
        (
            &web,
            json!([check("get", "c", "w1"), check("get", "own", "")]),
            vec!["bank@b1", "c@", "c@b1", "c@w1", "own@w1"],
        ),
        (&web, json!([check("set", "more", "w1")]), vec!["bank@b1", "c@", "c@b1", "c@w1", "more@w1", "own@w1"]),
        // Of a check that several have, only the named one's goes.
        (&web, json!([check("delete", "c", "w1")]), vec!["bank@b1", "c@", "c@b1", "more@w1", "own@w1"]),
        (&web, json!([check("delete", "own", ""), check("delete", "more", "w1")]), vec!["bank@b1", "c@", "c@b1"]),
        (&machine, json!([check("set", "c", ""), check("get", "serf", "")]), vec![]),
        (&machine, json!([check("set", "m", "")]), vec!["bank@b1", "c@", "c@b1", "m@"]),
        (&machine, json!([check("delete", "m", "")]), vec!["bank@b1", "c@", "c@b1"]),
        (&web, json!([register("web", "w2"), check("set", "new", "w2")]), vec!["bank@b1", "c@", "c@b1", "new@w2"]),
        (&ROOT.to_owned(), json!([check("delete", "c", "")]), vec!["bank@b1", "new@w2"]),
    ];
    for (token, steps, left) in allowed {
        let answer = world.ask(Method::PUT, &format!("/v1/txn?token={token}"), &steps.to_string()).await;
        // An empty list stands for steps that are allowed and fail for what there is.
        let (status, denied) = (answer.status, answer.text().contains("Permission denied"));
        assert_eq!((status, denied), (if left.is_empty() { 409 } else { 200 }, false), "{steps}: {}", answer.text());
        if !left.is_empty() {
            assert_eq!(checks(&world).await, left, "{steps}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_put_back_does_not_keep_the_rest_from_it() {
    let world = World::start().await;
    world.put("/v1/txn", &json!([node("set", 0), service("set", 80, 0)]).to_string()).await;
    let failing = |message: &str| Status { code: 500, message: message.to_owned(), ..Status::default() };
    let registered = world.api.objects::<ServiceInstance>()[0].name().to_owned();
    world.api.fail(Method::DELETE, &format!("serviceinstances/{registered}"), 1, failing("first"));
    world.api.fail(Method::DELETE, "externalnodes/", 1, failing("second"));
    let body = json!([
        {"Service": {"Verb": "set", "Node": "vm", "Service": {"Service": "web", "ID": "w2", "Port": 81}}},
        {"Node": {"Verb": "set", "Node": {"Node": "other", "Address": "192.0.2.2"}}},
        service("delete", 0, 0),
    ]);
    let answer = world.ask(Method::PUT, "/v1/txn", &body.to_string()).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    let error = &answer.json()["Errors"][0];
    assert_eq!(error["OpIndex"], 2);
    assert!(error["What"].as_str().is_some_and(|what| what.contains("first")), "{error}");
    let names: Vec<String> =
        world.api.objects::<ServiceInstance>().iter().map(|object| object.name().to_owned()).collect();
    assert_eq!(names, [registered], "the new one is gone, though the machine could not be put back");
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_leave_half_a_transaction() {
    const STEPS: usize = 60;
    let world = World::start().await;
    let register = |number: usize| json!({"Service": {"Verb": "set", "Node": "vm", "Service": {"Service": "web", "ID": format!("w{number}")}}});
    let body = Value::Array([node("set", 0)].into_iter().chain((0..STEPS).map(register)).collect()).to_string();
    let mut snapshots = world.snapshots.clone();
    let begun = snapshots.wait_for(|snapshot| snapshot.instances_of("default", "web").is_some());
    tokio::select! {
        biased;
        begun = begun => drop(begun.expect("the catalog is fed")),
        answer = world.ask(Method::PUT, "/v1/txn", &body) => panic!("done at once: {}", answer.text()),
    }
    let whole = snapshots
        .wait_for(|snapshot| snapshot.instances_of("default", "web").is_some_and(|instances| instances.len() == STEPS));
    tokio::time::timeout(Duration::from_secs(20), whole).await.expect("the rest is done").expect("the catalog is fed");
    world.stop().await;
}

#[tokio::test]
async fn registering_needs_the_right_to_what_makes_room_and_to_the_proxy() {
    let world = guarded().await;
    let bank = json!({"Node": "vm", "Address": "192.0.2.1", "Service": {"Service": "bank", "ID": "b1"}}).to_string();
    world.put(&format!("/v1/catalog/register?token={ROOT}"), &bank).await;
    world
        .put(&format!("/v1/agent/service/register?token={ROOT}"), r#"{"Name": "bank", "ID": "web-sidecar-proxy"}"#)
        .await;
    let object = world.api.objects::<ServiceInstance>().into_iter().find(|object| object.spec.instance_id == "b1");
    let taken = object.expect("registered").name().to_owned();
    let web = token(&world, "web", "service \"web\" { policy = \"write\" }").await;
    let both = "service \"web\" { policy = \"write\" } service \"web-sidecar-proxy\" { policy = \"write\" }";
    let both = token(&world, "both", both).await;
    let proxied = |id: &str| json!({"Name": "web", "ID": id, "Port": 80, "Connect": {"SidecarService": {}}});
    let cases = [
        (&web, json!({"Name": "web", "ID": taken}), 403),
        (&web, json!({"Name": "web", "ID": "web-sidecar-proxy"}), 403),
        (&web, proxied("w1"), 403),
        (&both, proxied("web"), 403),
        (&both, proxied("w1"), 200),
        (&web, json!({"Name": "web", "ID": "w2"}), 200),
    ];
    for (token, body, status) in cases {
        let path = format!("/v1/agent/service/register?token={token}");
        let answer = world.ask(Method::PUT, &path, &body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        let objects = world.api.objects::<ServiceInstance>();
        assert_eq!(objects.iter().filter(|object| object.spec.service == "bank").count(), 2, "{body}");
    }
    world.stop().await;
}
