//! When what changed last: indexes of the whole, of services and of nodes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::build::Catalog;
use crate::model::{Instance, Key, Node, Origin, Service};
use crate::residents::Resident;

/// What was known of a service before it was derived anew.
pub(crate) struct Before {
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) instances: Option<Arc<[Arc<Instance>]>>,
}

impl Catalog {
    /// A node that is new or different carries the index of the snapshot that shows it, unless it brought its own.
    pub(crate) fn stamp_node(&mut self, node: Node) -> Node {
        self.touch_node(&node.name);
        if node.modified_index > 0 {
            return node;
        }
        let next = self.next_index();
        let old = self.current.node(&node.name).or_else(|| self.current.external_node(&node.name));
        let created_index = old.map_or(next, |old| old.created_index);
        Node { created_index, modified_index: next, ..node }
    }

    /// The index of the next snapshot, if nothing of a higher revision arrives until then.
    pub(crate) fn next_index(&self) -> u64 {
        (self.current.index + 1).max(self.revision)
    }

    /// A node changed; its checks count for the registrations on it.
    pub(crate) fn touch_node(&mut self, name: &Arc<str>) {
        let next = self.next_index();
        self.current.node_indexes.insert(name.clone(), next);
        self.current.nodes_index = next;
        self.dirty_services.extend(self.node_services.get(name).into_iter().flat_map(BTreeMap::keys).cloned());
        self.changed = true;
    }

    /// A machine has other addresses than before.
    pub(crate) fn move_node(&mut self, name: &Arc<str>, old: &[IpAddr], new: &[IpAddr]) {
        if old == new {
            return;
        }
        // A machine may list an address twice; it is counted as often, and taken off as often.
        let machine = || Resident::Machine(name.clone());
        old.iter().for_each(|address| self.current.residents.relocate(Some(*address), None, machine));
        new.iter().for_each(|address| self.current.residents.relocate(None, Some(*address), machine));
    }

    pub(crate) fn forget_node(&mut self, name: &Arc<str>) {
        self.touch_node(name);
        if self.current.node(name).is_none() && self.current.external_node(name).is_none() {
            self.current.node_indexes.remove(name);
            self.current.extinction[1] = self.next_index();
        }
    }

    /// Everything in the first snapshot has its index: what it was before this process started is not
    /// known, but not higher.
    pub(crate) fn begin(&mut self) {
        if self.revision == 0 && self.current.index == 0 {
            return;
        }
        self.current.index = self.current.index.max(self.revision).max(1);
        self.current.first_index = self.current.index;
        (self.current.service_indexes, self.current.node_indexes) = Default::default();
    }

    /// Raises the indexes of a service, and of the nodes of its instances, if it is no longer as before.
    pub(crate) fn index_service(&mut self, key: &Key, before: &Before) {
        let Before { service, instances } = before;
        let next = self.next_index();
        let (new_service, new_instances) = (self.current.services.get(key), self.current.instances.get(key));
        let same_service = match (service, new_service) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        let (old, new) = (instances.as_deref().unwrap_or_default(), new_instances.map_or(&[][..], |new| new));
        let differences = differences(old, new);
        if same_service && differences.is_empty() {
            return;
        }
        let other_set = service.is_some() != new_service.is_some()
            || differences.iter().any(|difference| match difference {
                (Some(old), Some(new)) => old.tags != new.tags,
                _ => true,
            });
        let gone = new_service.is_none() && new.is_empty();
        for (old, new) in &differences {
            let (old, new) = (old.and_then(|it| registered_at(it)), new.and_then(|it| registered_at(it)));
            self.current.residents.relocate(old, new, || Resident::Instances(key.clone()));
        }
        let instances = differences.into_iter().flat_map(|(old, new)| old.into_iter().chain(new));
        let named = instances.map(|instance| &instance.node).filter(|node| !node.is_empty());
        let nodes: BTreeSet<Arc<str>> = named.cloned().collect();
        if gone {
            self.current.service_indexes.remove(key);
            self.current.extinction[0] = next;
        } else {
            self.current.service_indexes.insert(key.clone(), next);
        }
        if other_set {
            self.current.services_index = next;
        }
        for node in nodes {
            if self.current.node(&node).is_some() || self.current.external_node(&node).is_some() {
                self.current.node_indexes.insert(node, next);
            }
        }
    }
}

/// The address that an instance registered with, if it is not a host name. Pods have their names from the orchestrator.
fn registered_at(instance: &Instance) -> Option<IpAddr> {
    let registered = instance.origin == Origin::Registry;
    registered.then(|| instance.address.parse().ok()).flatten()
}

/// An instance as it was and as it is; one of them at least is there.
type Difference<'a> = (Option<&'a Arc<Instance>>, Option<&'a Arc<Instance>>);

/// What is in one of two lists and not in the other, or another version of it is; both are ordered by id and address.
fn differences<'a>(mut old: &'a [Arc<Instance>], mut new: &'a [Arc<Instance>]) -> Vec<Difference<'a>> {
    let mut differences = Vec::new();
    loop {
        let order = match (old.first(), new.first()) {
            (None, None) => return differences,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) if Arc::ptr_eq(left, right) => {
                (old, new) = (&old[1..], &new[1..]);
                continue;
            }
            (Some(left), Some(right)) => (&left.id, &left.address).cmp(&(&right.id, &right.address)),
        };
        let (mut before, mut after) = (None, None);
        if order != Ordering::Greater {
            before = old.first();
            old = &old[1..];
        }
        if order != Ordering::Less {
            after = new.first();
            new = &new[1..];
        }
        differences.push((before, after));
    }
}
