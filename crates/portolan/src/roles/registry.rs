//! The registry on this machine: who keeps the registrations, and each dialect with its listeners.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use portolan_api::typed::Object as _;
use portolan_api::typed::kinds::core::v1 as core;
use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_catalog::{AddressOwner, Key, Snapshot};
use portolan_client::{Client, Informers};
use portolan_registrar::access::{Gate, Pod};
use portolan_registrar::http::{Listener, Peer, Peers, Security};
use portolan_registrar::limits::Limiter;
use portolan_registrar::{Changes, Registrar};
use portolan_registry_consul::{AclConfig, Log, ScriptChecks};
use portolan_store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{DialectAddress, ServerOptions};
use crate::ports;
use crate::progress;

/// How long a pod that just started may talk before its address is known.
const POD_PATIENCE: Duration = Duration::from_secs(1);
/// What Consul's clients take the registry for.
const CONSUL_VERSION: &str = "1.22.0";

/// What the registry needs of the control plane.
pub(crate) struct Parts {
    /// A client with the identity of the registry.
    pub(crate) client: Client,
    /// The copies of objects that this process has.
    pub(crate) informers: Arc<Informers>,
    /// Keeps registrations.
    pub(crate) registrar: Arc<Registrar>,
    /// The catalog, with wake-ups.
    pub(crate) changes: Changes,
    /// Keeps the keys and sessions of dialects that have some.
    pub(crate) store: Arc<dyn Store>,
    /// What the registry proves itself by to other machines.
    pub(crate) tls: Arc<rustls::ServerConfig>,
}

/// A registry whose listeners on this machine are taken.
pub(crate) struct Registry {
    parts: Parts,
    node: String,
    limiter: Arc<Limiter>,
    consul_acl: AclConfig,
    scripts: ScriptChecks,
    datacenter: String,
    dialects: Vec<Bound>,
    /// What this machine asks from when it asks where pods do.
    gateway: Option<Ipv4Addr>,
    /// What those read who may follow the log.
    log: Option<Log>,
}

/// A dialect and its listeners.
struct Bound {
    dialect: Dialect,
    /// For this machine and its pods.
    plain: Vec<TcpListener>,
    /// For other machines.
    tls: Option<TcpListener>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Native,
    Consul,
    Eureka,
}

impl Dialect {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "registry",
            Self::Consul => "consul",
            Self::Eureka => "eureka",
        }
    }
}

impl Registry {
    /// Takes the addresses for clients on this machine, and those for other machines where that is wanted.
    pub(crate) async fn bind(options: &ServerOptions, parts: Parts) -> anyhow::Result<Self> {
        let native = DialectAddress::At(options.registry_listen);
        let wanted = [
            (Dialect::Native, native, options.registry_tls_listen),
            (Dialect::Consul, options.consul_listen, options.consul_tls_listen),
            (Dialect::Eureka, options.eureka_listen, options.eureka_tls_listen),
        ];
        let mut dialects = Vec::new();
        for (dialect, plain, tls) in wanted {
            let mut bound = Bound { dialect, plain: Vec::new(), tls: None };
            if let DialectAddress::At(address) = plain {
                let listener = listen(dialect, address, "listen").await?;
                progress::say(&format!("{:15} http://{}", dialect.name(), listener.local_addr()?));
                bound.plain.push(listener);
            }
            if let DialectAddress::At(address) = tls {
                let listener = listen(dialect, address, "tls-listen").await?;
                progress::say(&format!("{:15} https://{}", dialect.name(), listener.local_addr()?));
                bound.tls = Some(listener);
            }
            if !bound.plain.is_empty() || bound.tls.is_some() {
                dialects.push(bound);
            }
        }
        let limiter = Arc::new(Limiter::new(options.limits()?));
        Ok(Self {
            parts,
            node: options.node.node_name()?,
            limiter,
            consul_acl: options.consul_acl()?,
            scripts: if options.node.enable_script_checks { ScriptChecks::Allowed } else { ScriptChecks::Refused },
            datacenter: options.node.consul.consul_datacenter.clone(),
            dialects,
            gateway: None,
            log: None,
        })
    }

    /// Shows the log to those who may read it.
    pub(crate) fn with_log(self, log: Log) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Takes the same ports on the address that pods reach this machine by.
    pub(crate) async fn bind_for_pods(&mut self, gateway: Ipv4Addr) -> anyhow::Result<()> {
        self.gateway = Some(gateway);
        for bound in &mut self.dialects {
            let Some(first) = bound.plain.first() else { continue };
            let port = first.local_addr()?.port();
            bound.plain.push(listen(bound.dialect, (gateway, port).into(), "listen").await?);
        }
        Ok(())
    }

    /// Where clients reach each dialect, by its name; over TLS by its name and `-tls`.
    pub(crate) fn urls(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut urls = BTreeMap::new();
        for Bound { dialect, plain, tls } in &self.dialects {
            if let Some(listener) = plain.first() {
                urls.insert(dialect.name().to_owned(), format!("http://{}", listener.local_addr()?));
            }
            if let Some(listener) = tls {
                urls.insert(format!("{}-tls", dialect.name()), format!("https://{}", listener.local_addr()?));
            }
        }
        Ok(urls)
    }

    /// The catalog, as it is and will be.
    pub(crate) fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.parts.changes.snapshots()
    }

    /// The copies of objects that this process has.
    pub(crate) fn informers(&self) -> Arc<Informers> {
        self.parts.informers.clone()
    }

    /// Serves this machine and the pods, and other machines where that is wanted, until shutdown.
    pub(crate) fn start(self, pods: Option<portolan_network::Cidr>, tasks: &mut TaskGroup, shutdown: &Shutdown) {
        let Self { parts, node, limiter, consul_acl, scripts, datacenter, dialects, gateway, log } = self;
        let gate = Arc::new(Gate::new(parts.client.clone()));
        let peers = peers(pods, gateway, &parts, &gate);
        let secured = Security::Tls { config: parts.tls.clone(), gate };
        let (registrar, counting, stopping) = (parts.registrar.clone(), limiter.clone(), shutdown.clone());
        tasks.spawn("limits", async move {
            // What a client registered before this start counts as soon as it is known, and its requests meanwhile do.
            if stopping.run(registrar.informer().synced()).await.is_some() {
                let informer = registrar.informer();
                let keys = informer.all_keys();
                counting.restore(keys.iter().filter_map(|key| informer.get(&key.namespace, &key.name)));
            }
            stopping.requested().await;
        });
        let (registrar, mut snapshots) = (parts.registrar.clone(), parts.changes.snapshots());
        // Who asks after a restart waits in the sockets until it is known who is there: nobody is told of an empty
        // registry, or that a lease is not known.
        let known = async move {
            registrar.ready().await;
            // The sender lives as long as the catalog; after it nobody serves.
            let _ = snapshots.wait_for(|snapshot| snapshot.index() > 0).await;
        };
        let (known, stopping) = (known.boxed().shared(), shutdown.clone());
        let once_known = move |dialect: BoxFuture<'static, ()>| {
            let (known, stopping) = (known.clone(), stopping.clone());
            async move {
                if stopping.run(known).await.is_some() {
                    dialect.await;
                }
            }
        };
        for Bound { dialect, plain, tls } in dialects {
            let mut listeners: Vec<Listener> =
                plain.into_iter().map(|socket| Listener { socket, security: Security::Plain(peers.clone()) }).collect();
            listeners.extend(tls.map(|socket| Listener { socket, security: secured.clone() }));
            let (registrar, changes) = (parts.registrar.clone(), parts.changes.clone());
            let (limiter, shutdown) = (limiter.clone(), shutdown.clone());
            match dialect {
                Dialect::Native => {
                    let config = portolan_registry::Config { registrar, changes, listeners, limiter };
                    tasks.spawn(dialect.name(), once_known(portolan_registry::run(config, shutdown).boxed()));
                }
                Dialect::Consul => {
                    let config = portolan_registry_consul::Config {
                        registrar,
                        changes,
                        client: parts.client.clone(),
                        store: parts.store.clone(),
                        clock: Arc::new(SystemClock),
                        node: node.clone(),
                        datacenter: datacenter.clone(),
                        version: CONSUL_VERSION.to_owned(),
                        acl: consul_acl.clone(),
                        scripts,
                        listeners,
                        limiter,
                        log: log.clone(),
                    };
                    tasks.spawn(dialect.name(), once_known(portolan_registry_consul::run(config, shutdown).boxed()));
                }
                Dialect::Eureka => {
                    let config = portolan_registry_eureka::Config {
                        registrar,
                        changes,
                        listeners,
                        limiter,
                        clock: Arc::new(SystemClock),
                        rate_limit: None,
                    };
                    tasks.spawn(dialect.name(), once_known(portolan_registry_eureka::run(config, shutdown).boxed()));
                }
            }
        }
    }
}

/// Tells who talks plain HTTP: processes of this machine, and pods by their addresses.
fn peers(pods: Option<portolan_network::Cidr>, gateway: Option<Ipv4Addr>, parts: &Parts, gate: &Arc<Gate>) -> Peers {
    let (changes, informer, gate) = (parts.changes.clone(), parts.informers.informer::<core::Pod>(), gate.clone());
    Arc::new(move |peer| {
        let is_own = peer.is_loopback() || gateway.is_some_and(|gateway| peer == gateway);
        let of_pods = matches!(peer, IpAddr::V4(address) if pods.is_some_and(|pods| pods.contains(address)));
        if is_own || !of_pods {
            return Box::pin(std::future::ready(if is_own { Peer::Machine } else { Peer::Stranger }));
        }
        let (mut snapshots, informer, gate) = (changes.snapshots(), informer.clone(), gate.clone());
        Box::pin(async move {
            let owner =
                |snapshot: &Snapshot| pod_at(snapshot, peer).and_then(|key| informer.get(&key.namespace, &key.name));
            let known = tokio::time::timeout(POD_PATIENCE, snapshots.wait_for(|snapshot| owner(snapshot).is_some()));
            let found = known.await.ok().and_then(Result::ok).and_then(|snapshot| owner(&snapshot));
            Peer::Pod(match found {
                Some(pod) => {
                    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
                    Pod::new(pod.namespace(), account.unwrap_or("default"), gate)
                }
                None => Pod::new("", "", gate),
            })
        })
    })
}

/// The pod that has an address. One that has ended keeps the address in its status while the next has it already.
fn pod_at(snapshot: &Snapshot, address: IpAddr) -> Option<&Key> {
    snapshot.owners_of(address).iter().find_map(|owner| match owner {
        AddressOwner::Pod(key) => snapshot.pod(&key.namespace, &key.name).filter(|pod| !pod.has_ended).map(|_| key),
        AddressOwner::Service(_) | AddressOwner::Endpoint(_) => None,
    })
}

async fn listen(dialect: Dialect, address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let what = match dialect {
        Dialect::Native => "the registry",
        Dialect::Consul => "the registry for Consul clients",
        Dialect::Eureka => "the registry for Eureka clients",
    };
    ports::listen(address, what, &format!("--{}-{flag}", dialect.name())).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portolan_catalog::{Catalog, Input};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_that_of_the_pod_that_still_runs() {
        let address = "10.42.0.7";
        let put = |catalog: &mut Catalog, name: &str, phase: &str| {
            let pod = json!({
                "metadata": {"namespace": "shop", "name": name},
                "status": {"podIP": address, "phase": phase},
            });
            catalog.put(Input::Pod(Arc::new(core::Pod::decode(pod.to_string().as_bytes()).expect("a pod"))));
        };
        let found = |catalog: &mut Catalog| {
            let snapshot = catalog.snapshot();
            pod_at(&snapshot, address.parse().expect("an address")).map(|key| key.name.to_string())
        };
        // Names in both orders, as owners of an address are.
        for (ended, next) in [("a", "b"), ("b", "a")] {
            let mut catalog = Catalog::new();
            put(&mut catalog, ended, "Running");
            assert_eq!(found(&mut catalog).as_deref(), Some(ended));
            put(&mut catalog, ended, "Succeeded");
            assert_eq!(found(&mut catalog), None);
            put(&mut catalog, next, "Running");
            assert_eq!(found(&mut catalog).as_deref(), Some(next));
            put(&mut catalog, ended, "Failed");
            assert_eq!(found(&mut catalog).as_deref(), Some(next));
        }
    }
}
