//! Pod templates: the kind, not the field of workloads.

use portolan_api::field::{self, Path};
use portolan_base::Timestamp;
use serde_json::Value;

use super::pod_template::{default_template, template_warnings, validate_template};
use crate::resources::at::{At, Errors};
use crate::resources::print;
use crate::strategy::{CONTAINERS, Column, Context, Generations, IMAGES, NAME, Strategy};

/// The strategy of pod templates.
pub(crate) struct PodTemplate;

const COLUMNS: &[Column] =
    &[NAME, CONTAINERS, IMAGES, Column::string("Pod Labels").about("The labels for the pod template.")];

impl Strategy for PodTemplate {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        new.get("template") != old.get("template")
    }

    fn default(&self, object: &mut Value) {
        if let Some(fields) = object.as_object_mut() {
            default_template(fields);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        validate_template(&object["template"], &At::root("template"), &mut errors);
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        template_warnings(&object["template"], &Path::new("template"))
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let (names, images) = print::containers(&object["template"]["spec"]);
        let labels = print::labels(&object["template"]["metadata"]["labels"]);
        vec![print::name(object), names.into(), images.into(), labels.into()]
    }
}
