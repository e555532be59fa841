//! Whether a hook or a policy is asked about a request, and as what it sees the objects.

use std::borrow::Cow;
use std::sync::Arc;

use portolan_api::description::{GroupVersionKind, Resource};
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

/// As what a hook or a policy hears of an object.
#[derive(Debug, Clone)]
pub(in crate::admission) struct Seen {
    /// The resource by which it knows the request: the request's own, or another version of it.
    pub(in crate::admission) resource: Arc<Resource>,
    /// Whether that is the request's own.
    pub(in crate::admission) is_own: bool,
}

impl Seen {
    /// The request as it is.
    pub(in crate::admission) fn own(attributes: &Attributes<'_>) -> Option<Self> {
        let own = attributes.call.resource;
        let resource = attributes.call.description.resource(&own.group, &own.version, &own.name)?.clone();
        Some(Self { resource, is_own: true })
    }

    /// What the objects are.
    pub(in crate::admission) fn kind<'s>(&'s self, attributes: &'s Attributes<'_>) -> GroupVersionKind<'s> {
        if self.converts(attributes) { self.resource.group_version_kind() } else { attributes.kind }
    }

    /// Whether the objects are shown in another version. A subresource with an object of its own keeps that.
    fn converts(&self, attributes: &Attributes<'_>) -> bool {
        !self.is_own && attributes.kind == attributes.call.resource.group_version_kind()
    }

    /// An object of the request as it is shown.
    pub(in crate::admission) async fn shown<'o>(
        &self,
        attributes: &Attributes<'_>,
        object: &'o Value,
    ) -> Result<Cow<'o, Value>, Status> {
        if !object.is_object() || !self.converts(attributes) {
            return Ok(Cow::Borrowed(object));
        }
        convert::object(attributes.call.server, object.clone(), &self.resource).await.map(Cow::Owned)
    }

    /// What was shown, as the request has it.
    pub(in crate::admission) async fn back(
        &self,
        attributes: &Attributes<'_>,
        mut object: Value,
    ) -> Result<Value, Status> {
        if !self.converts(attributes) {
            return Ok(object);
        }
        object["apiVersion"] = self.resource.group_version_kind().api_version().into();
        convert::object(attributes.call.server, object, attributes.call.resource).await
    }
}

/// As what `hook` hears of a request; `None` if it is not asked.
pub(super) async fn seen_as(hook: &Hook, attributes: &Attributes<'_>) -> Result<Option<Seen>, Status> {
    let Some(seen) = matched(hook, attributes) else { return Ok(None) };
    if !selects_object(&hook.objects, attributes) || !selects_namespace(&hook.namespaces, attributes).await? {
        return Ok(None);
    }
    let holds = hook.conditions.hold(attributes, &seen, hook.failure_policy).await;
    if holds.map_err(|why| Status::forbidden(&attributes.call.target(), &attributes.name, &why))? {
        Ok(Some(seen))
    } else {
        Ok(None)
    }
}

/// The first rule that speaks of the request, or of another version of the same resource.
fn matched(hook: &Hook, attributes: &Attributes<'_>) -> Option<Seen> {
    spoken_of(attributes, hook.matches_equivalents, |subject| hook.rules.iter().any(|rule| rule.matches(subject)))
}

/// As what rules speak of the request: as it is or, `with_others`, as another version of the same resource.
pub(in crate::admission) fn spoken_of(
    attributes: &Attributes<'_>,
    with_others: bool,
    speaks_of: impl Fn(&Subject<'_>) -> bool,
) -> Option<Seen> {
    let own = attributes.call.resource;
    if speaks_of(&subject(attributes, own)) {
        return Seen::own(attributes);
    }
    if !with_others {
        return None;
    }
    let other = others(attributes).into_iter().find(|other| speaks_of(&subject(attributes, other)))?;
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
    let new = seen.shown(attributes, &attributes.new).await?;
    let old = seen.shown(attributes, attributes.old).await?;
    Ok((new.into_owned(), old.into_owned()))
}

/// What a request is about, as if it were for this version of the resource.
fn subject<'a>(attributes: &'a Attributes<'_>, version: &'a Resource) -> Subject<'a> {
    Subject {
        operation: operation(attributes),
        group: &version.group,
        version: &version.version,
        resource: &version.name,
        subresource: attributes.subresource(),
        is_namespaced: version.is_namespaced(),
    }
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
    let entry = storage::entry(attributes.call.server, &Target::NAMESPACES, "", namespace).await?;
    Ok(selector.matches(|key| encoded::string_at(&entry.value, &["metadata", "labels", key])))
}
