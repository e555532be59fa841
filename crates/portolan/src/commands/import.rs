//! `portolan registry import`: another registry's instances, here too.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use portolan_base::{Shutdown, SystemClock};
use portolan_cli::{Import, ImportArguments};
use portolan_registry_import::{Config, Copied, Dialect, Error, KeyCopy, Progress, Remote};

/// Token for the keys of this cluster, where tokens are asked for.
const OWN_TOKEN: &str = "PORTOLAN_CONSUL_TOKEN";

/// Imports once, or until interrupted.
pub(crate) async fn run(import: Import) -> anyhow::Result<()> {
    let (dialect, scoped) = match import {
        Import::Consul(scoped) => (Dialect::Consul, scoped),
        Import::Eureka(scoped) => (Dialect::Eureka, scoped),
    };
    let place = scoped.place();
    let (client, namespace, arguments) = scoped.connect()?;
    let ImportArguments { from, name, token, ca, interval, keys, once } = arguments;
    let authority = match &ca {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?,
        None => String::new(),
    };
    let remote = || Remote::new(&from, token.as_deref(), &authority);
    let keys = match keys {
        None => None,
        Some(_) if dialect != Dialect::Consul => bail!("--keys: only Consul has keys"),
        Some(prefix) => {
            let own = place?.dialects.remove("consul");
            let own = own.context("--keys: this cluster serves no Consul clients (--consul-listen off)")?;
            let target = Remote::new(&own, std::env::var(OWN_TOKEN).ok().as_deref(), "")?;
            Some(KeyCopy { source: remote()?, target, prefix, once })
        }
    };
    let remote = remote()?;
    let interval = Duration::from_secs(interval);
    let config = Config { client, remote, dialect, namespace, name, interval, once, clock: Arc::new(SystemClock) };
    let shutdown = Shutdown::default();
    let interrupted = async {
        let signal = tokio::signal::ctrl_c().await;
        shutdown.request();
        signal
    };
    let mut report = report;
    let stopping = shutdown.clone();
    let importing = async {
        let instances = portolan_registry_import::run(config, stopping.clone(), &mut report);
        let copying = async {
            match keys {
                Some(keys) => keys.run(stopping.clone(), &mut report_keys).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(instances, copying).map(drop)
    };
    tokio::pin!(importing, interrupted);
    tokio::select! {
        done = &mut importing => Ok(done?),
        signal = &mut interrupted => {
            signal.context("wait for an interrupt")?;
            // A write that is under way is finished; what was imported stays.
            Ok(importing.await?)
        }
    }
}

fn report_keys(round: Result<Copied, &Error>) {
    match round {
        Ok(Copied { written: 0, removed: 0, keys }) => tracing::debug!(keys, "no key changed"),
        Ok(Copied { keys, written, removed }) => println!("{keys} keys: {written} written, {removed} removed"),
        Err(error) => {
            let reason = portolan_base::error::chain(error);
            eprintln!("keys are not followed for a moment, what was copied stays: {reason}");
        }
    }
}

fn report(progress: Progress) {
    match progress {
        Progress::Synced(totals) if totals.created + totals.changed + totals.removed == 0 => {
            tracing::debug!(instances = totals.instances, "nothing changed");
        }
        Progress::Synced(totals) => println!(
            "{} instances: {} created, {} changed, {} removed",
            totals.instances, totals.created, totals.changed, totals.removed
        ),
        Progress::Doubled { left_out } => eprintln!(
            "{} instances are left out, because the source has others under the same ids: {}",
            left_out.len(),
            left_out.join(", ")
        ),
        Progress::Held { reason, instances } => {
            eprintln!("the source is away, {instances} imported instances stay as they are: {reason}");
        }
        Progress::HeldEmpty { instances } => {
            eprintln!(
                "the source says that it has no instances; {instances} imported ones stay until it has said so for two minutes"
            );
        }
        Progress::Back { after } => println!("the source is back after {} s", after.as_secs()),
        other => println!("{other:?}"),
    }
}
