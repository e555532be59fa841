//! Commands that are the cluster, or work on its files.

pub(crate) mod agent;
pub(crate) mod backup;
pub(crate) mod dataplane;
pub(crate) mod down;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod up;
