//! Cluster DNS: names of services, pods and instances, answered from the catalog's snapshot.
//!
//! [`Zone::answer`] is pure and writes into a buffer that is used again; names of the cluster cost no
//! allocation. [`serve`] is the shell around it: UDP, TCP, and a forwarder for all other names.
//! [`ConsulZone`] answers the names of Consul's clients from the same snapshot.
//! Schema: <https://github.com/kubernetes/dns/blob/master/docs/specification.md> version 1.1.0.

mod authority;
mod batch;
mod consul;
mod encoded;
mod forward;
mod place;
mod reverse;
mod server;
mod wire;
mod zone;

#[cfg(test)]
mod tests;

pub use consul::ConsulZone;
pub use forward::{Forwarder, Upstreams};
pub use server::{Config, Error, Listener, Recursion, Sockets, serve};
pub use wire::{Question, Rcode};
pub use zone::{NamesOf, Outcome, Zone};
