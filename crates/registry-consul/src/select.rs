//! Which instances a question is about, and in which order.

use std::sync::Arc;

use http::Method;
use portolan_api::typed::ServiceInstance;
use portolan_catalog::{
    Health, Instance, InstancePort, Key, Locality, Origin, Protocol, Registration, Snapshot, Status, Weights,
    find_service, find_service_in_any_case,
};
use portolan_registrar::http::Request;
use serde_json::Value;

use crate::bexpr::{Filter, Kind};
use crate::machine::{Machine, Machines};
use crate::parameters::{Parameters, ReadOptions};
use crate::sight::Sight;
use crate::state::{SERVER_PORT, State};
use crate::view::Scope;
use crate::{Error, entry};

/// The service that Consul's servers are.
pub(crate) const OWN_SERVICE: &str = "consul";
/// Parameters that do not change what is answered, only when and how.
const NOT_PART_OF_THE_QUESTION: [&str; 9] =
    ["index", "wait", "hash", "stale", "consistent", "cached", "token", "max_stale", "max_age"];

/// An instance and where it runs.
pub(crate) type Placed = (Arc<Instance>, Arc<Machine>);

/// A question about services, machines or checks.
pub(crate) struct Question {
    /// How it is answered.
    pub(crate) options: ReadOptions,
    /// The same text for the same question.
    pub(crate) text: String,
    /// Filter over the entries of the answer.
    pub(crate) filter: Filter,
    /// What of it the caller may see.
    sight: Sight,
    tags: Vec<String>,
    node_meta: Vec<(String, String)>,
    /// Only instances all of whose checks pass.
    pub(crate) passing: bool,
    /// Asked of another cluster that is not known here, so the answer is empty.
    pub(crate) elsewhere: bool,
}

impl Question {
    /// Reads a question whose filter is over entries of this kind.
    pub(crate) fn of(state: &State, request: &Request, sight: &Sight, kind: &'static Kind) -> Result<Self, Error> {
        if request.method != Method::GET {
            return Err(Error::method(&request.method, "GET"));
        }
        let parameters = Parameters::of(request);
        let options = ReadOptions::of(state, request, &parameters)?;
        let node_meta = parameters.all("node-meta").filter(|text| !text.is_empty());
        let node_meta = node_meta.map(|text| {
            let (key, value) = text.split_once(':').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        });
        let filter = Filter::parse(&options.filter, kind)?;
        Ok(Self {
            text: text_of(request, &parameters) + &sight.text(),
            filter,
            sight: sight.clone(),
            tags: parameters.all("tag").filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
            node_meta: node_meta.collect(),
            passing: parameters.switch("passing")?,
            elsewhere: parameters.text("peer").is_some(),
            options,
        })
    }

    /// The question as a text, and who asks.
    pub(crate) fn asked(&self) -> (&str, &Sight) {
        (&self.text, &self.sight)
    }

    /// Whether the caller may see an instance.
    pub(crate) fn sees(&self, instance: &Instance, machine: &Machine) -> bool {
        self.sight.takes_in(instance, machine)
    }

    /// Whether the caller may see the machine, and it has all metadata that is asked for.
    pub(crate) fn wants_machine(&self, machine: &Machine) -> bool {
        self.sight.takes_in_machine(machine) && self.has_metadata(machine)
    }

    fn has_metadata(&self, machine: &Machine) -> bool {
        self.node_meta.iter().all(|(key, value)| machine.metadata.get(key) == Some(value))
    }

    fn wants(&self, instance: &Instance, machine: &Machine) -> bool {
        let tagged = |tag: &String| instance.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        self.sees(instance, machine)
            && self.tags.iter().all(tagged)
            && self.wants_machine(machine)
            && (!self.passing || entry::status(instance, machine) == Status::Passing)
    }

    /// The instances of a service that are asked for, by machine and id, nearest first if that is asked.
    pub(crate) fn instances(&self, state: &State, snapshot: &Snapshot, service: &str) -> Vec<Placed> {
        if self.elsewhere {
            return Vec::new();
        }
        let instances = match find_service_in_any_case(snapshot, service) {
            Some(key) => snapshot.instances_of(&key.namespace, &key.name).cloned(),
            None if service.eq_ignore_ascii_case(OWN_SERVICE) => Some(Arc::from([own_instance(state)])),
            None => None,
        };
        let instances = instances.iter().flat_map(|list| list.iter().cloned());
        self.placed(state, snapshot, instances)
    }

    /// Those of some instances that are asked for.
    pub(crate) fn placed(
        &self,
        state: &State,
        snapshot: &Snapshot,
        instances: impl Iterator<Item = Arc<Instance>>,
    ) -> Vec<Placed> {
        let machines = state.machines(snapshot);
        let mut placed: Vec<Placed> = instances
            .map(|instance| {
                let machine = machines.of_instance(&instance);
                (instance, machine)
            })
            .filter(|(instance, machine)| self.wants(instance, machine))
            .collect();
        placed.sort_by(|left, right| (&left.1.name, &left.0.id).cmp(&(&right.1.name, &right.0.id)));
        if let Some(from) = self.nearest(state, &machines) {
            placed.sort_by_key(|(instance, machine)| distance(&from, machine, &instance.locality));
        }
        placed
    }

    /// The machine that answers are to be near to.
    pub(crate) fn nearest(&self, state: &State, machines: &Machines) -> Option<Arc<Machine>> {
        let near = self.options.near.as_deref()?;
        if near == "_agent" {
            return machines.get(&state.identity.node).cloned();
        }
        let by_address = || machines.all().find(|machine| machine.address == near);
        machines.get(near).or_else(by_address).cloned()
    }
}

/// There are no coordinates of machines, so closeness is the same machine, zone or region.
pub(crate) fn distance(from: &Machine, machine: &Machine, locality: &Locality) -> u8 {
    let same = |left: &str, right: &str| !left.is_empty() && left == right;
    if from.name == machine.name {
        0
    } else if same(&from.locality.zone, &locality.zone) {
        1
    } else if same(&from.locality.region, &locality.region) {
        2
    } else {
        3
    }
}

fn text_of(request: &Request, parameters: &Parameters) -> String {
    let mut asked: Vec<String> = parameters
        .pairs()
        .filter(|(name, _)| !NOT_PART_OF_THE_QUESTION.contains(name))
        .map(|(name, value)| format!("{name:?}={value:?}"))
        .collect();
    asked.sort();
    // What `near=_ip` means depends on who asks.
    let near = parameters.text("near").filter(|near| *near == "_ip").map(|_| request.peer.to_string());
    format!("{}?{}&{}", request.path(), asked.join("&"), near.unwrap_or_default())
}

/// What an answer about one service depends on.
pub(crate) fn scope_of(snapshot: &Snapshot, service: &str) -> Scope {
    match find_service_in_any_case(snapshot, service) {
        Some(key) => Scope::Service(Key::new(key.namespace, key.name)),
        // It may appear in any namespace.
        None => Scope::All,
    }
}

/// The instance that this server is of the service that Consul's servers are.
pub(crate) fn own_instance(state: &State) -> Arc<Instance> {
    let registration = ServiceInstance {
        spec: portolan_api::typed::ServiceInstanceSpec {
            extensions: [(entry::EXTENSION.to_owned(), serde_json::json!({"ofNode": true, "catalog": true}))]
                .into_iter()
                .collect(),
            ..Default::default()
        },
        ..ServiceInstance::default()
    };
    Arc::new(Instance {
        name: OWN_SERVICE.into(),
        service: OWN_SERVICE.into(),
        namespace: "default".into(),
        id: OWN_SERVICE.into(),
        address: state.address().into(),
        ports: Arc::new(vec![InstancePort { name: "".into(), port: SERVER_PORT, protocol: Protocol::Tcp }]),
        health: Health { status: Status::Passing, reason: "this server answers".into(), since: None },
        node: state.identity.node.clone(),
        tags: Arc::default(),
        labels: Default::default(),
        metadata: Arc::new([("version".to_owned(), state.identity.version.clone())].into()),
        version: state.identity.version.as_str().into(),
        weights: Weights::default(),
        locality: Arc::default(),
        ttl: None,
        origin: Origin::Registry,
        checks: Arc::new([]),
        registration: Some(Box::new(Registration::of(&registration, OWN_SERVICE.into()))),
        created_index: 1,
        modified_index: 1,
    })
}

/// All instances, this server's included.
pub(crate) fn everything(state: &State, snapshot: &Snapshot) -> impl Iterator<Item = Arc<Instance>> {
    let known = find_service(snapshot, OWN_SERVICE).is_some();
    let own = (!known).then(|| own_instance(state));
    own.into_iter().chain(snapshot.instances().flat_map(|(_, list)| list.iter().cloned()))
}

/// A list of the entries that the filter lets through.
pub(crate) fn filtered(filter: &Filter, entries: impl Iterator<Item = Value>) -> Value {
    if filter.is_empty() { entries.collect() } else { entries.filter(|entry| filter.lets(entry)).collect() }
}
