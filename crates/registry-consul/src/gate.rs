//! What a token must allow for requests about agent, catalog, health, events and coordinates.
//!
//! Answers of these are shared by all who ask the same, so they are not filtered by token: who may
//! not read all that an answer can contain is refused.

use portolan_registrar::http::Request;

use crate::Error;
use crate::acl::Access::{
    self, AgentRead, AgentWrite, EventRead, EventWrite, NodeRead, NodeWrite, OperatorWrite, ServiceRead, ServiceWrite,
};
use crate::body::Fields;
use crate::owner::Owner;
use crate::parameters::Parameters;
use crate::state::State;

/// Refuses a request that its token does not allow.
pub(crate) async fn pass(state: &State, request: &Request, area: &str, rest: &[&str]) -> Result<(), Error> {
    if !state.acl.is_enabled() || matches!(area, "kv" | "session" | "txn" | "acl" | "query" | "status") {
        return Ok(());
    }
    let authorizer = state.acl.authorizer(&state.space, request, &Parameters::of(request)).await?;
    for (access, name) in needed(state, request, area, rest).await? {
        authorizer.require(access, &name)?;
    }
    Ok(())
}

async fn needed(state: &State, request: &Request, area: &str, rest: &[&str]) -> Result<Vec<(Access, String)>, Error> {
    let all = |access: Access| (access, String::new());
    let of = |access: Access, name: &str| (access, name.to_owned());
    let own = || state.identity.node.to_string();
    Ok(match (area, rest) {
        ("agent", ["service", "register"]) => {
            let fields = Fields::parse(&request.body)?;
            let name = fields.first_text(&["Name", "Service"])?;
            let id = fields.text("ID")?;
            let present = state.local(if id.is_empty() { &name } else { &id });
            let mut needed = vec![(ServiceWrite, name)];
            needed.extend(present.map(|present| (ServiceWrite, present.spec.service.clone())));
            needed
        }
        ("agent", ["service", "deregister" | "maintenance", id @ ..]) => {
            vec![(ServiceWrite, service_of(state, &id.join("/")))]
        }
        ("agent", ["service", id] | ["health", "service", "id", id]) => vec![(ServiceRead, service_of(state, id))],
        ("agent", ["health", "service", "name", name]) => vec![of(ServiceRead, name)],
        ("agent", ["services" | "checks"]) => vec![all(ServiceRead), (NodeRead, own())],
        ("agent", ["check", "register"]) => {
            let service = Fields::parse(&request.body)?.text("ServiceID")?;
            if service.is_empty() {
                vec![(NodeWrite, own())]
            } else {
                vec![(ServiceWrite, service_of(state, &service))]
            }
        }
        ("agent", ["check", _, id @ ..]) => match state.owner(&id.join("/")).await?.0 {
            Owner::Instance(object) => vec![(ServiceWrite, object.spec.service.clone())],
            Owner::Machine => vec![(NodeWrite, own())],
        },
        ("agent", ["members"]) => vec![all(NodeRead)],
        ("agent", ["maintenance"]) => vec![(NodeWrite, own())],
        ("agent", ["force-leave", _]) => vec![all(OperatorWrite)],
        ("agent", ["reload" | "leave" | "join" | "token", ..]) => vec![(AgentWrite, own())],
        ("agent", _) => vec![(AgentRead, own())],
        ("catalog", ["register" | "deregister"]) => registration(state, &Fields::parse(&request.body)?)?,
        ("catalog", ["datacenters"]) => Vec::new(),
        ("catalog", ["nodes"]) => vec![all(NodeRead)],
        ("catalog", ["node" | "node-services", name]) | ("health", ["node", name]) => {
            vec![of(NodeRead, name), all(ServiceRead)]
        }
        ("catalog", ["service", name]) | ("health", ["service" | "checks", name]) => {
            vec![of(ServiceRead, name), all(NodeRead)]
        }
        ("event", ["fire", name]) => vec![of(EventWrite, name)],
        ("event", _) => vec![all(EventRead)],
        ("coordinate", ["update"]) => vec![(NodeWrite, Fields::parse(&request.body)?.text("Node")?)],
        ("coordinate", ["datacenters"]) => Vec::new(),
        ("coordinate", ["node", name]) => vec![of(NodeRead, name)],
        _ => vec![all(ServiceRead), all(NodeRead)],
    })
}

/// Name of the service of one of the agent's instances; of an unknown one nothing is granted but by rules for all.
fn service_of(state: &State, id: &str) -> String {
    state.local(id).map_or_else(String::new, |object| object.spec.service.clone())
}

/// What registering with the catalog, or the opposite, needs.
fn registration(state: &State, fields: &Fields) -> Result<Vec<(Access, String)>, Error> {
    let node = fields.text("Node")?;
    let mut needed = vec![(NodeWrite, node.clone())];
    let mut ids = vec![fields.text("ServiceID")?];
    if let Some(service) = fields.fields("Service")? {
        let name = service.first_text(&["Service", "Name"])?;
        let id = service.text("ID")?;
        ids.push(if id.is_empty() { name.clone() } else { id });
        needed.push((ServiceWrite, name));
    }
    for check in fields.list("Checks")?.into_iter().chain(fields.fields("Check")?) {
        ids.push(check.text("ServiceID")?);
    }
    for id in ids.iter().filter(|id| !id.is_empty()) {
        let present = state.registrar.instance(&state.key(&node, id));
        needed.extend(present.map(|present| (ServiceWrite, present.spec.service.clone())));
    }
    Ok(needed)
}
