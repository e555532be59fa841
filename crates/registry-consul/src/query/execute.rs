//! Who answers a prepared query. Pure.

use std::sync::Arc;

use portolan_catalog::{Instance, Node, Snapshot, Status};
use portolan_registrar::find_service;

use super::model::ServiceQuery;

/// The instances that answer a query, in no particular order.
///
/// There is one datacenter: failover to others finds nobody.
pub fn execute(snapshot: &Snapshot, query: &ServiceQuery) -> Vec<Arc<Instance>> {
    // Proxies and other clusters are not known here.
    if query.connect || !query.peer.is_empty() {
        return vec![];
    }
    let Some(key) = find_service(snapshot, &query.service) else { return vec![] };
    let instances = snapshot.instances_of(&key.namespace, &key.name);
    let instances = instances.into_iter().flat_map(|instances| instances.iter());
    instances.filter(|instance| answers(snapshot, query, instance)).cloned().collect()
}

fn answers(snapshot: &Snapshot, query: &ServiceQuery, instance: &Instance) -> bool {
    let node = snapshot.node(&instance.node).or_else(|| snapshot.external_node(&instance.node));
    let worst = status(query, instance, node.map(|node| &**node));
    let healthy = match worst {
        Status::Passing => true,
        Status::Warning => !query.only_passing,
        Status::Critical => false,
    };
    let tagged = query.tags.iter().all(|wanted| {
        let has = |tag: &str| instance.tags.iter().any(|present| present.eq_ignore_ascii_case(tag));
        match wanted.strip_prefix('!') {
            Some(unwanted) => !has(unwanted),
            None => has(wanted),
        }
    });
    let of_node = |key: &str| node.and_then(|node| node.metadata.get(key));
    healthy
        && tagged
        && query.service_meta.iter().all(|(key, value)| instance.metadata.get(key) == Some(value))
        && query.node_meta.iter().all(|(key, value)| of_node(key) == Some(value))
}

/// The worst of what counts.
fn status(query: &ServiceQuery, instance: &Instance, node: Option<&Node>) -> Status {
    let of_node = node.into_iter().flat_map(|node| node.checks.iter());
    if query.ignore_check_ids.is_empty() {
        return of_node.map(|check| check.status).fold(instance.health.status, Status::max);
    }
    let counts = |id: &str| !query.ignore_check_ids.iter().any(|ignored| ignored == id);
    let maintenance = instance.registration.as_ref().is_some_and(|registration| {
        registration.administrative().is_some() && instance.health.status == Status::Critical
    });
    let maintained = maintenance && counts(&crate::entry::service_maintenance(&instance.id));
    let checks = instance.checks.iter().chain(of_node).filter(|check| counts(&check.id));
    checks.map(|check| check.status).fold(if maintained { Status::Critical } else { Status::Passing }, Status::max)
}

/// Puts instances near a node first: those on it, then those in its zone, then in its region.
pub fn nearest_first(snapshot: &Snapshot, instances: &mut [Arc<Instance>], near: &str) {
    let node = |name: &str| snapshot.node(name).or_else(|| snapshot.external_node(name)).cloned();
    let here = node(near);
    instances.sort_by_key(|instance| {
        if *instance.node == *near {
            return 0;
        }
        let (Some(here), Some(there)) = (&here, node(&instance.node)) else { return 3 };
        let same = |left: &str, right: &str| !left.is_empty() && left == right;
        match (same(&here.locality.region, &there.locality.region), same(&here.locality.zone, &there.locality.zone)) {
            (_, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
        }
    });
}
