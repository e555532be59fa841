//! What pods and pod templates have in common: defaults and validation of a pod's spec.

mod container;
mod defaults;
mod gates;
mod image;
mod off;
mod pod_level;
mod probe;
mod resources;
mod restart;
mod scheduling;
mod security;
mod spec;
mod volume;
mod volume_source;
mod volume_warnings;
mod warnings;

pub(crate) use defaults::{default_pod_spec, default_template, requests_from_limits};
pub(crate) use off::drop_disabled_of;
pub(crate) use pod_level::default_pod_level_requests;
pub(crate) use resources::parse as quantity;
pub(crate) use restart::{may_restart_all, restarts};
pub(crate) use scheduling::{EFFECTS, validate_node_selector, validate_tolerations};
pub(crate) use spec::{validate_pod_spec, validate_template, validate_template_metadata};

pub(crate) use volume::validate_kind as validate_volume_kind;
pub(crate) use volume_source::{DRIVER_LENGTH, validate_driver_name};
pub(crate) use volume_warnings::DEPRECATED as DEPRECATED_VOLUMES;
pub(crate) use warnings::{
    claim_warnings, label_warning, node_term_warnings, pod_warnings, template_warnings, workload_name_warning,
};
