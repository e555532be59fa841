//! The native registry over HTTP: who is there, and "I am there too".
//!
//! Answers come from the catalog, so pods and instances that registered themselves are one list. A
//! registration becomes a `ServiceInstance` object, written through the API like any other; its
//! lease lives in memory here. Renewals write nothing, an identical registration writes nothing,
//! and the end of a lease is an ordinary delete.
//!
//! ```text
//! GET    /registry/instances            list; ?service= ?namespace= ?health= ?tag= ?label=k=v ?index= ?wait=
//! POST   /registry/instances            register
//! GET    /registry/instances/NS/ID      one that registered itself
//! PUT    /registry/instances/NS/ID/renew
//! DELETE /registry/instances/NS/ID      deregister
//! GET    /registry/services[/NAME]      services with counts
//! GET    /registry/watch                changes as server-sent events
//! ```

mod error;
mod filter;
mod http_server;
mod keeper;
mod lease;
mod registration;
mod routes;
#[cfg(test)]
mod tests;
mod view;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;

use portolan_api::typed::ServiceInstance;
use portolan_base::{Shutdown, TaskGroup};
use portolan_catalog::Snapshot;
use portolan_client::{Client, Informers};
use tokio::net::TcpListener;

pub use error::Error;

use crate::keeper::Keeper;
use crate::routes::Registry;

/// Which peers a plain-HTTP listener serves.
pub type Trusted = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What the registry is given.
pub struct Config {
    /// Way to the API, for registrations.
    pub client: Client,
    /// Registered instances as the API has them.
    pub informers: Arc<Informers>,
    /// The catalog.
    pub snapshots: tokio::sync::watch::Receiver<Arc<Snapshot>>,
    /// Where to serve plain HTTP.
    pub listeners: Vec<TcpListener>,
    /// Who may talk plain HTTP: loopback and pods. Everyone else is refused with the reason.
    pub trusted: Trusted,
}

/// Serves until shutdown is requested.
pub async fn run(config: Config, shutdown: Shutdown) {
    let keeper = Arc::new(Keeper::new(config.client, config.informers.informer::<ServiceInstance>()));
    let registry = Arc::new(Registry::new(keeper.clone(), config.snapshots));
    let mut tasks = TaskGroup::default();
    let stopping = shutdown.clone();
    tasks.spawn("leases", async move {
        stopping.run(keeper.run()).await;
    });
    for listener in config.listeners {
        let server = http_server::serve(listener, registry.clone(), config.trusted.clone(), shutdown.clone());
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
