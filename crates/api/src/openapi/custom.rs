//! Schemas of kinds that users define.

use serde_json::{Map, Value, json};

use super::Dialect;
use crate::description::{GroupVersionKind, Resource, Version};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The name of a kind's schema: `com.example.stable.v1.CronTab`.
pub(super) fn name(kind: GroupVersionKind<'_>) -> String {
    let mut parts: Vec<&str> = kind.group.split('.').rev().collect();
    parts.extend([kind.version, kind.kind]);
    parts.join(".")
}

/// The schemas of the user-defined kinds of a version, and of their lists.
pub(super) fn schemas(version: &Version, dialect: Dialect) -> Map<String, Value> {
    let mut schemas = Map::new();
    for resource in &version.resources {
        let Some(custom) = &resource.custom else { continue };
        let kind = resource.group_version_kind();
        let list = GroupVersionKind { kind: &resource.list_kind, ..kind };
        let mut source = custom.source();
        schemas.insert(name(kind), object(source["schema"]["openAPIV3Schema"].take(), resource, dialect));
        schemas.insert(name(list), list_of(kind, list, dialect));
    }
    schemas
}

fn marker(kind: GroupVersionKind<'_>) -> Value {
    json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}])
}

fn object(mut schema: Value, resource: &Resource, dialect: Dialect) -> Value {
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    if !schema.is_object() || dialect == Dialect::V2 && is_open {
        // Readers of version 2 take properties that are named for all that there may be.
        schema = json!({"type": "object"});
    } else {
        if dialect == Dialect::V2 {
            simplify(&mut schema);
        }
        embed(&mut schema, dialect);
        frame(&mut schema, dialect);
    }
    schema["x-kubernetes-group-version-kind"] = marker(resource.group_version_kind());
    schema
}

/// Gives an object the fields that every object has.
fn frame(schema: &mut Value, dialect: Dialect) {
    let metadata = dialect.reference(&format!("{META}ObjectMeta"));
    let metadata = match dialect {
        Dialect::V2 => metadata,
        Dialect::V3 => json!({"allOf": [metadata]}),
    };
    let version = "APIVersion defines the versioned schema of this representation of an object. Servers should convert \
                   recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
                   https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
    let kind = "Kind is a string value representing the REST resource this object represents. Servers may infer this \
                from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
                https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
    let about = "Standard object's metadata. More info: \
                 https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
    schema["properties"]["apiVersion"] = json!({"type": "string", "description": version});
    schema["properties"]["kind"] = json!({"type": "string", "description": kind});
    let mut metadata = metadata;
    metadata["description"] = about.into();
    schema["properties"]["metadata"] = metadata;
}

/// Frames the objects inside an object.
fn embed(schema: &mut Value, dialect: Dialect) {
    each_part(schema, &mut |part| {
        if part["x-kubernetes-embedded-resource"] == true {
            frame(part, dialect);
        }
        embed(part, dialect);
    });
}

/// Calls a function for each schema directly inside a schema.
fn each_part(schema: &mut Value, work: &mut dyn FnMut(&mut Value)) {
    for part in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        work(part);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(part) = schema.get_mut(name).filter(|part| part.is_object()) {
            work(part);
        }
    }
}

/// Leaves out what version 2 cannot say, so that its readers do not take it for less than it is.
///
/// Source: `apiextensions-apiserver/pkg/controller/openapi/v2`.
fn simplify(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for name in ["allOf", "anyOf", "oneOf", "not", "default", "x-kubernetes-validations"] {
        fields.remove(name);
    }
    let is = |fields: &Map<String, Value>, name: &str| fields.get(name) == Some(&Value::Bool(true));
    let shapes = ["type", "items", "properties", "additionalProperties"];
    if is(fields, "x-kubernetes-preserve-unknown-fields") {
        let embedded = is(fields, "x-kubernetes-embedded-resource");
        for name in shapes {
            fields.remove(name);
        }
        fields.remove("required");
        if embedded {
            fields.insert("type".into(), "object".into());
        }
    }
    if is(fields, "nullable") {
        for name in shapes.iter().chain(&["nullable", "required"]) {
            fields.remove(*name);
        }
    }
    if is(fields, "x-kubernetes-int-or-string") {
        fields.remove("type");
    }
    let shapeless = |part: Option<&Value>| part.is_some_and(|part| part.is_object() && part.get("type").is_none());
    each_part(schema, &mut simplify);
    let Some(fields) = schema.as_object_mut() else { return };
    if shapeless(fields.get("items")) {
        fields.remove("items");
        fields.remove("type");
    }
    if fields.get("additionalProperties").is_some_and(Value::is_boolean) {
        fields.remove("additionalProperties");
    }
}

fn list_of(kind: GroupVersionKind<'_>, list: GroupVersionKind<'_>, dialect: Dialect) -> Value {
    let metadata = dialect.reference(&format!("{META}ListMeta"));
    let metadata = match dialect {
        Dialect::V2 => metadata,
        Dialect::V3 => json!({"allOf": [metadata]}),
    };
    let mut schema = json!({
        "description": format!("{} is a list of {}", list.kind, kind.kind),
        "type": "object", "required": ["items"],
        "properties": {"items": {"type": "array", "items": dialect.reference(&name(kind))}},
        "x-kubernetes-group-version-kind": marker(list),
    });
    frame(&mut schema, dialect);
    schema["properties"]["metadata"] = metadata;
    schema
}
