//! Reads request bodies: JSON and YAML, with limits, remembering duplicate fields.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use portolan_base::go;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

mod lenient;
mod syntax;
mod yaml;

pub use syntax::problem as syntax_problem;

/// How large a body may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the body.
    pub bytes: usize,
    /// Objects and lists inside each other. The parsers refuse more than 127 themselves.
    pub depth: usize,
}

impl Limits {
    /// For what is not a client's: of any size.
    pub fn of_any_size() -> Self {
        Self { bytes: usize::MAX, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 3 * 1024 * 1024, depth: 100 }
    }
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is too large.
    #[error("Request body is too large: limit is {limit}")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not JSON.
    #[error("{0}")]
    Json(String),
    /// It is not YAML, or not such as JSON can hold.
    #[error("{0}")]
    Yaml(String),
    /// It is nested deeper than is read here.
    #[error("exceeded max depth")]
    TooDeep,
}

/// A body that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The last value of every field.
    pub value: Value,
    /// One text per field that appeared twice: `duplicate field "spec.replicas"`, in YAML
    /// `line 3: key "replicas" already set in map`.
    pub duplicates: Vec<String>,
    /// Whether a number was out of all range; in its place stands a very large one. See [`clipped_json()`].
    pub is_clipped: bool,
}

/// Reads a JSON body. As upstream does, it takes text that is not Unicode for the characters that replace it.
///
/// # Errors
/// The body is larger or deeper than the limits, is not one JSON value, or a number in it is out of all range.
pub fn json(body: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let decoded = clipped_json(body, limits)?;
    if decoded.is_clipped {
        let number = number_out_of_range(body).unwrap_or_default();
        return Err(Error::Json(format!("json: cannot unmarshal number {number} into Go value of type float64")));
    }
    Ok(decoded)
}

/// The same with a very large number in place of those that are out of all range, for those who look at the type that
/// such a number should be of.
///
/// # Errors
/// The body is larger or deeper than the limits, or is not one JSON value.
pub fn clipped_json(body: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    check_size(body, limits)?;
    // Once for all of it is cheaper than for every text in it.
    let decoded = match std::str::from_utf8(body) {
        Ok(text) => read_json(serde_json::Deserializer::from_str(text), limits),
        Err(_) => read_json(serde_json::Deserializer::from_slice(body), limits),
    };
    decoded.or_else(|_| match syntax::problem(body) {
        Some(problem) => Err(Error::Json(problem)),
        None => lenient(body, limits),
    })
}

/// Reads JSON that is well-formed, but too deep, out of range or not Unicode.
fn lenient(body: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let text = lenient::text(body);
    let clipped = lenient::in_range(&text);
    let decoded = read_json(serde_json::Deserializer::from_str(clipped.as_deref().unwrap_or(&text)), limits);
    let decoded = decoded.map_err(|_| Error::TooDeep)?;
    Ok(Decoded { is_clipped: clipped.is_some(), ..decoded })
}

/// The first number of a JSON body that is out of all range.
pub fn number_out_of_range(body: &[u8]) -> Option<String> {
    lenient::out_of_range(&lenient::text(body))
}

/// A body in JSON that was read, without what is not Unicode.
pub(crate) fn json_text(body: &[u8]) -> Cow<'_, str> {
    lenient::text(body)
}

fn read_json<'de>(
    mut deserializer: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
    limits: &Limits,
) -> Result<Decoded, serde_json::Error> {
    let duplicates = RefCell::new(Vec::new());
    let value = Seed::root(limits, &duplicates).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Decoded { value, duplicates: duplicates.into_inner(), is_clipped: false })
}

/// Reads the first document of a YAML body. Keys become text, as JSON needs them.
///
/// # Errors
/// The body is larger or deeper than the limits, or is not YAML that JSON can hold.
pub fn yaml(body: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    check_size(body, limits)?;
    // JSON is YAML, and most who apply send it: its reader is much faster. What that one does not take, or has
    // something to say about, is left to the reader of YAML, which says it in other words.
    if body.first() == Some(&b'{')
        && let Ok(text) = std::str::from_utf8(body)
        && let Ok(decoded) = read_json(serde_json::Deserializer::from_str(text), limits)
        && decoded.duplicates.is_empty()
    {
        return Ok(decoded);
    }
    yaml::read(body, limits)
}

/// What Go's decoder calls a value: `null`, `bool`, `number`, `string`, `array` or `object`.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_size(body: &[u8], limits: &Limits) -> Result<(), Error> {
    if body.len() > limits.bytes { Err(Error::TooLarge { limit: limits.bytes }) } else { Ok(()) }
}

/// Where the reader is; written out only when something is to be said about the place.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => formatter.write_str(name),
            Self::Field(parent, name) => write!(formatter, "{parent}.{name}"),
            Self::Item(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    place: Place<'a>,
    depth: usize,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'a> Seed<'a> {
    fn root(limits: &Limits, duplicates: &'a RefCell<Vec<String>>) -> Self {
        Self { place: Place::Root, depth: limits.depth, duplicates }
    }

    fn inside<'b>(self, place: Place<'b>) -> Option<Seed<'b>>
    where
        'a: 'b,
    {
        Some(Seed { place, depth: self.depth.checked_sub(1)?, duplicates: self.duplicates })
    }
}

const TOO_DEEP: &str = "exceeded max depth";

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value that JSON can hold")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("unsupported value: not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let place = Place::Item(&self.place, items.len());
            let seed = self.inside(place).ok_or_else(|| A::Error::custom(TOO_DEEP))?;
            match access.next_element_seed(seed)? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let place = Place::Field(&self.place, &name);
            let seed = self.inside(place).ok_or_else(|| A::Error::custom(TOO_DEEP))?;
            let value = access.next_value_seed(seed)?;
            match fields.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => {
                    let place = Place::Field(&self.place, entry.key());
                    self.duplicates.borrow_mut().push(format!("duplicate field {}", go::quote(&place.to_string())));
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn remembers_duplicate_fields() {
        let body = br#"{"spec":{"replicas":1,"replicas":2,"list":[{"a":1},{"b":1,"b":2}]}}"#;
        let decoded = json(body, &Limits::default()).expect("valid");
        assert_eq!(decoded.value, json!({"spec": {"replicas": 2, "list": [{"a": 1}, {"b": 2}]}}));
        assert_eq!(decoded.duplicates, [r#"duplicate field "spec.replicas""#, r#"duplicate field "spec.list[1].b""#]);
    }

    #[test]
    fn numbers_are_read_to_the_nearest_and_do_not_drift() {
        for text in
            ["6666666666666666666666666666666666666666666666666666466666466", "0.1234567890123456789012345", "2.5e-310"]
        {
            let read = json(text.as_bytes(), &Limits::default()).expect("a number").value;
            assert_eq!(read.as_f64(), text.parse::<f64>().ok(), "{text}");
            let again = json(read.to_string().as_bytes(), &Limits::default()).expect("a number").value;
            assert_eq!(again, read, "{text}");
        }
    }

    #[test]
    fn what_is_not_quite_json_is_read_as_upstream_reads_it() {
        let decoded = json(b"{\"a\":\"\xff\\ud800\"}", &Limits::default()).expect("valid");
        assert_eq!(decoded.value, json!({"a": "\u{fffd}\u{fffd}"}));
        assert!(!decoded.is_clipped);
        let huge = b"{\"a\":1e400}";
        assert!(clipped_json(huge, &Limits::default()).expect("valid").is_clipped);
        let refused = json(huge, &Limits::default()).expect_err("refused").to_string();
        assert_eq!(refused, "json: cannot unmarshal number 1e400 into Go value of type float64");
    }

    #[test]
    fn reads_yaml_as_json() {
        let body = b"a: &x {1: yes, true: 2.5}\nb: [*x, ~, 'text']\nb: 1\n";
        let decoded = yaml(body, &Limits::default()).expect("valid");
        assert_eq!(decoded.value, json!({"a": {"1": true, "true": 2.5}, "b": 1}));
        assert_eq!(decoded.duplicates, [r#"line 3: key "b" already set in map"#]);
        let decoded = yaml(b"a: {b: 1, b: 2}", &Limits::default()).expect("valid");
        assert_eq!(decoded.duplicates, [r#"line 1: key "b" already set in map"#]);
    }

    #[test]
    fn refuses_what_is_too_large_or_malformed() {
        let limits = Limits { bytes: 20_000, depth: 3 };
        let long = vec![b' '; 20_001];
        let deep = format!("{}{}", "[".repeat(30), "]".repeat(30));
        let open = "[".repeat(60);
        let deepest = "[".repeat(10_001);
        let cases: [(&[u8], &str); 5] = [
            (&long, "too large"),
            (deep.as_bytes(), "exceeded max depth"),
            (open.as_bytes(), "unexpected end of JSON input"),
            (b"{} x", "after top-level value"),
            (deepest.as_bytes(), "invalid character '[' exceeded max depth"),
        ];
        for (body, expected) in cases {
            let error = json(body, &limits).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
