//! The runner against a fake API server and servers on loopback.

use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::{CheckType, ExternalNode, Health, HealthCheck, Object, ServiceInstance, ServiceInstanceSpec};
use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_client::testing::FakeServer;
use portolan_client::{Informers, Status};
use tokio::net::TcpListener;

use crate::probe::Prober;
use crate::{Config, run};

fn check(id: &str, address: &str) -> HealthCheck {
    HealthCheck {
        id: id.to_owned(),
        r#type: CheckType::Tcp,
        address: address.to_owned(),
        interval_milliseconds: Some(50),
        ..HealthCheck::default()
    }
}

fn instance(name: &str, checks: Vec<HealthCheck>) -> ServiceInstance {
    let spec = ServiceInstanceSpec { service: "web".to_owned(), checks, ..ServiceInstanceSpec::default() };
    let mut instance = ServiceInstance { spec, ..ServiceInstance::default() };
    (instance.metadata.namespace, instance.metadata.name) = (Some("default".to_owned()), Some(name.to_owned()));
    instance
}

/// Waits until the objects of a kind are as wanted; the watch of an informer tells of each change.
async fn until<K: Object>(informers: &Arc<Informers>, wanted: impl Fn(&[Arc<K>]) -> bool) -> Vec<Arc<K>> {
    let informer = informers.informer::<K>();
    let mut changes = informer.changes();
    let arrived = async {
        loop {
            let objects = informer.list();
            if wanted(&objects) {
                return objects;
            }
            changes.changed().await.expect("the informer lives");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("in time")
}

#[tokio::test]
async fn results_are_written_when_the_health_changes_and_only_then() {
    let api = FakeServer::new(Arc::new(SystemClock));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let open = listener.local_addr().expect("bound").to_string();
    let client = api.client();
    client.create(&instance("a", vec![check("tcp", &open)])).await.expect("created");
    let mut machine = ExternalNode::default();
    machine.metadata.name = Some("vm".to_owned());
    machine.spec.checks = vec![check("up", &open), HealthCheck { id: "own".to_owned(), ..HealthCheck::default() }];
    client.create(&machine).await.expect("created");

    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let informers = Informers::new(client.clone());
    let (running, stopping) = (informers.clone(), shutdown.clone());
    tasks.spawn("informers", async move { running.run(stopping).await });
    let config = Config {
        client: client.clone(),
        informers: informers.clone(),
        clock: Arc::new(SystemClock),
        node: None,
        prober: Prober::default(),
        concurrency: 8,
    };
    tasks.spawn("health checks", run(config, shutdown.clone()));

    let health = |object: &ServiceInstance| {
        object.status.iter().flat_map(|status| &status.checks).map(|check| check.health).collect::<Vec<_>>()
    };
    until::<ServiceInstance>(&informers, |all| all.iter().any(|it| health(it) == [Health::Passing])).await;
    let machines = until::<ExternalNode>(&informers, |all| all.iter().any(|it| it.status.is_some())).await;
    let results = &machines[0].status.as_ref().expect("just seen").checks;
    // The check that somebody else answers for is not touched.
    assert_eq!(results.iter().map(|result| result.id.as_str()).collect::<Vec<_>>(), ["up"]);

    // Many tries later, with the listener's backlog as witness, nothing more was written.
    api.clear_requests();
    for _ in 0..10 {
        listener.accept().await.expect("a try");
    }
    assert_eq!(api.writes(), Vec::<String>::new());

    drop(listener);
    let instances =
        until::<ServiceInstance>(&informers, |all| all.iter().any(|it| health(it) == [Health::Critical])).await;
    assert_eq!(instances[0].effective_health().0, Health::Critical);
    assert!(instances[0].effective_health().1.contains("refused"));
    shutdown.request();
    assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
}

#[tokio::test]
async fn a_result_that_the_api_refused_is_written_later() {
    let api = FakeServer::new(Arc::new(SystemClock));
    let client = api.client();
    client.create(&instance("a", vec![check("tcp", "127.0.0.1:0")])).await.expect("created");
    let unavailable = Status { code: 503, ..Status::default() };
    api.fail(http::Method::PUT, "serviceinstances/a/status", 1, unavailable);
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let informers = Informers::new(client.clone());
    let (running, stopping) = (informers.clone(), shutdown.clone());
    tasks.spawn("informers", async move { running.run(stopping).await });
    let clock = Arc::new(SystemClock);
    let (prober, concurrency) = (Prober::default(), 8);
    let config = Config { client, informers: informers.clone(), clock, node: None, prober, concurrency };
    tasks.spawn("health checks", run(config, shutdown.clone()));
    until::<ServiceInstance>(&informers, |all| all.iter().any(|it| it.status.is_some())).await;
    shutdown.request();
    assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
}
