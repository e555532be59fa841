//! Who decides about writes.

mod client_config;
mod expressions;
mod match_resources;
pub(crate) mod mutating_policy;
pub(crate) mod policy_binding;
mod rules;
pub(crate) mod validating_policy;
pub(crate) mod webhook_configuration;
