//! From one snapshot to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddrV4;
use std::sync::Arc;

use portolan_catalog::{Key, Protocol, Snapshot};

use super::frontend::{self, Backends, Frontend, FrontendKey};
use super::text::{FIRST_MEMBER, Family, Picker, Role, element_key, full_table};
use crate::Config;

/// Text for nft, and what to forget afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// One atomic batch; empty if nothing changed.
    pub text: String,
    /// Flows that the kernel remembers but that lead nowhere now.
    pub stale_flows: Vec<StaleFlow>,
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
    elements: BTreeMap<(String, String), String>,
}

/// Derives rules and remembers what it derived last.
///
/// Input is a snapshot, output is text; nothing else happens here.
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

/// Elements to delete and to add, by map.
#[derive(Debug, Default)]
struct Changes {
    deleted: BTreeMap<String, Vec<String>>,
    added: BTreeMap<String, Vec<String>>,
    pickers: Vec<Picker>,
    stale_flows: Vec<StaleFlow>,
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
        let changes = self.changes(snapshot);
        let pickers: String = changes.pickers.iter().map(Picker::definition).collect();
        let text = full_table(&self.config, &pickers, &changes.elements(&self.config.table));
        Batch { text, stale_flows: changes.stale_flows }
    }

    /// What changed since the last snapshot, as a batch for the table that the last one left.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>) -> Batch {
        let changes = self.changes(snapshot);
        let table = &self.config.table;
        let mut text = String::new();
        if !changes.pickers.is_empty() {
            let _ = writeln!(text, "table ip {table} {{");
            text.extend(changes.pickers.iter().map(Picker::definition));
            text.push_str("}\n");
        }
        text.push_str(&changes.elements(table));
        Batch { text, stale_flows: changes.stale_flows }
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

    fn changes(&mut self, snapshot: &Arc<Snapshot>) -> Changes {
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
        let mut changes = Changes::default();
        for key in touched {
            self.render(&key, &mut changes);
        }
        changes
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

    fn render(&mut self, key: &FrontendKey, changes: &mut Changes) {
        let old = self.rendered.remove(key);
        let owner = self.claims.get(key).and_then(|owners| owners.first());
        let frontend = owner.and_then(|owner| self.offers.get(owner)?.get(key)).cloned();
        let existed = old.is_some();
        let old = old.unwrap_or_default();
        let new = frontend.map(|frontend| self.elements_of(key, &frontend, &old, changes));

        if key.protocol == Protocol::Udp {
            let slots = new.as_ref().map_or(&[][..], |new| &new.slots);
            let gone = old.slots.iter().filter(|backend| !slots.contains(backend));
            changes.stale_flows.extend(gone.map(|backend| StaleFlow { frontend: *key, backend: Some(*backend) }));
            if existed && old.slots.is_empty() && !slots.is_empty() {
                changes.stale_flows.push(StaleFlow { frontend: *key, backend: None });
            }
        }
        let none = BTreeMap::new();
        let elements = new.as_ref().map_or(&none, |new| &new.elements);
        for ((map, element), value) in &old.elements {
            if elements.get(&(map.clone(), element.clone())) != Some(value) {
                changes.deleted.entry(map.clone()).or_default().push(element.clone());
            }
        }
        for ((map, element), value) in elements {
            if old.elements.get(&(map.clone(), element.clone())) != Some(value) {
                let text = if value.is_empty() { element.clone() } else { format!("{element} : {value}") };
                changes.added.entry(map.clone()).or_default().push(text);
            }
        }
        if let Some(new) = new {
            self.rendered.insert(*key, new);
        }
    }

    fn elements_of(
        &mut self,
        key: &FrontendKey,
        frontend: &Frontend,
        old: &Rendered,
        changes: &mut Changes,
    ) -> Rendered {
        let family = Family::of(key.place);
        let front = element_key(key);
        let mut new = Rendered::default();
        let mut element = |map: String, element: String, value: String| {
            new.elements.insert((map, element), value);
        };
        match &frontend.backends {
            Backends::None => element(family.map(Role::Refused), front.clone(), String::new()),
            Backends::NoneHere => element(family.map(Role::Entry), front.clone(), "drop".into()),
            Backends::Some(backends) => {
                let picker = Picker { family, count: backends.len(), affinity: frontend.affinity };
                element(family.map(Role::Entry), front.clone(), format!("goto {}", picker.name()));
                let slots = keep_slots(&old.slots, backends);
                let mut members = BTreeMap::new();
                for (slot, backend) in slots.iter().enumerate() {
                    let target = format!("{} . {}", backend.ip(), backend.port());
                    if frontend.affinity.is_none() {
                        let slot = FIRST_MEMBER as usize + slot;
                        element(family.map(Role::Endpoints), format!("{front} . {slot:#x}"), target);
                        continue;
                    }
                    let member = old.members.get(backend).copied().unwrap_or_else(|| {
                        let member = self.next_member;
                        // Wraps long before the sign bit; by then the first members are forgotten.
                        self.next_member = if member == u32::MAX { FIRST_MEMBER } else { member + 1 };
                        member
                    });
                    element(family.map(Role::Slots), format!("{front} . {slot}"), format!("{member:#x}"));
                    element(family.map(Role::Members), format!("{front} . {member:#x}"), target);
                    members.insert(*backend, member);
                }
                new.slots = slots;
                new.members = members;
                if self.pickers.insert(picker) {
                    changes.pickers.push(picker);
                }
            }
        }
        if family == Family::Address && !frontend.allowed.is_empty() {
            new.elements.insert(("guarded".into(), front.clone()), String::new());
            for range in &frontend.allowed {
                new.elements.insert(("allowed".into(), format!("{front} . {range}")), String::new());
            }
        }
        new
    }
}

impl Changes {
    fn elements(&self, table: &str) -> String {
        let mut text = String::new();
        for (verb, maps) in [("delete", &self.deleted), ("add", &self.added)] {
            for (map, elements) in maps {
                let _ = writeln!(text, "{verb} element ip {table} {map} {{ {} }}", elements.join(", "));
            }
        }
        text
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
