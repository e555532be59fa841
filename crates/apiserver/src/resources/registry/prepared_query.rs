//! Prepared queries: questions about instances that have a name.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::text;
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of prepared queries.
pub(crate) struct PreparedQuery;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Query").of("registry.PreparedQuerySpec", "name"),
    Column::string("Template").of("registry.PreparedQuerySpec", "template"),
    Column::string("Service").of("registry.PreparedQuerySpec", "service"),
    AGE,
];

impl Strategy for PreparedQuery {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, spec) = (Errors::default(), At::root("spec"));
        // Of a template it is a text to fill in, so any will do.
        errors.required_name(&spec.child("service"), &object["spec"]["service"], |_| Vec::new());
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        vec![
            print::name(object),
            text(&spec["name"]).into(),
            if spec["template"].is_object() { "yes" } else { "no" }.into(),
            text(&spec["service"]).into(),
            print::age(object, now),
        ]
    }
}
