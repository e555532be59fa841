//! Services of the agent.

use std::sync::Arc;

use http::{Method, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::{
    CheckType, Health, HealthCheck, InstanceOverride, Object, OverrideMode, ServiceInstance, ServiceInstanceStatus,
};
use portolan_base::go::parse_bool;
use portolan_catalog::{Instance, Key as CatalogKey, Snapshot};
use portolan_client::Key;
use portolan_registrar::http::{Body, Request};
use portolan_registrar::limits::Client;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::bexpr::{AGENT_SERVICE, Filter};
use crate::body::Fields;
use crate::catalog::set_extension;
use crate::entry::{AGENT_TAGS, SERVICE_MAINTENANCE_REASON};
use crate::owner::{NAMESPACE, put_check, record};
use crate::parameters::{Parameters, ReadOptions};
use crate::sight::Sight;
use crate::state::State;
use crate::translate::{self, FirstCheck, Service, Via};
use crate::view::{self, Found, Scope};
use crate::{Error, answer, entry};

/// Ports that sidecar proxies are given, as in Consul.
const SIDECAR_PORTS: std::ops::RangeInclusive<i32> = 21000..=21255;

/// The instances of this agent as the catalog shows them.
pub(super) fn local_instances(state: &State, snapshot: &Snapshot) -> Vec<Arc<Instance>> {
    let mut locals: Vec<Arc<Instance>> = state.locals().iter().filter_map(|object| shown(snapshot, object)).collect();
    locals.sort_by(|left, right| left.id.cmp(&right.id));
    locals
}

/// A registration as the catalog shows it.
pub(super) fn shown(snapshot: &Snapshot, object: &ServiceInstance) -> Option<Arc<Instance>> {
    let instances = snapshot.instances_of(object.namespace(), &object.spec.service)?;
    let is = |instance: &&Arc<Instance>| {
        instance.registration.as_ref().is_some_and(|registration| registration.name() == object.name())
    };
    instances.iter().find(is).cloned()
}

fn unknown(id: &str) -> Error {
    let text = format!("Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name.");
    Error::NotFound(text)
}

/// `GET /v1/agent/services`
pub(super) fn list(state: &State, request: &Request, sight: &Sight) -> Result<Response<Body>, Error> {
    if request.method != Method::GET {
        return Err(Error::method(&request.method, "GET"));
    }
    let parameters = Parameters::of(request);
    let filter = Filter::parse(parameters.get("filter").unwrap_or_default(), &AGENT_SERVICE)?;
    let (mut services, snapshot) = (Map::new(), state.snapshot());
    let machines = state.machines(&snapshot);
    for instance in local_instances(state, &snapshot) {
        if !sight.takes_in(&instance, &machines.of_instance(&instance)) {
            continue;
        }
        let entry = entry::agent_service(&instance, &state.identity.datacenter);
        if filter.lets(&entry) {
            services.insert(instance.id.to_string(), entry);
        }
    }
    Ok(crate::acl::marked(answer::json(&services, parameters.has("pretty"))?, sight.take_hid()))
}

/// `GET /v1/agent/service/ID`, which waits for another content if given the hash of one.
pub(super) async fn one(state: &State, request: &Request, id: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::GET {
        return Err(Error::method(&request.method, "GET"));
    }
    let parameters = Parameters::of(request);
    let mut options = ReadOptions::of(state, request, &parameters)?;
    // This waits by hash only.
    options.index = 0;
    let build = |snapshot: &Snapshot| {
        let Some(instance) = state.local(id).and_then(|object| shown(snapshot, &object)) else {
            let text = format!("unknown service ID: {id}. Ensure that the service ID is passed, not the service name.");
            return Ok(Found::Missing(text));
        };
        let mut service = entry::agent_service(&instance, &state.identity.datacenter);
        service["ContentHash"] = content_hash(&service).into();
        Ok(Found::Value(service))
    };
    let scope = |_: &Snapshot| match state.local(id) {
        Some(object) => Scope::Service(CatalogKey::new(object.namespace(), object.spec.service.as_str())),
        None => Scope::All,
    };
    let question = format!("{}?{}", request.path(), options.pretty);
    let view = view::read(state, &options, (&question, &Sight::everything()), scope, build).await?;
    let hash = view.hash();
    Ok(answer::with_hash(view::respond(&options, view)?, hash.as_deref().unwrap_or_default()))
}

fn content_hash(service: &Value) -> String {
    let digest = Sha256::digest(service.to_string().as_bytes());
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `PUT /v1/agent/service/register`
pub(super) async fn register(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let fields = Fields::parse(&request.body)?;
    let replaces = Parameters::of(request).switch("replace-existing-checks")?;
    let (node, address) = (state.identity.node.to_string(), state.address());
    let service = translate::service(&fields, Via::Agent, &node, &address)?;
    let checks = translate::service_checks(&fields, &service)?;
    let sidecar = match fields.fields("Connect")?.map(|connect| connect.fields("SidecarService")).transpose()?.flatten()
    {
        Some(sidecar) => Some(sidecar_of(state, &sidecar, &service, &node, &address)?),
        None => None,
    };
    let beside = sidecar.iter().flat_map(|(_, checks)| checks);
    state.refuse_scripts(checks.iter().chain(beside).map(|(check, _)| check))?;
    write(state, &request.client(), &service, &checks, replaces).await?;
    if let Some((sidecar, checks)) = sidecar {
        write(state, &request.client(), &sidecar, &checks, true).await?;
    }
    Ok(answer::empty())
}

/// The proxy that stands beside a service.
fn sidecar_of(
    state: &State,
    fields: &Fields,
    service: &Service,
    node: &str,
    address: &str,
) -> Result<(Service, Vec<FirstCheck>), Error> {
    let id = format!("{}-sidecar-proxy", service.id);
    let mut merged = Map::new();
    for field in ["Tags", "Meta", "Address", "Weights", "TaggedAddresses", "EnableTagOverride", "Locality"] {
        if let Some(value) = fields.get(field) {
            merged.insert(field.to_owned(), value.clone());
        }
    }
    let port = match fields.number("Port")? {
        Some(port) if port > 0 => port,
        _ => free_port(state, &id)?,
    };
    let local_port = service.spec.ports.first().map_or(0, |port| port.port);
    let mut proxy = fields.object("Proxy")?.cloned().unwrap_or_default();
    proxy.insert("DestinationServiceName".into(), service.name.clone().into());
    proxy.insert("DestinationServiceID".into(), service.id.clone().into());
    proxy.entry("LocalServiceAddress").or_insert_with(|| "127.0.0.1".into());
    proxy.entry("LocalServicePort").or_insert_with(|| local_port.into());
    merged.insert("ID".into(), id.clone().into());
    merged.insert("Name".into(), format!("{}-sidecar-proxy", service.name).into());
    merged.insert("Kind".into(), "connect-proxy".into());
    merged.insert("Port".into(), port.into());
    merged.insert("Proxy".into(), proxy.into());
    let sidecar = translate::service(&Fields::of(&merged), Via::Agent, node, address)?;
    let mut checks = translate::service_checks(fields, &sidecar)?;
    if checks.is_empty() {
        let listening = HealthCheck {
            id: format!("service:{id}:1"),
            name: "Connect Sidecar Listening".into(),
            r#type: CheckType::Tcp,
            address: format!("127.0.0.1:{port}"),
            interval_milliseconds: Some(10_000),
            ..HealthCheck::default()
        };
        let aliasing = HealthCheck {
            id: format!("service:{id}:2"),
            name: format!("Connect Sidecar Aliasing {}", service.id),
            r#type: CheckType::Alias,
            alias_service: service.id.clone(),
            ..HealthCheck::default()
        };
        checks = vec![(listening, None), (aliasing, None)];
    }
    Ok((sidecar, checks))
}

fn free_port(state: &State, id: &str) -> Result<i32, Error> {
    let locals = state.locals();
    if let Some(present) = locals.iter().find(|object| object.spec.instance_id == id)
        && let Some(port) = present.spec.ports.first()
    {
        return Ok(port.port);
    }
    let taken = |port: &i32| locals.iter().any(|object| object.spec.ports.iter().any(|known| known.port == *port));
    SIDECAR_PORTS.clone().find(|port| !taken(port)).ok_or_else(|| {
        Error::Internal("unable to assign a sidecar port: all ports from 21000 to 21255 are in use".into())
    })
}

async fn write(
    state: &State,
    client: &Client,
    service: &Service,
    checks: &[FirstCheck],
    replaces: bool,
) -> Result<(), Error> {
    let key = state.key(&state.identity.node, &service.id);
    let present = crate::catalog::replaceable(state, state.registrar.instance(&key), &service.name).await?;
    let mut object = ServiceInstance::default();
    object.metadata.name = Some(key.name.to_string());
    object.metadata.namespace = Some(NAMESPACE.to_owned());
    object.spec = service.spec.clone();
    if let Some(present) = present.as_deref().filter(|_| !replaces) {
        object.spec.administrative.clone_from(&present.spec.administrative);
        object.spec.checks.clone_from(&present.spec.checks);
    }
    if let Some(present) = present.as_deref().filter(|_| service.spec.enable_tag_override) {
        // What others made of the tags stays until the agent says something else than before.
        let of_agent = entry::extension(Some(present), AGENT_TAGS);
        if *of_agent == serde_json::json!(service.spec.tags) {
            object.spec.tags.clone_from(&present.spec.tags);
            set_extension(&mut object.spec.extensions, AGENT_TAGS, of_agent.clone());
        }
    }
    for (check, _) in checks {
        put_check(&mut object.spec.checks, check);
    }
    // What a check found is kept when it is registered again, so that nothing flaps.
    let now = Time(state.clock.now());
    let mut results = Vec::new();
    for (check, status) in checks {
        record(&mut results, check, status.unwrap_or(Health::Critical), "", &now);
    }
    object.status = Some(ServiceInstanceStatus { checks: results, since: Some(now), ..Default::default() });
    client.note_on(&mut object);
    let (_, written) = state.registrar.register(object).await?;
    state.settle(&written).await;
    Ok(())
}

/// `PUT /v1/agent/service/deregister/ID`
pub(super) async fn deregister(state: &State, request: &Request, id: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let object = state.local(id).ok_or_else(|| unknown(id))?;
    remove(state, &object).await?;
    // The sidecar was registered with its service and goes with it.
    if let Some(sidecar) = state.local(&format!("{id}-sidecar-proxy"))
        && entry::extension(Some(&sidecar), "proxy")["DestinationServiceID"] == id
    {
        remove(state, &sidecar).await?;
    }
    Ok(answer::empty())
}

async fn remove(state: &State, object: &ServiceInstance) -> Result<(), Error> {
    state.registrar.deregister(&Key::of(object)).await?;
    state.settle_removed(object).await;
    Ok(())
}

/// Reads `enable` and `reason`.
pub(super) fn maintenance_wanted(request: &Request) -> Result<(bool, String), Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let parameters = Parameters::of(request);
    let Some(enable) = parameters.get("enable") else {
        return Err(Error::BadRequest("Missing value for enable".into()));
    };
    let enable =
        parse_bool(enable).ok_or_else(|| Error::BadRequest(format!("Invalid value for enable: {enable:?}")))?;
    Ok((enable, parameters.get("reason").unwrap_or_default().to_owned()))
}

/// `PUT /v1/agent/service/maintenance/ID?enable=`
pub(super) async fn maintenance(state: &State, request: &Request, id: &str) -> Result<Response<Body>, Error> {
    let (enable, reason) = maintenance_wanted(request)?;
    if id.is_empty() {
        return Err(Error::BadRequest("Missing service ID".into()));
    }
    let object = state.local(id).ok_or_else(|| unknown(id))?;
    let reason = if reason.is_empty() { SERVICE_MAINTENANCE_REASON.to_owned() } else { reason };
    let decision = enable.then(|| InstanceOverride {
        mode: OverrideMode::Maintenance,
        reason,
        since: Some(Time(state.clock.now())),
    });
    let written = state
        .registrar
        .change_spec(&Key::of(&*object), |spec| match (&spec.administrative, &decision) {
            // Who asks again gets no new date.
            (Some(known), Some(_)) if known.mode == OverrideMode::Maintenance => {}
            // What another dialect decided is not this one's to end.
            (Some(known), None) if known.mode != OverrideMode::Maintenance => {}
            _ => spec.administrative.clone_from(&decision),
        })
        .await?;
    state.settle(&written).await;
    Ok(answer::empty())
}

/// An entry about an instance for `/v1/agent/health`.
pub(super) fn described(instance: &Instance, datacenter: &str, checks: Vec<Value>, status: &str) -> Value {
    json!({"AggregatedStatus": status, "Service": entry::agent_service(instance, datacenter), "Checks": checks})
}
