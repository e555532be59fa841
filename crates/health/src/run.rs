//! The loop that runs the checks of one process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::kinds::core::v1::Node;
use portolan_api::typed::{Checked, ExternalNode, HealthCheck, Object as _, ServiceInstance};
use portolan_base::error::chain;
use portolan_base::timer::sleep_until;
use portolan_base::{Backoff, Clock, Shutdown};
use portolan_client::{Client, Error, Informer, Informers, Key};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::assign::{CheckerNode, Place, Subject, checker_of};
use crate::probe::{Outcome, Prober};
use crate::queue::{Number, Queue};
use crate::write::{Findings, Owner, write};

/// Status writes under way at the same time.
const WRITES: usize = 32;
const FIRST_RETRY: Duration = Duration::from_millis(500);
const SLOWEST_RETRY: Duration = Duration::from_secs(30);
/// How long writes under way get at shutdown.
const DRAIN: Duration = Duration::from_secs(1);

/// What the runner is given.
pub struct Config {
    /// Writes results.
    pub client: Client,
    /// Instances, machines and nodes.
    pub informers: Arc<Informers>,
    /// Time stamps of results.
    pub clock: Arc<dyn Clock>,
    /// Name of this node; none for the runner beside a server, which runs what no node can.
    pub node: Option<String>,
    /// How to try.
    pub prober: Prober,
    /// Tries under way at the same time; further ones wait.
    pub concurrency: usize,
}

/// Runs checks until shutdown is requested.
pub async fn run(config: Config, shutdown: Shutdown) {
    let instances = config.informers.informer::<ServiceInstance>();
    let machines = config.informers.informer::<ExternalNode>();
    let nodes = config.informers.informer::<Node>();
    let mut keys = (instances.keys(), machines.keys(), nodes.keys());
    let synced = async {
        instances.synced().await;
        machines.synced().await;
        nodes.synced().await;
    };
    if shutdown.run(synced).await.is_none() {
        return;
    }
    let mut runner = Runner {
        config,
        instances,
        machines,
        nodes: Vec::new(),
        owners: HashMap::new(),
        queue: Queue::default(),
        tries: JoinSet::new(),
        trying: HashMap::new(),
        pending: BTreeMap::new(),
        writes: JoinSet::new(),
        writing: HashSet::new(),
        backoff: Backoff::new(FIRST_RETRY, SLOWEST_RETRY),
        write_again: None,
    };
    runner.follow_nodes(&nodes);
    loop {
        runner.start_tries();
        runner.start_writes();
        let wake = runner.next_wake();
        tokio::select! {
            () = shutdown.requested() => break,
            changed = keys.0.next() => changed.into_iter().for_each(|key| runner.follow(Owner::Instance(key))),
            changed = keys.1.next() => changed.into_iter().for_each(|key| runner.follow(Owner::Machine(key.name))),
            _ = keys.2.next() => runner.follow_nodes(&nodes),
            Some(ended) = runner.tries.join_next_with_id() => runner.finish_try(ended),
            Some(ended) = runner.writes.join_next() => runner.finish_write(ended),
            () = sleep_until(wake) => {}
        }
    }
    runner.drain().await;
}

/// What is known of the owner of active checks.
struct OwnerState {
    subject: Subject,
    /// Its checks, if they are run here.
    checks: Vec<Number>,
}

/// How a write ended: whose, and what is to be written again because it failed.
type Written = (Owner, Result<(), (Findings, Error)>);

struct Runner {
    config: Config,
    instances: Informer<ServiceInstance>,
    machines: Informer<ExternalNode>,
    nodes: Vec<CheckerNode>,
    owners: HashMap<Arc<Owner>, OwnerState>,
    queue: Queue,
    tries: JoinSet<(Number, Outcome)>,
    trying: HashMap<Id, Number>,
    pending: BTreeMap<Owner, Findings>,
    writes: JoinSet<Written>,
    writing: HashSet<Owner>,
    backoff: Backoff,
    write_again: Option<Instant>,
}

impl Runner {
    fn follow_nodes(&mut self, informer: &Informer<Node>) {
        let nodes = informer.list();
        let nodes: Vec<_> = nodes.iter().map(|node| CheckerNode::new(&portolan_catalog::cluster_node(node))).collect();
        if nodes == self.nodes {
            return;
        }
        self.nodes = nodes;
        let moved = self.owners.iter().filter(|(_, state)| self.is_mine(&state.subject) == state.checks.is_empty());
        let moved: Vec<Owner> = moved.map(|(owner, _)| Owner::clone(owner)).collect();
        moved.into_iter().for_each(|owner| self.follow(owner));
    }

    fn is_mine(&self, subject: &Subject) -> bool {
        match (checker_of(subject, &self.nodes), &self.config.node) {
            (Place::Node(node), Some(own)) => node == own,
            (Place::Server, None) => true,
            _ => false,
        }
    }

    /// Looks at an owner anew.
    fn follow(&mut self, owner: Owner) {
        let present = match &owner {
            Owner::Instance(key) => self.instances.get(&key.namespace, &key.name).map(|object| {
                let subject = Subject::new(object.uid(), &object.spec.address, &object.spec.node);
                (subject, Source::Instance(object))
            }),
            Owner::Machine(name) => self.machines.get("", name).map(|object| {
                let subject = Subject::new(object.uid(), &object.spec.address, &object.spec.node);
                (subject, Source::Machine(object))
            }),
        };
        let owner = Arc::new(owner);
        let old = self.owners.remove(&owner).map_or(Vec::new(), |state| state.checks);
        let Some((subject, object)) =
            present.filter(|(_, object)| object.checks().iter().any(|check| check.r#type.is_active()))
        else {
            old.into_iter().for_each(|number| self.queue.remove(number));
            self.pending.remove(&*owner);
            return;
        };
        let checks = if self.is_mine(&subject) {
            self.reconcile(&owner, &old, &object)
        } else {
            old.into_iter().for_each(|number| self.queue.remove(number));
            Vec::new()
        };
        self.owners.insert(owner, OwnerState { subject, checks });
    }

    /// Keeps the checks that are as before, and their place in time.
    fn reconcile(&mut self, owner: &Arc<Owner>, old: &[Number], object: &Source) -> Vec<Number> {
        let now = Instant::now();
        let mut left: Vec<Number> = old.to_vec();
        let mut checks = Vec::new();
        for check in object.checks().iter().filter(|check| check.r#type.is_active()) {
            let known = object.results().iter().find(|result| result.id == check.id);
            let same = |number: &Number| self.queue.get(*number).is_some_and(|entry| *entry.check == *check);
            match left.iter().position(same) {
                Some(index) => {
                    let number = left.swap_remove(index);
                    self.queue.compare(number, known.map(|known| known.health));
                    checks.push(number);
                }
                None => checks.push(self.queue.add(owner.clone(), Arc::new(check.clone()), known, now)),
            }
        }
        left.into_iter().for_each(|number| self.queue.remove(number));
        checks
    }

    fn start_tries(&mut self) {
        let now = Instant::now();
        while self.tries.len() < self.config.concurrency
            && let Some((number, check)) = self.queue.take(now)
        {
            let prober = self.config.prober.clone();
            let task = self.tries.spawn(async move { (number, prober.try_once(&check).await) });
            self.trying.insert(task.id(), number);
        }
    }

    fn finish_try(&mut self, ended: Result<(Id, (Number, Outcome)), tokio::task::JoinError>) {
        let (number, outcome) = match ended {
            Ok((id, ended)) => {
                self.trying.remove(&id);
                ended
            }
            Err(error) => {
                tracing::error!(%error, "a health check panicked");
                let Some(number) = self.trying.remove(&error.id()) else { return };
                let output = "the check failed inside; see the log of its node".to_owned();
                (number, Outcome { health: portolan_api::typed::Health::Critical, output })
            }
        };
        let written = self.queue.finish(number, outcome.health, &outcome.output, Instant::now());
        if let (Some(health), Some(entry)) = (written, self.queue.get(number)) {
            let findings = self.pending.entry(Owner::clone(&entry.owner)).or_default();
            findings.insert(entry.check.id.clone(), (health, outcome.output));
        }
    }

    fn start_writes(&mut self) {
        if self.write_again.is_some_and(|again| again > Instant::now()) {
            return;
        }
        self.write_again = None;
        while self.writes.len() < WRITES {
            let free = self.pending.keys().find(|owner| !self.writing.contains(*owner)).cloned();
            let Some((owner, findings)) = free.and_then(|owner| self.pending.remove_entry(&owner)) else { return };
            self.writing.insert(owner.clone());
            let (client, now) = (self.config.client.clone(), self.config.clock.now());
            let (instances, machines) = (self.instances.clone(), self.machines.clone());
            self.writes.spawn(async move {
                let outcome = match &owner {
                    Owner::Instance(key) => write(&client, &instances, key, &findings, now).await,
                    Owner::Machine(name) => {
                        write(&client, &machines, &Key::new("", name.as_str()), &findings, now).await
                    }
                };
                (owner, outcome.map_err(|error| (findings, error)))
            });
        }
    }

    fn finish_write(&mut self, ended: Result<Written, tokio::task::JoinError>) {
        let (owner, outcome) = match ended {
            Ok(ended) => ended,
            // Its owner stays marked as being written; nothing of ours panics there but by a bug.
            Err(error) => return tracing::error!(%error, "writing the result of a health check panicked"),
        };
        self.writing.remove(&owner);
        let Err((findings, error)) = outcome else { return self.backoff.reset() };
        if error.is_invalid() {
            return tracing::warn!(%owner, "the result of a health check was refused: {}", chain(&error));
        }
        let delay = self.backoff.jittered();
        tracing::warn!(%owner, delay_ms = delay.as_millis(), "cannot write the result of a health check: {}", chain(&error));
        self.write_again = Some(Instant::now() + delay);
        let pending = self.pending.entry(owner).or_default();
        for (check, finding) in findings {
            // What was found since then is newer.
            pending.entry(check).or_insert(finding);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        // A finished try wakes too; until then there is no room.
        let due = self.queue.next_due().filter(|_| self.tries.len() < self.config.concurrency);
        due.into_iter().chain(self.write_again).min()
    }

    async fn drain(mut self) {
        self.tries.shutdown().await;
        self.start_writes();
        let writes = async { while self.writes.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, writes).await.is_err() {
            tracing::warn!("some results of health checks were not written in time; they are found again");
        }
        tracing::debug!(checks = self.queue.len(), "health checks stopped");
    }
}

/// The object of an owner.
enum Source {
    Instance(Arc<ServiceInstance>),
    Machine(Arc<ExternalNode>),
}

impl Source {
    fn checks(&self) -> &[HealthCheck] {
        match self {
            Self::Instance(object) => object.checks(),
            Self::Machine(object) => object.checks(),
        }
    }

    fn results(&self) -> &[portolan_api::typed::HealthCheckStatus] {
        match self {
            Self::Instance(object) => object.results(),
            Self::Machine(object) => object.results(),
        }
    }
}
