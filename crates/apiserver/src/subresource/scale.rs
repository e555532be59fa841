//! `scale`: how many replicas, for kinds that have some.

use http::Response;
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::endpoint::{Call, Changed, Input, Written, metadata, parse};
use crate::negotiate::View;
use crate::status::Status;
use crate::{respond, storage};

pub(super) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let view = call.view()?;
    if call.info.verb == "get" {
        let entry = call.entry(&call.info.name).await?;
        return answer(view, &storage::decode(&entry)?);
    }
    let dry_run = call.is_dry_run()?;
    let mut warnings = Vec::new();
    let written: Written = if call.info.verb == "update" {
        let Input { object: wanted, .. } = call.input(body).await?;
        call.change(dry_run, &mut warnings, |old, _| scaled(call, old, &wanted)).await?
    } else {
        let content_type = call.content_type().to_owned();
        let patch = parse(&body::read(body).await?, content_type.ends_with("yaml"))?.value;
        call.change(dry_run, &mut warnings, |old, warnings| {
            let wanted = call.patched(&content_type, &patch, &scale_of(old), warnings)?;
            scaled(call, old, &wanted)
        })
        .await?
    };
    answer(view, &storage::decode_at(&written.stored, written.revision)?)
}

fn answer(view: View, object: &Value) -> Result<Response<Body>, Status> {
    match view {
        View::Whole => Ok(respond::json(200, &scale_of(object))),
        _ => Err(Status::not_acceptable(&["application/json"])),
    }
}

fn scaled(call: &Call<'_>, old: &Value, wanted: &Value) -> Result<Changed, Status> {
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let path = portolan_api::field::Path::new("spec").child("replicas");
        let error = portolan_api::field::Error::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", &call.info.name, &[error]));
    }
    let mut new = old.clone();
    new["spec"]["replicas"] = replicas.into();
    for field in ["resourceVersion", "uid"] {
        if !metadata::text(wanted, field).is_empty() {
            metadata::of(&mut new).insert(field.into(), metadata::text(wanted, field).into());
        }
    }
    Ok(new.into())
}

/// The scale of an object.
pub(crate) fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {}, "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)},
    });
    if let Some(replicas) = object["spec"]["replicas"].as_i64() {
        scale["spec"]["replicas"] = replicas.into();
    }
    let selector = selector_text(object);
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

fn selector_text(object: &Value) -> String {
    let selector = &object["spec"]["selector"];
    let is_plain = selector.as_object().is_some_and(|fields| fields.values().all(Value::is_string));
    let selector = if is_plain { json!({"matchLabels": selector}) } else { selector.clone() };
    portolan_api::selector::LabelSelector::from_value(&selector).map(|it| it.to_string()).unwrap_or_default()
}
