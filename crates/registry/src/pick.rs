//! One instance to send a request to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_catalog::balance::{self, Choice, Policy};
use portolan_catalog::{Instance, Key, Locality, Snapshot, Status};
use tokio::time::Instant;

use crate::Error;
use crate::filter::{Filter, unknown};
use crate::paths::Parameter;

/// Services whose turns are remembered; beyond, all of them start anew.
const MOST_TURNS: usize = 16 << 10;
/// After that long what an instance was sent counts for half; requests mostly take less.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// How often the counts are brought up to date.
const AGING: Duration = Duration::from_secs(1);

/// Which instance a client wants.
#[derive(Debug)]
pub(crate) struct Wish {
    policy: Policy,
    key: String,
    caller: Locality,
    filter: Filter,
}

impl Wish {
    /// Reads a query string.
    pub(crate) fn parse(query: &str, known: &[Parameter]) -> Result<Self, Error> {
        let mut wish = Self {
            policy: Policy::default(),
            key: String::new(),
            caller: Locality::default(),
            filter: Filter::default(),
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "policy" => wish.policy = policy(&value)?,
                "key" => wish.key = value.into_owned(),
                "zone" => wish.caller.zone = value.into_owned(),
                "region" => wish.caller.region = value.into_owned(),
                _ if wish.filter.set(&name, &value, known)? => {}
                _ => return Err(unknown(&name, known)),
            }
        }
        let lacks = |what| Err(Error::BadRequest(what));
        match wish.policy {
            Policy::Hash if wish.key.is_empty() => lacks("key: the policy hash needs one".into()),
            Policy::Nearest if wish.caller == Locality::default() => {
                lacks("zone, region: the policy nearest needs one of them, where the caller is".into())
            }
            _ => Ok(wish),
        }
    }

    /// The namespace of the service.
    pub(crate) fn namespace(&self) -> &str {
        self.filter.namespace().unwrap_or("default")
    }

    /// Chooses among the instances of a service.
    pub(crate) fn pick(
        &self,
        snapshot: &Snapshot,
        name: &str,
        turns: &Turns,
        now: Instant,
        chance: u64,
    ) -> Result<Arc<Instance>, Error> {
        let namespace = self.namespace();
        let instances = snapshot.instances_of(namespace, name);
        if instances.is_none() && snapshot.service(namespace, name).is_none() {
            return Err(Error::NotFound(format!("there is no service {name} in namespace {namespace}")));
        }
        let wanted: Vec<Arc<Instance>> = instances
            .into_iter()
            .flat_map(|list| list.iter())
            .filter(|instance| self.filter.wants(instance))
            .cloned()
            .collect();
        let mut services = turns.0.lock();
        let known = instances.map(|_| services.of(Key::new(namespace, name), now));
        let (turn, sent) = known.as_deref().map_or((0, None), |known| (known.turn, Some(&known.sent)));
        let load = |instance: &Instance| {
            let sent = sent.and_then(|sent| sent.get(&instance.id)).copied().unwrap_or(0.0);
            // In proportion to the weight, as an instance of twice the weight takes twice as much.
            (sent * 1000.0 / f64::from(balance::weight(instance).max(1))) as u64
        };
        let choice = Choice { policy: self.policy, caller: &self.caller, key: &self.key, turn, chance, load: &load };
        let all = instances.map_or(0, |list| list.len());
        let picked = balance::pick(&wanted, &choice).cloned();
        if let (Some(known), Some(picked)) = (known, &picked) {
            known.turn = known.turn.wrapping_add(1);
            *known.sent.entry(picked.id.clone()).or_default() += 1.0;
        }
        picked.ok_or_else(|| nobody(namespace, name, &wanted, all))
    }
}

fn policy(name: &str) -> Result<Policy, Error> {
    Policy::of(name).ok_or_else(|| {
        Error::BadRequest(format!("policy: {name:?} is none of round-robin, least, weighted, nearest and hash"))
    })
}

/// Why no instance of a service takes requests.
fn nobody(namespace: &str, name: &str, wanted: &[Arc<Instance>], all: usize) -> Error {
    let critical = wanted.iter().filter(|instance| instance.health.status == Status::Critical).count();
    let why = match (all, wanted.len()) {
        (0, _) => "it has no instances".into(),
        (all, 0) => format!("none of its {all} instances is as asked for"),
        (_, count) => format!("of {count} instances, {critical} are critical and {} have weight 0", count - critical),
    };
    let first = wanted.iter().find(|instance| instance.health.status == Status::Critical);
    let example = first.map(|instance| format!("; {}: {}", instance.id, instance.health.reason)).unwrap_or_default();
    Error::NotFound(format!("no instance of {name} in namespace {namespace} takes requests: {why}{example}"))
}

/// Who was picked so far; one service's turns do not depend on another's.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<Services>);

#[derive(Debug, Default)]
struct Services(HashMap<Key, Picks>);

/// Whom the callers of a service were sent to.
#[derive(Debug)]
struct Picks {
    turn: u64,
    /// How many were sent to each instance lately, which is all that the registry sees of its load. Older ones
    /// count for less.
    sent: HashMap<Arc<str>, f64>,
    aged: Instant,
}

impl Services {
    /// The picks of a service, which must exist: strangers' names are not remembered.
    fn of(&mut self, key: Key, now: Instant) -> &mut Picks {
        if self.0.len() >= MOST_TURNS && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let picks = self.0.entry(key).or_insert_with(|| Picks { turn: 0, sent: HashMap::new(), aged: now });
        let age = now.saturating_duration_since(picks.aged);
        if age >= AGING {
            let left = 0.5_f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64());
            picks.sent.values_mut().for_each(|count| *count *= left);
            // Instances that are gone, or idle for long.
            picks.sent.retain(|_, count| *count > 0.01);
            picks.aged = now;
        }
        picks
    }
}
