//! Questions to hooks and what they answer: `AdmissionReview`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, Resource};
use portolan_base::go;
use serde_json::{Value, json};

use super::configuration::Hook;
use super::select::Seen;
use super::{Failure, operation};
use crate::admission::Attributes;
use crate::status::Status;
use crate::subresource::user_info;
use crate::webhook_client;

/// What a hook answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) patch: Patch,
    pub(super) audit_annotations: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
    /// Why the hook says no; `None` if it says yes.
    pub(super) refusal: Option<Status>,
}

/// How a hook wants to change the object.
#[derive(Debug, Default)]
pub(super) struct Patch {
    /// A JSON Patch, not yet read; empty if nothing is to be changed.
    bytes: Vec<u8>,
    /// What it is said to be, if that is something else.
    other: Option<String>,
}

/// The question about the object and the one before, and the name by which its answer is known. `is_final`: nobody will
/// change the object any more, so it has the revision that it replaces even if the client did not say that.
pub(super) fn question(
    hook: &Hook,
    attributes: &Attributes<'_>,
    seen: &Seen,
    (new, old): (Value, Value),
    is_final: bool,
) -> (Value, String) {
    let uid = uuid::Uuid::new_v4().to_string();
    let (resource, kind) = (attributes.call.resource, attributes.kind);
    // A subresource with an object of its own keeps the version of that.
    let seen_kind = if kind == resource.group_version_kind() { seen.resource.group_version_kind() } else { kind };
    let kind_of = |kind: GroupVersionKind<'_>| json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let resource_of = |it: &Resource| json!({"group": it.group, "version": it.version, "resource": it.name});
    let object = |object: Value| match object {
        Value::Null => Value::Null,
        mut object => {
            object["apiVersion"] = seen_kind.api_version().into();
            let revision = &attributes.old["metadata"]["resourceVersion"];
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
                && (is_final || attributes.subresource() == "scale")
                && metadata.get("resourceVersion").is_none_or(Value::is_null)
                && revision.is_string()
            {
                metadata.insert("resourceVersion".into(), revision.clone());
            }
            object
        }
    };
    let mut request = json!({
        "uid": uid, "kind": kind_of(seen_kind), "resource": resource_of(&seen.resource),
        "requestKind": kind_of(kind), "requestResource": resource_of(resource),
        "operation": operation(attributes), "userInfo": user_info(attributes.call.user),
        "object": object(new), "oldObject": object(old),
        "dryRun": attributes.dry_run, "options": attributes.options,
    });
    if !attributes.subresource().is_empty() {
        request["subResource"] = attributes.subresource().into();
        request["requestSubResource"] = attributes.subresource().into();
    }
    if !attributes.name.is_empty() {
        request["name"] = attributes.name.as_str().into();
    }
    if !attributes.namespace().is_empty() {
        request["namespace"] = attributes.namespace().into();
    }
    let api_version = format!("admission.k8s.io/{}", hook.review_version);
    (json!({"kind": "AdmissionReview", "apiVersion": api_version, "request": request}), uid)
}

/// Reads an answer. `may_change`: whether the hook may send a patch.
pub(super) fn answer(hook: &Hook, bytes: &[u8], uid: &str, may_change: bool) -> Result<Answer, Failure> {
    let invalid =
        |why: String| Failure::Unanswered(hook.failed_calling(format!("received invalid webhook response: {why}")));
    let kind = GroupVersionKind { group: "admission.k8s.io", version: hook.review_version, kind: "AdmissionReview" };
    let review = webhook_client::review::read(bytes, kind)
        .map_err(|why| Failure::Unanswered(hook.failed_calling(format!("failed to call webhook: {why}"))))?;
    let response = &review["response"];
    if !response.is_object() {
        return Err(invalid("webhook response was absent".into()));
    }
    // The first version of reviews did not ask for kind and uid in the answer.
    if hook.review_version == "v1" {
        if response["uid"] != uid {
            let given = go::quote(text(&response["uid"]));
            return Err(invalid(format!("expected response.uid=\"{uid}\", got {given}")));
        }
        let found = webhook_client::review::kind_of(&review);
        let expected = "admission.k8s.io/v1, Kind=AdmissionReview";
        if found != expected {
            return Err(invalid(format!("expected webhook response of {expected}, got {found}")));
        }
    }
    let patch = if may_change { patch(hook, response) } else { no_patch(hook, response).map(|()| Patch::default()) };
    let patch = patch.map_err(invalid)?;
    let annotations = response["auditAnnotations"].as_object().into_iter().flatten();
    let warnings = response["warnings"].as_array().into_iter().flatten();
    Ok(Answer {
        patch,
        audit_annotations: annotations
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
        warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect(),
        refusal: (response["allowed"] != true).then(|| refusal(&hook.name, &response["status"])),
    })
}

/// The operations of a patch.
pub(super) fn operations(hook: &Hook, patch: &Patch) -> Result<Vec<Value>, Failure> {
    if patch.bytes.is_empty() {
        return Ok(Vec::new());
    }
    let undecodable = |why: String| {
        Failure::Unanswered(hook.failed_calling(format!("received undecodable patch in webhook response: {why}")))
    };
    let wrong = |found: &Value, wanted: &str| {
        let found = decode::type_of(found);
        undecodable(format!("json: cannot unmarshal {found} into Go value of type jsonpatch.{wanted}"))
    };
    let decoded = decode::json(&patch.bytes, &Limits::of_any_size()).map_err(|error| undecodable(error.to_string()))?;
    let mut operations = match decoded.value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(operations) => operations,
        other => return Err(wrong(&other, "Patch")),
    };
    if let Some(other) = operations.iter().find(|operation| !matches!(operation, Value::Null | Value::Object(_))) {
        return Err(wrong(other, "Operation"));
    }
    // The library that applies patches passes over what is no text there.
    for operation in operations.iter_mut().filter_map(Value::as_object_mut) {
        operation.retain(|name, value| !matches!(name.as_str(), "op" | "path" | "from") || value.is_string());
    }
    match &patch.other {
        Some(other) if !operations.is_empty() => {
            Err(Failure::Unanswered(hook.failed_calling(format!("unsupported patch type {}", go::quote(other)))))
        }
        _ => Ok(operations),
    }
}

/// Refuses the patch of a hook that may only say yes or no. The first version of reviews passed it over.
fn no_patch(hook: &Hook, response: &Value) -> Result<(), String> {
    if hook.review_version != "v1" {
        return Ok(());
    }
    let field = match (text(&response["patch"]), &response["patchType"]) {
        ("", Value::Null) => return Ok(()),
        ("", _) => "patchType",
        _ => "patch",
    };
    Err(format!("validating webhook may not return response.{field}"))
}

fn patch(hook: &Hook, response: &Value) -> Result<Patch, String> {
    let encoded = text(&response["patch"]);
    let patch_type = response["patchType"].as_str();
    if hook.review_version == "v1" {
        match (encoded.is_empty(), patch_type) {
            (true, Some(_)) => return Err("webhook returned response.patchType but not response.patch".into()),
            (false, None) => return Err("webhook returned response.patch but not response.patchType".into()),
            (false, Some("")) => return Err("webhook returned invalid response.patchType of \"\"".into()),
            _ => {}
        }
    }
    // There is only one type, so the first version of reviews did not look at it.
    let other = patch_type.filter(|given| hook.review_version == "v1" && *given != "JSONPatch").map(str::to_owned);
    // Lines may end in it.
    let encoded: String = encoded.chars().filter(|character| !matches!(character, '\r' | '\n')).collect();
    let bytes = STANDARD.decode(encoded).map_err(|error| format!("response.patch: {error}"))?;
    Ok(Patch { bytes, other })
}

/// What the client hears when a hook says no.
fn refusal(hook: &str, result: &Value) -> Status {
    let denied = format!("admission webhook \"{hook}\" denied the request");
    let message = match (text(&result["message"]), text(&result["reason"])) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    Status::told(result, message)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
