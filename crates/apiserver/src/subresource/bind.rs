//! `pods/binding`, and the older `bindings`: gives a pod its node.
//!
//! Source: `k8s.io/kubernetes/pkg/registry/core/pod/storage/storage.go`.

use http::Response;
use portolan_api::field::{self, Path};
use portolan_api::time;
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::body::Body;
use crate::endpoint::{Call, Changed, Input, metadata};
use crate::request::{Info, Target};
use crate::respond;
use crate::status::Status;

const TARGET: Target<'static> = Target { group: "", resource: "pods/binding" };

/// Whether a request makes an object of the kind that is nothing but the binding of a pod.
pub(crate) fn is_binding(call: &Call<'_>) -> bool {
    call.resource.group.is_empty() && call.resource.name == "bindings"
}

/// Gives the pod that the URL names its node.
pub(super) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let Input { object: binding, warnings } = call.input(body).await?;
    if metadata::text(&binding, "name") != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    assign(call, call, binding, warnings).await
}

/// Gives the pod that the binding names its node.
pub(crate) async fn create(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let Input { object: binding, warnings } = call.input(body).await?;
    call.expect_namespace(&binding)?;
    let info = Info {
        resource: "pods".into(),
        subresource: "binding".into(),
        name: metadata::text(&binding, "name").to_owned(),
        ..call.info.clone()
    };
    let pods = call.description.resource("", "v1", "pods").ok_or_else(Status::no_such_path)?;
    assign(call, &call.on(pods, &info), binding, warnings).await
}

/// What the client asked is `asked`; the pod is changed by `call`.
async fn assign(
    asked: &Call<'_>,
    call: &Call<'_>,
    mut binding: Value,
    mut warnings: Vec<String>,
) -> Result<Response<Body>, Status> {
    check(&binding)?;
    let dry_run = call.is_dry_run()?;
    asked.track_sent(&mut binding)?;
    let binding = super::admitted(asked, binding, dry_run, &mut warnings).await?;
    call.change(dry_run, &mut warnings, |old, _| {
        let mut new = old.clone();
        bound(&call.info.name, &mut new, &binding, call.now)?;
        let metadata = metadata::of(&mut new);
        for field in ["uid", "resourceVersion"] {
            if !metadata::text(&binding, field).is_empty() {
                metadata.insert(field.into(), metadata::text(&binding, field).into());
            }
        }
        // Upstream writes the node past all managers.
        Ok(Changed { object: new, tracked: true, managers: None })
    })
    .await?;
    Ok(respond::json(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

/// Upstream answers these problems without the object that has them.
fn check(binding: &Value) -> Result<(), Status> {
    let target = Path::new("target");
    let mut errors = Vec::new();
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        errors.push(field::Error::not_supported_as_listed(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    if binding["target"]["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(field::Error::required(&target.child("name"), ""));
    }
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [] => Ok(()),
        [text] => Err(Status::new(500, "", text.as_str())),
        texts => Err(Status::new(500, "", format!("[{}]", texts.join(", ")))),
    }
}

fn bound(name: &str, pod: &mut Value, binding: &Value, now: Timestamp) -> Result<(), Status> {
    let refused = |why: String| Err(Status::conflict(&TARGET, name, &why));
    if pod["metadata"].get("deletionTimestamp").is_some() {
        return refused(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(current) = pod["spec"]["nodeName"].as_str().filter(|current| !current.is_empty()) {
        return refused(format!("pod {name} is already assigned to node \"{current}\""));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return refused(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod["spec"]["nodeName"] = binding["target"]["name"].clone();
    for field in ["annotations", "labels"] {
        for (key, value) in binding["metadata"][field].as_object().into_iter().flatten() {
            pod["metadata"][field][key] = value.clone();
        }
    }
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    if let Some(status) = pod["status"].as_object_mut() {
        status.remove("nominatedNodeName");
    }
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
        let scheduled = json!({
            "type": "PodScheduled", "status": "True",
            "lastProbeTime": null, "lastTransitionTime": time::format(now),
        });
        match conditions.iter_mut().find(|condition| condition["type"] == "PodScheduled") {
            Some(condition) => *condition = scheduled,
            None => conditions.push(scheduled),
        }
    }
    Ok(())
}
