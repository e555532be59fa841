//! The core group.

pub(crate) mod component_status;
pub(crate) mod config_map;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod limit_range;
pub(crate) mod load_balancer_status;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod persistent_volume;
pub(crate) mod persistent_volume_claim;
pub(crate) mod pod;
mod pod_row;
mod pod_status;
pub(crate) mod pod_template;
pub(crate) mod pod_template_object;
mod pod_update;
pub(crate) mod replication_controller;
pub(crate) mod resource_name;
pub(crate) mod resource_quota;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_account;
pub mod service_allocation;
pub(crate) mod service_families;
mod service_update;
mod service_validation;
mod service_warnings;
