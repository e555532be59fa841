//! The documents by which clients learn what is served.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::description::{Description, Group, GroupVersionKind, Resource, Subresource, Version};

/// Which half of the API an aggregated document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `/api`: the core group.
    Core,
    /// `/apis`: all others.
    Groups,
}

/// All groups but the core group.
fn named_groups(description: &Description) -> impl Iterator<Item = &Group> {
    description.groups().iter().map(|group| &**group).filter(|group| !group.name.is_empty())
}

/// The answer to `/api`.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// The answer to `/apis`.
pub fn api_group_list(description: &Description) -> Value {
    let groups: Vec<Value> = named_groups(description).map(group).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// The answer to `/apis/<group>`. `None` if the group is not served.
pub fn api_group(description: &Description, name: &str) -> Option<Value> {
    let mut document = group(description.group(name).filter(|group| !group.name.is_empty())?);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

fn group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| json!({"groupVersion": version.api_version(), "version": version.version}))
        .collect();
    json!({"name": group.name, "preferredVersion": versions[0], "versions": versions})
}

/// The answer to `/api/v1` and `/apis/<group>/<version>`. `None` if the version is not served.
pub fn api_resource_list(description: &Description, group: &str, version: &str) -> Option<Value> {
    let version = description.version(group, version)?;
    let mut resources = Vec::new();
    for resource in &version.resources {
        resources.push(listed(resource));
        for subresource in &resource.subresources {
            resources.push(listed_subresource(version, resource, subresource));
        }
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": version.api_version(), "resources": resources});
    // Upstream's list of the core group does not say its own version.
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

fn listed(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.name,
        "singularName": resource.singular,
        "namespaced": resource.is_namespaced(),
        "kind": resource.kind,
        "verbs": verbs(resource),
    });
    add_names(&mut entry, resource);
    if let Some(hash) = storage_version_hash(resource) {
        entry["storageVersionHash"] = hash.into();
    }
    entry
}

/// What can be done with a resource.
fn verbs(resource: &Resource) -> &[&'static str] {
    match &resource.custom {
        Some(custom) if custom.definition.terminating => &["delete", "deletecollection", "get", "list", "watch"],
        _ => &resource.verbs,
    }
}

/// Kinds that Kubernetes stores in another version than the one they are shown in.
const STORED_OTHERWISE: [(&str, &str, &str); 5] = [
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", "admissionregistration.k8s.io/v1beta1"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1beta1"),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "apiextensions.k8s.io/v1beta1"),
    ("autoscaling", "HorizontalPodAutoscaler", "autoscaling/v2"),
    ("events.k8s.io", "Event", "/v1"),
];

/// By what clients tell that the version in which objects are stored changed. `None` for what is not stored, and
/// where upstream does not tell.
fn storage_version_hash(resource: &Resource) -> Option<String> {
    let Resource { group, kind, .. } = resource;
    let stored = match &resource.custom {
        Some(custom) if !custom.definition.serves_storage_version => return None,
        Some(custom) => format!("{group}/{}", custom.definition.storage_version),
        // What is made when it is asked for cannot be watched.
        None if !resource.verbs.contains(&"watch") => return None,
        None => {
            let other = STORED_OTHERWISE.iter().find(|(of, name, _)| (*of, *name) == (&**group, &**kind));
            other.map_or_else(|| format!("{group}/{}", resource.version), |(_, _, stored)| (*stored).to_owned())
        }
    };
    let hash = Sha256::digest(format!("{stored}/{kind}"));
    Some(STANDARD.encode(&hash[..8]))
}

fn listed_subresource(version: &Version, resource: &Resource, subresource: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.name, subresource.name),
        "singularName": "",
        "namespaced": resource.is_namespaced(),
        "kind": subresource.kind.kind,
        "verbs": subresource.verbs,
    });
    let kind = subresource.kind.borrowed();
    if (kind.group, kind.version) != (&*version.group, &*version.version) {
        entry["group"] = kind.group.into();
        entry["version"] = kind.version.into();
    }
    entry
}

fn add_names(entry: &mut Value, resource: &Resource) {
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
}

/// The aggregated answer to `/api` or `/apis`, encoded.
///
/// What a version says about itself is encoded once, however often others change.
pub fn aggregated(description: &Description, part: Part) -> String {
    let mut document = String::from(
        r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":["#,
    );
    let mut first = true;
    let mut add = |group: &Group| {
        if !std::mem::take(&mut first) {
            document.push(',');
        }
        write_group(group, &mut document);
    };
    match part {
        Part::Core => description.group("").into_iter().for_each(&mut add),
        Part::Groups => named_groups(description).for_each(&mut add),
    }
    document.push_str("]}");
    document
}

fn write_group(group: &Group, document: &mut String) {
    let mut metadata = Map::new();
    if !group.name.is_empty() {
        metadata.insert("name".into(), (*group.name).into());
    }
    document.push_str(&format!("{{\"metadata\":{},\"versions\":[", Value::Object(metadata)));
    for (index, version) in group.versions.iter().enumerate() {
        if index > 0 {
            document.push(',');
        }
        document.push_str(version.documents.discovery.get_or_init(|| aggregated_version(version)));
    }
    document.push_str("]}");
}

fn aggregated_version(version: &Version) -> String {
    let resources: Vec<Value> = version.resources.iter().map(|resource| aggregated_resource(resource)).collect();
    json!({"version": version.version, "freshness": "Current", "resources": resources}).to_string()
}

fn aggregated_resource(resource: &Resource) -> Value {
    let mut entry = json!({
        "resource": resource.name,
        "responseKind": response_kind(resource, resource.group_version_kind()),
        "scope": if resource.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": verbs(resource),
    });
    add_names(&mut entry, resource);
    if !resource.subresources.is_empty() {
        let subresources = resource.subresources.iter().map(|subresource| {
            json!({
                "subresource": subresource.name,
                "responseKind": response_kind(resource, subresource.kind.borrowed()),
                "verbs": subresource.verbs,
            })
        });
        entry["subresources"] = subresources.collect();
    }
    entry
}

/// Of what is built in, upstream tells a group and a version only where they are others than the resource's.
fn response_kind(resource: &Resource, kind: GroupVersionKind<'_>) -> Value {
    if resource.custom.is_none() && (kind.group, kind.version) == (&*resource.group, &*resource.version) {
        return json!({"group": "", "version": "", "kind": kind.kind});
    }
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::description::builtin;

    #[test]
    fn lists_resources_and_subresources() {
        let document = api_resource_list(builtin(), "apps", "v1").expect("served");
        let deployments: Vec<&Value> = document["resources"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|resource| resource["name"].as_str().is_some_and(|name| name.starts_with("deployments")))
            .collect();
        expect![[r#"[{"categories":["all"],"kind":"Deployment","name":"deployments","namespaced":true,"shortNames":["deploy"],"singularName":"deployment","storageVersionHash":"8aSe+NMegvE=","verbs":["create","delete","deletecollection","get","list","patch","update","watch"]},{"group":"autoscaling","kind":"Scale","name":"deployments/scale","namespaced":true,"singularName":"","verbs":["get","patch","update"],"version":"v1"},{"kind":"Deployment","name":"deployments/status","namespaced":true,"singularName":"","verbs":["get","patch","update"]}]"#]]
        .assert_eq(&json!(deployments).to_string());
        assert_eq!(api_resource_list(builtin(), "apps", "v2"), None);
    }

    #[test]
    fn the_preferred_version_comes_first() {
        expect![[r#"{"apiVersion":"v1","kind":"APIGroup","name":"autoscaling","preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"},"versions":[{"groupVersion":"autoscaling/v2","version":"v2"},{"groupVersion":"autoscaling/v1","version":"v1"}]}"#]]
        .assert_eq(&api_group(builtin(), "autoscaling").expect("served").to_string());
        assert_eq!(api_group(builtin(), ""), None);
    }

    #[test]
    fn a_kind_is_told_in_full_where_it_is_of_another_group() {
        let document: Value = serde_json::from_str(&aggregated(builtin(), Part::Groups)).expect("is JSON");
        let found = |group: &str, resource: &str| {
            let named = |list: &Value, name: &str, at: &str| {
                list.as_array()
                    .and_then(|list| list.iter().find(|item| item.pointer(at) == Some(&name.into())))
                    .cloned()
            };
            let group = named(&document["items"], group, "/metadata/name").expect("a group");
            named(&group["versions"][0]["resources"], resource, "/resource").expect("a resource")
        };
        let deployments = found("apps", "deployments");
        assert_eq!(deployments["responseKind"], json!({"group": "", "version": "", "kind": "Deployment"}));
        let kinds: Vec<&Value> =
            deployments["subresources"].as_array().expect("a list").iter().map(|it| &it["responseKind"]).collect();
        assert_eq!(
            kinds,
            [
                &json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
                &json!({"group": "", "version": "", "kind": "Deployment"}),
            ]
        );
    }

    #[test]
    fn both_forms_tell_the_same() {
        for part in [Part::Core, Part::Groups] {
            let document: Value = serde_json::from_str(&aggregated(builtin(), part)).expect("is JSON");
            for group in document["items"].as_array().expect("a list") {
                let name = group["metadata"]["name"].as_str().unwrap_or_default();
                for version in group["versions"].as_array().expect("a list") {
                    let listed = api_resource_list(builtin(), name, version["version"].as_str().expect("text"));
                    let listed = listed.expect("served")["resources"].as_array().expect("a list").len();
                    let aggregated = version["resources"].as_array().expect("a list").iter();
                    let aggregated: usize =
                        aggregated.map(|it| 1 + it["subresources"].as_array().map_or(0, Vec::len)).sum();
                    assert_eq!(listed, aggregated, "{name}");
                }
            }
        }
    }
}
