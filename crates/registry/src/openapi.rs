//! The paths as an OpenAPI document (version 3.1).

use serde_json::{Map, Value, json};

use crate::paths::{OPERATIONS, Operation, Route};
use crate::{batch, schemas};

/// The document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = describe(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portolan registry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Who is there, and \"I am there too\".",
        },
        "paths": paths,
        "components": {"schemas": schemas::schemas()},
    })
}

fn describe(operation: &Operation) -> Value {
    let variables = operation.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let variables = variables.map(|name| json!({"name": name, "in": "path", "required": true, "schema": text()}));
    let query = operation.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.means,
            "schema": match parameter.name {
                "tag" | "label" => json!({"type": "array", "items": text()}),
                "index" => json!({"type": "integer", "minimum": 0}),
                "health" => json!({"enum": ["passing", "warning", "critical"]}),
                "lease" => json!({"enum": ["connection"]}),
                "origin" => json!({"enum": ["orchestrator", "registry"]}),
                "policy" => json!({"enum": ["round-robin", "least", "weighted", "nearest", "hash"]}),
                _ => text(),
            },
        })
    });
    let mut described = json!({
        "operationId": format!("{:?}", operation.route),
        "summary": operation.summary,
        "parameters": variables.chain(query).collect::<Vec<Value>>(),
        "responses": responses(operation.route),
    });
    let body = match operation.route {
        Route::Register => Some("Registration"),
        Route::Batch => Some("Batch"),
        _ => None,
    };
    if let Some(schema) = body {
        described["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": of(schema)}}});
    }
    if operation.route == Route::Batch {
        described["description"] =
            format!("At most {} items; each has an outcome of its own.", batch::MOST_ITEMS).into();
    }
    let description = match operation.route {
        Route::Register => {
            "With ?lease=connection the answer is a stream of server-sent events: REGISTERED with \
            namespace, id, outcome and graceSeconds; a comment every 15 seconds; and ENDED with a reason, when the \
            instance was deregistered, another connection registered it, or it got another lease."
        }
        Route::Watch => {
            "Events have the types ADDED, MODIFIED and DELETED, with an index and an instance. After what \
            is there comes SYNCED. Who comes back within a minute with the last id as Last-Event-ID and the same \
            filters gets what it missed, then SYNCED; where that cannot be told any more, RESET (forget all that you \
            know) comes before what is there. A comment every 15 seconds keeps a silent stream alive."
        }
        _ => "",
    };
    if !description.is_empty() {
        described["description"] = description.into();
    }
    if described["responses"]["304"].is_object() {
        let had = json!({"name": "If-None-Match", "in": "header", "description": "ETag of what the client has", "schema": text()});
        described["parameters"].as_array_mut().expect("parameters are a list").push(had);
    }
    if operation.route == Route::Watch {
        let last = json!({"name": "Last-Event-ID", "in": "header", "description": "id of the last event read", "schema": text()});
        described["parameters"].as_array_mut().expect("parameters are a list").push(last);
    }
    described
}

fn responses(route: Route) -> Value {
    let list = |schema: &str| json!({"type": "array", "items": of(schema)});
    let (schema, refusals): (Value, &[u16]) = match route {
        Route::Help | Route::OpenApi => (json!({"type": "object"}), &[]),
        Route::List => (list("Instance"), &[304, 400]),
        Route::Register => (of("Outcome"), &[400, 413]),
        Route::Show => (of("ShownInstance"), &[404, 409]),
        Route::Deregister => (of("Outcome"), &[404, 409]),
        Route::Renew => (of("Renewal"), &[404, 409]),
        Route::Batch => (of("BatchOutcome"), &[400, 413]),
        Route::Services => (list("Service"), &[304, 400]),
        Route::Service => (of("ServiceWithInstances"), &[304, 400, 404]),
        Route::Pick => (of("Instance"), &[400, 404]),
        Route::Targets => (list("Targets"), &[304, 400]),
        Route::Watch => (text(), &[400]),
        Route::Metrics => (text(), &[]),
    };
    let media = match route {
        Route::Watch => "text/event-stream",
        Route::Metrics => "text/plain",
        _ => "application/json",
    };
    let mut responses = json!({"200": {"description": "done", "content": {media: {"schema": schema}}}});
    if route == Route::Register {
        responses["200"]["content"]["text/event-stream"] = json!({"schema": text()});
        responses["201"] = json!({"description": "created", "content": responses["200"]["content"]});
    }
    // Anybody may turn out to be a stranger, or one who asks too much, and nobody may be able to tell.
    for status in refusals.iter().chain(&[401, 403, 429, 503]) {
        let (description, has_body) = match status {
            304 => ("the client has it already, by its If-None-Match", false),
            400 => ("the request makes no sense; the message says why", true),
            401 => ("who asks is not known: no credentials of the cluster were shown, or none that are valid", true),
            403 => ("who asks may not do this; the message says what a role has to allow", true),
            404 => ("it is not there; the message says why", true),
            409 => ("several have this id; the message names their objects, each of which may stand for it", true),
            413 => ("the body is too large", true),
            503 => ("nobody can tell who asks and what they may; try again", true),
            _ => ("too many requests from this client; Retry-After says when to come back", true),
        };
        let mut response = json!({"description": description});
        if has_body {
            response["content"] = json!({"application/json": {"schema": of("Error")}});
        }
        responses[status.to_string()] = response;
    }
    // What the API server says to a write comes through with its own status.
    if matches!(route, Route::Register | Route::Deregister) {
        let content = json!({"application/json": {"schema": of("Error")}});
        responses["default"] = json!({"description": "the API server refused", "content": content});
    }
    responses
}

fn of(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn text() -> Value {
    json!({"type": "string"})
}
