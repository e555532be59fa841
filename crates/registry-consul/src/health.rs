//! The health of services and machines.

use http::Response;
use portolan_catalog::Snapshot;
use portolan_registrar::http::{Body, Request};
use serde_json::{Value, json};

use crate::bexpr::{CHECK, SERVICE_WITH_CHECKS};
use crate::route::Routed;
use crate::select::{Placed, Question, everything, filtered, scope_of};
use crate::sight::Sight;
use crate::state::State;
use crate::view::{self, Found, Scope};
use crate::{Error, entry};

/// Answers what is below `/v1/health`.
pub(crate) async fn route(state: &State, request: &Request, sight: &Sight, segments: &[&str]) -> Routed {
    Some(match segments {
        ["service", name] => service(state, request, sight, name, Kind::Plain).await,
        ["connect", name] => service(state, request, sight, name, Kind::Connect).await,
        ["ingress", name] => service(state, request, sight, name, Kind::Ingress).await,
        ["checks", name] => checks(state, request, sight, name).await,
        ["node", name] => node(state, request, sight, name).await,
        ["state", status] => with_status(state, request, sight, status).await,
        _ => return None,
    })
}

/// By which way a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Through the mesh.
    Connect,
    /// Through a gateway. Gateways are bound to services by entries of a configuration that this
    /// dialect does not have.
    Ingress,
}

async fn service(
    state: &State,
    request: &Request,
    sight: &Sight,
    name: &str,
    kind: Kind,
) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &SERVICE_WITH_CHECKS)?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing service name".into()));
    }
    let build = |snapshot: &Snapshot| {
        let placed = match kind {
            Kind::Plain => question.instances(state, snapshot, name),
            Kind::Connect if !question.elsewhere => {
                let instances = everything(state, snapshot).filter(|instance| entry::is_connect_for(instance, name));
                question.placed(state, snapshot, instances)
            }
            Kind::Connect | Kind::Ingress => Vec::new(),
        };
        let entries = placed.iter().map(|placed| with_checks(state, placed));
        Ok(Found::Value(filtered(&question.filter, entries)))
    };
    let scope = |snapshot: &Snapshot| match kind {
        Kind::Plain => scope_of(snapshot, name),
        Kind::Connect | Kind::Ingress => Scope::All,
    };
    let view = view::read(state, &question.options, question.asked(), scope, build).await?;
    view::respond(&question.options, view)
}

pub(crate) fn with_checks(state: &State, (instance, machine): &Placed) -> Value {
    let mut checks: Vec<Value> = entry::node_checks(machine).collect();
    checks.extend(entry::service_checks(instance, machine));
    json!({
        "Node": entry::node(machine, &state.identity.datacenter),
        "Service": entry::service(instance),
        "Checks": checks,
    })
}

async fn checks(state: &State, request: &Request, sight: &Sight, name: &str) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &CHECK)?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing service name".into()));
    }
    let build = |snapshot: &Snapshot| {
        let placed = question.instances(state, snapshot, name);
        let entries = placed.iter().flat_map(|(instance, machine)| entry::service_checks(instance, machine));
        Ok(Found::Value(filtered(&question.filter, entries)))
    };
    let scope = |snapshot: &Snapshot| scope_of(snapshot, name);
    let view = view::read(state, &question.options, question.asked(), scope, build).await?;
    view::respond(&question.options, view)
}

async fn node(state: &State, request: &Request, sight: &Sight, name: &str) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &CHECK)?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing node name".into()));
    }
    let build = |snapshot: &Snapshot| {
        let machines = state.machines(snapshot);
        let Some(machine) = machines.get(name).filter(|machine| !question.elsewhere && sight.takes_in_machine(machine))
        else {
            return Ok(Found::Value(json!([])));
        };
        let here = everything(state, snapshot).filter(|instance| machines.name_of(instance) == &*machine.name);
        let placed = question.placed(state, snapshot, here);
        let of_services = placed.iter().flat_map(|(instance, machine)| entry::service_checks(instance, machine));
        Ok(Found::Value(filtered(&question.filter, entry::node_checks(machine).chain(of_services))))
    };
    let view = view::read(state, &question.options, question.asked(), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}

async fn with_status(state: &State, request: &Request, sight: &Sight, status: &str) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, sight, &CHECK)?;
    if status.is_empty() {
        return Err(Error::BadRequest("Missing check state".into()));
    }
    let build = |snapshot: &Snapshot| {
        if question.elsewhere {
            return Ok(Found::Value(json!([])));
        }
        let machines = state.machines(snapshot);
        let of_machines = machines
            .all()
            .filter(|machine| question.wants_machine(machine))
            .flat_map(|machine| entry::node_checks(machine));
        let placed = question.placed(state, snapshot, everything(state, snapshot));
        let of_services = placed.iter().flat_map(|(instance, machine)| entry::service_checks(instance, machine));
        let wanted = of_machines.chain(of_services).filter(|check| status == "any" || check["Status"] == status);
        Ok(Found::Value(filtered(&question.filter, wanted)))
    };
    let view = view::read(state, &question.options, question.asked(), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}
