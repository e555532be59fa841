//! The network of a node: pods on a bridge, services by nftables.
//!
//! [`plan`] decides (pure), [`apply`] hands the batches to the kernel, [`cni`] attaches pods, [`setup_node`]
//! prepares the machine, and [`run`] keeps the rules in step with the catalog's snapshots.

pub mod apply;
mod cidr;
pub mod cni;
mod config;
mod conntrack;
mod ipam;
mod netlink;
mod nftables;
pub mod plan;
mod run;
mod setup;
#[cfg(test)]
mod testing;

pub use cidr::{Cidr, ParseCidrError};
pub use config::{Config, InvalidConfig};
pub use nftables::Author;
pub use run::run;
pub use setup::{SetupError, setup_node, teardown_node};
