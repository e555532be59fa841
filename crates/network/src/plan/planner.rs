//! From one snapshot to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddrV4;
use std::sync::Arc;

use portolan_catalog::{Key, Protocol, Snapshot};

use super::element::{Detail, Element, FIRST_MEMBER, Family, Map, Value};
use super::frontend::{self, Backends, Frontend, FrontendKey};
use super::picker::Picker;
use crate::Config;

/// Which part of the table a batch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Scope {
    /// What changed since the batch before.
    #[default]
    Changes,
    /// All of it, whatever is there.
    Whole,
    /// Nothing of it is to be left.
    Removal,
}

/// What must change in the kernel, all at once, and what it must forget afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    pub(super) scope: Scope,
    pub(super) pickers: Vec<Picker>,
    /// Elements without their values.
    pub(super) deleted: BTreeMap<Map, Vec<Element>>,
    pub(super) added: BTreeMap<Map, Vec<Element>>,
    /// Flows that the kernel remembers but that lead nowhere now.
    pub stale_flows: Vec<StaleFlow>,
}

impl Batch {
    /// The table without any service, replacing one of the same name.
    pub fn empty_table() -> Self {
        Self { scope: Scope::Whole, ..Self::default() }
    }

    /// Removes the table; one that does not exist is no error.
    pub fn removal() -> Self {
        Self { scope: Scope::Removal, ..Self::default() }
    }

    /// Whether no rule changes.
    pub fn is_empty(&self) -> bool {
        *self == Self { stale_flows: self.stale_flows.clone(), ..Self::default() }
    }

    /// Whether it makes sense whatever the table contains.
    pub(crate) fn is_unconditional(&self) -> bool {
        self.scope != Scope::Changes
    }
}

/// UDP traffic to `frontend` that was sent to `backend`: none means traffic that went nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleFlow {
    /// Where clients send to.
    pub frontend: FrontendKey,
    /// The endpoint that is gone.
    pub backend: Option<SocketAddrV4>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Owner {
    Service(Key),
    Pod(Key),
}

/// What is in the kernel for one frontend.
#[derive(Debug, Clone, Default)]
struct Rendered {
    /// Endpoint of each slot; endpoints keep theirs while they can.
    slots: Vec<SocketAddrV4>,
    /// Member number of each endpoint, for affinity.
    members: BTreeMap<SocketAddrV4, u32>,
    elements: BTreeMap<Detail, Value>,
}

/// Derives rules and remembers what it derived last.
///
/// Input is a snapshot, output is a batch; nothing else happens here.
#[derive(Debug)]
pub struct Planner {
    config: Config,
    seen: Arc<Snapshot>,
    /// Frontends of each owner.
    offers: HashMap<Owner, BTreeMap<FrontendKey, Frontend>>,
    /// Who wants a frontend; the first one has it.
    claims: HashMap<FrontendKey, Vec<Owner>>,
    rendered: HashMap<FrontendKey, Rendered>,
    pickers: BTreeSet<Picker>,
    next_member: u32,
}

impl Planner {
    /// A planner that has seen nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            seen: Arc::default(),
            offers: HashMap::new(),
            claims: HashMap::new(),
            rendered: HashMap::new(),
            pickers: BTreeSet::new(),
            next_member: FIRST_MEMBER,
        }
    }

    /// Everything, as a batch that replaces the table whatever it contains.
    pub fn replace(&mut self, snapshot: &Arc<Snapshot>) -> Batch {
        let next_member = self.next_member;
        *self = Self { next_member, ..Self::new(self.config.clone()) };
        Batch { scope: Scope::Whole, ..self.update(snapshot) }
    }

    /// Frontends that several services or pods want: the one that has it, and those that do not.
    pub fn conflicts(&self) -> impl Iterator<Item = (FrontendKey, String, Vec<String>)> + '_ {
        self.claims.iter().filter(|(_, owners)| owners.len() > 1).map(|(key, owners)| {
            let name = |owner: &Owner| match owner {
                Owner::Service(key) => format!("service {key}"),
                Owner::Pod(key) => format!("pod {key}"),
            };
            (*key, name(&owners[0]), owners[1..].iter().map(name).collect())
        })
    }

    /// What changed since the last snapshot, as a batch for the table that the last one left.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>) -> Batch {
        let mut services = snapshot.changed_services(&self.seen);
        let mut pods = snapshot.changed_pods(&self.seen);
        // A stable order, so that the same history always gives the same owner of a frontend.
        services.sort_unstable();
        pods.sort_unstable();
        self.seen = Arc::clone(snapshot);

        let mut touched = BTreeSet::new();
        for key in services {
            let service = snapshot.service(&key.namespace, &key.name);
            let offers = service.map(|service| frontend::of_service(service, &self.config)).unwrap_or_default();
            self.offer(Owner::Service(key), offers, &mut touched);
        }
        for key in pods {
            let pod = snapshot.pod(&key.namespace, &key.name);
            let offers = pod.map(|pod| frontend::of_pod(pod, &self.config)).unwrap_or_default();
            self.offer(Owner::Pod(key), offers, &mut touched);
        }
        let mut batch = Batch::default();
        for key in touched {
            self.render(&key, &mut batch);
        }
        batch
    }

    fn offer(&mut self, owner: Owner, new: BTreeMap<FrontendKey, Frontend>, touched: &mut BTreeSet<FrontendKey>) {
        let old = self.offers.remove(&owner).unwrap_or_default();
        for key in old.keys().filter(|key| !new.contains_key(key)) {
            if let Some(owners) = self.claims.get_mut(key) {
                owners.retain(|candidate| *candidate != owner);
                if owners.is_empty() {
                    self.claims.remove(key);
                }
            }
            touched.insert(*key);
        }
        for (key, frontend) in &new {
            let owners = self.claims.entry(*key).or_default();
            if !owners.contains(&owner) {
                owners.push(owner.clone());
            }
            if old.get(key) != Some(frontend) {
                touched.insert(*key);
            }
        }
        if !new.is_empty() {
            self.offers.insert(owner, new);
        }
    }

    fn render(&mut self, key: &FrontendKey, batch: &mut Batch) {
        let old = self.rendered.remove(key);
        let owner = self.claims.get(key).and_then(|owners| owners.first());
        let frontend = owner.and_then(|owner| self.offers.get(owner)?.get(key)).cloned();
        let existed = old.is_some();
        let old = old.unwrap_or_default();
        let new = frontend.map(|frontend| self.elements_of(key, &frontend, &old, batch));

        if key.protocol == Protocol::Udp {
            let slots = new.as_ref().map_or(&[][..], |new| &new.slots);
            let gone = old.slots.iter().filter(|backend| !slots.contains(backend));
            batch.stale_flows.extend(gone.map(|backend| StaleFlow { frontend: *key, backend: Some(*backend) }));
            if existed && old.slots.is_empty() && !slots.is_empty() {
                batch.stale_flows.push(StaleFlow { frontend: *key, backend: None });
            }
        }
        let none = BTreeMap::new();
        let elements = new.as_ref().map_or(&none, |new| &new.elements);
        let map = |detail: Detail| Map { family: Family::of(key.place), role: detail.role() };
        for (detail, value) in &old.elements {
            if elements.get(detail) != Some(value) {
                let element = Element { frontend: *key, detail: *detail, value: Value::None };
                batch.deleted.entry(map(*detail)).or_default().push(element);
            }
        }
        for (detail, value) in elements {
            if old.elements.get(detail) != Some(value) {
                let element = Element { frontend: *key, detail: *detail, value: *value };
                batch.added.entry(map(*detail)).or_default().push(element);
            }
        }
        if let Some(new) = new {
            self.rendered.insert(*key, new);
        }
    }

    fn elements_of(&mut self, key: &FrontendKey, frontend: &Frontend, old: &Rendered, batch: &mut Batch) -> Rendered {
        let family = Family::of(key.place);
        let mut new = Rendered::default();
        match &frontend.backends {
            Backends::None => drop(new.elements.insert(Detail::Refused, Value::None)),
            Backends::NoneHere => drop(new.elements.insert(Detail::Entry, Value::Drop)),
            Backends::Some(backends) => {
                let slots = keep_slots(&old.slots, backends);
                let count = u32::try_from(slots.len()).expect("addresses have 32 bits and ports few values");
                let picker = Picker { family, count, affinity: frontend.affinity };
                new.elements.insert(Detail::Entry, Value::Pick(picker));
                for (endpoint, slot) in slots.iter().zip(FIRST_MEMBER..) {
                    if frontend.affinity.is_none() {
                        new.elements.insert(Detail::Endpoint(slot), Value::Endpoint(*endpoint));
                        continue;
                    }
                    let member = old.members.get(endpoint).copied().unwrap_or_else(|| {
                        let member = self.next_member;
                        // Wraps long before the sign bit; by then the first members are forgotten.
                        self.next_member = if member == u32::MAX { FIRST_MEMBER } else { member + 1 };
                        member
                    });
                    new.elements.insert(Detail::Slot(slot), Value::Member(member));
                    new.elements.insert(Detail::Member(member), Value::Endpoint(*endpoint));
                    new.members.insert(*endpoint, member);
                }
                new.slots = slots;
                if self.pickers.insert(picker) {
                    batch.pickers.push(picker);
                }
            }
        }
        if family == Family::Address && !frontend.allowed.is_empty() {
            new.elements.insert(Detail::Guarded, Value::None);
            new.elements.extend(frontend.allowed.iter().map(|range| (Detail::Allowed(*range), Value::None)));
        }
        new
    }
}

/// Gives each backend a slot: as before if that slot still exists, else one that is free.
fn keep_slots(old: &[SocketAddrV4], backends: &[SocketAddrV4]) -> Vec<SocketAddrV4> {
    let wanted: BTreeSet<SocketAddrV4> = backends.iter().copied().collect();
    let kept: Vec<Option<SocketAddrV4>> =
        (0..wanted.len()).map(|slot| old.get(slot).copied().filter(|backend| wanted.contains(backend))).collect();
    let placed: BTreeSet<SocketAddrV4> = kept.iter().flatten().copied().collect();
    let mut rest = wanted.difference(&placed).copied();
    kept.into_iter().map(|slot| slot.or_else(|| rest.next()).expect("as many slots as backends")).collect()
}
