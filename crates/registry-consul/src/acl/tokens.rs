//! Tokens.

use std::time::Duration;

use http::Response;
use portolan_base::Timestamp;
use portolan_registrar::http::Body;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::directory::{policies, roles, tokens, write_new};
use super::model::{ANONYMOUS, Grants, Link, StoredToken, Token, hash};
use super::{Access, Call, check_id, deduplicate, resolve_policies, secret};
use crate::space::{Record, WriteError};
use crate::{Error, duration};

/// What stands where a secret would.
const HIDDEN: &str = "<hidden>";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answered<'a> {
    #[serde(flatten)]
    token: &'a Token,
    #[serde(rename = "SecretID")]
    secret_id: &'a str,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> Answered<'a> {
    fn of(record: &'a Record<StoredToken>, secret_id: &'a str) -> Self {
        let token = &record.value.token;
        // Identifies the content to clients that compare.
        let hash = hash(&serde_json::to_string(&(&token.description, &token.grants, &token.roles)).unwrap_or_default());
        Self { token, secret_id, hash, create_index: record.created, modify_index: record.modified }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    #[serde(rename = "AccessorID")]
    accessor_id: String,
    #[serde(rename = "SecretID")]
    secret_id: String,
    description: String,
    #[serde(flatten)]
    grants: Grants,
    roles: Vec<Link>,
    local: bool,
    expiration_time: Option<Timestamp>,
    #[serde(rename = "ExpirationTTL")]
    expiration_ttl: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Bootstrap {
    bootstrap_secret: String,
}

pub(super) async fn bootstrap(call: &Call<'_>) -> Result<Response<Body>, Error> {
    let wanted: Bootstrap = if call.request.body.is_empty() { Bootstrap::default() } else { call.body()? };
    let wanted = Some(wanted.bootstrap_secret).filter(|secret| !secret.is_empty());
    if let Some(secret) = &wanted {
        check_id(secret)?;
    }
    let space = &call.state.space;
    let (stored, secret) = call.state.acl.bootstrap(space, wanted).await?;
    let record = present(call, &stored.token.accessor_id).await?;
    call.json(&Answered::of(&record, &secret))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let (space, now) = (&call.state.space, call.state.space.now());
    let mut found = tokens(space).list().await?;
    let wanted = |name: &'static str| call.parameters.text(name);
    let same = |links: &[Link], id: &str| links.iter().any(|link| link.id == id);
    found.retain(|record| {
        let (token, expired) = (&record.value.token, record.value.has_expired(now));
        let services = || token.grants.service_identities.iter();
        !expired
            && wanted("policy").is_none_or(|id| same(&token.grants.policies, id))
            && wanted("role").is_none_or(|id| same(&token.roles, id))
            && wanted("servicename").is_none_or(|name| services().any(|identity| identity.service_name == name))
            && wanted("authmethod").is_none_or(|name| token.auth_method == name)
    });
    for record in &mut found {
        drop_dangling(call, &mut record.value.token).await?;
    }
    let shown = secret(call.request, call.parameters);
    let answered: Vec<_> = found.iter().map(|record| Answered::of(record, visible(call, record, &shown))).collect();
    call.json(&answered)
}

/// A secret is shown to who knows it, or if it is no secret.
fn visible<'a>(call: &'a Call<'_>, record: &Record<StoredToken>, shown: &'a str) -> &'a str {
    if hash(shown) == record.value.secret_hash {
        return shown;
    }
    call.state.acl.known_secret(&record.value).unwrap_or(HIDDEN)
}

async fn present(call: &Call<'_>, id: &str) -> Result<Record<StoredToken>, Error> {
    let space = &call.state.space;
    let found = tokens(space).get(id).await?.filter(|record| !record.value.has_expired(space.now()));
    let mut record =
        found.ok_or_else(|| Error::Forbidden(format!("ACL not found: no token has the AccessorID {id:?}")))?;
    drop_dangling(call, &mut record.value.token).await?;
    Ok(record)
}

/// Leaves out policies and roles that were deleted.
async fn drop_dangling(call: &Call<'_>, token: &mut Token) -> Result<(), Error> {
    let space = &call.state.space;
    let mut kept = Vec::new();
    for link in std::mem::take(&mut token.grants.policies) {
        kept.extend(policies(space).get(&link.id).await?.map(|found| Link { name: found.value.name, ..link }));
    }
    token.grants.policies = kept;
    let mut kept = Vec::new();
    for link in std::mem::take(&mut token.roles) {
        kept.extend(roles(space).get(&link.id).await?.map(|found| Link { name: found.value.name, ..link }));
    }
    token.roles = kept;
    Ok(())
}

pub(super) async fn own(call: &Call<'_>) -> Result<Response<Body>, Error> {
    let shown = secret(call.request, call.parameters);
    let (token, _) = call.state.acl.resolve(&call.state.space, &shown).await?;
    let record = present(call, &token.accessor_id).await?;
    call.json(&Answered::of(&record, visible(call, &record, &shown)))
}

pub(super) async fn read(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let record = present(call, id).await?;
    let shown = secret(call.request, call.parameters);
    call.json(&Answered::of(&record, visible(call, &record, &shown)))
}

async fn resolve(call: &Call<'_>, grants: &mut Grants, links: &mut Vec<Link>) -> Result<(), Error> {
    resolve_policies(call, grants).await?;
    let roles = roles(&call.state.space);
    for link in links.iter_mut() {
        let found = if link.id.is_empty() { roles.by_name(&link.name).await? } else { roles.get(&link.id).await? };
        let wanted = if link.id.is_empty() { &link.name } else { &link.id };
        let role = found.ok_or_else(|| Error::BadRequest(format!("no such ACL role: {wanted:?}")))?;
        *link = Link { id: role.value.id, name: role.value.name };
    }
    deduplicate(links);
    Ok(())
}

/// Tokens that end live neither shorter nor longer, as in Consul.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// When a token ends, as its maker says it.
fn expiration(call: &Call<'_>, wanted: &Wanted) -> Result<Option<Timestamp>, Error> {
    let now = call.state.space.now();
    let end = match (wanted.expiration_time, wanted.expiration_ttl.as_str()) {
        (Some(_), ttl) if !ttl.is_empty() => {
            return Err(Error::BadRequest("Expiration TTL and Expiration Time cannot both be set".into()));
        }
        (Some(end), _) => end,
        (None, "" | "0s") => return Ok(None),
        (None, ttl) => {
            let ttl = duration::parse(ttl).map_err(|error| Error::BadRequest(format!("ExpirationTTL: {error}")))?;
            now.checked_add(ttl).map_err(|error| Error::BadRequest(format!("ExpirationTTL: {error}")))?
        }
    };
    if end <= now {
        return Err(Error::BadRequest("ExpirationTime cannot be before CreateTime".into()));
    }
    let lives = Duration::try_from(end.duration_since(now)).unwrap_or_default();
    let bound = if lives > LONGEST_LIFE {
        Some(("more", LONGEST_LIFE))
    } else {
        (lives < SHORTEST_LIFE).then_some(("less", SHORTEST_LIFE))
    };
    match bound {
        None => Ok(Some(end)),
        Some((word, bound)) => Err(Error::BadRequest(format!(
            "ExpirationTime cannot be {word} than {} in the future (was {})",
            duration::format(bound),
            duration::format(lives)
        ))),
    }
}

pub(super) async fn create(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let mut wanted: Wanted = call.body()?;
    for id in [&wanted.accessor_id, &wanted.secret_id] {
        if !id.is_empty() {
            check_id(id)?;
        }
    }
    resolve(call, &mut wanted.grants, &mut wanted.roles).await?;
    let expiration_time = expiration(call, &wanted)?;
    let chosen = |id: String| if id.is_empty() { Uuid::new_v4().to_string() } else { id };
    let (accessor_id, secret_id) = (chosen(wanted.accessor_id), chosen(wanted.secret_id));
    let token = Token {
        accessor_id,
        description: wanted.description,
        grants: wanted.grants,
        roles: wanted.roles,
        local: wanted.local,
        expiration_time,
        create_time: call.state.space.now(),
        auth_method: String::new(),
    };
    finish(call, token, &secret_id).await
}

pub(super) async fn finish(call: &Call<'_>, token: Token, secret: &str) -> Result<Response<Body>, Error> {
    let id = token.accessor_id.clone();
    match write_new(&call.state.space, token, secret).await {
        Ok(_) => call.json(&Answered::of(&present(call, &id).await?, secret)),
        Err(WriteError::Stale) => Err(Error::BadRequest("Invalid Token: AccessorID is already in use".into())),
        Err(WriteError::Taken) => Err(Error::BadRequest("Invalid Token: SecretID is already in use".into())),
        Err(WriteError::Store(error)) => Err(error),
    }
}

pub(super) async fn update(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let unknown = |_| Error::BadRequest(format!("Cannot find token {id:?}"));
    let present_record = present(call, id).await.map_err(unknown)?;
    let mut wanted: Wanted = call.body()?;
    let before = &present_record.value;
    if !wanted.accessor_id.is_empty() && wanted.accessor_id != id {
        return Err(Error::BadRequest("Token Accessor ID in URL and payload do not match".into()));
    }
    let hidden = wanted.secret_id.is_empty() || wanted.secret_id == HIDDEN;
    if !hidden && hash(&wanted.secret_id) != before.secret_hash {
        return Err(Error::BadRequest("Changing a token's SecretID is not permitted".into()));
    }
    if wanted.local != before.token.local {
        return Err(Error::BadRequest("Cannot toggle local mode".into()));
    }
    resolve(call, &mut wanted.grants, &mut wanted.roles).await?;
    let token =
        Token { description: wanted.description, grants: wanted.grants, roles: wanted.roles, ..before.token.clone() };
    let stored = StoredToken { token, secret_hash: before.secret_hash.clone() };
    let name = stored.secret_hash.clone();
    let before = Some((present_record.modified, Some(name.as_str())));
    tokens(&call.state.space).put(id, Some(&name), &stored, before).await?;
    let record = present(call, id).await?;
    let shown = secret(call.request, call.parameters);
    call.json(&Answered::of(&record, visible(call, &record, &shown)))
}

pub(super) async fn clone(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let before = present(call, id).await?.value.token;
    let wanted: Wanted = if call.request.body.is_empty() { Wanted::default() } else { call.body()? };
    if before.accessor_id == ANONYMOUS {
        return Err(Error::BadRequest("Cannot clone the anonymous token".into()));
    }
    let description = if wanted.description.is_empty() { before.description.clone() } else { wanted.description };
    let accessor_id = Uuid::new_v4().to_string();
    let token = Token { accessor_id, description, create_time: call.state.space.now(), ..before };
    finish(call, token, &Uuid::new_v4().to_string()).await
}

pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    if id == ANONYMOUS {
        return Err(Error::BadRequest("Delete operation not permitted on the anonymous token".into()));
    }
    let record = present(call, id).await?;
    let name = record.value.secret_hash.as_str();
    let done = tokens(&call.state.space).delete(id, record.modified, Some(name)).await?;
    if done { call.json(&true) } else { Err(WriteError::Stale.into()) }
}
