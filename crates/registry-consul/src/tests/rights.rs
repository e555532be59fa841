//! What tokens may do with the catalog, the agent and events.

use portolan_registrar::access::{Resource, Verb};
use serde_json::json;

use super::*;
use crate::catalog::Wanted;
use crate::{DefaultPolicy, gate};

const ROOT: &str = "8fc9e787-0000-0000-0000-000000000001";

/// A world with access control, and the secret of a token with these rules.
async fn world(rules: &str) -> (World, String) {
    let config =
        AclConfig { enabled: true, default_policy: DefaultPolicy::Deny, initial_management: Some(ROOT.into()) };
    let world = World::with_acl(config).await;
    let policy = json!({"Name": "p", "Rules": rules}).to_string();
    world.put(&format!("/v1/acl/policy?token={ROOT}"), &policy).await;
    let token = json!({"Policies": [{"Name": "p"}]}).to_string();
    let token = world.ask(Method::PUT, &format!("/v1/acl/token?token={ROOT}"), &token).await.json();
    let secret = token["SecretID"].as_str().expect("a secret").to_owned();
    (world, secret)
}

#[tokio::test]
async fn registering_and_deregistering_need_the_right_to_what_they_change() {
    let (world, secret) = world(r#"service "web" { policy = "write" } service "db" { policy = "read" }"#).await;
    let node = json!({"Node": "vm", "Address": "192.0.2.1", "NodeMeta": {"rack": "a"}});
    let with = |more: Value| {
        let mut body = node.clone();
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let web = json!({"Service": "web", "ID": "w"});
    let proxy = |to: &str| json!({"Service": "web", "ID": "p", "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": to}});
    let register = "/v1/catalog/register";
    let put = async |path: &str, token: &str, body: &Value| {
        let answer = world.ask(Method::PUT, &format!("{path}?token={token}"), &body.to_string()).await;
        (answer.status, answer.text())
    };
    assert_eq!(put(register, &secret, &with(json!({"Service": web}))).await.0, 403, "a machine that nobody knows");
    assert_eq!(put(register, ROOT, &with(json!({"Service": {"Service": "db", "ID": "d"}}))).await.0, 200);
    let of = |service: &str| json!({"CheckID": "c", "Name": "c", "ServiceID": service});
    let remove = |more: Value| {
        let mut body = more;
        body["Node"] = "vm".into();
        body
    };
    let deregister = "/v1/catalog/deregister";
    let cases = [
        (register, with(json!({"Service": web})), 200, ""),
        (register, with(json!({"Service": web, "Check": of("w")})), 200, ""),
        (register, with(json!({"Check": of("w")})), 200, ""),
        (register, with(json!({"Check": of("d")})), 403, "service:write"),
        (register, with(json!({"Check": of("")})), 403, "node:write"),
        (register, with(json!({"Check": of("none")})), 500, "Unknown service ID 'none'"),
        (register, with(json!({"Service": {"Service": "web", "ID": "d"}})), 403, "service:write"),
        (register, with(json!({"Service": proxy("web")})), 200, ""),
        (register, with(json!({"Service": proxy("db")})), 403, "service:write"),
        (register, with(json!({"Service": web, "NodeMeta": {"rack": "b"}})), 403, "node:write"),
        (register, with(json!({"Service": web, "Address": "192.0.2.2"})), 403, "node:write"),
        (register, with(json!({"Service": web, "Locality": {"Region": "eu"}})), 403, "node:write"),
        (register, with(json!({"Service": web, "Address": "192.0.2.2", "SkipNodeUpdate": true})), 200, ""),
        (deregister, remove(json!({"CheckID": "c"})), 200, ""),
        (deregister, remove(json!({"CheckID": "c"})), 500, "Unknown check ID 'c'"),
        (deregister, remove(json!({"ServiceID": "d"})), 403, "service:write"),
        (deregister, remove(json!({"ServiceID": "w"})), 200, ""),
        (deregister, remove(json!({"ServiceID": "w"})), 500, "Unknown service ID 'w'"),
        (deregister, remove(json!({})), 403, "node:write"),
    ];
    for (path, body, status, words) in cases {
        let (answered, text) = put(path, &secret, &body).await;
        assert_eq!(answered, status, "{path} {body}: {text}");
        assert!(text.contains(words), "{path} {body}: {text}");
    }
    world.stop().await;
}

#[tokio::test]
async fn whoever_may_write_the_machine_may_take_what_is_on_it_away() {
    let (world, secret) = world(r#"node "vm" { policy = "write" }"#).await;
    let body = json!({"Node": "vm", "Address": "192.0.2.1", "Service": {"Service": "web", "ID": "w"}}).to_string();
    world.put(&format!("/v1/catalog/register?token={ROOT}"), &body).await;
    let refused = world.ask(Method::PUT, &format!("/v1/catalog/register?token={secret}"), &body).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    for body in [json!({"Node": "vm", "ServiceID": "w"}), json!({"Node": "vm"})] {
        world.put(&format!("/v1/catalog/deregister?token={secret}"), &body.to_string()).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn coordinates_need_the_right_to_the_machine_however_it_is_written() {
    let (world, secret) = world(r#"node "vm" { policy = "write" } node "OTHER" { policy = "write" }"#).await;
    for node in ["vm", "other"] {
        let body = json!({"Node": node, "Address": "192.0.2.1"}).to_string();
        world.put(&format!("/v1/catalog/register?token={ROOT}"), &body).await;
    }
    let update = |node: &str| json!({"Node": node, "Coord": {"Vec": [0, 0, 0, 0, 0, 0, 0, 0]}}).to_string();
    // Name as it is written in the request; statuses of writing and reading.
    for (node, status) in [("vm", 200), ("VM", 200), ("other", 403), ("OTHER", 403)] {
        let path = format!("/v1/coordinate/update?token={secret}");
        let answer = world.ask(Method::PUT, &path, &update(node)).await;
        assert_eq!(answer.status, status, "{node}: {}", answer.text());
        let answer = world.get(&format!("/v1/coordinate/node/{node}?token={secret}")).await;
        assert_eq!(answer.status, status, "{node}: {}", answer.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn events_and_members_leave_out_what_a_token_may_not_see() {
    let (world, secret) = world(r#"event "deploy" { policy = "read" } node "other" { policy = "read" }"#).await;
    for name in ["deploy", "secret"] {
        world.put(&format!("/v1/event/fire/{name}?token={ROOT}"), "").await;
    }
    // Path; token; what is left; whether something was left out.
    let cases = [
        ("/v1/event/list?x", ROOT, "deploy secret", false),
        ("/v1/event/list?x", secret.as_str(), "deploy", true),
        ("/v1/event/list?name=secret", &secret, "", true),
        ("/v1/event/list?name=deploy", &secret, "deploy", false),
        ("/v1/agent/members?x", ROOT, "agent", false),
        ("/v1/agent/members?wan", ROOT, "agent.dc1", false),
        ("/v1/agent/members?x", &secret, "", true),
        ("/v1/agent/members?filter=Name==agent", ROOT, "agent", false),
        ("/v1/agent/members?filter=Tags.role!=consul", ROOT, "", false),
        ("/v1/agent/members?filter=Status==1", ROOT, "agent", false),
    ];
    for (path, token, expected, filtered) in cases {
        let answer = world.get(&format!("{path}&token={token}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let list = answer.json();
        let names = list.as_array().expect("a list").iter().map(|entry| entry["Name"].as_str().expect("a name"));
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{path}");
        assert_eq!(answer.headers.contains_key("x-consul-results-filtered-by-acls"), filtered, "{path}");
    }
    let refused = world.get(&format!("/v1/agent/members?filter=None==1&token={ROOT}")).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    world.stop().await;
}

#[tokio::test]
async fn taking_the_id_of_another_machine_needs_the_right_to_remove_that() {
    let world = World::start().await;
    let id = "40e4a748-2192-161a-0510-9bf59fe950b5";
    world.put("/v1/catalog/register", &json!({"Node": "old", "Address": "192.0.2.1", "ID": id}).to_string()).await;
    let write = vec![(Verb::Update, Resource::Machines)];
    let remove = vec![
        (Verb::Update, Resource::Machines),
        (Verb::Delete, Resource::Instances),
        (Verb::Delete, Resource::Machines),
    ];
    let cases = [
        (json!({"Node": "old", "ID": id}), &write),
        (json!({"Node": "OLD", "ID": id}), &write),
        (json!({"Node": "new"}), &write),
        (json!({"Node": "new", "ID": "9f9e5c3a-0000-0000-0000-000000000001"}), &write),
        (json!({"Node": "new", "ID": id}), &remove),
        (json!({"Node": "new", "ID": id.to_uppercase()}), &remove),
        // Only a machine that is known can be left as it is.
        (json!({"Node": "new", "ID": id, "SkipNodeUpdate": true}), &remove),
        (json!({"Node": "agent", "ID": id, "SkipNodeUpdate": true}), &write),
    ];
    for (body, needed) in cases {
        let request = request(Method::PUT, "/v1/catalog/register", &body.to_string());
        let wanted = Wanted::read(&world.state, &request).expect("a body that can be read");
        let (state, wanted) = (&world.state, Some(&wanted));
        let asked = gate::Asked { state, request: &request, area: "catalog", rest: &["register"], wanted };
        let found = asked.rules().expect("a body that can be read");
        assert_eq!(found, *needed, "{body}");
    }
    world.stop().await;
}
