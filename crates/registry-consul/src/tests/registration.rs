//! What one request registers with the catalog, all of it or nothing.

use serde_json::json;

use super::*;
use crate::catalog::{self, Wanted};
use crate::gate::Passed;
use crate::sight::Sight;

#[tokio::test]
async fn a_registration_that_fails_leaves_nothing_behind() {
    let world = World::start().await;
    let service = |port: u16| json!({"Service": "web", "ID": "w1", "Port": port});
    let node = |rack: &str| json!({"Node": "vm", "Address": "192.0.2.1", "NodeMeta": {"rack": rack}, "TaggedAddresses": {"lan": "192.0.2.1"}});
    let with = |mut body: Value, more: Value| {
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        body.to_string()
    };
    world.put("/v1/catalog/register", &with(node("a"), json!({"Service": service(80)}))).await;
    let seen = async || {
        let list = world.get("/v1/health/service/web").await.json();
        let (node, service) = (&list[0]["Node"], &list[0]["Service"]);
        let checks = list[0]["Checks"].as_array().expect("a list").len();
        (node["Meta"].clone(), node["TaggedAddresses"].clone(), service["Port"].clone(), checks)
    };
    let before = seen().await;
    assert_eq!(before, (json!({"rack": "a"}), json!({"lan": "192.0.2.1"}), json!(80), 0));
    let bare = json!({"Node": "vm", "Address": "192.0.2.1"});
    let check = |id: &str, service: &str| json!({"CheckID": id, "Name": id, "ServiceID": service});
    let cases = [
        (
            node("b"),
            json!({"Service": service(81), "Check": check("c", "nope")}),
            "Unknown service ID 'nope' for check ID 'c'",
        ),
        (
            node("b"),
            json!({"Service": service(81), "Checks": [check("n", ""), check("c", "nope")]}),
            "Unknown service ID 'nope'",
        ),
        (bare.clone(), json!({"Check": check("c", "nope")}), "Unknown service ID 'nope'"),
        (
            bare,
            json!({"Check": {"CheckID": "c", "Name": "c", "Node": "other"}}),
            "doesn't match register request node 'vm'",
        ),
    ];
    for (body, more, words) in cases {
        let body = with(body, more);
        let answer = world.ask(Method::PUT, "/v1/catalog/register", &body).await;
        assert_eq!(answer.status, 500, "{body}: {}", answer.text());
        assert!(answer.text().contains(words), "{body}: {}", answer.text());
        assert_eq!(seen().await, before, "{body}");
    }
    // The API refuses the last write.
    let name = world.api.objects::<ServiceInstance>()[0].metadata.name.clone().expect("a name");
    let refused = portolan_client::Status { code: 422, ..portolan_client::Status::default() };
    world.api.fail(Method::PUT, &format!("serviceinstances/{name}"), 1, refused);
    let body = with(node("b"), json!({"Service": service(81)}));
    let answer = world.ask(Method::PUT, "/v1/catalog/register", &body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(seen().await, before);
    world.stop().await;
}

#[tokio::test]
async fn a_machine_that_registers_under_another_name_is_renamed() {
    let world = World::start().await;
    let id = "40e4a748-2192-161a-0510-9bf59fe950b5";
    let body = |node: &str, id: &str| {
        json!({"Node": node, "Address": "192.0.2.1", "ID": id, "Service": {"Service": "web", "ID": node}}).to_string()
    };
    world.put("/v1/catalog/register", &body("old", id)).await;
    world.put("/v1/catalog/register", &body("new", id)).await;
    let nodes = world.get("/v1/catalog/nodes?filter=Node!=agent").await.json();
    assert_eq!((nodes.as_array().map(Vec::len), &nodes[0]["Node"]), (Some(1), &json!("new")));
    let services = world.get("/v1/catalog/service/web").await.json();
    assert_eq!((services.as_array().map(Vec::len), &services[0]["ServiceID"]), (Some(1), &json!("new")));
    // A node of the cluster keeps its name.
    let own = world.get("/v1/agent/self").await.json()["Config"]["NodeID"].as_str().expect("an id").to_owned();
    let refused = world.ask(Method::PUT, "/v1/catalog/register", &body("thief", &own)).await;
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert!(refused.text().contains("Error while renaming Node ID"), "{}", refused.text());
    // Nor does it take the place of another machine, with all that is on that.
    let refused = world.ask(Method::PUT, "/v1/catalog/register", &body("Agent", id)).await;
    assert_eq!(refused.status, 500, "{}", refused.text());
    let words = format!("Error while renaming Node ID: {id:?} (192.0.2.1): Node name agent is reserved by node {own}");
    assert!(refused.text().contains(&words), "{}", refused.text());
    let nodes = world.get("/v1/catalog/nodes?filter=Node!=agent").await.json();
    assert_eq!((&nodes[0]["Node"], &nodes[0]["ID"]), (&json!("new"), &json!(id)));
    assert_eq!(world.get("/v1/catalog/service/web").await.json()[0]["ServiceID"], "new");
    // Of what was judged nothing else is removed than was seen then.
    let late = request(Method::PUT, "/v1/catalog/register", &body("late", id));
    let wanted = Wanted::read(&world.state, &late).expect("a body that can be read");
    assert_eq!(wanted.former.as_ref().map(|former| &*former.name), Some("new"));
    world.put("/v1/catalog/register", &body("newer", id)).await;
    let passed = Passed { sight: Sight::everything(), wanted: Some(wanted) };
    let refused = catalog::route(&world.state, &late, passed, &["register"]).await.expect("a known path");
    let refused = refused.expect_err("it is another machine by now");
    assert!(refused.to_string().contains("new has changed at the same time; try again"), "{refused}");
    let nodes = world.get("/v1/catalog/nodes?filter=Node!=agent").await.json();
    assert_eq!((nodes.as_array().map(Vec::len), &nodes[0]["Node"]), (Some(1), &json!("newer")));
    world.put("/v1/catalog/register", &body("new", id)).await;
    // What is left as it is need not be said.
    let known = r#"{"Node": "NEW", "SkipNodeUpdate": true, "Service": {"Service": "web", "ID": "new", "Port": 81}}"#;
    world.put("/v1/catalog/register", known).await;
    assert_eq!(world.get("/v1/catalog/service/web").await.json()[0]["ServicePort"], 81);
    world.stop().await;
}
