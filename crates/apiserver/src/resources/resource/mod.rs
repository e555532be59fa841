//! Strategies of `resource.k8s.io`.

mod device_claim;
pub(crate) mod device_class;
pub(crate) mod resource_claim;
pub(crate) mod resource_slice;
