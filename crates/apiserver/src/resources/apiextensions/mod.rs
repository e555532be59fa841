//! `apiextensions.k8s.io`.

pub(super) mod custom_resource_definition;
mod schema;
mod validation;
mod versions;

pub(crate) use validation::unusable_bundle;
