//! What the kinds that own pods have in common.

use portolan_api::field::Path;
use serde_json::Value;

use super::at::{At, Errors};
use super::checks::NOT_NEGATIVE;
use super::core::pod_template::{template_warnings, validate_template, workload_name_warning};
use super::json::text;
use super::print;

const ALWAYS: &[&str] = &["Always"];

impl Errors {
    /// The template of a workload whose pods run until they are told to stop; `kind` has the name that upstream's
    /// text uses.
    pub(crate) fn lasting_template(&mut self, at: &At<'_>, template: &Value, kind: &str) {
        let at = at.child("template");
        validate_template(template, &at, self);
        let (pod, spec) = (at.child("spec"), &template["spec"]);
        if spec["restartPolicy"] != "Always" {
            self.not_supported(&pod.child("restartPolicy"), text(&spec["restartPolicy"]), ALWAYS);
        }
        if !spec["activeDeadlineSeconds"].is_null() {
            let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
            self.forbidden(&pod.child("activeDeadlineSeconds"), detail);
        }
    }

    /// Counts and waiting times that may not be negative.
    pub(crate) fn none_negative(&mut self, at: &At<'_>, object: &Value, fields: &[&str]) {
        for field in fields {
            self.not_negative(&at.child(field), &object[*field]);
        }
    }

    /// As many available as ready ones, in the words that deployments and what they are made of have for it.
    pub(crate) fn available_within_ready(&mut self, status: &Value) {
        let (available, ready) =
            (print::integer(&status["availableReplicas"]), print::integer(&status["readyReplicas"]));
        if available > ready {
            let at = At::root("status");
            self.invalid(&at.child("availableReplicas"), available, "cannot be greater than readyReplicas");
        }
    }

    /// How often two names of revisions fell together, which only grows.
    pub(crate) fn collision_count(&mut self, new: &Value, old: &Value) {
        let (new, old) = (&new["collisionCount"], &old["collisionCount"]);
        if old.as_i64().is_some_and(|old| new.as_i64().is_none_or(|new| new < old)) {
            let at = At::root("status");
            self.invalid(&at.child("collisionCount"), print::integer(new), "cannot be decremented");
        }
    }

    /// `status` counts; some of them may not exceed others.
    pub(crate) fn status_counts(&mut self, status: &Value, fields: &[&str], bounds: &[(&str, &str)]) {
        let at = At::root("status");
        for field in fields {
            if let Some(count) = status[*field].as_i64().filter(|count| *count < 0) {
                self.invalid(&at.child(field), count, NOT_NEGATIVE);
            }
        }
        for (field, bound) in bounds {
            let (count, limit) = (print::integer(&status[*field]), print::integer(&status[*bound]));
            if count > limit {
                self.invalid(&at.child(field), count, format!("cannot be greater than status.{bound}"));
            }
        }
    }
}

/// What is said of a workload: of its name, from which those of its pods come, and of its template.
pub(crate) fn named_warnings(object: &Value) -> Vec<String> {
    let mut warnings = of_template_warnings(object);
    warnings.splice(..0, workload_name_warning(object));
    warnings
}

/// What is said of the template of a workload.
pub(crate) fn of_template_warnings(object: &Value) -> Vec<String> {
    template_warnings(&object["spec"]["template"], &Path::new("spec").child("template"))
}

/// The cells of the wide columns Containers, Images and Selector.
pub(crate) fn wide_cells(spec: &Value, selector: String) -> [Value; 3] {
    let (names, images) = print::containers(&spec["template"]["spec"]);
    [names.into(), images.into(), selector.into()]
}
