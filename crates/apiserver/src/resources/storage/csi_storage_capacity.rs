//! How much storage of a class there is at a place.

use portolan_api::{field, validation};
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::persistent_volume_claim::quantity;
use crate::resources::json::text;
use crate::strategy::{Context, Strategy};

/// The strategy of CSI storage capacities.
pub(crate) struct CsiStorageCapacity;

impl Strategy for CsiStorageCapacity {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.label_selector(&At::root("nodeTopology"), &object["nodeTopology"]);
        let class = text(&object["storageClassName"]);
        errors.obeys(&At::root("storageClassName"), class, validation::is_dns1123_subdomain);
        if !object["capacity"].is_null() {
            errors.quantity(&At::root("capacity"), &object["capacity"]);
        }
        let largest = &object["maximumVolumeSize"];
        if !largest.is_null() && portolan_api::quantity::Quantity::parse(&quantity(largest)).is_err() {
            errors.quantity(&At::root("maximumVolumeSize"), largest);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.immutable_selector(&At::root("nodeTopology"), &new["nodeTopology"], &old["nodeTopology"]);
        let class = "storageClassName";
        errors.immutable_text(&At::root(class), &new[class], &old[class]);
        errors.0
    }
}
