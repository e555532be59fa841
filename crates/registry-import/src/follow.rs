//! The loop: hear from the source, plan, write.

use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::kinds::core::v1::Node;
use portolan_api::typed::{ExternalNode, Object, ServiceInstance};
use portolan_base::{Backoff, Clock, Shutdown};
use portolan_client::{Client, DeleteOptions, ListParams};
use tokio::time::Instant;

use crate::http::{Error, Remote};
use crate::machines;
use crate::plan::{Action, FROM_LABEL, IMPORT_LABEL, Owner, doubles, plan};
use crate::source::{Dialect, Found, Machine, Source};

/// Waits after failures of the source.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// A source that suddenly has nothing has more likely lost its memory than all its services; after
/// this time it is believed.
const EMPTY_BELIEVED_AFTER: Duration = Duration::from_secs(120);

/// Hears how an import goes.
pub type Report = dyn FnMut(Progress) + Send;

/// What an import is given.
pub struct Config {
    /// Writes here.
    pub client: Client,
    /// Reads there.
    pub remote: Remote,
    /// How it speaks.
    pub dialect: Dialect,
    /// Where imported instances go.
    pub namespace: String,
    /// Name of the import, for its labels; from the URL if none.
    pub name: Option<String>,
    /// How often a source is asked that cannot say by itself when something changed (Eureka).
    pub interval: Duration,
    /// Whether one copy is enough.
    pub once: bool,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// How many objects a round of writes touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Instances that the source has.
    pub instances: usize,
    /// Objects made.
    pub created: usize,
    /// Objects changed.
    pub changed: usize,
    /// Objects removed.
    pub removed: usize,
}

/// What an import reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress {
    /// What is here is as it was there a moment ago.
    Synced(Totals),
    /// The source has several instances under one id where an id must be unique; only the first is imported.
    Doubled {
        /// Each one that is left out: its service, id, and the machine or application whose id it is.
        left_out: Vec<String>,
    },
    /// The source is away; what was imported stays as it is.
    Held {
        /// Why.
        reason: String,
        /// How many instances stay.
        instances: usize,
    },
    /// The source says that it has nothing; what was imported stays until it has said so for a while.
    HeldEmpty {
        /// How many instances stay.
        instances: usize,
    },
    /// The source is back.
    Back {
        /// How long it was away.
        after: Duration,
    },
}

/// Imports until shutdown is requested, or once.
///
/// # Errors
/// With [`Config::once`] whatever stopped it; else only what no retry can heal.
pub async fn run(config: Config, shutdown: Shutdown, report: &mut Report) -> Result<(), Error> {
    let owner = Owner {
        namespace: config.namespace,
        from: config.dialect.as_str(),
        import: config.name.unwrap_or_else(|| config.remote.label()),
        url: config.remote.url().to_owned(),
    };
    let mut import = Import {
        client: config.client,
        owner,
        clock: config.clock,
        instances: 0,
        empty_since: None,
        doubled: Vec::new(),
    };
    let mut source = Source::new(config.dialect, config.remote, config.interval);
    if config.once {
        let found = source.next().await?;
        import.write_machines(source.machines()).await?;
        let totals = import.write(&found, report).await?;
        report(Progress::Synced(totals));
        return Ok(());
    }
    let (mut backoff, mut away) = (Backoff::new(FIRST_RETRY, LONGEST_RETRY), None);
    while !shutdown.is_requested() {
        let Some(heard) = shutdown.run(import.hear(&mut source)).await else { break };
        let done = match heard {
            Ok(found) => import.take_over(&found, source.machines(), report).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                backoff.reset();
                if let Some(since) = away.take() {
                    report(Progress::Back { after: Instant::now().saturating_duration_since(since) });
                }
            }
            Err(error @ Error::Setup(_)) => return Err(error),
            Err(error) => {
                if away.is_none() {
                    away = Some(Instant::now());
                    report(Progress::Held {
                        reason: portolan_base::error::chain(&error).to_string(),
                        instances: import.instances,
                    });
                }
                // The source forgets what it knew, so that nothing is missed.
                source.restart();
                if shutdown.run(tokio::time::sleep(backoff.jittered())).await.is_none() {
                    break;
                }
            }
        }
    }
    Ok(())
}

struct Import {
    client: Client,
    owner: Owner,
    clock: Arc<dyn Clock>,
    /// How many objects there are by now.
    instances: usize,
    empty_since: Option<Instant>,
    /// What was told to be left out.
    doubled: Vec<String>,
}

impl Import {
    /// The source's next word. One that has nothing is asked again when it would be believed.
    async fn hear(&self, source: &mut Source) -> Result<Vec<Found>, Error> {
        if let Some(since) = self.empty_since {
            let doubt = EMPTY_BELIEVED_AFTER.saturating_sub(since.elapsed());
            if let Ok(heard) = tokio::time::timeout(doubt, source.next()).await {
                return heard;
            }
            source.restart();
        }
        source.next().await
    }

    async fn take_over(&mut self, found: &[Found], machines: &[Machine], report: &mut Report) -> Result<(), Error> {
        if found.is_empty() && self.instances > 0 {
            let since = *self.empty_since.get_or_insert_with(|| {
                report(Progress::HeldEmpty { instances: self.instances });
                Instant::now()
            });
            if since.elapsed() < EMPTY_BELIEVED_AFTER {
                return Ok(());
            }
        }
        self.empty_since = None;
        // First the machines: the address of an instance may be that of its machine.
        self.write_machines(machines).await?;
        let totals = self.write(found, report).await?;
        report(Progress::Synced(totals));
        Ok(())
    }

    /// Tells what is left out, when that changes.
    fn tell_doubles(&mut self, found: &[Found], report: &mut Report) {
        let words = |found: &Found| format!("{} {:?} of {:?}", found.service, found.id, found.scope);
        let left_out: Vec<String> = doubles(found).into_iter().map(words).collect();
        if left_out != self.doubled {
            self.doubled.clone_from(&left_out);
            if !left_out.is_empty() {
                report(Progress::Doubled { left_out });
            }
        }
    }

    async fn write(&mut self, found: &[Found], report: &mut Report) -> Result<Totals, Error> {
        self.tell_doubles(found, report);
        let selector = format!("{FROM_LABEL}={},{IMPORT_LABEL}={}", self.owner.from, self.owner.import);
        let present = self
            .client
            .list::<ServiceInstance>(&self.owner.namespace, &ListParams::labels(selector))
            .await
            .map_err(Error::Api)?;
        self.instances = present.items.len();
        let mut totals = Totals { instances: found.len(), ..Totals::default() };
        for action in plan(&self.owner, &present.items, found, self.clock.now()) {
            self.apply(action, &mut totals).await?;
        }
        self.instances = self.instances + totals.created - totals.removed;
        Ok(totals)
    }

    async fn write_machines(&self, found: &[Machine]) -> Result<(), Error> {
        if found.is_empty() && self.owner.from != Dialect::Consul.as_str() {
            return Ok(());
        }
        let all = ListParams::default();
        let present = self.client.list::<ExternalNode>("", &all).await.map_err(Error::Api)?;
        let nodes = self.client.list::<Node>("", &all).await.map_err(Error::Api)?;
        let nodes = nodes.items.iter().map(|node| node.name().to_owned()).collect();
        for action in machines::plan(&self.owner, &present.items, &nodes, found) {
            match action {
                machines::Action::Create(object) => drop(self.client.create(&*object).await.map_err(Error::Api)?),
                machines::Action::Update(object) => drop(self.client.update(&*object).await.map_err(Error::Api)?),
                machines::Action::Delete { name, uid } => {
                    match self.client.delete::<ExternalNode>("", &name, &DeleteOptions::uid(uid)).await {
                        Err(error) if error.is_not_found() || error.is_conflict() => {}
                        other => other.map_err(Error::Api)?,
                    }
                }
            }
        }
        Ok(())
    }

    async fn apply(&self, action: Action, totals: &mut Totals) -> Result<(), Error> {
        match action {
            Action::Create(object) => {
                totals.created += 1;
                self.client.create(&*object).await.map_err(Error::Api)?;
            }
            Action::Update(object) => {
                totals.changed += 1;
                self.client.update(&*object).await.map_err(Error::Api)?;
            }
            Action::UpdateStatus(object) => {
                totals.changed += 1;
                // The specification may have been written a moment ago: the status goes on the newer version.
                let name = object.metadata.name.clone().unwrap_or_default();
                let present: ServiceInstance =
                    self.client.get(&self.owner.namespace, &name).await.map_err(Error::Api)?;
                let present = ServiceInstance { status: object.status, ..present };
                self.client.update_status(&present).await.map_err(Error::Api)?;
            }
            Action::Delete { name, uid } => {
                totals.removed += 1;
                let options = DeleteOptions::uid(uid);
                match self.client.delete::<ServiceInstance>(&self.owner.namespace, &name, &options).await {
                    Err(error) if error.is_not_found() || error.is_conflict() => {}
                    other => other.map_err(Error::Api)?,
                }
            }
        }
        Ok(())
    }
}
