//! Kinds that users define, and the description of the API with them.
//!
//! The server follows the definitions in the store as the authorizer follows roles: a request first takes over
//! what was written before it, so what one request defines the next one finds. What is described never changes
//! under a request: each works on the [`Description`] that it took at its start.

pub(crate) mod convert;
mod resource;
mod review;
pub(crate) mod rules;
mod served;
mod settle;

pub(crate) use resource::{StrategyOf, strategy_of};
pub(crate) use review::Converters;
pub(crate) use served::Extensions;
pub(crate) use settle::settle;

/// The group of definitions.
pub(crate) const GROUP: &str = "apiextensions.k8s.io";

/// The resource of definitions.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions";

/// The finalizer that holds a definition until its objects are gone.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
