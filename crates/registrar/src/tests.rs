//! Registrations over their life, against a fake API server on paused time.

use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::{
    CheckType, Checked, ExternalNode, Health, HealthCheck, HealthCheckStatus, InstanceLease, LeaseKind,
    ServiceInstance, ServiceInstanceSpec,
};
use portolan_base::{Shutdown, TaskGroup};
use portolan_client::testing::{FakeServer, TokioClock};
use portolan_client::{Informer, Informers, Key, Status};

use crate::{Outcome, Registrar};

struct World {
    api: Arc<FakeServer>,
    registrar: Arc<Registrar>,
    instances: Informer<ServiceInstance>,
    machines: Informer<ExternalNode>,
    tasks: TaskGroup,
    shutdown: Shutdown,
}

fn fake() -> Arc<FakeServer> {
    let start = "2026-01-01T00:00:00Z".parse().expect("a time");
    Arc::new(FakeServer::new(Arc::new(TokioClock::new(start))))
}

impl World {
    async fn start(api: Arc<FakeServer>) -> Self {
        let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
        let informers = Informers::new(api.client());
        let (instances, machines) = (informers.informer::<ServiceInstance>(), informers.informer::<ExternalNode>());
        let clock = Arc::new(TokioClock::new("2026-01-01T00:00:00Z".parse().expect("a time")));
        let registrar = Registrar::new(api.client(), instances.clone()).with_machines(machines.clone());
        let registrar = Arc::new(registrar.with_clock(clock));
        let stopping = shutdown.clone();
        tasks.spawn("informers", async move { informers.run(stopping).await });
        let (running, stopping) = (registrar.clone(), shutdown.clone());
        tasks.spawn("registrar", async move {
            stopping.run(running.run()).await;
        });
        instances.synced().await;
        machines.synced().await;
        Self { api, registrar, instances, machines, tasks, shutdown }
    }

    /// Waits until the API has an instance like this.
    async fn until(&self, name: &str, wanted: impl Fn(Option<&ServiceInstance>) -> bool) {
        let mut changes = self.instances.changes();
        let arrived = async {
            while !wanted(self.instances.get("default", name).as_deref()) {
                changes.changed().await.expect("the informer lives");
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), arrived).await.expect("it becomes so");
    }

    async fn stop(self) {
        self.shutdown.request();
        assert!(self.tasks.join(Duration::from_secs(5)).await.is_empty());
    }
}

fn instance(name: &str, ttl: Option<i32>, checks: Vec<HealthCheck>) -> ServiceInstance {
    let lease = ttl.map(|seconds| InstanceLease {
        kind: LeaseKind::Ttl,
        ttl_seconds: Some(seconds),
        ..InstanceLease::default()
    });
    let spec = ServiceInstanceSpec { service: "web".to_owned(), lease, checks, ..ServiceInstanceSpec::default() };
    let mut instance = ServiceInstance { spec, ..ServiceInstance::default() };
    (instance.metadata.namespace, instance.metadata.name) = (Some("default".to_owned()), Some(name.to_owned()));
    instance
}

fn ttl_check(milliseconds: i64) -> HealthCheck {
    HealthCheck { id: "alive".to_owned(), ttl_milliseconds: Some(milliseconds), ..HealthCheck::default() }
}

fn key(name: &str) -> Key {
    Key::new("default", name)
}

fn is(instance: Option<&ServiceInstance>, health: Health) -> bool {
    instance.is_some_and(|instance| instance.effective_health().0 == health)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[tokio::test(start_paused = true)]
async fn a_ttl_check_lives_by_its_reports() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    registrar.register(instance("a", None, vec![ttl_check(100)])).await.expect("registered");
    world.until("a", |it| is(it, Health::Critical)).await;
    registrar.report_check(&key("a"), "alive", Health::Passing, "fine").await.expect("reported");
    // What was written is read at once.
    assert!(is(registrar.instance(&key("a")).as_deref(), Health::Passing));
    world.until("a", |it| is(it, Health::Passing)).await;
    let written = world.api.writes().len();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        registrar.report_check(&key("a"), "alive", Health::Passing, "fine").await.expect("reported");
    }
    assert_eq!(world.api.writes().len(), written, "reports of the same write nothing");
    world.until("a", |it| is(it, Health::Critical)).await;
    let output = world.instances.get("default", "a").expect("there").result("alive").expect("a result").output.clone();
    assert_eq!(output, "TTL expired (last output before timeout follows): fine");
    let written = world.api.writes().len();
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(world.api.writes().len(), written, "it expires once");
    registrar.report_check(&key("a"), "alive", Health::Warning, "slow").await.expect("reported");
    world.until("a", |it| is(it, Health::Warning)).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn registrations_are_found_by_their_ids_whatever_their_objects_are_named() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    for (name, id) in [("b-1", "b"), ("b", "b"), ("a-2", "a"), ("a", "other"), ("a-1", "a"), ("plain", "")] {
        let mut wanted = instance(name, None, Vec::new());
        wanted.spec.instance_id = id.to_owned();
        registrar.register(wanted).await.expect("registered");
    }
    // Id; the objects of instances that have it; what a client means by it.
    let cases = [
        ("a", "a-1 a-2", "a"),
        ("b", "b b-1", "b"),
        ("other", "a", "a"),
        ("plain", "plain", "plain"),
        ("none", "", ""),
    ];
    for (id, of_id, meant) in cases {
        let found = registrar.with_id("default", id);
        let names: Vec<&str> = found.iter().filter_map(|object| object.metadata.name.as_deref()).collect();
        assert_eq!(names.join(" "), of_id, "{id}");
        let keys: Vec<String> = registrar.find("default", id).into_iter().map(|key| key.name).collect();
        assert_eq!(keys.join(" "), meant, "{id}");
    }
    assert!(registrar.with_id("elsewhere", "a").is_empty());
    registrar.deregister(&key("a-1")).await.expect("deregistered");
    assert_eq!(registrar.with_id("default", "a").len(), 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn words_alone_are_written_every_five_minutes_and_known_at_once() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    registrar.register(instance("a", None, vec![ttl_check(3_600_000)])).await.expect("registered");
    registrar.report_check(&key("a"), "alive", Health::Passing, "one").await.expect("reported");
    let written = world.api.writes().len();
    registrar.report_check(&key("a"), "alive", Health::Passing, "two").await.expect("reported");
    assert_eq!(world.api.writes().len(), written);
    assert_eq!(registrar.check_output(&key("a"), "alive").as_deref(), Some("two"));
    tokio::time::sleep(seconds(301)).await;
    registrar.report_check(&key("a"), "alive", Health::Passing, "three").await.expect("reported");
    assert_eq!(world.api.writes().len(), written + 1);
    assert_eq!(registrar.check_output(&key("a"), "alive"), None);
    for (name, id, words) in
        [("b", "alive", "not registered"), ("a", "none", "has no check"), ("c", "tcp", "nobody but its runner")]
    {
        if name == "c" {
            let tcp = HealthCheck { id: id.to_owned(), r#type: CheckType::Tcp, ..HealthCheck::default() };
            registrar.register(instance(name, None, vec![tcp])).await.expect("registered");
        }
        let refused = registrar.report_check(&key(name), id, Health::Passing, "").await.expect_err("refused");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_critical_instance_is_deregistered_and_not_before() {
    let world = World::start(fake()).await;
    let check = HealthCheck { deregister_critical_after_seconds: Some(90), ..ttl_check(10_000) };
    world.registrar.register(instance("a", None, vec![check])).await.expect("registered");
    world.registrar.report_check(&key("a"), "alive", Health::Passing, "").await.expect("reported");
    world.until("a", |it| is(it, Health::Passing)).await;
    world.until("a", |it| is(it, Health::Critical)).await;
    let critical = tokio::time::Instant::now();
    world.until("a", |it| it.is_none()).await;
    let passed = critical.elapsed();
    assert!((seconds(89)..seconds(92)).contains(&passed), "{passed:?}");
    assert_eq!(world.registrar.counters().deregistered.get(), 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn machines_and_aliases_follow() {
    let api = fake();
    let mut machine = ExternalNode::default();
    machine.metadata.name = Some("vm-1".to_owned());
    (machine.spec.node, machine.spec.checks) = ("vm-1".to_owned(), vec![ttl_check(60_000)]);
    api.client().create(&machine).await.expect("created");
    let world = World::start(api).await;
    let alias = |id: &str, service: &str, node: &str| HealthCheck {
        id: id.to_owned(),
        r#type: CheckType::Alias,
        alias_service: service.to_owned(),
        alias_node: node.to_owned(),
        ..HealthCheck::default()
    };
    let registrar = &world.registrar;
    registrar.register(instance("proxy", None, vec![alias("s", "a", "")])).await.expect("registered");
    registrar.register(instance("guest", None, vec![alias("n", "", "vm-1")])).await.expect("registered");
    world.until("proxy", |it| is(it, Health::Critical) && it.is_some_and(|it| !it.results().is_empty())).await;
    registrar.register(instance("a", None, vec![ttl_check(60_000)])).await.expect("registered");
    registrar.report_check(&key("a"), "alive", Health::Passing, "").await.expect("reported");
    world.until("proxy", |it| is(it, Health::Passing)).await;
    registrar.report_check(&key("a"), "alive", Health::Warning, "hm").await.expect("reported");
    world.until("proxy", |it| is(it, Health::Warning)).await;
    let machine = Key::new("", "vm-1");
    registrar.report_machine_check(&machine, "alive", Health::Passing, "up").await.expect("reported");
    world.until("guest", |it| is(it, Health::Passing)).await;
    // Nobody reports it any more.
    world.until("guest", |it| is(it, Health::Critical)).await;
    assert_eq!(world.machines.get("", "vm-1").expect("there").results()[0].health, Health::Critical);
    registrar.deregister(&key("a")).await.expect("deregistered");
    world.until("proxy", |it| is(it, Health::Critical)).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_verdict_of_an_alias_comes_with_its_words() {
    let world = World::start(fake()).await;
    let alias = HealthCheck {
        id: "s".to_owned(),
        r#type: CheckType::Alias,
        alias_service: "none".to_owned(),
        ..HealthCheck::default()
    };
    let mut proxy = instance("proxy", None, vec![alias]);
    let begins = HealthCheckStatus { id: "s".to_owned(), health: Health::Critical, ..HealthCheckStatus::default() };
    proxy.results_mut().push(begins);
    world.registrar.register(proxy).await.expect("registered");
    let words = "Service none could not be found";
    world.until("proxy", |it| it.and_then(|it| it.result("s")).is_some_and(|result| result.output == words)).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn results_of_checks_that_left_go_whoever_took_them_away() {
    let world = World::start(fake()).await;
    let (registrar, client) = (&world.registrar, world.api.client());
    registrar.register(instance("a", None, vec![ttl_check(3_600_000)])).await.expect("registered");
    for way in ["registrar", "somebody else"] {
        registrar.report_check(&key("a"), "alive", Health::Passing, "fine").await.expect("reported");
        registrar.report_check(&key("a"), "alive", Health::Passing, "fine still").await.expect("reported");
        world.until("a", |it| it.and_then(|it| it.result("alive")).is_some_and(|it| it.output == "fine")).await;
        if way == "registrar" {
            let changed = registrar.change_spec(&key("a"), |spec| spec.checks.clear()).await.expect("changed");
            assert!(changed.results().is_empty());
            assert_eq!(registrar.check_output(&key("a"), "alive"), None);
        } else {
            let mut object: ServiceInstance = client.get("default", "a").await.expect("there");
            object.spec.checks.clear();
            client.update(&object).await.expect("changed");
        }
        world.until("a", |it| it.is_some_and(|it| it.checks().is_empty() && it.results().is_empty())).await;
        let edit = |spec: &mut ServiceInstanceSpec| spec.checks = vec![ttl_check(3_600_000)];
        let changed = registrar.change_spec(&key("a"), edit).await.expect("changed");
        assert_eq!(changed.effective_health().0, Health::Critical, "{way}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_read_at_once() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    let wanted = || instance("a", Some(30), Vec::new());
    assert_eq!(registrar.register(wanted()).await.expect("registered").0, Outcome::Created);
    assert_eq!(registrar.register(wanted()).await.expect("registered").0, Outcome::Unchanged);
    registrar.deregister(&key("a")).await.expect("deregistered");
    assert!(registrar.instance(&key("a")).is_none());
    assert_eq!(registrar.register(wanted()).await.expect("registered").0, Outcome::Created);
    for version in ["1", "2", "1"] {
        let edit = |spec: &mut ServiceInstanceSpec| spec.version = version.to_owned();
        let changed = registrar.change_spec(&key("a"), edit).await.expect("changed");
        assert_eq!(changed.spec.version, version);
    }
    assert_eq!(world.api.objects::<ServiceInstance>()[0].spec.version, "1");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_crashed_goes_a_third_cut_off_stays_until_it_returns() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    let name = |number: usize| format!("i{number}");
    for number in 0..20 {
        let checks = if number == 1 {
            vec![HealthCheck { id: "tcp".to_owned(), r#type: CheckType::Tcp, ..HealthCheck::default() }]
        } else {
            Vec::new()
        };
        registrar.register(instance(&name(number), Some(30), checks)).await.expect("registered");
    }
    let renew = async |alive: &dyn Fn(usize) -> bool, times: usize| {
        for _ in 0..times {
            tokio::time::sleep(seconds(10)).await;
            for number in (0..20).filter(|number| alive(*number)) {
                // One that is gone cannot renew; that it is gone is looked at below.
                let _ = registrar.renew(&key(&name(number)));
            }
        }
    };
    renew(&|_| true, 3).await;
    renew(&|number| number != 19, 5).await;
    assert_eq!(world.api.objects::<ServiceInstance>().len(), 19);
    assert!(registrar.renew(&key("i19")).is_err());
    // Six of nineteen are cut off; one of them has an active check that fails.
    renew(&|number| number >= 6, 20).await;
    assert_eq!(world.api.objects::<ServiceInstance>().len(), 19);
    let held = |it: &ServiceInstance| it.status.as_ref().is_some_and(|status| status.lease_held_since.is_some());
    assert_eq!(world.api.objects::<ServiceInstance>().iter().filter(|it| held(it)).count(), 6);
    let (health, reason) = world.instances.get("default", "i0").expect("there").effective_health();
    assert!(health == Health::Passing && reason.contains("its lease ran out at 2026-01-01T"), "{reason}");
    assert_eq!(world.instances.get("default", "i1").expect("there").effective_health().0, Health::Critical);
    assert_eq!(registrar.counters().held.get(), 6);
    // All but one return.
    renew(&|number| number != 0, 10).await;
    let left = world.api.objects::<ServiceInstance>();
    assert_eq!((left.len(), left.iter().filter(|it| held(it)).count()), (18, 0));
    assert_eq!(registrar.counters().released.get(), 5);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leases_pause_while_there_is_no_api() {
    let world = World::start(fake()).await;
    world.registrar.register(instance("a", Some(10), Vec::new())).await.expect("registered");
    world.until("a", |it| it.is_some()).await;
    let unavailable = Status { code: 503, ..Status::default() };
    world.api.fail(http::Method::DELETE, "serviceinstances/a", 1, unavailable);
    tokio::time::sleep(seconds(15)).await;
    world.registrar.renew(&key("a")).expect("its lease is full again");
    tokio::time::sleep(seconds(9)).await;
    assert_eq!(world.api.objects::<ServiceInstance>().len(), 1);
    world.until("a", |it| it.is_none()).await;
    assert_eq!(world.registrar.counters().ended.get(), 1);
    world.stop().await;
}

/// An instance that lives by a connection, or by a session.
fn held(name: &str, lease: InstanceLease) -> ServiceInstance {
    let mut held = instance(name, None, Vec::new());
    held.spec.lease = Some(lease);
    held
}

fn by_connection(name: &str) -> ServiceInstance {
    held(name, InstanceLease { kind: LeaseKind::Connection, ttl_seconds: Some(3), ..InstanceLease::default() })
}

fn by_session(name: &str, session: &str) -> ServiceInstance {
    let session = session.to_owned();
    held(name, InstanceLease { kind: LeaseKind::Session, session, ttl_seconds: None })
}

#[tokio::test(start_paused = true)]
async fn an_instance_lives_as_long_as_its_connection_and_a_grace() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    let refused = registrar.register(by_connection("a")).await.expect_err("nothing holds it");
    assert!(refused.to_string().contains("needs a connection"), "{refused}");
    let (_, _, first) = registrar.register_connected(by_connection("a")).await.expect("registered");
    world.until("a", |it| it.is_some()).await;
    tokio::time::sleep(seconds(3600)).await;
    assert!(world.instances.get("default", "a").is_some(), "the connection is open");
    assert!(registrar.held_by(&key("a")).is_some_and(|words| words.contains("which is open")));
    assert!(registrar.renew(&key("a")).is_err_and(|error| error.to_string().contains("nothing to renew")));
    // The client comes back before the end of its first connection is noticed, and once within the grace.
    let (outcome, _, second) = registrar.register_connected(by_connection("a")).await.expect("registered");
    assert_eq!((outcome, first.over().is_some(), second.over()), (Outcome::Unchanged, true, None));
    drop(first);
    tokio::time::sleep(seconds(10)).await;
    drop(second);
    assert!(registrar.held_by(&key("a")).is_some_and(|words| words.contains("none is open")));
    tokio::time::sleep(seconds(2)).await;
    let (_, _, third) = registrar.register_connected(by_connection("a")).await.expect("registered");
    tokio::time::sleep(seconds(10)).await;
    assert!(world.instances.get("default", "a").is_some());
    let dropped = tokio::time::Instant::now();
    drop(third);
    world.until("a", |it| it.is_none()).await;
    assert_eq!(dropped.elapsed().as_secs(), 3);
    // All of a service at once: somebody said that they ended, so they are not taken for cut off.
    let mut connections = Vec::new();
    for name in ["b", "c", "d"] {
        connections.push(registrar.register_connected(by_connection(name)).await.expect("registered").2);
        world.until(name, |it| it.is_some()).await;
    }
    registrar.deregister(&key("d")).await.expect("deregistered");
    assert_eq!(connections.pop().expect("three").over(), Some("the instance was deregistered"));
    drop(connections);
    for name in ["b", "c"] {
        world.until(name, |it| it.is_none()).await;
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nothing_holds_after_a_restart_or_from_the_beginning_goes_after_its_grace() {
    let api = fake();
    let first = World::start(api.clone()).await;
    let (_, _, connected) = first.registrar.register_connected(by_connection("a")).await.expect("registered");
    first.registrar.session_began("s");
    first.registrar.register(by_session("b", "s")).await.expect("registered");
    first.stop().await;
    drop(connected);
    // As kubectl would.
    for object in [by_connection("c"), by_session("d", "never")] {
        api.client().create(&object).await.expect("created");
    }
    let second = World::start(api).await;
    assert!(second.registrar.sessions_are(&["s".to_owned()].into()).is_empty());
    for name in ["a", "b", "c", "d"] {
        second.until(name, |it| it.is_some()).await;
    }
    let (_, _, _connected) = second.registrar.register_connected(by_connection("a")).await.expect("registered");
    for name in ["c", "d"] {
        second.until(name, |it| it.is_none()).await;
    }
    tokio::time::sleep(seconds(600)).await;
    for name in ["a", "b"] {
        assert!(second.instances.get("default", name).is_some(), "{name} is held");
    }
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_ends_with_its_session() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    let refused = registrar.register(by_session("a", "s")).await.expect_err("there is no such session");
    assert!(refused.to_string().contains("is not known"), "{refused}");
    for session in ["s", "t"] {
        registrar.session_began(session);
    }
    for (name, session) in [("a", "s"), ("b", "s"), ("c", "t")] {
        registrar.register(by_session(name, session)).await.expect("registered");
        world.until(name, |it| it.is_some()).await;
    }
    tokio::time::sleep(seconds(3600)).await;
    registrar.session_ended("s");
    for name in ["a", "b"] {
        world.until(name, |it| it.is_none()).await;
    }
    assert!(world.instances.get("default", "c").is_some(), "its session lives");
    // Sessions that ended while nobody followed them.
    let others = registrar.sessions_are(&[].into());
    assert_eq!(others, ["t"]);
    others.iter().for_each(|session| registrar.session_ended(session));
    world.until("c", |it| it.is_none()).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_registers_again_while_it_ends_lives_by_its_new_session() {
    let world = World::start(fake()).await;
    let registrar = &world.registrar;
    registrar.session_began("old");
    registrar.session_began("new");
    registrar.register(by_session("a", "old")).await.expect("registered");
    world.until("a", |it| it.is_some()).await;
    registrar.session_ended("old");
    registrar.register(by_session("a", "new")).await.expect("registered again");
    tokio::time::sleep(seconds(3600)).await;
    assert!(world.instances.get("default", "a").is_some(), "its session lives");
    registrar.session_ended("new");
    world.until("a", |it| it.is_none()).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_keeps_says_why_and_for_how_long() {
    let world = World::start(fake()).await;
    for name in ["a", "b"] {
        world.registrar.register(instance(name, Some(10), Vec::new())).await.expect("registered");
    }
    let held = |it: Option<&ServiceInstance>| {
        it.is_some_and(|it| it.status.as_ref().is_some_and(|it| it.lease_held_since.is_some()))
    };
    world.until("a", held).await;
    let why = world.registrar.why_held(&key("a")).expect("it is kept");
    assert!(why.contains("hold=900s") && why.contains("2 of 2 leases of the service are silent"), "{why}");
    // Who lives by something else now is not kept by the policy any more.
    world.registrar.session_began("s");
    world.registrar.register(by_session("a", "s")).await.expect("registered again");
    world.until("a", |it| !held(it)).await;
    assert_eq!(world.registrar.why_held(&key("a")), None);
    world.stop().await;
}
