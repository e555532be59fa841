//! Registrations over their life, against a fake API server on paused time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use portolan_api::typed::{Object as _, ServiceInstance};
use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_catalog::{Catalog, Input};
use portolan_client::Informers;
use portolan_client::testing::FakeServer;
use serde_json::{Value, json};
use tokio::sync::watch;

use portolan_registrar::access::Caller;
use portolan_registrar::http::{Handler, Request};
use portolan_registrar::limits::{Limiter, Limits};
use portolan_registrar::{Changes, Registrar};

use crate::routes::Registry;

mod description;
mod dialect;
mod held;
mod ids;
mod malformed;
mod pick;

/// An answer that has arrived.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }
}

struct World {
    api: Arc<FakeServer>,
    registry: Registry,
    snapshots: watch::Sender<Arc<portolan_catalog::Snapshot>>,
    tasks: TaskGroup,
    shutdown: Shutdown,
}

impl World {
    async fn start(api: Arc<FakeServer>) -> Self {
        Self::start_with(api, Limits::default()).await
    }

    async fn start_with(api: Arc<FakeServer>, limits: Limits) -> Self {
        let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
        let informers = Informers::new(api.client());
        let instances = informers.informer::<ServiceInstance>();
        let keeper = Arc::new(Registrar::new(api.client(), instances.clone()));
        let stopping = shutdown.clone();
        tasks.spawn("informers", async move { informers.run(stopping).await });
        let (kept, stopping) = (keeper.clone(), shutdown.clone());
        tasks.spawn("leases", async move {
            stopping.run(kept.run()).await;
        });
        instances.synced().await;
        let (sender, snapshots) = watch::channel(Catalog::default().snapshot());
        let changes = Changes::new(snapshots);
        let (told, stopping) = (changes.clone(), shutdown.clone());
        tasks.spawn("changes", async move { told.run(stopping).await });
        let registry = Registry::new(keeper, changes, Arc::new(Limiter::new(limits)));
        Self { api, registry, snapshots: sender, tasks, shutdown }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let answer = self.send(method, path, &[], body).await;
        (answer.status, serde_json::from_slice(&answer.body).expect("answers are JSON"))
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
        let (head, body) = self.registry.answer(request(method, path, headers, body)).await.into_parts();
        let body = body.collect().await.expect("the body cannot fail").to_bytes();
        Answered { status: head.status, headers: head.headers, body }
    }

    /// Status of an answer whose body may go on for ever.
    async fn send_head(&self, method: Method, path: &str) -> StatusCode {
        self.registry.answer(request(method, path, &[], "")).await.status()
    }

    /// Shows these instances in the catalog, and nothing else; each is `NAME` and what its object has.
    fn show(&self, catalog: &mut Catalog, instances: &[(&str, Value)]) {
        for (revision, (name, object)) in (catalog.snapshot().index() + 1..).zip(instances) {
            let mut object = object.clone();
            object["metadata"] = json!({"namespace": "default", "name": name, "resourceVersion": revision.to_string()});
            object["spec"]["instanceId"] = (*name).into();
            let object: ServiceInstance = serde_json::from_value(object).expect("an instance");
            catalog.put(Input::Registration(Arc::new(object)));
        }
        self.snapshots.send_replace(catalog.snapshot());
    }

    fn registered(&self) -> usize {
        self.api.objects::<ServiceInstance>().len()
    }

    async fn stop(self) {
        self.shutdown.request();
        assert!(self.tasks.join(Duration::from_secs(5)).await.is_empty());
    }
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let headers = headers.iter().map(|(name, value)| {
        (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
    });
    Request {
        method,
        uri: path.parse().expect("a path"),
        headers: headers.collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)),
        caller: Caller::Trusted,
    }
}

/// What the registry hears of, it has heard of by then, in a time that costs none.
const PATIENCE: Duration = Duration::from_secs(5);
const BILLING: &str = r#"{"service": "billing", "id": "billing-1", "port": 8080, "ttlSeconds": 10}"#;
const RENEW: &str = "/registry/instances/default/billing-1/renew";

fn fake() -> Arc<FakeServer> {
    Arc::new(FakeServer::new(Arc::new(SystemClock)))
}

#[tokio::test(start_paused = true)]
async fn an_instance_lives_while_it_renews_and_goes_one_lease_after_it_stopped() {
    let world = World::start(fake()).await;
    let (status, answer) = world.ask(Method::POST, "/registry/instances", BILLING).await;
    assert_eq!((status, &answer["outcome"]), (StatusCode::CREATED, &Value::from("created")));
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(world.ask(Method::PUT, RENEW, "").await.0, StatusCode::OK);
    }
    assert_eq!(world.registered(), 1);
    tokio::time::sleep(Duration::from_secs(11)).await;
    while world.registered() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (status, answer) = world.ask(Method::PUT, RENEW, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(answer["message"].as_str().expect("a text").contains("register again"), "{answer}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn renewals_and_identical_registrations_write_nothing() {
    let world = World::start(fake()).await;
    world.ask(Method::POST, "/registry/instances", BILLING).await;
    // The copy in memory hears of the new object through its watch.
    world.until_known("billing-1").await;
    let before = world.api.writes().len();
    for _ in 0..3 {
        assert_eq!(world.ask(Method::PUT, RENEW, "").await.0, StatusCode::OK);
        let (_, answer) = world.ask(Method::POST, "/registry/instances", BILLING).await;
        assert_eq!(answer["outcome"], "unchanged");
    }
    assert_eq!(world.api.writes().len(), before);
    let changed = BILLING.replace("8080", "9090");
    assert_eq!(world.ask(Method::POST, "/registry/instances", &changed).await.1["outcome"], "changed");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_every_instance_gets_one_full_lease() {
    let api = fake();
    let first = World::start(api.clone()).await;
    first.ask(Method::POST, "/registry/instances", BILLING).await;
    first.stop().await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    let second = World::start(api).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(second.registered(), 1, "the lease is not over yet");
    tokio::time::sleep(Duration::from_secs(2)).await;
    while second.registered() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deregistration_and_refusals_are_answered_in_words() {
    let world = World::start(fake()).await;
    world.ask(Method::POST, "/registry/instances", BILLING).await;
    let path = "/registry/instances/default/billing-1";
    assert_eq!(world.ask(Method::DELETE, path, "").await.0, StatusCode::OK);
    let cases = [
        (Method::DELETE, path, "", 404, "is not registered"),
        (Method::PATCH, "/registry/instances", "", 405, "allowed: GET, POST"),
        (Method::GET, "/registry/instances?helath=passing", "", 400, "unknown parameter"),
        (Method::POST, "/registry/instances", "[]", 400, "not a registration"),
        (Method::GET, "/registry/nothing", "", 404, "GET /registry"),
        (Method::GET, "/elsewhere", "", 404, "GET /registry"),
        (Method::GET, "/registry/services/none", "", 404, "no service none"),
    ];
    for (method, path, body, status, words) in cases {
        let (answered, answer) = world.ask(method, path, body).await;
        assert_eq!(answered.as_u16(), status, "{path}");
        assert!(answer["message"].as_str().expect("a text").contains(words), "{path}: {answer}");
    }
    world.stop().await;
}

impl World {
    /// Waits until the copy in memory has heard of an instance.
    async fn until_known(&self, id: &str) {
        let path = format!("/registry/instances/default/{id}");
        let mut last = Value::Null;
        let known = async {
            loop {
                let (status, answer) = self.ask(Method::GET, &path, "").await;
                // The catalog of this world stays empty; that the keeper knows it shows in the text.
                let message = answer["message"].as_str().unwrap_or_default();
                if status == StatusCode::OK || message.contains("has not heard") {
                    return;
                }
                last = answer;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let known = tokio::time::timeout(PATIENCE, known).await;
        assert!(known.is_ok(), "{id} is not known after {PATIENCE:?}: {last}");
    }
}
