//! Checks over their life.

use portolan_api::typed::ExternalNode;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_check_that_left_and_comes_back_begins_anew() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", r#"{"Name": "web"}"#).await;
    for owner in ["", "web"] {
        let register = json!({"CheckID": "zz", "Name": "zz", "TTL": "1h", "ServiceID": owner}).to_string();
        let found = async || {
            let check = world.get("/v1/agent/checks").await.json()["zz"].clone();
            (check["Status"].clone(), check["Output"].clone())
        };
        let away = json!({"Node": "agent", "CheckID": "zz"}).to_string();
        for (path, body) in [("/v1/agent/check/deregister/zz", ""), ("/v1/catalog/deregister", away.as_str())] {
            world.put("/v1/agent/check/register", &register).await;
            assert_eq!(found().await, (json!("critical"), json!("")), "{owner} {path}");
            world.put("/v1/agent/check/pass/zz?note=old", "").await;
            // Words that are only remembered.
            world.put("/v1/agent/check/pass/zz?note=newer", "").await;
            assert_eq!(found().await, (json!("passing"), json!("newer")), "{owner} {path}");
            world.put(path, body).await;
        }
        world.put("/v1/agent/check/register", &register).await;
        assert_eq!(found().await, (json!("critical"), json!("")), "{owner}");
        world.put("/v1/agent/check/deregister/zz", "").await;
    }
    let left = |objects: Vec<ServiceInstance>| objects.into_iter().filter_map(|it| it.status).flat_map(|it| it.checks);
    assert_eq!(left(world.api.objects::<ServiceInstance>()).count(), 0);
    world.stop().await;
}

#[tokio::test]
async fn an_instance_that_left_and_comes_back_begins_anew() {
    let world = World::start().await;
    let register = r#"{"Name": "web", "Check": {"CheckID": "zz", "TTL": "1h"}}"#;
    for _ in 0..2 {
        world.put("/v1/agent/service/register", register).await;
        let check = world.get("/v1/agent/checks").await.json()["zz"].clone();
        assert_eq!((&check["Status"], &check["Output"]), (&json!("critical"), &json!("")));
        world.put("/v1/agent/check/pass/zz?note=old", "").await;
        world.put("/v1/agent/check/fail/zz?note=older", "").await;
        world.put("/v1/agent/check/fail/zz?note=newer", "").await;
        world.put("/v1/agent/service/deregister/web", "").await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_machine_whose_critical_check_left_is_not_critical() {
    let world = World::start().await;
    let status = || {
        let objects = world.api.objects::<ExternalNode>();
        objects.into_iter().filter_map(|it| it.status).map(|status| status.checks.len()).sum::<usize>()
    };
    world.put("/v1/agent/maintenance?enable=true", "").await;
    assert_eq!(status(), 1);
    world.put("/v1/agent/maintenance?enable=false", "").await;
    assert_eq!(status(), 0);
    let register = json!({"Node": "vm", "Address": "192.0.2.1", "Check": {"CheckID": "disk", "Name": "disk", "Status": "critical"}});
    world.put("/v1/catalog/register", &register.to_string()).await;
    assert_eq!(status(), 1);
    world.put("/v1/catalog/deregister", r#"{"Node": "vm", "CheckID": "disk"}"#).await;
    assert_eq!(status(), 0);
    world.stop().await;
}

#[tokio::test]
async fn scripts_are_taken_only_where_they_are_run() {
    let script = json!({"Name": "s", "Args": ["/bin/true"], "Interval": "10s"});
    let service = json!({"Name": "web", "Check": script});
    let sidecar = json!({"Name": "app", "Connect": {"SidecarService": {"Checks": [script]}}});
    let cases = [
        ("/v1/agent/check/register", &script),
        ("/v1/agent/service/register", &service),
        ("/v1/agent/service/register", &sidecar),
    ];
    for (scripts, status) in [(ScriptChecks::Refused, 500), (ScriptChecks::Allowed, 200)] {
        let world = World::with(AclConfig::default(), scripts).await;
        for (path, body) in cases {
            let answer = world.ask(Method::PUT, path, &body.to_string()).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            assert_eq!(answer.text().contains("Scripts are disabled on this agent"), status == 500, "{path}");
        }
        let expected = if status == 500 { 0 } else { 3 };
        assert_eq!(world.api.objects::<ServiceInstance>().len(), expected, "nothing is half registered");
        // Of what is registered with the catalog nothing is run.
        let definition =
            json!({"Node": "vm", "Address": "192.0.2.1", "Check": {"Name": "s", "Definition": {"Args": ["true"]}}});
        world.put("/v1/catalog/register", &definition.to_string()).await;
        world.stop().await;
    }
}
