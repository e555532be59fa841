//! Strategies of `resource.k8s.io`.

pub(crate) mod allocation;
mod binding_conditions;
mod capacity;
mod claim_status;
mod device;
mod device_claim;
pub(crate) mod device_class;
mod lists;
mod names;
mod networks;
pub(crate) mod resource_claim;
pub(crate) mod resource_slice;
pub(crate) mod selector;
mod taints;
