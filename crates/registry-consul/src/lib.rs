//! Consul's HTTP interface on the one catalog: agent, catalog, health, status, events, coordinates,
//! and a key space of its own for keys, sessions and transactions.
//!
//! Consul splits an agent on every machine from a few servers. Here both are this listener: what
//! registers with "the agent" is an instance on the node that the listener belongs to, and what
//! registers with "the catalog" is an instance on any node, of the cluster or outside of it.
//!
//! A registration becomes a `ServiceInstance` object, a machine outside the cluster and a check of a
//! machine an `ExternalNode`; answers come from snapshots of the catalog, so pods and what
//! registered through other dialects appear like everything else.

mod acl;
mod agent;
mod answer;
mod bexpr;
mod body;
mod catalog;
mod config;
mod coordinate;
mod duration;
mod entry;
mod error;
mod event;
mod fold;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gate;
mod health;
mod kv;
mod machine;
mod monitor;
mod operator;
mod owner;
mod parameters;
pub mod query;
mod requests;
mod route;
mod select;
mod session;
mod settle;
mod sight;
mod space;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod translate;
mod txn;
mod vet;
mod view;

use std::sync::Arc;

use portolan_base::{Clock, Shutdown, TaskGroup};
use portolan_client::Client;
use portolan_registrar::http::{Listener, serve};
use portolan_registrar::limits::Limiter;
use portolan_registrar::{Changes, Registrar};
use portolan_store::Store;

pub use acl::{AclConfig, DefaultPolicy};
pub use error::Error;
pub use monitor::{Log, LogLine};

use crate::acl::Acl;
use crate::route::Consul;
use crate::space::Space;
use crate::state::State;

/// Whether checks that run commands are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScriptChecks {
    /// The node of this agent runs them.
    Allowed,
    /// Nobody would run them, so they are not registered.
    #[default]
    Refused,
}

/// What the dialect is given.
pub struct Config {
    /// Who keeps the registrations.
    pub registrar: Arc<Registrar>,
    /// The catalog, with wake-ups by service; [`Changes::run`] must be running.
    pub changes: Changes,
    /// Writes objects other than service instances.
    pub client: Client,
    /// Keeps keys and sessions, under a prefix of their own.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Name of the node that this agent stands for.
    pub node: String,
    /// Name of the datacenter, `dc1` unless configured.
    pub datacenter: String,
    /// Version to report; clients read it as a version of Consul.
    pub version: String,
    /// Whether tokens are asked for.
    pub acl: AclConfig,
    /// Whether the node runs checks that are commands.
    pub scripts: ScriptChecks,
    /// Where to serve, and whom.
    pub listeners: Vec<Listener>,
    /// Counts what clients ask for, in all dialects.
    pub limiter: Arc<Limiter>,
    /// The log of this process, for those who may read it; none is shown to nobody.
    pub log: Option<Log>,
}

/// Serves until shutdown is requested.
pub async fn run(config: Config, shutdown: Shutdown) {
    let Config { registrar, changes, client, store, clock, node, datacenter, version, acl, scripts, .. } = config;
    let Config { listeners, limiter, log, .. } = config;
    let addresses = listeners.iter().filter_map(|listener| listener.socket.local_addr().ok()).collect();
    let identity = state::Identity { node: node.into(), datacenter: datacenter.into(), version, addresses };
    let kept = (Space::new(store, clock.clone()), Acl::new(acl, identity.datacenter.clone()));
    let state = State::new(registrar, changes, client, kept, clock, identity, limiter, shutdown.clone());
    let state = Arc::new(state.with_log(log).with_scripts(scripts));
    // Without the first tokens nobody could get in.
    if let Err(error) = state.acl.prepare(&state.space).await {
        tracing::error!(error = %portolan_base::error::chain(&error), "cannot prepare Consul's access control");
        return;
    }
    let mut tasks = TaskGroup::default();
    let following = state.clone();
    tasks.spawn("machines", async move { following.follow_machines().await });
    let following = state.clone();
    tasks.spawn("key space", async move { following.space.run(following.shutdown.clone()).await });
    let following = state.clone();
    tasks.spawn("prepared queries", async move { query::publish(&following).await });
    let following = state.clone();
    tasks.spawn("sessions", async move { following.sessions.run(&following).await });
    let writing = state.clone();
    tasks.spawn("transactions", async move { txn::Queue::run(&writing).await });
    for listener in listeners {
        let server = serve(listener, Arc::new(Consul::new(state.clone())), shutdown.clone());
        tasks.spawn("listener", server);
    }
    while let Some((part, failure)) = tasks.next_ended().await {
        if let Some(failure) = failure {
            // A part that panicked leaves the dialect half alive; ending here makes the owner act.
            tracing::error!(part, failure, "a part of the Consul dialect failed");
            return;
        }
    }
}
