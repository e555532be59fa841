//! Which rules a snapshot needs: pure and incremental.
//!
//! # Layout
//! One table `ip <name>`. Everything that depends on services is an element of a flat map; chains
//! exist per *number of endpoints*, never per service:
//!
//! | map | key | value |
//! |---|---|---|
//! | `services` | address . protocol . port | `goto pick_address_N`, or `drop` |
//! | `endpoints` | address . protocol . port . slot | endpoint address . port |
//! | `node_ports`, `node_port_endpoints` | the same without the address | the same |
//! | `local_*` of each | as above | the endpoints of this node, for traffic from outside under `externalTrafficPolicy: Local` |
//!
//! `pick_address_3` is two rules: `meta mark set numgen random mod 3 offset ...` and `dnat to
//! ip daddr . meta l4proto . th dport . meta mark map @endpoints`. So any number of endpoints is
//! balanced exactly, and the packet path is two hash look-ups for a new connection and none for the
//! others, whatever the number of services. The mark is that of a connection's first packet only.
//!
//! A service with session affinity uses `keep_address_SECONDS_N`: the client's choice is
//! remembered in `affinity` (client . address . protocol . port -> member), and `*_members` maps the
//! member to its endpoint. Member numbers are not reused while the agent runs, so a client whose
//! endpoint is gone misses in `*_members` and chooses again. `*_slots` chooses among members.
//!
//! Addresses without endpoints, and everything else in the service networks, are refused with a
//! reset or "port unreachable". A source is translated only where the answer would not find back:
//! to the pod itself (`hairpin`), from a pod to the world, from outside to a pod of another node.

mod element;
mod encode;
mod frontend;
mod picker;
mod planner;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod text;

#[cfg(test)]
mod tests;

pub(crate) use encode::Origin;
pub use frontend::{Backends, Frontend, FrontendKey, Place};
pub use planner::{Batch, Planner, StaleFlow};
