//! Roles.

use http::Response;
use portolan_registrar::http::Body;
use serde::Serialize;

use super::directory::{policies, roles};
use super::model::{Link, Role, hash};
use super::{Access, Call, check_id, check_name, identify, resolve_policies};
use crate::Error;
use crate::space::{Record, WriteError};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answered<'a> {
    #[serde(flatten)]
    record: &'a Record<Role>,
    hash: String,
}

impl<'a> Answered<'a> {
    fn of(record: &'a Record<Role>) -> Self {
        let role = &record.value;
        let hash = hash(&serde_json::to_string(role).unwrap_or_default());
        Self { record, hash }
    }
}

fn missing() -> Error {
    Error::NotFound("Requested role does not exist: ACL not found".into())
}

async fn answer(call: &Call<'_>, mut record: Record<Role>) -> Result<Response<Body>, Error> {
    drop_dangling(call, &mut record.value).await?;
    call.json(&Answered::of(&record))
}

/// Leaves out policies that were deleted.
async fn drop_dangling(call: &Call<'_>, role: &mut Role) -> Result<(), Error> {
    let mut kept = Vec::new();
    for link in std::mem::take(&mut role.grants.policies) {
        let found = policies(&call.state.space).get(&link.id).await?;
        kept.extend(found.map(|found| Link { name: found.value.name, ..link }));
    }
    role.grants.policies = kept;
    Ok(())
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let mut found = roles(&call.state.space).list().await?;
    if let Some(id) = call.parameters.text("policy") {
        found.retain(|record| record.value.grants.policies.iter().any(|link| link.id == id));
    }
    for record in &mut found {
        drop_dangling(call, &mut record.value).await?;
    }
    call.json(&found.iter().map(Answered::of).collect::<Vec<_>>())
}

pub(super) async fn read(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    check_id(id)?;
    answer(call, roles(&call.state.space).get(id).await?.ok_or_else(missing)?).await
}

pub(super) async fn by_name(call: &Call<'_>, name: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    answer(call, roles(&call.state.space).by_name(name).await?.ok_or_else(missing)?).await
}

pub(super) async fn write(call: &Call<'_>, id: Option<&str>) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let mut wanted: Role = call.body()?;
    check_name("Role", &wanted.name, 256)?;
    resolve_policies(call, &mut wanted.grants).await?;
    let records = roles(&call.state.space);
    let before = identify(&records, "Role", id, &mut wanted.id).await?;
    let replaced = before.as_ref().map(|before| (before.modified, Some(before.value.name.as_str())));
    match records.put(&wanted.id, Some(&wanted.name), &wanted, replaced).await {
        Ok(_) => answer(call, records.get(&wanted.id).await?.ok_or_else(missing)?).await,
        Err(WriteError::Taken) => {
            let text = format!("Invalid Role: A Role with Name {:?} already exists", wanted.name);
            Err(Error::BadRequest(text))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    check_id(id)?;
    let records = roles(&call.state.space);
    let record = records.get(id).await?.ok_or_else(missing)?;
    let done = records.delete(id, record.modified, Some(&record.value.name)).await?;
    if done { call.json(&true) } else { Err(WriteError::Stale.into()) }
}
