//! What may be wrong with an object's metadata.

use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::field::{self, Path};
use portolan_api::validation;
use portolan_base::go;
use serde_json::Value;

use super::super::names;
use super::text;
use crate::strategy::NameRule;

/// Upstream checks metadata for all kinds alike, and then once more for many a kind, each in a way of its own. People
/// read of a problem once, but programs find a cause for each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// What any metadata may say.
    Content,
    /// The same, with finalizers that must not be anybody else's by accident.
    ContentWithFinalizers,
    /// What may change, and much of what any may say.
    Change,
    /// The same, with such finalizers.
    ChangeWithFinalizers,
}

use Round::{Change, ChangeWithFinalizers, Content, ContentWithFinalizers};

/// The rounds that follow for a kind when one of its objects is changed.
fn rounds(kind: GroupVersionKind<'_>) -> &'static [Round] {
    match (kind.group, kind.kind) {
        ("policy", "PodDisruptionBudget") | ("", "Event") => &[],
        ("admissionregistration.k8s.io", _) => &[Content],
        ("apiextensions.k8s.io", _) | ("coordination.k8s.io", _) => &[Change],
        ("node.k8s.io", _) => &[Content, Change],
        ("apiregistration.k8s.io", _) => &[Change, Content],
        ("flowcontrol.apiserver.k8s.io", _)
        | ("", "LimitRange")
        | ("discovery.k8s.io", "EndpointSlice")
        | ("storage.k8s.io", "VolumeAttachment" | "CSINode") => &[ContentWithFinalizers],
        ("", "PersistentVolume") => &[ContentWithFinalizers, ContentWithFinalizers],
        ("", "Pod" | "ConfigMap" | "Secret" | "ServiceAccount" | "PersistentVolumeClaim" | "Endpoints")
        | ("networking.k8s.io", "Ingress" | "IngressClass")
        | ("storage.k8s.io", "VolumeAttributesClass")
        | ("apps", "ControllerRevision") => &[ChangeWithFinalizers, ContentWithFinalizers],
        ("rbac.authorization.k8s.io" | "certificates.k8s.io", _)
        | ("", "Namespace" | "Node")
        | ("batch", "Job")
        | ("storage.k8s.io", "StorageClass" | "CSIStorageCapacity")
        | ("networking.k8s.io", "IPAddress")
        | ("resource.k8s.io", "DeviceClass" | "ResourceClaim" | "ResourceClaimTemplate") => {
            &[ContentWithFinalizers, ChangeWithFinalizers]
        }
        _ if builtin().schema(kind).is_some() => &[ChangeWithFinalizers],
        // Users' kinds.
        _ => &[Change],
    }
}

/// What an object is.
fn kind(object: &Value) -> GroupVersionKind<'_> {
    let of = |name: &str| object[name].as_str().unwrap_or_default();
    GroupVersionKind::from_api_version(of("apiVersion"), of("kind"))
}

/// What is wrong with a new object's metadata.
pub(crate) fn check_new(object: &Value, rule: NameRule) -> Vec<field::Error> {
    let mut errors = names::check(text(object, "generateName"), text(object, "name"), rule);
    errors.extend(content(object));
    let minds = |round: &Round| matches!(round, ContentWithFinalizers | ChangeWithFinalizers);
    if rounds(kind(object)).iter().any(minds) {
        errors.extend(unqualified_finalizers(object));
    }
    errors
}

/// What is wrong with an update of metadata. A name stays what it is, even if such names are refused by now.
pub(crate) fn check_update(new: &Value, old: &Value, rule: Option<NameRule>) -> Vec<field::Error> {
    let base = text(new, "generateName");
    let mut errors = if base == text(old, "generateName") { Vec::new() } else { names::check_changed(base, rule) };
    let (content, finalizers) = (content(new), unqualified_finalizers(new));
    let change = change(new, old, &content);
    if content.is_empty() && change.is_empty() && finalizers.is_empty() {
        return errors;
    }
    for round in [Content, Change].iter().chain(rounds(kind(new))) {
        errors.extend_from_slice(match round {
            Content | ContentWithFinalizers => &content,
            Change | ChangeWithFinalizers => &change,
        });
        if matches!(round, ContentWithFinalizers | ChangeWithFinalizers) {
            errors.extend_from_slice(&finalizers);
        }
    }
    errors
}

fn content(object: &Value) -> Vec<field::Error> {
    validation::metadata(&object["metadata"], &Path::new("metadata"))
}

/// What of metadata is looked at again when it changes.
const LOOKED_AT: [&str; 4] = ["labels", "annotations", "ownerReferences", "managedFields"];

/// What may not change, and what of the content is looked at again when anything does.
fn change(new: &Value, old: &Value, content: &[field::Error]) -> Vec<field::Error> {
    let path = Path::new("metadata");
    let mut errors = new_finalizers(new, old);
    for name in ["name", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (&new["metadata"][name], &old["metadata"][name]);
        if new != old {
            errors.push(field::Error::invalid(&path.child(name), new.clone(), "field is immutable"));
        }
    }
    let is_looked_at = |error: &&field::Error| {
        let at = error.path.to_string();
        LOOKED_AT.iter().any(|name| at.strip_prefix("metadata.").is_some_and(|at| at.starts_with(name)))
    };
    errors.extend(content.iter().filter(is_looked_at).cloned());
    errors
}

/// Finalizers that need no domain.
const FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

/// Whether a finalizer can be nobody else's by accident.
pub(crate) fn is_standard_finalizer(name: &str) -> bool {
    name.contains('/') || FINALIZERS.contains(&name)
}

fn unqualified_finalizers(object: &Value) -> Vec<field::Error> {
    let path = Path::new("metadata").child("finalizers");
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let unqualified = finalizers.enumerate().filter(|(_, name)| !is_standard_finalizer(name));
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    unqualified.map(|(index, name)| field::Error::invalid(&path.index(index), name, detail)).collect()
}

/// Finalizers that come while the object is being deleted.
fn new_finalizers(new: &Value, old: &Value) -> Vec<field::Error> {
    if old["metadata"].get("deletionTimestamp").is_none() {
        return Vec::new();
    }
    let list = |object: &Value| -> Vec<String> {
        let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        finalizers.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let before = list(old);
    let added: Vec<String> = list(new).into_iter().filter(|name| !before.contains(name)).collect();
    if added.is_empty() {
        return Vec::new();
    }
    let names = added.iter().map(|name| go::quote(name)).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
    );
    vec![field::Error::forbidden(&Path::new("metadata").child("finalizers"), detail)]
}
