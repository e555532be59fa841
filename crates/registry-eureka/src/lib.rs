//! The registry as Eureka clients know it: the REST operations of Netflix Eureka 1.x and 2.0, in XML
//! and in JSON.
//!
//! A registration becomes a `ServiceInstance` object; heartbeats renew its lease in memory. Answers
//! come from the catalog, so pods and instances of every other dialect are applications too. Any
//! prefix of one or two segments is accepted: `/eureka/apps`, `/eureka/v2/apps`, `/v2/apps`.
//!
//! Where this registry differs from Netflix's server on purpose:
//! - an instance that fell silent is gone after one lease time, not three;
//! - answers are fresh: there is no response cache of 30 seconds in front of the registry;
//! - a re-registration is believed about its own status; an administrator's override still wins.

mod answer;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod overrides;
mod rate;
mod replication;
mod routes;
#[cfg(test)]
mod tests;
mod track;
mod translate;
mod wire;

use std::sync::Arc;

use portolan_base::{Clock, Shutdown, TaskGroup};
use portolan_registrar::http::{Listener, serve};
use portolan_registrar::limits::Limiter;
use portolan_registrar::{Changes, Registrar};

pub use rate::RateLimit;

use crate::error::Error;
use crate::routes::Eureka;

/// What the dialect is given.
pub struct Config {
    /// Who keeps the registrations.
    pub registrar: Arc<Registrar>,
    /// The catalog, and news of it.
    pub changes: Changes,
    /// Where to serve, and whom.
    pub listeners: Vec<Listener>,
    /// Counts what clients ask for, in all dialects.
    pub limiter: Arc<Limiter>,
    /// The time, for time stamps in answers.
    pub clock: Arc<dyn Clock>,
    /// How often clients may fetch, all of them together; none for no limit.
    pub rate_limit: Option<RateLimit>,
}

/// Serves until shutdown is requested.
pub async fn run(config: Config, shutdown: Shutdown) {
    let eureka =
        Arc::new(Eureka::new(config.registrar, config.changes, config.clock, config.limiter, config.rate_limit));
    let mut tasks = TaskGroup::default();
    let (follower, stopping) = (eureka.clone(), shutdown.clone());
    tasks.spawn("changes", async move { follower.follow(&stopping).await });
    for listener in config.listeners {
        tasks.spawn("listener", serve(listener, eureka.clone(), shutdown.clone()));
    }
    while let Some((part, failure)) = tasks.next_ended().await {
        if let Some(failure) = failure {
            // A part that panicked leaves the dialect half alive; ending here makes the owner act.
            tracing::error!(part, failure, "a part of the Eureka dialect failed");
            return;
        }
    }
}
