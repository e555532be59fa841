//! Paths and the operations on them.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::Dialect;
use crate::description::{GroupVersionKind, Resource, Subresource, Version, builtin};

const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PATCH_TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const ANSWER_TYPES: [&str; 2] = ["application/json", "application/yaml"];
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// A query parameter: name and type.
type Parameter = (&'static str, &'static str);

const SELECTION: &[Parameter] = &[
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
];
const WATCH: &[Parameter] = &[("allowWatchBookmarks", "boolean"), ("watch", "boolean")];
const WRITE: &[Parameter] = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const FORCE: &[Parameter] = &[("force", "boolean")];
const DELETE: &[Parameter] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const LOG: &[Parameter] = &[
    ("container", "string"),
    ("follow", "boolean"),
    ("insecureSkipTLSVerifyBackend", "boolean"),
    ("limitBytes", "integer"),
    ("previous", "boolean"),
    ("sinceSeconds", "integer"),
    ("stream", "string"),
    ("tailLines", "integer"),
    ("timestamps", "boolean"),
];
const STREAMS: &[Parameter] =
    &[("container", "string"), ("stderr", "boolean"), ("stdin", "boolean"), ("stdout", "boolean"), ("tty", "boolean")];

/// Parameters of the subresources that stream.
fn connect_parameters(subresource: &str) -> Vec<&'static [Parameter]> {
    match subresource {
        "attach" => vec![STREAMS],
        "exec" => vec![&[("command", "string")], STREAMS],
        "log" => vec![LOG],
        "portforward" => vec![&[("ports", "integer")]],
        "proxy" => vec![&[("path", "string")]],
        _ => Vec::new(),
    }
}

/// One operation, before it is written in a dialect.
struct Operation<'a> {
    method: &'static str,
    action: &'static str,
    id: String,
    kind: GroupVersionKind<'a>,
    parameters: Vec<&'static [Parameter]>,
    body: Option<Cow<'static, str>>,
    answer: Option<Cow<'static, str>>,
    patches: &'static [&'static str],
}

/// All paths of a version.
pub(super) fn paths(version: &Version, dialect: Dialect) -> Map<String, Value> {
    let mut paths = Map::new();
    let root = if version.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", version.api_version()) };
    for resource in &version.resources {
        let name = &resource.name;
        let scoped = if resource.is_namespaced() { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{scoped}/{name}");
        let object = format!("{collection}/{{name}}");
        let mut add = |path: String, operations: Vec<Operation<'_>>| {
            let mut item: Map<String, Value> =
                operations.into_iter().map(|it| (it.method.to_owned(), written(&it, dialect))).collect();
            if !item.is_empty() {
                item.insert("parameters".into(), path_parameters(&path, dialect));
                paths.insert(path, item.into());
            }
        };
        add(collection, collection_operations(resource));
        if resource.is_namespaced() && resource.allows("list") {
            add(format!("{root}/{name}"), vec![list(resource, "ForAllNamespaces")]);
        }
        for subresource in &resource.subresources {
            add(format!("{object}/{}", subresource.name), subresource_operations(resource, subresource));
        }
        add(object, object_operations(resource));
    }
    paths
}

/// `CoreV1NamespacedPod`.
fn id(resource: &Resource) -> String {
    let group = resource.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    let scope = if resource.is_namespaced() { "Namespaced" } else { "" };
    format!("{}{}{scope}{}", title(group), title(&resource.version), resource.kind)
}

fn title(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// The name of the schema of a kind; of `resource` itself or of one that is built in.
fn definition_of(resource: &Resource, kind: GroupVersionKind<'_>) -> Option<Cow<'static, str>> {
    if resource.custom.is_some() && kind == resource.group_version_kind() {
        return Some(super::custom::name(kind).into());
    }
    builtin().definition_of_kind(kind).map(|definition| definition.name.clone())
}

fn list_definition(resource: &Resource) -> Option<Cow<'static, str>> {
    let kind = GroupVersionKind { group: &resource.group, version: &resource.version, kind: &resource.list_kind };
    if resource.custom.is_some() {
        return Some(super::custom::name(kind).into());
    }
    builtin().definition_of_kind(kind).map(|definition| definition.name.clone())
}

/// What a resource can be patched with.
fn patches(resource: &Resource) -> &'static [&'static str] {
    if resource.custom.is_some() { &CUSTOM_PATCH_TYPES } else { &PATCH_TYPES }
}

fn list<'a>(resource: &'a Resource, suffix: &str) -> Operation<'a> {
    Operation {
        method: "get",
        action: "list",
        id: format!("list{}{suffix}", id(resource)),
        kind: resource.group_version_kind(),
        parameters: vec![SELECTION, WATCH],
        body: None,
        answer: list_definition(resource),
        patches: &[],
    }
}

fn collection_operations(resource: &Resource) -> Vec<Operation<'_>> {
    let kind = resource.group_version_kind();
    let mut operations = Vec::new();
    if resource.allows("list") {
        operations.push(list(resource, ""));
    }
    if resource.allows("create") {
        operations.push(write(resource, "post", "post", format!("create{}", id(resource)), kind));
    }
    if resource.allows("deletecollection") {
        operations.push(Operation {
            method: "delete",
            action: "deletecollection",
            id: format!("deleteCollection{}", id(resource)),
            kind,
            parameters: vec![DELETE, SELECTION],
            body: Some(DELETE_OPTIONS.into()),
            answer: Some(STATUS.into()),
            patches: &[],
        });
    }
    operations
}

fn object_operations(resource: &Resource) -> Vec<Operation<'_>> {
    let kind = resource.group_version_kind();
    let id = id(resource);
    let mut operations = plain_operations(resource, &resource.verbs, kind, &id);
    if resource.allows("delete") {
        operations.push(Operation {
            method: "delete",
            action: "delete",
            id: format!("delete{id}"),
            kind,
            parameters: vec![DELETE],
            body: Some(DELETE_OPTIONS.into()),
            answer: Some(STATUS.into()),
            patches: &[],
        });
    }
    operations
}

/// Get, replace and patch of one object.
fn plain_operations<'a>(
    resource: &Resource,
    verbs: &[&str],
    kind: GroupVersionKind<'a>,
    id: &str,
) -> Vec<Operation<'a>> {
    let mut operations = Vec::new();
    if verbs.contains(&"get") {
        operations.push(Operation {
            method: "get",
            action: "get",
            id: format!("read{id}"),
            kind,
            parameters: Vec::new(),
            body: None,
            answer: definition_of(resource, kind),
            patches: &[],
        });
    }
    if verbs.contains(&"update") {
        operations.push(write(resource, "put", "put", format!("replace{id}"), kind));
    }
    if verbs.contains(&"patch") {
        let mut patch = write(resource, "patch", "patch", format!("patch{id}"), kind);
        patch.parameters.push(FORCE);
        patch.body = Some(PATCH.into());
        patch.patches = patches(resource);
        operations.push(patch);
    }
    operations
}

fn write<'a>(
    resource: &Resource,
    method: &'static str,
    action: &'static str,
    id: String,
    kind: GroupVersionKind<'a>,
) -> Operation<'a> {
    let definition = definition_of(resource, kind);
    let (body, answer) = (definition.clone(), definition);
    Operation { method, action, id, kind, parameters: vec![WRITE], body, answer, patches: &[] }
}

fn subresource_operations<'a>(resource: &Resource, subresource: &'a Subresource) -> Vec<Operation<'a>> {
    let id = format!("{}{}", id(resource), title(&subresource.name));
    let kind = subresource.kind.borrowed();
    let parameters = connect_parameters(&subresource.name);
    if parameters.is_empty() {
        let mut operations = plain_operations(resource, &subresource.verbs, kind, &id);
        if subresource.allows("create") {
            operations.push(write(resource, "post", "post", format!("create{id}"), kind));
        }
        return operations;
    }
    let methods = [("get", "get"), ("create", "post"), ("update", "put"), ("patch", "patch"), ("delete", "delete")];
    let methods = methods.into_iter().filter(|(verb, _)| subresource.allows(verb));
    let action = if subresource.name == "log" { "get" } else { "connect" };
    let operation = |(_, method): (&str, &'static str)| Operation {
        method,
        action,
        id: format!("{action}{}{id}", title(method)),
        kind,
        parameters: parameters.clone(),
        body: None,
        answer: None,
        patches: &[],
    };
    methods.map(operation).collect()
}

fn path_parameters(path: &str, dialect: Dialect) -> Value {
    let names = ["name", "namespace"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
    let mut parameters: Vec<Value> = names.map(|name| parameter(name, "string", "path", dialect)).collect();
    parameters.push(parameter("pretty", "string", "query", dialect));
    parameters.into()
}

fn parameter(name: &str, r#type: &str, place: &str, dialect: Dialect) -> Value {
    let mut parameter = json!({"name": name, "in": place, "uniqueItems": true, "type": r#type});
    if dialect == Dialect::V3 {
        parameter = json!({"name": name, "in": place, "schema": {"type": r#type, "uniqueItems": true}});
    }
    if place == "path" {
        parameter["required"] = true.into();
    }
    parameter
}

/// The operation in a dialect.
fn written(operation: &Operation<'_>, dialect: Dialect) -> Value {
    let mut parameters: Vec<Value> = operation
        .parameters
        .iter()
        .flat_map(|parameters| parameters.iter())
        .map(|(name, r#type)| parameter(name, r#type, "query", dialect))
        .collect();
    let kind = operation.kind;
    let mut written = json!({
        "operationId": operation.id,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    });
    let answer = operation.answer.as_deref().map(|definition| dialect.reference(definition));
    let answer = answer.unwrap_or_else(|| json!({"type": "string"}));
    let body_name = operation.body.as_deref();
    let is_patch = body_name == Some(PATCH);
    let is_write = matches!(operation.method, "post" | "put") && operation.body.is_some();
    let status_codes: &[&str] = match operation.method {
        "post" if is_write => &["200", "201", "202"],
        "put" | "patch" if operation.body.is_some() => &["200", "201"],
        _ => &["200"],
    };
    match dialect {
        Dialect::V2 => {
            if let Some(body) = body_name {
                let is_required = body_name != Some(DELETE_OPTIONS);
                let schema = dialect.reference(body);
                let mut body = json!({"name": "body", "in": "body", "schema": schema});
                if is_required {
                    body["required"] = true.into();
                }
                parameters.push(body);
            }
            written["consumes"] = if is_patch { json!(operation.patches) } else { json!(["*/*"]) };
            written["produces"] = json!(ANSWER_TYPES);
            written["schemes"] = json!(["https"]);
            let answers =
                status_codes.iter().map(|code| ((*code).to_owned(), json!({"description": "OK", "schema": answer})));
            written["responses"] = answers.collect::<Map<_, _>>().into();
        }
        Dialect::V3 => {
            if let Some(body) = body_name {
                let types: &[&str] = if is_patch { operation.patches } else { &["*/*"] };
                let schema = json!({"schema": dialect.reference(body)});
                let content: Map<String, Value> = types.iter().map(|it| ((*it).to_owned(), schema.clone())).collect();
                written["requestBody"] = json!({"content": content});
                if body_name != Some(DELETE_OPTIONS) {
                    written["requestBody"]["required"] = true.into();
                }
            }
            let schema = json!({"schema": answer});
            let content: Map<String, Value> =
                ANSWER_TYPES.iter().map(|it| ((*it).to_owned(), schema.clone())).collect();
            let answers =
                status_codes.iter().map(|code| ((*code).to_owned(), json!({"description": "OK", "content": content})));
            written["responses"] = answers.collect::<Map<_, _>>().into();
        }
    }
    written["parameters"] = parameters.into();
    written
}
