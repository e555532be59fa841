//! What a caller must be allowed for requests about agent, catalog, health, events and coordinates.
//!
//! Whom the cluster knows is judged by the cluster's rules; everybody else by the tokens of Consul, if
//! access control is on. Lists are not refused but filtered: [`Sight`] says what is left.

use std::collections::BTreeSet;

use http::Method;
use portolan_catalog::find_service_in_any_case;
use portolan_client::Key;
use portolan_registrar::access::{Caller, Denied, Resource, Verb};
use portolan_registrar::http::Request;
use tokio::time::Instant;

use crate::acl::Access::{
    self, AgentRead, AgentWrite, EventRead, EventWrite, NodeRead, NodeWrite, OperatorRead, OperatorWrite, ServiceRead,
    ServiceWrite,
};
use crate::acl::Authorizer;
use crate::body::Fields;
use crate::catalog::Wanted;
use crate::owner::{NAMESPACE, Owner};
use crate::parameters::Parameters;
use crate::sight::Sight;
use crate::state::State;
use crate::{Error, acl, txn, vet};

/// What is known of a request that passed.
pub(crate) struct Passed {
    /// What its caller may see.
    pub(crate) sight: Sight,
    /// What it registers with the catalog, as it was judged.
    pub(crate) wanted: Option<Wanted>,
}

/// A request, and what it registers with the catalog.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) state: &'a State,
    pub(crate) request: &'a Request,
    pub(crate) area: &'a str,
    pub(crate) rest: &'a [&'a str],
    pub(crate) wanted: Option<&'a Wanted>,
}

/// Refuses a request that its caller may not make, or makes too often.
pub(crate) async fn pass(state: &State, request: &Request, area: &str, rest: &[&str]) -> Result<Passed, Error> {
    let (client, now) = (request.client(), Instant::now());
    let reads = reads(&request.method);
    // What only says that something lives is no write, and keys are counted as requests.
    let lives = matches!((area, rest), ("agent", ["check", "pass" | "warn" | "fail" | "update", ..]));
    let registers = !reads && !lives && matches!(area, "agent" | "catalog");
    state.limiter.take(&client, 1, u32::from(registers), now)?;
    let registers_here = request.method == Method::PUT && matches!((area, rest), ("catalog", ["register"]));
    let wanted = registers_here.then(|| Wanted::read(state, request)).transpose()?;
    let asked = Asked { state, request, area, rest, wanted: wanted.as_ref() };
    for (_, key) in asked.registered()? {
        state.limiter.hold(&client, &key, now, |key| state.registrar.instance(key).is_some())?;
    }
    let sight = asked.judge().await?;
    Ok(Passed { sight, wanted })
}

impl Asked<'_> {
    /// What the caller of a request may see, if it may make that.
    async fn judge(self) -> Result<Sight, Error> {
        let Self { state, request, area, wanted, .. } = self;
        // A pod shows a token where there are tokens.
        let judged = match request.caller {
            Caller::Known(_) => true,
            Caller::Pod(_) => !state.acl.is_enabled(),
            Caller::Trusted | Caller::Unknown(_) => false,
        };
        if judged {
            return self.of_cluster().await;
        }
        if let Caller::Unknown(why) = &request.caller {
            // From another machine nobody gets what is granted to those without a token, whatever the default is.
            let secret = acl::secret(request, &Parameters::of(request));
            if secret.is_empty() || state.acl.resolve(&state.space, &secret).await?.1.accessor() == acl::ANONYMOUS {
                return Err(Denied::Unauthenticated(why.clone()).into());
            }
        }
        if !state.acl.is_enabled() || matches!(area, "config" | "kv" | "session" | "txn" | "acl" | "query" | "status") {
            return Ok(Sight::everything());
        }
        let authorizer = state.acl.authorizer(&state.space, request, &Parameters::of(request)).await?;
        let needed = match wanted {
            Some(wanted) => vet::registration(state, wanted)?,
            None => self.needed(&authorizer).await?,
        };
        for (access, name) in needed {
            authorizer.require(access, &name)?;
        }
        Ok(Sight::of_token(authorizer, state.acl.generation(&state.space)))
    }

    /// What a request registers: the names of services, and the instances.
    fn registered(self) -> Result<Vec<(String, Key)>, Error> {
        let Self { state, request, area, rest, wanted } = self;
        let (node, service) = match (area, rest, wanted) {
            (.., Some(wanted)) => (&*wanted.node, wanted.fields.fields("Service")?),
            ("agent", ["service", "register"], None) if request.method == Method::PUT => {
                (&*state.identity.node, Some(Fields::parse(&request.body)?))
            }
            _ => return Ok(Vec::new()),
        };
        let Some(service) = service else { return Ok(Vec::new()) };
        let name = service.first_text(if area == "agent" { &["Name", "Service"] } else { &["Service", "Name"] })?;
        let id = service.text("ID")?;
        let id = if id.is_empty() { name.clone() } else { id };
        let mut registered = vec![(name, state.key(node, &id))];
        // A proxy beside it, which only agents register.
        let connect = if area == "agent" { service.fields("Connect")? } else { None };
        if let Some(connect) = connect
            && connect.fields("SidecarService")?.is_some()
        {
            let beside = |text: &str| format!("{text}-sidecar-proxy");
            registered.push((beside(&registered[0].0), state.key(node, &beside(&id))));
        }
        Ok(registered)
    }

    /// Judges a caller whom the cluster knows by the cluster's rules.
    async fn of_cluster(self) -> Result<Sight, Error> {
        let Self { state, request, area, rest, .. } = self;
        let caller = &request.caller;
        let reads = reads(&request.method);
        if reads && matches!((area, rest), ("catalog" | "health", _) | ("query", [_, "execute"])) {
            if area == "query" {
                caller.require(Verb::Get, Resource::Keys, NAMESPACE).await?;
                caller.require(Verb::List, Resource::Instances, "").await?;
            }
            if matches!(rest, ["nodes" | "datacenters"]) {
                caller.require(Verb::List, Resource::Machines, "").await?;
                return Ok(Sight::everything());
            }
            return sight(state, caller, rest).await;
        }
        for (verb, resource) in self.rules()? {
            let namespace = if resource == Resource::Machines { "" } else { NAMESPACE };
            caller.require(verb, resource, namespace).await?;
        }
        Ok(Sight::everything())
    }

    /// What the cluster's rules must allow for everything but reading the catalog.
    pub(crate) fn rules(self) -> Result<Vec<(Verb, Resource)>, Error> {
        let Self { state, request, area, rest, wanted } = self;
        let by_method = match request.method {
            _ if reads(&request.method) && Parameters::of(request).has("recurse") => Verb::List,
            _ if reads(&request.method) => Verb::Get,
            Method::DELETE => Verb::Delete,
            _ => Verb::Update,
        };
        let of_instance = |(_, key): &(String, Key)| match state.registrar.instance(key) {
            Some(_) => (Verb::Update, Resource::Instances),
            None => (Verb::Create, Resource::Instances),
        };
        if let Some(wanted) = wanted {
            let mut needed: Vec<_> = self.registered()?.iter().map(of_instance).collect();
            let (fields, node) = (&wanted.fields, &wanted.node);
            let checks: Vec<_> = fields.list("Checks")?.into_iter().chain(fields.fields("Check")?).collect();
            let owners = checks.iter().map(|check| check.text("ServiceID")).collect::<Result<Vec<_>, _>>()?;
            // What is said of a node of the cluster is not taken; checks of it are.
            if needed.is_empty() || !state.is_of_cluster(node) || owners.iter().any(String::is_empty) {
                needed.push((Verb::Update, Resource::Machines));
            }
            if owners.iter().any(|owner| !owner.is_empty()) {
                needed.push((Verb::Update, Resource::Instances));
            }
            // A machine that gets another name goes under the one that it had, with all that is on it.
            if wanted.former.is_some() {
                needed.extend([(Verb::Delete, Resource::Instances), (Verb::Delete, Resource::Machines)]);
            }
            return Ok(needed);
        }
        Ok(match (area, rest) {
            ("txn", _) => txn::rights(state, request)?,
            ("config" | "kv" | "session" | "query" | "event", _) => vec![(by_method, Resource::Keys)],
            ("acl", _) => vec![(by_method, Resource::Tokens)],
            ("agent", ["service", "register"]) => self.registered()?.iter().map(of_instance).collect(),
            ("agent", ["service", "deregister", ..]) => vec![(Verb::Delete, Resource::Instances)],
            ("agent", ["service", "maintenance", ..]) => vec![(Verb::Update, Resource::Instances)],
            ("agent", ["check", "register"]) if Fields::parse(&request.body)?.text("ServiceID")?.is_empty() => {
                vec![(Verb::Update, Resource::Machines)]
            }
            ("agent", ["check", ..]) => vec![(Verb::Update, Resource::Instances)],
            ("agent", ["services" | "checks" | "service" | "health", ..]) => vec![(Verb::List, Resource::Instances)],
            ("agent", ["maintenance" | "reload" | "leave" | "join" | "force-leave" | "token", ..])
            | ("coordinate", ["update"]) => vec![(Verb::Update, Resource::Machines)],
            ("catalog", ["deregister"]) => {
                let fields = Fields::parse(&request.body)?;
                let mut needed = vec![(Verb::Delete, Resource::Instances)];
                if fields.text("ServiceID")?.is_empty() {
                    needed.push((Verb::Delete, Resource::Machines));
                }
                needed
            }
            ("operator", _) if !reads(&request.method) => vec![(Verb::Update, Resource::Machines)],
            ("operator", _) => vec![(Verb::List, Resource::Machines)],
            // The log of the server tells of everybody.
            ("agent", ["monitor"]) => vec![(Verb::Get, Resource::Tokens)],
            // What is said to everybody whom the cluster knows.
            ("agent" | "status" | "coordinate", _) => vec![],
            _ => vec![(by_method, Resource::Instances)],
        })
    }

    /// What a token of Consul must allow.
    async fn needed(self, authorizer: &Authorizer) -> Result<Vec<(Access, String)>, Error> {
        let Self { state, request, area, rest, .. } = self;
        let all = |access: Access| (access, String::new());
        let of = |access: Access, name: &str| (access, name.to_owned());
        let own = || state.identity.node.to_string();
        Ok(match (area, rest) {
            ("agent", ["service", "register"]) => {
                let mut needed = Vec::new();
                for (name, key) in self.registered()? {
                    // Whatever stands there makes room, also an instance of another id whose object has this name.
                    let present = state.registrar.instance(&key);
                    needed.extend(present.map(|present| (ServiceWrite, present.spec.service.clone())));
                    needed.push((ServiceWrite, name));
                }
                needed.extend(vet::destination(&Fields::parse(&request.body)?)?);
                needed
            }
            ("agent", ["service", "deregister" | "maintenance", id @ ..]) => {
                vec![(ServiceWrite, service_of(state, &id.join("/")))]
            }
            ("agent", ["service", id @ ..] | ["health", "service", "id", id @ ..]) => {
                vec![(ServiceRead, service_of(state, &id.join("/")))]
            }
            ("agent", ["health", "service", "name", name @ ..]) => vec![(ServiceRead, name.join("/"))],
            // Answers leave out what the token may not read.
            ("agent", ["services" | "checks" | "members"]) | ("event", ["list"]) => Vec::new(),
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
            ("agent", ["maintenance"]) => vec![(NodeWrite, own())],
            ("agent", ["force-leave", _]) => vec![all(OperatorWrite)],
            ("agent", ["reload" | "leave" | "join" | "token", ..]) => vec![(AgentWrite, own())],
            ("agent", _) => vec![(AgentRead, own())],
            ("catalog", ["deregister"]) => vet::removal(state, &Fields::parse(&request.body)?, authorizer)?,
            ("catalog", ["datacenters"]) => Vec::new(),
            // Answers leave out what the token may not read.
            ("catalog" | "health", _) => Vec::new(),
            ("event", ["fire", name]) => vec![of(EventWrite, name)],
            ("event", _) => vec![all(EventRead)],
            ("coordinate", ["update"]) => {
                vec![(NodeWrite, state.node_name(&Fields::parse(&request.body)?.text("Node")?))]
            }
            ("coordinate", ["datacenters"]) => Vec::new(),
            ("coordinate", ["node", name]) => vec![(NodeRead, state.node_name(name))],
            ("operator", _) if reads(&request.method) => vec![all(OperatorRead)],
            ("operator", _) => vec![all(OperatorWrite)],
            _ => vec![all(ServiceRead), all(NodeRead)],
        })
    }
}

/// The namespaces whose instances a caller may list: all, or its own and that of the service it asks for.
async fn sight(state: &State, caller: &Caller, rest: &[&str]) -> Result<Sight, Error> {
    let refused = match caller.require(Verb::List, Resource::Instances, "").await {
        Ok(()) => return Ok(Sight::everything()),
        Err(refused @ Denied::Forbidden { .. }) => refused,
        Err(unknown) => return Err(unknown.into()),
    };
    let mut candidates = BTreeSet::from([NAMESPACE.to_owned()]);
    if let ["service" | "checks" | "connect", name] = rest {
        candidates.extend(find_service_in_any_case(&state.snapshot(), name).map(|key| key.namespace.to_string()));
    }
    let mut namespaces = BTreeSet::new();
    for namespace in candidates {
        if caller.may(Verb::List, Resource::Instances, &namespace).await? {
            namespaces.insert(namespace);
        }
    }
    if namespaces.is_empty() { Err(refused.into()) } else { Ok(Sight::of_namespaces(namespaces)) }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Name of the service of one of the agent's instances; of an unknown one nothing is granted but by rules for all.
fn service_of(state: &State, id: &str) -> String {
    state.local(id).map_or_else(String::new, |object| object.spec.service.clone())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::acl::AclConfig;
    use crate::space::testing::state;

    #[tokio::test(start_paused = true)]
    async fn registering_with_the_catalog_needs_the_right_to_all_that_is_written() {
        let state = state(AclConfig::default()).await;
        let (create, change) = ((Verb::Create, Resource::Instances), (Verb::Update, Resource::Instances));
        let machine = (Verb::Update, Resource::Machines);
        let (service, of_node) = (json!({"Service": "web"}), json!({"CheckID": "n"}));
        let of_service = json!({"CheckID": "s", "ServiceID": "web"});
        // "agent" is a node of the cluster.
        let cases = [
            (json!({"Node": "agent"}), vec![machine]),
            (json!({"Node": "vm", "Service": service}), vec![create, machine]),
            (json!({"Node": "agent", "Service": service}), vec![create]),
            (json!({"Node": "agent", "Service": service, "Check": of_node}), vec![create, machine]),
            (
                json!({"Node": "agent", "Service": service, "Checks": [of_service, of_node]}),
                vec![create, machine, change],
            ),
            (json!({"Node": "agent", "Service": service, "Check": of_service}), vec![create, change]),
        ];
        for (body, needed) in cases {
            let request = Request {
                method: Method::PUT,
                uri: "/v1/catalog/register".parse().expect("a path"),
                headers: HeaderMap::new(),
                body: body.to_string().into(),
                peer: Ipv4Addr::LOCALHOST.into(),
                caller: Caller::Trusted,
            };
            let wanted = Wanted::read(&state, &request).expect("a body that can be read");
            let asked =
                Asked { state: &state, request: &request, area: "catalog", rest: &["register"], wanted: Some(&wanted) };
            let found = asked.rules().expect("a body that can be read");
            assert_eq!(found, needed, "{body}");
        }
    }
}
