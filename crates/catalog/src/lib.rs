//! The discovery read model: every service and every instance, whoever started it.
//!
//! [`Catalog`] is fed the objects of the API ([`Input`]) and derives [`Snapshot`]s. A snapshot is
//! immutable and shares everything that did not change with its predecessor, so a change of one
//! service costs the same among ten as among ten thousand, and a reader that remembers the
//! snapshot it saw last learns what changed by [`Snapshot::changed_services`] without a feed of
//! events. Nothing here does input or output or reads a clock.

pub mod balance;
mod build;
mod explain;
mod indexes;
mod input;
mod model;
mod names;
mod persistent;
mod pods;
mod pool;
pub mod query;
mod registration;
mod residents;
mod snapshot;
mod translate;

#[cfg(test)]
mod tests;

pub use balance::pick;
pub use build::Catalog;
pub use explain::explain;
pub use input::{Input, Kind};
pub use model::{
    Check, Endpoint, EndpointPort, Health, HostPort, Instance, InstancePort, Key, Locality, Node, Origin, Pod,
    Protocol, Service, ServicePort, ServiceType, Status, TrafficPolicy, Weights,
};
pub use names::{find_in_any_case, find_service, find_service_in_any_case, published_name};
pub use persistent::PersistentMap;
pub use pods::node as cluster_node;
pub use registration::Registration;
pub use residents::Resident;
pub use snapshot::{AddressOwner, Snapshot};
pub use translate::external_node;
