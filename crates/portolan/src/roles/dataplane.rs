//! The process for names and packet rules, as its owner sees it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use portolan_base::readiness::State;
use portolan_base::{Readiness, Shutdown, TaskGroup};
use portolan_dataplane::{Error, Options, Supervisor};

use crate::config::{DataplaneOptions, DialectAddress, NodeOptions};
use crate::credentials;
use crate::ports;
use crate::roles::local_node::Access;

/// Where resolvers ask; `resolv.conf` cannot name another port.
const DNS_PORT: u16 = 53;

/// A data plane that is not in step with an API server on the same machine by then never will be.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts or adopts the process, and watches it from then on. Returns where names are answered: for programs outside
/// of pods, else for pods.
pub(crate) async fn start(
    options: &NodeOptions,
    access: &Access,
    gateway: IpAddr,
    readiness: &Readiness,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> anyhow::Result<SocketAddr> {
    let name = options.node_name()?;
    let layout = options.folders.dataplane();
    let kubeconfig = credentials::kubeconfig(&access.server, &access.authority_pem, &name, &access.certificate);
    portolan_identity::write_private(layout.kubeconfig(), &kubeconfig).context("write the data plane's kubeconfig")?;
    let mut arguments = vec!["dataplane".into()];
    arguments.extend(DataplaneOptions::of(options)?.arguments());
    let mut names = Vec::from([options.cluster_dns, gateway].map(|address| SocketAddr::new(address, DNS_PORT)));
    let outside = names.len();
    if let DialectAddress::At(address) = options.dns_listen {
        names.push(address);
    }
    let program = std::env::current_exe().context("find my own binary")?;
    for part in ["dns", "network"] {
        readiness.set(part, State::Starting("the data plane starts".into()));
    }
    let started = Supervisor::start(Options { program, arguments, layout, names }).await;
    let supervisor = Arc::new(started.map_err(explain)?);
    let bound = supervisor.names()?;
    let answering = *bound.get(outside).or(bound.first()).context("names are answered nowhere")?;
    let (board, stopping) = (readiness.clone(), shutdown.clone());
    tasks.spawn("data plane", async move { supervisor.run(board, stopping).await });
    Ok(local(answering))
}

/// Where a program on this machine reaches what listens on an address.
pub(crate) fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Waits until names are answered and rules are in force.
pub(crate) async fn ready(readiness: &Readiness) -> anyhow::Result<()> {
    for part in ["dns", "network"] {
        let waited = tokio::time::timeout(READY_TIMEOUT, readiness.wait_for(part)).await;
        if waited.is_err() {
            let state = readiness.parts().remove(part);
            anyhow::bail!("{part} is not ready after {READY_TIMEOUT:?}: {state:?}");
        }
    }
    Ok(())
}

/// Says who has the port of names.
pub(crate) fn explain(error: Error) -> anyhow::Error {
    let Error::Names(portolan_dns::Error::Bind { address, source }) = &error else { return error.into() };
    if source.kind() != std::io::ErrorKind::AddrInUse {
        return error.into();
    }
    let taken = ports::taken(*address, &format!("names on {}", address.ip()));
    if address.port() != DNS_PORT {
        return anyhow::anyhow!("{taken}; stop that process or choose another address with --dns-listen, or `off`");
    }
    anyhow::anyhow!(
        "{taken}; stop that process, or let it listen on its own addresses instead of all (dnsmasq: bind-interfaces)"
    )
}
