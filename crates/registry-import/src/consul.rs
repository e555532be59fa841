//! Follows Consul: blocking queries tell that something changed, then what may be different is read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
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

/// Services that are read at the same time: an old registry is not to be overrun by the move.
const AT_ONCE: usize = 8;

/// A Consul agent or server.
pub(crate) struct Consul {
    remote: Remote,
    /// Indexes of the lists of services and machines and of the checks; zero until all was read.
    services: u64,
    nodes: u64,
    checks: u64,
    machines: Vec<Machine>,
    /// Instances by their service, as they were read last.
    entries: BTreeMap<String, Vec<Found>>,
    /// Checks by their machine and id.
    states: HashMap<(String, String), Value>,
}

impl Consul {
    pub(crate) fn new(remote: Remote) -> Self {
        Self {
            remote,
            services: 0,
            nodes: 0,
            checks: 0,
            machines: Vec::new(),
            entries: BTreeMap::new(),
            states: HashMap::new(),
        }
    }

    pub(crate) fn restart(&mut self) {
        // The catalog is not as it was read, whatever its indexes are: everything is read again.
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
        let (checks, states) = self.ask("/v1/health/state/any", 0).await?;
        let (nodes, machines) = self.ask("/v1/catalog/nodes", 0).await?;
        let names = names
            .as_object()
            .ok_or_else(|| self.remote.not_understood("/v1/catalog/services", "it is not a map of services"))?;
        // Consul's own service is its servers.
        let names: BTreeSet<&String> = names.keys().filter(|name| *name != "consul").collect();
        let states = by_check(states);
        let same_catalog =
            (services, nodes) == (self.services, self.nodes) && names.iter().copied().eq(self.entries.keys());
        let changed: BTreeSet<String> = if same_catalog {
            let of_changed = changed_checks(&self.states, &states).flat_map(|check| self.services_of(check));
            of_changed.filter(|name| names.contains(name)).collect()
        } else {
            names.iter().map(|name| (*name).clone()).collect()
        };
        self.entries.retain(|name, _| names.contains(name));
        let this = &*self;
        let reading = stream::iter(changed).map(|name| async move { Ok((this.service(&name).await?, name)) });
        let read: Vec<(Vec<Found>, String)> = reading.buffer_unordered(AT_ONCE).try_collect().await?;
        self.entries.extend(read.into_iter().map(|(entries, name)| (name, entries)));
        self.machines = machines.as_array().into_iter().flatten().map(machine).collect();
        (self.services, self.nodes, self.checks, self.states) = (services, nodes, checks, states);
        Ok(self.entries.values().flatten().cloned().collect())
    }

    /// The instances of a service.
    async fn service(&self, name: &str) -> Result<Vec<Found>, Error> {
        let path = format!("/v1/health/service/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
        match self.ask(&path, 0).await?.1 {
            Value::Array(entries) => Ok(entries.iter().map(entry).collect()),
            _ => Err(self.remote.not_understood(&path, "it is not a list")),
        }
    }

    /// The services whose health a check is part of: its own, or all that are on its machine.
    fn services_of(&self, check: &Value) -> Vec<String> {
        match text(&check["ServiceName"]) {
            service if !service.is_empty() => vec![service],
            _ => {
                let node = text(&check["Node"]);
                let is_there = |entries: &Vec<Found>| entries.iter().any(|entry| entry.node == node);
                self.entries.iter().filter(|(_, entries)| is_there(entries)).map(|(name, _)| name.clone()).collect()
            }
        }
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

fn by_check(states: Value) -> HashMap<(String, String), Value> {
    let Value::Array(states) = states else { return HashMap::new() };
    states.into_iter().map(|check| ((text(&check["Node"]), text(&check["CheckID"])), check)).collect()
}

/// Checks that came, went, or are no longer as they were.
fn changed_checks<'a>(
    before: &'a HashMap<(String, String), Value>,
    after: &'a HashMap<(String, String), Value>,
) -> impl Iterator<Item = &'a Value> {
    let gone = before.iter().filter(|(key, _)| !after.contains_key(key));
    let news = after.iter().filter(|(key, check)| before.get(key) != Some(check));
    gone.chain(news).map(|(_, check)| check)
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
