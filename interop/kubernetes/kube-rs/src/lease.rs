//! A leader among several, by a Lease.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

const NAME: &str = "leader";
const DURATION: i32 = 2;

fn wanted(holder: &str, transitions: i32) -> LeaseSpec {
    let now = Some(MicroTime(Timestamp::now()));
    LeaseSpec {
        holder_identity: Some(holder.into()),
        lease_duration_seconds: Some(DURATION),
        acquire_time: now.clone(),
        renew_time: now,
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

/// Tries to lead; whoever writes first does.
async fn acquire(leases: &Api<Lease>, holder: &str) -> kube::Result<bool> {
    let lost = |error| match error {
        kube::Error::Api(status) if status.code == 409 => Ok(false),
        other => Err(other),
    };
    let Some(mut lease) = leases.get_opt(NAME).await? else {
        let metadata = ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(wanted(holder, 0)) };
        return leases.create(&PostParams::default(), &lease).await.map(|_| true).or_else(lost);
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let renewed = spec.renew_time.as_ref().map_or(0, |time| time.0.as_millisecond());
    let is_over = Timestamp::now().as_millisecond() > renewed + i64::from(spec.lease_duration_seconds.unwrap_or(0)) * 1000;
    if spec.holder_identity.as_deref() != Some(holder) && !is_over {
        return Ok(false);
    }
    lease.spec = Some(wanted(holder, spec.lease_transitions.unwrap_or(0) + 1));
    leases.replace(NAME, &PostParams::default(), &lease).await.map(|_| true).or_else(lost)
}

pub(crate) async fn check(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    for round in 0..2 {
        let names: Vec<String> = (0..8).map(|number| format!("{round}-{number}")).collect();
        let tries = names.iter().map(|name| acquire(&leases, name));
        let won = futures::future::try_join_all(tries).await?.into_iter().filter(|won| *won).count();
        ensure!(won == 1, "{won} lead in round {round}");
        let lease = leases.get(NAME).await?.spec.unwrap_or_default();
        ensure!(lease.lease_transitions == Some(round), "{lease:?}");
        // The lease runs out.
        tokio::time::sleep(Duration::from_millis(DURATION.unsigned_abs().into()) * 1000 + Duration::from_millis(100)).await;
    }
    Ok(())
}
