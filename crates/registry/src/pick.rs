//! One instance to send a request to.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use portolan_catalog::balance::{self, Choice, Policy};
use portolan_catalog::{Instance, Key, Locality, Snapshot, Status};

use crate::Error;
use crate::filter::{Filter, unknown};
use crate::paths::Parameter;

/// Services whose turns are remembered; beyond, all of them start anew.
const MOST_TURNS: usize = 16 << 10;

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
    pub(crate) fn pick(&self, snapshot: &Snapshot, name: &str, turn: u64, chance: u64) -> Result<Arc<Instance>, Error> {
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
        // Of those policies that are read, none asks for the load.
        let load = |_: &Instance| 0;
        let choice = Choice { policy: self.policy, caller: &self.caller, key: &self.key, turn, chance, load: &load };
        let all = instances.map_or(0, |list| list.len());
        balance::pick(&wanted, &choice).cloned().ok_or_else(|| nobody(namespace, name, &wanted, all))
    }
}

fn policy(name: &str) -> Result<Policy, Error> {
    match Policy::of(name) {
        Some(Policy::Least) => Err(Error::BadRequest(
            "policy: least needs to know how much each instance has to do, and the registry does not see requests; \
             use round-robin, weighted, nearest or hash"
                .into(),
        )),
        Some(policy) => Ok(policy),
        None => Err(Error::BadRequest(format!("policy: {name:?} is none of round-robin, weighted, nearest and hash"))),
    }
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

/// How often each service was asked for; one service's turns do not depend on another's.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Key, u64>>);

impl Turns {
    /// The next turn of a service, which must exist: strangers' names are not remembered.
    pub(crate) fn next(&self, snapshot: &Snapshot, namespace: &str, name: &str) -> u64 {
        if snapshot.instances_of(namespace, name).is_none() {
            return 0;
        }
        let (key, mut turns) = (Key::new(namespace, name), self.0.lock());
        if turns.len() >= MOST_TURNS && !turns.contains_key(&key) {
            turns.clear();
        }
        let turn = turns.entry(key).or_default();
        let now = *turn;
        *turn = turn.wrapping_add(1);
        now
    }
}
