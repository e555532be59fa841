//! Names of services and machines, in any letter case.

use serde_json::json;

use super::*;

#[tokio::test]
async fn letter_case_does_not_count_where_something_is_asked_for_by_its_name() {
    let world = World::start().await;
    let machine = json!({"Node": "Vm-1", "Address": "192.0.2.1",
        "Service": {"Service": "Web", "ID": "w1", "Connect": {"Native": true}},
        "Check": {"CheckID": "c", "Name": "c", "ServiceID": "w1", "Status": "passing"}});
    world.put("/v1/catalog/register", &machine.to_string()).await;
    world.put("/v1/session/create", &json!({"Node": "Vm-1", "NodeChecks": []}).to_string()).await;
    let coordinate = json!({"Node": "VM-1", "Coord": {"Vec": [0, 0, 0, 0, 0, 0, 0, 0]}}).to_string();
    world.put("/v1/coordinate/update", &coordinate).await;
    let paths = [
        "catalog/service/",
        "health/service/",
        "health/checks/",
        "catalog/connect/",
        "health/connect/",
        "session/node/",
        "coordinate/node/",
        "health/node/",
        "catalog/node-services/",
    ];
    for path in paths {
        let names = if path.contains("node") { ["Vm-1", "vm-1", "VM-1"] } else { ["Web", "web", "WEB"] };
        let mut answers = Vec::new();
        for name in names {
            answers.push(world.get(&format!("/v1/{path}{name}")).await.json());
        }
        assert_ne!(answers[0], json!([]), "{path}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
    }
    assert_ne!(world.get("/v1/health/service/CONSUL").await.json(), json!([]));
    // A long poll by another case is woken by a change.
    let before = world.get("/v1/health/service/WEB").await.index();
    let path = format!("/v1/health/service/WEB?index={before}&wait=10s");
    let (woken, ()) = tokio::join!(world.get(&path), async {
        let body =
            json!({"Node": "vm-1", "Address": "192.0.2.1", "Service": {"Service": "Web", "ID": "w1", "Port": 80}});
        world.put("/v1/catalog/register", &body.to_string()).await;
    });
    assert_eq!(woken.json()[0]["Service"]["Port"], 80);
    assert_eq!(world.get("/v1/catalog/nodes?filter=Node!=agent").await.json().as_array().map(Vec::len), Some(1));
    world.put("/v1/catalog/deregister", r#"{"Node": "VM-1", "ServiceID": "w1"}"#).await;
    assert_eq!(world.get("/v1/health/service/web").await.json(), json!([]));
    world.stop().await;
}
