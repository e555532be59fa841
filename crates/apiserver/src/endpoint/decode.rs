//! From the body of a request to an object of the expected kind.

use http::header;
use portolan_api::decode;
use portolan_api::description::{GroupVersionKind, Schema};
use portolan_api::{custom, field, schema};
use portolan_base::go;
use serde_json::Value;

use super::Call;
use super::bodies::unrecognized;
use super::kinds::{self, Expected, Misfit, Origin};
use super::owner_references::{Noticed, drop_doubles};
use crate::body::{self, Body};
use crate::status::Status;

/// An object as a client sent it, checked against the schema of its kind.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// A body in JSON.
#[derive(Clone, Copy)]
struct Json<'a> {
    text: &'a [u8],
    /// Whether a number in it is out of all range.
    is_clipped: bool,
}

/// What happens to fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl Call<'_> {
    /// Media type of the request's body, without parameters.
    pub(crate) fn content_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match value.split(';').next().unwrap_or_default().trim() {
            // Parameters of nothing: no type that is known, and not the absence of one.
            "" => value.trim(),
            media_type => media_type,
        }
    }

    /// Reads the object that a create or update brings.
    pub(crate) async fn input(&self, body: Body) -> Result<Input, Status> {
        let kind = self.body_kind();
        let bytes = body::read(body).await?;
        let decoded = self.decoded(&bytes, kind)?;
        let mut object = decoded.value;
        if self.is_of_users(kind) {
            self.expect_own_version(&mut object, &bytes)?;
            if decoded.is_clipped {
                return Err(out_of_range(&object, &bytes, kind));
            }
        } else {
            self.expect_sent(&mut object, kind, &bytes)?;
        }
        let is_json = matches!(self.content_type(), "" | "application/json");
        if self.server.auditor.is_some() {
            self.notes.came(&object);
        }
        let json = is_json.then_some(Json { text: &bytes, is_clipped: decoded.is_clipped });
        let mut warnings = self.check_body(&mut object, kind, decoded.duplicates, json)?;
        warnings.extend(drop_doubles(&mut object, Noticed::AsSent));
        if let Some(why) = self.strategy.unreadable(&object).filter(|_| kind == self.kind()) {
            let GroupVersionKind { version, kind, .. } = kind;
            return Err(Status::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
            )));
        }
        Ok(Input { object, warnings })
    }

    /// Checks that a body is of the kind that the URL speaks of; fills in what is missing.
    fn expect_sent(&self, object: &mut Value, kind: GroupVersionKind<'_>, bytes: &[u8]) -> Result<(), Status> {
        let expected = Expected { kind, origin: Origin::Body };
        let as_it_came = || String::from_utf8_lossy(bytes).into_owned();
        kinds::expect(object, &expected, as_it_came).map_err(|misfit| match misfit {
            Misfit::Untold(why) => unrecognized(bytes, kind, &why),
            Misfit::Other { version, kind: found, why } => Status::bad_request(format!(
                "{found} in version {} cannot be handled as a {}: {why}",
                go::quote(&version),
                kind.kind
            )),
            Misfit::Internal { .. } => wrong_version(&format!("{}/__internal", kind.group), kind),
            Misfit::Version(found) => wrong_version(&found, kind),
        })
    }

    /// Holds an object against its schema; returns warnings, or refuses as `fieldValidation` says. Problems of a body in
    /// JSON are told in its order.
    fn check_body(
        &self,
        object: &mut Value,
        kind: GroupVersionKind<'_>,
        duplicates: Vec<String>,
        json: Option<Json<'_>>,
    ) -> Result<Vec<String>, Status> {
        let validation = self.field_validation()?;
        let Some(mut findings) = self.findings(object, kind) else { return Ok(Vec::new()) };
        if let (Some(json), Some(place), false) = (json, self.schema_of(kind), self.is_of_users(kind))
            && (json.is_clipped || findings.wrong_type.is_some())
            && let Some(problem) = schema::first_misfit(json.text, place)
        {
            findings.wrong_type = Some(problem);
        }
        if let Some(refusal) = findings.refusal(kind) {
            return Err(Status::bad_request(refusal));
        }
        let to_prune = findings.to_prune;
        let is_custom = self.is_of_users(kind);
        let unknown = findings.unknown;
        let is_fine = duplicates.is_empty() && unknown.is_empty();
        let problems = match (json, self.schema_of(kind)) {
            (Some(json), Some(place)) if !is_fine || is_custom => {
                let mut problems = schema::strict_problems(json.text, place);
                if is_custom {
                    // What a user defined is read in two steps upstream too: duplicates come first.
                    problems.retain(|problem| problem.starts_with("duplicate field "));
                    problems.extend(unknown);
                }
                problems
            }
            _ => [duplicates, unknown].concat(),
        };
        if validation == FieldValidation::Strict
            && let Some(text) = schema::strict_decoding_error(&problems)
        {
            let GroupVersionKind { version, kind, .. } = kind;
            let kind = object["kind"].as_str().filter(|_| is_custom).unwrap_or(kind);
            let text = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {text}");
            return Err(Status::bad_request(text));
        }
        if to_prune {
            self.prune(object, kind);
        }
        Ok(if validation == FieldValidation::Warn { problems } else { Vec::new() })
    }

    /// What an object has that its kind lacks, and values of a wrong type. `None` if its kind has no schema.
    ///
    /// An object that a user defined is pruned for this; its values, but for the metadata, are held against its schema
    /// later, when defaults are in place.
    pub(crate) fn findings(&self, object: &mut Value, kind: GroupVersionKind<'_>) -> Option<schema::Findings> {
        match self.resource.custom.as_ref().filter(|_| kind == self.kind()) {
            Some(version) => {
                let custom::Pruned { unknown, wrong_metadata } = custom::prune(object, version.root());
                let unknown = unknown.into_iter().map(|path| format!("unknown field \"{path}\"")).collect();
                Some(schema::Findings { unknown, wrong_type: wrong_metadata, to_prune: false })
            }
            None => self.schema_of(kind).map(|place| schema::check_at(object, place)),
        }
    }

    /// Drops what the kind of an object lacks, whoever put it there.
    ///
    /// # Errors
    /// A value is of a wrong type, in a decoder's words.
    pub(crate) fn take_over(&self, object: &mut Value, kind: GroupVersionKind<'_>) -> Result<(), String> {
        let Some(findings) = self.findings(object, kind) else { return Ok(()) };
        if let Some(problem) = findings.wrong_type {
            return Err(problem);
        }
        if findings.to_prune {
            self.prune(object, kind);
        }
        Ok(())
    }

    /// Drops what [`Call::findings`] found unknown, and gives values their one form.
    pub(super) fn prune(&self, object: &mut Value, kind: GroupVersionKind<'_>) {
        if self.is_of_users(kind) {
            return;
        }
        let Some(place) = self.schema_of(kind) else { return };
        let emptied = schema::prune(object, place);
        if kind == self.kind() && !emptied.is_empty() {
            self.notes.came_empty(emptied);
        }
    }

    /// Fills in what objects of this kind always have.
    pub(crate) fn fill(&self, object: &mut Value) {
        self.built_in_schema().into_iter().for_each(|place| schema::fill(object, place));
    }

    /// Fills in the status, if objects of this kind always have one.
    pub(crate) fn fill_status(&self, object: &mut Value) {
        self.built_in_schema().into_iter().for_each(|place| schema::fill_status(object, place));
    }

    /// Brings an object that was found right into the form in which it is stored.
    pub(super) fn drop_empty_lists(&self, object: &mut Value) {
        self.built_in_schema().into_iter().for_each(|place| schema::drop_empty_lists(object, place));
    }

    fn built_in_schema(&self) -> Option<Schema<'_>> {
        if self.resource.custom.is_some() { None } else { self.resource.schema() }
    }

    /// What `check` found wrong with an object, in its words about the object as it came: with the empty lists and
    /// maps that are not kept.
    ///
    /// Rules know no difference between nothing and an empty list. Where one does after all, `errors` stay.
    pub(super) fn worded_as_it_came(
        &self,
        errors: Vec<field::Error>,
        object: &Value,
        check: impl FnOnce(&Value) -> Vec<field::Error>,
    ) -> Vec<field::Error> {
        if errors.is_empty() {
            return errors;
        }
        let Some(whole) = self.notes.as_it_came(object) else { return errors };
        let told = check(&whole);
        let is_same = |(told, error): (&field::Error, &field::Error)| {
            told.path == error.path && told.error_type == error.error_type
        };
        if told.len() == errors.len() && told.iter().zip(&errors).all(is_same) { told } else { errors }
    }

    pub(super) fn field_validation(&self) -> Result<FieldValidation, Status> {
        match self.query.get("fieldValidation") {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Ignore" => Ok(FieldValidation::Ignore),
            "Strict" => Ok(FieldValidation::Strict),
            other => Err(Status::new(
                422,
                "Invalid",
                format!(
                    "fieldValidation: Unsupported value: {}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
                    go::quote(other)
                ),
            )),
        }
    }
}

/// Refuses an object of a user's kind in which a number is out of all range.
fn out_of_range(object: &Value, bytes: &[u8], expected: GroupVersionKind<'_>) -> Status {
    let GroupVersionKind { version, kind: expected, .. } = expected;
    let kind = object["kind"].as_str().unwrap_or(expected);
    let number = decode::number_out_of_range(bytes).unwrap_or_default();
    Status::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {expected}: json: cannot unmarshal number {number} into \
         Go value of type float64"
    ))
}

pub(super) fn wrong_version(found: &str, expected: GroupVersionKind<'_>) -> Status {
    let expected = expected.api_version();
    Status::bad_request(format!(
        "the API version in the data ({found}) does not match the expected API version ({expected})"
    ))
}

/// Checks that an object is of the kind that the URL speaks of; fills in what is missing.
pub(crate) fn expect_kind(object: &mut Value, expected: GroupVersionKind<'_>) -> Result<(), Status> {
    let Some(fields) = object.as_object() else {
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
        return Err(wrong_version(api_version, expected));
    }
    // Metadata of a wrong type is refused with all else that is.
    kinds::name(object, expected);
    Ok(())
}
