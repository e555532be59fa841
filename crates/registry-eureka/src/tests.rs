//! Registrations, leases, overrides and deltas over their life, against a fake API server on paused time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use portolan_api::typed::kinds::core::v1::Service;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{Health, Object, ServiceInstance};
use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_catalog::{Catalog, Input, Key, Kind, Snapshot};
use portolan_client::Informers;
use portolan_client::testing::FakeServer;
use portolan_registrar::access::Caller;
use portolan_registrar::http::{Handler, Request};
use portolan_registrar::limits::{Limiter, Limits};
use portolan_registrar::{Changes, Registrar};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::routes::Eureka;

mod malformed;

struct World {
    api: FakeServer,
    eureka: Arc<Eureka>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    tasks: TaskGroup,
    shutdown: Shutdown,
}

/// Pods behind a Service are there from the start.
fn pods() -> Catalog {
    let mut catalog = Catalog::new();
    let service = json!({"metadata": {"name": "cart", "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.1",
        "ports": [{"name": "https", "port": 443}, {"name": "http", "port": 80}]}});
    let slice = json!({"metadata": {"name": "cart-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": 8443}, {"name": "http", "port": 8080}],
        "endpoints": [{"addresses": ["10.1.0.5"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "cart-0", "namespace": "shop"}}]});
    let service = Service::decode(service.to_string().as_bytes()).expect("a service");
    let slice = EndpointSlice::decode(slice.to_string().as_bytes()).expect("a slice");
    catalog.put(Input::Service(Arc::new(service)));
    catalog.put(Input::EndpointSlice(Arc::new(slice)));
    catalog
}

impl World {
    async fn start() -> Self {
        let api = FakeServer::new(Arc::new(SystemClock));
        let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
        let informers = Informers::new(api.client());
        let instances = informers.informer::<ServiceInstance>();
        let registrar = Arc::new(Registrar::new(api.client(), instances.clone()));
        let stopping = shutdown.clone();
        tasks.spawn("informers", async move { informers.run(stopping).await });
        let (kept, stopping) = (registrar.clone(), shutdown.clone());
        tasks.spawn("leases", async move {
            stopping.run(kept.run()).await;
        });
        instances.synced().await;
        let mut catalog = pods();
        let (sender, snapshots) = watch::channel(catalog.snapshot());
        let stopping = shutdown.clone();
        tasks.spawn("catalog", async move {
            let mut keys = instances.keys();
            while let Some(changed) = stopping.run(keys.next()).await {
                for key in changed {
                    match instances.get(&key.namespace, &key.name) {
                        Some(object) => catalog.put(Input::Registration(object)),
                        None => catalog.remove(Kind::Registration, &Key::new(key.namespace, key.name)),
                    }
                }
                sender.send_replace(catalog.snapshot());
            }
        });
        let changes = Changes::new(snapshots.clone());
        let eureka = Arc::new(Eureka::new(
            registrar,
            changes,
            Arc::new(SystemClock),
            Arc::new(Limiter::new(Limits::default())),
            None,
        ));
        let (follower, stopping) = (eureka.clone(), shutdown.clone());
        tasks.spawn("follow", async move { follower.follow(&stopping).await });
        let world = Self { api, eureka, snapshots, tasks, shutdown };
        world
            .wait(|world| Box::pin(async { world.get("apps").await["applications"]["apps__hashcode"] == "UP_1_" }))
            .await;
        world
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: &str,
    ) -> (u16, Bytes) {
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        let uri = format!("/eureka/{path}").parse().expect("a path");
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer =
            self.eureka.answer(Request { method, uri, headers: map, body, peer, caller: Caller::Trusted }).await;
        let status = answer.status().as_u16();
        (status, answer.into_body().collect().await.expect("the body cannot fail").to_bytes())
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, String) {
        let (status, body) = self.send(method, path, &[("accept", "application/json")], body).await;
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    async fn register(&self, change: impl FnOnce(&mut Value)) -> (u16, String) {
        let mut instance = json!({"instanceId": "b1", "hostName": "h1", "app": "BILLING", "ipAddr": "10.0.0.7",
            "status": "UP", "port": {"$": 8080, "@enabled": "true"}, "vipAddress": "billing,money",
            "dataCenterInfo": {"name": "MyOwn"}, "leaseInfo": {"durationInSecs": 30, "renewalIntervalInSecs": 10},
            "lastDirtyTimestamp": "1000"});
        change(&mut instance);
        self.ask(Method::POST, "apps/BILLING", &json!({"instance": instance}).to_string()).await
    }

    /// Waits until a condition holds; news passes through the API's watch and the catalog.
    async fn wait(&self, holds: impl for<'a> Fn(&'a Self) -> std::pin::Pin<Box<dyn Future<Output = bool> + 'a>>) {
        let mut snapshots = self.snapshots.clone();
        let patience = async {
            while !holds(self).await {
                let _ = tokio::time::timeout(Duration::from_millis(5), snapshots.changed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), patience).await.expect("the condition holds in time");
    }

    async fn hash(&self, wanted: &'static str) {
        self.wait(|world| Box::pin(async move { world.get("apps").await["applications"]["apps__hashcode"] == wanted }))
            .await;
    }

    async fn billing(&self) -> Value {
        self.get("apps/BILLING/b1").await["instance"].clone()
    }

    /// What the delta says of each instance, `APP/ID ACTION`.
    async fn delta(&self) -> Vec<String> {
        let delta = self.get("apps/delta").await;
        let mut changes = Vec::new();
        for app in delta["applications"]["application"].as_array().expect("applications") {
            for instance in app["instance"].as_array().expect("instances") {
                let text = |field: &str| instance[field].as_str().expect("a text").to_owned();
                changes.push(format!("{}/{} {}", text("app"), text("instanceId"), text("actionType")));
            }
        }
        changes
    }

    fn object(&self) -> ServiceInstance {
        self.api.objects().pop().expect("one object")
    }

    async fn stop(self) {
        self.shutdown.request();
        assert!(self.tasks.join(Duration::from_secs(5)).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_an_object_and_is_answered_as_it_was_written() {
    let world = World::start().await;
    assert_eq!(world.register(|_| {}).await, (204, String::new()));
    world.hash("UP_2_").await;
    let object = world.object();
    assert_eq!((object.spec.service.as_str(), object.spec.origin.as_str()), ("billing", "eureka"));
    assert_eq!((object.spec.address.as_str(), object.spec.ports[0].port), ("10.0.0.7", 8080));
    assert_eq!(object.spec.lease.and_then(|lease| lease.ttl_seconds), Some(30));
    let billing = world.billing().await;
    assert_eq!((&billing["hostName"], &billing["vipAddress"]), (&json!("h1"), &json!("billing,money")));
    assert_eq!(billing["leaseInfo"]["durationInSecs"], 30);
    assert_eq!(world.get("instances/b1").await["instance"]["app"], "BILLING");
    assert_eq!(world.get("apps/billing").await["application"]["instance"][0]["instanceId"], "b1");
    for (path, found) in
        [("vips/money", 1), ("vips/BILLING", 1), ("vips/none", 0), ("svips/cart-shop", 1), ("svips/billing", 0)]
    {
        let apps = world.get(path).await["applications"]["application"].as_array().map(Vec::len);
        assert_eq!(apps, Some(found), "{path}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_instances_of_applications() {
    let world = World::start().await;
    let cart = world.get("apps/CART-SHOP/cart-0").await["instance"].clone();
    let expected = [
        ("status", json!("UP")),
        ("hostName", json!("10.1.0.5")),
        ("ipAddr", json!("10.1.0.5")),
        ("port", json!({"$": 8080, "@enabled": "true"})),
        ("securePort", json!({"$": 8443, "@enabled": "true"})),
        ("vipAddress", json!("cart-shop")),
        ("homePageUrl", json!("http://10.1.0.5:8080/")),
    ];
    for (field, value) in expected {
        assert_eq!(cart[field], value, "{field}");
    }
    assert_eq!(cart["dataCenterInfo"]["name"], "MyOwn");
    let (status, text) = world.ask(Method::PUT, "apps/CART-SHOP/cart-0/status?value=OUT_OF_SERVICE", "").await;
    assert_eq!((status, text.contains("is a pod")), (403, true), "{text}");
    assert_eq!(world.ask(Method::PUT, "apps/CART-SHOP/cart-0", "").await.0, 404);
    let (status, text) = world.ask(Method::DELETE, "apps/CART-SHOP/cart-0", "").await;
    assert_eq!((status, text.contains("is a pod")), (403, true), "{text}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_dialect_registered_is_cancelled_as_it_is_listed() {
    let world = World::start().await;
    let object = json!({"metadata": {"namespace": "default", "name": "web2"},
        "spec": {"service": "web", "instanceId": "web2", "address": "192.0.2.7", "ports": [{"port": 80}]}});
    let object: ServiceInstance = serde_json::from_value(object).expect("an instance");
    world.api.client().create(&object).await.expect("a new name");
    world.hash("UP_2_").await;
    assert_eq!(world.get("apps/WEB/web2").await["instance"]["ipAddr"], "192.0.2.7");
    assert_eq!(world.ask(Method::DELETE, "apps/WEB/web2", "").await.0, 200);
    assert_eq!(world.ask(Method::DELETE, "apps/WEB/web2", "").await.0, 404);
    world.hash("UP_1_").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_instance_is_gone_after_one_lease_and_must_register_again() {
    let world = World::start().await;
    world.register(|_| {}).await;
    world.hash("UP_2_").await;
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1?status=UP&lastDirtyTimestamp=1000", "").await.0, 200);
    }
    tokio::time::advance(Duration::from_secs(31)).await;
    world.hash("UP_1_").await;
    assert_eq!(world.delta().await, ["CART-SHOP/cart-0 ADDED", "BILLING/b1 DELETED"]);
    assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1", "").await.0, 404);
    assert_eq!(world.ask(Method::GET, "apps/BILLING", "").await.0, 404);
    assert_eq!(world.ask(Method::DELETE, "apps/BILLING/b1", "").await.0, 404);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_and_identical_registrations_write_nothing() {
    let world = World::start().await;
    world.register(|_| {}).await;
    world.hash("UP_2_").await;
    let (writes, before) = (world.api.writes().len(), world.get("apps/delta").await);
    for _ in 0..3 {
        assert_eq!(world.register(|_| {}).await.0, 204);
        assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1?status=UP", "").await.0, 200);
    }
    assert_eq!(world.api.writes().len(), writes);
    assert_eq!(world.get("apps/delta").await, before);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_newer_time_stamp_decides_who_is_right() {
    let world = World::start().await;
    world.register(|_| {}).await;
    world.hash("UP_2_").await;
    // The client changed since: it shall register again.
    assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1?lastDirtyTimestamp=1001", "").await.0, 404);
    // The client is behind: fine, but a peer is told.
    assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1?lastDirtyTimestamp=999", "").await.0, 200);
    let headers = [("accept", "application/json"), ("x-netflix-discovery-replication", "true")];
    let (status, body) = world.send(Method::PUT, "apps/BILLING/b1?lastDirtyTimestamp=999", &headers, "").await;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((status, &body["instance"]["lastDirtyTimestamp"]), (409, &json!("1000")));
    // An older registration does not overwrite a newer one.
    world
        .register(|instance| {
            instance["hostName"] = "old".into();
            instance["lastDirtyTimestamp"] = 900.into();
        })
        .await;
    assert_eq!(world.billing().await["hostName"], "h1");
    assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1?lastDirtyTimestamp=soon", "").await.0, 400);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn statuses_map_on_health_and_change_with_a_registration() {
    let world = World::start().await;
    let cases = [
        ("STARTING", "STARTING_1_UP_1_", Health::Critical),
        ("UP", "UP_2_", Health::Passing),
        ("OUT_OF_SERVICE", "OUT_OF_SERVICE_1_UP_1_", Health::Critical),
        ("UNKNOWN", "UNKNOWN_1_UP_1_", Health::Critical),
        ("DOWN", "DOWN_1_UP_1_", Health::Critical),
    ];
    for (index, (status, hash, health)) in cases.into_iter().enumerate() {
        world
            .register(|instance| {
                instance["status"] = status.into();
                instance["lastDirtyTimestamp"] = (1000 + index).into();
            })
            .await;
        world.hash(hash).await;
        assert_eq!(world.object().effective_health().0, health, "{status}");
        assert_eq!(world.billing().await["status"], status);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_override_wins_until_it_is_taken_back_and_outlives_a_short_absence() {
    let world = World::start().await;
    world.register(|_| {}).await;
    world.hash("UP_2_").await;
    let status = "apps/BILLING/b1/status";
    assert_eq!(
        world.ask(Method::PUT, &format!("{status}?value=OUT_OF_SERVICE&lastDirtyTimestamp=1000"), "").await.0,
        200
    );
    world.hash("OUT_OF_SERVICE_1_UP_1_").await;
    assert_eq!(world.object().effective_health().0, Health::Critical);
    assert_eq!(world.billing().await["overriddenStatus"], "OUT_OF_SERVICE");
    assert_eq!(world.get("serverinfo/statusoverrides").await, json!({"b1": "OUT_OF_SERVICE"}));
    // The instance says that it is up, as its heartbeats and registrations always do.
    world.register(|instance| instance["lastDirtyTimestamp"] = 1001.into()).await;
    world.wait(|world| Box::pin(async { world.billing().await["lastDirtyTimestamp"] == "1001" })).await;
    assert_eq!(world.billing().await["status"], "OUT_OF_SERVICE");
    // It goes and comes back.
    assert_eq!(world.ask(Method::DELETE, "apps/BILLING/b1", "").await.0, 200);
    world.hash("UP_1_").await;
    world.register(|instance| instance["lastDirtyTimestamp"] = 1002.into()).await;
    world.hash("OUT_OF_SERVICE_1_UP_1_").await;
    assert_eq!(world.ask(Method::DELETE, &format!("{status}?value=UP"), "").await.0, 200);
    world.hash("UP_2_").await;
    assert_eq!(world.billing().await["overriddenStatus"], "UNKNOWN");
    // By its own word it is down; an administrator's UP stands until it says so again.
    world
        .register(|instance| {
            instance["status"] = "DOWN".into();
            instance["lastDirtyTimestamp"] = 1003.into();
        })
        .await;
    world.hash("DOWN_1_UP_1_").await;
    assert_eq!(world.ask(Method::PUT, &format!("{status}?value=UP"), "").await.0, 200);
    world.wait(|world| Box::pin(async { world.billing().await["overriddenStatus"] == "UP" })).await;
    assert_eq!(world.billing().await["status"], "UP");
    assert_eq!(world.object().effective_health().0, Health::Passing);
    world
        .register(|instance| {
            instance["status"] = "DOWN".into();
            instance["lastDirtyTimestamp"] = 1004.into();
        })
        .await;
    world.hash("DOWN_1_UP_1_").await;
    assert_eq!(world.object().effective_health().0, Health::Critical);
    assert_eq!(world.ask(Method::PUT, &format!("{status}?value=SIDEWAYS"), "").await.0, 400);
    assert_eq!(world.ask(Method::PUT, "apps/BILLING/none/status?value=UP", "").await.0, 404);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delta_tells_of_three_minutes_and_agrees_with_the_full_answer() {
    let world = World::start().await;
    tokio::time::advance(Duration::from_secs(181)).await;
    assert_eq!(world.delta().await, [] as [&str; 0]);
    world.register(|_| {}).await;
    world.hash("UP_2_").await;
    assert_eq!(world.delta().await, ["BILLING/b1 ADDED"]);
    assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1/metadata?color=blue&x=%20y", "").await.0, 200);
    world
        .wait(|world| Box::pin(async { world.billing().await["metadata"] == json!({"color": "blue", "x": " y"}) }))
        .await;
    // Who has not heard of it yet must add it, whatever happened to it since.
    assert_eq!(world.delta().await, ["BILLING/b1 ADDED"]);
    let (full, delta) = (world.get("apps").await, world.get("apps/delta").await);
    assert_eq!(full["applications"]["apps__hashcode"], delta["applications"]["apps__hashcode"]);
    world.ask(Method::DELETE, "apps/BILLING/b1", "").await;
    world.hash("UP_1_").await;
    assert_eq!(world.delta().await, ["BILLING/b1 DELETED"]);
    tokio::time::advance(Duration::from_secs(181)).await;
    assert_eq!(world.delta().await, [] as [&str; 0]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_the_form_that_headers_ask_for() {
    let world = World::start().await;
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], "<applications><versions__delta>1</versions__delta><apps__hashcode>UP_1_</apps__hashcode><application>"),
        (&[("accept", "application/xml")], "<applications>"),
        (&[("accept", "application/json;q=0.9, */*")], "{\"applications\":{\"versions__delta\":\"1\""),
        (
            &[("accept", "json"), ("x-eureka-accept", "compact"), ("accept-encoding", "deflate, gzip")],
            "{\"applications\"",
        ),
    ];
    for (headers, start) in cases {
        let headers: Vec<(&'static str, &'static str)> = headers.to_vec();
        let (status, body) = world.send(Method::GET, "v2/apps/", &headers, "").await;
        let gzip = headers.iter().any(|(name, _)| *name == "accept-encoding");
        let mut text = String::new();
        if gzip {
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).expect("gzip");
            assert!(!text.contains("leaseInfo"), "compact: {text}");
        } else {
            text = String::from_utf8(body.to_vec()).expect("text");
        }
        assert_eq!((status, text.starts_with(start)), (200, true), "{text}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_said_in_netflix_words() {
    let world = World::start().await;
    let cases: [(&str, Value, &str); 7] = [
        ("hostName", Value::Null, "Missing hostname"),
        ("ipAddr", Value::Null, "Missing ip address"),
        ("app", Value::Null, "Missing appName"),
        ("app", json!("OTHER"), "Mismatched appName, expecting BILLING but was OTHER"),
        ("dataCenterInfo", Value::Null, "Missing dataCenterInfo"),
        ("dataCenterInfo", json!({}), "Missing dataCenterInfo Name"),
        ("port", json!("many"), "port: \"many\" is not a port number"),
    ];
    for (field, value, complaint) in cases {
        assert_eq!(world.register(|instance| instance[field] = value).await, (400, complaint.to_owned()));
    }
    let neither = world.register(|instance| {
        instance["instanceId"] = Value::Null;
        instance["hostName"] = Value::Null;
    });
    assert_eq!(neither.await, (400, "Missing instanceId".to_owned()));
    let cases = [
        (Method::POST, "apps/BILLING", 400),
        (Method::PATCH, "apps", 405),
        (Method::GET, "apps/a/b/c", 404),
        (Method::GET, "nothing/at/all", 404),
        (Method::PUT, "asg/x/status?value=ENABLED", 400),
        (Method::GET, "status", 200),
        (Method::GET, "apps?regions=us-east-1", 200),
        (Method::GET, "", 200),
    ];
    for (method, path, status) in cases {
        assert_eq!(world.ask(method, path, "").await.0, status, "{path}");
    }
    assert!(world.api.objects::<ServiceInstance>().is_empty());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_server_tells_of_itself_and_an_unknown_status_is_asked_for_again() {
    let world = World::start().await;
    let status = world.get("status").await;
    assert_eq!(status["applicationStats"]["registered-replicas"], "");
    assert_eq!(status["generalStats"]["server-uptime"], "00:00");
    let answer = world.send(Method::GET, "status", &[("accept", "application/xml")], "").await;
    let text = String::from_utf8(answer.1.to_vec()).expect("text");
    assert!(text.starts_with("<com.netflix.eureka.util.StatusInfo><generalStats><num-of-cpus>"), "{text}");
    assert!(text.contains("<registered-replicas></registered-replicas>"), "{text}");
    let says = |status: &'static str, dirty: i64| {
        world.register(move |instance| {
            instance["status"] = status.into();
            instance["lastDirtyTimestamp"] = dirty.into();
        })
    };
    for (number, (said, renewed)) in [("UNKNOWN", 404), ("UP", 200), ("OUT_OF_SERVICE", 200)].into_iter().enumerate() {
        says(said, 1000 + number as i64).await;
        assert_eq!(world.ask(Method::PUT, "apps/BILLING/b1", "").await.0, renewed, "{said}");
    }
    // What is chosen of all has no version.
    assert_eq!(world.get("vips/money").await["applications"]["versions__delta"], "-1");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn batches_of_a_peer_are_done_one_by_one() {
    let world = World::start().await;
    let info = json!({"instanceId": "b1", "hostName": "h1", "app": "BILLING", "ipAddr": "10.0.0.7", "status": "UP",
        "dataCenterInfo": {"name": "MyOwn"}, "lastDirtyTimestamp": "1000"});
    let item = |action: &str, more: Value| {
        let mut item = json!({"appName": "BILLING", "id": "b1", "lastDirtyTimestamp": 1000, "action": action});
        item.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        item
    };
    let batch = |items: Value| json!({"replicationList": items}).to_string();
    let codes = |text: String| -> Vec<Value> {
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["responseList"].as_array().expect("a list").iter().map(|one| one["statusCode"].clone()).collect()
    };
    let body = batch(json!([item("Heartbeat", json!({})), item("Register", json!({"instanceInfo": info}))]));
    let (status, text) = world.ask(Method::POST, "peerreplication/batch/", &body).await;
    assert_eq!((status, codes(text)), (200, vec![json!(404), json!(200)]));
    world.hash("UP_2_").await;
    let body = batch(json!([
        item("StatusUpdate", json!({"status": "OUT_OF_SERVICE"})),
        item("DeleteStatusOverride", json!({"status": "UP"})),
        item("Heartbeat", json!({"lastDirtyTimestamp": 999})),
        item("Cancel", json!({})),
        item("Cancel", json!({})),
    ]));
    let (_, text) = world.ask(Method::POST, "peerreplication/batch/", &body).await;
    assert_eq!(codes(text), [200, 200, 409, 200, 404].map(Value::from));
    assert_eq!(world.ask(Method::POST, "peerreplication/batch/", "[]").await.0, 400);
    world.stop().await;
}
