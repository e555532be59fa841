//! The loops that make the cluster what its objects say.
//!
//! Each directory is one controller: `plan.rs` decides (pure, no IO, no clock), `mod.rs` wakes,
//! reads the shared informers, and applies the plan through the client. Waking carries no data and a
//! plan is always made from the latest state, so a lost or doubled wake-up does no harm.

mod account_token;
mod bootstrap_token;
mod certificates;
mod cluster_role;
mod context;
mod definition;
mod deployment;
mod disruption;
mod driver;
mod endpoints;
mod flow_schema;
mod garbage;
mod legacy_token;
mod load_balancer;
mod meta;
mod namespace;
mod node_lifecycle;
mod pod_garbage;
mod registry_mirror;
mod replica_set;
mod resource_quota;
mod service_account;
mod service_cidr;
mod slice_mirror;
mod volume_protection;

pub use context::{Config, Keys, NodeTimes};
pub use registry_mirror::{explain_mirror, mirror_target};

use std::time::Duration;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{Deployment, ReplicaSet};
use portolan_api::typed::kinds::core::v1::ReplicationController;
use portolan_base::{Shutdown, TaskGroup};

use context::Context;

/// Kinds of workloads that [`run`] acts on.
pub const WORKLOADS: [&str; 3] = [Deployment::KIND, ReplicaSet::KIND, ReplicationController::KIND];

/// How long requests in flight get to end at shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs all controllers until shutdown. The informers must be running.
///
/// # Panics
/// A controller ended by itself, which only a defect can cause: its objects would silently be left alone.
pub async fn run(config: Config, shutdown: Shutdown) {
    let context = Context::new(config);
    let mut tasks = TaskGroup::default();
    tasks.spawn("replica set controller", replica_set::run::<ReplicaSet>(context.clone(), shutdown.clone()));
    tasks.spawn(
        "replication controller controller",
        replica_set::run::<ReplicationController>(context.clone(), shutdown.clone()),
    );
    tasks.spawn("definition controller", definition::run(context.clone(), shutdown.clone()));
    tasks.spawn("deployment controller", deployment::run(context.clone(), shutdown.clone()));
    tasks.spawn("endpoints controller", endpoints::run(context.clone(), shutdown.clone()));
    tasks.spawn("endpoint slice mirroring controller", slice_mirror::run(context.clone(), shutdown.clone()));
    tasks.spawn("service account controller", service_account::run(context.clone(), shutdown.clone()));
    tasks.spawn("account token controller", account_token::run(context.clone(), shutdown.clone()));
    tasks.spawn("legacy token cleaner", legacy_token::run(context.clone(), shutdown.clone()));
    tasks.spawn("bootstrap token cleaner", bootstrap_token::run(context.clone(), shutdown.clone()));
    tasks.spawn("certificate controller", certificates::run(context.clone(), shutdown.clone()));
    tasks.spawn("cluster role controller", cluster_role::run(context.clone(), shutdown.clone()));
    tasks.spawn("registry mirror", registry_mirror::run(context.clone(), shutdown.clone()));
    tasks.spawn("namespace controller", namespace::run(context.clone(), shutdown.clone()));
    tasks.spawn("load balancer controller", load_balancer::run(context.clone(), shutdown.clone()));
    tasks.spawn("garbage collector", garbage::run(context.clone(), shutdown.clone()));
    tasks.spawn("node lifecycle controller", node_lifecycle::run(context.clone(), shutdown.clone()));
    tasks.spawn("resource quota controller", resource_quota::run(context.clone(), shutdown.clone()));
    tasks.spawn("disruption controller", disruption::run(context.clone(), shutdown.clone()));
    tasks.spawn("volume protection controller", volume_protection::run(context.clone(), shutdown.clone()));
    tasks.spawn("flow schema controller", flow_schema::run(context.clone(), shutdown.clone()));
    tasks.spawn("service range controller", service_cidr::run(context.clone(), shutdown.clone()));
    tasks.spawn("pod garbage collector", pod_garbage::run(context, shutdown.clone()));
    tokio::select! {
        () = shutdown.requested() => {}
        Some((name, failure)) = tasks.next_ended(), if !shutdown.is_requested() => {
            assert!(shutdown.is_requested(), "{name} ended: {}", failure.unwrap_or_else(|| "no reason given".to_owned()));
        }
    }
    for name in tasks.join(DRAIN).await {
        tracing::warn!("{name} did not stop in good order");
    }
}

#[cfg(test)]
mod tests;
