//! Registering machines, services and checks directly, as what runs outside of any agent does.

use std::sync::Arc;

use http::{Method, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::{ExternalNodeSpec, HealthCheckStatus, ServiceInstance, ServiceInstanceStatus};
use portolan_catalog::Origin;
use portolan_client::Key;
use portolan_registrar::http::{Body, Request};
use portolan_registrar::limits::Client;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::body::Fields;
use crate::catalog::Wanted;
use crate::entry::{AGENT_TAGS, EXTENSION};
use crate::machine::Machine;
use crate::owner::{NAMESPACE, put_check, record};
use crate::parameters::Parameters;
use crate::state::State;
use crate::translate::{self, ExternalCheck, Service, Via};
use crate::txn::Journal;
use crate::{Error, answer, entry};

/// Refuses a write that is meant for another datacenter.
fn check_datacenter(state: &State, request: &Request, fields: &Fields) -> Result<(), Error> {
    state.check_datacenter(&Parameters::of(request))?;
    let datacenter = fields.text("Datacenter")?;
    if !datacenter.is_empty() && datacenter != *state.identity.datacenter {
        return Err(Error::Internal("No path to datacenter".into()));
    }
    Ok(())
}

/// `PUT /v1/catalog/register`
pub(super) async fn register(state: &State, request: &Request, asked: Wanted) -> Result<Response<Body>, Error> {
    check_datacenter(state, request, &asked.fields)?;
    let Wanted { fields, node, skips, .. } = &asked;
    let address = fields.text("Address")?;
    let address = match asked.known() {
        Some(known) if *skips && address.is_empty() => known.address.clone(),
        _ => address,
    };
    if node.is_empty() || address.is_empty() {
        return Err(Error::BadRequest("Must provide node and address".into()));
    }
    // All is read before anything is written.
    let service_fields = fields.fields("Service")?;
    let service = service_fields.map(|fields| translate::service(&fields, Via::Catalog, node, &address)).transpose()?;
    let mut listed = fields.list("Checks")?;
    listed.extend(fields.fields("Check")?);
    let checks = listed.iter().map(translate::external_check).collect::<Result<Vec<_>, _>>()?;
    let (of_services, of_node): (Vec<_>, Vec<_>) = checks.into_iter().partition(|check| !check.service_id.is_empty());

    for fields in &listed {
        let named = fields.text("Node")?;
        if !named.is_empty() && !named.eq_ignore_ascii_case(node) {
            let id = fields.first_text(&["CheckID", "ID", "Name"])?;
            let words = format!("Node '{named}' for check '{id}' doesn't match register request node '{node}'");
            return Err(Error::Internal(words));
        }
    }
    let is_made = |id: &str| service.as_ref().is_some_and(|service| service.id == id);
    for check in of_services.iter().filter(|check| !is_made(&check.service_id)) {
        owner_of(state, node, &check.service_id, &check.check.id)?;
    }
    let wanted = (!skips).then(|| machine(fields, "NodeMeta")).transpose()?;

    let former = former_name(state, &asked)?;
    let registration = Registration { node, former, wanted, of_node, service, of_services };
    let mut journal = Journal::default();
    if let Err(error) = registration.write(state, &request.client(), &mut journal).await {
        journal.put_back(state).await;
        return Err(error);
    }
    answer::json(&true, Parameters::of(request).has("pretty"))
}

/// What one request registers: all of it or nothing.
struct Registration<'a> {
    node: &'a str,
    /// The name that the machine had: under that it goes, with all that is on it.
    former: Option<String>,
    /// What is said of the machine; nothing if it stays as it is.
    wanted: Option<ExternalNodeSpec>,
    of_node: Vec<ExternalCheck>,
    service: Option<Service>,
    of_services: Vec<ExternalCheck>,
}

impl Registration<'_> {
    async fn write(self, state: &State, client: &Client, journal: &mut Journal) -> Result<(), Error> {
        let Self { node, former, wanted, of_node, service, of_services } = self;
        if let Some(former) = former {
            on_node(state, &former).iter().for_each(|object| journal.instance(state, Key::of(&**object)));
            journal.machine(state, &former).await?;
            remove_node(state, &former).await?;
        }
        register_node(state, journal, node, wanted, &of_node).await?;
        let (own, others): (Vec<_>, Vec<_>) = of_services
            .iter()
            .partition(|check| service.as_ref().is_some_and(|service| service.id == check.service_id));
        if let Some(service) = &service {
            journal.instance(state, state.key(node, &service.id));
            register_service(state, client, node, service, &own).await?;
        }
        for check in &others {
            if let Some(object) = find(state, node, &check.service_id) {
                journal.instance(state, Key::of(&*object));
            }
        }
        add_checks(state, node, others.into_iter()).await
    }
}

/// What is said of a machine; its metadata stands in the field `metadata`.
pub(crate) fn machine(fields: &Fields, metadata: &str) -> Result<ExternalNodeSpec, Error> {
    let node_id = fields.text("ID")?;
    if let Some(problem) = not_a_uuid(&node_id).filter(|_| !node_id.is_empty()) {
        return Err(Error::Internal(format!("Bad node ID: {problem}")));
    }
    Ok(ExternalNodeSpec {
        node_id,
        address: fields.text("Address")?,
        tagged_addresses: fields.text_map("TaggedAddresses")?,
        metadata: fields.text_map(metadata)?,
        locality: translate::locality(fields)?,
        ..ExternalNodeSpec::default()
    })
}

/// Why this is no UUID as Consul writes it.
fn not_a_uuid(text: &str) -> Option<&'static str> {
    const LENGTH: usize = 36;
    if text.len() != LENGTH {
        return Some("uuid string is wrong length");
    }
    Uuid::try_parse(text).is_err().then_some("uuid is improperly formatted")
}

/// The name that a machine had before. A node of the cluster neither loses its name to another machine nor takes the
/// place of one.
fn former_name(state: &State, asked: &Wanted) -> Result<Option<String>, Error> {
    let Some(former) = &asked.former else { return Ok(None) };
    let Wanted { fields, node, .. } = asked;
    let (id, address) = (fields.text("ID")?, fields.text("Address")?);
    let refused = |why: String| {
        Err(Error::Internal(format!("failed inserting node: Error while renaming Node ID: {id:?} ({address}): {why}")))
    };
    if former.origin == Origin::Orchestrator {
        return refused(format!("it is that of {}, a node of the cluster", former.name));
    }
    // It was judged a moment ago, and goes only if it is still the one.
    let machines = state.machines(&state.snapshot());
    if machines.get(&former.name).is_none_or(|now| now.id != former.id) {
        return refused(format!("{} has changed at the same time; try again", former.name));
    }
    match machines.get(node).filter(|_| state.is_of_cluster(node)) {
        // As Consul says of a name that a healthy node has.
        Some(known) => {
            let Machine { id, name, address, .. } = &**known;
            refused(format!("Node name {node} is reserved by node {id} with name {name} ({address})"))
        }
        None => Ok(Some(former.name.to_string())),
    }
}

/// Registers a machine as it is `wanted`, or leaves it as it is, and adds checks to it. What was there before is
/// noted in the journal.
pub(crate) async fn register_node(
    state: &State,
    journal: &mut Journal,
    node: &str,
    wanted: Option<ExternalNodeSpec>,
    checks: &[ExternalCheck],
) -> Result<(), Error> {
    // A machine of the cluster is what the cluster says; checks may be added to it.
    let wanted = wanted.filter(|_| !state.is_of_cluster(node));
    if wanted.is_none() && checks.is_empty() {
        return Ok(());
    }
    journal.machine(state, node).await?;
    state
        .change_machine(node, |spec| {
            if let Some(wanted) = &wanted {
                spec.node_id.clone_from(&wanted.node_id);
                spec.address.clone_from(&wanted.address);
                spec.tagged_addresses.clone_from(&wanted.tagged_addresses);
                spec.metadata.clone_from(&wanted.metadata);
                spec.locality.clone_from(&wanted.locality);
            }
            for new in checks {
                put_check(&mut spec.checks, &new.check);
            }
        })
        .await?;
    if !checks.is_empty() {
        let now = Time(state.clock.now());
        state
            .change_machine_status(node, |results| {
                for new in checks {
                    record(results, &new.check, new.found.health, &new.found.output, &now);
                }
            })
            .await?;
    }
    Ok(())
}

pub(crate) async fn register_service(
    state: &State,
    client: &Client,
    node: &str,
    service: &Service,
    checks: &[&ExternalCheck],
) -> Result<(), Error> {
    let key = state.key(node, &service.id);
    let present = state.registrar.instance(&key);
    let present = replaceable(state, present, &service.name).await?;
    let mut object = ServiceInstance::default();
    object.metadata.name = Some(key.name.to_string());
    object.metadata.namespace = Some(NAMESPACE.to_owned());
    object.spec = service.spec.clone();
    if let Some(present) = &present {
        if present.spec.enable_tag_override && entry::extension(Some(present), "catalog").is_null() {
            // The agent goes on saying what it said; of all that, others may change the tags.
            object.spec.clone_from(&present.spec);
            object.spec.tags.clone_from(&service.spec.tags);
            let known = entry::extension(Some(present), AGENT_TAGS);
            let of_agent = if known.is_null() { present.spec.tags.clone().into() } else { known.clone() };
            set_extension(&mut object.spec.extensions, AGENT_TAGS, of_agent);
        }
        // What was registered of it before stays; checks of this registration replace those of the same id.
        object.spec.checks.clone_from(&present.spec.checks);
        object.spec.administrative.clone_from(&present.spec.administrative);
        if let Some(definitions) = present.spec.extensions.get(EXTENSION).and_then(|known| known.get("definitions")) {
            set_extension(&mut object.spec.extensions, "definitions", definitions.clone());
        }
    }
    let now = Time(state.clock.now());
    let mut results: Vec<HealthCheckStatus> = present
        .as_ref()
        .and_then(|present| present.status.as_ref())
        .map_or_else(Vec::new, |status| status.checks.clone());
    for new in checks {
        add_check(&mut object, new);
        record(&mut results, &new.check, new.found.health, &new.found.output, &now);
    }
    object.status = Some(ServiceInstanceStatus { checks: results.clone(), since: Some(now), ..Default::default() });
    client.note_on(&mut object);
    let (_, written) = state.registrar.register(object).await?;
    let written = if checks.is_empty() {
        written
    } else {
        state.registrar.change_status(&key, |_, status| status.checks.clone_from(&results)).await?
    };
    state.settle(&written).await;
    Ok(())
}

/// The instance that a registration changes. One of another service under the same id makes room.
pub(crate) async fn replaceable(
    state: &State,
    present: Option<Arc<ServiceInstance>>,
    service: &str,
) -> Result<Option<Arc<ServiceInstance>>, Error> {
    match present {
        Some(present) if present.spec.service != service => {
            state.registrar.deregister(&Key::of(&*present)).await?;
            state.settle_removed(&present).await;
            Ok(None)
        }
        present => Ok(present),
    }
}

/// Adds or replaces a check of an instance.
fn add_check(object: &mut ServiceInstance, new: &ExternalCheck) {
    put_check(&mut object.spec.checks, &new.check);
    if let Some(definition) = &new.definition {
        let known = object.spec.extensions.get(EXTENSION).and_then(|known| known.get("definitions"));
        let mut definitions = known.and_then(Value::as_object).cloned().unwrap_or_default();
        definitions.insert(new.check.id.clone(), definition.clone());
        set_extension(&mut object.spec.extensions, "definitions", definitions.into());
    }
}

/// Notes what only this dialect knows of a registration.
pub(crate) fn set_extension(extensions: &mut Map<String, Value>, field: &str, value: Value) {
    let known = extensions.entry(EXTENSION.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Some(known) = known.as_object_mut() {
        known.insert(field.to_owned(), value);
    }
}

/// Adds checks to instances that are registered already.
pub(crate) async fn add_checks<'a>(
    state: &State,
    node: &str,
    checks: impl Iterator<Item = &'a ExternalCheck>,
) -> Result<(), Error> {
    let now = Time(state.clock.now());
    for new in checks {
        let Some(present) = find(state, node, &new.service_id) else {
            // It was there a moment ago.
            return Err(Error::Internal(format!("failed inserting check: Missing service {:?}", new.service_id)));
        };
        let key = Key::of(&*present);
        state
            .registrar
            .change_spec(&key, |spec| {
                let mut object = ServiceInstance { spec: std::mem::take(spec), ..ServiceInstance::default() };
                add_check(&mut object, new);
                *spec = object.spec;
            })
            .await?;
        let written = state
            .registrar
            .change_status(&key, |_, status| {
                record(&mut status.checks, &new.check, new.found.health, &new.found.output, &now);
            })
            .await?;
        state.settle(&written).await;
    }
    Ok(())
}

/// A registration by its machine and id, whichever dialect it came through.
pub(crate) fn find(state: &State, node: &str, id: &str) -> Option<Arc<ServiceInstance>> {
    let by_key = state.registrar.instance(&state.key(node, id)).filter(|object| object.spec.instance_id == id);
    let of_other_names =
        || state.registrar.with_id(NAMESPACE, id).into_iter().find(|object| is_on(state, node, object));
    by_key.or_else(of_other_names)
}

/// The instance on a machine that a check is to be of.
pub(crate) fn owner_of(state: &State, node: &str, service: &str, check: &str) -> Result<Arc<ServiceInstance>, Error> {
    let unknown = || Error::Internal(format!("Unknown service ID '{service}' for check ID '{check}'"));
    find(state, node, service).ok_or_else(unknown)
}

/// All registrations of a machine.
pub(crate) fn on_node(state: &State, node: &str) -> Vec<Arc<ServiceInstance>> {
    let mut objects = state.registrar.informer().in_namespace(NAMESPACE);
    objects.retain(|object| is_on(state, node, object));
    objects
}

/// Whether an instance is on a machine; one that is not said is the agent's.
fn is_on(state: &State, node: &str, object: &ServiceInstance) -> bool {
    object.spec.node == node || (object.spec.node.is_empty() && node == &*state.identity.node)
}

/// `PUT /v1/catalog/deregister`: an instance, a check, or a machine with all that is on it.
pub(super) async fn deregister(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let fields = Fields::parse(&request.body)?;
    check_datacenter(state, request, &fields)?;
    let node = fields.text("Node")?;
    if node.is_empty() {
        return Err(Error::BadRequest("Must provide node".into()));
    }
    let node = state.node_name(&node);
    let (service, check) = (fields.text("ServiceID")?, fields.text("CheckID")?);
    if !service.is_empty() {
        if let Some(object) = find(state, &node, &service) {
            remove(state, &object).await?;
        }
    } else if !check.is_empty() {
        remove_check(state, &node, &check).await?;
    } else {
        remove_node(state, &node).await?;
    }
    answer::json(&true, Parameters::of(request).has("pretty"))
}

/// Removes a machine with all that is on it.
pub(crate) async fn remove_node(state: &State, node: &str) -> Result<(), Error> {
    for object in on_node(state, node) {
        remove(state, &object).await?;
    }
    state.remove_machine(node).await
}

pub(crate) async fn remove(state: &State, object: &ServiceInstance) -> Result<(), Error> {
    match state.registrar.deregister(&Key::of(object)).await {
        // Somebody else was faster; it is gone either way.
        Ok(()) | Err(portolan_registrar::Error::NotFound(_)) => {
            state.settle_removed(object).await;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes a check from all on a machine that have one of that id, and from the machine.
async fn remove_check(state: &State, node: &str, id: &str) -> Result<(), Error> {
    for object in on_node(state, node) {
        remove_check_of(state, &object, id).await?;
    }
    remove_check_of_machine(state, node, id).await
}

/// Removes a check of an instance.
pub(crate) async fn remove_check_of(state: &State, object: &ServiceInstance, id: &str) -> Result<(), Error> {
    if object.spec.checks.iter().any(|check| check.id == id) {
        let key = Key::of(object);
        let written = state.registrar.change_spec(&key, |spec| spec.checks.retain(|check| check.id != id)).await?;
        state.settle(&written).await;
    }
    Ok(())
}

/// Removes a check of a machine itself.
pub(crate) async fn remove_check_of_machine(state: &State, node: &str, id: &str) -> Result<(), Error> {
    if state.machine(node).await?.is_some() {
        state.change_machine(node, |spec| spec.checks.retain(|check| check.id != id)).await?;
    }
    Ok(())
}
