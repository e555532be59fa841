//! Ingress classes.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of ingress classes.
pub(crate) struct IngressClass;

const COLUMNS: &[Column] = &[NAME, Column::string("Controller"), Column::string("Parameters"), AGE];
const LONGEST: usize = 250;

impl Strategy for IngressClass {
    fn default(&self, object: &mut Value) {
        if let Some(parameters) = object.pointer_mut("/spec/parameters").and_then(Value::as_object_mut) {
            set(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        let controller = at.child("controller");
        let name = text(&spec["controller"]);
        match name.split_once('/') {
            _ if name.len() > LONGEST => errors.too_long(&controller, LONGEST),
            Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {}
            _ => errors.invalid(&controller, name, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
        }
        if !spec["parameters"].is_null() {
            let at = at.child("parameters");
            errors.present(&at.child("kind"), &spec["parameters"]["kind"]);
            errors.present(&at.child("name"), &spec["parameters"]["name"]);
            errors.one_of(&at.child("scope"), &spec["parameters"]["scope"], &["Cluster", "Namespace"]);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        errors.immutable(&at.child("controller"), &new["spec"]["controller"], &old["spec"]["controller"]);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let parameters = &object["spec"]["parameters"];
        let parameters = if parameters.is_null() {
            print::NONE.to_owned()
        } else {
            let group = text(&parameters["apiGroup"]);
            let dot = if is_set(&parameters["apiGroup"]) { "." } else { "" };
            format!("{}{dot}{group}/{}", text(&parameters["kind"]), text(&parameters["name"]))
        };
        vec![
            print::name(object),
            text(&object["spec"]["controller"]).into(),
            parameters.into(),
            print::age(object, now),
        ]
    }
}
