//! Whether a hook is asked about a request.

use std::sync::Arc;

use portolan_api::description::{GroupVersionKind, Resource, builtin};
use portolan_api::selector::LabelSelector;
use portolan_api::{conversion, encoded};
use serde_json::Value;

use super::configuration::Hook;
use super::rules::Subject;
use super::{is_delete, operation};
use crate::admission::{Attributes, Operation};
use crate::extensions::convert;
use crate::request::Target;
use crate::status::Status;
use crate::storage;

/// As what a hook hears of an object.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The resource by which the hook knows the request: the request's own, or another version of it.
    pub(super) resource: Arc<Resource>,
    /// Whether that is the request's own.
    pub(super) is_own: bool,
}

/// As what `hook` hears of a request; `None` if it is not asked.
pub(super) async fn seen_as(hook: &Hook, attributes: &Attributes<'_>) -> Result<Option<Seen>, Status> {
    let Some(seen) = matched(hook, attributes) else { return Ok(None) };
    if !selects_object(&hook.objects, attributes) || !selects_namespace(&hook.namespaces, attributes).await? {
        return Ok(None);
    }
    let holds = hook.conditions.hold(attributes, &seen.resource.version, hook.failure_policy);
    if holds.map_err(|why| attributes.forbidden(&why))? { Ok(Some(seen)) } else { Ok(None) }
}

/// The first rule that speaks of the request, or of another version of the same resource.
fn matched(hook: &Hook, attributes: &Attributes<'_>) -> Option<Seen> {
    let speaks_of = |group: &str, version: &str| {
        let subject = Subject { group, ..subject(attributes, version) };
        hook.rules.iter().any(|rule| rule.matches(&subject))
    };
    let own = attributes.call.resource;
    let known = |group: &str, version: &str| attributes.call.description.resource(group, version, &own.name).cloned();
    if speaks_of(&own.group, &own.version) {
        return Some(Seen { resource: known(&own.group, &own.version)?, is_own: true });
    }
    if !hook.matches_equivalents {
        return None;
    }
    let other = others(attributes).into_iter().find(|other| speaks_of(&other.group, &other.version))?;
    Some(Seen { resource: other, is_own: false })
}

/// The other versions of the resource, and what another group shows of the same objects.
fn others(attributes: &Attributes<'_>) -> Vec<Arc<Resource>> {
    let (own, description) = (attributes.call.resource, attributes.call.description);
    let home = conversion::of(&own.group, &own.name);
    let groups = description.groups().iter().filter(|group| {
        group.name == own.group
            || home.is_some() && conversion::home(&group.name, &own.name) == conversion::home(&own.group, &own.name)
    });
    let versions = groups.flat_map(|group| &group.versions);
    let resources = versions.filter_map(|version| version.resource(&own.name));
    let others = resources.filter(|it| (&it.group, &it.version) != (&own.group, &own.version) && it.kind == own.kind);
    others.cloned().collect()
}

/// The object and the one before as a hook hears of them.
pub(super) async fn objects(attributes: &Attributes<'_>, seen: &Seen) -> Result<(Value, Value), Status> {
    let resource = attributes.call.resource;
    // A subresource with an object of its own keeps the version of that.
    let converts = !seen.is_own && attributes.kind == resource.group_version_kind();
    let shown = async |object: &Value| match object {
        Value::Object(_) if converts => convert::object(attributes.call.server, object.clone(), &seen.resource).await,
        object => Ok(object.clone()),
    };
    Ok((shown(&attributes.new).await?, shown(attributes.old).await?))
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
