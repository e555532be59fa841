//! Storage classes.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of storage classes.
pub(crate) struct StorageClass;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Provisioner"),
    Column::string("ReclaimPolicy"),
    Column::string("VolumeBindingMode"),
    Column::string("AllowVolumeExpansion"),
    AGE,
];
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

impl Strategy for StorageClass {
    fn default(&self, object: &mut Value) {
        if let Some(class) = object.as_object_mut() {
            set(class, "reclaimPolicy", "Delete");
            set(class, "volumeBindingMode", "Immediate");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.present(&At::root("provisioner"), &object["provisioner"]);
        errors.one_of(&At::root("reclaimPolicy"), &object["reclaimPolicy"], &["Delete", "Retain"]);
        errors.one_of(
            &At::root("volumeBindingMode"),
            &object["volumeBindingMode"],
            &["Immediate", "WaitForFirstConsumer"],
        );
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        for (field, detail) in [
            ("parameters", "updates to parameters are forbidden."),
            ("provisioner", "updates to provisioner are forbidden."),
            ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
        ] {
            if !crate::resources::json::same(&new[field], &old[field]) {
                errors.forbidden(&At::root(field), detail);
            }
        }
        errors.immutable(&At::root("volumeBindingMode"), &new["volumeBindingMode"], &old["volumeBindingMode"]);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let mut name = text(&object["metadata"]["name"]).to_owned();
        if object["metadata"]["annotations"][DEFAULT] == "true" {
            name.push_str(" (default)");
        }
        vec![
            name.into(),
            text(&object["provisioner"]).into(),
            text(&object["reclaimPolicy"]).into(),
            text(&object["volumeBindingMode"]).into(),
            (if object["allowVolumeExpansion"] == true { "true" } else { "false" }).into(),
            print::age(object, now),
        ]
    }
}
