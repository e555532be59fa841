//! What is wrong with a job's spec.
//!
//! Source: `validateJobSpec` of `kubernetes/pkg/apis/batch/validation`.

use std::collections::HashSet;

use portolan_api::field::{Path, Shown};
use portolan_api::validation;
use portolan_base::go;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::{template_warnings, validate_template};
use crate::resources::json::{is_set, items, text};
use crate::resources::shown;

const INDEXED: &str = "Indexed";
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const ACTIONS_SHOWN: &str = "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]";
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const STATUSES_SHOWN: &str = "valid values: [\"False\" \"True\" \"Unknown\"]";
const MOST_PARALLEL_INDEXED: i64 = 100_000;
const MOST_FAILED_INDEXES: i64 = 100_000;
/// Above so many completions the status must be kept short by other bounds.
const MANY_COMPLETIONS: i64 = 100_000;
const MOST_WITH_MANY_COMPLETIONS: i64 = 10_000;
const MOST_RULES: usize = 20;
const MOST_EXIT_CODES: usize = 255;
const MOST_CONDITIONS: usize = 20;
const MANAGER_LENGTH: usize = 63;
const INDEXES_LENGTH: usize = 64 << 10;

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
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        errors.required(&at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        let at = at.child("managedBy");
        errors.domain_prefixed_path(&at, manager);
        if manager.len() > MANAGER_LENGTH {
            errors.too_long(&at, MANAGER_LENGTH);
        }
    }
    let mode = &spec["completionMode"];
    if !mode.is_null() && !matches!(text(mode), INDEXED | "NonIndexed") {
        errors.not_supported_as_listed(&at.child("completionMode"), mode.clone(), &["NonIndexed", INDEXED]);
    }
    match text(&spec["completionMode"]) {
        INDEXED => validate_indexed(spec, at, errors),
        "" if !mode.is_null() => {}
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(number) = spec[field].as_i64() {
                    errors.invalid(&at.child(field), number, "requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
    if !spec["podFailurePolicy"].is_null() {
        validate_failure_policy(spec, &at.child("podFailurePolicy"), errors);
    }
    if !spec["successPolicy"].is_null() {
        let at = at.child("successPolicy");
        if text(&spec["completionMode"]) == INDEXED {
            validate_success_policy(spec, &at, errors);
        } else {
            let shown = shown::compact("SuccessPolicy", &spec["successPolicy"]);
            errors.invalid(&at, Shown::Text(shown), "requires indexed completion mode");
        }
    }
    let replacements: &[&str] =
        if spec["podFailurePolicy"].is_null() { &["Failed", "TerminatingOrFailed"] } else { &["Failed"] };
    errors.one_of_if_present(&at.child("podReplacementPolicy"), &spec["podReplacementPolicy"], replacements);
    let template = at.child("template");
    validate_template(&spec["template"], &template, errors);
    let pod = template.child("spec");
    let at = pod.child("restartPolicy");
    match text(&spec["template"]["spec"]["restartPolicy"]) {
        "" | "Always" => errors.required(&at, "valid values: \"OnFailure\", \"Never\""),
        policy if policy != "OnFailure" && policy != "Never" => {
            errors.not_supported_as_listed(&at, policy, &["OnFailure", "Never"]);
        }
        policy if !spec["podFailurePolicy"].is_null() && policy != "Never" => {
            errors.invalid(&at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        _ => {}
    }
}

fn validate_indexed(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let number = |field: &str| spec[field].as_i64();
    let (completions, parallelism, failed) = (number("completions"), number("parallelism"), number("maxFailedIndexes"));
    if completions.is_none() {
        errors.required(&at.child("completions"), "when completion mode is Indexed");
    }
    if let Some(count) = parallelism.filter(|count| *count > MOST_PARALLEL_INDEXED) {
        let detail = format!("must be less than or equal to {MOST_PARALLEL_INDEXED} when completion mode is Indexed");
        errors.invalid(&at.child("parallelism"), count, detail);
    }
    if let Some((failed, _)) = failed.zip(completions).filter(|(failed, completions)| failed > completions) {
        errors.invalid(&at.child("maxFailedIndexes"), failed, "must be less than or equal to completions");
    }
    if let Some(failed) = failed.filter(|failed| *failed > MOST_FAILED_INDEXES) {
        let detail = format!("must be less than or equal to {MOST_FAILED_INDEXES}");
        errors.invalid(&at.child("maxFailedIndexes"), failed, detail);
    }
    if completions.is_none_or(|count| count <= MANY_COMPLETIONS) || spec["backoffLimitPerIndex"].is_null() {
        return;
    }
    if failed.is_none() {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.required(&at.child("maxFailedIndexes"), detail);
    }
    for (field, value) in [("parallelism", parallelism), ("maxFailedIndexes", failed)] {
        if let Some(value) = value.filter(|value| *value > MOST_WITH_MANY_COMPLETIONS) {
            let detail = format!(
                "must be less than or equal to {MOST_WITH_MANY_COMPLETIONS} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
            );
            errors.invalid(&at.child(field), value, detail);
        }
    }
}

fn validate_failure_policy(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("rules");
    let rules = items(&spec["podFailurePolicy"]["rules"]);
    if rules.len() > MOST_RULES {
        errors.too_many(&list, rules.len(), MOST_RULES);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = list.index(index);
        let action = text(&rule["action"]);
        if action.is_empty() {
            errors.required(&at.child("action"), ACTIONS_SHOWN);
        } else if action == "FailIndex" && spec["backoffLimitPerIndex"].is_null() {
            errors.invalid(&at.child("action"), action, "requires the backoffLimitPerIndex to be set");
        } else {
            errors.one_of(&at.child("action"), &rule["action"], &ACTIONS);
        }
        let (codes, conditions) = (&rule["onExitCodes"], &rule["onPodConditions"]);
        if !codes.is_null() {
            validate_exit_codes(codes, &spec["template"]["spec"], &at.child("onExitCodes"), errors);
        }
        validate_conditions(items(conditions), &at.child("onPodConditions"), errors);
        match (codes.is_null(), is_set(conditions)) {
            (false, true) => {
                errors.invalid(&at, Shown::Omitted, "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (true, false) => {
                errors.invalid(&at, Shown::Omitted, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn validate_conditions(conditions: &[Value], at: &At<'_>, errors: &mut Errors) {
    if conditions.len() > MOST_CONDITIONS {
        errors.too_many(at, conditions.len(), MOST_CONDITIONS);
    }
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        errors.obeys(&at.child("type"), text(&condition["type"]), validation::is_qualified_name);
        if is_set(&condition["status"]) {
            errors.one_of(&at.child("status"), &condition["status"], &STATUSES);
        } else {
            errors.required(&at.child("status"), STATUSES_SHOWN);
        }
    }
}

fn validate_exit_codes(codes: &Value, pod: &Value, at: &At<'_>, errors: &mut Errors) {
    let operator = text(&codes["operator"]);
    if operator.is_empty() {
        errors.required(&at.child("operator"), "valid values: [\"In\" \"NotIn\"]");
    } else {
        errors.one_of(&at.child("operator"), &codes["operator"], &["In", "NotIn"]);
    }
    if let Some(name) = codes["containerName"].as_str() {
        let mut containers = items(&pod["containers"]).iter().chain(items(&pod["initContainers"]));
        if !containers.any(|container| container["name"] == name) {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.invalid(&at.child("containerName"), name, detail);
        }
    }
    let list = at.child("values");
    let values: Vec<i64> = items(&codes["values"]).iter().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        errors.invalid(&list, codes["values"].clone(), "at least one value is required");
    } else if values.len() > MOST_EXIT_CODES {
        errors.too_many(&list, values.len(), MOST_EXIT_CODES);
    }
    let mut seen = HashSet::new();
    for (index, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.invalid(&list.index(index), 0, "must not be 0 for the In operator");
        }
        if !seen.insert(value) {
            errors.duplicate(&list.index(index), *value);
        }
    }
    if !values.is_sorted() {
        errors.invalid(&list, codes["values"].clone(), "must be ordered");
    }
}

fn validate_success_policy(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("rules");
    let rules = items(&spec["successPolicy"]["rules"]);
    let completions = spec["completions"].as_i64().unwrap_or_default();
    if rules.is_empty() {
        errors.required(&list, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > MOST_RULES {
        errors.too_many(&list, rules.len(), MOST_RULES);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = list.index(index);
        let (indexes, count) = (rule["succeededIndexes"].as_str(), rule["succeededCount"].as_i64());
        if indexes.is_none() && count.is_none() {
            errors.required(&at, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(indexes) = indexes {
            let at = at.child("succeededIndexes");
            if indexes.len() > INDEXES_LENGTH {
                errors.too_long(&at, INDEXES_LENGTH);
            }
            match count_indexes(indexes, completions) {
                Ok(count) => total = count,
                Err(why) => errors.invalid(&at, indexes, format!("error parsing succeededIndexes: {why}")),
            }
        }
        let Some(count) = count else { continue };
        let at = at.child("succeededCount");
        errors.not_negative(&at, &rule["succeededCount"]);
        if count > completions {
            let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.invalid(&at, count, detail);
        }
        if indexes.is_some() && count > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.invalid(&at, count, detail);
        }
    }
}

/// How many indexes `0-2,5` names.
pub(super) fn count_indexes(indexes: &str, completions: i64) -> Result<i64, String> {
    let (mut last, mut total) = (None, 0);
    for interval in indexes.split(',').filter(|_| !indexes.is_empty()) {
        let (first, end) = interval_of(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that two lists of intervals have in common. What cannot be read is passed over.
pub(super) fn intervals_overlap(left: &str, right: &str, completions: i64) -> Option<i64> {
    let of = |list: &str| -> Vec<(i64, i64)> {
        list.split(',').filter_map(|interval| interval_of(interval, completions).ok()).collect()
    };
    let right = of(right);
    let common = of(left).into_iter().flat_map(|(start, end)| {
        let shared = right.iter().filter(move |other| start <= other.1 && other.0 <= end);
        shared.map(move |other| start.max(other.0))
    });
    common.min()
}

fn interval_of(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = interval.split('-').collect();
    let index = |text: &str| {
        let number: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", go::quote(text)))?;
        if number >= completions { Err(format!("too large index: {}", go::quote(text))) } else { Ok(number) }
    };
    match limits.as_slice() {
        [only] => index(only).map(|only| (only, only)),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last {
                return Err(format!("non-increasing order, previous: {first}, current: {last}"));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            go::quote(interval)
        )),
    }
}

/// What is said of a job's spec that is taken; `path` is its place.
pub(crate) fn warnings(spec: &Value, path: &Path) -> Vec<String> {
    let number = |field: &str| spec[field].as_i64().unwrap_or_default();
    let many = number("completions") > MANY_COMPLETIONS && number("parallelism") > MOST_WITH_MANY_COMPLETIONS;
    let mut warnings = Vec::new();
    if text(&spec["completionMode"]) == INDEXED && many {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    warnings.extend(template_warnings(&spec["template"], &path.child("template")));
    warnings
}
