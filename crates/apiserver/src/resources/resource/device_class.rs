//! Classes of devices.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use super::device_claim::{validate_configuration, validate_selectors};
use crate::resources::at::{At, Errors};
use crate::resources::json::items;
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of device classes.
pub(crate) struct DeviceClass;

const COLUMNS: &[Column] = &[NAME, AGE];

impl Strategy for DeviceClass {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        validate_selectors(&spec["selectors"], &at, &mut errors);
        let list = at.child("config");
        for (index, config) in items(&spec["config"]).iter().enumerate() {
            validate_configuration(config, &list.index(index), &mut errors);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), print::age(object, now)]
    }
}
