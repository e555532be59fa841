//! Patching an object.

use http::Response;
use portolan_api::{apply, patch};
use serde_json::Value;

use super::decode::{expect_kind, parse};
use super::update::Changed;
use super::{Call, metadata};
use crate::body::{self, Body};
use crate::negotiate::View;
use crate::request::Info;
use crate::status::Status;
use crate::{authorization, respond};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

impl Call<'_> {
    pub(crate) async fn patch(&self, body: Body) -> Result<Response<Body>, Status> {
        let view = self.view()?;
        let dry_run = self.is_dry_run()?;
        let content_type = self.content_type().to_owned();
        let supported = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH];
        if !supported.contains(&content_type.as_str()) {
            return Err(Status::unsupported_media_type(&content_type, &supported));
        }
        let bytes = body::read(body).await?;
        let mut warnings = Vec::new();
        if content_type == APPLY_PATCH {
            return self.apply_patch(view, dry_run, &bytes).await;
        }
        let patch = parse(&bytes, false)?.value;
        let written = self
            .change(dry_run, &mut warnings, |old, warnings| {
                self.patched(&content_type, &patch, old, warnings).map(Changed::from)
            })
            .await?;
        let mut response = self.present(200, view, &written.stored, written.revision)?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    /// `old` with a patch applied and checked.
    pub(crate) fn patched(
        &self,
        content_type: &str,
        patch: &Value,
        old: &Value,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Status> {
        let kind = self.body_kind();
        let mut new = old.clone();
        match content_type {
            JSON_PATCH => patch::json::apply(&mut new, patch).map_err(|error| self.patch_error(error))?,
            MERGE_PATCH => patch::merge::apply(&mut new, patch),
            _ => {
                let schema = self
                    .schema_of(kind)
                    .filter(|_| self.resource.custom.is_none() || kind != self.kind())
                    .ok_or_else(|| Status::unsupported_media_type(content_type, &[JSON_PATCH, MERGE_PATCH]))?;
                patch::strategic::apply(&mut new, patch, schema).map_err(|error| self.patch_error(error))?;
            }
        }
        expect_kind(&mut new, kind)?;
        warnings.extend(self.check(&mut new, kind, Vec::new())?);
        Ok(new)
    }

    /// Server-side apply: creates the object or merges into it, by field ownership.
    async fn apply_patch(&self, view: View, dry_run: bool, bytes: &[u8]) -> Result<Response<Body>, Status> {
        let manager = self.query.get("fieldManager");
        if manager.is_empty() {
            let text =
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
            return Err(Status::new(422, "Invalid", text));
        }
        let decoded = parse(bytes, true)?;
        let kind = self.kind();
        let mut applied = decoded.value;
        expect_kind(&mut applied, kind)?;
        let mut warnings = self.check(&mut applied, kind, decoded.duplicates)?;
        let given = metadata::text(&applied, "name");
        if !given.is_empty() && given != self.info.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({})",
                self.info.name
            )));
        }
        let exists = self.find(&self.info.name).await?.is_some();
        if !exists && self.info.subresource.is_empty() {
            let info = Info { verb: "create", ..self.info.clone() };
            authorization::authorize(self.server, self.user, &info).await?;
            let mut object = self.applied(None, &applied)?;
            metadata::of(&mut object).insert("name".into(), self.info.name.as_str().into());
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
        let written = self
            .change(dry_run, &mut warnings, |old, _| {
                let object = self.applied(Some(old), &applied)?;
                Ok(Changed { object, tracked: true })
            })
            .await?;
        let mut response = self.present(200, view, &written.stored, written.revision)?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    fn applied(&self, live: Option<&Value>, applied: &Value) -> Result<Value, Status> {
        let kind = self.kind();
        let schema = self
            .schema_of(kind)
            .ok_or_else(|| Status::unsupported_media_type(APPLY_PATCH, &[JSON_PATCH, MERGE_PATCH]))?;
        let api_version = kind.api_version();
        let manager = apply::Manager {
            name: self.query.get("fieldManager"),
            api_version: &api_version,
            subresource: &self.info.subresource,
            now: self.now,
        };
        let force = if self.query.is_true("force") { apply::Force::Yes } else { apply::Force::No };
        apply::apply(live, applied, schema, &manager, force).map_err(|error| match error {
            apply::Error::Invalid(text) => Status::bad_request(text),
            apply::Error::Conflicts(conflicts) => {
                let causes = conflicts.0.iter().map(|it| (it.field.clone(), it.message())).collect();
                Status::apply_conflict(conflicts.to_string(), causes)
            }
        })
    }

    fn patch_error(&self, error: patch::Error) -> Status {
        match error {
            patch::Error::Malformed(text) => Status::bad_request(text),
            patch::Error::TooManyOperations { .. } => Status::new(413, "RequestEntityTooLarge", error.to_string()),
            patch::Error::Failed(text) => {
                let message = format!("the server rejected our request due to an error in our request: {text}");
                // Without details: clients would print those and leave the text out.
                Status::new(422, "Invalid", message)
            }
        }
    }
}
