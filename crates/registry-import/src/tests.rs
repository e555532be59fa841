//! Imports of registries that come and go, into an API server in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use parking_lot::Mutex;
use portolan_api::typed::{
    ExternalNode, Health, InstancePort, Object, ServiceInstance, ServiceInstanceSpec, ServiceInstanceStatus,
};
use portolan_base::{Shutdown, SystemClock, TaskGroup, Timestamp};
use portolan_catalog::{Catalog, Input, Kind};
use portolan_client::testing::FakeServer;
use portolan_client::{Client, DeleteOptions, Informers};
use portolan_registrar::http::{Body, Handler, Listener, Refusal, Request, full, serve};
use portolan_registrar::limits::{Limiter, Limits};
use portolan_registrar::{Changes, Registrar};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::plan::{Action, Owner, plan};
use crate::source::Found;
use crate::{Config, Copied, Dialect, KeyCopy, Progress, Remote, Totals, run};

fn owner() -> Owner {
    Owner { namespace: "default".into(), from: "consul", import: "old".into(), url: "http://old:8500".into() }
}

fn one(id: &str, health: Health) -> Found {
    let ports = vec![InstancePort { port: 80, ..InstancePort::default() }];
    Found {
        service: "web".into(),
        id: id.into(),
        scope: "n1".into(),
        address: "10.0.0.1".into(),
        ports,
        health,
        ..Found::default()
    }
}

fn words(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::Create(object) => format!("create {}", object.spec.instance_id),
        Action::Update(object) => format!("update {}", object.spec.instance_id),
        Action::UpdateStatus(object) => {
            format!("say {} {}", object.spec.instance_id, object.status.as_ref().expect("a status").health.as_str())
        }
        Action::Delete { name, .. } => format!("delete {}", name.rsplit_once('-').expect("a name and a hash").0),
    };
    actions.iter().map(word).collect()
}

fn created(found: &[Found]) -> Vec<ServiceInstance> {
    let actions = plan(&owner(), &[], found, Timestamp::UNIX_EPOCH);
    actions
        .into_iter()
        .map(|action| match action {
            Action::Create(object) => *object,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn what_the_api_fills_in_is_no_change() {
    // What a source does not say: ids, protocols, weights and leases have defaults.
    let found = [Found { id: String::new(), ..one("", Health::Passing) }, one("b", Health::Warning)];
    let mut present = created(&found);
    for object in &mut present {
        let name = object.name().to_owned();
        object.spec.fill_defaults(&name);
        object.spec.weights = Some(portolan_api::typed::InstanceWeights { passing: 1, warning: 1 });
    }
    assert_eq!(words(&plan(&owner(), &present, &found, Timestamp::UNIX_EPOCH)), [] as [&str; 0]);
}

#[test]
fn only_what_differs_is_written_and_only_what_is_imported_is_removed() {
    let before = [one("a", Health::Passing), one("b", Health::Passing), one("c", Health::Passing)];
    let mut present = created(&before);
    let mut registered = present[0].clone();
    registered.metadata.labels = None;
    registered.metadata.name = Some("registered-here".into());
    let mut other = present[1].clone();
    other.metadata.labels.as_mut().expect("labels").insert(crate::plan::IMPORT_LABEL.into(), "another".into());
    other.metadata.name = Some("of-another".into());
    present.extend([registered, other]);
    assert_eq!(words(&plan(&owner(), &present, &before, Timestamp::UNIX_EPOCH)), [] as [&str; 0]);
    let moved = Found { address: "10.0.0.2".into(), ..one("b", Health::Passing) };
    let after = [one("a", Health::Critical), moved, one("d", Health::Passing)];
    let actions = plan(&owner(), &present, &after, Timestamp::UNIX_EPOCH);
    assert_eq!(words(&actions), ["delete c", "say a critical", "update b", "create d"]);
}

#[test]
fn the_same_id_on_two_nodes_is_two_instances_and_overrides_stay() {
    let twins = [one("a", Health::Passing), Found { scope: "n2".into(), ..one("a", Health::Passing) }];
    let mut present = created(&twins);
    assert_eq!(present.len(), 2);
    present[0].spec.administrative = Some(portolan_api::typed::InstanceOverride::default());
    assert_eq!(words(&plan(&owner(), &present, &twins, Timestamp::UNIX_EPOCH)), [] as [&str; 0]);
}

#[test]
fn entries_of_consul_become_instances() {
    let entry = json!({"Node": {"Node": "n1", "Address": "10.0.0.9"},
        "Service": {"ID": "web-1", "Service": "web", "Tags": ["v1"], "Address": "", "Port": 8080,
            "Meta": {"version": "2"}, "Weights": {"Passing": 5, "Warning": 1}, "Locality": {"Region": "r", "Zone": "z"}},
        "Checks": [{"Name": "Serf", "Status": "passing", "Output": "alive"},
            {"Name": "http", "Status": "warning", "Output": "slow\nvery"}]});
    let found = crate::consul::entry(&entry);
    assert_eq!((found.address.as_str(), found.ports[0].port, found.tags), ("10.0.0.9", 8080, vec!["v1".to_owned()]));
    assert_eq!((found.health, found.reason.as_str()), (Health::Warning, "check http at the source: slow"));
    assert_eq!(found.weights.map(|weights| weights.passing), Some(5));
    assert_eq!(found.locality.map(|locality| locality.zone), Some("z".into()));
}

/// What an import said, for tests to wait for.
#[derive(Debug, PartialEq)]
enum Said {
    Synced(Totals),
    Doubled(Vec<String>),
    Held(usize),
    HeldEmpty(usize),
    Back,
}

/// Starts an import into `api`; it ends with `shutdown`.
fn import(
    api: &FakeServer,
    dialect: Dialect,
    url: &str,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> mpsc::UnboundedReceiver<Said> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (client, remote, shutdown) = (api.client(), Remote::new(url, None, "").expect("a URL"), shutdown.clone());
    tasks.spawn("import", async move {
        let config = Config {
            client,
            remote,
            dialect,
            namespace: "default".into(),
            name: Some("old".into()),
            interval: Duration::from_millis(10),
            once: false,
            clock: Arc::new(SystemClock),
        };
        let mut report = move |progress: Progress| {
            let said = match progress {
                Progress::Synced(totals) => Said::Synced(totals),
                Progress::Held { instances, .. } => Said::Held(instances),
                Progress::HeldEmpty { instances } => Said::HeldEmpty(instances),
                Progress::Doubled { left_out } => Said::Doubled(left_out),
                Progress::Back { .. } => Said::Back,
            };
            // The test may have heard enough.
            let _ = sender.send(said);
        };
        run(config, shutdown, &mut report).await.expect("an import goes on");
    });
    receiver
}

async fn hear(said: &mut mpsc::UnboundedReceiver<Said>, wanted: impl Fn(&Said) -> bool) -> Said {
    let wait = async {
        loop {
            let said = said.recv().await.expect("the import goes on");
            if wanted(&said) {
                return said;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the import says so in time")
}

fn imported(api: &FakeServer) -> Vec<(String, Health)> {
    let mut found: Vec<_> = api
        .objects::<ServiceInstance>()
        .iter()
        .filter(|object| object.spec.origin == "import")
        .map(|object| (object.spec.instance_id.clone(), object.effective_health().0))
        .collect();
    found.sort();
    found
}

/// Our own Eureka dialect in the role of the old registry.
async fn eureka(api: &FakeServer, tasks: &mut TaskGroup, shutdown: &Shutdown) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let informers = Informers::new(api.client());
    let instances = informers.informer::<ServiceInstance>();
    let registrar = Arc::new(Registrar::new(api.client(), instances.clone()));
    let (sender, snapshots) = watch::channel(Catalog::new().snapshot());
    let stopping = shutdown.clone();
    tasks.spawn("informers", async move { informers.run(stopping).await });
    let stopping = shutdown.clone();
    tasks.spawn("catalog", async move {
        let (mut catalog, mut keys) = (Catalog::new(), instances.keys());
        while let Some(changed) = stopping.run(keys.next()).await {
            for key in changed {
                match instances.get(&key.namespace, &key.name) {
                    Some(object) => catalog.put(Input::Registration(object)),
                    None => catalog.remove(Kind::Registration, &portolan_catalog::Key::new(key.namespace, key.name)),
                }
            }
            sender.send_replace(catalog.snapshot());
        }
    });
    let config = portolan_registry_eureka::Config {
        registrar,
        changes: Changes::new(snapshots),
        listeners: vec![Listener::plain(listener, Arc::new(|_| true))],
        limiter: Arc::new(Limiter::new(Limits::default())),
        clock: Arc::new(SystemClock),
        rate_limit: None,
    };
    tasks.spawn("eureka", portolan_registry_eureka::run(config, shutdown.clone()));
    address
}

fn old_instance(id: &str, health: Health) -> ServiceInstance {
    let mut object = ServiceInstance {
        spec: ServiceInstanceSpec {
            service: "billing".into(),
            instance_id: id.into(),
            address: "10.0.0.7".into(),
            ports: vec![InstancePort { name: "http".into(), port: 8080, protocol: "TCP".into() }],
            ..ServiceInstanceSpec::default()
        },
        status: Some(ServiceInstanceStatus { health, ..ServiceInstanceStatus::default() }),
        ..ServiceInstance::default()
    };
    object.metadata.name = Some(id.into());
    object.metadata.namespace = Some("default".into());
    object
}

async fn change(client: &Client, object: &ServiceInstance, health: Health) {
    let present: ServiceInstance = client.get("default", object.name()).await.expect("it is there");
    let status = Some(ServiceInstanceStatus { health, ..present.status.clone().unwrap_or_default() });
    client.update_status(&ServiceInstance { status, ..present }).await.expect("it changes");
}

#[tokio::test]
async fn a_eureka_server_is_followed_and_its_absence_holds_what_was_imported() {
    let (old, new) = (FakeServer::default(), FakeServer::default());
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let (source, mut servers) = (Shutdown::default(), TaskGroup::default());
    let client = old.client();
    let (first, second) = (old_instance("b1", Health::Passing), old_instance("b2", Health::Critical));
    client.create(&first).await.expect("created");
    client.create(&second).await.expect("created");
    // Somebody registered here under the same id; that is another instance and is left alone.
    new.client().create(&old_instance("b1", Health::Passing)).await.expect("created");
    let address = eureka(&old, &mut servers, &source).await;
    let mut said = import(&new, Dialect::Eureka, &format!("http://{address}/eureka/"), &mut tasks, &shutdown);
    hear(&mut said, |said| matches!(said, Said::Synced(Totals { instances: 2, .. }))).await;
    let expected =
        |pairs: &[(&str, Health)]| pairs.iter().map(|(id, health)| ((*id).to_owned(), *health)).collect::<Vec<_>>();
    assert_eq!(imported(&new), expected(&[("b1", Health::Passing), ("b2", Health::Critical)]));

    change(&client, &second, Health::Passing).await;
    hear(&mut said, |said| matches!(said, Said::Synced(Totals { changed, .. }) if *changed > 0)).await;
    client.delete::<ServiceInstance>("default", "b1", &DeleteOptions::default()).await.expect("deleted");
    hear(&mut said, |said| matches!(said, Said::Synced(Totals { removed: 1, .. }))).await;
    assert_eq!(imported(&new), expected(&[("b2", Health::Passing)]));

    source.request();
    assert!(servers.join(Duration::from_secs(5)).await.is_empty());
    assert_eq!(hear(&mut said, |said| matches!(said, Said::Held(_))).await, Said::Held(1));
    assert_eq!(imported(&new).len(), 1);
    assert_eq!(new.objects::<ServiceInstance>().len(), 2, "what registered here is still there");
    shutdown.request();
    assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
}

/// The questions of an import, answered as Consul does: with an index, a question waits for another.
struct ConsulServer {
    state: watch::Sender<(u64, Value)>,
    away: AtomicBool,
    asked: Mutex<Vec<String>>,
}

impl Handler for ConsulServer {
    const BODY_LIMIT: usize = 0;

    async fn answer(&self, request: Request) -> Response<Body> {
        let mut state = self.state.subscribe();
        if self.away.load(Ordering::Relaxed) {
            return Response::builder().status(500).body(full("No cluster leader")).expect("an answer");
        }
        self.asked.lock().push(request.path().to_owned());
        let index = request.query().strip_prefix("index=").and_then(|rest| rest.split('&').next()?.parse::<u64>().ok());
        let _ = state.wait_for(|(now, _)| index.is_none_or(|index| *now > index)).await;
        let (now, entries) = self.state.borrow().clone();
        let body = match request.path() {
            "/v1/catalog/services" if entries == json!([]) => json!({"consul": []}),
            "/v1/catalog/services" => json!({"web": [], "consul": []}),
            "/v1/health/service/web" => entries,
            "/v1/catalog/nodes" => json!([{"Node": "n1", "ID": "1", "Address": "10.0.0.1", "Meta": {"rack": "7"}}]),
            _ => json!([]),
        };
        Response::builder().header("x-consul-index", now).body(full(body.to_string())).expect("an answer")
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        Response::new(full(refusal.to_string()))
    }
}

fn web(id: &str, status: &str) -> Value {
    json!({"Node": {"Node": "n1", "Address": "10.0.0.1"}, "Service": {"ID": id, "Service": "web", "Port": 80},
        "Checks": [{"Name": "c", "Status": status}]})
}

#[tokio::test]
async fn a_consul_server_is_followed_by_blocking_queries() {
    let new = FakeServer::default();
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (state, _) = watch::channel((7, json!([web("w1", "passing"), web("w2", "critical")])));
    let server = Arc::new(ConsulServer { state, away: AtomicBool::new(false), asked: Mutex::default() });
    tasks.spawn("consul", serve(Listener::plain(listener, Arc::new(|_| true)), server.clone(), shutdown.clone()));
    let mut said = import(&new, Dialect::Consul, &url, &mut tasks, &shutdown);
    hear(&mut said, |said| matches!(said, Said::Synced(Totals { created: 2, .. }))).await;
    let asked = server.asked.lock().len();
    let listed = json!([web("w2", "passing"), web("w3", "passing"), web("w3", "critical")]);
    server.state.send_replace((8, listed));
    let doubled = hear(&mut said, |said| !matches!(said, Said::Back)).await;
    assert_eq!(doubled, Said::Doubled(vec![r#"web "w3" of "n1""#.to_owned()]));
    let totals = hear(&mut said, |said| matches!(said, Said::Synced(_))).await;
    assert_eq!(totals, Said::Synced(Totals { instances: 3, created: 1, changed: 1, removed: 1 }));
    let expected = [("w2".to_owned(), Health::Passing), ("w3".to_owned(), Health::Passing)];
    assert_eq!(imported(&new), expected);
    let machines: Vec<_> =
        new.objects::<ExternalNode>().iter().map(|it| (it.spec.node.clone(), it.spec.address.clone())).collect();
    assert_eq!(machines, [("n1".to_owned(), "10.0.0.1".to_owned())]);
    assert!(server.asked.lock().len() < asked + 10, "it waits, it does not ask again and again");

    // All gone at once is not believed at once.
    server.state.send_replace((9, json!([])));
    assert_eq!(hear(&mut said, |said| *said != Said::Back).await, Said::HeldEmpty(2));
    server.away.store(true, Ordering::Relaxed);
    server.state.send_replace((10, json!([])));
    assert_eq!(hear(&mut said, |said| matches!(said, Said::Held(_))).await, Said::Held(2));
    assert_eq!(imported(&new), expected);
    server.state.send_replace((11, json!([web("w2", "passing")])));
    server.away.store(false, Ordering::Relaxed);
    hear(&mut said, |said| matches!(said, Said::Synced(Totals { removed: 1, .. }))).await;
    hear(&mut said, |said| *said == Said::Back).await;
    shutdown.request();
    assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
}

/// A Consul of many services, of which only health changes.
struct Many {
    /// The index of the checks, and the service that is ill.
    ill: watch::Sender<(u64, &'static str)>,
    asked: Mutex<Vec<String>>,
}

const SERVICES: [&str; 3] = ["cart", "db", "web"];

impl Handler for Many {
    const BODY_LIMIT: usize = 0;

    async fn answer(&self, request: Request) -> Response<Body> {
        let index = request.query().strip_prefix("index=").and_then(|rest| rest.split('&').next()?.parse::<u64>().ok());
        let status = |service: &str| if self.ill.borrow().1 == service { "critical" } else { "passing" };
        let of_checks = request.path() == "/v1/health/state/any";
        if of_checks {
            let _ = self.ill.subscribe().wait_for(|(now, _)| index.is_none_or(|index| *now > index)).await;
        } else if index.is_some() {
            std::future::pending::<()>().await;
        }
        let body = match request.path() {
            "/v1/catalog/services" => SERVICES.iter().map(|name| ((*name).to_owned(), json!([]))).collect(),
            "/v1/catalog/nodes" => json!([{"Node": "n1", "Address": "10.0.0.1"}]),
            "/v1/health/state/any" => SERVICES
                .iter()
                .map(|name| json!({"Node": "n1", "CheckID": format!("service:{name}"), "ServiceName": name, "Status": status(name)}))
                .chain([json!({"Node": "n1", "CheckID": "serfHealth", "ServiceName": "", "Status": status("n1")})])
                .collect(),
            path => {
                let name = path.rsplit('/').next().expect("a segment");
                self.asked.lock().push(name.to_owned());
                json!([{"Node": {"Node": "n1", "Address": "10.0.0.1"}, "Service": {"ID": name, "Service": name},
                    "Checks": [{"Name": "c", "Status": status(name)}, {"Name": "n", "Status": status("n1")}]}])
            }
        };
        let index = if of_checks { self.ill.borrow().0 } else { 5 };
        Response::builder().header("x-consul-index", index).body(full(body.to_string())).expect("an answer")
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        Response::new(full(refusal.to_string()))
    }
}

#[tokio::test]
async fn only_services_whose_health_may_have_changed_are_read_again() {
    let new = FakeServer::default();
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = Arc::new(Many { ill: watch::channel((7, "")).0, asked: Mutex::default() });
    tasks.spawn("consul", serve(Listener::plain(listener, Arc::new(|_| true)), server.clone(), shutdown.clone()));
    let mut said = import(&new, Dialect::Consul, &url, &mut tasks, &shutdown);
    hear(&mut said, |said| matches!(said, Said::Synced(Totals { created: 3, .. }))).await;
    // The service that falls ill, then that and its machine, whose check is part of all.
    for (index, (ill, changed, read)) in [("web", 1, &["web"][..]), ("n1", 3, &SERVICES[..])].into_iter().enumerate() {
        server.asked.lock().clear();
        server.ill.send_replace((8 + index as u64, ill));
        let totals = hear(&mut said, |said| matches!(said, Said::Synced(Totals { changed, .. }) if *changed > 0)).await;
        assert_eq!(totals, Said::Synced(Totals { instances: 3, changed, ..Totals::default() }));
        let mut asked = server.asked.lock().clone();
        asked.sort();
        assert_eq!(asked, read, "{ill}");
    }
    shutdown.request();
    assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_imported_says_why() {
    assert!(Remote::new("nowhere", None, "").expect_err("no URL").to_string().contains("is not a URL"));
    let remote = Remote::new("http://user:pass@192.0.2.1:8500/v2/", None, "").expect("a URL");
    assert_eq!((remote.url(), remote.label().as_str()), ("http://192.0.2.1:8500/v2", "192.0.2.1-8500"));
    assert!(!format!("{remote:?}").contains("pass"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let config = Config {
        client: FakeServer::default().client(),
        remote: Remote::new(&url, None, "").expect("a URL"),
        dialect: Dialect::Consul,
        namespace: "default".into(),
        name: None,
        interval: Duration::from_secs(5),
        once: true,
        clock: Arc::new(SystemClock),
    };
    let error = run(config, Shutdown::default(), &mut |_| {}).await.expect_err("nobody listens");
    assert!(error.to_string().contains("does not answer"), "{error}");
}

/// A key space as Consul shows it.
struct KeyServer {
    pairs: Mutex<std::collections::BTreeMap<String, (String, u64)>>,
    index: watch::Sender<u64>,
}

impl KeyServer {
    fn start(tasks: &mut TaskGroup, shutdown: &Shutdown) -> (Arc<Self>, String) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Arc::new(Self { pairs: Mutex::default(), index: watch::channel(1).0 });
        let listener = Listener::plain(listener, Arc::new(|_| true));
        tasks.spawn("keys", serve(listener, server.clone(), shutdown.clone()));
        (server, url)
    }

    fn set(&self, key: &str, value: Option<&str>) {
        let mut pairs = self.pairs.lock();
        match value {
            Some(value) => drop(pairs.insert(key.into(), (value.into(), 7))),
            None => drop(pairs.remove(key)),
        }
        self.index.send_modify(|index| *index += 1);
    }

    fn all(&self) -> Vec<(String, String, u64)> {
        self.pairs.lock().iter().map(|(key, (value, flags))| (key.clone(), value.clone(), *flags)).collect()
    }
}

impl Handler for KeyServer {
    const BODY_LIMIT: usize = 1 << 20;

    async fn answer(&self, request: Request) -> Response<Body> {
        use base64::Engine;
        let base64 = base64::engine::general_purpose::STANDARD;
        let key = request.path().trim_start_matches("/v1/kv/").replace("%20", " ");
        match request.method.as_str() {
            "PUT" => {
                let flags = request.query().trim_start_matches("flags=").parse().expect("flags");
                let value = String::from_utf8(request.body.to_vec()).expect("text");
                self.pairs.lock().insert(key, (value, flags));
                return Response::new(full("true"));
            }
            "DELETE" => {
                self.pairs.lock().remove(&key);
                return Response::new(full("true"));
            }
            _ => {}
        }
        let seen = request.query().split('&').find_map(|part| part.strip_prefix("index=")?.parse::<u64>().ok());
        let mut index = self.index.subscribe();
        let _ = index.wait_for(|now| seen.is_none_or(|seen| *now > seen)).await;
        let now = *self.index.borrow();
        let found: Vec<Value> = self
            .all()
            .iter()
            .filter(|(name, ..)| name.starts_with(&key))
            .map(|(name, value, flags)| json!({"Key": name, "Value": base64.encode(value), "Flags": flags}))
            .collect();
        let status = if found.is_empty() { 404 } else { 200 };
        let body = full(Value::from(found).to_string());
        Response::builder().status(status).header("x-consul-index", now).body(body).expect("an answer")
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        Response::new(full(refusal.to_string()))
    }
}

#[tokio::test]
async fn keys_are_copied_and_followed_and_others_are_left_alone() {
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let ((old, source), (new, target)) =
        (KeyServer::start(&mut tasks, &shutdown), KeyServer::start(&mut tasks, &shutdown));
    old.set("shop/a b", Some("1"));
    old.set("shop/same", Some("same"));
    old.set("elsewhere", Some("2"));
    new.set("shop/own", Some("here"));
    new.set("shop/same", Some("same"));
    let remote = |url: &str| Remote::new(url, None, "").expect("a URL");
    let copy = KeyCopy { source: remote(&source), target: remote(&target), prefix: "shop/".into(), once: false };
    let (sender, mut rounds) = mpsc::unbounded_channel();
    let stopping = shutdown.clone();
    tasks.spawn("copy", async move {
        let mut report = move |done: Result<Copied, &crate::Error>| {
            // The test may have heard enough.
            let _ = sender.send(done.map_err(ToString::to_string));
        };
        copy.run(stopping, &mut report).await.expect("a copy goes on");
    });
    let mut next = async || {
        let heard = tokio::time::timeout(Duration::from_secs(20), rounds.recv()).await.expect("in time");
        heard.expect("the copy goes on").expect("the source is there")
    };
    assert_eq!(next().await, Copied { keys: 2, written: 1, removed: 0 });
    old.set("shop/a b", Some("3"));
    assert_eq!(next().await, Copied { keys: 2, written: 1, removed: 0 });
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned(), 7);
    assert_eq!(new.all(), [pair("shop/a b", "3"), pair("shop/own", "here"), pair("shop/same", "same")]);
    old.set("shop/a b", None);
    assert_eq!(next().await, Copied { keys: 1, written: 0, removed: 1 });
    assert_eq!(new.all(), [pair("shop/own", "here"), pair("shop/same", "same")]);
    shutdown.request();
    assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
}
