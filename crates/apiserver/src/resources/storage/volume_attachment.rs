//! Attachments of volumes to nodes.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::csi_driver;
use crate::resources::at::{At, Errors};
use crate::resources::core::persistent_volume;
use crate::resources::json::{entries, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of volume attachments.
pub(crate) struct VolumeAttachment;

const COLUMNS: &[Column] = &[
    NAME,
    Column { format: "name", ..Column::string("Attacher") }.of("storage.VolumeAttachmentSpec", "attacher"),
    Column::string("PV").of("storage.VolumeAttachmentSource", "persistentVolumeName"),
    Column::string("Node").of("storage.VolumeAttachmentSpec", "nodeName"),
    Column::boolean("Attached").of("storage.VolumeAttachmentStatus", "attached"),
    AGE,
];

/// The longest of what drivers say of an attachment, and of what failed.
const LONGEST: usize = 256 * 1024;
const LONGEST_MESSAGE: usize = 1024;

impl Strategy for VolumeAttachment {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        csi_driver::validate_name(text(&spec["attacher"]), &at.child("attacher"), &mut errors);
        let source = at.child("source");
        let (inline, volume) = (&spec["source"]["inlineVolumeSpec"], &spec["source"]["persistentVolumeName"]);
        match (inline.is_null(), volume.is_null()) {
            (true, true) => {
                errors.required(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (false, false) => {
                errors.forbidden(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (true, false) if text(volume).is_empty() => {
                errors.required(&source.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
            }
            (true, false) => {}
            (false, true) => persistent_volume::validate_inline(inline, &source.child("inlineVolumeSpec"), &mut errors),
        }
        errors.obeys(&at.child("nodeName"), text(&spec["nodeName"]), validation::is_dns1123_subdomain);
        validate_status(&object["status"], &mut errors);
        if let Some(name) = volume.as_str() {
            errors.obeys(&source.child("persistentVolumeName"), name, validation::is_dns1123_subdomain);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.immutable_structure(&At::root("spec"), "VolumeAttachmentSpec", &new["spec"], &old["spec"]);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        vec![
            print::name(object),
            text(&spec["attacher"]).into(),
            text(&spec["source"]["persistentVolumeName"]).into(),
            text(&spec["nodeName"]).into(),
            (object["status"]["attached"] == true).into(),
            print::age(object, now),
        ]
    }
}

fn validate_status(status: &Value, errors: &mut Errors) {
    let at = At::root("status");
    let length: usize = entries(&status["attachmentMetadata"]).map(|(key, value)| key.len() + text(value).len()).sum();
    if length > LONGEST {
        errors.too_long(&at.child("attachmentMetadata"), LONGEST);
    }
    for field in ["attachError", "detachError"] {
        let (at, error) = (at.child(field), &status[field]);
        if text(&error["message"]).len() > LONGEST_MESSAGE {
            // Upstream tells of the other limit.
            errors.too_long(&at.child("message"), LONGEST);
        }
        errors.within(&at.child("errorCode"), &error["errorCode"], 0, i64::from(i32::MAX));
    }
}
