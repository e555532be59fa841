//! Checks of the agent.

use http::{Method, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::{CheckType, Health, HealthCheck, HealthCheckStatus};
use portolan_catalog::{Instance, Snapshot};
use portolan_client::Key;
use portolan_registrar::http::{Body, Request};
use serde_json::{Map, Value};

use super::service::local_instances;
use crate::bexpr::{CHECK, Filter};
use crate::body::Fields;
use crate::machine::SERF_HEALTH;
use crate::owner::{Owner, put_check, record};
use crate::parameters::Parameters;
use crate::settle::machine_object;
use crate::sight::Sight;
use crate::state::State;
use crate::{Error, answer, entry, translate};

/// The checks of the agent's machine; gossip is not the agent's.
pub(super) fn node_checks(state: &State, snapshot: &Snapshot) -> Vec<Value> {
    let machines = state.machines(snapshot);
    let own = machines.get(&state.identity.node);
    let checks = own.into_iter().flat_map(|machine| entry::node_checks(machine));
    let mut checks: Vec<Value> = checks.filter(|check| check["CheckID"] != SERF_HEALTH).collect();
    let key = Key::new("", machine_object(&state.identity.node));
    freshen(&mut checks, |id| state.registrar.machine_check_output(&key, id));
    checks
}

/// `GET /v1/agent/checks`
pub(super) fn list(state: &State, request: &Request, sight: &Sight) -> Result<Response<Body>, Error> {
    if request.method != Method::GET {
        return Err(Error::method(&request.method, "GET"));
    }
    let parameters = Parameters::of(request);
    let filter = Filter::parse(parameters.get("filter").unwrap_or_default(), &CHECK)?;
    let snapshot = state.snapshot();
    let machines = state.machines(&snapshot);
    let mut checks = match machines.get(&state.identity.node) {
        Some(machine) if !sight.takes_in_machine(machine) => Vec::new(),
        _ => node_checks(state, &snapshot),
    };
    for instance in local_instances(state, &snapshot) {
        if sight.takes_in(&instance, &machines.of_instance(&instance)) {
            checks.extend(newest(state, &instance));
        }
    }
    let wanted = checks.into_iter().filter(|check| filter.lets(check));
    let by_id: Map<String, Value> =
        wanted.map(|check| (check["CheckID"].as_str().unwrap_or_default().to_owned(), check)).collect();
    Ok(crate::acl::marked(answer::json(&by_id, parameters.has("pretty"))?, sight.take_hid()))
}

/// The checks of an instance with the newest words of each, which may not be written yet.
pub(super) fn newest(state: &State, instance: &Instance) -> Vec<Value> {
    let mut checks = entry::service_checks(instance, &state.machines(&state.snapshot()).of_instance(instance));
    if let Some(registration) = &instance.registration {
        let key = Key::new(&*instance.namespace, registration.name());
        freshen(&mut checks, |id| state.registrar.check_output(&key, id));
    }
    checks
}

fn freshen(checks: &mut [Value], newest: impl Fn(&str) -> Option<String>) {
    for check in checks {
        if let Some(words) = check["CheckID"].as_str().and_then(&newest) {
            check["Output"] = words.into();
        }
    }
}

/// `PUT /v1/agent/check/register`
pub(super) async fn register(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let fields = Fields::parse(&request.body)?;
    if fields.text("Name")?.is_empty() {
        return Err(Error::BadRequest("Missing check name".into()));
    }
    let (mut check, status) = translate::check(&fields)?;
    state.refuse_scripts([&check])?;
    if check.id.is_empty() {
        check.id.clone_from(&check.name);
    }
    let health = status.unwrap_or(Health::Critical);
    let now = Time(state.clock.now());
    let put = |checks: &mut Vec<HealthCheck>| put_check(checks, &check);
    let first = |results: &mut Vec<HealthCheckStatus>| {
        // What it found before is kept, so that nothing flaps.
        if results.iter().all(|found| found.id != check.id) {
            record(results, &check, health, "", &now);
        }
    };
    let service = fields.text("ServiceID")?;
    if service.is_empty() {
        let node = state.identity.node.to_string();
        let address = state.address();
        state
            .change_machine(&node, |spec| {
                if spec.address.is_empty() {
                    spec.address.clone_from(&address);
                }
                put(&mut spec.checks);
            })
            .await?;
        state.change_machine_status(&node, first).await?;
    } else {
        let Some(object) = state.local(&service) else {
            return Err(Error::NotFound(format!("ServiceID {service:?} does not exist")));
        };
        let key = Key::of(&*object);
        state.registrar.change_spec(&key, |spec| put(&mut spec.checks)).await?;
        let written = state.registrar.change_status(&key, |_, status| first(&mut status.checks)).await?;
        state.settle(&written).await;
    }
    Ok(answer::empty())
}

/// `PUT /v1/agent/check/deregister/ID`
pub(super) async fn deregister(state: &State, request: &Request, id: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    match state.owner(id).await?.0 {
        Owner::Instance(object) => {
            let written = state
                .registrar
                .change_spec(&Key::of(&*object), |spec| spec.checks.retain(|check| check.id != id))
                .await?;
            state.settle(&written).await;
        }
        Owner::Machine => {
            let node = state.identity.node.to_string();
            state.change_machine(&node, |spec| spec.checks.retain(|check| check.id != id)).await?;
        }
    }
    Ok(answer::empty())
}

/// `PUT /v1/agent/check/{pass,warn,fail}/ID?note=`
pub(super) async fn report(state: &State, request: &Request, verb: &str, id: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let health = match verb {
        "pass" => Health::Passing,
        "warn" => Health::Warning,
        _ => Health::Critical,
    };
    let note = Parameters::of(request).get("note").unwrap_or_default().to_owned();
    say(state, id, health, &note).await
}

/// `PUT /v1/agent/check/update/ID`
pub(super) async fn update(state: &State, request: &Request, id: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let fields = Fields::parse(&request.body)?;
    let status = fields.text("Status")?;
    let Some(Some(health)) = translate::health(&status) else {
        return Err(Error::BadRequest(format!("Invalid check status: '{status}'")));
    };
    say(state, id, health, &fields.text("Output")?).await
}

/// What an instance says of itself in time.
async fn say(state: &State, id: &str, health: Health, output: &str) -> Result<Response<Body>, Error> {
    let (owner, check) = state.owner(id).await?;
    if check.r#type != CheckType::Ttl {
        return Err(Error::Internal(format!("CheckID {id:?} does not have associated TTL")));
    }
    state.report(owner, &check, health, output).await?;
    Ok(answer::empty())
}
