//! What CSI drivers say of a node.

use std::collections::HashSet;

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::csi_driver;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of CSI nodes.
pub(crate) struct CsiNode;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Drivers").about("Drivers indicates the number of CSI drivers registered on the node"),
    AGE,
];
/// Longest id of a node.
const ID_LENGTH: usize = 256;

impl Strategy for CsiNode {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let spec = At::root("spec");
        let list = spec.child("drivers");
        let mut names = HashSet::new();
        for (index, driver) in items(&object["spec"]["drivers"]).iter().enumerate() {
            let at = list.index(index);
            let name = text(&driver["name"]);
            csi_driver::validate_name(name, &at.child("name"), &mut errors);
            let id = text(&driver["nodeID"]);
            if id.is_empty() {
                errors.required(&at.child("nodeID"), id);
            } else if id.len() > ID_LENGTH {
                errors.invalid(&at.child("nodeID"), id, format!("must be {ID_LENGTH} characters or less"));
            }
            let allocatable = at.child("allocatable");
            errors.not_negative(&allocatable.child("count"), &driver["allocatable"]["count"]);
            let mut keys = HashSet::new();
            // Upstream does not say that these are keys.
            for key in items(&driver["topologyKeys"]) {
                errors.present(&at, key);
                if !keys.insert(text(key)) {
                    errors.duplicate(&at, key.clone());
                }
                errors.obeys(&at, text(key), validation::is_qualified_name);
            }
            if !names.insert(name) {
                errors.duplicate(&at.child("name"), name);
            }
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, spec) = (Errors::default(), At::root("spec"));
        for before in items(&old["spec"]["drivers"]) {
            for after in items(&new["spec"]["drivers"]).iter().filter(|it| it["name"] == before["name"]) {
                let (after, before) = (without_limits(after), without_limits(before));
                errors.immutable_structure(&spec.child("drivers"), "CSINodeDriver", &after, &before);
            }
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), items(&object["spec"]["drivers"]).len().into(), print::age(object, now)]
    }
}

/// A driver without what may change.
fn without_limits(driver: &Value) -> Value {
    let mut driver = driver.clone();
    if let Some(fields) = driver.as_object_mut() {
        fields.remove("allocatable");
    }
    driver
}
