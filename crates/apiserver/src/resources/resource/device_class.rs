//! Classes of devices.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::device_claim::MOST;
use crate::resources::at::{At, Errors};
use crate::resources::core::resource_name::is_extended;
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, NameRule, Strategy};

/// The strategy of device classes.
pub(crate) struct DeviceClass;

const COLUMNS: &[Column] = &[NAME, AGE];

impl Strategy for DeviceClass {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.device_selectors(&at.child("selectors"), &spec["selectors"]);
        errors.each(&at.child("config"), &spec["config"], MOST, |config, at, errors| {
            errors.device_configuration(at, config);
        });
        let is_resource =
            |name: &str| is_extended(name) && validation::is_qualified_name(&format!("requests.{name}")).is_empty();
        if let Some(name) = spec["extendedResourceName"].as_str().filter(|name| !is_resource(name)) {
            errors.invalid(&at.child("extendedResourceName"), name, "must be a valid extended resource name");
        }
        errors.0
    }

    fn name_rule(&self) -> NameRule {
        NameRule::MadeDnsSubdomain
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), print::age(object, now)]
    }
}
