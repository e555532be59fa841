//! Attachments of volumes to nodes.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::csi_driver;
use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{is_set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of volume attachments.
pub(crate) struct VolumeAttachment;

const COLUMNS: &[Column] =
    &[NAME, Column::string("Attacher"), Column::string("PV"), Column::string("Node"), Column::boolean("Attached"), AGE];

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
                let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
                errors.invalid(&source, spec["source"].clone(), detail);
            }
            (true, false) => {
                let at = source.child("persistentVolumeName");
                if is_set(volume) {
                    errors.obeys(&at, text(volume), validation::is_dns1123_subdomain);
                } else {
                    errors.required(&at, "");
                }
            }
            (false, true) => {}
        }
        errors.obeys(&at.child("nodeName"), text(&spec["nodeName"]), validation::is_dns1123_subdomain);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if new["spec"] != old["spec"] {
            errors.invalid(&At::root("spec"), new["spec"].clone(), IMMUTABLE);
        }
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
