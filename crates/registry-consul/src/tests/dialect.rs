use http::Method;
use portolan_api::typed::ServiceInstance;
use portolan_api::typed::kinds::core::v1::Service;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::{World, fields};
use crate::AclConfig;

const WEB: &str = r#"{"name": "web", "id": "web-1", "port": 8080, "tags": ["v1"], "meta": {"env": "prod"},
    "check": {"ttl": "10s"}}"#;

#[tokio::test]
async fn what_registers_with_the_agent_is_shown_with_consuls_fields() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;

    let catalog = world.get("/v1/catalog/service/web").await.json();
    let names = "Address CreateIndex Datacenter ID ModifyIndex Node NodeMeta ServiceAddress ServiceConnect \
        ServiceEnableTagOverride ServiceID ServiceKind ServiceMeta ServiceName ServicePort ServiceProxy \
        ServiceSocketPath ServiceTaggedAddresses ServiceTags ServiceWeights TaggedAddresses";
    assert_eq!(fields(&catalog[0]), names.split_whitespace().collect::<Vec<_>>());
    assert_eq!(catalog[0]["ServiceAddress"], "", "the address of its node");
    assert_eq!(catalog[0]["ServiceWeights"], json!({"Passing": 1, "Warning": 1}));

    let health = world.get("/v1/health/service/web").await.json();
    assert_eq!(fields(&health[0]), ["Checks", "Node", "Service"]);
    let names =
        "Address Connect CreateIndex EnableTagOverride ID Meta ModifyIndex PeerName Port Proxy Service Tags Weights";
    assert_eq!(fields(&health[0]["Service"]), names.split_whitespace().collect::<Vec<_>>());
    let names = "CheckID CreateIndex Definition ExposedPort Interval ModifyIndex Name Node Notes Output ServiceID \
        ServiceName ServiceTags Status Timeout Type";
    assert_eq!(fields(&health[0]["Checks"][1]), names.split_whitespace().collect::<Vec<_>>());
    let ids: Vec<&Value> =
        health[0]["Checks"].as_array().expect("a list").iter().map(|check| &check["CheckID"]).collect();
    assert_eq!(ids, ["serfHealth", "service:web-1"]);

    let agent = world.get("/v1/agent/services").await.json();
    let names = "Address Datacenter EnableTagOverride ID Meta Port Service Tags Weights";
    assert_eq!(fields(&agent["web-1"]), names.split_whitespace().collect::<Vec<_>>());
    let own = world.get("/v1/agent/self").await.json();
    assert_eq!(fields(&own), ["Config", "Coord", "DebugConfig", "Member", "Meta", "Stats", "xDS"]);
    world.stop().await;
}

#[tokio::test]
async fn health_of_the_agents_services_is_told_by_status_code() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    let steps = [
        ("/v1/agent/check/pass/service:web-1?note=fine", 200, "passing"),
        ("/v1/agent/check/warn/service:web-1", 429, "warning"),
        ("/v1/agent/check/fail/service:web-1", 503, "critical"),
        ("/v1/agent/check/pass/service:web-1", 200, "passing"),
        ("/v1/agent/service/maintenance/web-1?enable=true&reason=disk", 503, "maintenance"),
        ("/v1/agent/service/maintenance/web-1?enable=false", 200, "passing"),
        ("/v1/agent/maintenance?enable=true", 503, "maintenance"),
        ("/v1/agent/maintenance?enable=false", 200, "passing"),
    ];
    for (step, status, word) in steps {
        world.put(step, "").await;
        for path in ["/v1/agent/health/service/id/web-1", "/v1/agent/health/service/name/web"] {
            let answer = world.get(&format!("{path}?format=text")).await;
            assert_eq!((answer.status, answer.text().as_str()), (status, word), "{step} {path}");
        }
        let passing = world.get("/v1/health/service/web?passing").await.json();
        assert_eq!(passing.as_array().map(Vec::len), Some(usize::from(word == "passing")), "{step}");
    }
    assert_eq!(world.get("/v1/agent/health/service/id/none").await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn registering_again_keeps_checks_and_replaces_them_if_asked() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    world.put("/v1/agent/check/pass/service:web-1", "").await;
    world.put("/v1/agent/check/register", r#"{"Name": "extra", "ServiceID": "web-1", "TTL": "10s"}"#).await;
    world.api.clear_requests();
    world.put("/v1/agent/service/register", WEB).await;
    let checks = world.get("/v1/agent/checks").await.json();
    assert_eq!(fields(&checks), ["extra", "service:web-1"]);
    assert_eq!(checks["service:web-1"]["Status"], "passing", "a registration does not make it flap");
    assert!(world.api.writes().is_empty(), "an identical registration writes nothing: {:?}", world.api.writes());
    world.put("/v1/agent/service/register?replace-existing-checks", WEB).await;
    assert_eq!(fields(&world.get("/v1/agent/checks").await.json()), ["service:web-1"]);
    world.stop().await;
}

#[tokio::test]
async fn a_heartbeat_that_changes_nothing_writes_nothing() {
    let world = World::start().await;
    world.put("/v1/agent/service/register", WEB).await;
    world.put("/v1/agent/check/pass/service:web-1", "").await;
    let index = world.get("/v1/health/service/web").await.index();
    world.api.clear_requests();
    for _ in 0..5 {
        world.put("/v1/agent/check/pass/service:web-1", "").await;
    }
    assert!(world.api.writes().is_empty());
    assert_eq!(world.get("/v1/health/service/web").await.index(), index);
    world.stop().await;
}

#[tokio::test]
async fn machines_services_and_checks_are_registered_with_the_catalog() {
    let world = World::start().await;
    let node = r#"{"Node": "vm-1", "Address": "192.0.2.1", "NodeMeta": {"rack": "a"}}"#;
    world.put("/v1/catalog/register", node).await;
    let service = r#"{"Node": "vm-1", "Address": "192.0.2.1", "NodeMeta": {"rack": "a"}, "Service": {"Service": "db", "Port": 5432},
        "Check": {"Name": "ping", "CheckID": "db-ping", "Status": "passing", "ServiceID": "db"}}"#;
    world.put("/v1/catalog/register", service).await;
    let check = r#"{"Node": "vm-1", "Address": "192.0.2.1", "SkipNodeUpdate": true, "Check": {"Name": "disk", "Status": "warning"}}"#;
    world.put("/v1/catalog/register", check).await;

    let nodes = world.get("/v1/catalog/nodes?node-meta=rack:a").await.json();
    assert_eq!((nodes.as_array().map(Vec::len), &nodes[0]["Node"]), (Some(1), &json!("vm-1")));
    let entry = &world.get("/v1/health/service/db").await.json()[0];
    let statuses: Vec<&Value> =
        entry["Checks"].as_array().expect("a list").iter().map(|check| &check["Status"]).collect();
    assert_eq!(statuses, ["warning", "passing"]);
    assert_eq!(world.get("/v1/health/service/db?passing").await.json(), json!([]), "its machine warns");
    assert_eq!(world.get("/v1/health/state/warning").await.json()[0]["CheckID"], "disk");
    assert_eq!(fields(&world.get("/v1/catalog/services").await.json()), ["consul", "db"]);
    let services = world.get("/v1/catalog/node/vm-1").await.json();
    assert_eq!(fields(&services["Services"]), ["db"]);
    assert_eq!(world.get("/v1/catalog/node/none").await.json(), Value::Null);

    world.put("/v1/catalog/deregister", r#"{"Node": "vm-1", "CheckID": "disk"}"#).await;
    assert_eq!(world.get("/v1/health/service/db?passing").await.json().as_array().map(Vec::len), Some(1));
    world.put("/v1/catalog/deregister", r#"{"Node": "vm-1"}"#).await;
    assert_eq!(world.get("/v1/health/service/db").await.json(), json!([]));
    assert!(world.api.objects::<ServiceInstance>().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn pods_behind_services_appear_like_everything_else() {
    let world = World::start().await;
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]},
    }))
    .expect("a service");
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "cart-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4", "ports": [{"port": 8080}],
        "endpoints": [{"addresses": ["10.1.0.5"], "nodeName": "agent", "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "cart-abc", "namespace": "shop"}}],
    }))
    .expect("a slice");
    world.api.client().create(&service).await.expect("created");
    // A blocking query is how a client waits for it.
    let before = world.get("/v1/health/service/cart-shop").await;
    world.api.client().create(&slice).await.expect("created");
    let mut answer = before.json();
    let mut index = before.index();
    while answer == json!([]) {
        let newer = world.get(&format!("/v1/health/service/cart-shop?index={index}&wait=10s")).await;
        (answer, index) = (newer.json(), newer.index());
    }
    assert_eq!(answer[0]["Service"]["ID"], "cart-abc-cart-shop");
    assert_eq!(answer[0]["Service"]["Address"], "10.1.0.5");
    assert_eq!(answer[0]["Service"]["Port"], 8080);
    assert_eq!(answer[0]["Service"]["Meta"]["external-source"], "kubernetes");
    assert_eq!(answer[0]["Checks"][1]["CheckID"], "kubernetes-readiness-check");
    world.stop().await;
}

#[tokio::test]
async fn an_endpoint_of_several_services_has_an_id_in_each_that_is_the_same_everywhere() {
    let world = World::start().await;
    for name in ["a", "b"] {
        let service = json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"port": 80}]}});
        let service: Service = serde_json::from_value(service).expect("a service");
        world.api.client().create(&service).await.expect("created");
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"port": 80}],
            "endpoints": [{"addresses": ["192.0.2.2"], "nodeName": "agent", "conditions": {"ready": true}}],
        }))
        .expect("a slice");
        let before = world.get(&format!("/v1/health/service/{name}")).await.index();
        world.api.client().create(&slice).await.expect("created");
        while world.get(&format!("/v1/health/service/{name}?index={before}&wait=10s")).await.json() == json!([]) {}
    }
    for (name, id) in [("a", "192.0.2.2-a"), ("b", "192.0.2.2-b")] {
        let health = &world.get(&format!("/v1/health/service/{name}")).await.json()[0];
        assert_eq!(health["Service"]["ID"], id);
        let checks = health["Checks"].as_array().expect("a list").iter();
        assert!(checks.filter(|check| check["ServiceName"] == name).all(|check| check["ServiceID"] == id), "{health}");
        assert_eq!(world.get(&format!("/v1/catalog/service/{name}")).await.json()[0]["ServiceID"], id);
        assert_eq!(world.get("/v1/catalog/node/agent").await.json()["Services"][id]["Service"], name);
        let listed = world.get("/v1/catalog/node-services/agent").await.json()["Services"].clone();
        let ids = listed.as_array().expect("a list").iter().filter(|service| service["ID"] == id);
        assert_eq!(ids.count(), 1, "{listed}");
    }
    world.stop().await;
}

#[tokio::test]
async fn refusals_are_worded_as_consul_words_them() {
    let world = World::start().await;
    let (get, put) = (Method::GET, Method::PUT);
    let cases = [
        (
            &get,
            "/v1/health/service/web?stale&consistent",
            "",
            400,
            "Cannot specify ?stale with ?consistent, conflicting semantics.",
        ),
        (&get, "/v1/health/service/web?index=x", "", 400, "Invalid index"),
        (&get, "/v1/health/service/web?wait=x", "", 400, "Invalid wait time"),
        (&get, "/v1/health/service/web?passing=maybe", "", 400, "Invalid value for ?passing"),
        (&get, "/v1/health/service/", "", 400, "Missing service name"),
        (&get, "/v1/catalog/nodes?dc=dc2", "", 500, "No path to datacenter"),
        (&get, "/v1/catalog/nodes?filter=Nope==1", "", 400, "Selector \"Nope\" is not valid"),
        (&get, "/v1/catalog/nodes?ns=team", "", 400, "\"ns\" - Namespaces are a Consul Enterprise feature"),
        (&get, "/v1/agent/services?ns=team", "", 400, "Namespaces are a Consul Enterprise feature"),
        (&get, "/v1/catalog/nodes?partition=a", "", 400, "\"partition\" - Partitions are a Consul Enterprise feature"),
        (&put, "/v1/kv/a?partition=a", "", 400, "Partitions are a Consul Enterprise feature"),
        (
            &put,
            "/v1/agent/service/register",
            r#"{"Name": "a", "Meta": {"a b": "x"}}"#,
            400,
            "pair ('a b', 'x'): Key contains invalid characters",
        ),
        (
            &put,
            "/v1/agent/service/register",
            r#"{"Name": "a", "Meta": {"consul-x": "x"}}"#,
            400,
            "reserved for internal use",
        ),
        (
            &put,
            "/v1/catalog/register",
            r#"{"Node": "a", "Address": "192.0.2.1", "ID": "1"}"#,
            500,
            "Bad node ID: uuid string is wrong length",
        ),
        (&get, "/v1/agent/service/a/b/c", "", 404, "unknown service ID: a/b/c"),
        (&get, "/v1/acl/replication", "", 401, "ACL support disabled"),
        (&get, "/v1/agent/service/none", "", 404, "unknown service ID: none"),
        (&get, "/v1/agent/service/register", "", 405, "method GET not allowed"),
        (&put, "/v1/catalog/nodes", "", 405, "method PUT not allowed"),
        (&put, "/v1/agent/service/register", "", 400, "Request decode failed: EOF"),
        (&put, "/v1/agent/service/register", "{}", 400, "Missing service name"),
        (
            &put,
            "/v1/agent/service/register",
            r#"{"Name": "a", "Port": "x"}"#,
            400,
            "cannot unmarshal string into field Port",
        ),
        (&put, "/v1/agent/service/register", r#"{"Name": "a", "Check": {}}"#, 400, "Invalid check: TTL must be > 0"),
        (&put, "/v1/agent/service/deregister/none", "", 404, "Unknown service ID \"none\""),
        (&put, "/v1/agent/service/maintenance/none", "", 400, "Missing value for enable"),
        (&put, "/v1/agent/check/pass/none", "", 404, "Unknown check ID \"none\""),
        (&put, "/v1/agent/check/register", "{}", 400, "Missing check name"),
        (&put, "/v1/agent/check/register", r#"{"Name": "c", "TTL": "1s", "ServiceID": "none"}"#, 404, "does not exist"),
        (&put, "/v1/catalog/register", "{}", 400, "Must provide node and address"),
        (&put, "/v1/catalog/deregister", "{}", 400, "Must provide node"),
        (&put, "/v1/agent/token/default", "{}", 401, "ACL support disabled"),
        (&put, "/v1/agent/force-leave/none", "", 500, "No node found with name 'none'"),
        (&get, "/v1/agent/monitor?loglevel=loud", "", 400, "Unknown log level"),
        (&get, "/v1/nothing", "", 404, "not a recognized HTTP API endpoint"),
        (&get, "/elsewhere", "", 404, "if attempting to use the HTTP API"),
        (&get, "/v1/agent/%zz", "", 400, "invalid URL escape"),
    ];
    for (method, path, body, status, words) in cases {
        let answer = world.ask(method.clone(), path, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn answers_carry_the_headers_that_clients_read() {
    let world = World::start().await;
    let cases = [("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")];
    for (query, consistency) in cases {
        let answer = world.get(&format!("/v1/catalog/nodes{query}")).await;
        assert!(answer.index() > 0);
        assert_eq!(answer.headers["x-consul-effective-consistency"], consistency);
        assert_eq!(answer.headers["x-consul-knownleader"], "true");
        assert_eq!(answer.headers["x-consul-lastcontact"], "0");
        assert_eq!(answer.headers["x-consul-default-acl-policy"], "allow");
        assert_eq!(answer.headers["x-consul-translate-addresses"], "false");
    }
    let cached = world.get("/v1/catalog/nodes?cached").await;
    assert_eq!(
        (&cached.headers["x-cache"], &cached.headers["age"]),
        (&"HIT".parse().expect("a value"), &"0".parse().expect("a value"))
    );
    let pretty = world.get("/v1/catalog/datacenters?pretty").await;
    assert_eq!(pretty.text(), "[\n    \"dc1\"\n]\n");
    world.stop().await;
}

#[tokio::test]
async fn without_a_token_that_allows_it_nothing_is_done_or_told() {
    let management = "8fc9e787-674f-0709-cfd5-bfdabd73a70d";
    let acl = AclConfig { enabled: true, initial_management: Some(management.into()), ..AclConfig::default() };
    let world = World::with_acl(acl).await;
    world.put(&format!("/v1/agent/service/register?token={management}"), WEB).await;
    let (get, put) = (Method::GET, Method::PUT);
    let cases = [
        (&put, "/v1/agent/service/register", WEB),
        (&put, "/v1/agent/service/deregister/web-1", ""),
        (&put, "/v1/agent/service/maintenance/web-1?enable=true", ""),
        (&put, "/v1/agent/check/fail/service:web-1", ""),
        (&put, "/v1/agent/check/register", r#"{"Name": "c", "TTL": "1s"}"#),
        (&put, "/v1/agent/maintenance?enable=true", ""),
        (&put, "/v1/catalog/register", r#"{"Node": "a", "Address": "192.0.2.1"}"#),
        (&put, "/v1/catalog/deregister", r#"{"Node": "agent", "ServiceID": "web-1"}"#),
        (&put, "/v1/event/fire/a", ""),
        (&put, "/v1/coordinate/update", r#"{"Node": "agent"}"#),
        (&get, "/v1/agent/self", ""),
    ];
    for (method, path, body) in cases {
        let answer = world.ask(method.clone(), path, body).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(answer.text().contains("Permission denied"), "{path}: {}", answer.text());
        let separator = if path.contains('?') { '&' } else { '?' };
        let allowed = format!("{path}{separator}token={management}");
        if method == Method::GET {
            assert_eq!(world.get(&allowed).await.status, 200, "{path}");
        }
    }
    // Lists leave out what the token may not read.
    let lists = [
        ("/v1/catalog/services", "{}"),
        ("/v1/catalog/nodes", "[]"),
        ("/v1/catalog/service/web", "[]"),
        ("/v1/catalog/node/agent", "null"),
        ("/v1/health/service/web", "[]"),
        ("/v1/health/state/any", "[]"),
        ("/v1/health/node/agent", "[]"),
        ("/v1/agent/services", "{}"),
        ("/v1/agent/checks", "{}"),
    ];
    for (path, nothing) in lists {
        let answer = world.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, nothing), "{path}");
        let filtered = |answer: &super::Answer| answer.headers.contains_key("x-consul-results-filtered-by-acls");
        assert!(filtered(&answer), "{path}");
        let allowed = world.get(&format!("{path}?token={management}")).await;
        assert!(!filtered(&allowed), "{path}");
        assert!(allowed.text().len() > nothing.len(), "{path}: {}", allowed.text());
    }
    assert_eq!(world.api.objects::<ServiceInstance>().len(), 1);
    world.stop().await;
}
