//! Tables of expressions.

mod compile;
mod cost;
mod devices;
mod libraries;
mod objects;
mod outcomes;
mod properties;
mod upstream;
mod values;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::library::convert::plain;
use crate::{Asked, Authorizer, Budget, Decided, Environment, OBJECT_LIMIT, Root, Schema, Value, What};

/// The object that expressions are about, as `object` (nothing known) and `self` (by [`schema`]).
fn object() -> Json {
    json!({
        "apiVersion": "v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default", "labels": {"app": "web", "tier": "a"}},
        "spec": {
            "replicas": 3, "ratio": 2, "name": "widget", "port": "http", "size": 7,
            "tags": ["b", "a"], "more": ["a", "b"],
            "rules": [{"key": "x", "value": 1}, {"key": "y", "value": 2}],
            "others": [{"key": "y", "value": 2}, {"key": "x", "value": 1}],
            "limits": {"cpu": 1, "memory": 2},
            "since": "2024-03-01T10:30:00Z", "wait": "1h30m", "data": "aGVsbG8=", "day": "2024-03-01",
            "namespace": "n", "a-b": 1, "x.y": 2, "a__b": 3,
        },
    })
}

fn schema() -> Arc<Schema> {
    let rule = json!({"type": "object", "properties": {"key": {"type": "string"}, "value": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "ratio": {"type": "number"}, "name": {"type": "string", "maxLength": 10},
            "missing": {"type": "string"},
            "port": {"x-kubernetes-int-or-string": true}, "size": {"x-kubernetes-int-or-string": true},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "more": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "rules": {"type": "array", "items": rule, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"]},
            "others": {"type": "array", "items": rule, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"]},
            "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
            "since": {"type": "string", "format": "date-time"}, "day": {"type": "string", "format": "date"},
            "wait": {"type": "string", "format": "duration"}, "data": {"type": "string", "format": "byte"},
            "namespace": {"type": "string"}, "a-b": {"type": "integer"}, "x.y": {"type": "integer"},
            "a__b": {"type": "integer"},
            "opaque": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
    }});
    Schema::of_structural(&schema, Root::Yes).expect("the schema is structural")
}

#[derive(Debug)]
struct OnlyGetPods;

impl Authorizer for OnlyGetPods {
    fn decide(&self, asked: &Asked) -> Decided {
        let allowed = match &asked.what {
            What::Resource(resource) => {
                asked.verb == "get" && resource.resource == "pods" && asked.service_account.is_none()
            }
            What::Path(path) => path == "/healthz",
            _ => false,
        };
        Decided { allowed, reason: format!("asked for {}", asked.verb), error: String::new() }
    }
}

fn environment() -> Environment {
    Environment::new().with("object", Schema::any()).with("self", schema()).with_authorizer()
}

/// What comes of an expression: its value as JSON, or what is wrong with it.
fn outcome(text: &str) -> String {
    let program = match environment().compile(text) {
        Ok(program) => program,
        Err(error) => {
            return error
                .issues
                .iter()
                .map(|issue| format!("{}:{}", issue.column, issue.message))
                .collect::<Vec<_>>()
                .join("; ");
        }
    };
    let object = object();
    let authorizer = OnlyGetPods;
    let bindings = [
        ("object", Value::any(&object)),
        ("self", Value::of(&object, &schema())),
        ("authorizer", Value::Authorizer(&authorizer)),
    ];
    match program.evaluate(&bindings, &mut Budget::new(OBJECT_LIMIT)) {
        Ok(Value::Optional(None)) => "none".into(),
        Ok(value) => match value.to_json() {
            Ok(json) => json.to_string(),
            Err(_) => plain(&value),
        },
        Err(error) => format!("error: {error}"),
    }
}

fn check(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, expected)| {
            let found = outcome(text);
            (found != *expected).then(|| format!("{text}\n  expected {expected}\n  found    {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
