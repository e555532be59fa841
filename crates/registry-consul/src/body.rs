//! Bodies of requests: JSON whose field names are matched as Go matches them, without regard to
//! case, and in the older spelling with underscores too.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_api::decode::type_of;
use serde_json::{Map, Value};

use crate::{Error, duration};

/// The fields of a JSON object, by their names in lower case without underscores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(BTreeMap<String, Value>);

fn wrong(field: &str, wanted: &str, found: &Value) -> Error {
    let kind = type_of(found);
    Error::BadRequest(format!("Request decode failed: cannot unmarshal {kind} into field {field} of type {wanted}"))
}

impl Fields {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Error> {
        let failed = |error: serde_json::Error| match error.is_eof() && body.is_empty() {
            true => Error::BadRequest("Request decode failed: EOF".into()),
            false => Error::BadRequest(format!("Request decode failed: {error}")),
        };
        let object: Map<String, Value> = serde_json::from_slice(body).map_err(failed)?;
        Ok(Self::of(&object))
    }

    /// The fields of an object.
    pub(crate) fn of(object: &Map<String, Value>) -> Self {
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        Self(object.iter().map(|(name, value)| (plain(name), value.clone())).collect())
    }

    /// A field that is there and not `null`. Names are given as Consul documents them.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(&name.to_ascii_lowercase()).filter(|value| !value.is_null())
    }

    /// A text; empty if absent.
    pub(crate) fn text(&self, name: &str) -> Result<String, Error> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(wrong(name, "string", other)),
        }
    }

    /// The first of several fields that is not empty.
    pub(crate) fn first_text(&self, names: &[&str]) -> Result<String, Error> {
        for name in names {
            let text = self.text(name)?;
            if !text.is_empty() {
                return Ok(text);
            }
        }
        Ok(String::new())
    }

    /// A truth value; false if absent.
    pub(crate) fn bool(&self, name: &str) -> Result<bool, Error> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(wrong(name, "bool", other)),
        }
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i32>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                number.map(Some).ok_or_else(|| wrong(name, "int", value))
            }
        }
    }

    /// A duration: a text such as `10s`, or a number of nanoseconds; none if absent or empty.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => duration::parse(text)
                .map(Some)
                .map_err(|error| Error::BadRequest(format!("Request decode failed: {error}"))),
            Some(value) => {
                let nanoseconds = value.as_f64().filter(|count| *count >= 0.0 && *count < 9.2e18);
                // The fraction of a nanosecond does not count.
                let nanoseconds = nanoseconds.ok_or_else(|| wrong(name, "duration", value))? as u64;
                Ok(Some(Duration::from_nanos(nanoseconds)))
            }
        }
    }

    /// A list of texts; a single text counts as one.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(elements)) => elements
                .iter()
                .map(|element| element.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "string", element)))
                .collect(),
            Some(other) => Err(wrong(name, "[]string", other)),
        }
    }

    /// A map of texts.
    pub(crate) fn text_map(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let Some(object) = self.object(name)? else { return Ok(BTreeMap::new()) };
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "string", value));
        object.iter().map(|(key, value)| Ok((key.clone(), text(value)?))).collect()
    }

    /// An object as it is.
    pub(crate) fn object(&self, name: &str) -> Result<Option<&Map<String, Value>>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(wrong(name, "object", other)),
        }
    }

    /// An object's fields.
    pub(crate) fn fields(&self, name: &str) -> Result<Option<Self>, Error> {
        Ok(self.object(name)?.map(Self::of))
    }

    /// A list of objects.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<Self>, Error> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(elements)) => elements
                .iter()
                .map(|element| element.as_object().map(Self::of).ok_or_else(|| wrong(name, "object", element)))
                .collect(),
            Some(other) => Err(wrong(name, "array", other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_in_any_case_and_with_underscores() {
        let fields =
            Fields::parse(br#"{"name": "a", "ENABLE_tag_override": true, "Timeout": 5000000, "Interval": "1m"}"#);
        let fields = fields.expect("JSON");
        assert_eq!(fields.text("Name").expect("a text"), "a");
        assert!(fields.bool("EnableTagOverride").expect("a truth value"));
        assert_eq!(fields.duration("Timeout").expect("a duration"), Some(Duration::from_millis(5)));
        assert_eq!(fields.duration("Interval").expect("a duration"), Some(Duration::from_secs(60)));
        assert!(fields.number("Name").is_err());
        assert!(fields.text("Absent").expect("nothing").is_empty());
    }
}
