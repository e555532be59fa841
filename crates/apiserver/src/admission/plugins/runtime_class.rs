//! A pod of a runtime class costs what the class says, and runs where the class can.

use serde_json::{Value, json};

use super::push;
use crate::admission::{Attributes, Operation};
use crate::status::Status;
use crate::storage;

pub(super) async fn admit(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let Some(class) = class(attributes).await? else { return Ok(()) };
    if let Some(overhead) = class["overhead"].get("podFixed") {
        let given = &attributes.new["spec"]["overhead"];
        if given.is_object() && given != overhead {
            return Err(
                attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            );
        }
        attributes.new["spec"]["overhead"] = overhead.clone();
    }
    schedule(attributes, &class["scheduling"])
}

pub(super) async fn validate(attributes: &Attributes<'_>) -> Result<(), Status> {
    if !is_new_pod(attributes) {
        return Ok(());
    }
    let given = attributes.new["spec"]["overhead"].as_object().is_some_and(|overhead| !overhead.is_empty());
    match class(attributes).await? {
        None if given => {
            Err(attributes
                .forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
        }
        Some(class) if given && class["overhead"].get("podFixed").is_none() => {
            Err(attributes
                .forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
        }
        Some(class)
            if class["overhead"].get("podFixed").is_some_and(|it| *it != attributes.new["spec"]["overhead"]) =>
        {
            Err(attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"))
        }
        _ => Ok(()),
    }
}

fn is_new_pod(attributes: &Attributes<'_>) -> bool {
    attributes.operation == Operation::Create && attributes.is_main("", "pods") && attributes.new["spec"].is_object()
}

async fn class(attributes: &Attributes<'_>) -> Result<Option<Value>, Status> {
    if !is_new_pod(attributes) {
        return Ok(None);
    }
    let Some(name) = attributes.new["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    match storage::find(attributes.call.server, "node.k8s.io", "runtimeclasses", "", name).await? {
        Some(entry) => storage::decode(&entry).map(Some),
        None => Err(attributes.forbidden(&format!("pod rejected: RuntimeClass \"{name}\" not found"))),
    }
}

fn schedule(attributes: &mut Attributes<'_>, scheduling: &Value) -> Result<(), Status> {
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let given = attributes.new["spec"]["nodeSelector"].get(key);
        if given.is_some_and(|given| given != value) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                value.as_str().unwrap_or_default(),
                given.and_then(Value::as_str).unwrap_or_default()
            );
            return Err(attributes.forbidden(&why));
        }
        if !attributes.new["spec"]["nodeSelector"].is_object() {
            attributes.new["spec"]["nodeSelector"] = json!({});
        }
        attributes.new["spec"]["nodeSelector"][key] = value.clone();
    }
    for toleration in scheduling["tolerations"].as_array().into_iter().flatten() {
        let has = attributes.new["spec"]["tolerations"].as_array().is_some_and(|list| list.contains(toleration));
        if !has && let Some(spec) = attributes.new["spec"].as_object_mut() {
            push(spec, "tolerations", toleration.clone());
        }
    }
    Ok(())
}
