//! What a patch made: whether it is still what it was.

use portolan_api::description::GroupVersionKind;
use portolan_api::field::{self, Path};
use portolan_api::{conversion, schema};
use serde_json::Value;

use super::Call;
use super::decode::FieldValidation;
use super::kinds::{self, Expected, Misfit, Origin};
use crate::status::Status;

impl Call<'_> {
    /// Checks that a patched object is still of its kind, and brings it back from another version of it.
    pub(super) fn expect_patched(
        &self,
        object: &mut Value,
        kind: GroupVersionKind<'_>,
        problems: &[String],
    ) -> Result<(), Status> {
        let expected = Expected { kind, origin: Origin::Patch };
        let shown = object.to_string();
        let Err(misfit) = kinds::expect(object, &expected, || shown.clone()) else { return Ok(()) };
        match misfit {
            Misfit::Untold(why) | Misfit::Other { why, .. } => Err(invalid_patch(&shown, &why)),
            Misfit::Internal { unknown } => {
                let problems: Vec<String> = problems.iter().cloned().chain(unknown).collect();
                Err(match (self.field_validation()?, schema::strict_decoding_error(&problems)) {
                    (FieldValidation::Strict, Some(text)) => invalid_patch(&shown, &text),
                    (FieldValidation::Warn, _) => self.unnamed_object().warning(problems),
                    _ => self.unnamed_object(),
                })
            }
            Misfit::Version(found) => {
                let conversion = conversion::of(&self.resource.group, &self.resource.name);
                if let Some(conversion) = conversion.filter(|it| it.knows(&found)) {
                    conversion.convert(object, &kind.api_version());
                }
                kinds::name(object, kind);
                Ok(())
            }
        }
    }

    /// 400 for an object that has lost its name.
    pub(crate) fn unnamed_object(&self) -> Status {
        let name = &self.info.name;
        Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))
    }
}

/// 422 for an object that a patch made and that is none.
pub(super) fn invalid_patch(shown: &str, problem: &str) -> Status {
    let error = field::Error::invalid(&Path::new("patch"), shown, problem);
    Status::invalid("", "", "", &[error])
}
