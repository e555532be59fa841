//! From the body of a request to an object of the expected kind.

use http::header;
use portolan_api::decode::{self, Decoded, Limits};
use portolan_api::description::GroupVersionKind;
use portolan_api::{custom, protobuf, schema};
use serde_json::Value;

use super::Call;
use crate::body::{self, Body};
use crate::status::Status;

const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];

/// An object as a client sent it, checked against the schema of its kind.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// What happens to fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl Call<'_> {
    /// Media type of the request's body, without parameters.
    pub(crate) fn content_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// Reads the object that a create or update brings.
    pub(crate) async fn input(&self, body: Body) -> Result<Input, Status> {
        let kind = self.body_kind();
        let decoded = self.decoded(&body::read(body).await?, kind)?;
        let mut object = decoded.value;
        expect_kind(&mut object, kind)?;
        let warnings = self.check(&mut object, kind, decoded.duplicates)?;
        Ok(Input { object, warnings })
    }

    /// Reads a body in the form that its type says. It should hold an object of the kind `expected`.
    pub(crate) fn decoded(&self, bytes: &[u8], expected: GroupVersionKind<'_>) -> Result<Decoded, Status> {
        match self.content_type() {
            "" | "application/json" => parse(bytes, false),
            "application/yaml" => parse(bytes, true),
            protobuf::MEDIA_TYPE if protobuf::knows(expected) => parse_protobuf(bytes, expected),
            other => {
                let supported = if protobuf::knows(expected) { &MEDIA_TYPES[..] } else { &MEDIA_TYPES[..2] };
                Err(Status::unsupported_media_type(other, supported))
            }
        }
    }

    /// Holds an object against its schema; returns warnings, or refuses as `fieldValidation` says.
    pub(crate) fn check(
        &self,
        object: &mut Value,
        kind: GroupVersionKind<'_>,
        duplicates: Vec<String>,
    ) -> Result<Vec<String>, Status> {
        let validation = self.field_validation()?;
        let definition = self.resource.custom.as_ref().filter(|_| kind == self.kind());
        let mut problems = match definition {
            // Values are held against the schema of a definition later, when defaults are in place.
            Some(definition) => {
                let unknown = custom::prune(object, definition.root());
                unknown.into_iter().map(|path| format!("unknown field \"{path}\"")).collect()
            }
            None => {
                let Some(place) = self.schema_of(kind) else { return Ok(Vec::new()) };
                let findings = schema::check_at(object, place);
                if let Some(refusal) = findings.refusal(kind) {
                    return Err(Status::bad_request(refusal));
                }
                findings.unknown
            }
        };
        problems.extend(duplicates);
        if validation == FieldValidation::Strict
            && let Some(text) = schema::strict_decoding_error(&problems)
        {
            let GroupVersionKind { version, kind, .. } = kind;
            let text = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {text}");
            return Err(Status::bad_request(text));
        }
        if definition.is_none()
            && let Some(place) = self.schema_of(kind)
        {
            schema::prune(object, place);
        }
        Ok(if validation == FieldValidation::Warn { problems } else { Vec::new() })
    }

    fn field_validation(&self) -> Result<FieldValidation, Status> {
        match self.query.get("fieldValidation") {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Ignore" => Ok(FieldValidation::Ignore),
            "Strict" => Ok(FieldValidation::Strict),
            other => Err(Status::new(
                422,
                "Invalid",
                format!(
                    "fieldValidation: Unsupported value: \"{other}\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                ),
            )),
        }
    }
}

/// Parses bytes as JSON or YAML.
pub(crate) fn parse(bytes: &[u8], yaml: bool) -> Result<Decoded, Status> {
    let limits = Limits::default();
    let decoded = if yaml { decode::yaml(bytes, &limits) } else { decode::json(bytes, &limits) };
    decoded.map_err(|error| match error {
        decode::Error::TooLarge { limit } => Status::too_large(limit),
        error => Status::bad_request(format!("the object provided is unrecognized: {error}")),
    })
}

/// Parses bytes as protobuf.
fn parse_protobuf(bytes: &[u8], expected: GroupVersionKind<'_>) -> Result<Decoded, Status> {
    let value = protobuf::decode(bytes, Some(expected), &Limits::default()).map_err(|error| match error {
        protobuf::Error::TooLarge { limit } => Status::too_large(limit),
        error => Status::bad_request(format!("the object provided is unrecognized: {error}")),
    })?;
    Ok(Decoded { value, duplicates: Vec::new() })
}

/// Checks that an object is of the kind that the URL speaks of; fills in what is missing.
pub(crate) fn expect_kind(object: &mut Value, expected: GroupVersionKind<'_>) -> Result<(), Status> {
    let Some(fields) = object.as_object_mut() else {
        return Err(Status::bad_request("the object provided is unrecognized: it is not a JSON object"));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let expected_version = expected.api_version();
    if !kind.is_empty() && kind != expected.kind {
        let text = format!(
            "{kind} in version \"{}\" cannot be handled as a {}: no kind \"{kind}\" is registered for this resource",
            GroupVersionKind::from_api_version(api_version, kind).version,
            expected.kind
        );
        return Err(Status::bad_request(text));
    }
    if !api_version.is_empty() && api_version != expected_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected_version})"
        )));
    }
    fields.insert("apiVersion".into(), expected_version.into());
    fields.insert("kind".into(), expected.kind.into());
    match fields.get("metadata") {
        None | Some(Value::Null) => {
            fields.insert("metadata".into(), Value::Object(serde_json::Map::new()));
            Ok(())
        }
        Some(Value::Object(_)) => Ok(()),
        Some(_) => Err(Status::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal into Go struct field {}.metadata of type v1.ObjectMeta",
            expected.kind, expected.version, expected.kind, expected.kind
        ))),
    }
}
