//! What may change in a pod after it was created.

use portolan_api::field::{self, Shown};
use portolan_api::{quota, validation};
use serde_json::{Map, Value, json};

use super::pod::MIRROR;
use crate::resources::at::{At, Errors};
use crate::resources::json::{copy, entries, is_set, items, same, text};
use crate::resources::shown;

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Keeps of an update what the subresource `ephemeralcontainers` or `resize` can write.
pub(super) fn keep_the_rest(new: &mut Value, old: &Value, subresource: &str) {
    let mut spec = old["spec"].clone();
    if subresource == "ephemeralcontainers" {
        match new["spec"].get_mut("ephemeralContainers").map(Value::take) {
            Some(containers) => spec["ephemeralContainers"] = containers,
            None => drop(spec.as_object_mut().map(|spec| spec.remove("ephemeralContainers"))),
        }
    } else if ["containers", "initContainers"].iter().any(|list| {
        let length = |pod: &Value| items(&pod["spec"][*list]).len();
        length(new) != length(old)
    }) {
        // Validation refuses that.
        return;
    } else {
        take_resources(&mut spec, &new["spec"]);
    }
    new["spec"] = spec;
    let keep = |new: &mut Value, old: &Value, field: &str| {
        let Some(fields) = new.as_object_mut() else { return };
        match old.get(field) {
            Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
            None => drop(fields.remove(field)),
        }
    };
    keep(new, old, "status");
    for field in ["annotations", "finalizers", "labels", "ownerReferences"] {
        keep(&mut new["metadata"], &old["metadata"], field);
    }
}

/// Takes over what a resize can change. Containers that are not the same ones are taken over for validation to refuse.
fn take_resources(spec: &mut Value, new: &Value) {
    let set = |place: &mut Value, name: &str, value: Option<&Value>| {
        let Some(fields) = place.as_object_mut() else { return };
        match value {
            Some(value) => drop(fields.insert(name.to_owned(), value.clone())),
            None => drop(fields.remove(name)),
        }
    };
    for list in ["containers", "initContainers"] {
        let is_renamed = |(new, old): (&Value, &Value)| new["name"] != old["name"];
        if items(&new[list]).iter().zip(items(&spec[list])).any(is_renamed) {
            spec[list] = new[list].clone();
            continue;
        }
        for (index, container) in items(&new[list]).iter().enumerate() {
            for field in ["resources", "resizePolicy"] {
                set(&mut spec[list][index], field, container.get(field));
            }
        }
    }
    set(spec, "resources", new.get("resources"));
}

/// Notes of the node and of older versions that stay as they are.
///
/// Source: `ValidatePodSpecificAnnotationUpdates` of `pkg/apis/core/validation`.
pub(super) fn validate_annotations(new: &Value, old: &Value) -> Vec<field::Error> {
    const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
    let mut errors = Errors::default();
    let metadata = At::root("metadata");
    let at = metadata.child("annotations");
    let (new, old) = (&new["metadata"]["annotations"], &old["metadata"]["annotations"]);
    for key in names(new, old).into_iter().filter(|key| new[*key] != old[*key]) {
        let done = if old[key].is_null() { "add" } else { "remove or update" };
        if key.starts_with(APP_ARMOR) {
            errors.forbidden(&at.key(key), format!("may not {done} AppArmor annotations"));
        }
        if key == MIRROR {
            errors.forbidden(&at.key(key), format!("may not {done} mirror pod annotation"));
        }
    }
    errors.0
}

/// Compares two pods; `subresource` is empty, `ephemeralcontainers` or `resize`.
pub(super) fn validate(new: &Value, old: &Value, subresource: &str) -> Vec<field::Error> {
    match subresource {
        "ephemeralcontainers" => validate_ephemeral(new, old),
        "resize" => validate_resize(new, old),
        _ => validate_spec(&new["spec"], &old["spec"]),
    }
}

/// Ephemeral containers can be added and nothing else.
fn validate_ephemeral(new: &Value, old: &Value) -> Vec<field::Error> {
    let mut errors = Errors::default();
    if old["metadata"]["annotations"][MIRROR].is_string() {
        errors.forbidden(&At::whole(), "static pods do not support ephemeral containers");
        return errors.0;
    }
    let (spec, new) = (At::root("spec"), items(&new["spec"]["ephemeralContainers"]));
    let at = spec.child("ephemeralContainers");
    for old in items(&old["spec"]["ephemeralContainers"]) {
        let name = text(&old["name"]);
        match new.iter().find(|new| new["name"] == old["name"]) {
            None => errors.forbidden(&at, format!("existing ephemeral containers \"{name}\" may not be removed\n")),
            Some(new) => {
                if let Some(difference) = shown::difference("EphemeralContainer", old, new) {
                    let detail = format!("existing ephemeral containers \"{name}\" may not be changed\n{difference}");
                    errors.forbidden(&at, detail);
                }
            }
        }
    }
    errors.0
}

fn same_container(new: &Value, old: &Value) -> bool {
    names(new, old).into_iter().all(|field| same(&new[field], &old[field]))
}

/// Resources that can be resized.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];
const AMOUNTS: [&str; 2] = ["requests", "limits"];

/// Amounts of processor and memory can change, and what happens then; nothing can be taken back altogether.
///
/// Source: `ValidatePodResize` of `pkg/apis/core/validation`.
fn validate_resize(new: &Value, old: &Value) -> Vec<field::Error> {
    let mut errors = Errors::default();
    let at = At::root("spec");
    if old["metadata"]["annotations"][MIRROR].is_string() {
        errors.forbidden(&At::whole(), "static pods cannot be resized");
        return errors.0;
    }
    if text(&old["spec"]["os"]["name"]) == "windows" {
        errors.forbidden(&At::whole(), "windows pods cannot be resized");
        return errors.0;
    }
    let class = quota::pod_class(old);
    if class != quota::quality_of_service(&new["spec"]) {
        errors.invalid(&at, class, "Pod QOS Class may not change as a result of resizing");
    }
    let running =
        items(&old["status"]["containerStatuses"]).iter().find(|status| !status["state"]["running"].is_null());
    if running.is_some_and(|status| status["resources"].is_null()) {
        errors.forbidden(&at, "Pod running on node without support for resize");
    }
    let (new, old) = (&new["spec"], &old["spec"]);
    validate_pod_level(&new["resources"], &old["resources"], &at, &mut errors);
    let before = errors.0.len();
    for list in ["containers", "initContainers"] {
        let (new, old, place) = (items(&new[list]), items(&old[list]), at.child(list));
        if new.len() != old.len() {
            errors.forbidden(&place, format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (index, (new, old)) in new.iter().zip(old).enumerate() {
            if new["name"] != old["name"] {
                let place = place.index(index);
                errors.forbidden(&place.child("name"), format!("{list} may not be renamed or reordered on resize"));
            }
        }
    }
    if errors.0.len() > before {
        return errors.0;
    }
    for list in ["initContainers", "containers"] {
        let place = at.child(list);
        for (index, (new, old)) in items(&new[list]).iter().zip(items(&old[list])).enumerate() {
            if list == "initContainers" && old["restartPolicy"] != "Always" && !same_container(new, old) {
                let mut policies = items(&new["resizePolicy"]).iter();
                if policies.any(|policy| policy["restartPolicy"] == "RestartContainer") {
                    let why = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
                    errors.forbidden(&place.index(index), why);
                }
            }
            let place = place.index(index);
            none_removed(&new["resources"], &old["resources"], "resource", &place.child("resources"), &mut errors);
            if is_more_than_amounts(new, old) && list == "containers" {
                errors.forbidden(&at, "only cpu and memory resources are mutable");
            } else if is_more_than_amounts(new, old) {
                errors.forbidden(&place, "only cpu and memory resources for init or sidecar containers are mutable");
            }
        }
    }
    errors.0
}

/// The same for what the pod has as a whole.
fn validate_pod_level(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let have_amounts = |resources: &Value| AMOUNTS.iter().any(|list| is_set(&resources[*list]));
    if !have_amounts(new) && !have_amounts(old) {
        return;
    }
    let place = at.child("resources");
    if new.is_null() {
        errors.forbidden(&place, "pod-level resources cannot be removed");
        return;
    }
    none_removed(new, old, "pod-level resource", &place, errors);
    if changes_other_amounts(new, old) || !same(&new["claims"], &old["claims"]) {
        errors.forbidden(at, "only cpu and memory resources are mutable at pod-level");
    }
}

/// None of the amounts of resources was taken away; `whose` are they.
fn none_removed(new: &Value, old: &Value, whose: &str, at: &At<'_>, errors: &mut Errors) {
    for list in AMOUNTS {
        if entries(&old[list]).any(|(name, _)| new[list][name].is_null()) {
            errors.forbidden(&at.child(list), format!("{whose} {list} cannot be removed"));
        }
    }
}

/// Whether amounts change that cannot be resized.
fn changes_other_amounts(new: &Value, old: &Value) -> bool {
    AMOUNTS.iter().any(|list| {
        let (new, old) = (&new[*list], &old[*list]);
        names(new, old).into_iter().any(|name| !RESIZABLE.contains(&name) && !same(&new[name], &old[name]))
    })
}

/// Whether more of a container changes than amounts that can be resized. One with claims always does: upstream
/// forgets them where it compares.
fn is_more_than_amounts(new: &Value, old: &Value) -> bool {
    let others = names(new, old).into_iter().filter(|field| *field != "resources");
    changes_other_amounts(&new["resources"], &old["resources"])
        || is_set(&old["resources"]["claims"])
        || others.into_iter().any(|field| !same(&new[field], &old[field]))
}

/// Compares two specs that were written as a whole.
fn validate_spec(new: &Value, old: &Value) -> Vec<field::Error> {
    let mut errors = Errors::default();
    let at = At::root("spec");
    for list in ["containers", "initContainers"] {
        let (at, containers) = (at.child(list), items(&new[list]));
        if containers.len() != items(&old[list]).len() {
            errors.forbidden(&at, "pod updates may not add or remove containers");
            return errors.0;
        }
        for (index, container) in containers.iter().enumerate() {
            validate_image(text(&container["image"]), &at.index(index).child("image"), &mut errors);
        }
    }
    validate_deadline(new, old, &at, &mut errors);
    validate_tolerations(new, old, &at, &mut errors);
    validate_gates(new, old, &at, &mut errors);
    if is_set(&old["schedulingGates"]) {
        validate_gated(new, old, &at, &mut errors);
    }
    if let Some(difference) = shown::difference("PodSpec", old, &without_changes(new, old)) {
        errors.forbidden(&at, format!("{ALLOWED}\n{difference}"));
    }
    errors.0
}

fn validate_image(image: &str, at: &At<'_>, errors: &mut Errors) {
    if image.is_empty() {
        errors.required(at, "");
    }
    if image.trim() != image {
        errors.invalid(at, image, "must not have leading or trailing whitespace");
    }
}

/// Gates can only be taken away.
fn validate_gates(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("schedulingGates");
    for (index, gate) in items(&new["schedulingGates"]).iter().enumerate() {
        let is_same = |other: &Value| other["name"] == gate["name"];
        let is_last = !items(&new["schedulingGates"])[index + 1..].iter().any(is_same);
        if is_last && !items(&old["schedulingGates"]).iter().any(is_same) {
            let name = text(&gate["name"]);
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&at.index(index).child("name"), detail);
        }
    }
}

fn validate_deadline(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("activeDeadlineSeconds");
    let (new, old) = (&new["activeDeadlineSeconds"], &old["activeDeadlineSeconds"]);
    let most = i64::from(i32::MAX);
    if let Some(seconds) = new.as_i64().filter(|seconds| !(0..=most).contains(seconds)) {
        errors.invalid(&at, seconds, validation::inclusive_range(0, most));
        return;
    }
    match (new.as_i64(), old.as_i64()) {
        (Some(new), Some(old)) if new > old => {
            errors.invalid(&at, new, "must be less than or equal to previous value");
        }
        (None, Some(_)) => errors.invalid(&at, Value::Null, "must not update from a positive integer to nil value"),
        _ => {}
    }
}

/// Tolerations may be added, and those that are there keep everything but their time.
fn validate_tolerations(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let kept = |old: &Value| {
        items(&new["tolerations"])
            .iter()
            .any(|new| ["key", "operator", "value", "effect"].iter().all(|field| same(&new[*field], &old[*field])))
    };
    if !items(&old["tolerations"]).iter().all(kept) {
        errors.forbidden(
            &at.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
}

/// Where a pod may run can be narrowed as long as gates hold it back.
fn validate_gated(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let (after, before) = (&new["nodeSelector"], &old["nodeSelector"]);
    if entries(before).any(|(key, value)| after[key] != *value) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(&at.child("nodeSelector"), after.clone(), detail);
    }
    let terms = |spec: &Value| {
        spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"].clone()
    };
    let (after, before) = (terms(new), terms(old));
    let (affinity, field) = (at.child("affinity"), "requiredDuringSchedulingIgnoredDuringExecution");
    let (node, list) = (affinity.child("nodeAffinity"), "nodeSelectorTerms");
    let required = node.child(field);
    let at = required.child(list);
    if is_set(&before) && items(&before).len() != items(&after).len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.invalid(&at, Shown::Text(shown::compact_list_or_null("NodeSelectorTerm", &after)), detail);
        return;
    }
    for (index, (after, before)) in items(&after).iter().zip(items(&before)).enumerate() {
        if !only_adds(after, before) {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.invalid(&at.index(index), Shown::Text(shown::compact("NodeSelectorTerm", after)), detail);
        }
    }
}

const PARTS: [&str; 2] = ["matchExpressions", "matchFields"];

/// Whether a term of a node selector still demands what it did, first and in the same order.
fn only_adds(after: &Value, before: &Value) -> bool {
    if PARTS.iter().all(|part| !is_set(&before[*part])) {
        return PARTS.iter().all(|part| !is_set(&after[*part]));
    }
    PARTS.iter().all(|part| items(&after[*part]).starts_with(items(&before[*part])))
}

/// A spec with the old one's values where changes are allowed or were compared already.
fn without_changes(new: &Value, old: &Value) -> Value {
    let mut spec = new.clone();
    let Some(fields) = spec.as_object_mut() else { return spec };
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        copy(fields, name, old);
    }
    let grace = "terminationGracePeriodSeconds";
    if old[grace].as_i64().is_some_and(|seconds| seconds < 0) && new[grace].as_i64() == Some(1) {
        copy(fields, grace, old);
    }
    if is_set(&old["schedulingGates"]) {
        copy(fields, "nodeSelector", old);
        keep_node_affinity(fields, old);
    }
    for list in ["containers", "initContainers"] {
        let containers = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, old) in containers.zip(items(&old[list])) {
            if let Some(container) = container.as_object_mut() {
                container.insert("image".to_owned(), old["image"].clone());
            }
        }
    }
    spec
}

fn keep_node_affinity(fields: &mut Map<String, Value>, old: &Value) {
    const NODES: &str = "nodeAffinity";
    let (affinity, nodes) = (&old["affinity"], &old["affinity"][NODES]);
    match fields.get_mut("affinity").filter(|affinity| !affinity.is_null()) {
        None if nodes.is_null() => {}
        None => drop(fields.insert("affinity".to_owned(), json!({NODES: nodes}))),
        Some(new) if same(&new[NODES], nodes) => {}
        Some(new) if affinity.is_null() && new["podAffinity"].is_null() && new["podAntiAffinity"].is_null() => {
            fields.remove("affinity");
        }
        Some(new) => {
            if let Some(new) = new.as_object_mut() {
                new.insert(NODES.to_owned(), nodes.clone());
            }
        }
    }
}

/// Names of the fields of either object, each once.
fn names<'a>(new: &'a Value, old: &'a Value) -> Vec<&'a str> {
    let mut names: Vec<&str> = entries(new).map(|(name, _)| name).collect();
    names.extend(entries(old).map(|(name, _)| name).filter(|name| new.get(name).is_none()));
    names
}
