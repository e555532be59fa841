//! Expressions and an object that they are about: whatever compiles can be estimated, by a range, and evaluated
//! within its budget; a value can be written.

use std::sync::{Arc, LazyLock};

use portolan_cel::{Budget, Environment, Root, Schema, Value};
use serde_json::json;

use crate::two;

/// Small, so that an input that is slow for its price shows as a timeout.
const BUDGET: u64 = 100_000;

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "replicas": {"type": "integer"}, "ratio": {"type": "number"}, "name": {"type": "string", "maxLength": 10},
        "port": {"x-kubernetes-int-or-string": true}, "since": {"type": "string", "format": "date-time"},
        "wait": {"type": "string", "format": "duration"}, "data": {"type": "string", "format": "byte"},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "maxItems": 5},
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 5},
    }}}});
    Schema::of_structural(&schema, Root::Yes).expect("the schema is structural")
});

pub(crate) fn run(input: &[u8]) {
    let Some((text, object)) = two(input) else { return };
    let Ok(object) = serde_json::from_str::<serde_json::Value>(object) else { return };
    let environment = Environment::new().with("object", Schema::any()).with("self", SCHEMA.clone()).for_mutation();
    let Ok(program) = environment.compile(text) else { return };
    let estimate = program.estimate(&environment);
    assert!(estimate.min <= estimate.max);
    let bindings = [("object", Value::any(&object)), ("self", Value::of(&object, &SCHEMA))];
    let mut budget = Budget::new(BUDGET);
    let outcome = program.evaluate(&bindings, &mut budget);
    assert!(budget.remaining <= BUDGET);
    if let Ok(value) = outcome {
        let _ = (value.to_json(), value.type_name(), value.as_bool());
    }
}
