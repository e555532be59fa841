//! Who decides about writes.

mod client_config;
mod rules;
pub(crate) mod webhook_configuration;
