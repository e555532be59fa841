//! Ingress classes.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of ingress classes.
pub(crate) struct IngressClass;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Controller").about("Controller that is responsible for handling this class"),
    Column::string("Parameters").about("A reference to a resource with additional parameters"),
    AGE,
];
const LONGEST: usize = 250;

impl Strategy for IngressClass {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        if let Some(parameters) = object.pointer_mut("/spec/parameters").and_then(Value::as_object_mut) {
            set(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        let controller = at.child("controller");
        let name = text(&spec["controller"]);
        if name.len() > LONGEST {
            errors.too_long(&controller, LONGEST);
        }
        errors.domain_prefixed_path(&controller, name);
        if !spec["parameters"].is_null() {
            validate_parameters(&spec["parameters"], &at.child("parameters"), &mut errors);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        errors.immutable_text(&at.child("controller"), &new["spec"]["controller"], &old["spec"]["controller"]);
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

/// The object that configures the controller.
fn validate_parameters(parameters: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(group) = parameters["apiGroup"].as_str() {
        errors.obeys(&at.child("apiGroup"), group, validation::is_dns1123_subdomain);
    }
    for field in ["kind", "name"] {
        errors.required_name(&at.child(field), &parameters[field], validation::is_path_segment_name);
    }
    let (scope, namespace, place) = (&parameters["scope"], &parameters["namespace"], at.child("namespace"));
    errors.one_of_if_present(&at.child("scope"), scope, &["Cluster", "Namespace"]);
    match (text(scope), namespace.as_str()) {
        ("Namespace", None) => errors.required(&place, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", Some(name)) => errors.obeys(&place, name, validation::is_dns1123_label),
        ("Cluster", Some(_)) => errors.forbidden(&place, "`parameters.scope` is set to 'Cluster'"),
        _ => {}
    }
}
