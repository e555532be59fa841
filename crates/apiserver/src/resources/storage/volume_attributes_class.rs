//! Classes of volume attributes.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, is_set, same, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of volume attributes classes.
pub(crate) struct VolumeAttributesClass;

const COLUMNS: &[Column] = &[NAME, Column::string("DriverName").of("storage.VolumeAttributesClass", "driverName"), AGE];
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// Most parameters, and most bytes of them.
const PARAMETERS: (usize, usize) = (512, 256 * 1024);

impl Strategy for VolumeAttributesClass {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let driver = text(&object["driverName"]).to_lowercase();
        errors.required_name(&At::root("driverName"), &driver.into(), validation::is_qualified_name);
        let (at, parameters) = (At::root("parameters"), &object["parameters"]);
        if !is_set(parameters) {
            errors.required(&at, "must contain at least one key/value pair");
        }
        if entries(parameters).count() > PARAMETERS.0 {
            errors.too_many(&at, entries(parameters).count(), PARAMETERS.0);
        }
        let size: usize = entries(parameters).map(|(name, value)| name.len() + text(value).len()).sum();
        if entries(parameters).any(|(name, _)| name.is_empty()) {
            errors.invalid(&at, "", "field can not be empty.");
        }
        if size > PARAMETERS.1 {
            errors.too_long(&at, PARAMETERS.1);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        for field in ["driverName", "parameters"] {
            if !same(&new[field], &old[field]) {
                errors.forbidden(&At::root(field), format!("updates to {field} are forbidden."));
            }
        }
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
        vec![name.into(), text(&object["driverName"]).into(), print::age(object, now)]
    }
}
