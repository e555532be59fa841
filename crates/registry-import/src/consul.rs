//! Follows Consul: blocking queries tell that something changed, then everything is read.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portolan_api::typed::{Health, InstanceLocality, InstancePort, InstanceWeights};
use serde_json::Value;

use crate::http::{Error, Remote};
use crate::source::{Found, Machine};

/// How long Consul holds a question that nothing answers.
const WAIT: Duration = Duration::from_secs(60);
/// Consul may take a sixteenth longer; the rest is the network's.
const PATIENCE: Duration = Duration::from_secs(75);
/// Changes that follow each other closely are read together.
const PAUSE: Duration = Duration::from_millis(250);

/// A Consul agent or server.
pub(crate) struct Consul {
    remote: Remote,
    /// Indexes of the lists of services and machines and of the checks; zero until all was read.
    services: u64,
    nodes: u64,
    checks: u64,
    machines: Vec<Machine>,
}

impl Consul {
    pub(crate) fn new(remote: Remote) -> Self {
        Self { remote, services: 0, nodes: 0, checks: 0, machines: Vec::new() }
    }

    pub(crate) fn restart(&mut self) {
        (self.services, self.nodes, self.checks) = (0, 0, 0);
    }

    /// The machines that were there when it was read last.
    pub(crate) fn machines(&self) -> &[Machine] {
        &self.machines
    }

    pub(crate) async fn next(&mut self) -> Result<Vec<Found>, Error> {
        if self.services > 0 {
            self.changed().await?;
            tokio::time::sleep(PAUSE).await;
        }
        let (services, names) = self.ask("/v1/catalog/services", 0).await?;
        let (checks, _) = self.ask("/v1/health/state/any", 0).await?;
        let (nodes, machines) = self.ask("/v1/catalog/nodes", 0).await?;
        let names = names
            .as_object()
            .ok_or_else(|| self.remote.not_understood("/v1/catalog/services", "it is not a map of services"))?;
        let mut found = Vec::new();
        // Consul's own service is its servers.
        for name in names.keys().filter(|name| *name != "consul") {
            let path = format!("/v1/health/service/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
            let (_, entries) = self.ask(&path, 0).await?;
            let Value::Array(entries) = &entries else {
                return Err(self.remote.not_understood(&path, "it is not a list"));
            };
            found.extend(entries.iter().map(entry));
        }
        self.machines = machines.as_array().into_iter().flatten().map(machine).collect();
        (self.services, self.nodes, self.checks) = (services, nodes, checks);
        Ok(found)
    }

    /// Waits until the services, the machines or the checks are no longer as they were read. Whichever answers first
    /// ends the wait for all; an answer may also mean that nothing happened in time.
    async fn changed(&self) -> Result<(), Error> {
        loop {
            let changed = tokio::select! {
                answer = self.ask("/v1/catalog/services", self.services) => answer?.0 != self.services,
                answer = self.ask("/v1/catalog/nodes", self.nodes) => answer?.0 != self.nodes,
                answer = self.ask("/v1/health/state/any", self.checks) => answer?.0 != self.checks,
            };
            if changed {
                return Ok(());
            }
        }
    }

    /// Asks; with an index, waits for another one.
    async fn ask(&self, path: &str, index: u64) -> Result<(u64, Value), Error> {
        let path = match index {
            0 => path.to_owned(),
            index => format!("{path}?index={index}&wait={}s", WAIT.as_secs()),
        };
        let (headers, value) = self.remote.get(&path, PATIENCE).await?;
        Ok((number(&headers), value))
    }
}

/// The index of an answer; never zero, which would mean not to wait.
fn number(headers: &HeaderMap) -> u64 {
    let index = headers.get("x-consul-index").and_then(|value| value.to_str().ok()?.parse().ok());
    index.unwrap_or(1).max(1)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

/// One entry of the list of machines.
pub(crate) fn machine(node: &Value) -> Machine {
    Machine {
        name: text(&node["Node"]),
        id: text(&node["ID"]),
        address: text(&node["Address"]),
        tagged_addresses: texts(&node["TaggedAddresses"]),
        metadata: texts(&node["Meta"]),
    }
}

/// One entry of a health answer: node, service and checks.
pub(crate) fn entry(entry: &Value) -> Found {
    let (node, service) = (&entry["Node"], &entry["Service"]);
    let address = Some(text(&service["Address"])).filter(|address| !address.is_empty());
    let port = service["Port"].as_i64().and_then(|port| i32::try_from(port).ok()).filter(|port| *port > 0);
    let checks = entry["Checks"].as_array().into_iter().flatten();
    let (mut health, mut reason) = (Health::Passing, String::new());
    for check in checks {
        let found = match check["Status"].as_str() {
            Some("passing") => Health::Passing,
            Some("warning") => Health::Warning,
            _ => Health::Critical,
        };
        if found > health {
            let output = text(&check["Output"]);
            health = found;
            reason =
                format!("check {} at the source: {}", text(&check["Name"]), output.lines().next().unwrap_or_default());
        }
    }
    let weight = |name: &str| service["Weights"][name].as_i64().and_then(|weight| i32::try_from(weight).ok());
    let locality = service["Locality"].as_object().map(|locality| InstanceLocality {
        region: locality.get("Region").map(text).unwrap_or_default(),
        zone: locality.get("Zone").map(text).unwrap_or_default(),
        ..InstanceLocality::default()
    });
    Found {
        service: text(&service["Service"]),
        id: text(&service["ID"]),
        scope: text(&node["Node"]),
        address: address.unwrap_or_else(|| text(&node["Address"])),
        node: text(&node["Node"]),
        ports: port.into_iter().map(|port| InstancePort { port, ..InstancePort::default() }).collect(),
        tags: service["Tags"].as_array().into_iter().flatten().map(text).collect(),
        metadata: texts(&service["Meta"]),
        weights: Some(InstanceWeights {
            passing: weight("Passing").unwrap_or(1),
            warning: weight("Warning").unwrap_or(1),
        }),
        locality,
        health,
        reason,
        ..Found::default()
    }
}
