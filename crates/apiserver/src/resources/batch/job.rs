//! Jobs.

use portolan_api::field::Path;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use super::job_status;
use super::job_validation::{validate_spec, warnings as job_warnings};
use crate::resources::at::{At, Errors};
use crate::resources::checks::selects;
use crate::resources::core::pod_template::{default_template, workload_name_warning};
use crate::resources::json::{is_set, items, object_or_new, objects, same, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::workload::wide_cells;
use crate::strategy::{AGE, CONTAINERS, Column, Context, Generations, IMAGES, NAME, Strategy, keep_other_half};

/// The strategy of jobs.
pub(crate) struct Job;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Status").about("Status of the job."),
    Column::string("Completions").of("batch.JobStatus", "succeeded"),
    Column::string("Duration").about("Time required to complete the job."),
    AGE,
    CONTAINERS.wide(),
    IMAGES.wide(),
    Column::string("Selector").of("batch.JobSpec", "selector").wide(),
];

/// How often a failing pod is replaced, unless there is a limit per index.
const BACK_OFF_LIMIT: i64 = 6;
/// Labels by which a job finds its pods.
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// Fills in a job's spec; also for the template of a cron job.
pub(crate) fn default_spec(spec: &mut Map<String, Value>) {
    if ["completions", "parallelism"].iter().all(|field| spec.get(*field).is_none_or(Value::is_null)) {
        set(spec, "completions", 1);
        set(spec, "parallelism", 1);
    }
    set(spec, "parallelism", 1);
    if spec.get("backoffLimitPerIndex").is_some_and(Value::is_number) {
        set(spec, "backoffLimit", i64::from(i32::MAX));
    } else {
        set(spec, "backoffLimit", BACK_OFF_LIMIT);
    }
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
    let replace = if spec.get("podFailurePolicy").is_some_and(is_set) { "Failed" } else { "TerminatingOrFailed" };
    set(spec, "podReplacementPolicy", replace);
    if let Some(policy) = crate::resources::json::object(spec, "podFailurePolicy") {
        for rule in objects(policy, "rules") {
            for condition in objects(rule, "onPodConditions") {
                set_zero(condition, "status", "True");
            }
        }
    }
    default_template(spec);
}

impl Strategy for Job {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            default_spec(spec);
        }
        default_labels(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), Map::new().into());
        }
        if object["spec"]["manualSelector"] != true {
            generate_selector(object);
        }
        default_labels(object);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        validate_generated_selector(object, &mut errors);
        validate_spec(spec, &at, &mut errors);
        if spec["selector"].is_null() {
            errors.required(&at.child("selector"), "");
        }
        if errors.label_selector(&at.child("selector"), &spec["selector"]) {
            errors.selects_template(&at, spec);
        }
        validate_host_names(object, &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        if context.subresource == "status" {
            return job_status::validate(new, old).0;
        }
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        let (new, old) = (&new["spec"], &old["spec"]);
        if text(&new["completionMode"]) != "Indexed" {
            errors.immutable(&at.child("completions"), &new["completions"], &old["completions"]);
        } else if !same(&new["completions"], &old["completions"])
            && !new["completions"].is_null()
            && new["completions"] != new["parallelism"]
        {
            let detail = "can only be modified in tandem with spec.parallelism";
            errors.invalid(&at.child("completions"), new["completions"].clone(), detail);
        }
        errors.immutable_selector(&at.child("selector"), &new["selector"], &old["selector"]);
        for field in ["completionMode", "backoffLimitPerIndex", "managedBy"] {
            errors.immutable(&at.child(field), &new[field], &old[field]);
        }
        for (field, structure) in [("podFailurePolicy", "PodFailurePolicy"), ("successPolicy", "SuccessPolicy")] {
            errors.immutable_if_present(&at.child(field), structure, &new[field], &old[field]);
        }
        // A suspended job that never ran may still be placed elsewhere; the rest stays.
        if old["suspend"] != true {
            errors.immutable_structure(&at.child("template"), "PodTemplateSpec", &new["template"], &old["template"]);
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = job_warnings(&object["spec"], &Path::new("spec"));
        warnings.splice(..0, workload_name_warning(object));
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let succeeded = integer(&status["succeeded"]);
        let completions = match (spec["completions"].as_i64(), integer(&spec["parallelism"])) {
            (Some(completions), _) => format!("{succeeded}/{completions}"),
            (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
            (None, _) => format!("{succeeded}/1"),
        };
        let mut cells = vec![
            print::name(object),
            state(object).into(),
            completions.into(),
            duration(status, now).into(),
            print::age(object, now),
        ];
        cells.extend(wide_cells(spec, print::label_selector(&spec["selector"])));
        cells
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["status.successful"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        (name == "status.successful").then(|| integer(&object["status"]["succeeded"]).to_string())
    }
}

/// Labels that the job's pods are found by, if the server chose them: a user may have written others.
fn validate_generated_selector(job: &Value, errors: &mut Errors) {
    let (spec, uid, name) = (&job["spec"], &job["metadata"]["uid"], &job["metadata"]["name"]);
    if spec["manualSelector"] == true || spec["selector"].is_null() {
        return;
    }
    let at = At::root("spec");
    let (template, selector) = (at.child("template"), at.child("selector"));
    let metadata = template.child("metadata");
    let at = metadata.child("labels");
    let labels = &spec["template"]["metadata"]["labels"];
    let expected =
        || UID_LABELS.iter().map(|label| (*label, uid)).chain(NAME_LABELS.iter().map(|label| (*label, name)));
    for (label, expected) in expected() {
        match &labels[label] {
            Value::Null => errors.required(&at.key(label), format!("must be '{}'", text(expected))),
            found if found != expected => {
                errors.invalid(&at.key(label), labels.clone(), format!("must be '{}'", text(expected)));
            }
            _ => {}
        }
    }
    let own: Value = expected().map(|(label, value)| (label.to_owned(), value.clone())).collect::<Map<_, _>>().into();
    let is_readable = Errors::default().label_selector(&selector, &spec["selector"]);
    if is_readable && !selects(&spec["selector"], &own) {
        errors.invalid(&selector, spec["selector"].clone(), "`selector` not auto-generated");
    }
}

/// The pods of an indexed job are named and addressed by the job and their index.
fn validate_host_names(job: &Value, errors: &mut Errors) {
    let (name, spec) = (text(&job["metadata"]["name"]), &job["spec"]);
    let Some(count) = spec["completions"].as_i64().filter(|count| *count > 0) else { return };
    let longest = format!("{name}-{}", count - 1);
    if text(&spec["completionMode"]) == "Indexed" && !validation::is_dns1123_label(&longest).is_empty() {
        let metadata = At::root("metadata");
        let detail = format!("will not able to create pod with invalid DNS label: {longest}");
        errors.invalid(&metadata.child("name"), name, detail);
    }
}

/// A job without labels has those of its pods.
fn default_labels(job: &mut Value) {
    if is_set(&job["spec"]["template"]["metadata"]["labels"]) && !is_set(&job["metadata"]["labels"]) {
        job["metadata"]["labels"] = job["spec"]["template"]["metadata"]["labels"].clone();
    }
}

/// A selector that no other job can have: the job's own UID.
fn generate_selector(job: &mut Value) {
    let (name, uid) = (job["metadata"]["name"].clone(), job["metadata"]["uid"].clone());
    let Some(spec) = spec(job) else { return };
    if !uid.is_string() || !name.is_string() {
        return;
    }
    let template = object_or_new(spec, "template").and_then(|template| object_or_new(template, "metadata"));
    if let Some(labels) = template.and_then(|metadata| object_or_new(metadata, "labels")) {
        for label in UID_LABELS {
            set(labels, label, uid.clone());
        }
        for label in NAME_LABELS {
            set(labels, label, name.clone());
        }
    }
    let selector = object_or_new(spec, "selector").and_then(|selector| object_or_new(selector, "matchLabels"));
    if let Some(labels) = selector {
        set(labels, UID_LABELS[0], uid);
    }
}

fn state(job: &Value) -> &'static str {
    let has = |kind: &str| {
        items(&job["status"]["conditions"])
            .iter()
            .any(|condition| text(&condition["type"]) == kind && text(&condition["status"]) == "True")
    };
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if is_set(&job["metadata"]["deletionTimestamp"]) {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    match (print::time(&status["startTime"]), print::time(&status["completionTime"])) {
        (None, _) => String::new(),
        (Some(start), end) => print::human_duration(end.unwrap_or(now).as_second() - start.as_second()),
    }
}
