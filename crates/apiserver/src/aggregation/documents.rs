//! What clients are told about extension servers, beside what this server serves itself.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::registered::Service;
use crate::server::Server;

/// Adds the groups of extension servers to the answer to `/apis`.
pub(crate) fn group_list(server: &Server, mut list: Value) -> Value {
    let Some(groups) = list["groups"].as_array_mut() else { return list };
    for service in server.aggregation.remotes() {
        match groups.iter_mut().find(|group| group["name"] == service.group) {
            Some(group) => add_version(group, &service),
            None => groups.push(new_group(&service)),
        }
    }
    list
}

/// The answer to `/apis/<group>`; `own` is what this server says itself.
pub(crate) fn group(server: &Server, name: &str, own: Option<Value>) -> Option<Value> {
    let mut document = own;
    for service in server.aggregation.remotes().iter().filter(|service| service.group == name) {
        match &mut document {
            Some(group) => add_version(group, service),
            None => {
                let mut group = new_group(service);
                group["kind"] = "APIGroup".into();
                group["apiVersion"] = "v1".into();
                document = Some(group);
            }
        }
    }
    document
}

fn version_of(service: &Service) -> Value {
    json!({"groupVersion": format!("{}/{}", service.group, service.version), "version": service.version})
}

fn new_group(service: &Service) -> Value {
    let version = version_of(service);
    json!({"name": service.group, "preferredVersion": version, "versions": [version]})
}

fn add_version(group: &mut Value, service: &Service) {
    let version = version_of(service);
    if let Some(versions) = group["versions"].as_array_mut()
        && !versions.contains(&version)
    {
        versions.push(version);
    }
}

/// Adds the paths of extension servers to the answer to `/`.
pub(crate) fn paths(server: &Server, paths: &mut Vec<String>) {
    for service in server.aggregation.remotes() {
        let group = format!("/apis/{}", service.group);
        let version = format!("{group}/{}", service.version);
        paths.extend([group, version]);
    }
}

/// Adds the documents of extension servers to the index of OpenAPI documents.
pub(crate) fn openapi_index(server: &Server, mut index: Value) -> Value {
    for service in server.aggregation.remotes() {
        let name = format!("apis/{}/{}", service.group, service.version);
        let found = server.aggregation.found(&service.name);
        let Some(paths) = index["paths"].as_object_mut() else { break };
        match found.as_ref().and_then(|found| found.document.as_deref()) {
            Some("") => paths.insert(name.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{name}")})),
            Some(hash) => {
                let url = format!("/openapi/v3/{name}?hash={hash}");
                paths.insert(name, json!({"serverRelativeURL": url}))
            }
            None => paths.remove(&name),
        };
    }
    index
}

/// Adds extension servers to the aggregated answer to `/apis`.
pub(crate) fn aggregated(server: &Server, document: String) -> String {
    let services = server.aggregation.remotes();
    if services.is_empty() {
        return document;
    }
    let Ok(mut parsed) = serde_json::from_str::<Value>(&document) else { return document };
    let Some(groups) = parsed["items"].as_array_mut() else { return document };
    for service in &services {
        let position = groups.iter().position(|group| group["metadata"]["name"] == service.group);
        let position = position.unwrap_or_else(|| {
            groups.push(json!({"metadata": {"name": service.group}, "versions": []}));
            groups.len() - 1
        });
        let Some(versions) = groups[position]["versions"].as_array_mut() else { continue };
        let version = discovered(server, service);
        match versions.iter_mut().find(|known| known["version"] == service.version) {
            Some(known) => *known = version,
            None => versions.push(version),
        }
    }
    parsed.to_string()
}

/// What a version says about itself: what its server said last, or that nobody knows.
fn discovered(server: &Server, service: &Arc<Service>) -> Value {
    let found = server.aggregation.found(&service.name);
    match found.filter(|_| service.is_available) {
        Some(found) => json!({
            "version": service.version, "freshness": "Current", "resources": resources(service, &found.resources),
        }),
        None => json!({"version": service.version, "freshness": "Stale", "resources": []}),
    }
}

/// An `APIResourceList` in the aggregated form.
fn resources(service: &Service, list: &Value) -> Vec<Value> {
    let mut resources: Vec<Value> = Vec::new();
    for entry in list["resources"].as_array().into_iter().flatten() {
        let name = entry["name"].as_str().unwrap_or_default();
        let of = |field: &str, default: &str| match entry[field].as_str() {
            None | Some("") => default.to_owned(),
            Some(text) => text.to_owned(),
        };
        let kind = json!({
            "group": of("group", &service.group), "version": of("version", &service.version), "kind": of("kind", ""),
        });
        match name.split_once('/') {
            None => {
                let mut resource = described(kind, entry);
                resource["resource"] = name.into();
                resource["scope"] = scope(entry).into();
                resource["singularResource"] = of("singularName", "").into();
                for field in ["shortNames", "categories"] {
                    if entry[field].is_array() {
                        resource[field] = entry[field].clone();
                    }
                }
                // A subresource may have come first.
                match resources.iter_mut().find(|known| known["resource"] == name) {
                    Some(known) => {
                        resource["subresources"] = known["subresources"].take();
                        *known = resource;
                    }
                    None => resources.push(resource),
                }
            }
            Some((parent, name)) => {
                let mut subresource = described(kind, entry);
                subresource["subresource"] = name.into();
                let position = resources.iter().position(|known| known["resource"] == parent);
                let position = position.unwrap_or_else(|| {
                    resources.push(json!({"resource": parent, "scope": scope(entry), "verbs": []}));
                    resources.len() - 1
                });
                match resources[position]["subresources"].as_array_mut() {
                    Some(list) => list.push(subresource),
                    None => resources[position]["subresources"] = json!([subresource]),
                }
            }
        }
    }
    resources
}

fn scope(entry: &Value) -> &'static str {
    if entry["namespaced"] == true { "Namespaced" } else { "Cluster" }
}

fn described(kind: Value, entry: &Value) -> Value {
    let verbs = entry["verbs"].as_array().cloned().unwrap_or_default();
    Value::Object(Map::from_iter([("responseKind".to_owned(), kind), ("verbs".to_owned(), verbs.into())]))
}
