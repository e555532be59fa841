//! Names of fields as Go reads them: letter case does not count. Pure.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;

/// Reads a body into a type whose fields have the names `fields`; below the fields `free` names are the client's.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8], fields: &[&str], free: &[&str]) -> Result<T, Error> {
    let failed = |error: serde_json::Error| Error::BadRequest(format!("Request decode failed: {error}"));
    let value: Value = serde_json::from_slice(body).map_err(failed)?;
    serde_json::from_value(canonical(value, fields, free)).map_err(failed)
}

/// Spells the names of fields as `fields` does, and drops null.
pub(crate) fn canonical(value: Value, fields: &[&str], free: &[&str]) -> Value {
    match value {
        Value::Object(object) => {
            let mut folded = Map::with_capacity(object.len());
            for (name, value) in object {
                let name = match fields.iter().find(|field| field.eq_ignore_ascii_case(&name)) {
                    Some(field) => (*field).to_owned(),
                    None => name,
                };
                // Go leaves a field alone that is null.
                if value.is_null() {
                    continue;
                }
                let value = if free.contains(&name.as_str()) { value } else { canonical(value, fields, free) };
                folded.insert(name, value);
            }
            Value::Object(folded)
        }
        Value::Array(items) => items.into_iter().map(|item| canonical(item, fields, free)).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn letter_case_counts_only_where_the_client_chose_the_names() {
        let body = json!({"name": "a", "SERVICE": {"tags": ["X"], "nodemeta": {"Name": "b"}}, "dns": null});
        let expected = json!({"Name": "a", "Service": {"Tags": ["X"], "NodeMeta": {"Name": "b"}}});
        assert_eq!(canonical(body, &["Name", "Service", "Tags", "NodeMeta", "DNS"], &["NodeMeta"]), expected);
    }
}
