//! Cron jobs.

use portolan_api::field::{self, Path};
use portolan_base::Timestamp;
use serde_json::Value;

use super::job_validation;
use super::time_zone;
use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::workload_name_warning;
use crate::resources::json::{is_set, items, object_or_new, set, set_zero, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, CONTAINERS, Column, Context, Generations, IMAGES, NAME, Strategy};

/// The strategy of cron jobs.
pub(crate) struct CronJob;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Schedule").of("batch.CronJobSpec", "schedule"),
    Column::string("Timezone").of("batch.CronJobSpec", "timeZone"),
    Column::boolean("Suspend").of("batch.CronJobSpec", "suspend"),
    Column::integer("Active").of("batch.CronJobStatus", "active"),
    Column::string("Last Schedule").of("batch.CronJobStatus", "lastScheduleTime"),
    AGE,
    CONTAINERS.wide(),
    IMAGES.wide(),
    Column::string("Selector").of("batch.JobSpec", "selector").wide(),
];

/// The longest name: the time of a run, eleven characters, is put behind it in the job's name.
const NAME_LIMIT: usize = 52;
const SHORTHANDS: [&str; 7] = ["@annually", "@daily", "@hourly", "@midnight", "@monthly", "@weekly", "@yearly"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Strategy for CronJob {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set_zero(spec, "concurrencyPolicy", "Allow");
        set(spec, "suspend", false);
        set(spec, "successfulJobsHistoryLimit", 3);
        set(spec, "failedJobsHistoryLimit", 1);
        let mut template = object_or_new(spec, "jobTemplate");
        if let Some(template) = &mut template {
            object_or_new(template, "metadata");
        }
        if let Some(job) = template.and_then(|template| object_or_new(template, "spec")) {
            // A template keeps its fields open until a job is made of it, but for its pods.
            crate::resources::core::pod_template::default_template(job);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        let schedule = text(&spec["schedule"]);
        if schedule.is_empty() {
            errors.required(&at.child("schedule"), "");
        } else if schedule.contains("TZ") {
            errors.invalid(
                &at.child("schedule"),
                schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            );
        } else if let Err(problem) = check_schedule(schedule) {
            errors.invalid(&at.child("schedule"), schedule, problem);
        }
        if let Some(zone) = spec["timeZone"].as_str() {
            time_zone::validate(zone, &at.child("timeZone"), &mut errors);
        }
        errors.required_one_of(
            &at.child("concurrencyPolicy"),
            &spec["concurrencyPolicy"],
            &["Allow", "Forbid", "Replace"],
        );
        errors.none_negative(
            &at,
            spec,
            &["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"],
        );
        let template = at.child("jobTemplate");
        let job_spec = &spec["jobTemplate"]["spec"];
        let job_at = template.child("spec");
        if !job_spec["selector"].is_null() {
            let detail = "`selector` will be auto-generated";
            errors.invalid(&job_at.child("selector"), job_spec["selector"].clone(), detail);
        }
        if job_spec["manualSelector"] == true {
            errors.not_supported(&job_at.child("manualSelector"), true, &["false", "nil"]);
        }
        job_validation::validate_spec(job_spec, &job_at, &mut errors);
        if text(&object["metadata"]["name"]).len() > NAME_LIMIT {
            let metadata = At::root("metadata");
            let detail = format!("must be no more than {NAME_LIMIT} characters");
            errors.invalid(&metadata.child("name"), object["metadata"]["name"].clone(), detail);
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let path = Path::new("spec").child("jobTemplate").child("spec");
        let mut warnings = job_validation::warnings(&object["spec"]["jobTemplate"]["spec"], &path);
        warnings.splice(..0, workload_name_warning(object));
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let last = &status["lastScheduleTime"];
        let job = &spec["jobTemplate"]["spec"];
        let (names, images) = print::containers(&job["template"]["spec"]);
        vec![
            print::name(object),
            text(&spec["schedule"]).into(),
            spec["timeZone"].as_str().unwrap_or(print::NONE).into(),
            (if spec["suspend"] == true { "True" } else { "False" }).into(),
            items(&status["active"]).len().into(),
            if is_set(last) { print::since(last, now) } else { print::NONE.to_owned() }.into(),
            print::age(object, now),
            names.into(),
            images.into(),
            print::label_selector(&job["selector"]).into(),
        ]
    }
}

/// Checks the form of a schedule: five fields of numbers, names, ranges, lists and steps.
fn check_schedule(schedule: &str) -> Result<(), String> {
    if let Some(rest) = schedule.strip_prefix('@') {
        let every = rest.strip_prefix("every ").is_some_and(|period| !period.trim().is_empty());
        return if every || SHORTHANDS.contains(&schedule) {
            Ok(())
        } else {
            Err(format!("unrecognized descriptor: {schedule}"))
        };
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    let bounds: [(u32, u32, &[&str]); 5] = [(0, 59, &[]), (0, 23, &[]), (1, 31, &[]), (1, 12, &MONTHS), (0, 6, &DAYS)];
    for (field, (low, high, names)) in fields.into_iter().zip(bounds) {
        for part in field.split(',') {
            check_part(part, low, high, names)?;
        }
    }
    Ok(())
}

fn check_part(part: &str, low: u32, high: u32, names: &[&str]) -> Result<(), String> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    if let Some(step) = step {
        let step: u32 = step.parse().map_err(|_| format!("failed to parse int from {step}"))?;
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
    }
    if range == "*" || range == "?" {
        return Ok(());
    }
    let number = |word: &str| -> Result<u32, String> {
        let lower = word.to_lowercase();
        match names.iter().position(|name| *name == lower) {
            Some(position) => Ok(low + u32::try_from(position).unwrap_or_default()),
            None => word.parse().map_err(|_| format!("failed to parse int from {word}")),
        }
    };
    let (start, end) = match range.split_once('-') {
        Some((start, end)) => (number(start)?, number(end)?),
        None => {
            let only = number(range)?;
            (only, only)
        }
    };
    if start < low {
        return Err(format!("beginning of range ({start}) below minimum ({low}): {part}"));
    }
    if end > high {
        return Err(format!("end of range ({end}) above maximum ({high}): {part}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    Ok(())
}
