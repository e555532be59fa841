//! Tokens, policies and roles.
//!
//! Secrets of tokens are stored as hashes: the answer that makes a token is the only one that shows
//! its secret. Whom an auth method knows gets a token by logging in; binding rules say what it may do.

mod authorizer;
mod bindings;
mod directory;
mod login;
mod methods;
mod model;
mod policies;
mod roles;
mod rules;
mod templates;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::HashSet;

use http::{HeaderName, HeaderValue, Method, Response};
use portolan_registrar::http::{Body, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use authorizer::DefaultPolicy;
pub(crate) use authorizer::{Access, Authorizer};
pub use directory::AclConfig;
pub(crate) use directory::{Acl, secret};

use crate::parameters::Parameters;
use crate::route::Routed;
use crate::space::{Record, Records};
use crate::state::State;
use crate::{Error, answer, fold};
pub(crate) use model::{ANONYMOUS, hash as token_hash};
use model::{Grants, Link};

const FILTERED: HeaderName = HeaderName::from_static("x-consul-results-filtered-by-acls");

/// Says that something was left out of an answer because the token may not see it.
pub(crate) fn marked(mut response: Response<Body>, filtered: bool) -> Response<Body> {
    if filtered {
        response.headers_mut().insert(FILTERED, HeaderValue::from_static("true"));
    }
    response
}

/// Names of fields of all bodies here.
const FIELDS: [&str; 36] = [
    "ID",
    "Name",
    "Description",
    "Rules",
    "Datacenters",
    "AccessorID",
    "SecretID",
    "Policies",
    "Roles",
    "ServiceIdentities",
    "ServiceName",
    "NodeIdentities",
    "NodeName",
    "Datacenter",
    "TemplatedPolicies",
    "TemplateName",
    "TemplateVariables",
    "Local",
    "ExpirationTime",
    "ExpirationTTL",
    "BootstrapSecret",
    "Legacy",
    "Namespace",
    "AuthMethod",
    "BearerToken",
    "CreateTime",
    "Hash",
    "Type",
    "DisplayName",
    "MaxTokenTTL",
    "TokenLocality",
    "Config",
    "Selector",
    "BindType",
    "BindName",
    "BindVars",
];
/// Fields below which names are the client's.
const FREE: [&str; 2] = ["Config", "Meta"];

/// One request, and what its handler needs.
pub(crate) struct Call<'a> {
    state: &'a State,
    request: &'a Request,
    parameters: &'a Parameters,
}

impl Call<'_> {
    async fn require(&self, access: Access) -> Result<(), Error> {
        self.state.authorizer(self.request, self.parameters).await?.require(access, "")
    }

    fn body<T: DeserializeOwned>(&self) -> Result<T, Error> {
        fold::read(&self.request.body, &FIELDS, &FREE)
    }

    fn json(&self, value: &impl Serialize) -> Result<Response<Body>, Error> {
        answer::json(value, self.parameters.has("pretty"))
    }
}

/// How far a copy of the tokens of another datacenter is. There is none: they are this one's own.
fn replication() -> serde_json::Value {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    serde_json::json!({
        "Enabled": false,
        "Running": false,
        "SourceDatacenter": "",
        "ReplicationType": "",
        "ReplicatedIndex": 0,
        "ReplicatedRoleIndex": 0,
        "ReplicatedTokenIndex": 0,
        "LastSuccess": NEVER,
        "LastError": NEVER,
        "LastErrorMessage": "",
    })
}

/// Answers what is below `/v1/acl`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    let parameters = Parameters::of(request);
    let call = Call { state, request, parameters: &parameters };
    let known = |methods: &'static str| Some(Err(Error::method(&request.method, methods)));
    if !state.acl.is_enabled() {
        return Some(Err(Error::Unauthorized("ACL support disabled".into())));
    }
    if let Err(error) = state.check_datacenter(&parameters) {
        return Some(Err(error));
    }
    const GET: Method = Method::GET;
    const PUT: Method = Method::PUT;
    const POST: Method = Method::POST;
    const DELETE: Method = Method::DELETE;
    Some(match (&request.method, segments) {
        (&PUT, ["bootstrap"]) => tokens::bootstrap(&call).await,
        (&POST, ["login"]) => login::login(&call).await,
        (&POST, ["logout"]) => login::logout(&call).await,
        (&GET, ["replication"]) => call.json(&replication()),
        (&GET, ["tokens"]) => tokens::list(&call).await,
        (&PUT, ["token"]) => tokens::create(&call).await,
        (&GET, ["token", "self"]) => tokens::own(&call).await,
        (&GET, ["token", id]) => tokens::read(&call, id).await,
        (&PUT, ["token", id]) => tokens::update(&call, id).await,
        (&DELETE, ["token", id]) => tokens::delete(&call, id).await,
        (&PUT, ["token", id, "clone"]) => tokens::clone(&call, id).await,
        (&GET, ["policies"]) => policies::list(&call).await,
        (&PUT, ["policy"]) => policies::write(&call, None).await,
        (&GET, ["policy", "name", name @ ..]) => policies::by_name(&call, &name.join("/")).await,
        (&GET, ["policy", id]) => policies::read(&call, id).await,
        (&PUT, ["policy", id]) => policies::write(&call, Some(id)).await,
        (&DELETE, ["policy", id]) => policies::delete(&call, id).await,
        (&GET, ["roles"]) => roles::list(&call).await,
        (&PUT, ["role"]) => roles::write(&call, None).await,
        (&GET, ["role", "name", name]) => roles::by_name(&call, name).await,
        (&GET, ["role", id]) => roles::read(&call, id).await,
        (&PUT, ["role", id]) => roles::write(&call, Some(id)).await,
        (&DELETE, ["role", id]) => roles::delete(&call, id).await,
        (&GET, ["auth-methods"]) => methods::list(&call).await,
        (&PUT, ["auth-method"]) => methods::write(&call, None).await,
        (&GET, ["auth-method", name]) => methods::read(&call, name).await,
        (&PUT, ["auth-method", name]) => methods::write(&call, Some(name)).await,
        (&DELETE, ["auth-method", name]) => methods::delete(&call, name).await,
        (&GET, ["binding-rules"]) => bindings::list(&call).await,
        (&PUT, ["binding-rule"]) => bindings::write(&call, None).await,
        (&GET, ["binding-rule", id]) => bindings::read(&call, id).await,
        (&PUT, ["binding-rule", id]) => bindings::write(&call, Some(id)).await,
        (&DELETE, ["binding-rule", id]) => bindings::delete(&call, id).await,
        (&GET, ["templated-policies"]) => templates::list(&call).await,
        (&GET, ["templated-policy", "name", name @ ..]) => templates::read(&call, &name.join("/")).await,
        (&POST, ["templated-policy", "preview", name @ ..]) => templates::preview(&call, &name.join("/")).await,
        (_, ["bootstrap"]) => return known("PUT"),
        (_, ["login" | "logout"]) => return known("POST"),
        (
            _,
            [
                "replication" | "tokens" | "policies" | "roles" | "auth-methods" | "binding-rules"
                | "templated-policies",
            ],
        ) => {
            return known("GET");
        }
        (_, ["token" | "policy" | "role" | "auth-method" | "binding-rule"]) => return known("PUT"),
        (_, ["token" | "policy" | "role" | "auth-method" | "binding-rule", _]) => return known("GET,PUT,DELETE"),
        _ => return None,
    })
}

/// Completes references to policies: by id or by name.
async fn resolve_policies(call: &Call<'_>, grants: &mut Grants) -> Result<(), Error> {
    let policies = directory::policies(&call.state.space);
    for link in &mut grants.policies {
        let found =
            if link.id.is_empty() { policies.by_name(&link.name).await? } else { policies.get(&link.id).await? };
        let wanted = if link.id.is_empty() { &link.name } else { &link.id };
        let policy = found.ok_or_else(|| Error::BadRequest(format!("no such ACL policy: {wanted:?}")))?;
        *link = Link { id: policy.value.id, name: policy.value.name };
    }
    deduplicate(&mut grants.policies);
    grants.check().map_err(Error::BadRequest)
}

fn deduplicate(links: &mut Vec<Link>) {
    let mut seen = HashSet::new();
    links.retain(|link| seen.insert(link.id.clone()));
}

/// Refuses names that could not stand in a path.
fn check_name(what: &str, name: &str, most: usize) -> Result<(), Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() {
        return Err(Error::BadRequest(format!("Invalid {what}: no Name is set")));
    }
    if name.len() > most || !name.chars().all(fine) {
        return Err(Error::BadRequest(format!(
            "Invalid {what}: invalid Name. Only alphanumeric characters, '-' and '_' are allowed, at most {most}"
        )));
    }
    Ok(())
}

/// Gives a record that is to be written its id: that of the path, whose record must be there and is returned, or a new one.
async fn identify<T: Serialize + DeserializeOwned>(
    records: &Records<'_, T>,
    what: &str,
    id: Option<&str>,
    given: &mut String,
) -> Result<Option<Record<T>>, Error> {
    let lower = what.to_lowercase();
    let Some(id) = id else {
        if !given.is_empty() {
            return Err(Error::BadRequest(format!("Cannot specify the ID when creating a new {lower}")));
        }
        *given = Uuid::new_v4().to_string();
        return Ok(None);
    };
    check_id(id)?;
    if !given.is_empty() && given != id {
        return Err(Error::BadRequest(format!("{what} ID in URL and payload do not match")));
    }
    let before = records.get(id).await?;
    id.clone_into(given);
    Ok(Some(before.ok_or_else(|| Error::BadRequest(format!("cannot find {lower} {id}")))?))
}

fn check_id(id: &str) -> Result<(), Error> {
    if model::is_uuid(id) { Ok(()) } else { Err(Error::BadRequest(format!("{id:?} is not a valid UUID"))) }
}
