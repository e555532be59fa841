//! The registry on this machine: who keeps the registrations, and each dialect with its listeners.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_client::{Client, Informers};
use portolan_registrar::access::Gate;
use portolan_registrar::http::{Listener, Security, Trusted};
use portolan_registrar::limits::Limiter;
use portolan_registrar::{Changes, Registrar};
use portolan_registry_consul::AclConfig;
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
    /// What the registry proves itself by to other machines.
    pub(crate) tls: Arc<rustls::ServerConfig>,
}

/// A registry whose listeners on this machine are taken.
pub(crate) struct Registry {
    parts: Parts,
    node: String,
    limiter: Arc<Limiter>,
    consul_acl: AclConfig,
    dialects: Vec<Bound>,
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
        Ok(Self { parts, node: options.node.node_name()?, limiter, consul_acl: options.consul_acl()?, dialects })
    }

    /// Takes the same ports on the address that pods reach this machine by.
    pub(crate) async fn bind_for_pods(&mut self, gateway: Ipv4Addr) -> anyhow::Result<()> {
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

    /// The copies of objects that this process has.
    pub(crate) fn informers(&self) -> Arc<Informers> {
        self.parts.informers.clone()
    }

    /// Serves this machine and the pods, and other machines where that is wanted, until shutdown.
    pub(crate) fn start(self, pods: Option<portolan_network::Cidr>, tasks: &mut TaskGroup, shutdown: &Shutdown) {
        let trusted: Trusted = Arc::new(move |peer| match peer {
            IpAddr::V4(address) => address.is_loopback() || pods.is_some_and(|pods| pods.contains(address)),
            IpAddr::V6(address) => address.is_loopback(),
        });
        let Self { parts, node, limiter, consul_acl, dialects } = self;
        let secured = Security::Tls { config: parts.tls.clone(), gate: Arc::new(Gate::new(parts.client.clone())) };
        for Bound { dialect, plain, tls } in dialects {
            let mut listeners: Vec<Listener> =
                plain.into_iter().map(|socket| Listener::plain(socket, trusted.clone())).collect();
            listeners.extend(tls.map(|socket| Listener { socket, security: secured.clone() }));
            let (registrar, changes) = (parts.registrar.clone(), parts.changes.clone());
            let (limiter, shutdown) = (limiter.clone(), shutdown.clone());
            match dialect {
                Dialect::Native => {
                    let snapshots = changes.snapshots();
                    let config = portolan_registry::Config { registrar, snapshots, listeners, limiter };
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
                        acl: consul_acl.clone(),
                        listeners,
                        limiter,
                    };
                    tasks.spawn(dialect.name(), portolan_registry_consul::run(config, shutdown));
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
                    tasks.spawn(dialect.name(), portolan_registry_eureka::run(config, shutdown));
                }
            }
        }
    }
}

async fn listen(dialect: Dialect, address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let what = match dialect {
        Dialect::Native => "the registry",
        Dialect::Consul => "the registry for Consul clients",
        Dialect::Eureka => "the registry for Eureka clients",
    };
    ports::listen(address, what, &format!("--{}-{flag}", dialect.name())).await
}
