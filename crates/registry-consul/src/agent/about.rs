//! The agent itself.

use std::fmt::Write;
use std::sync::Arc;

use http::{Method, Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::{CheckType, Health, HealthCheck};
use portolan_catalog::{Origin, Status};
use portolan_registrar::http::{Body, Request};
use serde_json::{Value, json};

use super::service::maintenance_wanted;
use crate::bexpr::{Filter, MEMBER};
use crate::entry::NODE_MAINTENANCE_REASON;
use crate::machine::{Machine, NODE_MAINTENANCE};
use crate::owner::record;
use crate::parameters::Parameters;
use crate::route::Routed;
use crate::sight::Sight;
use crate::state::{SERVER_PORT, State};
use crate::{Error, answer, coordinate, monitor};

/// Port of Consul's gossip. Nothing listens there; clients show it to people.
const GOSSIP_PORT: u16 = 8301;

/// Answers what is about the agent itself.
pub(super) async fn route(state: &State, request: &Request, sight: &Sight, segments: &[&str]) -> Routed {
    let pretty = Parameters::of(request).has("pretty");
    let get = || if request.method == Method::GET { Ok(()) } else { Err(Error::method(&request.method, "GET")) };
    let put = || if request.method == Method::PUT { Ok(()) } else { Err(Error::method(&request.method, "PUT")) };
    Some(match segments {
        ["self"] => get().and_then(|()| answer::json(&own(state), pretty)),
        ["members"] => get().and_then(|()| members(state, request, sight)),
        ["version"] => get().and_then(|()| answer::json(&version(state), pretty)),
        ["host"] => get().and_then(|()| answer::json(&host(state), pretty)),
        ["metrics"] => get().and_then(|()| metrics(state, request)),
        ["monitor"] => get().and_then(|()| monitor::answer(state, request)),
        ["maintenance"] => maintenance(state, request).await,
        // There is nothing to read again: this dialect has no files of its own.
        ["reload"] => put().map(|()| answer::empty()),
        ["leave"] => put().and_then(|()| {
            let text = "this agent is part of the server and does not leave by request; stop the server instead";
            Err(Error::Forbidden(format!("Permission denied: {text}")))
        }),
        ["join", address] => put().and_then(|()| join(state, address)),
        ["force-leave", name] => put().and_then(|()| force_leave(state, name)),
        ["token", _] if state.acl.is_enabled() => put().and_then(|()| {
            let text = "this agent has no tokens of its own to set: it acts under the identity of the server";
            Err(Error::Forbidden(format!("Permission denied: {text}")))
        }),
        ["token", _] => put().and(Err(Error::Unauthorized("ACL support disabled".into()))),
        _ => return None,
    })
}

fn member(state: &State, machine: &Machine) -> Value {
    let is_server = machine.name == state.identity.node;
    let alive = machine.status() != Status::Critical
        || machine
            .checks
            .iter()
            .all(|check| &*check.id != crate::machine::SERF_HEALTH || check.status != Status::Critical);
    let mut tags = json!({
        "build": state.identity.version,
        "dc": state.identity.datacenter,
        "id": machine.id,
        "role": if is_server { "consul" } else { "node" },
        "segment": "",
        "vsn": "2",
        "vsn_max": "3",
        "vsn_min": "2",
    });
    if is_server {
        tags["port"] = SERVER_PORT.to_string().into();
        tags["expect"] = "1".into();
        tags["raft_vsn"] = "3".into();
    }
    json!({
        "Name": machine.name,
        "Addr": machine.address,
        "Port": GOSSIP_PORT,
        "Tags": tags,
        "Status": if alive { 1 } else { 4 },
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

/// Machines of the cluster that the caller may see; those outside of it are no members.
fn members(state: &State, request: &Request, sight: &Sight) -> Result<Response<Body>, Error> {
    let parameters = Parameters::of(request);
    let filter = Filter::parse(parameters.get("filter").unwrap_or_default(), &MEMBER)?;
    let machines = state.machines(&state.snapshot());
    // Only servers are members between datacenters.
    let between = parameters.has("wan");
    let is_member = |machine: &&Arc<Machine>| {
        machine.origin == Origin::Orchestrator && (!between || machine.name == state.identity.node)
    };
    let seen = machines.all().filter(is_member).filter(|machine| sight.takes_in_machine(machine));
    let members = seen.map(|machine| {
        let mut member = member(state, machine);
        if between {
            member["Name"] = format!("{}.{}", machine.name, state.identity.datacenter).into();
            member["Port"] = (GOSSIP_PORT + 1).into();
        }
        member
    });
    let members: Value = members.filter(|member| filter.lets(member)).collect();
    Ok(crate::acl::marked(answer::json(&members, parameters.has("pretty"))?, sight.take_hid()))
}

fn own(state: &State) -> Value {
    let snapshot = state.snapshot();
    let machines = state.machines(&snapshot);
    let machine = machines.get(&state.identity.node);
    let identity = &state.identity;
    let (checks, services) = state
        .locals()
        .iter()
        .fold((0, 0), |(checks, services), object| (checks + object.spec.checks.len(), services + 1));
    let ports: Vec<u16> = identity.addresses.iter().map(|address| address.port()).collect();
    json!({
        "Config": {
            "Datacenter": identity.datacenter,
            "PrimaryDatacenter": identity.datacenter,
            "NodeName": identity.node,
            "NodeID": machine.map(|machine| machine.id.as_str()),
            "Partition": "",
            "Revision": "",
            "Server": true,
            "Version": identity.version,
            "BuildDate": "",
        },
        "Coord": coordinate::of(state, &identity.node).unwrap_or_else(coordinate::origin),
        "DebugConfig": {
            "ACLsEnabled": state.acl.is_enabled(),
            "Bootstrap": true,
            "ConnectEnabled": false,
            "Datacenter": identity.datacenter,
            "HTTPPort": ports.first(),
            "NodeName": identity.node,
            "ServerMode": true,
            "ServerPort": SERVER_PORT,
            "Version": identity.version,
        },
        "Member": machine.map(|machine| member(state, machine)),
        "Meta": machine.map(|machine| &machine.metadata),
        "Stats": {
            "agent": {"check_monitors": "0", "check_ttls": "0", "checks": checks.to_string(), "services": services.to_string()},
            "build": {"prerelease": "", "revision": "", "version": identity.version, "version_metadata": ""},
            "consul": {
                "acl": if state.acl.is_enabled() { "enabled" } else { "disabled" },
                "bootstrap": "true",
                "known_datacenters": "1",
                "leader": "true",
                "leader_addr": state.server_address(),
                "server": "true",
            },
            "raft": {
                "applied_index": snapshot.index().to_string(),
                "commit_index": snapshot.index().to_string(),
                "last_log_index": snapshot.index().to_string(),
                "num_peers": "0",
                "state": "Leader",
            },
            "runtime": {"arch": std::env::consts::ARCH, "os": std::env::consts::OS},
            "serf_lan": {"members": machines.all().count().to_string()},
            "serf_wan": {"members": "1"},
        },
        "xDS": {"SupportedProxies": {}, "Port": -1, "Ports": {"Plaintext": -1, "TLS": -1}},
    })
}

fn version(state: &State) -> Value {
    json!({"SHA": "", "BuildDate": "", "HumanVersion": state.identity.version, "FIPS": ""})
}

fn host(state: &State) -> Value {
    // What the kernel does not say is left out rather than made up.
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).map(|kilobytes| kilobytes * 1024)
    };
    json!({
        "Memory": {"total": bytes("MemTotal"), "available": bytes("MemAvailable"), "free": bytes("MemFree")},
        "CPU": [],
        "Host": {"hostname": state.identity.node, "os": std::env::consts::OS, "kernelArch": std::env::consts::ARCH},
        "Disk": {},
        "CollectionTime": i64::try_from(state.clock.now().as_nanosecond()).unwrap_or(i64::MAX),
        "Errors": null,
    })
}

fn metrics(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    let snapshot = state.snapshot();
    let instances: usize = snapshot.instances().map(|(_, list)| list.len()).sum();
    let machines = state.machines(&snapshot).all().count();
    let gauges = [
        ("consul.catalog.index", snapshot.index()),
        ("consul.state.nodes", machines as u64),
        ("consul.state.services", snapshot.instances().count() as u64),
        ("consul.state.service_instances", instances as u64),
        ("consul.registry.leases", state.registrar.lease_count() as u64),
    ];
    let counted = state.registrar.counters();
    let counters = [
        ("consul.registry.leases.ended", &counted.ended),
        ("consul.registry.leases.held", &counted.held),
        ("consul.registry.leases.released", &counted.released),
        ("consul.registry.leases.given_up", &counted.given_up),
        ("consul.registry.checks.expired", &counted.expired_checks),
        ("consul.registry.checks.deregistered", &counted.deregistered),
    ];
    let counters = counters.map(|(name, counter)| (name, counter.get()));
    if Parameters::of(request).get("format") == Some("prometheus") {
        let mut text = String::new();
        let kinds = [("gauge", &gauges[..]), ("counter", &counters[..])];
        for (kind, (name, value)) in kinds.iter().flat_map(|(kind, all)| all.iter().map(move |one| (kind, one))) {
            let name = name.replace('.', "_");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {name}\n# TYPE {name} {kind}\n{name} {value}");
        }
        return Ok(answer::text(StatusCode::OK, text + &state.requests.text()));
    }
    let gauges: Value =
        gauges.iter().map(|(name, value)| json!({"Name": name, "Value": value, "Labels": {}})).collect();
    let counters: Value = counters
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| {
            json!({"Name": name, "Count": count, "Sum": count, "Min": 1, "Max": 1, "Mean": 1, "Stddev": 0, "Labels": {}})
        })
        .collect();
    let now = state.clock.now().strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string();
    let samples = state.requests.samples();
    let value = json!({"Timestamp": now, "Gauges": gauges, "Points": [], "Counters": counters, "Samples": samples});
    answer::json(&value, Parameters::of(request).has("pretty"))
}

fn join(state: &State, address: &str) -> Result<Response<Body>, Error> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    if host == state.address() || host == &*state.identity.node {
        return Ok(answer::empty());
    }
    Err(Error::Internal(format!(
        "Failed to join {address}: members are the nodes of the cluster; add one with `portolan agent --join`"
    )))
}

fn force_leave(state: &State, name: &str) -> Result<Response<Body>, Error> {
    let machines = state.machines(&state.snapshot());
    match machines.get(name) {
        None => Err(Error::Internal(format!("agent: No node found with name '{name}'"))),
        Some(_) => Err(Error::Internal(format!(
            "node {name} is no gossip member: delete it with `kubectl delete node`, or PUT /v1/catalog/deregister"
        ))),
    }
}

/// `PUT /v1/agent/maintenance?enable=`
async fn maintenance(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    let (enable, reason) = maintenance_wanted(request)?;
    let check = HealthCheck {
        id: NODE_MAINTENANCE.into(),
        name: "Node Maintenance Mode".into(),
        r#type: CheckType::External,
        notes: if reason.is_empty() { NODE_MAINTENANCE_REASON.into() } else { reason },
        ..HealthCheck::default()
    };
    let (node, address) = (state.identity.node.to_string(), state.address());
    let present = state.machine(&node).await?;
    let is_on = present.is_some_and(|machine| machine.spec.checks.iter().any(|known| known.id == check.id));
    if enable == is_on {
        return Ok(answer::empty());
    }
    state
        .change_machine(&node, |spec| {
            if spec.address.is_empty() {
                spec.address.clone_from(&address);
            }
            spec.checks.retain(|known| known.id != check.id);
            if enable {
                spec.checks.push(check.clone());
            }
        })
        .await?;
    if enable {
        let now = Time(state.clock.now());
        state.change_machine_status(&node, |results| record(results, &check, Health::Critical, "", &now)).await?;
    }
    Ok(answer::empty())
}
