//! Serves the Consul dialect on loopback, on the port given or a free one, over an API server in
//! memory. Prints the URL, and ends when its standard input does.
//!
//! For the suites of Consul's clients (`interop/consul`): everything is real but the API server.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::{ExternalNode, ServiceInstance};
use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_catalog::Catalog;
use portolan_client::Informers;
use portolan_client::testing::FakeServer;
use portolan_health::probe::tls::Trust;
use portolan_health::probe::{Prober, Scripts};
use portolan_registrar::http::Listener;
use portolan_registrar::limits::{Limiter, Limits};
use portolan_registrar::{Changes, Registrar};
use portolan_registry_consul::{AclConfig, Config, DefaultPolicy, ScriptChecks};
use portolan_store::embedded::{Embedded, Options};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).map(|port| port.parse()).transpose()?.unwrap_or(0);
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let folder = tempfile::tempdir()?;
    // Given a folder, what is stored there survives.
    let data = std::env::var_os("CONSUL_DATA").map_or_else(|| folder.path().to_owned(), Into::into);
    let store = Arc::new(Embedded::open(Options::new(data))?);
    let api = FakeServer::new(Arc::new(SystemClock));
    let informers = Informers::new(api.client());
    let instances = informers.informer::<ServiceInstance>();
    let machines = informers.informer::<ExternalNode>();
    let registrar = Arc::new(Registrar::new(api.client(), instances.clone()).with_machines(machines));
    let (sender, snapshots) = watch::channel(Catalog::default().snapshot());
    let changes = Changes::new(snapshots);

    let (running, stopping) = (informers.clone(), shutdown.clone());
    tasks.spawn("informers", async move { running.run(stopping).await });
    tasks.spawn("catalog", portolan_dataplane::feed(informers.clone(), sender, shutdown.clone()));
    let (running, stopping) = (registrar.clone(), shutdown.clone());
    tasks.spawn("registrations", async move {
        stopping.run(running.run()).await;
    });
    let (running, stopping) = (changes.clone(), shutdown.clone());
    tasks.spawn("changes", async move { running.run(stopping).await });
    let checks = portolan_health::Config {
        client: api.client(),
        informers,
        clock: Arc::new(SystemClock),
        node: None,
        prober: Prober { trust: Trust::default(), scripts: Scripts::Allowed },
        concurrency: 64,
    };
    tasks.spawn("checks", portolan_health::run(checks, shutdown.clone()));
    instances.synced().await;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let config = Config {
        registrar,
        changes,
        client: api.client(),
        store: store.clone(),
        clock: Arc::new(SystemClock),
        node: "agent".to_owned(),
        datacenter: "dc1".to_owned(),
        version: "1.22.0".to_owned(),
        acl: acl(),
        scripts: ScriptChecks::Refused,
        listeners: vec![Listener::plain(listener, Arc::new(|peer| peer.is_loopback()))],
        limiter: Arc::new(Limiter::new(Limits::default())),
        log: None,
    };
    tasks.spawn("consul", portolan_registry_consul::run(config, shutdown.clone()));
    println!("{url}");

    let mut ignored = [0; 64];
    let mut input = tokio::io::stdin();
    while input.read(&mut ignored).await? > 0 {}
    shutdown.request();
    let stuck = tasks.join(Duration::from_secs(3)).await;
    store.close();
    // Reading standard input blocks a thread that nothing can interrupt.
    std::process::exit(i32::from(!stuck.is_empty()));
}

/// Access control is on if the environment names the secret of the first token.
/// What no rule speaks of is allowed then, as in Consul unless configured.
fn acl() -> AclConfig {
    let initial_management = std::env::var("CONSUL_INITIAL_MANAGEMENT_TOKEN").ok();
    AclConfig { enabled: initial_management.is_some(), default_policy: DefaultPolicy::Allow, initial_management }
}
