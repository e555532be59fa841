//! The Eureka dialect on a free port of this machine, with an API server in memory: for suites of
//! published clients. Prints the URL and serves until its standard input ends.

use std::sync::Arc;

use portolan_api::typed::ServiceInstance;
use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_catalog::{Catalog, Input, Key, Kind};
use portolan_client::Informers;
use portolan_client::testing::FakeServer;
use portolan_registrar::http::Listener;
use portolan_registrar::limits::{Limiter, Limits};
use portolan_registrar::{Changes, Registrar};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/eureka", listener.local_addr()?);
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let api = FakeServer::new(Arc::new(SystemClock));
    let informers = Informers::new(api.client());
    let instances = informers.informer::<ServiceInstance>();
    let registrar = Arc::new(Registrar::new(api.client(), instances.clone()));
    let (sender, snapshots) = watch::channel(Catalog::new().snapshot());
    let changes = Changes::new(snapshots);

    let stopping = shutdown.clone();
    tasks.spawn("informers", async move { informers.run(stopping).await });
    let (kept, stopping) = (registrar.clone(), shutdown.clone());
    tasks.spawn("leases", async move {
        stopping.run(kept.run()).await;
    });
    let stopping = shutdown.clone();
    tasks.spawn("catalog", async move {
        let (mut catalog, mut keys) = (Catalog::new(), instances.keys());
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
    let config = portolan_registry_eureka::Config {
        registrar,
        changes,
        listeners: vec![Listener::plain(listener, Arc::new(|peer| peer.is_loopback()))],
        limiter: Arc::new(Limiter::new(Limits::default())),
        clock: Arc::new(SystemClock),
        rate_limit: None,
    };
    tasks.spawn("eureka", portolan_registry_eureka::run(config, shutdown.clone()));

    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    shutdown.request();
    tasks.join(std::time::Duration::from_secs(5)).await;
    Ok(())
}
