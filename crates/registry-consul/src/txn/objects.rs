//! Steps of a transaction on nodes, services and checks.
//!
//! These are objects of the API, each written by itself. So that a transaction is all or nothing to its
//! caller, every step is judged before anything is written, and what was written is put back if a later
//! write fails. Readers may see the writes one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use portolan_api::typed::ServiceInstance;
use portolan_catalog::{Instance, Snapshot};
use portolan_client::Key;
use portolan_registrar::access::{Resource, Verb as Right};
use portolan_registrar::limits::Client;
use serde_json::{Value, json};

use super::journal::Journal;
use crate::acl::{Access, Authorizer};
use crate::body::Fields;
use crate::catalog::register;
use crate::machine::Machine;
use crate::state::State;
use crate::translate::{self, ExternalCheck, Service, Via};
use crate::{Error, entry};

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Set,
    /// Writes if it was last changed at this index; 0: if there is none.
    Cas(u64),
    Delete,
    DeleteCas(u64),
}

/// What a step is about.
#[derive(Debug)]
pub(super) enum Target {
    Node(Box<portolan_api::typed::ExternalNodeSpec>),
    Service(Box<Service>),
    Check(Box<ExternalCheck>),
    /// One that is only named.
    Named,
}

/// Which node, service or check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    kind: Kind,
    node: String,
    /// Of the service or check; empty for a node.
    id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Node,
    Service,
    Check,
}

/// What a step on a check is applied to: checks of these instances, and that of the machine.
struct Touched {
    owners: Vec<Arc<ServiceInstance>>,
    machine: bool,
}

/// Names of the services that a transaction registers, by node and id.
type Made<'a> = HashMap<(&'a str, &'a str), Vec<&'a str>>;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    verb: Verb,
    identity: Identity,
    target: Target,
    /// Name of the service that a step is about, or the id of the one that a check is of.
    service: String,
}

impl Step {
    /// Reads a step on a node.
    pub(super) fn node(operation: &Fields) -> Result<Self, Error> {
        let fields = operation.fields("Node")?.unwrap_or_default();
        let verb = verb(operation, &fields, "Node")?;
        let node = required(&fields, "Node")?;
        let target = match verb {
            Verb::Set | Verb::Cas(_) => {
                required(&fields, "Address")?;
                Target::Node(Box::new(register::machine(&fields, "Meta")?))
            }
            _ => Target::Named,
        };
        let identity = Identity { kind: Kind::Node, node, id: String::new() };
        Ok(Self { verb, identity, target, service: String::new() })
    }

    /// Reads a step on a service. `address` tells what a node is reached by.
    pub(super) fn service(operation: &Fields, address: impl Fn(&str) -> String) -> Result<Self, Error> {
        let fields = operation.fields("Service")?.unwrap_or_default();
        let (verb, node) = (verb(operation, &fields, "Service")?, required(operation, "Node")?);
        let name = fields.first_text(&["Service", "Name"])?;
        let id = Some(fields.text("ID")?).filter(|id| !id.is_empty()).unwrap_or_else(|| name.clone());
        if id.is_empty() {
            return Err(Error::BadRequest("Failed to parse body: a Service operation names no ID".into()));
        }
        let target = match verb {
            Verb::Set | Verb::Cas(_) => {
                Target::Service(Box::new(translate::service(&fields, Via::Catalog, &node, &address(&node))?))
            }
            _ => Target::Named,
        };
        Ok(Self { verb, identity: Identity { kind: Kind::Service, node, id }, target, service: name })
    }

    /// Reads a step on a check.
    pub(super) fn check(operation: &Fields) -> Result<Self, Error> {
        let fields = operation.fields("Check")?.unwrap_or_default();
        let (verb, node) = (verb(operation, &fields, "Check")?, required(&fields, "Node")?);
        let id = fields.first_text(&["CheckID", "ID"])?;
        let target = match verb {
            Verb::Set | Verb::Cas(_) => Target::Check(Box::new(translate::external_check(&fields)?)),
            _ => Target::Named,
        };
        let id = match &target {
            Target::Check(check) => check.check.id.clone(),
            _ => id,
        };
        if id.is_empty() {
            return Err(Error::BadRequest("Failed to parse body: a Check operation names no CheckID".into()));
        }
        let service = fields.text("ServiceID")?;
        Ok(Self { verb, identity: Identity { kind: Kind::Check, node, id }, target, service })
    }

    pub(super) fn writes(&self) -> bool {
        self.verb != Verb::Get
    }

    /// The instance that the step registers.
    pub(super) fn registers(&self, state: &State) -> Option<Key> {
        matches!(self.target, Target::Service(_)).then(|| state.key(&self.identity.node, &self.identity.id))
    }

    /// What a step on a check is applied to. One that names its service is about that instance's check, a written
    /// one that names none about the machine's; else it is about every check of that id that the machine has.
    fn touched(&self, state: &State, snapshot: &Snapshot) -> Touched {
        let Identity { node, id, .. } = &self.identity;
        if !self.service.is_empty() {
            return Touched {
                owners: register::find(state, node, &self.service).into_iter().collect(),
                machine: false,
            };
        }
        if matches!(self.verb, Verb::Set | Verb::Cas(_)) {
            return Touched { owners: Vec::new(), machine: true };
        }
        let machines = state.machines(snapshot);
        let machine = machines.get(node);
        let mut owners = register::on_node(state, node);
        owners.retain(|object| {
            let registered = object.spec.checks.iter().any(|check| check.id == *id);
            registered || machine.is_some_and(|machine| check_of(snapshot, object, machine, id).is_some())
        });
        let of_machine = machine.is_some_and(|machine| machine.checks.iter().any(|check| *check.id == **id));
        Touched { machine: of_machine || owners.is_empty(), owners }
    }

    /// What the cluster's rules must allow.
    pub(super) fn rights(&self, state: &State) -> Vec<(Right, Resource)> {
        let Identity { kind, node, id } = &self.identity;
        let right = match self.verb {
            Verb::Get => Right::Get,
            Verb::Set | Verb::Cas(_) => Right::Update,
            Verb::Delete | Verb::DeleteCas(_) => Right::Delete,
        };
        match kind {
            Kind::Node if right == Right::Delete => {
                vec![(right, Resource::Machines), (right, Resource::Instances)]
            }
            Kind::Node => vec![(right, Resource::Machines)],
            Kind::Service => {
                let creates = matches!(self.target, Target::Service(_)) && register::find(state, node, id).is_none();
                vec![(if creates { Right::Create } else { right }, Resource::Instances)]
            }
            Kind::Check => {
                let touched = self.touched(state, &state.snapshot());
                let of_machine = touched.machine.then_some((right, Resource::Machines));
                let of_instances =
                    (!touched.machine || !touched.owners.is_empty()).then_some((right, Resource::Instances));
                of_machine.into_iter().chain(of_instances).collect()
            }
        }
    }

    /// Whether a token of Consul allows it. `made` are the services that steps of the transaction register.
    fn permit(&self, state: &State, authorizer: &Authorizer, made: &Made<'_>) -> Result<(), Error> {
        let Identity { kind, node, id } = &self.identity;
        let (of_node, of_service) = match self.verb {
            Verb::Get => (Access::NodeRead, Access::ServiceRead),
            _ => (Access::NodeWrite, Access::ServiceWrite),
        };
        let require = |name: &str| authorizer.require(of_service, name);
        match kind {
            Kind::Node => authorizer.require(of_node, node),
            Kind::Service => {
                let replaced =
                    matches!(self.target, Target::Service(_)).then(|| state.registrar.instance(&state.key(node, id)));
                let present = register::find(state, node, id).into_iter().chain(replaced.flatten());
                present.into_iter().try_for_each(|object| require(&object.spec.service))?;
                if self.service.is_empty() { Ok(()) } else { require(&self.service) }
            }
            Kind::Check => {
                let touched = self.touched(state, &state.snapshot());
                if touched.machine {
                    authorizer.require(of_node, node)?;
                }
                let made = made.get(&(node.as_str(), self.service.as_str())).map_or(&[][..], Vec::as_slice);
                if touched.owners.is_empty() && made.is_empty() && !touched.machine {
                    // Of what is not there nothing is granted but by rules for all.
                    return require("");
                }
                touched.owners.iter().try_for_each(|owner| require(&owner.spec.service))?;
                made.iter().try_for_each(|name| require(name))
            }
        }
    }

    /// What is there now, in Consul's JSON.
    fn current(&self, state: &State, snapshot: &Snapshot) -> Option<Value> {
        let Identity { kind, node, id } = &self.identity;
        let machines = state.machines(snapshot);
        let machine = machines.get(node)?;
        match kind {
            Kind::Node => Some(entry::node(machine, &state.identity.datacenter)),
            Kind::Service => {
                let object = register::find(state, node, id)?;
                Some(entry::service(shown(snapshot, &object)?))
            }
            Kind::Check => {
                let touched = self.touched(state, snapshot);
                let of_owners = touched.owners.iter().find_map(|owner| check_of(snapshot, owner, machine, id));
                let mut of_machine = entry::node_checks(machine).filter(|check| check["CheckID"] == *id);
                of_owners.or_else(|| touched.machine.then(|| of_machine.next()).flatten())
            }
        }
    }

    /// What the answer tells of the step after it was done.
    pub(super) fn result(&self, state: &State) -> Option<Value> {
        if matches!(self.verb, Verb::Delete | Verb::DeleteCas(_)) {
            return None;
        }
        let kind = match self.identity.kind {
            Kind::Node => "Node",
            Kind::Service => "Service",
            Kind::Check => "Check",
        };
        self.current(state, &state.snapshot()).map(|current| json!({kind: current}))
    }

    async fn apply(&self, state: &State, client: &Client, journal: &mut Journal) -> Result<(), Error> {
        let Identity { node, id, .. } = &self.identity;
        match (&self.target, self.verb) {
            (_, Verb::Get) => Ok(()),
            (Target::Node(wanted), _) => {
                register::register_node(state, journal, node, Some((**wanted).clone()), &[]).await
            }
            (Target::Service(service), _) => {
                journal.instance(state, state.key(node, id));
                register::register_service(state, client, node, service, &[]).await
            }
            (Target::Check(check), _) if check.service_id.is_empty() => {
                register::register_node(state, journal, node, None, std::slice::from_ref(check)).await
            }
            (Target::Check(check), _) => {
                if let Some(object) = register::find(state, node, &check.service_id) {
                    journal.instance(state, Key::of(&*object));
                }
                register::add_checks(state, node, std::iter::once(&**check)).await
            }
            (Target::Named, _) => self.remove(state, journal).await,
        }
    }

    async fn remove(&self, state: &State, journal: &mut Journal) -> Result<(), Error> {
        let Identity { kind, node, id } = &self.identity;
        match kind {
            Kind::Node => {
                register::on_node(state, node).iter().for_each(|object| journal.instance(state, Key::of(&**object)));
                journal.machine(state, node).await?;
                register::remove_node(state, node).await
            }
            Kind::Service => match register::find(state, node, id) {
                Some(object) => {
                    journal.instance(state, Key::of(&*object));
                    register::remove(state, &object).await
                }
                None => Ok(()),
            },
            Kind::Check => {
                let touched = self.touched(state, &state.snapshot());
                for owner in &touched.owners {
                    journal.instance(state, Key::of(&**owner));
                    register::remove_check_of(state, owner, id).await?;
                }
                if touched.machine {
                    journal.machine(state, node).await?;
                    register::remove_check_of_machine(state, node, id).await?;
                }
                Ok(())
            }
        }
    }

    fn words(&self) -> String {
        let Identity { kind, node, id } = &self.identity;
        match kind {
            Kind::Node => format!("node {node:?}"),
            Kind::Service => format!("service {id:?} on node {node:?}"),
            Kind::Check => format!("check {id:?} on node {node:?}"),
        }
    }
}

fn required(fields: &Fields, name: &str) -> Result<String, Error> {
    let text = fields.text(name)?;
    if text.is_empty() {
        return Err(Error::BadRequest(format!("Failed to parse body: an operation names no {name}")));
    }
    Ok(text)
}

fn verb(operation: &Fields, fields: &Fields, kind: &str) -> Result<Verb, Error> {
    let index = fields.get("ModifyIndex").and_then(Value::as_u64).unwrap_or(0);
    match operation.text("Verb")?.as_str() {
        "get" => Ok(Verb::Get),
        "set" => Ok(Verb::Set),
        "cas" => Ok(Verb::Cas(index)),
        "delete" => Ok(Verb::Delete),
        "delete-cas" => Ok(Verb::DeleteCas(index)),
        other => Err(Error::BadRequest(format!("unknown {kind} verb {other:?}"))),
    }
}

/// The instance of the catalog that a registration is.
fn shown<'a>(snapshot: &'a Snapshot, object: &ServiceInstance) -> Option<&'a Instance> {
    let namespace = object.metadata.namespace.as_deref()?;
    let instances = snapshot.instances_of(namespace, &object.spec.service)?;
    let is_it = |instance: &&Arc<Instance>| {
        instance.registration.as_ref().is_some_and(|shown| Some(shown.name()) == object.metadata.name.as_deref())
    };
    instances.iter().find(is_it).map(|instance| &**instance)
}

/// A check of an instance, in Consul's JSON.
fn check_of(snapshot: &Snapshot, object: &ServiceInstance, machine: &Machine, id: &str) -> Option<Value> {
    entry::service_checks(shown(snapshot, object)?, machine).into_iter().find(|check| check["CheckID"] == *id)
}

/// The numbers of the steps that a token of Consul does not allow.
pub(super) fn denied(state: &State, authorizer: &Authorizer, steps: &[(usize, Step)]) -> Vec<usize> {
    let mut made = Made::new();
    for (_, step) in steps.iter().filter(|(_, step)| matches!(step.target, Target::Service(_))) {
        let Identity { node, id, .. } = &step.identity;
        made.entry((node, id)).or_default().push(&step.service);
    }
    let denied = steps.iter().filter(|(_, step)| step.permit(state, authorizer, &made).is_err());
    denied.map(|(number, _)| *number).collect()
}

/// Says which steps cannot be done, before any is: each is judged by what there is and what those before
/// it would make of that.
pub(super) fn refusals(state: &State, steps: &[(usize, Step)]) -> Vec<(usize, String)> {
    let snapshot = state.snapshot();
    // What earlier steps leave behind: whether it is there.
    let mut made: HashMap<&Identity, bool> = HashMap::new();
    let mut refused = Vec::new();
    for (number, step) in steps {
        let touched = made.get(&step.identity).copied();
        let current = if touched.is_none() { step.current(state, &snapshot) } else { None };
        let is_there = touched.unwrap_or(current.is_some());
        let has = |index: u64| current.as_ref().is_some_and(|current| current["ModifyIndex"] == index);
        let words = step.words();
        let problem = match step.verb {
            Verb::Get if !is_there => Some(format!("{words} doesn't exist")),
            Verb::Cas(0) if is_there => Some(format!("failed to set {words}, index is stale")),
            Verb::Cas(index) if index > 0 && !has(index) => Some(format!("failed to set {words}, index is stale")),
            Verb::DeleteCas(index) if is_there && !has(index) => {
                Some(format!("failed to delete {words}, index is stale"))
            }
            Verb::Set | Verb::Cas(_) => missing(state, &snapshot, &made, step),
            _ => None,
        };
        match problem {
            Some(problem) => refused.push((*number, problem)),
            None if step.writes() => {
                made.insert(&step.identity, matches!(step.verb, Verb::Set | Verb::Cas(_)));
            }
            None => {}
        }
    }
    refused
}

/// What a step needs to be there before.
fn missing(state: &State, snapshot: &Snapshot, made: &HashMap<&Identity, bool>, step: &Step) -> Option<String> {
    let node = &step.identity.node;
    let is_made = |kind: Kind, id: &str| made.get(&Identity { kind, node: node.clone(), id: id.to_owned() }).copied();
    let known = || state.machines(snapshot).get(node).is_some();
    if step.identity.kind != Kind::Node && !is_made(Kind::Node, "").unwrap_or_else(known) {
        return Some("Missing node registration".to_owned());
    }
    let of_service = step.identity.kind == Kind::Check && !step.service.is_empty();
    let known = || register::find(state, node, &step.service).is_some();
    (of_service && !is_made(Kind::Service, &step.service).unwrap_or_else(known))
        .then(|| "Missing service registration".to_owned())
}

/// Does the steps; of those that fail the first is told, and everything is put back as it was before.
pub(super) async fn apply(
    state: &State,
    client: &Client,
    steps: &[(usize, Step)],
    journal: &mut Journal,
) -> Result<(), (usize, String)> {
    for (number, step) in steps {
        if let Err(error) = step.apply(state, client, journal).await {
            journal.put_back(state).await;
            return Err((*number, error.to_string()));
        }
    }
    Ok(())
}
