//! Schemas of definitions.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Dialect;
use super::about::about;
use crate::description::{Definition, Field, GroupVersionKind, ListType, Type, Version, builtin};

/// The definitions that the document of a version needs.
pub(super) fn of_version(version: &Version) -> Map<String, Value> {
    let mut needed = BTreeSet::new();
    let mut queue: Vec<usize> = Vec::new();
    // The lists and objects of kinds that users define refer to metadata, and are none of the definitions here.
    let shared = ["DeleteOptions", "Status", "WatchEvent", "APIResourceList", "Patch", "ObjectMeta", "ListMeta"]
        .map(|name| format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"));
    let subresources = version.resources.iter().flat_map(|resource| &resource.subresources);
    let kinds: BTreeSet<GroupVersionKind<'_>> = subresources.map(|subresource| subresource.kind.borrowed()).collect();
    for (index, definition) in builtin().definitions().iter().enumerate() {
        let is_own = definition.kind.as_ref().is_some_and(|kind| {
            (&kind.group, &kind.version) == (&version.group, &version.version) || kinds.contains(&kind.borrowed())
        });
        if is_own || shared.iter().any(|name| **name == *definition.name) {
            queue.push(index);
        }
    }
    while let Some(index) = queue.pop() {
        if needed.insert(index) {
            queue.extend(builtin().definitions()[index].fields.iter().filter_map(|field| field.reference));
        }
    }
    let definitions = needed.into_iter().map(|index| &builtin().definitions()[index]);
    definitions.map(|it| (it.name.clone().into_owned(), definition(it, Dialect::V3))).collect()
}

/// The schema of a definition.
pub(super) fn definition(definition: &Definition, dialect: Dialect) -> Value {
    let mut schema = match definition.r#type {
        Type::Struct(_) => {
            let properties: Map<String, Value> = definition
                .fields
                .iter()
                .map(|it| (it.name.clone().into_owned(), described(definition, it, dialect)))
                .collect();
            let required: Vec<&str> = definition.fields.iter().filter(|it| it.required).map(|it| &*it.name).collect();
            let mut schema = json!({"type": "object"});
            if !properties.is_empty() {
                schema["properties"] = properties.into();
            }
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            schema
        }
        ref simple => simple_type(simple, dialect),
    };
    if let Some(about) = about(definition, "") {
        schema["description"] = about.into();
    }
    if definition.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    if let Some(kind) = &definition.kind {
        schema["x-kubernetes-group-version-kind"] =
            json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}]);
    }
    schema
}

fn described(definition: &Definition, of: &Field, dialect: Dialect) -> Value {
    let mut schema = field(of, dialect);
    if let Some(about) = about(definition, &of.name) {
        schema["description"] = about.into();
    }
    schema
}

fn field(field: &Field, dialect: Dialect) -> Value {
    let reference = field.reference.map(|index| dialect.reference(&builtin().definitions()[index].name));
    let mut schema = match (typed(&field.r#type, reference, dialect), dialect) {
        // Only so may a reference have neighbours in version 3.
        (reference, Dialect::V3) if reference.get("$ref").is_some() => json!({"allOf": [reference]}),
        (schema, _) => schema,
    };
    if matches!(field.r#type, Type::List(_)) {
        match &field.list {
            ListType::Atomic => schema["x-kubernetes-list-type"] = "atomic".into(),
            ListType::Set => schema["x-kubernetes-list-type"] = "set".into(),
            ListType::Map(keys) => {
                schema["x-kubernetes-list-type"] = "map".into();
                schema["x-kubernetes-list-map-keys"] = json!(keys);
            }
        }
    }
    if field.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    let patch = field.patch;
    let strategies: Vec<&str> = [("merge", patch.merge), ("replace", patch.replace), ("retainKeys", patch.retain_keys)]
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
        .collect();
    if !strategies.is_empty() {
        schema["x-kubernetes-patch-strategy"] = strategies.join(",").into();
    }
    if let Some(key) = field.patch_merge_key.as_deref() {
        schema["x-kubernetes-patch-merge-key"] = key.into();
    }
    schema
}

fn typed(r#type: &Type, reference: Option<Value>, dialect: Dialect) -> Value {
    match (r#type, reference) {
        (Type::List(items), reference) => json!({"type": "array", "items": typed(items, reference, dialect)}),
        (Type::Map(values), reference) => {
            json!({"type": "object", "additionalProperties": typed(values, reference, dialect)})
        }
        (_, Some(reference)) => reference,
        (simple, None) => simple_type(simple, dialect),
    }
}

fn simple_type(r#type: &Type, dialect: Dialect) -> Value {
    match r#type {
        Type::Any | Type::Dynamic => json!({}),
        Type::String => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Boolean => json!({"type": "boolean"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Number => json!({"type": "number", "format": "double"}),
        Type::Quantity if dialect == Dialect::V3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Type::Quantity => json!({"type": "string"}),
        Type::IntOrString if dialect == Dialect::V3 => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        Type::IntOrString => json!({"type": "string", "format": "int-or-string"}),
        Type::Struct(_) | Type::Builtin(_) | Type::Map(_) => json!({"type": "object"}),
        Type::List(_) => json!({"type": "array", "items": {}}),
    }
}
