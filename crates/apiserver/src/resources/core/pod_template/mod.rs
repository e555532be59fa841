//! What pods and pod templates have in common: defaults and validation of a pod's spec.

mod container;
mod defaults;
mod gates;
mod pod_level;
mod probe;
mod resources;
mod scheduling;
mod spec;
mod volume;

pub(crate) use defaults::{default_pod_spec, default_template, requests_from_limits};
pub(crate) use pod_level::default_pod_level_requests;
pub(crate) use scheduling::{validate_node_selector, validate_tolerations};
pub(crate) use spec::{validate_pod_spec, validate_template};
