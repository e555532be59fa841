//! The group `registry.portolan.dev`.

pub(crate) mod service_instance;
