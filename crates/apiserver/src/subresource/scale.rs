//! `scale`: how many replicas, for kinds that have some.

use http::Response;
use portolan_api::apply;
use portolan_api::custom::{self, JsonPath};
use portolan_api::description::{GroupVersionKind, Resource, builtin};
use portolan_api::field::{Error, Path};
use portolan_base::go;
use serde_json::{Value, json};

use crate::body::Body;
use crate::endpoint::{Call, Changed, Input, Patch, Written, apply_error, included, metadata, partial_of};
use crate::negotiate::View;
use crate::resources::print;
use crate::status::Status;
use crate::strategy::{AGE, CUSTOM_AGE, Column, NAME, definitions};
use crate::{respond, storage};

const VERSION: &str = "autoscaling/v1";

/// A scale as a row. Upstream's name has no format here.
const COLUMNS: [Column; 4] = [
    Column { format: "", ..NAME },
    Column::integer("Desired").of("autoscaling.ScaleSpec", "replicas"),
    Column::integer("Available").of("autoscaling.ScaleStatus", "replicas"),
    AGE,
];
/// The same of a kind that a user defined.
const CUSTOM_COLUMNS: [Column; 4] = [
    NAME,
    Column::integer("Desired").about("Number of desired replicas"),
    Column::integer("Available").about("Number of actual replicas"),
    CUSTOM_AGE,
];

pub(super) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let view = call.view()?;
    if call.info.verb == "get" {
        let entry = call.entry(&call.info.name).await?;
        let object = storage::decode(&entry)?;
        expect_replicas(call, &object)?;
        return answer(call, view, &object);
    }
    let dry_run = call.is_dry_run()?;
    let mut warnings = Vec::new();
    let written: Written = if call.info.verb == "update" {
        let Input { object: wanted, .. } = call.input(body).await?;
        if metadata::text(&wanted, "name").is_empty() {
            return Err(call.unnamed_object());
        }
        call.expect_name(&wanted)?;
        call.change(dry_run, &mut warnings, |old, _| scaled(call, old, wanted.clone(), Tracked::No)).await?
    } else {
        match call.read_patch(body).await? {
            Patch::Change(change) => {
                let patched = |old: &Value, warnings: &mut Vec<String>| {
                    let wanted = call.patched(&change, &patchable(call.resource, old), warnings)?;
                    call.expect_name(&wanted)?;
                    if let Some(paths) = scale_paths(call.resource)
                        && wanted["spec"]["replicas"] == NOT_SET
                    {
                        let path = go::quote(&paths.spec_replicas.to_string());
                        return Err(Status::bad_request(format!("the spec replicas field {path} cannot be empty")));
                    }
                    scaled(call, old, wanted, Tracked::No)
                };
                call.change(dry_run, &mut warnings, patched).await?
            }
            Patch::Apply(body) => {
                let wanted = body.decoded()?.value;
                let merged = |old: &Value, _: &mut Vec<String>| {
                    call.expect_applied(&wanted)?;
                    scaled(call, old, applied(call, old, &wanted)?, Tracked::Yes)
                };
                call.change(dry_run, &mut warnings, merged).await?
            }
        }
    };
    let mut response = answer(call, view, &storage::decode_at(&written.stored, written.revision)?)?;
    respond::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn answer(call: &Call<'_>, view: View, object: &Value) -> Result<Response<Body>, Status> {
    let scale = scale_of(call.resource, object);
    Ok(match view {
        View::Whole => respond::json(200, &scale),
        View::Metadata { version, .. } => respond::json(200, &partial_of(scale, version)),
        View::Table { version, include } => {
            let revision = scale["metadata"]["resourceVersion"].clone();
            // Of users' kinds the cells are what stands in the scale, where nothing is none.
            let wanted = match &scale["spec"]["replicas"] {
                Value::Null if call.resource.custom.is_some() => Value::Null,
                replicas => print::integer(replicas).into(),
            };
            let cells = json!([
                scale["metadata"]["name"],
                wanted,
                print::integer(&scale["status"]["replicas"]),
                print::age(&scale, call.now),
            ]);
            let row = json!({"cells": cells, "object": included(scale, version, include)});
            let columns = if call.resource.custom.is_some() { &CUSTOM_COLUMNS } else { &COLUMNS };
            let table = json!({
                "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": {"resourceVersion": revision},
                "columnDefinitions": definitions(columns), "rows": [row],
            });
            respond::json(200, &table)
        }
    })
}

/// Refuses to show the scale of a user's object that does not say how many replicas it shall have.
fn expect_replicas(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let Some(paths) = scale_paths(call.resource) else { return Ok(()) };
    let unreadable = |problem| Status::new(500, "", problem);
    let wanted = paths.spec_replicas.integer(object).map_err(unreadable)?;
    paths.status_replicas.integer(object).map_err(unreadable)?;
    if let Some(path) = &paths.label_selector {
        path.text(object).map_err(unreadable)?;
    }
    match wanted {
        Some(_) => Ok(()),
        None => {
            let path = go::quote(&paths.spec_replicas.to_string());
            Err(Status::internal(format!("the spec replicas field {path} does not exist")))
        }
    }
}

/// How many replicas a scale shows to patches where its object says nothing of them.
const NOT_SET: i32 = i32::MIN;

/// The scale of an object as patches see it.
fn patchable(resource: &Resource, object: &Value) -> Value {
    let mut scale = scale_of(resource, object);
    if let Some(paths) = scale_paths(resource)
        && matches!(paths.spec_replicas.integer(object), Ok(None))
    {
        scale["spec"]["replicas"] = NOT_SET.into();
    }
    scale
}

/// Whether the wanted scale names its managers already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracked {
    Yes,
    No,
}

/// Where the number of replicas stands in an object of a version.
fn replicas_path(call: &Call<'_>, version: &str) -> Option<Vec<String>> {
    let GroupVersionKind { group, version, .. } = GroupVersionKind::from_api_version(version, "");
    if *group != *call.resource.group {
        return None;
    }
    if call.resource.custom.is_none() {
        return Some(vec!["spec".to_owned(), "replicas".to_owned()]);
    }
    let other = call.description.resource(group, version, &call.resource.name)?;
    let scale = other.custom.as_ref()?.scale.as_ref()?;
    Some(scale.spec_replicas.fields()?.into_iter().map(str::to_owned).collect())
}

/// The scale of an object with its managers.
fn managed_scale(call: &Call<'_>, object: &Value) -> Value {
    let mut scale = scale_of(call.resource, object);
    let managers = apply::replicas_of_parent(&object["metadata"]["managedFields"], &|it| replicas_path(call, it));
    if !managers.is_null() {
        scale["metadata"]["managedFields"] = managers;
    }
    scale
}

/// Calls `act` with what a scale is and who writes it.
fn with_scale<T>(
    call: &Call<'_>,
    name: &str,
    act: impl FnOnce(&apply::Kind<'_>, &apply::Manager<'_>) -> T,
) -> Result<T, Status> {
    let kind = GroupVersionKind::from_api_version(VERSION, "Scale");
    let schema = builtin().schema(kind).ok_or_else(|| Status::internal("scales have no schema"))?;
    let manager = apply::Manager { name, api_version: VERSION, subresource: "scale", now: call.now };
    Ok(act(&apply::Kind { schema, ignored: &[&["status"]], convert: &|_, _| None }, &manager))
}

/// Server-side apply of a scale.
fn applied(call: &Call<'_>, old: &Value, applied: &Value) -> Result<Value, Status> {
    let live = managed_scale(call, old);
    let name = call.query.get("fieldManager");
    with_scale(call, name, |kind, manager| apply::apply(Some(&live), applied, kind, manager, call.force()))?
        .map_err(apply_error)
}

fn scaled(call: &Call<'_>, old: &Value, mut wanted: Value, tracked: Tracked) -> Result<Changed, Status> {
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    check_scale(call, replicas)?;
    if tracked == Tracked::No {
        let live = managed_scale(call, old);
        let name = call.manager()?;
        if !wanted["spec"].is_object() {
            wanted["spec"] = json!({"replicas": 0});
        }
        with_scale(call, &name, |kind, manager| apply::track_update(Some(&live), &mut wanted, kind, manager))?;
    }
    let mut new = old.clone();
    set_replicas(call.resource, &mut new, replicas.into());
    let metadata = metadata::of(&mut new);
    for field in ["resourceVersion", "uid"] {
        if !metadata::text(&wanted, field).is_empty() {
            metadata.insert(field.into(), metadata::text(&wanted, field).into());
        }
    }
    let managers = apply::replicas_to_parent(
        &old["metadata"]["managedFields"],
        &wanted["metadata"]["managedFields"],
        &call.kind().api_version(),
        &|version| replicas_path(call, version),
    );
    if managers.is_null() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), managers);
    }
    Ok(Changed { object: new, tracked: true, managers: None })
}

/// Refuses what nobody can scale to. Those of users' objects are checked with the object.
pub(crate) fn check_scale(call: &Call<'_>, replicas: i64) -> Result<(), Status> {
    if replicas >= 0 || call.resource.custom.is_some() {
        return Ok(());
    }
    let path = Path::new("spec").child("replicas");
    let error = Error::invalid(&path, replicas, "must be greater than or equal to 0");
    Err(Status::invalid("autoscaling", "Scale", &call.info.name, &[error]))
}

/// The scale of an object.
pub(crate) fn scale_of(resource: &Resource, object: &Value) -> Value {
    let paths = scale_paths(resource);
    let number = |path: Option<&JsonPath>, default: &Value| match path {
        Some(path) => path.first(object).and_then(Value::as_i64),
        None => default.as_i64(),
    };
    let wanted = number(paths.map(|paths| &paths.spec_replicas), &object["spec"]["replicas"]);
    let present = number(paths.map(|paths| &paths.status_replicas), &object["status"]["replicas"]);
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {}, "status": {"replicas": present.unwrap_or(0)},
    });
    if let Some(replicas) = wanted.filter(|replicas| *replicas != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    let selector = match paths {
        Some(paths) => {
            let found = paths.label_selector.as_ref().and_then(|path| path.first(object));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        None => selector_text(object),
    };
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// Writes how many replicas an object shall have.
pub(crate) fn set_replicas(resource: &Resource, object: &mut Value, replicas: Value) {
    match scale_paths(resource) {
        // What stands in the way of the path is of a wrong type, which the object is refused for.
        Some(paths) => drop(paths.spec_replicas.set(object, replicas)),
        None => object["spec"]["replicas"] = replicas,
    }
}

/// Where the replicas of a kind that a user defined stand.
fn scale_paths(resource: &Resource) -> Option<&custom::Scale> {
    resource.custom.as_ref()?.scale.as_ref()
}

fn selector_text(object: &Value) -> String {
    let selector = &object["spec"]["selector"];
    let is_plain = selector.as_object().is_some_and(|fields| fields.values().all(Value::is_string));
    let selector = if is_plain { json!({"matchLabels": selector}) } else { selector.clone() };
    portolan_api::selector::LabelSelector::from_value(&selector).map(|it| it.to_string()).unwrap_or_default()
}
