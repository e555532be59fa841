//! Parts of a registration whose fields are those of the object that it becomes: a field that is none of them is
//! refused by its name, as one of the registration itself is. What there is says the description.

use std::sync::LazyLock;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::schemas;

static SCHEMAS: LazyLock<Value> = LazyLock::new(schemas::schemas);

/// Reads an object that may be absent; `schema` is the name of what it must look like.
fn read<T: DeserializeOwned>(schema: &str, fields: Map<String, Value>) -> Result<T, String> {
    let known = SCHEMAS[schema]["properties"].as_object();
    let known = || known.into_iter().flat_map(Map::keys).map(String::as_str);
    if let Some(unknown) = fields.keys().find(|name| known().all(|known| known != name.as_str())) {
        let known: Vec<String> = known().map(|name| format!("`{name}`")).collect();
        return Err(format!("unknown field `{unknown}`, expected one of {}", known.join(", ")));
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

fn optional<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
    schema: &str,
    field: &str,
) -> Result<Option<T>, D::Error> {
    let fields = Option::<Map<String, Value>>::deserialize(deserializer)?;
    let read = fields.map(|fields| read(schema, fields)).transpose();
    read.map_err(|why| D::Error::custom(format!("{field}: {why}")))
}

/// Reads `checks`.
pub(crate) fn checks<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let checks = Vec::<Map<String, Value>>::deserialize(deserializer)?;
    let read = |(at, fields)| read("Check", fields).map_err(|why| D::Error::custom(format!("checks[{at}]: {why}")));
    checks.into_iter().enumerate().map(read).collect()
}

/// Reads `weights`.
pub(crate) fn weights<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    optional(deserializer, "Weights", "weights")
}

/// Reads `locality`.
pub(crate) fn locality<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    optional(deserializer, "Locality", "locality")
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::{CheckType, Health, HealthCheck, InstanceLocality, InstanceWeights};
    use serde::Serialize;

    use super::*;

    /// Everything is set, so whoever adds a field to the objects has to add it to the description.
    #[test]
    fn the_description_has_the_fields_of_the_objects() {
        let text = || "a".to_owned();
        let check = HealthCheck {
            id: text(),
            name: text(),
            r#type: CheckType::Http,
            notes: text(),
            url: text(),
            method: text(),
            headers: [(text(), vec![text()])].into(),
            body: text(),
            disable_redirects: true,
            address: text(),
            tls: true,
            tls_server_name: text(),
            tls_skip_verify: true,
            command: vec![text()],
            alias_node: text(),
            alias_service: text(),
            interval_milliseconds: Some(1),
            timeout_milliseconds: Some(1),
            ttl_milliseconds: Some(1),
            success_before_passing: 1,
            failures_before_warning: 1,
            failures_before_critical: 1,
            output_max_bytes: Some(1),
            deregister_critical_after_seconds: Some(1),
            initial_health: Some(Health::Passing),
        };
        fn fields(object: &impl Serialize) -> Map<String, Value> {
            serde_json::from_value(serde_json::to_value(object).expect("JSON")).expect("an object")
        }
        let names = |map: &Map<String, Value>| {
            let mut names: Vec<String> = map.keys().cloned().collect();
            names.sort_unstable();
            names
        };
        let described = |schema: &str| names(SCHEMAS[schema]["properties"].as_object().expect("properties"));
        assert_eq!(names(&fields(&check)), described("Check"));
        assert_eq!(read::<HealthCheck>("Check", fields(&check)), Ok(check));
        let locality = InstanceLocality { region: text(), zone: text(), rack: text() };
        assert_eq!(names(&fields(&locality)), described("Locality"));
        let weights = InstanceWeights { passing: 1, warning: 1 };
        assert_eq!(names(&fields(&weights)), described("Weights"));
    }
}
