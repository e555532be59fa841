//! Controller revisions: the history of stateful and daemon sets.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{items, set, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of controller revisions.
pub(crate) struct ControllerRevision;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Controller").about("Controller of the object"),
    Column::string("Revision").of("apps.ControllerRevision", "revision"),
    AGE,
];

impl Strategy for ControllerRevision {
    fn default(&self, object: &mut Value) {
        if let Some(revision) = object.as_object_mut() {
            set(revision, "revision", 0);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.not_negative(&At::root("revision"), &object["revision"]);
        match &object["data"] {
            Value::Null => errors.required(&At::root("data"), "data is mandatory"),
            Value::Object(_) => {}
            _ => errors.required(&At::root("data"), "data must be a valid JSON object"),
        }
        errors.0
    }

    fn revalidates(&self) -> bool {
        false
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.not_negative(&At::root("revision"), &new["revision"]);
        if new["data"] != old["data"] {
            errors.invalid(&At::root("data"), new["data"].clone(), IMMUTABLE);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let owners = items(&object["metadata"]["ownerReferences"]);
        let controller = match owners.iter().find(|owner| owner["controller"] == true) {
            Some(owner) => {
                let group = text(&owner["apiVersion"]).split_once('/').map(|(group, _)| group).unwrap_or_default();
                let kind = text(&owner["kind"]).to_lowercase();
                let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
                format!("{kind}/{}", text(&owner["name"]))
            }
            None => print::NONE.to_owned(),
        };
        vec![print::name(object), controller.into(), integer(&object["revision"]).into(), print::age(object, now)]
    }
}
