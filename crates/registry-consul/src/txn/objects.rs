//! Steps of a transaction on nodes, services and checks.
//!
//! These are objects of the API, each written by itself. So that a transaction is all or nothing to its
//! caller, every step is judged before anything is written, and what was written is put back if a later
//! write fails. Readers may see the writes one after the other.

use std::collections::HashMap;

use portolan_api::typed::{ExternalNode, ServiceInstance};
use portolan_catalog::{Instance, Snapshot};
use portolan_client::Key;
use portolan_registrar::access::{Resource, Verb as Right};
use portolan_registrar::limits::Client;
use serde_json::{Value, json};

use crate::acl::{Access, Authorizer};
use crate::body::Fields;
use crate::catalog::register;
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
    Node(portolan_api::typed::ExternalNodeSpec),
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
                Target::Node(register::machine(&fields, "Meta")?)
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

    /// What the cluster's rules must allow.
    pub(super) fn rights(&self, state: &State) -> Vec<(Right, Resource)> {
        let Identity { kind, node, id } = &self.identity;
        let right = match self.verb {
            Verb::Get => Right::Get,
            Verb::Set | Verb::Cas(_) => Right::Update,
            Verb::Delete | Verb::DeleteCas(_) => Right::Delete,
        };
        let resource = match kind {
            Kind::Node => Resource::Machines,
            Kind::Check if register::find(state, node, &self.service).is_none() => Resource::Machines,
            Kind::Service | Kind::Check => Resource::Instances,
        };
        let creates = matches!(self.target, Target::Service(_)) && register::find(state, node, id).is_none();
        let mut rights = vec![(if creates { Right::Create } else { right }, resource)];
        if *kind == Kind::Node && right == Right::Delete {
            rights.push((Right::Delete, Resource::Instances));
        }
        rights
    }

    /// Whether a token of Consul allows it.
    pub(super) fn permit(&self, state: &State, authorizer: &Authorizer) -> Result<(), Error> {
        let Identity { kind, node, id } = &self.identity;
        let (of_node, of_service) = match self.verb {
            Verb::Get => (Access::NodeRead, Access::ServiceRead),
            _ => (Access::NodeWrite, Access::ServiceWrite),
        };
        let present = |id: &str| register::find(state, node, id).map(|object| object.spec.service.clone());
        match kind {
            Kind::Node => authorizer.require(of_node, node),
            Kind::Service => {
                let names = [Some(self.service.clone()).filter(|name| !name.is_empty()), present(id)];
                names.into_iter().flatten().try_for_each(|name| authorizer.require(of_service, &name))
            }
            Kind::Check => match present(&self.service).or_else(|| owner_of_check(state, node, id)) {
                Some(service) => authorizer.require(of_service, &service),
                None => authorizer.require(of_node, node),
            },
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
                let of_services = register::on_node(state, node).into_iter().filter_map(|object| {
                    let instance = shown(snapshot, &object)?;
                    entry::service_checks(instance, machine).into_iter().find(|check| check["CheckID"] == *id)
                });
                let mut of_node = entry::node_checks(machine).filter(|check| check["CheckID"] == *id);
                of_services.into_iter().next().or_else(|| of_node.next())
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
        let Identity { kind, node, id } = &self.identity;
        match (&self.target, self.verb) {
            (_, Verb::Get) => Ok(()),
            (Target::Node(wanted), _) => {
                journal.machine(state, node).await?;
                register::register_node(state, node, Some(wanted.clone()), &[]).await
            }
            (Target::Service(service), _) => {
                journal.instance(state, state.key(node, id));
                register::register_service(state, client, node, service, &[]).await
            }
            (Target::Check(check), _) if check.service_id.is_empty() => {
                journal.machine(state, node).await?;
                register::register_node(state, node, None, std::slice::from_ref(check)).await
            }
            (Target::Check(check), _) => {
                if let Some(object) = register::find(state, node, &check.service_id) {
                    journal.instance(state, Key::of(&*object));
                }
                register::add_checks(state, node, std::iter::once(&**check)).await
            }
            (Target::Named, _) => {
                let objects = register::on_node(state, node).into_iter();
                match kind {
                    Kind::Node => {
                        objects.for_each(|object| journal.instance(state, Key::of(&*object)));
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
                        let with_check =
                            objects.filter(|object| object.spec.checks.iter().any(|check| check.id == *id));
                        with_check.for_each(|object| journal.instance(state, Key::of(&*object)));
                        journal.machine(state, node).await?;
                        register::remove_check(state, node, id).await
                    }
                }
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
    let is_it = |instance: &&std::sync::Arc<Instance>| {
        instance.registration.as_ref().is_some_and(|shown| Some(shown.name()) == object.metadata.name.as_deref())
    };
    instances.iter().find(is_it).map(|instance| &**instance)
}

/// Name of the service on a node that has a check.
fn owner_of_check(state: &State, node: &str, id: &str) -> Option<String> {
    let mut objects = register::on_node(state, node).into_iter();
    let owner = objects.find(|object| object.spec.checks.iter().any(|check| check.id == id))?;
    Some(owner.spec.service.clone())
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

/// Does the steps; of those that fail the first is told, and everything is as it was before.
pub(super) async fn apply(
    state: &State,
    client: &Client,
    steps: &[(usize, Step)],
    journal: &mut Journal,
) -> Result<Option<(usize, String)>, Error> {
    for (number, step) in steps {
        if let Err(error) = step.apply(state, client, journal).await {
            journal.put_back(state).await?;
            return Ok(Some((*number, error.to_string())));
        }
    }
    Ok(None)
}

/// What was there before the first write.
#[derive(Default)]
pub(super) struct Journal {
    machines: Vec<(String, Option<ExternalNode>)>,
    instances: Vec<(Key, Option<ServiceInstance>)>,
}

impl Journal {
    async fn machine(&mut self, state: &State, node: &str) -> Result<(), Error> {
        if !self.machines.iter().any(|(known, _)| known == node) {
            self.machines.push((node.to_owned(), state.machine(node).await?));
        }
        Ok(())
    }

    fn instance(&mut self, state: &State, key: Key) {
        if !self.instances.iter().any(|(known, _)| *known == key) {
            let before = state.registrar.instance(&key).map(std::sync::Arc::unwrap_or_clone);
            self.instances.push((key, before));
        }
    }

    /// Puts everything back.
    pub(super) async fn put_back(&mut self, state: &State) -> Result<(), Error> {
        for (node, before) in self.machines.drain(..).rev() {
            match before {
                Some(before) => {
                    state.change_machine(&node, |spec| spec.clone_from(&before.spec)).await?;
                    let checks = before.status.map(|status| status.checks).unwrap_or_default();
                    state.change_machine_status(&node, |found| found.clone_from(&checks)).await?;
                }
                None => state.remove_machine(&node).await?,
            }
        }
        for (key, before) in self.instances.drain(..).rev() {
            match (before, state.registrar.instance(&key)) {
                (None, None) => {}
                (None, Some(object)) => register::remove(state, &object).await?,
                (Some(before), present) => {
                    let status = before.status.clone().unwrap_or_default();
                    let mut object = before;
                    object.metadata.resource_version = None;
                    object.metadata.uid = None;
                    let (_, mut written) = state.registrar.register(object).await?;
                    if present.is_some() {
                        written = state.registrar.change_status(&key, |_, now| now.clone_from(&status)).await?;
                    }
                    state.settle(&written).await;
                }
            }
        }
        Ok(())
    }
}
