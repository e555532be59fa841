//! The servers, as tools of operators ask for them.
//!
//! Consul's servers among themselves are one here: this one. What would change their number or their keys is refused
//! in words.

use http::Method;
use portolan_registrar::http::Request;
use serde_json::{Value, json};

use crate::parameters::{Parameters, ReadOptions};
use crate::route::Routed;
use crate::state::State;
use crate::{Error, answer};

/// Version of the protocol between servers that clients are told.
const RAFT_PROTOCOL: &str = "3";

/// Answers what is below `/v1/operator`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    let method = &request.method;
    let refused = |text: &str| Err(Error::Internal(text.to_owned()));
    let value = match (segments, method) {
        (["raft", "configuration"], &Method::GET) => raft(state),
        (["autopilot", "health"], &Method::GET) => health(state),
        (["autopilot", "state"], &Method::GET) => autopilot_state(state),
        (["autopilot", "configuration"], &Method::GET) => autopilot(),
        (["autopilot", "configuration"], &Method::PUT) => {
            return Some(refused("there is one server of this dialect, this one: autopilot has nothing to decide"));
        }
        (["usage"], &Method::GET) => usage(state),
        (["raft", "peer"], &Method::DELETE) => {
            return Some(refused("there is one server of this dialect, this one, and it stays"));
        }
        (["raft", "transfer-leader"], &Method::POST | &Method::PUT) => {
            return Some(refused("there is no other server of this dialect that could lead"));
        }
        (["keyring"], _) => return Some(refused("gossip encryption is not in use: there is no gossip")),
        (["raft", "configuration"] | ["autopilot", "health" | "state"] | ["usage"], _) => {
            return Some(Err(Error::method(method, "GET")));
        }
        (["autopilot", "configuration"], _) => return Some(Err(Error::method(method, "GET,PUT"))),
        (["raft", "peer"], _) => return Some(Err(Error::method(method, "DELETE"))),
        (["raft", "transfer-leader"], _) => return Some(Err(Error::method(method, "PUT,POST"))),
        _ => return None,
    };
    let options = ReadOptions::of(state, request, &Parameters::of(request));
    Some(options.and_then(|options| answer::json(&value, options.pretty)))
}

fn raft(state: &State) -> Value {
    let snapshot = state.snapshot();
    let machines = state.machines(&snapshot);
    let server = json!({
        "ID": machines.get(&state.identity.node).map(|machine| machine.id.as_str()).unwrap_or_default(),
        "Node": state.identity.node,
        "Address": state.server_address(),
        "Leader": true,
        "Voter": true,
        "ProtocolVersion": RAFT_PROTOCOL,
        "LastIndex": snapshot.index(),
    });
    // The index of this answer is 0 in Consul too.
    json!({"Servers": [server], "Index": 0})
}

/// Who answers is healthy; with one server none may fail.
fn health(state: &State) -> Value {
    let snapshot = state.snapshot();
    let machines = state.machines(&snapshot);
    let server = json!({
        "ID": machines.get(&state.identity.node).map(|machine| machine.id.as_str()).unwrap_or_default(),
        "Name": state.identity.node,
        "Address": state.server_address(),
        "SerfStatus": "alive",
        "Version": state.identity.version,
        "Leader": true,
        "Voter": true,
        "Healthy": true,
        "LastContact": "0s",
        "LastIndex": snapshot.index(),
    });
    json!({"Healthy": true, "FailureTolerance": 0, "Servers": [server]})
}

/// The same by the server's id, with what it is to the others, as `consul operator autopilot state` reads it.
fn autopilot_state(state: &State) -> Value {
    let snapshot = state.snapshot();
    let machines = state.machines(&snapshot);
    let machine = machines.get(&state.identity.node);
    let id = machine.map(|machine| machine.id.as_str()).unwrap_or_default();
    let server = json!({
        "ID": id,
        "Name": state.identity.node,
        "Address": state.server_address(),
        "NodeStatus": "alive",
        "Version": state.identity.version,
        "LastContact": "0s",
        "LastTerm": 1,
        "LastIndex": snapshot.index(),
        "Healthy": true,
        // Nobody counted since when: as Consul says of a server that was never found ill.
        "StableSince": "0001-01-01T00:00:00Z",
        "Status": "leader",
        "NodeType": "voter",
        "Meta": machine.map(|machine| &machine.metadata),
    });
    let mut servers = serde_json::Map::new();
    servers.insert(id.to_owned(), server);
    json!({
        "Healthy": true,
        "FailureTolerance": 0,
        "OptimisticFailureTolerance": 0,
        "Leader": id,
        "Voters": [id],
        "ReadReplicas": null,
        "Servers": servers,
    })
}

/// Consul's defaults: with one server there is nothing that others would do.
fn autopilot() -> Value {
    json!({
        "CleanupDeadServers": true,
        "LastContactThreshold": "200ms",
        "MaxTrailingLogs": 250,
        "MinQuorum": 0,
        "ServerStabilizationTime": "10s",
        "RedundancyZoneTag": "",
        "DisableUpgradeMigration": false,
        "UpgradeVersionTag": "",
        "CreateIndex": 1,
        "ModifyIndex": 1,
    })
}

fn usage(state: &State) -> Value {
    let snapshot = state.snapshot();
    let (services, instances) = snapshot
        .instances()
        .fold((0_usize, 0_usize), |(services, instances), (_, list)| (services + 1, instances + list.len()));
    let nodes = state.machines(&snapshot).all().count();
    let counts = json!({
        "Nodes": nodes,
        "Services": services,
        "ServiceInstances": instances,
        // Of Consul's mesh there are none; all others count.
        "ConnectServiceInstances": {},
        "BillableServiceInstances": instances,
    });
    let mut usage = serde_json::Map::new();
    usage.insert(state.identity.datacenter.to_string(), counts);
    json!({
        "Usage": usage,
        "Index": snapshot.index(),
        "LastContact": 0,
        "KnownLeader": true,
        "ConsistencyLevel": "leader",
        "ResultsFilteredByACLs": false,
    })
}

#[cfg(test)]
mod tests {
    use crate::acl::AclConfig;
    use crate::space::testing::{ask, state};

    #[tokio::test(start_paused = true)]
    async fn one_server_leads_and_what_would_change_that_is_refused() {
        let state = state(AclConfig::default()).await;
        let cases = [
            ("GET", "raft/configuration", 200, r#""Leader":true"#),
            ("GET", "autopilot/health", 200, r#""Healthy":true"#),
            ("GET", "usage", 200, r#""Usage":{"dc1":{"#),
            ("PUT", "usage", 405, "method PUT not allowed"),
            ("DELETE", "raft/peer?id=a", 500, "there is one server"),
            ("POST", "raft/transfer-leader", 500, "no other server"),
            ("GET", "keyring", 500, "gossip encryption is not in use"),
            ("GET", "autopilot/configuration", 200, r#""CleanupDeadServers":true"#),
            ("PUT", "autopilot/configuration", 500, "nothing to decide"),
            ("GET", "autopilot/state", 200, r#""NodeType":"voter""#),
            ("PUT", "autopilot/state", 405, "method PUT not allowed"),
            ("GET", "autopilot/nothing", 404, "not a recognized HTTP API endpoint"),
        ];
        for (method, path, status, part) in cases {
            let answer = ask(&state, method, &format!("/v1/operator/{path}"), "", "").await;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
            assert!(answer.text.contains(part), "{method} {path}: {}", answer.text);
        }
    }
}
