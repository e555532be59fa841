//! Runtime classes.

use std::collections::HashSet;

use portolan_api::field::Shown;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::{label_warning, validate_tolerations};
use crate::resources::json::{canonical_quantities, entries, items, object, text};
use crate::resources::{print, shown};
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of runtime classes.
pub(crate) struct RuntimeClass;

const COLUMNS: &[Column] = &[NAME, Column::string("Handler"), AGE];

impl Strategy for RuntimeClass {
    fn default(&self, object: &mut Value) {
        if let Some(overhead) = object.as_object_mut().and_then(|fields| self::object(fields, "overhead")) {
            canonical_quantities(overhead, "podFixed");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.required_name(&At::root("handler"), &object["handler"], validation::is_dns1123_label);
        let overhead = At::root("overhead");
        // Upstream has containers' limits in mind.
        let fixed = overhead.child("limits");
        for (name, amount) in entries(&object["overhead"]["podFixed"]) {
            errors.obeys(&fixed.key(name), name, validation::is_qualified_name);
            errors.quantity(&fixed.key(name), amount);
        }
        let (at, scheduling) = (At::root("scheduling"), &object["scheduling"]);
        errors.labels(&at.child("nodeSelector"), &scheduling["nodeSelector"]);
        let list = at.child("tolerations");
        let tolerations = items(&scheduling["tolerations"]);
        validate_tolerations(tolerations, &list, &mut errors);
        let mut before = HashSet::new();
        for (index, toleration) in tolerations.iter().enumerate() {
            if !before.insert(toleration) {
                errors.duplicate(&list.index(index), Shown::Text(shown::compact("Toleration", toleration)));
            }
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.immutable_text(&At::root("handler"), &new["handler"], &old["handler"]);
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let labels = entries(&object["scheduling"]["nodeSelector"]);
        let said = labels.filter_map(|(key, _)| label_warning(key));
        said.map(|said| format!("scheduling.nodeSelector: {said}")).collect()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), text(&object["handler"]).into(), print::age(object, now)]
    }
}
