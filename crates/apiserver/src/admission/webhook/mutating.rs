//! Hooks that may change the object: one after the other, each sees what those before it made.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::{conversion, schema};
use portolan_base::go;
use serde::Serialize;
use serde_json::Value;

use super::configuration::Hook;
use super::{Failure, is_exempt, may_ask, measured, review, select};
use crate::admission::policy::FailurePolicy;
use crate::admission::{Attributes, Operation};
use crate::endpoint::{expect_kind, kinds};
use crate::extensions::convert;
use crate::status::Status;

const AUDIT: &str = "mutation.webhook.admission.k8s.io";

/// Where the audit log says how a hook changed the object.
const AUDIT_OF_PATCHES: &str = "patch.webhook.admission.k8s.io";

/// What is said of managers that a hook left unreadable; those from before stay.
const BAD_MANAGERS: &str = ".metadata.managedFields was in an invalid state after admission; this could be caused by an \
                            outdated mutating admission controller; please fix your requests: ";

/// What the audit log says of a hook; the fields stand in upstream's order.
#[derive(Serialize)]
struct Note<'a> {
    configuration: &'a str,
    webhook: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'a [Value]>,
    #[serde(rename = "patchType", skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
}

impl<'a> Note<'a> {
    fn of(hook: &'a Hook) -> Self {
        let Hook { configuration, name, .. } = hook;
        Self { configuration, webhook: name, mutated: None, patch: None, patch_type: None }
    }

    fn text(&self) -> String {
        let text = serde_json::to_string(self).expect("names and JSON can be written");
        go::html_safe(&text).into_owned()
    }
}

/// What is remembered from the first round for the second one.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// 0, and 1 if everyone is asked again.
    pub(crate) round: usize,
    /// Somebody changed the object after others had looked at it.
    pub(crate) again: bool,
    /// Hooks that were asked and want to be asked again, should somebody behind them change the object.
    asked: BTreeSet<(String, String)>,
    /// Hooks that are asked in the next round.
    due: BTreeSet<(String, String)>,
    /// The object as the last hook left it.
    output: Option<Value>,
}

impl Rounds {
    fn require(&mut self) {
        self.due.append(&mut self.asked);
    }
}

/// Asks all hooks that are concerned.
pub(crate) async fn mutate(attributes: &mut Attributes<'_>, rounds: &mut Rounds) -> Result<(), Status> {
    if is_exempt(attributes) {
        return Ok(());
    }
    let hooks = attributes.call.server.admission.mutating().await?;
    if hooks.is_empty() {
        return Ok(());
    }
    if rounds.round > 0 && rounds.output.as_ref() != Some(&attributes.new) {
        // What is built in changed the object once more.
        rounds.require();
    }
    let due = std::mem::take(&mut rounds.due);
    for (index, hook) in hooks.iter().enumerate() {
        let id = (hook.configuration.clone(), hook.name.clone());
        // A hook that did not care in the first round is not asked for the first time in the second.
        if rounds.round > 0 && !due.contains(&id) && !rounds.due.contains(&id) {
            continue;
        }
        let Some(seen) = select::seen_as(hook, attributes).await? else { continue };
        let key = format!("round_{}_index_{index}", rounds.round);
        let started = Instant::now();
        let outcome = ask(hook, attributes, &seen, &key).await;
        measured(hook, attributes, "admit", outcome.as_ref().map(|_| None), started.elapsed());
        let note = Note { mutated: Some(matches!(outcome, Ok(true))), ..Note::of(hook) };
        attributes.annotate(format!("{AUDIT}/{key}"), note.text());
        match outcome {
            Ok(true) => {
                rounds.require();
                rounds.again = true;
            }
            Ok(false) => {}
            Err(Failure::Unanswered(why)) if hook.failure_policy == FailurePolicy::Ignore => {
                tracing::warn!(webhook = hook.name, why, "a webhook failed and may");
                attributes.annotate(format!("failed-open.{AUDIT}/{key}"), hook.name.as_str());
            }
            Err(failure) => return Err(failure.into_status().warning(std::mem::take(&mut attributes.warnings))),
        }
        if hook.is_reinvocable {
            rounds.asked.insert(id);
        }
    }
    rounds.output = Some(attributes.new.clone());
    Ok(())
}

/// Asks one hook; returns whether it changed the object.
async fn ask(
    hook: &Arc<Hook>,
    attributes: &mut Attributes<'_>,
    seen: &select::Seen,
    key: &str,
) -> Result<bool, Failure> {
    may_ask(hook, attributes)?;
    let objects = select::objects(attributes, seen).await.map_err(Failure::Rejected)?;
    let (question, uid) = review::question(hook, attributes, seen, objects, false);
    let server = attributes.call.server;
    let bytes = hook.ask(server, &server.config.access.admission.mutating_users, question.to_string()).await;
    let bytes =
        bytes.map_err(|why| Failure::Unanswered(hook.failed_calling(format!("failed to call webhook: {why}"))))?;
    let answer = review::answer(hook, &bytes, &uid, true)?;
    for (name, value) in answer.audit_annotations {
        attributes.annotate(format!("{}/{name}", hook.name), value);
    }
    attributes.warnings.extend(answer.warnings);
    if let Some(refusal) = answer.refusal {
        return Err(Failure::Rejected(refusal));
    }
    let sent = &question["request"]["object"];
    let operations = review::operations(hook, &answer.patch)?;
    if operations.is_empty() {
        return Ok(false);
    }
    let note = Note { patch: Some(&operations), patch_type: Some("JSONPatch"), ..Note::of(hook) }.text();
    let changed = patch(hook, attributes, sent, operations).await?;
    attributes.call.notes.add_of_bodies(format!("{AUDIT_OF_PATCHES}/{key}"), note);
    Ok(changed)
}

/// Applies a patch to the object as it was sent, and checks and completes the outcome like a client's.
async fn patch(
    hook: &Hook,
    attributes: &mut Attributes<'_>,
    sent: &Value,
    operations: Vec<Value>,
) -> Result<bool, Failure> {
    let internal = |why: String| Failure::Rejected(Status::internal(why));
    if matches!(attributes.operation, Operation::Delete) || sent.is_null() {
        return Err(internal(format!(
            "admission webhook \"{}\" attempted to modify the object, which is not supported for this operation",
            hook.name
        )));
    }
    let mut object = sent.clone();
    portolan_api::patch::json::apply(&mut object, &Value::Array(operations))
        .map_err(|error| internal(error.to_string()))?;
    if object == *sent {
        return Ok(false);
    }
    let call = attributes.call;
    // All of it may have become something else.
    if let Some(problem) = kinds::unreadable(&object) {
        return Err(internal(problem));
    }
    expect_registered(&object, sent, attributes).map_err(Failure::Rejected)?;
    // What was sent in another version of the resource comes back in it.
    let versions = conversion::of(&call.resource.group, &call.resource.name);
    if !versions.is_some_and(|it| it.knows(object["apiVersion"].as_str().unwrap_or_default())) {
        object["apiVersion"] = sent["apiVersion"].clone();
    }
    let is_other = object["apiVersion"] != attributes.kind.api_version().as_str();
    if is_other && attributes.kind == call.resource.group_version_kind() {
        object = convert::object(call.server, object, call.resource).await.map_err(Failure::Rejected)?;
    }
    object["apiVersion"] = attributes.kind.api_version().into();
    if attributes.operation == Operation::Connect {
        attributes.new = object;
        return Ok(true);
    }
    // Users' objects are looked at once they are whole.
    if call.resource.custom.is_none() {
        expect_kind(&mut object, attributes.kind).map_err(Failure::Rejected)?;
    }
    // Upstream decodes it without looking for fields that it does not know.
    call.take_over(&mut object, attributes.kind).map_err(internal)?;
    if attributes.kind == call.resource.group_version_kind() {
        call.strategy.default(&mut object);
        call.fill(&mut object);
    }
    if object["metadata"]["managedFields"] != sent["metadata"]["managedFields"]
        && let Some(problem) = managers_problem(&object["metadata"]["managedFields"])
    {
        object["metadata"]["managedFields"] = sent["metadata"]["managedFields"].clone();
        attributes.warnings.push(format!("{BAD_MANAGERS}{problem}"));
    }
    attributes.new = object;
    Ok(true)
}

/// Why nobody can read a list of managers.
fn managers_problem(managers: &Value) -> Option<String> {
    managers.as_array().into_iter().flatten().enumerate().find_map(|(index, manager)| {
        let text = |name: &str| manager.get(name).and_then(Value::as_str).unwrap_or_default();
        match (text("operation"), text("apiVersion"), text("fieldsType")) {
            ("Apply" | "Update", "", _) => Some("apiVersion must not be empty".to_owned()),
            ("Apply" | "Update", _, "FieldsV1") => None,
            ("Apply" | "Update", _, "") => Some(format!("missing fieldsType in managed fields entry {index}")),
            ("Apply" | "Update", _, other) => {
                Some(format!("invalid fieldsType {} in managed fields entry {index}", go::quote(other)))
            }
            _ => Some("operation must be `Apply` or `Update`".to_owned()),
        }
    })
}

/// Refuses what a patch made an object of a kind that nobody knows. What was sent is of a known one.
fn expect_registered(object: &Value, sent: &Value, attributes: &Attributes<'_>) -> Result<(), Status> {
    let of = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (of(object, "apiVersion"), of(object, "kind"));
    let (sent_version, sent_kind) = (of(sent, "apiVersion"), of(sent, "kind"));
    let found = GroupVersionKind::from_api_version(
        if api_version.is_empty() { &sent_version } else { &api_version },
        if kind.is_empty() { &sent_kind } else { &kind },
    );
    let was = GroupVersionKind::from_api_version(&sent_version, &sent_kind);
    let resource = attributes.call.resource;
    let versions = conversion::of(&resource.group, &resource.name);
    let is_version = found.kind == was.kind && versions.is_some_and(|it| it.knows(&found.api_version()));
    if found == was || is_version {
        return Ok(());
    }
    if builtin().schema(was).is_none() {
        if found.group == was.group {
            return Ok(());
        }
        let (found, wanted) = (found.api_version(), go::quote(&was.api_version()));
        let why = format!("{found}, Kind={kind} is unstructured and is not suitable for converting to {wanted}");
        return Err(Status::unnamed(why));
    }
    let Some(schema) = builtin().schema(found) else {
        return Err(Status::internal(kinds::not_registered(found, was.group)));
    };
    if let Some(problem) = schema::check_at(object, schema).wrong_type {
        return Err(Status::internal(problem));
    }
    let package = kinds::package(was.group, was.kind);
    let why = format!("converting ({}.{}) to ({package}.{}): unknown conversion", found.version, found.kind, was.kind);
    Err(Status::unnamed(why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managers_must_be_readable() {
        let cases = [
            (json!(null), None),
            (json!([{"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}]), None),
            (json!([{"operation": "Nope"}]), Some("operation must be `Apply` or `Update`")),
            (json!([{"operation": "Update"}]), Some("apiVersion must not be empty")),
            (
                json!([{"operation": "Update", "apiVersion": "v1"}]),
                Some("missing fieldsType in managed fields entry 0"),
            ),
            (
                json!([{"operation": "Update", "apiVersion": "v1", "fieldsType": "x"}]),
                Some("invalid fieldsType \"x\" in managed fields entry 0"),
            ),
        ];
        for (managers, expected) in cases {
            assert_eq!(managers_problem(&managers).as_deref(), expected, "{managers}");
        }
    }
}
