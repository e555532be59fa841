//! Attaching and detaching.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;

use serde_json::{Value, json};

use super::PluginError;
use super::protocol::{Command, Request, versions};
use crate::Cidr;
use crate::ipam::{Lease, Leases};
use crate::netlink::{Netlink, Route, inside, mac_of};

/// Executes a request of the runtime for the plugin called `name`.
pub(super) fn run(name: &str, request: &Request) -> Result<Option<Value>, PluginError> {
    match (name, request.command) {
        (_, Command::Version) => Ok(Some(versions())),
        ("loopback", Command::Add) => loopback(request).map(Some),
        ("loopback", Command::Del | Command::Check) => Ok(None),
        (_, Command::Add) => add(request).map(Some),
        (_, Command::Del) => delete(request).map(|()| None),
        (_, Command::Check) => check(request).map(|()| None),
    }
}

fn loopback(request: &Request) -> Result<Value, PluginError> {
    let namespace = open_namespace(request)?;
    inside(namespace.as_fd(), loopback_up).map_err(|error| PluginError::failed("bring up the loopback link", error))?;
    let address = json!({"address": "127.0.0.1/8", "interface": 0});
    Ok(json!({
        "cniVersion": request.network.cni_version,
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": request.namespace}],
        "ips": [with_family(address, request)],
    }))
}

fn add(request: &Request) -> Result<Value, PluginError> {
    let pool = pool(request)?;
    let namespace = open_namespace(request)?;
    let mut host = netlink()?;
    let bridge = host
        .link(&request.network.bridge)
        .map_err(|error| PluginError::failed("look up the bridge", error))?
        .ok_or_else(|| {
            let name = &request.network.bridge;
            PluginError::try_again(format!(
                "bridge {name} does not exist yet: the node's agent makes it when it starts"
            ))
        })?;

    let lease = {
        let leases = leases(request)?;
        let taken = leases.take(pool, &request.container, &request.interface, &request.namespace);
        taken.map_err(|error| PluginError::failed("lease an address", error))?.ok_or_else(|| {
            PluginError::failed(
                format!("all addresses of {pool} are in use"),
                "delete pods or give the node a larger network",
            )
        })?
    };
    let link = host_link(request);
    let attached = attach(request, &mut host, &link, bridge.index, &lease, pool.gateway(), bridge.mac, &namespace);
    if let Err(error) = attached {
        // Leave nothing behind; the failure that is reported is the first one.
        let _ = host.delete_link(&link);
        if let Ok(leases) = leases(request) {
            let _ = leases.release(&lease);
        }
        return Err(PluginError::failed("attach the pod to the bridge", error));
    }
    Ok(result(request, &link, &lease, pool))
}

#[allow(clippy::too_many_arguments, reason = "one caller; the arguments are the pieces that `add` has just gathered")]
fn attach(
    request: &Request,
    host: &mut Netlink,
    link: &str,
    bridge: u32,
    lease: &Lease,
    gateway: Ipv4Addr,
    gateway_mac: Option<[u8; 6]>,
    namespace: &File,
) -> io::Result<()> {
    let mac = mac_of(lease.address);
    // A link left by an attempt that was interrupted would make the name clash.
    host.delete_link(link)?;
    host.create_veth(link, bridge, &request.interface, mac, namespace.as_fd(), request.network.mtu)?;
    let port = host.link(link)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?.index;
    host.set_hairpin(port)?;
    host.set_neighbour(bridge, lease.address, mac)?;
    inside(namespace.as_fd(), |pod| {
        loopback_up(pod)?;
        let own = pod.link(&request.interface)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?.index;
        pod.add_address(own, lease.address, 32)?;
        pod.set_up(own)?;
        if let Some(mac) = gateway_mac {
            pod.set_neighbour(own, gateway, mac)?;
        }
        pod.set_route(Route { to: Cidr::new(gateway, 32), link: own, gateway: None, source: None })?;
        let everything = Cidr::new(Ipv4Addr::UNSPECIFIED, 0);
        pod.set_route(Route { to: everything, link: own, gateway: Some(gateway), source: None })
    })
}

fn delete(request: &Request) -> Result<(), PluginError> {
    netlink()?.delete_link(&host_link(request)).map_err(|error| PluginError::failed("delete the pod's link", error))?;
    let leases = leases(request)?;
    let lease = leases.find(&request.container, &request.interface);
    match lease.map_err(|error| PluginError::failed("look up the pod's address", error))? {
        Some(lease) => leases.release(&lease).map_err(|error| PluginError::failed("return the pod's address", error)),
        None => Ok(()),
    }
}

fn check(request: &Request) -> Result<(), PluginError> {
    let found = leases(request)?.find(&request.container, &request.interface);
    if found.map_err(|error| PluginError::failed("look up the pod's address", error))?.is_none() {
        return Err(PluginError::failed("the pod has no address", "it was reclaimed or never given"));
    }
    let link = host_link(request);
    match netlink()?.link(&link).map_err(|error| PluginError::failed("look up the pod's link", error))? {
        Some(_) => Ok(()),
        None => Err(PluginError::failed(format!("link {link} of the pod is gone"), "the pod must be started again")),
    }
}

fn result(request: &Request, link: &str, lease: &Lease, pool: Cidr) -> Value {
    let [a, b, c, d, e, f] = mac_of(lease.address);
    let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let address = json!({"address": format!("{}/32", lease.address), "gateway": pool.gateway(), "interface": 2});
    json!({
        "cniVersion": request.network.cni_version,
        "interfaces": [
            {"name": request.network.bridge},
            {"name": link},
            {"name": request.interface, "mac": mac, "sandbox": request.namespace},
        ],
        "ips": [with_family(address, request)],
        "routes": [{"dst": "0.0.0.0/0", "gw": pool.gateway()}],
        "dns": {},
    })
}

/// Before version 1.0.0 an address said which family it is of.
fn with_family(mut address: Value, request: &Request) -> Value {
    if request.network.cni_version.starts_with("0.") {
        address["version"] = "4".into();
    }
    address
}

fn loopback_up(pod: &mut Netlink) -> io::Result<()> {
    let index = pod.link("lo")?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?.index;
    pod.set_up(index)
}

fn netlink() -> Result<Netlink, PluginError> {
    Netlink::open().map_err(|error| PluginError::failed("open a netlink socket", error))
}

fn leases(request: &Request) -> Result<Leases, PluginError> {
    Leases::lock(&request.network.state_dir).map_err(|error| {
        let directory = request.network.state_dir.display();
        PluginError::failed(format!("open the address leases in {directory}"), error)
    })
}

fn open_namespace(request: &Request) -> Result<File, PluginError> {
    File::open(&request.namespace)
        .map_err(|error| PluginError::failed(format!("open network namespace {}", request.namespace), error))
}

fn pool(request: &Request) -> Result<Cidr, PluginError> {
    request.network.pod_cidr.parse().map_err(PluginError::configuration)
}

/// The name of the host's end: short, and the same whenever it is asked for.
fn host_link(request: &Request) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = request.container.bytes().chain(*b"/").chain(request.interface.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("plv{:012x}", hash >> 16)
}
