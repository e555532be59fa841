//! Arranges the addresses of an Endpoints object into EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions};
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;

use crate::endpoints::LEADER_ANNOTATION;
use crate::endpoints::addresses::{Group, Port};
use crate::endpoints::plan::{
    HEADLESS_LABEL, MANAGED_BY_LABEL, Plan, SERVICE_LABEL, SKIP_MIRROR_LABEL, free_name, group_of, slice_ports,
};
use crate::meta::controller_reference;

/// Who manages the slices that are made here.
pub(super) const MANAGED_BY: &str = "endpointslicemirroring-controller.k8s.io";
/// Endpoints per slice: as many as a slice may have.
const SLICE_SIZE: usize = 1000;
/// Addresses read of a subset; those beyond are left out.
const SUBSET_SIZE: usize = 1000;
/// Notes about the writing of the Endpoints object, which say nothing about the slices.
const OWN_ANNOTATIONS: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];

/// Whether somebody wrote these by hand and wants them read.
pub(super) fn is_mirrored(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    let annotations = endpoints.metadata.annotations.as_ref();
    labels.and_then(|labels| labels.get(SKIP_MIRROR_LABEL)).is_none_or(|skip| skip != "true")
        && annotations.is_none_or(|all| !all.contains_key(LEADER_ANNOTATION))
}

/// Returns what must change so that `slices` hold what `endpoints` say; without any, all slices go.
pub(super) fn plan(endpoints: Option<&Endpoints>, slices: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut left: Vec<&Arc<EndpointSlice>> = slices.iter().collect();
    let mut names: BTreeSet<String> = slices.iter().map(|slice| slice.name().to_owned()).collect();
    for (group, members) in endpoints.map(groups).unwrap_or_default() {
        let Some(endpoints) = endpoints else { continue };
        for members in members.chunks(SLICE_SIZE) {
            let mut wanted = slice_of(endpoints, &group, members.to_vec());
            match left.iter().position(|slice| group_of(slice) == group) {
                Some(index) => {
                    let present = left.swap_remove(index);
                    if !same(present, &wanted) {
                        let metadata = std::mem::take(&mut wanted.metadata);
                        wanted.metadata = present.metadata.clone();
                        wanted.metadata.labels = metadata.labels;
                        wanted.metadata.annotations = metadata.annotations;
                        wanted.metadata.owner_references = metadata.owner_references;
                        plan.update.push(wanted);
                    }
                }
                None => {
                    let name = free_name(endpoints, &names);
                    wanted.metadata.name = Some(name.clone());
                    names.insert(name);
                    plan.create.push(wanted);
                }
            }
        }
    }
    plan.delete = left.into_iter().map(|slice| slice.name().to_owned()).collect();
    plan.delete.sort();
    plan
}

fn groups(endpoints: &Endpoints) -> BTreeMap<Group, Vec<Endpoint>> {
    let mut groups: BTreeMap<Group, BTreeMap<String, Endpoint>> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let waiting = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(waiting).take(SUBSET_SIZE) {
            let family = if address.ip.contains(':') { "IPv6" } else { "IPv4" };
            let group = groups.entry(Group { family, ports: ports(subset) }).or_default();
            // An address that is there twice is ready if it is so once.
            let known = group.entry(address.ip.clone()).or_insert_with(|| endpoint_of(address, ready));
            if ready {
                known.conditions = Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() });
            }
        }
    }
    groups.into_iter().map(|(group, members)| (group, members.into_values().collect())).collect()
}

fn ports(subset: &EndpointSubset) -> Vec<Port> {
    let ports = subset.ports.iter().flatten().map(|port| Port {
        name: port.name.clone().unwrap_or_default(),
        port: port.port,
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        app_protocol: port.app_protocol.clone(),
    });
    ports.collect()
}

fn endpoint_of(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn slice_of(endpoints: &Endpoints, group: &Group, members: Vec<Endpoint>) -> EndpointSlice {
    let mut slice = EndpointSlice { address_type: group.family.to_owned(), ..EndpointSlice::default() };
    slice.metadata.namespace = endpoints.metadata.namespace.clone();
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS_LABEL);
    labels.insert(SERVICE_LABEL.to_owned(), endpoints.name().to_owned());
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    slice.metadata.labels = Some(labels);
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| !OWN_ANNOTATIONS.contains(&name.as_str()));
    slice.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    slice.metadata.owner_references = Some(vec![controller_reference(endpoints)]);
    slice.endpoints = Some(members);
    slice.ports = Some(slice_ports(group));
    slice
}

fn same(present: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    present.metadata.labels == wanted.metadata.labels
        && present.metadata.annotations == wanted.metadata.annotations
        && present.metadata.owner_references == wanted.metadata.owner_references
        && present.endpoints == wanted.endpoints
}

#[cfg(test)]
mod tests;
