//! What answers for the cluster's names and addresses on a node.
//!
//! [`feed`] turns informers into the catalog's snapshots.

mod feed;

pub use feed::feed;
