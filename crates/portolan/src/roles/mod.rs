//! What a process can be: control plane, and node beside it.

pub(crate) mod control_plane;
pub(crate) mod dataplane;
pub(crate) mod health_checks;
pub(crate) mod local_node;
pub(crate) mod names;
pub(crate) mod registry;
