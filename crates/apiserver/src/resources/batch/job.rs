//! Jobs.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::core::pod_template::{default_template, validate_template};
use crate::resources::json::{is_set, items, object_or_new, objects, same, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::workload::wide_cells;
use crate::strategy::{AGE, Column, Context, NAME, Strategy, keep_other_half};

/// The strategy of jobs.
pub(crate) struct Job;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Status"),
    Column::string("Completions"),
    Column::string("Duration"),
    AGE,
    Column::string("Containers").wide(),
    Column::string("Images").wide(),
    Column::string("Selector").wide(),
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
    set_zero(spec, "completionMode", "NonIndexed");
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

/// What is wrong with a job's spec; `at` is its path. The selector is checked apart.
pub(crate) fn validate_spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.none_negative(
        at,
        spec,
        &[
            "parallelism",
            "completions",
            "activeDeadlineSeconds",
            "backoffLimit",
            "ttlSecondsAfterFinished",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
        ],
    );
    errors.one_of(&at.child("completionMode"), &spec["completionMode"], &["Indexed", "NonIndexed"]);
    if text(&spec["completionMode"]) == "Indexed" && spec["completions"].is_null() {
        errors.required(&at.child("completions"), "when completion mode is Indexed");
    }
    errors.one_of(&at.child("podReplacementPolicy"), &spec["podReplacementPolicy"], &["Failed", "TerminatingOrFailed"]);
    let template = at.child("template");
    validate_template(&spec["template"], &template, errors);
    let policy = text(&spec["template"]["spec"]["restartPolicy"]);
    let pod = template.child("spec");
    if policy == "Always" {
        errors.required(&pod.child("restartPolicy"), "valid values: \"OnFailure\", \"Never\"");
    }
    if is_set(&spec["podFailurePolicy"]) && policy != "Never" {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.invalid(&pod.child("restartPolicy"), policy, detail);
    }
}

impl Strategy for Job {
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
        errors.selector_of_template(&at, spec);
        validate_spec(spec, &at, &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            return errors.0;
        }
        let at = At::root("spec");
        let (new, old) = (&new["spec"], &old["spec"]);
        let elastic = text(&new["completionMode"]) == "Indexed" && new["completions"] == new["parallelism"];
        if !elastic {
            errors.immutable(&at.child("completions"), &new["completions"], &old["completions"]);
        }
        for field in ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"] {
            errors.immutable(&at.child(field), &new[field], &old[field]);
        }
        // A suspended job that never ran may still be placed elsewhere; the rest stays.
        if old["suspend"] != true && !same(&new["template"], &old["template"]) {
            errors.invalid(&at.child("template"), new["template"].clone(), IMMUTABLE);
        }
        errors.0
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
