//! The native registry over HTTP: who is there, and "I am there too".
//!
//! Answers come from the catalog, so pods and instances that registered themselves are one list. A
//! registration becomes a `ServiceInstance` object, written through the API like any other; its
//! lease lives in memory, with the [`Registrar`]. Renewals write nothing, an identical registration writes nothing,
//! and the end of a lease is an ordinary delete.
//!
//! `GET /registry` lists the paths, `GET /registry/openapi.json` describes them; both are made from the
//! table that requests are routed by.

mod answer;
mod batch;
mod error;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod held;
mod openapi;
mod paths;
mod pick;
mod registration;
mod routes;
mod schemas;
mod strict;
#[cfg(test)]
mod tests;
mod view;
mod watch;

use std::sync::Arc;

use portolan_base::{Shutdown, TaskGroup};
use portolan_registrar::http::{Listener, serve};
use portolan_registrar::limits::Limiter;
use portolan_registrar::{Changes, Registrar};

pub use error::Error;

use crate::routes::Registry;

/// What the registry is given.
pub struct Config {
    /// Who keeps the registrations.
    pub registrar: Arc<Registrar>,
    /// The catalog, with wake-ups by service; [`Changes::run`] must be running.
    pub changes: Changes,
    /// Where to serve, and whom.
    pub listeners: Vec<Listener>,
    /// Counts what clients ask for, in all dialects.
    pub limiter: Arc<Limiter>,
}

/// Serves until shutdown is requested.
pub async fn run(config: Config, shutdown: Shutdown) {
    let registry = Arc::new(Registry::new(config.registrar, config.changes, config.limiter));
    let mut tasks = TaskGroup::default();
    for listener in config.listeners {
        let server = serve(listener, registry.clone(), shutdown.clone());
        tasks.spawn("listener", server);
    }
    while let Some((part, failure)) = tasks.next_ended().await {
        if let Some(failure) = failure {
            // A part that panicked leaves the registry half alive; ending here makes the owner act.
            tracing::error!(part, failure, "a part of the registry failed");
            return;
        }
    }
}
