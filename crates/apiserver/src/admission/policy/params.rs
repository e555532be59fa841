//! Objects that parametrise a policy: `paramKind`, `paramRef`.

use portolan_api::description::GroupVersionKind;
use portolan_api::selector::LabelSelector;
use portolan_store::{KeyRange, RangeRequest};
use serde_json::Value;

use crate::admission::Attributes;
use crate::status::Status;
use crate::storage;

/// The kind of a policy's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParamKind {
    api_version: String,
    kind: String,
}

impl ParamKind {
    pub(super) fn read(spec: &Value) -> Option<Self> {
        let kind = &spec["paramKind"];
        let text = |field: &str| kind[field].as_str().unwrap_or_default().to_owned();
        kind.is_object().then(|| Self { api_version: text("apiVersion"), kind: text("kind") })
    }
}

/// Which objects of that kind a binding means.
#[derive(Debug)]
pub(super) struct Reference {
    name: String,
    namespace: String,
    selector: Option<LabelSelector>,
    /// Whether it is an error if there are none.
    must_exist: bool,
}

impl Reference {
    pub(super) fn read(value: &Value) -> Self {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let selector = value["selector"].is_object();
        Self {
            name: text("name"),
            namespace: text("namespace"),
            selector: selector.then(|| LabelSelector::from_value(&value["selector"]).unwrap_or_default()),
            must_exist: value["parameterNotFoundAction"] == "Deny",
        }
    }
}

/// Where the parameters of a policy are kept; nowhere if it has none. The error says that nobody knows their kind.
pub(super) fn place(kind: Option<&ParamKind>, attributes: &Attributes<'_>) -> Result<Option<Place>, String> {
    let Some(ParamKind { api_version, kind }) = kind else { return Ok(None) };
    let wanted = GroupVersionKind::from_api_version(api_version, kind);
    let Some(resource) = attributes.call.description.resource_of_kind(wanted) else {
        return Err(format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"));
    };
    Ok(Some(Place {
        group: resource.group.to_string(),
        resource: resource.name.to_string(),
        is_namespaced: resource.is_namespaced(),
    }))
}

/// Where objects of a kind are kept.
pub(super) struct Place {
    group: String,
    resource: String,
    is_namespaced: bool,
}

/// The objects with which a policy is evaluated, once for each. Null stands for no parameters.
///
/// The outer error is a failure of the server, the inner one a mistake of who wrote the binding.
pub(super) async fn collect(
    place: Option<&Place>,
    reference: Option<&Reference>,
    attributes: &Attributes<'_>,
) -> Result<Result<Vec<Value>, String>, Status> {
    let (Some(place), Some(reference)) = (place, reference) else { return Ok(Ok(vec![Value::Null])) };
    let server = attributes.call.server;
    let namespace = match (place.is_namespaced, reference.namespace.as_str(), attributes.namespace()) {
        (false, "", _) => "",
        (false, ..) => {
            return Ok(Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into()));
        }
        (true, "", "") => {
            let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Ok(Err(why.into()));
        }
        (true, "", own) => own,
        (true, given, _) => given,
    };
    let found = match &reference.selector {
        None => {
            let entry = storage::find(server, &place.group, &place.resource, namespace, &reference.name).await?;
            entry.iter().map(|entry| storage::decode(entry)).collect::<Result<Vec<Value>, Status>>()?
        }
        Some(selector) => {
            let range = KeyRange::prefix(storage::prefix(&place.group, &place.resource, namespace));
            let entries = server.store().range(RangeRequest { range, revision: None, limit: 0 }).await?.entries;
            let objects = entries.iter().map(|entry| storage::decode(entry));
            let mut objects = objects.collect::<Result<Vec<Value>, Status>>()?;
            objects
                .retain(|object| selector.matches(|key| object["metadata"]["labels"].get(key).and_then(Value::as_str)));
            objects
        }
    };
    if found.is_empty() && reference.must_exist {
        return Ok(Err("no params found for policy binding with `Deny` parameterNotFoundAction".into()));
    }
    Ok(Ok(found))
}
