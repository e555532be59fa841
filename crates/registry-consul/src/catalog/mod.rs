//! The catalog: services and machines, and registering them directly.

pub(crate) mod register;
mod wanted;

pub(crate) use register::{replaceable, set_extension};
pub(crate) use wanted::Wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::{Method, Response};
use portolan_catalog::{Instance, Snapshot};
use portolan_registrar::http::{Body, Request};
use serde_json::{Map, Value, json};

use crate::bexpr::{Kind, NODE, NODE_SERVICE, SERVICE_NODE};
use crate::gate::Passed;
use crate::machine::Machine;
use crate::parameters::Parameters;
use crate::route::Routed;
use crate::select::{Question, distance, everything, filtered, scope_of};
use crate::sight::Sight;
use crate::state::State;
use crate::view::{self, Found, Scope};
use crate::{Error, answer, entry};

/// Answers what is below `/v1/catalog`.
pub(crate) async fn route(state: &State, request: &Request, passed: Passed, segments: &[&str]) -> Routed {
    let Passed { sight, wanted } = passed;
    let sight = &sight;
    Some(match segments {
        ["register"] => match wanted {
            Some(wanted) => register::register(state, request, wanted).await,
            None => Err(Error::method(&request.method, "PUT")),
        },
        ["deregister"] => register::deregister(state, request).await,
        ["datacenters"] if request.method != Method::GET => Err(Error::method(&request.method, "GET")),
        ["datacenters"] => answer::json(&[&state.identity.datacenter], Parameters::of(request).has("pretty")),
        ["nodes"] => nodes(state, request, sight).await,
        ["services"] => services(state, request, sight).await,
        ["service", name] => service(state, request, sight, name).await,
        ["connect", name] => connect(state, request, sight, name).await,
        ["node", name] => node(state, request, sight, name, false).await,
        ["node-services", name] => node(state, request, sight, name, true).await,
        ["gateway-services", _] => gateway_services(state, request, sight).await,
        _ => return None,
    })
}

async fn nodes(state: &State, request: &Request, sight: &Sight) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &NODE)?;
    let build = |snapshot: &Snapshot| {
        let machines = state.machines(snapshot);
        let mut wanted: Vec<&Arc<Machine>> =
            machines.all().filter(|machine| !question.elsewhere && question.wants_machine(machine)).collect();
        if let Some(from) = question.nearest(state, &machines) {
            wanted.sort_by_key(|machine| distance(&from, machine, &machine.locality));
        }
        let entries = wanted.into_iter().map(|machine| entry::node(machine, &state.identity.datacenter));
        Ok(Found::Value(filtered(&question.filter, entries)))
    };
    let view = view::read(state, &question.options, question.asked(), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}

/// Names of services, each with all tags of its instances.
async fn services(state: &State, request: &Request, sight: &Sight) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &SERVICE_NODE)?;
    let build = |snapshot: &Snapshot| {
        let mut services: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let machines = state.machines(snapshot);
        for instance in everything(state, snapshot).filter(|_| !question.elsewhere) {
            let machine = machines.of_instance(&instance);
            let fits = question.sees(&instance, &machine)
                && question.wants_machine(&machine)
                && (question.filter.is_empty()
                    || question.filter.lets(&entry::service_node(&instance, &machine, &state.identity.datacenter)));
            if fits {
                services.entry(entry::service_name(&instance)).or_default().extend(instance.tags.iter().cloned());
            }
        }
        Ok(Found::Value(json!(services)))
    };
    let view = view::read(state, &question.options, question.asked(), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}

async fn service(state: &State, request: &Request, sight: &Sight, name: &str) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &SERVICE_NODE)?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing service name".into()));
    }
    let build = |snapshot: &Snapshot| {
        let placed = question.instances(state, snapshot, name);
        let entries =
            placed.iter().map(|(instance, machine)| entry::service_node(instance, machine, &state.identity.datacenter));
        Ok(Found::Value(filtered(&question.filter, entries)))
    };
    let scope = |snapshot: &Snapshot| scope_of(snapshot, name);
    let view = view::read(state, &question.options, question.asked(), scope, build).await?;
    view::respond(&question.options, view)
}

/// Instances by which the mesh reaches a service.
async fn connect(state: &State, request: &Request, sight: &Sight, name: &str) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &SERVICE_NODE)?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing service name".into()));
    }
    let build = |snapshot: &Snapshot| {
        let instances = everything(state, snapshot).filter(|instance| entry::is_connect_for(instance, name));
        let placed = question.placed(state, snapshot, instances.filter(|_| !question.elsewhere));
        let entries =
            placed.iter().map(|(instance, machine)| entry::service_node(instance, machine, &state.identity.datacenter));
        Ok(Found::Value(filtered(&question.filter, entries)))
    };
    let view = view::read(state, &question.options, question.asked(), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}

/// Services that a gateway leads to. Gateways are bound to services by entries of a configuration
/// that this dialect does not have.
async fn gateway_services(state: &State, request: &Request, sight: &Sight) -> Result<Response<Body>, Error> {
    static GATEWAY: Kind = Kind::Fields(&[("GatewayKind", Kind::Text)]);
    let question = Question::of(state, request, sight, &GATEWAY)?;
    let build = |_: &Snapshot| Ok(Found::Value(json!([])));
    let view = view::read(state, &question.options, question.asked(), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}

/// A machine with its services, as a map by id or as a list.
async fn node(
    state: &State,
    request: &Request,
    sight: &Sight,
    name: &str,
    listed: bool,
) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &NODE_SERVICE)?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing node name".into()));
    }
    let build = |snapshot: &Snapshot| {
        let machines = state.machines(snapshot);
        let Some(machine) = machines.get(name).filter(|machine| !question.elsewhere && sight.takes_in_machine(machine))
        else {
            let nothing = if listed { json!({"Node": null, "Services": []}) } else { Value::Null };
            return Ok(Found::Value(nothing));
        };
        let mut on_it: Vec<Arc<Instance>> =
            everything(state, snapshot).filter(|instance| machines.name_of(instance) == &*machine.name).collect();
        on_it.retain(|instance| question.sees(instance, machine));
        on_it.sort_by(|left, right| (&left.id, &left.service).cmp(&(&right.id, &right.service)));
        let entries = on_it.iter().map(|instance| (instance, entry::service(instance)));
        let entries = entries.filter(|(_, entry)| question.filter.lets(entry));
        let services: Value = if listed {
            entries.map(|(_, entry)| entry).collect()
        } else {
            entries
                .map(|(instance, entry)| (entry::service_id(instance).into_owned(), entry))
                .collect::<Map<_, _>>()
                .into()
        };
        Ok(Found::Value(json!({"Node": entry::node(machine, &state.identity.datacenter), "Services": services})))
    };
    let view = view::read(state, &question.options, question.asked(), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}
