//! Whether a hook is asked about a request.

use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::encoded;
use portolan_api::selector::LabelSelector;
use serde_json::Value;

use super::configuration::Hook;
use super::rules::Subject;
use super::{is_delete, operation};
use crate::admission::{Attributes, Operation};
use crate::request::Target;
use crate::status::Status;
use crate::storage;

/// As what a hook hears of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Version of the resource, and of the object that is sent.
    pub(super) version: String,
}

/// As what `hook` hears of a request; `None` if it is not asked.
pub(super) async fn seen_as(hook: &Hook, attributes: &Attributes<'_>) -> Result<Option<Seen>, Status> {
    let Some(seen) = matched(hook, attributes) else { return Ok(None) };
    if !selects_object(&hook.objects, attributes) || !selects_namespace(&hook.namespaces, attributes).await? {
        return Ok(None);
    }
    let holds = hook.conditions.hold(attributes, &seen.version, hook.failure_policy);
    if holds.map_err(|why| attributes.forbidden(&why))? { Ok(Some(seen)) } else { Ok(None) }
}

/// The first rule that speaks of the request, or of another version of the same resource.
fn matched(hook: &Hook, attributes: &Attributes<'_>) -> Option<Seen> {
    let speak_of = |version: &str| {
        let subject = subject(attributes, version);
        hook.rules.iter().any(|rule| rule.matches(&subject))
    };
    let own = &*attributes.call.resource.version;
    if speak_of(own) {
        return Some(Seen { version: own.to_owned() });
    }
    if !hook.matches_equivalents {
        return None;
    }
    let found = equivalents(attributes).into_iter().find(|version| speak_of(version))?;
    Some(Seen { version: found.to_owned() })
}

/// What a request is about, as if it were for this version of the resource.
pub(in crate::admission) fn subject<'a>(attributes: &'a Attributes<'_>, version: &'a str) -> Subject<'a> {
    let resource = attributes.call.resource;
    Subject {
        operation: operation(attributes),
        group: &resource.group,
        version,
        resource: &resource.name,
        subresource: attributes.subresource(),
        is_namespaced: resource.is_namespaced(),
    }
}

/// Other versions of the resource, with objects of the same shape.
pub(in crate::admission) fn equivalents<'a>(attributes: &'a Attributes<'_>) -> Vec<&'a str> {
    let resource = attributes.call.resource;
    let Some(group) = attributes.call.description.group(&resource.group) else { return Vec::new() };
    let others = group.versions.iter().filter(|version| version.version != resource.version);
    let others = others.filter(|version| {
        version.resource(&resource.name).is_some_and(|it| same_shape(it.group_version_kind(), attributes.kind))
    });
    others.map(|version| &*version.version).collect()
}

/// Whether objects of two versions of a kind differ in nothing but the version's name.
fn same_shape(left: GroupVersionKind<'_>, right: GroupVersionKind<'_>) -> bool {
    left.kind == right.kind && builtin().schema(left).is_some() && left.group != "autoscaling"
}

/// An object is selected if its old or its new labels are.
pub(in crate::admission) fn selects_object(selector: &LabelSelector, attributes: &Attributes<'_>) -> bool {
    if selector.is_everything() {
        return true;
    }
    let selects = |object: &Value| {
        object["metadata"].is_object()
            && selector.matches(|key| object["metadata"]["labels"].get(key).and_then(Value::as_str))
    };
    selects(&attributes.new) || selects(attributes.old)
}

/// What lives in no namespace is always selected; a namespace by its own labels.
pub(in crate::admission) async fn selects_namespace(
    selector: &LabelSelector,
    attributes: &Attributes<'_>,
) -> Result<bool, Status> {
    let namespace = attributes.namespace();
    if namespace.is_empty() || selector.is_everything() {
        return Ok(true);
    }
    let is_written = attributes.is_namespace()
        && attributes.subresource().is_empty()
        && matches!(attributes.operation, Operation::Create | Operation::Update);
    if is_written {
        let labels = &attributes.new["metadata"]["labels"];
        return Ok(selector.matches(|key| labels.get(key).and_then(Value::as_str)));
    }
    if attributes.is_namespace() && is_delete(attributes) {
        let labels = &attributes.old["metadata"]["labels"];
        return Ok(selector.matches(|key| labels.get(key).and_then(Value::as_str)));
    }
    let Some(entry) = storage::find(attributes.call.server, "", "namespaces", "", namespace).await? else {
        return Err(Status::not_found(&Target { group: "", resource: "namespaces" }, namespace));
    };
    Ok(selector.matches(|key| encoded::string_at(&entry.value, &["metadata", "labels", key])))
}
