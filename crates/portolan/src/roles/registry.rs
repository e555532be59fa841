//! The registry on this machine: who keeps the registrations, and each dialect with its listeners.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_client::{Client, Informers};
use portolan_registrar::http::Trusted;
use portolan_registrar::{Changes, Registrar};
use portolan_store::Store;
use tokio::net::TcpListener;

use crate::config::{DialectAddress, ServerOptions};
use crate::ports;
use crate::progress;

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
}

/// A registry whose listeners on this machine are taken.
pub(crate) struct Registry {
    parts: Parts,
    node: String,
    dialects: Vec<Bound>,
}

/// A dialect and its listeners.
struct Bound {
    dialect: Dialect,
    listeners: Vec<TcpListener>,
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

    fn flag(self) -> &'static str {
        match self {
            Self::Native => "--registry-listen",
            Self::Consul => "--consul-listen",
            Self::Eureka => "--eureka-listen",
        }
    }
}

impl Registry {
    /// Takes the addresses for clients on this machine.
    pub(crate) async fn bind(options: &ServerOptions, parts: Parts) -> anyhow::Result<Self> {
        let wanted = [
            (Dialect::Native, DialectAddress::At(options.registry_listen)),
            (Dialect::Consul, options.consul_listen),
            (Dialect::Eureka, options.eureka_listen),
        ];
        let mut dialects = Vec::new();
        for (dialect, address) in wanted {
            let DialectAddress::At(address) = address else { continue };
            let listener = listen(dialect, address).await?;
            progress::say(&format!("{:15} http://{}", dialect.name(), listener.local_addr()?));
            dialects.push(Bound { dialect, listeners: vec![listener] });
        }
        Ok(Self { parts, node: options.node.node_name()?, dialects })
    }

    /// Takes the same ports on the address that pods reach this machine by.
    pub(crate) async fn bind_for_pods(&mut self, gateway: Ipv4Addr) -> anyhow::Result<()> {
        for bound in &mut self.dialects {
            let port = bound.listeners[0].local_addr()?.port();
            bound.listeners.push(listen(bound.dialect, (gateway, port).into()).await?);
        }
        Ok(())
    }

    /// Where clients on this machine reach each dialect, by its name.
    pub(crate) fn urls(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let url = |bound: &Bound| anyhow::Ok(format!("http://{}", bound.listeners[0].local_addr()?));
        self.dialects.iter().map(|bound| Ok((bound.dialect.name().to_owned(), url(bound)?))).collect()
    }

    /// The copies of objects that this process has.
    pub(crate) fn informers(&self) -> Arc<Informers> {
        self.parts.informers.clone()
    }

    /// Serves this machine and the pods until shutdown.
    pub(crate) fn start(self, pods: portolan_network::Cidr, tasks: &mut TaskGroup, shutdown: &Shutdown) {
        let trusted: Trusted = Arc::new(move |peer| match peer {
            IpAddr::V4(address) => address.is_loopback() || pods.contains(address),
            IpAddr::V6(address) => address.is_loopback(),
        });
        let Self { parts, node, dialects } = self;
        for Bound { dialect, listeners } in dialects {
            let (registrar, changes) = (parts.registrar.clone(), parts.changes.clone());
            let (trusted, shutdown) = (trusted.clone(), shutdown.clone());
            match dialect {
                Dialect::Native => {
                    let snapshots = changes.snapshots();
                    let config = portolan_registry::Config { registrar, snapshots, listeners, trusted };
                    tasks.spawn(dialect.name(), portolan_registry::run(config, shutdown));
                }
                Dialect::Consul => {
                    let config = portolan_registry_consul::Config {
                        registrar,
                        changes,
                        client: parts.client.clone(),
                        store: parts.store.clone(),
                        clock: Arc::new(SystemClock),
                        node: node.clone(),
                        datacenter: portolan_dataplane::DATACENTER.to_owned(),
                        version: CONSUL_VERSION.to_owned(),
                        acl: portolan_registry_consul::AclConfig::default(),
                        listeners,
                        trusted,
                    };
                    tasks.spawn(dialect.name(), portolan_registry_consul::run(config, shutdown));
                }
                Dialect::Eureka => {
                    let config = portolan_registry_eureka::Config {
                        registrar,
                        changes,
                        listeners,
                        trusted,
                        clock: Arc::new(SystemClock),
                        rate_limit: None,
                    };
                    tasks.spawn(dialect.name(), portolan_registry_eureka::run(config, shutdown));
                }
            }
        }
    }
}

async fn listen(dialect: Dialect, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let what = match dialect {
        Dialect::Native => "the registry",
        Dialect::Consul => "the registry for Consul clients",
        Dialect::Eureka => "the registry for Eureka clients",
    };
    ports::listen(address, what, dialect.flag()).await
}
