//! `pods/binding`: gives a pod its node.

use http::Response;
use portolan_api::time;
use serde_json::{Value, json};

use crate::body::Body;
use crate::endpoint::{Call, Input, metadata};
use crate::request::Target;
use crate::respond;
use crate::status::Status;

const TARGET: Target<'static> = Target { group: "", resource: "pods/binding" };

pub(super) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let dry_run = call.is_dry_run()?;
    let Input { object: binding, mut warnings } = call.input(body).await?;
    let binding = super::admitted(call, binding, dry_run, &mut warnings).await?;
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
    if node.is_empty() {
        let path = portolan_api::field::Path::new("target").child("name");
        let error = portolan_api::field::Error::required(&path, "");
        return Err(Status::invalid("", "Binding", &call.info.name, &[error]));
    }
    let uid = metadata::text(&binding, "uid").to_owned();
    call.change(dry_run, &mut warnings, |old, _| {
        let mut new = old.clone();
        bound(&call.info.name, &mut new, &node, &binding, call.now)?;
        if !uid.is_empty() {
            metadata::of(&mut new).insert("uid".into(), uid.as_str().into());
        }
        Ok(new.into())
    })
    .await?;
    Ok(respond::json(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

fn bound(
    name: &str,
    pod: &mut Value,
    node: &str,
    binding: &Value,
    now: portolan_base::Timestamp,
) -> Result<(), Status> {
    if pod["metadata"].get("deletionTimestamp").is_some() {
        let why = format!("pod {name} is being deleted, cannot be assigned to a host");
        return Err(Status::conflict(&TARGET, name, &why));
    }
    if let Some(current) = pod["spec"]["nodeName"].as_str().filter(|current| !current.is_empty()) {
        let why = format!("pod {name} is already assigned to node \"{current}\"");
        return Err(Status::conflict(&TARGET, name, &why));
    }
    pod["spec"]["nodeName"] = node.into();
    if let Some(annotations) = binding["metadata"]["annotations"].as_object().filter(|it| !it.is_empty()) {
        for (key, value) in annotations {
            pod["metadata"]["annotations"][key] = value.clone();
        }
    }
    for (key, value) in binding["metadata"]["labels"].as_object().into_iter().flatten() {
        pod["metadata"]["labels"][key] = value.clone();
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": time::format(now)});
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(scheduled);
    }
    Ok(())
}
