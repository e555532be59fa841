//! The group `registry.portolan.dev`.

pub(crate) mod external_node;
mod health_check;
pub(crate) mod prepared_query;
pub(crate) mod service_instance;

/// Names of services, instances and machines as other registries allow them: anything that a line
/// of text and a path segment can carry.
fn is_registered_name(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push("must be no more than 253 bytes".to_owned());
    }
    if value.chars().any(|character| character.is_control() || character == '/') {
        problems.push("must not contain '/' or control characters".to_owned());
    }
    problems
}
