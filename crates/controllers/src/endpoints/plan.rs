//! Arranges a service's addresses into EndpointSlices and Endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::EndpointPort as LegacyPort;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;

use super::addresses::{Address, Group, Port};
use crate::meta::controller_reference;

pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
pub(crate) const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
pub(super) const MANAGED_BY: &str = "endpointslice-controller.k8s.io";
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
pub(crate) const SKIP_MIRROR_LABEL: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints per slice: one change rewrites at most this many.
const SLICE_SIZE: usize = 100;
/// Addresses in an Endpoints object; it is one object however many there are.
const LEGACY_SIZE: usize = 1000;

pub(crate) type Groups = BTreeMap<Group, BTreeMap<String, Address>>;

/// Writes that bring the slices in line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) create: Vec<EndpointSlice>,
    pub(crate) update: Vec<EndpointSlice>,
    pub(crate) delete: Vec<String>,
}

/// Returns what must change so that the slices of `service` that `manager` manages hold exactly these addresses.
///
/// An endpoint stays in the slice it is in, so that a change rewrites one slice, not all.
pub(crate) fn plan_slices(manager: &str, service: &Service, groups: &Groups, slices: &[Arc<EndpointSlice>]) -> Plan {
    let mut missing = groups.clone();
    let mut changed: Vec<(Option<&EndpointSlice>, Group, Vec<Endpoint>)> = Vec::new();
    let mut plan = Plan::default();
    for slice in slices {
        let group = group_of(slice);
        let Some(wanted) = missing.get_mut(&group) else {
            plan.delete.push(slice.name().to_owned());
            continue;
        };
        let present = slice.endpoints.iter().flatten();
        let kept = present.filter_map(|endpoint| {
            let uid = endpoint.target_ref.as_ref()?.uid.as_ref()?;
            wanted.remove(uid).map(|address| endpoint_of(&address))
        });
        changed.push((Some(slice), group, kept.collect()));
    }
    for (group, addresses) in missing {
        let mut endpoints = addresses.values().map(endpoint_of).peekable();
        for (_, _, present) in changed.iter_mut().filter(|(_, other, _)| *other == group) {
            let room = SLICE_SIZE.saturating_sub(present.len());
            present.extend(endpoints.by_ref().take(room));
        }
        while endpoints.peek().is_some() {
            changed.push((None, group.clone(), endpoints.by_ref().take(SLICE_SIZE).collect()));
        }
    }
    if groups.is_empty() {
        // An empty slice tells consumers that the service is known and has nobody.
        let placeholder = slices.first().map(|slice| &**slice);
        plan.delete.retain(|name| placeholder.is_none_or(|slice| slice.name() != name));
        let family = placeholder.map_or("IPv4", |slice| family(&slice.address_type));
        let group = Group { family, ports: placeholder.map(|slice| group_of(slice).ports).unwrap_or_default() };
        changed.push((placeholder, group, Vec::new()));
    }
    let mut names: BTreeSet<String> = slices.iter().map(|slice| slice.name().to_owned()).collect();
    let several = changed.iter().filter(|(_, _, endpoints)| !endpoints.is_empty()).count() > 0;
    for (slice, group, endpoints) in changed {
        match slice {
            Some(slice) if endpoints.is_empty() && several => plan.delete.push(slice.name().to_owned()),
            Some(slice) => {
                let wanted = slice_of(manager, service, slice.name(), &group, endpoints);
                if !same(slice, &wanted) {
                    plan.update.push(EndpointSlice {
                        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                            labels: wanted.metadata.labels,
                            ..slice.metadata.clone()
                        },
                        ..wanted
                    });
                }
            }
            None => {
                let name = free_name(service, &names);
                plan.create.push(slice_of(manager, service, &name, &group, endpoints));
                names.insert(name);
            }
        }
    }
    plan
}

fn family(address_type: &str) -> &'static str {
    if address_type == "IPv6" { "IPv6" } else { "IPv4" }
}

/// What the endpoints of a slice have in common.
pub(crate) fn group_of(slice: &EndpointSlice) -> Group {
    let ports = slice.ports.iter().flatten().map(|port| Port {
        name: port.name.clone().unwrap_or_default(),
        port: port.port.unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        app_protocol: port.app_protocol.clone(),
    });
    Group { family: family(&slice.address_type), ports: ports.collect() }
}

fn endpoint_of(address: &Address) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(address.ready),
            serving: Some(address.serving),
            terminating: Some(address.terminating),
        }),
        hostname: address.hostname.clone(),
        node_name: address.node.clone(),
        target_ref: Some(address.pod.clone()),
        ..Endpoint::default()
    }
}

/// A name for a slice of this owner.
///
/// Names follow from the owner, so that a plan made from an old copy collides instead of doubling.
pub(crate) fn free_name(owner: &impl Object, taken: &BTreeSet<String>) -> String {
    let name = |index: u32| {
        let mut hash: u32 = 0x811c_9dc5;
        for byte in owner.uid().bytes().chain(index.to_le_bytes()) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        // 5 letters of 27, as names generated by the server have.
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let letters = (0..5).map(|place| char::from(ALPHABET[(hash / 27u32.pow(place)) as usize % ALPHABET.len()]));
        format!("{}-{}", owner.name(), letters.collect::<String>())
    };
    (0..).map(name).find(|name| !taken.contains(name)).expect("there are more indexes than slices")
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    let cluster_ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    if cluster_ip == Some("None") {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS_LABEL);
    }
    labels
}

fn slice_of(manager: &str, service: &Service, name: &str, group: &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut slice = EndpointSlice { address_type: group.family.to_owned(), ..EndpointSlice::default() };
    slice.metadata.name = Some(name.to_owned());
    slice.metadata.namespace = Some(service.namespace().to_owned());
    let mut labels = labels(service);
    labels.insert(SERVICE_LABEL.to_owned(), service.name().to_owned());
    labels.insert(MANAGED_BY_LABEL.to_owned(), manager.to_owned());
    slice.metadata.labels = Some(labels);
    slice.metadata.owner_references = Some(vec![controller_reference(service)]);
    slice.endpoints = Some(endpoints);
    slice.ports = Some(slice_ports(group));
    slice
}

/// The ports of a group in a slice.
pub(crate) fn slice_ports(group: &Group) -> Vec<EndpointPort> {
    let ports = group.ports.iter().map(|port| EndpointPort {
        name: Some(port.name.clone()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    });
    ports.collect()
}

fn same(present: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    present.metadata.labels == wanted.metadata.labels
        && present.endpoints.as_deref().unwrap_or_default() == wanted.endpoints.as_deref().unwrap_or_default()
}

/// The Endpoints object of a service; `None` if the present one is right already.
pub(super) fn plan_endpoints(service: &Service, groups: &Groups, present: Option<&Endpoints>) -> Option<Endpoints> {
    let mut subsets: Vec<EndpointSubset> = groups.iter().map(|(group, addresses)| subset(group, addresses)).collect();
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    let mut labels = labels(service);
    labels.insert(SKIP_MIRROR_LABEL.to_owned(), "true".to_owned());
    let labels = Some(labels);
    if let Some(present) = present
        && present.metadata.labels == labels
        && present.subsets.as_deref().unwrap_or_default() == subsets
    {
        return None;
    }
    let mut endpoints = present.cloned().unwrap_or_default();
    endpoints.metadata.name = Some(service.name().to_owned());
    endpoints.metadata.namespace = Some(service.namespace().to_owned());
    endpoints.metadata.labels = labels;
    endpoints.subsets = Some(subsets);
    Some(endpoints)
}

fn subset(group: &Group, addresses: &BTreeMap<String, Address>) -> EndpointSubset {
    // Upstream leaves out what is on its way out unless the service wants it.
    let listed = addresses.values().filter(|address| address.ready || !address.terminating).take(LEGACY_SIZE);
    let (ready, waiting): (Vec<_>, Vec<_>) = listed.partition(|address| address.ready);
    let entries = |addresses: Vec<&Address>| {
        let mut entries: Vec<EndpointAddress> = addresses.into_iter().map(legacy_address).collect();
        entries.sort_by(|a, b| a.ip.cmp(&b.ip));
        (!entries.is_empty()).then_some(entries)
    };
    let ports = group.ports.iter().map(|port| LegacyPort {
        name: (!port.name.is_empty()).then(|| port.name.clone()),
        port: port.port,
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    });
    EndpointSubset {
        addresses: entries(ready),
        not_ready_addresses: entries(waiting),
        ports: Some(ports.collect::<Vec<_>>()).filter(|ports| !ports.is_empty()),
    }
}

fn legacy_address(address: &Address) -> EndpointAddress {
    EndpointAddress {
        ip: address.ip.clone(),
        hostname: address.hostname.clone(),
        node_name: address.node.clone(),
        target_ref: Some(address.pod.clone()),
    }
}

#[cfg(test)]
mod tests;
