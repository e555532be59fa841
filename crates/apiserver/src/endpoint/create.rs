//! Creating an object.

use http::Response;
use portolan_api::custom;
use portolan_api::field::{self, Path};
use portolan_store::Revision;
use serde_json::Value;

use super::metadata;
use super::owner_references::{Noticed, drop_doubles};
use super::update::Managers;
use super::write::{Moved, Written};
use super::{Call, Input};
use crate::admission::{self, Attributes};
use crate::authorization::{devices, escalation};
use crate::body::Body;
use crate::resources::core::pod_template::drop_disabled_of;
use crate::status::Status;
use crate::{respond, storage};

/// Whether `managedFields` of a new object is filled in already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Recorded,
    Unrecorded,
}

impl Call<'_> {
    pub(super) async fn create(&self, body: Body) -> Result<Response<Body>, Status> {
        let view = self.view()?;
        let dry_run = self.is_dry_run()?;
        let Input { object, mut warnings } = self.input(body).await?;
        if self.resource.is_namespaced() && self.namespace().is_empty() {
            let error = field::Error::required(&Path::new("metadata").child("namespace"), "");
            return Err(self.invalid(&object, &[error]));
        }
        let outcome = self.create_object(object, dry_run, &mut warnings).await;
        let written = Status::warned(outcome, &warnings)?;
        let mut response = self.present(201, view, &written.stored, written.revision)?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    /// Creates an object: everything after it was read and checked against its schema.
    pub(crate) async fn create_object(
        &self,
        object: Value,
        dry_run: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Written, Status> {
        self.create_new(object, Owner::Unrecorded, dry_run, warnings).await
    }

    /// Creates an object that server-side apply made, with its owner recorded.
    pub(super) async fn create_applied(
        &self,
        object: Value,
        dry_run: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Written, Status> {
        self.create_new(object, Owner::Recorded, dry_run, warnings).await
    }

    async fn create_new(
        &self,
        mut object: Value,
        owner: Owner,
        dry_run: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Written, Status> {
        self.check_definition(metadata::text(&object, "name"))?;
        self.stamp_new(&mut object)?;
        self.strategy.default(&mut object);
        self.fill(&mut object);
        // Before admission: what the cluster adds belongs to nobody, so that an apply may leave it out.
        let managers = match owner {
            Owner::Unrecorded => {
                // Who is asked about the object sees who owns what.
                let asks = self.server.admission.asks_anyone().await?;
                self.track_new(&mut object, if asks { Managers::Inside } else { Managers::Apart })?
            }
            Owner::Recorded => None,
        };
        self.record_requester(&mut object);
        self.fill_status(&mut object);
        let mut attributes = Attributes::create(self, object, dry_run);
        admission::mutate(&mut attributes).await?;
        let version = self.identify(&mut attributes.new)?;
        let name = metadata::text(&attributes.new, "name").to_owned();
        if attributes.name.is_empty() {
            attributes.name.clone_from(&name);
        }
        warnings.extend(drop_doubles(&mut attributes.new, Noticed::AfterAdmission));
        escalation::check(self, &attributes.new, None).await?;
        let context = self.context();
        drop_disabled_of(&self.resource.group, &self.resource.name, &mut attributes.new);
        self.strategy.prepare_for_create(&mut attributes.new, &context);
        self.fill_status(&mut attributes.new);
        let reservation = self.reserve(&mut attributes.new, None).await?;
        let refused = devices::problems(self, &attributes.new, None).await?;
        self.validate_new(&attributes.new, &context, refused)?;
        admission::validate(&mut attributes).await?;
        warnings.extend(self.strategy.warnings(&attributes.new));
        warnings.append(&mut attributes.warnings);
        self.drop_empty_lists(&mut attributes.new);
        if self.resource.custom.is_some() {
            custom::tidy_numbers(&mut attributes.new);
        }
        let stored = storage::encode_managed(&attributes.new, managers.as_deref())?;
        // 0 and what is no number name no version.
        let version = version.and_then(|version| version.parse().ok()).map_or(Revision(0), Revision);
        if !dry_run && version != Revision(0) {
            return Err(Status::unnamed("resourceVersion should not be set on objects to be created"));
        }
        if dry_run {
            return match self.find(&name).await? {
                Some(_) => Err(Status::already_exists(&self.target(), &name)),
                // What is only tried does not come to the store, which alone minds.
                None => Ok(Written { stored: self.through_storage(stored).await?, revision: version }),
            };
        }
        match self.put(&name, stored.clone(), Revision(0), attributes.charge.take(), reservation).await? {
            Ok(revision) => Ok(Written { stored: self.through_storage(stored).await?, revision }),
            Err(Moved) => Err(Status::already_exists(&self.target(), &name)),
        }
    }

    /// `errors` are those known before.
    fn validate_new(
        &self,
        object: &Value,
        context: &crate::strategy::Context,
        mut errors: Vec<field::Error>,
    ) -> Result<(), Status> {
        self.expect_own_kind(object)?;
        let check = |object: &Value| {
            let mut errors = metadata::check_new(object, self.strategy.name_rule());
            errors.extend(self.strategy.validate(object, context));
            errors.extend(self.strategy.validate_create(object, context));
            errors
        };
        errors.extend(self.worded_as_it_came(check(object), object, check));
        if errors.is_empty() { Ok(()) } else { Err(self.invalid(object, &errors)) }
    }
}
