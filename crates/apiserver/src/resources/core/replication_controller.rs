//! Replication controllers.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::apps::replica_set;
use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::default_template;
use crate::resources::json::{entries, is_set, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::workload::{named_warnings, of_template_warnings};
use crate::strategy::{AGE, CONTAINERS, Column, Context, Generations, IMAGES, NAME, NameRule, Strategy};

/// The strategy of replication controllers.
pub(crate) struct ReplicationController;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Desired").of("core.ReplicationControllerSpec", "replicas"),
    Column::integer("Current").of("core.ReplicationControllerStatus", "replicas"),
    Column::integer("Ready").of("core.ReplicationControllerStatus", "readyReplicas"),
    AGE,
    CONTAINERS.wide(),
    IMAGES.wide(),
    Column::string("Selector").of("core.ReplicationControllerSpec", "selector").wide(),
];

impl Strategy for ReplicationController {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let labels = object["spec"]["template"]["metadata"]["labels"].clone();
        if is_set(&labels) {
            if let Some(spec) = spec(object) {
                set_zero(spec, "selector", labels.clone());
            }
            if !is_set(&object["metadata"]["labels"]) {
                object["metadata"]["labels"] = labels;
            }
        }
        let Some(spec) = spec(object) else { return };
        set(spec, "replicas", 1);
        if spec.get("template").is_some_and(|template| !template.is_null()) {
            default_template(spec);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.none_negative(&at, spec, &["replicas", "minReadySeconds"]);
        if !is_set(&spec["selector"]) {
            errors.required(&at.child("selector"), "");
        }
        if spec["template"].is_null() {
            errors.required(&at.child("template"), "");
            return errors.0;
        }
        let labels = &spec["template"]["metadata"]["labels"];
        if !entries(&spec["selector"]).all(|(key, value)| text(&labels[key]) == text(value)) {
            let template = at.child("template");
            let metadata = template.child("metadata");
            errors.invalid(&metadata.child("labels"), labels.clone(), "`selector` does not match template `labels`");
        }
        errors.lasting_template(&at, &spec["template"], "ReplicationController");
        errors.0
    }

    fn validate_update(&self, new: &Value, _old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            replica_set::validate_status(&new["status"], &mut errors);
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        named_warnings(object)
    }

    fn update_warnings(&self, new: &Value, old: &Value) -> Vec<String> {
        let generation = |object: &Value| object["metadata"]["generation"].as_i64();
        // Upstream looks at the template that was there before.
        if generation(new) == generation(old) { Vec::new() } else { of_template_warnings(old) }
    }

    fn name_rule(&self) -> NameRule {
        NameRule::MadeDnsSubdomain
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        replica_set::cells(object, print::labels(&object["spec"]["selector"]), now)
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["status.replicas"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        (name == "status.replicas").then(|| integer(&object["status"]["replicas"]).to_string())
    }
}
