//! Whether entries fit together: what a service is reached through must speak one protocol, lead somewhere, and be of
//! requests if it routes or splits them. In Consul's words. Pure.
//!
//! A chain begins at a service: its router leads to splitters or resolvers, a splitter to others or to resolvers, and a
//! resolver elsewhere or to who takes over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Entry;

const ROUTER: &str = "service-router";
const SPLITTER: &str = "service-splitter";
const RESOLVER: &str = "service-resolver";
/// A chain is judged as if it were of this datacenter, whatever that is called.
const DATACENTER: &str = "dc1";

/// Entries by kind and name.
#[derive(Debug)]
pub(super) struct Graph<'a>(BTreeMap<(&'a str, &'a str), &'a Entry>);

impl<'a> Graph<'a> {
    /// The graph of all entries.
    pub(super) fn of(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        Self(entries.into_iter().map(|entry| ((text(entry.get("Kind")), text(entry.get("Name"))), entry)).collect())
    }

    fn get(&self, kind: &str, name: &str) -> Option<&'a Entry> {
        self.0.get(&(kind, name)).copied()
    }

    /// What is wrong with the chains that an entry is part of, which was just written or taken out.
    pub(super) fn check(&self, kind: &str, name: &str) -> Result<(), String> {
        let chained = self.0.iter().filter(|((kind, _), _)| [ROUTER, SPLITTER, RESOLVER].contains(kind));
        let mut services: BTreeSet<&str> = match kind {
            "proxy-defaults" => chained.map(|((_, name), _)| *name).collect(),
            _ => chained.filter(|(_, entry)| leads_to(entry, name)).map(|((_, name), _)| *name).collect(),
        };
        if kind != "proxy-defaults" {
            services.insert(name);
        }
        services.into_iter().try_for_each(|service| Chain::new(self, service).check())
    }

    /// What a service speaks.
    fn protocol(&self, service: &str) -> String {
        let said = match (self.get("service-defaults", service), self.get("proxy-defaults", "global")) {
            // Also if they say nothing of it.
            (Some(defaults), _) => text(defaults.get("Protocol")),
            (None, Some(global)) => global.get("Config").map_or("", |config| text(config.get("protocol"))),
            (None, None) => "",
        };
        if said.is_empty() { "tcp".to_owned() } else { said.to_lowercase() }
    }
}

/// Whether an entry names a service as one that it leads to.
fn leads_to(entry: &Entry, service: &str) -> bool {
    let named = |value: &Value| text(value.get("Service")) == service;
    let failover = entry.get("Failover").and_then(Value::as_object).into_iter().flat_map(|failover| failover.values());
    let routes = list(entry.get("Routes")).iter().filter_map(|route| route.get("Destination"));
    let targets = failover.clone().flat_map(|failover| list(failover.get("Targets")));
    entry.get("Redirect").is_some_and(named)
        || routes.chain(list(entry.get("Splits"))).chain(failover).chain(targets).any(named)
}

/// Where requests may end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    service: String,
    subset: String,
    datacenter: String,
    peer: String,
}

impl Target {
    fn new(service: &str, subset: &str) -> Self {
        let datacenter = DATACENTER.to_owned();
        Self { service: service.to_owned(), subset: subset.to_owned(), datacenter, peer: String::new() }
    }

    /// The target that a redirect or a failover makes of this.
    fn rewritten(&self, by: &Value) -> Self {
        let mut target = self.clone();
        let said = |field: &str| Some(text(by.get(field)).to_owned()).filter(|text| !text.is_empty());
        if let Some(service) = said("Service").filter(|service| *service != self.service) {
            // A subset is one of its service.
            (target.service, target.subset) = (service, String::new());
        }
        target.subset = said("ServiceSubset").unwrap_or(target.subset);
        target.datacenter = said("Datacenter").unwrap_or(target.datacenter);
        target.peer = said("Peer").unwrap_or_default();
        target
    }

    fn id(&self) -> String {
        let Self { service, subset, datacenter, peer } = self;
        match (peer.is_empty(), subset.is_empty()) {
            (false, _) => format!("{service}.default.default.external.{peer}"),
            (true, true) => format!("{service}.default.default.{datacenter}"),
            (true, false) => format!("{subset}.{service}.default.default.{datacenter}"),
        }
    }
}

/// What is found behind a service.
struct Chain<'g> {
    graph: &'g Graph<'g>,
    service: &'g str,
    protocol: Option<String>,
    /// It routes or splits requests.
    is_advanced: bool,
    /// From the beginning to where the search is.
    path: Vec<String>,
    splitters: BTreeSet<String>,
    resolved: BTreeSet<Target>,
    /// The first way that leads back to itself.
    circle: Option<String>,
}

impl<'g> Chain<'g> {
    fn new(graph: &'g Graph<'g>, service: &'g str) -> Self {
        let (splitters, resolved) = (BTreeSet::new(), BTreeSet::new());
        Self { graph, service, protocol: None, is_advanced: false, path: vec![], splitters, resolved, circle: None }
    }

    fn check(mut self) -> Result<(), String> {
        if let Some(router) = self.graph.get(ROUTER, self.service) {
            self.is_advanced = true;
            self.path.push(format!("router:{}.default.default", self.service));
            self.record(self.service)?;
            for route in list(router.get("Routes")) {
                let said = |field: &str| route.get("Destination").map_or("", |to| text(to.get(field)));
                let service = or(said("Service"), self.service);
                match said("ServiceSubset") {
                    "" => self.split_or_resolve(service)?,
                    subset => self.resolve(Target::new(service, subset), Caller::Chain)?,
                }
            }
        }
        self.split_or_resolve(self.service)?;
        if let Some(circle) = self.circle {
            return Err(format!("detected circular reference: [{circle}]"));
        }
        match self.protocol.as_deref() {
            Some("http" | "http2" | "grpc") => Ok(()),
            Some(protocol) if self.is_advanced => Err(format!(
                "discovery chain {:?} uses a protocol {protocol:?} that does not permit advanced routing or splitting \
                 behavior",
                self.service
            )),
            _ => Ok(()),
        }
    }

    /// All of a chain speak one protocol.
    fn record(&mut self, service: &str) -> Result<(), String> {
        let protocol = self.graph.protocol(service);
        match &self.protocol {
            Some(known) if *known != protocol => Err(format!(
                "discovery chain {:?} uses inconsistent protocols; service {service:?} has {protocol:?} which is not \
                 {known:?}",
                self.service
            )),
            _ => {
                self.protocol = Some(protocol);
                Ok(())
            }
        }
    }

    fn split_or_resolve(&mut self, service: &str) -> Result<(), String> {
        if self.split(service)? { Ok(()) } else { self.resolve(Target::new(service, ""), Caller::Chain) }
    }

    /// Follows a splitter; whether there is one.
    fn split(&mut self, service: &str) -> Result<bool, String> {
        let Some(splitter) = self.graph.get(SPLITTER, service) else { return Ok(false) };
        self.is_advanced = true;
        let node = format!("splitter:{service}.default.default");
        if self.path.contains(&node) {
            let circle = || format!("{} -> {node}", self.path.join(" -> "));
            self.circle = self.circle.take().or_else(|| Some(circle()));
            return Ok(true);
        }
        if !self.splitters.insert(service.to_owned()) {
            return Ok(true);
        }
        self.path.push(node);
        for split in list(splitter.get("Splits")) {
            let (to, subset) = (or(text(split.get("Service")), service), text(split.get("ServiceSubset")));
            let splits_on = to != service && subset.is_empty() && self.split(to)?;
            if !splits_on {
                self.resolve(Target::new(to, subset), Caller::Chain)?;
            }
        }
        self.path.pop();
        Ok(true)
    }

    fn resolve(&mut self, mut target: Target, caller: Caller) -> Result<(), String> {
        let mut order = Vec::new();
        loop {
            if self.resolved.contains(&target) {
                return Ok(());
            }
            // What others speak is known to them.
            if target.peer.is_empty() {
                self.record(&target.service)?;
            }
            let id = target.id();
            let comes_back = order.contains(&id);
            order.push(id);
            if comes_back {
                return Err(format!("detected circular resolver redirect: [{}]", order.join(" -> ")));
            }
            let Some(resolver) = self.graph.get(RESOLVER, &target.service) else {
                return match &*target.subset {
                    "" => {
                        self.resolved.insert(target);
                        Ok(())
                    }
                    subset => Err(no_subset(&target.service, subset)),
                };
            };
            if let Some(redirect) = resolver.get("Redirect").filter(|to| to.get("SamenessGroup").is_none()) {
                let redirected = target.rewritten(redirect);
                if redirected != target {
                    target = redirected;
                    continue;
                }
            }
            let default = text(resolver.get("DefaultSubset"));
            if target.subset.is_empty() && !default.is_empty() {
                default.clone_into(&mut target.subset);
                continue;
            }
            return self.resolve_by(resolver, target, caller);
        }
    }

    /// Looks at where a resolver that does not lead elsewhere leads to.
    fn resolve_by(&mut self, resolver: &Entry, target: Target, caller: Caller) -> Result<(), String> {
        let Target { service, subset, .. } = &target;
        let has = |field: &str| resolver.contains_key(field);
        if !subset.is_empty() && resolver.get("Subsets").and_then(|subsets| subsets.get(subset)).is_none() {
            return Err(no_subset(service, subset));
        }
        let is_external =
            self.graph.get("service-defaults", service).is_some_and(|said| said.contains_key("ExternalSNI"));
        let parts = [("Redirect", "redirects"), ("Subsets", "subsets"), ("Failover", "failover")];
        if let Some((_, what)) = parts.iter().find(|(field, _)| is_external && has(field)) {
            return Err(format!(
                "service {service:?} has an external SNI set; cannot define {what} for external services"
            ));
        }
        if caller == Caller::Failover {
            return Ok(());
        }
        self.resolved.insert(target.clone());
        let failovers = resolver.get("Failover").and_then(Value::as_object);
        let failover = failovers.and_then(|failovers| failovers.get(subset).or_else(|| failovers.get("*")));
        let Some(failover) = failover else { return Ok(()) };
        let datacenters = list(failover.get("Datacenters"));
        let targets: Vec<Target> = if !datacenters.is_empty() {
            let elsewhere = |datacenter: &Value| {
                let datacenter = text(Some(datacenter)).to_owned();
                Target { datacenter, ..target.rewritten(failover) }
            };
            datacenters.iter().map(elsewhere).collect()
        } else if failover.get("Targets").is_some() {
            list(failover.get("Targets")).iter().map(|to| target.rewritten(to)).collect()
        } else if failover.get("SamenessGroup").is_some() {
            Vec::new()
        } else {
            vec![target.rewritten(failover)]
        };
        // Nothing takes over from itself.
        let mut others = targets.into_iter().filter(|other| *other != target);
        others.try_for_each(|other| self.resolve(other, Caller::Failover))
    }
}

/// Who wants to know where a target leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Chain,
    /// Who takes over is not taken over from.
    Failover,
}

fn no_subset(service: &str, subset: &str) -> String {
    format!("service {service:?} does not have a subset named {subset:?}")
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
