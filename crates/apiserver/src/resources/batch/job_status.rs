//! What is wrong with a change of a job's status: whoever runs jobs must not contradict themselves.
//!
//! Source: `ValidateJobStatusUpdate` of `kubernetes/pkg/apis/batch/validation`, and what its strategy asks of it.

use portolan_api::field::Shown;
use serde_json::Value;

use super::job_validation::{count_indexes, intervals_overlap};
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, same, text};
use crate::resources::print::{self, integer};

/// A job with what its conditions say.
struct Job<'a> {
    spec: &'a Value,
    status: &'a Value,
    complete: bool,
    failed: bool,
    fails: bool,
    succeeds: bool,
}

impl<'a> Job<'a> {
    fn of(job: &'a Value) -> Self {
        let status = &job["status"];
        let is = |kind: &str| has_condition(status, kind, "True");
        Self {
            spec: &job["spec"],
            status,
            complete: is("Complete"),
            failed: is("Failed"),
            fails: is("FailureTarget"),
            succeeds: is("SuccessCriteriaMet"),
        }
    }

    fn is_finished(&self) -> bool {
        self.complete || self.failed
    }

    fn is_indexed(&self) -> bool {
        text(&self.spec["completionMode"]) == "Indexed"
    }
}

fn has_condition(status: &Value, kind: &str, value: &str) -> bool {
    items(&status["conditions"])
        .iter()
        .any(|condition| text(&condition["type"]) == kind && text(&condition["status"]) == value)
}

/// What is wrong with the status of `new` after that of `old`.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let (mut errors, at) = (Errors::default(), At::root("status"));
    let (new, old) = (Job::of(new), Job::of(old));
    errors.none_negative(&at, new.status, &["active", "succeeded", "failed", "ready", "terminating"]);
    validate_uncounted(&new.status["uncountedTerminatedPods"], &at.child("uncountedTerminatedPods"), &mut errors);
    validate_conditions(&new, &old, &at.child("conditions"), &mut errors);
    validate_times(&new, &old, &at, &mut errors);
    validate_counts(&new, &old, &at, &mut errors);
    validate_indexes(&new, &old, &at, &mut errors);
    errors
}

fn changed(new: &Job<'_>, old: &Job<'_>, field: &str) -> bool {
    !same(&new.status[field], &old.status[field])
}

/// Pods that ended and wait to be counted: each once.
fn validate_uncounted(uncounted: &Value, at: &At<'_>, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let at = at.child(list);
        for (index, uid) in items(&uncounted[list]).iter().map(text).enumerate() {
            if uid.is_empty() {
                errors.invalid(&at.index(index), uid, "must not be empty");
            } else if seen.contains(&uid) {
                errors.duplicate(&at.index(index), uid);
            }
            seen.push(uid);
        }
    }
}

fn validate_conditions(new: &Job<'_>, old: &Job<'_>, at: &At<'_>, errors: &mut Errors) {
    let (complete, failed) = (new.complete != old.complete, new.failed != old.failed);
    let (fails, succeeds) = (new.fails != old.fails, new.succeeds != old.succeeds);
    let indexes = changed(new, old, "failedIndexes");
    let by_policy = !new.spec["successPolicy"].is_null();
    for (is_wrong, detail) in [
        ((complete || failed) && new.complete && new.failed, "cannot set Complete=True and Failed=true conditions"),
        (
            (complete || fails) && new.complete && new.fails,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            (failed || indexes) && new.failed && !new.fails,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            (complete || succeeds) && new.complete && !new.succeeds,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (new.succeeds && new.failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (new.succeeds && new.fails, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            by_policy && !new.succeeds && new.complete,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
        (old.failed && !new.failed, "cannot disable the terminal Failed=True condition"),
        (old.complete && !new.complete, "cannot disable the terminal Complete=True condition"),
        (old.fails && !new.fails, "cannot disable the terminal FailureTarget=True condition"),
        (old.succeeds && !new.succeeds, "cannot disable the SuccessCriteriaMet=True condition"),
        (
            old.complete && !old.succeeds && new.succeeds,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ] {
        if is_wrong {
            errors.invalid(at, Shown::Omitted, detail);
        }
    }
}

fn validate_times(new: &Job<'_>, old: &Job<'_>, at: &At<'_>, errors: &mut Errors) {
    let (start, end) = (&new.status["startTime"], &new.status["completionTime"]);
    let (started, ended) = (changed(new, old, "startTime"), changed(new, old, "completionTime"));
    let finished = new.is_finished() != old.is_finished();
    let completed = new.complete != old.complete;
    let at_end = at.child("completionTime");
    if (completed || ended) && is_set(end) && !new.complete {
        let detail = "cannot set completionTime when there is no Complete=True condition";
        errors.invalid(&at_end, end.clone(), detail);
    }
    if (completed || ended) && !is_set(end) && new.complete {
        errors.required(&at_end, "completionTime is required for Complete jobs");
    }
    let order = print::time(start).zip(print::time(end));
    if (started || ended) && order.is_some_and(|(start, end)| end < start) {
        errors.invalid(&at_end, end.clone(), "must be equal to or after `startTime`");
    }
    if is_set(end) && is_set(&old.status["completionTime"]) && ended {
        errors.invalid(&at_end, end.clone(), "field is immutable");
    }
    let is_empty = new.spec["suspend"] == true && new.spec["completions"] == 0;
    if (finished || started) && !is_empty && !is_set(start) && new.is_finished() {
        errors.required(&at.child("startTime"), "startTime is required for finished job");
    }
    let resumes = has_condition(old.status, "Suspended", "True") && has_condition(new.status, "Suspended", "False");
    if started && !resumes && is_set(&old.status["startTime"]) && new.spec["suspend"] != true {
        let detail = "field is immutable for unsuspended job once set";
        errors.invalid(&at.child("startTime"), start.clone(), detail);
    }
}

fn validate_counts(new: &Job<'_>, old: &Job<'_>, at: &At<'_>, errors: &mut Errors) {
    let finished = new.is_finished() != old.is_finished();
    let count = |job: &Job<'_>, field: &str| integer(&job.status[field]);
    for (field, detail) in [
        ("active", "active>0 is invalid for finished job"),
        ("terminating", "terminating>0 is invalid for finished job"),
    ] {
        let number = count(new, field);
        if (finished || changed(new, old, field)) && number > 0 && new.is_finished() {
            errors.invalid(&at.child(field), number, detail);
        }
    }
    let uncounted = &new.status["uncountedTerminatedPods"];
    let waits = is_set(&uncounted["failed"]) || is_set(&uncounted["succeeded"]);
    if (finished || changed(new, old, "uncountedTerminatedPods")) && new.is_finished() && waits {
        errors.invalid(&at.child("uncountedTerminatedPods"), uncounted.clone(), "must be empty for finished job");
    }
    let ready = count(new, "ready");
    if (changed(new, old, "ready") || changed(new, old, "active")) && ready > count(new, "active") {
        errors.invalid(&at.child("ready"), ready, "cannot set more ready pods than active");
    }
    if count(new, "failed") < count(old, "failed") {
        errors.invalid(&at.child("failed"), count(new, "failed"), "cannot decrease the failed counter");
    }
    // Such a job can be scaled down, and loses indexes that succeeded.
    let shrinks = new.is_indexed() && same(&new.spec["completions"], &new.spec["parallelism"]);
    if !shrinks && count(new, "succeeded") < count(old, "succeeded") {
        errors.invalid(&at.child("succeeded"), count(new, "succeeded"), "cannot decrease the succeeded counter");
    }
}

fn validate_indexes(new: &Job<'_>, old: &Job<'_>, at: &At<'_>, errors: &mut Errors) {
    let (done, failed) = (text(&new.status["completedIndexes"]), new.status["failedIndexes"].as_str());
    let (new_done, new_failed) = (changed(new, old, "completedIndexes"), changed(new, old, "failedIndexes"));
    let (at_done, at_failed) = (at.child("completedIndexes"), at.child("failedIndexes"));
    let completions = new.spec["completions"].as_i64();
    let per_index = !new.spec["backoffLimitPerIndex"].is_null();
    if let Some(completions) = completions {
        if let Some(why) = count_indexes(done, completions).err().filter(|_| new_done) {
            errors.invalid(&at_done, done, format!("error parsing completedIndexes: {why}"));
        }
        let listed = failed.filter(|_| new_failed && per_index);
        if let Some((failed, why)) = listed.and_then(|it| Some((it, count_indexes(it, completions).err()?))) {
            errors.invalid(&at_failed, failed, format!("error parsing failedIndexes: {why}"));
        }
    }
    if new_done && !done.is_empty() && !new.is_indexed() {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.invalid(&at_done, done, detail);
    }
    let Some(failed) = failed else { return };
    if new_failed && !per_index {
        errors.invalid(&at_failed, failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if let Some(completions) = completions.filter(|_| new_done || new_failed)
        && let Some(index) = intervals_overlap(done, failed, completions)
    {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.invalid(&at_failed, failed, detail);
    }
}
