//! Patching an object.

use bytes::Bytes;
use http::Response;
use portolan_api::apply::{self, Manifest, Part};
use portolan_api::decode::{self, Decoded, Limits};
use portolan_api::field::{self, Path};
use portolan_api::{custom, go_text, patch, schema};
use serde_json::Value;

use super::decode::FieldValidation;
use super::patched::invalid_patch;
use super::update::{Changed, Managers, Old};
use super::{Call, kinds, metadata};
use crate::body::{self, Body};
use crate::negotiate::View;
use crate::request::Info;
use crate::status::Status;
use crate::{authorization, respond};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Group and kind of the parameters of a patch.
const OPTIONS: (&str, &str) = ("meta.k8s.io", "PatchOptions");

/// A patch as it was sent.
pub(crate) enum Patch {
    /// One that changes what is there.
    Change(Change),
    /// Server-side apply.
    Apply(Applied),
}

/// What is applied, as it came.
pub(crate) struct Applied(Bytes);

impl Applied {
    /// As it reads.
    pub(crate) fn decoded(&self) -> Result<Decoded, Status> {
        let begin = format!("{YAML}{CONVERTING}");
        decode::yaml(&self.0, &Limits::default()).map_err(|error| undecodable(&error, &begin))
    }
}

/// A patch that changes what is there.
pub(crate) struct Change {
    kind: Kind,
    patch: Value,
    /// Fields that it has twice, or that no operation has.
    problems: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
}

/// How a refusal of an apply that cannot be read begins.
const YAML: &str = "error decoding YAML: ";

/// How what is said of YAML begins where it is a matter of YAML.
const CONVERTING: &str = "error converting YAML to JSON: ";

impl Kind {
    /// How a refusal of a patch that cannot be read begins.
    fn refusal(self) -> &'static str {
        match self {
            Self::Json | Self::Merge => "error decoding patch: ",
            Self::Strategic => "",
        }
    }
}

/// What an apply is made to.
#[derive(Clone, Copy)]
struct Live {
    /// Whether it was there when it was looked for.
    exists: bool,
    managers: Managers,
}

impl Change {
    fn read(kind: Kind, bytes: &[u8]) -> Result<Self, Status> {
        let decoded = decode::json(bytes, &Limits::default());
        let Decoded { value: patch, duplicates, .. } = decoded.map_err(|error| undecodable(&error, kind.refusal()))?;
        let patch = match patch {
            Value::Object(_) => patch,
            _ if kind == Kind::Json => patch,
            Value::Null if kind == Kind::Strategic => Value::Object(serde_json::Map::new()),
            Value::Null => return Err(Status::bad_request("Invalid JSON Patch")),
            other => return Err(Status::bad_request(format!("{}{}", kind.refusal(), not_a_map(&other)))),
        };
        let problems = match kind {
            Kind::Json => {
                let problems = duplicates.into_iter().chain(patch::json::unknown_fields(&patch));
                problems.map(|text| format!("json patch {text}")).collect()
            }
            Kind::Merge | Kind::Strategic => duplicates,
        };
        Ok(Self { kind, patch, problems })
    }
}

impl Call<'_> {
    /// Reads a patch.
    pub(crate) async fn read_patch(&self, body: Body) -> Result<Patch, Status> {
        let content_type = self.content_type().to_owned();
        let kind = match content_type.as_str() {
            JSON_PATCH => Some(Kind::Json),
            MERGE_PATCH => Some(Kind::Merge),
            STRATEGIC_PATCH => Some(Kind::Strategic),
            APPLY_PATCH => None,
            _ => return Err(self.unsupported_patch()),
        };
        if kind == Some(Kind::Strategic) && self.resource.custom.is_some() {
            return Err(self.unsupported_patch());
        }
        self.check_patch_options(kind.is_none())?;
        let bytes = body::read(body).await?;
        let Some(kind) = kind else { return Ok(Patch::Apply(Applied(bytes))) };
        match Change::read(kind, &bytes) {
            Ok(change) => Ok(Patch::Change(change)),
            Err(why) if self.info.name.is_empty() => Err(why),
            // Upstream reads a patch once it has what is to be patched.
            Err(why) => Err(self.entry(&self.info.name).await.err().unwrap_or(why)),
        }
    }

    /// 415 for a patch of a form that objects of this kind do not take.
    fn unsupported_patch(&self) -> Status {
        if self.resource.custom.is_none() {
            // Of what is built in, upstream's router says it, before anybody looks at the request.
            return Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with_details();
        }
        Status::unsupported_media_type(self.content_type(), &[JSON_PATCH, MERGE_PATCH, APPLY_PATCH])
    }

    fn check_patch_options(&self, is_apply: bool) -> Result<(), Status> {
        let mut problems = Vec::new();
        if is_apply && self.query.get("fieldManager").is_empty() {
            problems.push(field::Error::required(&Path::new("fieldManager"), "is required for apply patch"));
        }
        if !is_apply && !self.query.get("force").is_empty() {
            problems.push(field::Error::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
        if problems.is_empty() {
            return self.manager().map(drop);
        }
        let (group, kind) = OPTIONS;
        Err(Status::invalid(group, kind, "", &problems))
    }

    pub(crate) async fn patch(&self, body: Body) -> Result<Response<Body>, Status> {
        let view = self.view()?;
        let dry_run = self.is_dry_run()?;
        match self.read_patch(body).await? {
            Patch::Change(change) => Box::pin(self.change_patch(view, dry_run, change)).await,
            Patch::Apply(applied) => self.apply_patch(view, dry_run, applied).await,
        }
    }

    /// Changes what is there.
    async fn change_patch(&self, view: View, dry_run: bool, change: Change) -> Result<Response<Body>, Status> {
        let mut warnings = Vec::new();
        // A list of operations may look at any place; the other patches set `managedFields` as a whole or not at all.
        let managers = if change.kind == Kind::Json { Managers::Inside } else { self.managers_stand().await? };
        let patched =
            |old: &Old, warnings: &mut Vec<String>| self.patched(&change, &old.object, warnings).map(Changed::from);
        let written = self.change_with(managers, dry_run, &mut warnings, patched).await?;
        let mut response = self.present(200, view, &written.stored, written.revision)?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    /// `old` with a patch applied and checked.
    pub(crate) fn patched(&self, change: &Change, old: &Value, warnings: &mut Vec<String>) -> Result<Value, Status> {
        let Change { kind: patch_kind, patch, problems } = change;
        let kind = self.body_kind();
        let mut new = old.clone();
        match patch_kind {
            Kind::Json => patch::json::apply(&mut new, patch).map_err(|error| match error {
                patch::Error::Malformed(why) => Status::bad_request(format!("{}{why}", patch_kind.refusal())),
                error => self.patch_error(error),
            })?,
            Kind::Merge => patch::merge::apply(&mut new, patch),
            Kind::Strategic => {
                let schema = self.schema_of(kind).ok_or_else(|| self.unsupported_patch())?;
                patch::strategic::apply(&mut new, patch, schema).map_err(|error| self.patch_error(error))?;
            }
        }
        match patch_kind {
            _ if self.is_of_users(kind) => {
                if let Some(problem) = self.unreadable_patched(&mut new) {
                    return Err(invalid_patch(&new.to_string(), &problem));
                }
            }
            Kind::Json | Kind::Merge => self.expect_patched(&mut new, kind, problems)?,
            // Upstream's types take over what it is called, and are converted as what they are.
            Kind::Strategic => {
                let converted = self.schema_of(kind).map_or(Ok(()), |place| schema::convert(&mut new, place));
                converted.map_err(|problem| invalid_patch(&go_text(patch), &problem))?;
                kinds::name(&mut new, kind);
            }
        }
        let Some(mut findings) = self.findings(&mut new, kind) else { return Ok(new) };
        let shown = || if *patch_kind == Kind::Strategic { go_text(patch) } else { new.to_string() };
        if let Some(problem) = findings.wrong_type {
            return Err(invalid_patch(&shown(), &problem));
        }
        if *patch_kind == Kind::Strategic {
            findings.unknown.sort();
        }
        let mut problems = problems.clone();
        problems.extend(findings.unknown);
        match self.field_validation()? {
            FieldValidation::Strict => {
                if let Some(text) = schema::strict_decoding_error(&problems) {
                    return Err(invalid_patch(&shown(), &text));
                }
            }
            FieldValidation::Warn => warnings.append(&mut problems),
            FieldValidation::Ignore => {}
        }
        self.prune(&mut new, kind);
        if metadata::text(&new, "name").is_empty() {
            return Err(self.unnamed_object());
        }
        if self.is_of_users(kind) && new["apiVersion"].as_str().is_none_or(str::is_empty) {
            return Err(Status::internal("Object 'apiVersion' is missing in 'object has no apiVersion field'"));
        }
        Ok(new)
    }

    /// Server-side apply: creates the object or merges into it, by field ownership.
    async fn apply_patch(&self, view: View, dry_run: bool, body: Applied) -> Result<Response<Body>, Status> {
        let manifest = Manifest::read(&body.0, &Limits::default());
        let decoded = match &manifest {
            Some(manifest) => {
                let text = |path: &[&str]| manifest.at(path).and_then(Part::as_text).unwrap_or_default();
                self.expect_target(text(&["apiVersion"]), text(&["kind"]), text(&["metadata", "name"]))?;
                None
            }
            None => {
                let decoded = body.decoded()?;
                self.expect_applied(&decoded.value)?;
                Some(decoded)
            }
        };
        let entry = self.find(&self.info.name).await?;
        let stand = self.managers_stand().await?;
        if let (Some(entry), Some(manifest)) = (&entry, manifest)
            && let Some(found) = self.found_in_place(entry, manifest)
        {
            let mut warnings = Vec::new();
            if let Some(written) = self.write_in_place(entry, &found, stand, dry_run, &mut warnings).await? {
                let mut response = self.present(200, view, &written.stored, written.revision)?;
                respond::add_warnings(&mut response, &warnings);
                return Ok(response);
            }
        }
        let decoded = decoded.map_or_else(|| body.decoded(), Ok)?;
        let live = Live { exists: entry.is_some(), managers: stand };
        // Boxed: most applies do without, and need not make room for it.
        Box::pin(self.apply_whole(view, dry_run, decoded, live)).await
    }

    /// The same with the object decoded, or made.
    async fn apply_whole(
        &self,
        view: View,
        dry_run: bool,
        decoded: Decoded,
        live: Live,
    ) -> Result<Response<Body>, Status> {
        let Decoded { value: applied, duplicates, .. } = decoded;
        if !live.exists && self.info.subresource.is_empty() {
            let info = Info { verb: "create", ..self.info.clone() };
            let uid = metadata::text(&applied, "uid");
            if !uid.is_empty() {
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(Status::conflict(&self.target(), &self.info.name, &why));
            }
            let object = self.applied(None, &applied)?;
            let mut warnings = self.applied_duplicates(duplicates.clone())?;
            if metadata::text(&object, "name").is_empty() {
                return Err(self.unnamed_object());
            }
            authorization::authorize(self.server, self.user, &info).await?;
            let create = self.on(self.resource, &info);
            let outcome = create.create_applied(object, dry_run, &mut warnings).await;
            match outcome {
                Ok(written) => {
                    let mut response = self.present(201, view, &written.stored, written.revision)?;
                    respond::add_warnings(&mut response, &warnings);
                    return Ok(response);
                }
                // Somebody created it meanwhile: merge into that.
                Err(status) if status.reason() == "AlreadyExists" => {}
                Err(status) => return Err(status),
            }
        }
        let mut warnings = Vec::new();
        let written = self
            .change_with(live.managers, dry_run, &mut warnings, |old, warnings| {
                let (object, managers) = match live.managers {
                    Managers::Inside => (self.applied(Some(&old.object), &applied)?, None),
                    Managers::Apart => self.applied_apart(old, &applied)?,
                };
                warnings.append(&mut self.applied_duplicates(duplicates.clone())?);
                Ok(Changed { object, tracked: true, managers })
            })
            .await?;
        let mut response = self.present(200, view, &written.stored, written.revision)?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    /// Checks that an applied object is what the URL speaks of.
    pub(crate) fn expect_applied(&self, applied: &Value) -> Result<(), Status> {
        if !matches!(applied, Value::Object(_) | Value::Null) {
            let why = not_a_map(applied);
            return Err(Status::bad_request(format!("{YAML}error unmarshaling JSON: while decoding JSON: {why}")));
        }
        let text = |name: &str| applied.get(name).and_then(Value::as_str).unwrap_or_default();
        self.expect_target(text("apiVersion"), text("kind"), metadata::text(applied, "name"))
    }

    /// Checks that this is what the URL speaks of.
    fn expect_target(&self, version: &str, kind: &str, name: &str) -> Result<(), Status> {
        let expected = self.body_kind();
        if version != expected.api_version() || kind != expected.kind {
            let version = if version.contains('/') { version.to_owned() } else { format!("/{version}") };
            return Err(Status::bad_request(format!("invalid object type: {version}, Kind={kind}")));
        }
        self.expect_given_name(name)
    }

    /// What is said of fields that an applied object names twice.
    fn applied_duplicates(&self, duplicates: Vec<String>) -> Result<Vec<String>, Status> {
        if duplicates.is_empty() {
            return Ok(Vec::new());
        }
        match self.field_validation()? {
            FieldValidation::Strict => Err(Status::bad_request(format!(
                "error strict decoding YAML: {CONVERTING}yaml: unmarshal errors:\n  {}",
                duplicates.join("\n  ")
            ))),
            FieldValidation::Warn => Ok(duplicates),
            FieldValidation::Ignore => Ok(Vec::new()),
        }
    }

    fn applied(&self, live: Option<&Value>, applied: &Value) -> Result<Value, Status> {
        let mut object = self.merged(|kind, manager| apply::apply(live, applied, kind, manager, self.force()))?;
        self.settle(&mut object, applied)?;
        Ok(object)
    }

    /// The same for an object whose managers stand beside it; returns the new ones too.
    fn applied_apart(&self, live: &Old, applied: &Value) -> Result<(Value, Option<Vec<u8>>), Status> {
        let live = apply::Apart { object: &live.object, managers: &live.managers };
        let (mut object, managers) =
            self.merged(|kind, manager| apply::apply_apart(Some(live), applied, kind, manager, self.force()))?;
        self.settle(&mut object, applied)?;
        Ok((object, managers))
    }

    fn merged<T>(
        &self,
        merge: impl FnOnce(&apply::Kind<'_>, &apply::Manager<'_>) -> Result<T, apply::Error>,
    ) -> Result<T, Status> {
        let merged = self.with_owners(self.query.get("fieldManager"), merge);
        merged.ok_or_else(|| self.unsupported_patch())?.map_err(apply_error)
    }

    /// Holds the result of an apply against its schema.
    fn settle(&self, object: &mut Value, applied: &Value) -> Result<(), Status> {
        if let Some(definition) = &self.resource.custom {
            custom::prune(object, definition.root());
        } else if let Some(place) = self.resource.schema() {
            schema::convert(object, place).map_err(|problem| Status::unnamed(apply::unconverted(applied, &problem)))?;
            if schema::check_at(object, place).to_prune {
                self.prune(object, self.kind());
            }
        }
        Ok(())
    }

    /// Whether an apply takes over what others own.
    pub(crate) fn force(&self) -> apply::Force {
        if self.query.is_true("force") { apply::Force::Yes } else { apply::Force::No }
    }

    fn patch_error(&self, error: patch::Error) -> Status {
        match error {
            patch::Error::Malformed(text) => Status::bad_request(text),
            patch::Error::TooManyOperations { .. } => Status::new(413, "RequestEntityTooLarge", error.to_string()),
            patch::Error::Unexpected(text) => Status::unnamed(text),
            patch::Error::Failed(text) => {
                // Upstream's answer does not say which operation it was.
                tracing::debug!(text, "a patch does not fit");
                Status::new(422, "Invalid", "the server rejected our request due to an error in our request")
                    .with_details()
            }
        }
    }
}

/// Refuses a body that cannot be read.
fn undecodable(error: &decode::Error, begin: &str) -> Status {
    match error {
        decode::Error::TooLarge { limit } => Status::too_large(*limit),
        error => Status::bad_request(format!("{begin}{error}")),
    }
}

/// What a decoder says of a value that is no object.
fn not_a_map(value: &Value) -> String {
    let found = decode::type_of(value);
    format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
}

/// Why an apply was refused.
pub(crate) fn apply_error(error: apply::Error) -> Status {
    match error {
        apply::Error::BadRequest(text) => Status::bad_request(text),
        apply::Error::Untyped(text) => Status::unnamed(text),
        apply::Error::Conflicts(conflicts) => {
            let causes = conflicts.0.iter().map(|it| (it.field.clone(), it.message())).collect();
            Status::apply_conflict(conflicts.to_string(), causes)
        }
    }
}
