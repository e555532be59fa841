//! Shapes of bodies, for the OpenAPI document. A test holds them against what is really answered.

use serde_json::{Value, json};

/// All of them by name.
pub(crate) fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer", "minimum": 0});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let map = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    let of = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let list = |name: &str| json!({"type": "array", "items": of(name)});
    let optional = |kind: &str| json!({"type": [kind, "null"]});
    let counts = || {
        json!({
            "namespace": text(), "name": text(), "passing": number(), "warning": number(), "critical": number(),
            "type": {"enum": ["ClusterIP", "Headless", "NodePort", "LoadBalancer", "ExternalName"]},
            "addresses": texts(), "externalAddresses": texts(), "labels": map(),
            "ports": {"type": "array", "items": {"type": "object", "properties": {
                "name": text(), "port": number(), "protocol": text(), "nodePort": optional("integer"),
            }}},
        })
    };
    let with = |mut properties: Value, name: &str, schema: Value| {
        properties[name] = schema;
        json!({"type": "object", "properties": properties})
    };
    json!({
        "Instance": {"type": "object", "properties": {
            "name": text(), "service": text(), "namespace": text(), "id": text(), "address": text(),
            "port": optional("integer"), "ports": list("Port"),
            "health": {"enum": ["passing", "warning", "critical"]}, "reason": text(), "since": optional("string"),
            "node": text(), "tags": texts(), "labels": map(), "metadata": map(), "version": text(),
            "weights": of("Weights"), "locality": of("Locality"), "ttlSeconds": optional("integer"),
            "origin": {"enum": ["orchestrator", "registry"]},
        }},
        "ShownInstance": {"allOf": [of("Instance"), {"type": "object", "properties": {
            "lease": {"enum": ["ttl", "connection", "session", "orchestrator", "none"]},
            "leaseSecondsLeft": optional("number"), "explanation": texts(),
        }}]},
        "Port": {"type": "object", "required": ["port"], "additionalProperties": false, "properties": {
            "name": text(), "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "protocol": text(),
        }},
        "Weights": {"type": "object", "additionalProperties": false, "properties": {"passing": number(), "warning": number()}},
        "Locality": {"type": "object", "additionalProperties": false, "properties": {"region": text(), "zone": text(), "rack": text()}},
        "Service": with(counts(), "instances", number()),
        "ServiceWithInstances": with(counts(), "instances", list("Instance")),
        "Registration": {"type": "object", "required": ["service"], "additionalProperties": false, "properties": {
            "service": text(), "namespace": text(), "id": text(), "address": text(),
            "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "ports": list("Port"), "tags": texts(),
            "metadata": map(), "version": text(), "weights": of("Weights"), "locality": of("Locality"),
            "ttlSeconds": {"type": "integer", "minimum": 1, "maximum": 86400}, "session": text(), "checks": list("Check"),
        }},
        // As in the objects of the API.
        "Check": {"type": "object", "required": ["id"], "additionalProperties": false, "properties": {
            "id": text(), "name": text(), "notes": text(), "initialHealth": {"enum": ["passing", "warning", "critical"]},
            "type": {"enum": ["ttl", "http", "tcp", "udp", "grpc", "h2ping", "script", "alias", "external"]},
            "url": text(), "method": text(), "body": text(), "disableRedirects": {"type": "boolean"},
            "headers": {"type": "object", "additionalProperties": texts()}, "address": text(), "command": texts(),
            "aliasNode": text(), "aliasService": text(), "tls": {"type": "boolean"}, "tlsServerName": text(),
            "tlsSkipVerify": {"type": "boolean"}, "intervalMilliseconds": number(), "timeoutMilliseconds": number(),
            "ttlMilliseconds": number(), "successBeforePassing": number(), "failuresBeforeWarning": number(),
            "failuresBeforeCritical": number(), "deregisterCriticalAfterSeconds": number(), "outputMaxBytes": number(),
        }},
        "Reference": {"type": "object", "required": ["id"], "additionalProperties": false, "properties": {
            "namespace": text(), "id": text(),
        }},
        "Outcome": {"type": "object", "properties": {
            "namespace": text(), "id": text(),
            "outcome": {"enum": ["created", "changed", "unchanged", "deregistered"]},
        }},
        "Renewal": {"type": "object", "properties": {"ttlSeconds": number()}},
        "Batch": {"type": "object", "additionalProperties": false, "properties": {
            "register": list("Registration"), "deregister": list("Reference"), "renew": list("Reference"),
        }},
        "BatchOutcome": {"type": "object", "properties": {
            "register": list("ItemOutcome"), "deregister": list("ItemOutcome"), "renew": list("ItemOutcome"),
        }},
        "Targets": {"type": "object", "required": ["targets", "labels"], "properties": {
            "targets": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }},
        "ItemOutcome": {"type": "object", "required": ["status"], "properties": {
            "status": number(), "namespace": text(), "id": text(), "outcome": text(), "ttlSeconds": number(),
            "error": text(), "message": text(),
        }},
        "Error": {"type": "object", "properties": {"error": text(), "message": text()}},
    })
}
