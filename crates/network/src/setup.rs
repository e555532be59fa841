//! Making a machine a node, and undoing it.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::apply::{ApplyError, Rules};
use crate::config::InvalidConfig;
use crate::ipam::Leases;
use crate::netlink::{Address, Netlink, Route, mac_of};
use crate::plan::Batch;
use crate::{Cidr, Config};

#[cfg(test)]
mod tests;

/// Why a node's network could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A netlink request was refused.
    #[error("{step} {name} (this needs root and the NET_ADMIN capability)")]
    Link {
        /// What was tried.
        step: &'static str,
        /// The link it was tried on.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A kernel setting could not be written.
    #[error("write kernel setting {path}")]
    Sysctl {
        /// File of the setting.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A network of the cluster is in use on this machine.
    #[error(
        "the network {network} of {of} holds {address}, which {link} of this machine has: choose another with {flag}; if \
         an earlier cluster left that link, remove all it left with `portolan down --bridge {link} --data-dir FOLDER`, \
         its data folder, or an empty one if that is lost"
    )]
    Taken {
        /// The network that was asked for.
        network: Cidr,
        /// What it was meant for.
        of: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// The address in it.
        address: Ipv4Addr,
        /// The link that has the address.
        link: String,
    },
    /// The address leases cannot be read.
    #[error("open the address leases in {path}")]
    Leases {
        /// Their folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The rules could not be made or removed.
    #[error("make or remove the table of rules")]
    Apply(#[from] ApplyError),
}

/// Makes the bridge with its addresses and routes, the kernel settings and an empty rule table.
///
/// Idempotent; a table that exists keeps its rules, so that a restarted agent does not interrupt
/// traffic. What an earlier run with other settings left on the bridge goes.
///
/// # Errors
/// A network that another link has an address in: nothing was made then. Otherwise names the step that failed; running
/// it again after the cause is gone completes it.
pub fn setup_node(config: &Config) -> Result<(), SetupError> {
    config.validate()?;
    let leases_error = |source| SetupError::Leases { path: config.state_dir.clone(), source };
    let leases = Leases::lock(&config.state_dir).map_err(leases_error)?;
    for lease in leases.reclaim().map_err(leases_error)? {
        tracing::info!(address = %lease.address, container = lease.container, "took back the address of a pod that is gone");
    }
    drop(leases);

    let mut netlink = Netlink::open().map_err(at_bridge(config, "open a netlink socket for"))?;
    refuse_taken(&mut netlink, config)?;
    let gateway = config.pod_cidr.gateway();
    let bridge = make_link(&mut netlink, &config.bridge, |netlink| {
        netlink.create_bridge(&config.bridge, mac_of(gateway), config.mtu)
    })?;
    let configured = configure(&mut netlink, bridge, config);
    configured.map_err(at_bridge(config, "configure bridge"))?;

    sysctl("net/ipv4/ip_forward", "1")?;
    // For the host's own connections to node ports on 127.0.0.1; the rules keep pods out of it.
    sysctl(&format!("net/ipv4/conf/{}/route_localnet", config.bridge), "1")?;
    // Neighbours must not learn to bypass the gateway (see `cni`), and redirects would use up the
    // rate limit of "port unreachable". The kernel sends them if either setting allows it.
    sysctl("net/ipv4/conf/all/send_redirects", "0")?;
    sysctl(&format!("net/ipv4/conf/{}/send_redirects", config.bridge), "0")?;

    let mut rules = Rules::open(config.clone())?;
    if !rules.exist()? {
        rules.apply(&Batch::empty_table())?;
    }
    Ok(())
}

/// Removes everything [`setup_node`] and the rules made, and the links of pods with the bridge.
/// Continues after failures and returns them all.
pub fn teardown_node(config: &Config) -> Vec<SetupError> {
    let mut failures = Vec::new();
    if let Err(error) = config.validate() {
        return vec![error.into()];
    }
    if let Err(error) = Rules::open(config.clone()).and_then(|mut rules| rules.apply(&Batch::removal())) {
        failures.push(error.into());
    }
    let deleted = Netlink::open().and_then(|mut netlink| netlink.delete_link(&config.bridge));
    if let Err(source) = deleted {
        failures.push(at_bridge(config, "delete link")(source));
    }
    failures
}

fn at_bridge(config: &Config, step: &'static str) -> impl FnOnce(io::Error) -> SetupError {
    move |source| SetupError::Link { step, name: config.bridge.clone(), source }
}

/// Another link's address among the cluster's would be answered by one of the two, nobody knows which; and what lies
/// behind that link could not be reached any more.
fn refuse_taken(netlink: &mut Netlink, config: &Config) -> Result<(), SetupError> {
    let own = netlink.link(&config.bridge).map_err(at_bridge(config, "look for link"))?.map(|link| link.index);
    let addresses = netlink.addresses().map_err(at_bridge(config, "read addresses beside those of"))?;
    let networks = [
        (config.pod_cidr, "pods", "--pod-cidr"),
        (config.service_cidr, "services", "--service-cidr"),
        (config.load_balancer_cidr, "load balancers", "--load-balancer-cidr"),
    ];
    for Address { label, address, .. } in addresses.into_iter().filter(|address| Some(address.link) != own) {
        if let Some((network, of, flag)) = networks.iter().copied().find(|(network, ..)| network.contains(address)) {
            return Err(SetupError::Taken { network, of, flag, address, link: label });
        }
    }
    Ok(())
}

fn configure(netlink: &mut Netlink, bridge: u32, config: &Config) -> io::Result<()> {
    netlink.configure(bridge, mac_of(config.pod_cidr.gateway()), config.mtu)?;
    netlink.set_up(bridge)?;
    set_addresses(netlink, bridge, config)?;
    set_routes(netlink, bridge, config)
}

/// The gateway's address and those that processes here listen on, and no others.
fn set_addresses(netlink: &mut Netlink, bridge: u32, config: &Config) -> io::Result<()> {
    let mut wanted = vec![(config.pod_cidr.gateway(), config.pod_cidr.prefix())];
    wanted.extend(config.local_addresses.iter().map(|address| (*address, 32)));
    let present = netlink.addresses()?.into_iter().filter(|address| address.link == bridge);
    // First the old ones: with one of them the kernel may delete others of its network.
    for Address { address, prefix, .. } in present.filter(|old| !wanted.contains(&(old.address, old.prefix))) {
        tracing::info!(%address, prefix, bridge = config.bridge, "removes an address of an earlier run");
        netlink.delete_address(bridge, address, prefix)?;
    }
    wanted.iter().try_for_each(|(address, prefix)| netlink.add_address(bridge, *address, *prefix))
}

/// The routes let the host itself send to service addresses even without a default route; the source
/// is one that every pod can answer.
fn set_routes(netlink: &mut Netlink, bridge: u32, config: &Config) -> io::Result<()> {
    let wanted = [config.service_cidr, config.load_balancer_cidr];
    for to in netlink.static_routes(bridge)?.into_iter().filter(|to| !wanted.contains(to)) {
        tracing::info!(%to, bridge = config.bridge, "removes a route of an earlier run");
        netlink.delete_route(to, bridge)?;
    }
    let source = Some(config.pod_cidr.gateway());
    wanted.iter().try_for_each(|to| netlink.set_route(Route { to: *to, link: bridge, gateway: None, source }))
}

fn make_link(
    netlink: &mut Netlink,
    name: &str,
    create: impl FnOnce(&mut Netlink) -> io::Result<()>,
) -> Result<u32, SetupError> {
    let failed = |source| SetupError::Link { step: "create link", name: name.to_owned(), source };
    if let Some(link) = netlink.link(name).map_err(failed)? {
        return Ok(link.index);
    }
    create(netlink).map_err(failed)?;
    let made = netlink.link(name).map_err(failed)?;
    made.map(|link| link.index).ok_or_else(|| failed(io::Error::from_raw_os_error(libc::ENODEV)))
}

fn sysctl(name: &str, value: &str) -> Result<(), SetupError> {
    let path = Path::new("/proc/sys").join(name);
    // Reading first keeps a read-only /proc/sys usable when the setting is right already.
    if std::fs::read_to_string(&path).is_ok_and(|current| current.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|source| SetupError::Sysctl { path, source })
}
