//! Who an address belongs to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Catalog;
use crate::model::Service;
use crate::snapshot::AddressOwner;

impl Catalog {
    pub(super) fn claim(&mut self, address: IpAddr, owner: &AddressOwner) {
        *self.address_counts.entry(address).or_default().entry(owner.clone()).or_default() += 1;
        self.dirty_addresses.insert(address);
    }

    pub(super) fn release(&mut self, address: IpAddr, owner: &AddressOwner) {
        let Some(owners) = self.address_counts.get_mut(&address) else { return };
        if let Some(count) = owners.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                owners.remove(owner);
            }
        }
        if owners.is_empty() {
            self.address_counts.remove(&address);
        }
        self.dirty_addresses.insert(address);
    }

    pub(super) fn derive_address(&mut self, address: IpAddr) {
        let owners: Arc<[AddressOwner]> =
            self.address_counts.get(&address).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        if self.current.owners_of(address) == &*owners {
            return;
        }
        self.changed = true;
        if owners.is_empty() {
            self.current.addresses.remove(&address);
        } else {
            self.current.addresses.insert(address, owners);
        }
    }
}

/// The addresses of a service.
pub(super) fn owned(service: &Service) -> impl Iterator<Item = (IpAddr, AddressOwner)> + '_ {
    let addresses = service.cluster_addresses.iter();
    let own = addresses.map(|address| (*address, AddressOwner::Service(service.key.clone())));
    let endpoints = service.endpoints.iter();
    own.chain(endpoints.map(|endpoint| (endpoint.address, AddressOwner::Endpoint(service.key.clone()))))
}
