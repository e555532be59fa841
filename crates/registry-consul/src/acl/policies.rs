//! Policies.

use http::Response;
use portolan_registrar::http::Body;
use serde::Serialize;

use super::directory::policies;
use super::model::{GLOBAL_MANAGEMENT, GLOBAL_READ_ONLY, Policy, hash};
use super::{Access, Call, check_id, check_name, identify, rules};
use crate::Error;
use crate::space::{Record, WriteError};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answered<'a> {
    #[serde(flatten)]
    record: &'a Record<Policy>,
    hash: String,
}

impl<'a> Answered<'a> {
    fn of(record: &'a Record<Policy>) -> Self {
        let policy = &record.value;
        let hash = hash(&[&*policy.name, &*policy.description, &*policy.rules].join("\n"));
        Self { record, hash }
    }
}

fn missing() -> Error {
    Error::NotFound("Requested policy does not exist: ACL not found".into())
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let mut found = policies(&call.state.space).list().await?;
    // Lists leave the rules out.
    let mut answered = Vec::new();
    for record in &mut found {
        let mut value = serde_json::to_value(Answered::of(record)).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.remove("Rules");
        }
        answered.push(value);
    }
    call.json(&answered)
}

pub(super) async fn read(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    check_id(id)?;
    let record = policies(&call.state.space).get(id).await?.ok_or_else(missing)?;
    call.json(&Answered::of(&record))
}

pub(super) async fn by_name(call: &Call<'_>, name: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let record = policies(&call.state.space).by_name(name).await?.ok_or_else(missing)?;
    call.json(&Answered::of(&record))
}

pub(super) async fn write(call: &Call<'_>, id: Option<&str>) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let mut wanted: Policy = call.body()?;
    check_name("Policy", &wanted.name, 128)?;
    rules::parse(&wanted.rules).map_err(|error| Error::BadRequest(format!("Failed to parse ACL rules: {error}")))?;
    let records = policies(&call.state.space);
    let before = identify(&records, "Policy", id, &mut wanted.id).await?;
    if let Some(before) = &before
        && matches!(&*wanted.id, GLOBAL_MANAGEMENT | GLOBAL_READ_ONLY)
        && before.value.rules != wanted.rules
    {
        let name = &before.value.name;
        return Err(Error::BadRequest(format!("Changing the Rules for the builtin {name} policy is not permitted")));
    }
    let replaced = before.as_ref().map(|before| (before.modified, Some(before.value.name.as_str())));
    match records.put(&wanted.id, Some(&wanted.name), &wanted, replaced).await {
        Ok(_) => {}
        Err(WriteError::Taken) => {
            let text = format!("Invalid Policy: A Policy with Name {:?} already exists", wanted.name);
            return Err(Error::BadRequest(text));
        }
        Err(error) => return Err(error.into()),
    }
    let record = records.get(&wanted.id).await?.ok_or_else(missing)?;
    call.json(&Answered::of(&record))
}

pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    check_id(id)?;
    if matches!(id, GLOBAL_MANAGEMENT | GLOBAL_READ_ONLY) {
        return Err(Error::BadRequest("Delete operation not permitted on a builtin policy".into()));
    }
    let records = policies(&call.state.space);
    let record = records.get(id).await?.ok_or_else(missing)?;
    let done = records.delete(id, record.modified, Some(&record.value.name)).await?;
    if done { call.json(&true) } else { Err(WriteError::Stale.into()) }
}
