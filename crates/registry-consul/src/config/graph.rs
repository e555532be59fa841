//! Whether entries fit together: what a service is reached through must speak one protocol, lead somewhere, and be of
//! requests if it routes or splits them. In Consul's words. Pure.
//!
//! A chain begins at a service: its router leads to splitters or resolvers, a splitter to others or to resolvers, and a
//! resolver elsewhere or to who takes over.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::slice;

use serde_json::Value;

use super::{Entry, items, text};

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
        let mut followed = Followed::default();
        services.into_iter().try_for_each(|service| Chain::new(self, service, &mut followed).check())
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
    let routes = items(entry.get("Routes")).iter().filter_map(|route| route.get("Destination"));
    let targets = failover.clone().flat_map(|failover| items(failover.get("Targets")));
    entry.get("Redirect").is_some_and(named)
        || routes.chain(items(entry.get("Splits"))).chain(failover).chain(targets).any(named)
}

/// Where requests may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Target<'g> {
    service: &'g str,
    subset: &'g str,
    datacenter: &'g str,
    peer: &'g str,
}

impl<'g> Target<'g> {
    fn new(service: &'g str, subset: &'g str) -> Self {
        Self { service, subset, datacenter: DATACENTER, peer: "" }
    }

    /// The target that a redirect or a failover makes of this.
    fn rewritten(self, by: &'g Value) -> Self {
        let said = |field: &str| text(by.get(field));
        let service = or(said("Service"), self.service);
        // A subset is one of its service.
        let subset = if service == self.service { self.subset } else { "" };
        Self {
            service,
            subset: or(said("ServiceSubset"), subset),
            datacenter: or(said("Datacenter"), self.datacenter),
            peer: said("Peer"),
        }
    }

    fn id(self) -> String {
        let Self { service, subset, datacenter, peer } = self;
        match (peer.is_empty(), subset.is_empty()) {
            (false, _) => format!("{service}.default.default.external.{peer}"),
            (true, true) => format!("{service}.default.default.{datacenter}"),
            (true, false) => format!("{subset}.{service}.default.default.{datacenter}"),
        }
    }
}

/// What chains that were found good led through, so that what many lead to is followed once. Everything behind such a
/// place speaks one protocol: it is remembered by a service that speaks it, unless all are elsewhere.
#[derive(Debug, Default)]
struct Followed<'g> {
    splitters: HashMap<&'g str, Option<&'g str>>,
    targets: HashMap<(Target<'g>, Caller), Option<&'g str>>,
}

/// A splitter whose splits are being followed.
struct Splitting<'g> {
    service: &'g str,
    rest: slice::Iter<'g, Value>,
    /// One that speaks what all behind it speak.
    speaker: Option<&'g str>,
}

/// What is found behind a service.
struct Chain<'g, 'f> {
    graph: &'g Graph<'g>,
    service: &'g str,
    followed: &'f mut Followed<'g>,
    protocol: Option<String>,
    router: Option<String>,
    /// It routes or splits requests.
    is_advanced: bool,
    /// The first way that leads back to itself.
    circle: Option<String>,
}

impl<'g, 'f> Chain<'g, 'f> {
    fn new(graph: &'g Graph<'g>, service: &'g str, followed: &'f mut Followed<'g>) -> Self {
        Self { graph, service, followed, protocol: None, router: None, is_advanced: false, circle: None }
    }

    fn check(mut self) -> Result<(), String> {
        if let Some(router) = self.graph.get(ROUTER, self.service) {
            self.is_advanced = true;
            self.router = Some(format!("router:{}.default.default", self.service));
            self.record(self.service)?;
            for route in items(router.get("Routes")) {
                let said = |field: &str| route.get("Destination").map_or("", |to| text(to.get(field)));
                let service = or(said("Service"), self.service);
                match said("ServiceSubset") {
                    "" => self.split_or_resolve(service)?,
                    subset => {
                        self.resolve(Target::new(service, subset), Caller::Chain)?;
                    }
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

    /// Goes on behind a place that was followed already.
    fn record_followed(&mut self, speaker: Option<&'g str>) -> Result<Option<&'g str>, String> {
        speaker.map_or(Ok(()), |speaker| self.record(speaker))?;
        Ok(speaker)
    }

    /// Follows a service: its splitter and all that one leads to, or its resolver. Without recursion: nobody keeps
    /// splitters from leading to each other a thousand times.
    fn split_or_resolve(&mut self, service: &'g str) -> Result<(), String> {
        let (mut path, mut on_path) = (Vec::<Splitting<'g>>::new(), HashSet::new());
        let mut next = Some((service, ""));
        loop {
            let speaker = match next {
                Some((service, subset)) => {
                    let splits_on = subset.is_empty() && path.last().is_none_or(|from| from.service != service);
                    match self.graph.get(SPLITTER, service).filter(|_| splits_on) {
                        None => self.resolve(Target::new(service, subset), Caller::Chain)?,
                        Some(_) if on_path.contains(service) => {
                            self.note_circle(&path, service);
                            None
                        }
                        Some(splitter) => {
                            self.is_advanced = true;
                            match self.followed.splitters.get(service).copied() {
                                Some(speaker) => self.record_followed(speaker)?,
                                None => {
                                    on_path.insert(service);
                                    let rest = items(splitter.get("Splits")).iter();
                                    path.push(Splitting { service, rest, speaker: None });
                                    None
                                }
                            }
                        }
                    }
                }
                None => path.pop().and_then(|Splitting { service, speaker, .. }| {
                    on_path.remove(service);
                    self.followed.splitters.insert(service, speaker);
                    speaker
                }),
            };
            let Some(splitting) = path.last_mut() else { return Ok(()) };
            splitting.speaker = splitting.speaker.or(speaker);
            let from = splitting.service;
            let target = |split: &'g Value| (or(text(split.get("Service")), from), text(split.get("ServiceSubset")));
            next = splitting.rest.next().map(target);
        }
    }

    fn note_circle(&mut self, path: &[Splitting<'g>], service: &str) {
        if self.circle.is_none() {
            let splitters = path.iter().map(|splitting| splitting.service).chain([service]);
            let splitters = splitters.map(|service| format!("splitter:{service}.default.default"));
            self.circle = Some(self.router.clone().into_iter().chain(splitters).collect::<Vec<_>>().join(" -> "));
        }
    }

    /// Follows a target to where it ends, and says who speaks what is spoken there.
    fn resolve(&mut self, mut target: Target<'g>, caller: Caller) -> Result<Option<&'g str>, String> {
        let (mut order, mut seen, mut speaker) = (Vec::new(), HashSet::new(), None);
        let end = loop {
            if let Some(followed) = self.followed.targets.get(&(target, caller)).copied() {
                break self.record_followed(followed)?;
            }
            // What others speak is known to them.
            if target.peer.is_empty() {
                self.record(target.service)?;
                speaker = speaker.or(Some(target.service));
            }
            order.push(target);
            if !seen.insert(target.id()) {
                let order: Vec<String> = order.into_iter().map(Target::id).collect();
                return Err(format!("detected circular resolver redirect: [{}]", order.join(" -> ")));
            }
            let Some(resolver) = self.graph.get(RESOLVER, target.service) else {
                match target.subset {
                    "" => break None,
                    subset => return Err(no_subset(target.service, subset)),
                }
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
                target.subset = default;
                continue;
            }
            break self.resolve_by(resolver, target, caller)?;
        };
        let speaker = speaker.or(end);
        self.followed.targets.extend(order.into_iter().map(|target| ((target, caller), speaker)));
        Ok(speaker)
    }

    /// Looks at where a resolver that does not lead elsewhere leads to, and says who speaks what those speak.
    fn resolve_by(
        &mut self,
        resolver: &'g Entry,
        target: Target<'g>,
        caller: Caller,
    ) -> Result<Option<&'g str>, String> {
        let Target { service, subset, .. } = target;
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
            return Ok(None);
        }
        let failovers = resolver.get("Failover").and_then(Value::as_object);
        let failover = failovers.and_then(|failovers| failovers.get(subset).or_else(|| failovers.get("*")));
        let Some(failover) = failover else { return Ok(None) };
        let datacenters = items(failover.get("Datacenters"));
        let targets: Vec<Target<'g>> = if !datacenters.is_empty() {
            let elsewhere = |datacenter| Target { datacenter: text(Some(datacenter)), ..target.rewritten(failover) };
            datacenters.iter().map(elsewhere).collect()
        } else if failover.get("Targets").is_some() {
            items(failover.get("Targets")).iter().map(|to| target.rewritten(to)).collect()
        } else if failover.get("SamenessGroup").is_some() {
            Vec::new()
        } else {
            vec![target.rewritten(failover)]
        };
        let mut speaker = None;
        // Nothing takes over from itself.
        for other in targets.into_iter().filter(|other| *other != target) {
            speaker = speaker.or(self.resolve(other, Caller::Failover)?);
        }
        Ok(speaker)
    }
}

/// Who wants to know where a target leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Caller {
    Chain,
    /// Who takes over is not taken over from.
    Failover,
}

fn no_subset(service: &str, subset: &str) -> String {
    format!("service {service:?} does not have a subset named {subset:?}")
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
