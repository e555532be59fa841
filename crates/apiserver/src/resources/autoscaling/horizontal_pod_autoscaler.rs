//! Horizontal pod autoscalers.

use std::borrow::Cow;

use portolan_api::conversion::{self, Conversion, drop_annotations};
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{is_set, items, object, object_or_new, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of horizontal pod autoscalers. The first version is held to the same rules once converted.
pub(crate) struct HorizontalPodAutoscaler;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Reference"),
    Column::string("Targets"),
    Column::string("MinPods"),
    Column::string("MaxPods"),
    Column::string("Replicas"),
    AGE,
];

/// Kinds of metric and the field that describes each.
const METRICS: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
/// Longest time, in seconds, that earlier wishes are looked back at.
const LONGEST_WINDOW: i64 = 3600;
/// Longest time, in seconds, over which a policy limits changes.
const LONGEST_PERIOD: i64 = 1800;
/// How many metrics a row shows.
const SHOWN: usize = 2;

impl Strategy for HorizontalPodAutoscaler {
    fn default(&self, object: &mut Value) {
        let version = text(&object["apiVersion"]).to_owned();
        // The first version's defaults depend on its annotations, which become fields here.
        if let Some(conversion) = conversion() {
            conversion.convert(object, conversion.stored);
        }
        if let Some(fields) = object.as_object_mut() {
            drop_annotations(fields);
        }
        let Some(spec) = spec(object) else { return };
        set(spec, "minReplicas", 1);
        if !spec.get("metrics").is_some_and(is_set) {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
            spec.insert("metrics".to_owned(), json!([metric]));
        }
        default_behavior(spec);
        if let Some(conversion) = conversion() {
            conversion.convert(object, &version);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &as_second(object)["spec"]);
        let (least, most) = (&spec["minReplicas"], integer(&spec["maxReplicas"]));
        if let Some(least) = least.as_i64().filter(|least| *least < 1) {
            errors.invalid(&at.child("minReplicas"), least, "must be greater than or equal to 1");
        }
        if most == 0 {
            errors.required(&at.child("maxReplicas"), "must be set and greater than 0");
        } else if most < 0 {
            errors.invalid(&at.child("maxReplicas"), most, "must be greater than or equal to 1");
        }
        if least.as_i64().is_some_and(|least| most < least) {
            errors.invalid(&at.child("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
        }
        let target = at.child("scaleTargetRef");
        for field in ["kind", "name"] {
            let (at, value) = (target.child(field), &spec["scaleTargetRef"][field]);
            errors.required_name(&at, value, validation::is_path_segment_name);
        }
        let list = at.child("metrics");
        for (index, metric) in items(&spec["metrics"]).iter().enumerate() {
            validate_metric(metric, &list.index(index), &mut errors);
        }
        let behavior = at.child("behavior");
        for direction in ["scaleUp", "scaleDown"] {
            let rules = &spec["behavior"][direction];
            if !rules.is_null() {
                validate_scaling(rules, &behavior.child(direction), &mut errors);
            }
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let object = &*as_second(object);
        let spec = &object["spec"];
        let target = &spec["scaleTargetRef"];
        let least = spec["minReplicas"].as_i64().map_or_else(|| "<unset>".to_owned(), |count| count.to_string());
        vec![
            print::name(object),
            format!("{}/{}", text(&target["kind"]), text(&target["name"])).into(),
            targets(object).into(),
            least.into(),
            integer(&spec["maxReplicas"]).to_string().into(),
            integer(&object["status"]["currentReplicas"]).to_string().into(),
            print::age(object, now),
        ]
    }
}

fn conversion() -> Option<&'static Conversion> {
    conversion::of("autoscaling", "horizontalpodautoscalers")
}

/// The object with the fields that the second version has.
fn as_second(object: &Value) -> Cow<'_, Value> {
    if text(&object["apiVersion"]) != "autoscaling/v1" {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    if let Some(conversion) = conversion() {
        conversion.convert(&mut object, conversion.stored);
    }
    Cow::Owned(object)
}

fn default_behavior(spec: &mut serde_json::Map<String, Value>) {
    let Some(behavior) = object(spec, "behavior") else { return };
    if let Some(up) = object_or_new(behavior, "scaleUp") {
        set(up, "stabilizationWindowSeconds", 0);
        set_zero(up, "selectPolicy", "Max");
        let (pods, percent) = (
            json!({"type": "Pods", "value": 4, "periodSeconds": 15}),
            json!({"type": "Percent", "value": 100, "periodSeconds": 15}),
        );
        set_zero(up, "policies", vec![pods, percent]);
    }
    if let Some(down) = object_or_new(behavior, "scaleDown") {
        set_zero(down, "selectPolicy", "Max");
        set_zero(down, "policies", vec![json!({"type": "Percent", "value": 100, "periodSeconds": 15})]);
    }
}

fn validate_scaling(rules: &Value, at: &At<'_>, errors: &mut Errors) {
    let window = at.child("stabilizationWindowSeconds");
    match rules["stabilizationWindowSeconds"].as_i64() {
        Some(seconds) if seconds < 0 => errors.invalid(&window, seconds, "must be greater than or equal to zero"),
        Some(seconds) if seconds > LONGEST_WINDOW => {
            errors.invalid(&window, seconds, format!("must be less than or equal to {LONGEST_WINDOW}"));
        }
        _ => {}
    }
    errors.one_of(&at.child("selectPolicy"), &rules["selectPolicy"], &["Disabled", "Max", "Min"]);
    let list = at.child("policies");
    if items(&rules["policies"]).is_empty() {
        errors.required(&list, "must specify at least one Policy");
    }
    for (index, policy) in items(&rules["policies"]).iter().enumerate() {
        let at = list.index(index);
        if !matches!(text(&policy["type"]), "Percent" | "Pods") {
            errors.not_supported(&at.child("type"), policy["type"].clone(), &["Percent", "Pods"]);
        }
        for field in ["value", "periodSeconds"] {
            if integer(&policy[field]) <= 0 {
                errors.invalid(&at.child(field), integer(&policy[field]), "must be greater than zero");
            }
        }
        if integer(&policy["periodSeconds"]) > LONGEST_PERIOD {
            let detail = format!("must be less than or equal to {LONGEST_PERIOD}");
            errors.invalid(&at.child("periodSeconds"), policy["periodSeconds"].clone(), detail);
        }
    }
}

fn validate_metric(metric: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = text(&metric["type"]);
    if kind.is_empty() {
        errors.required(&at.child("type"), "must specify a metric source type");
        return;
    }
    let Some((_, field)) = METRICS.iter().find(|(name, _)| *name == kind) else {
        errors.not_supported(&at.child("type"), kind, &METRICS.map(|(name, _)| name));
        return;
    };
    let source = &metric[*field];
    if source.is_null() {
        errors.required(&at.child(field), "must populate information for the given metric source");
        return;
    }
    let at = at.child(field);
    if kind == "Resource" || kind == "ContainerResource" {
        if !is_set(&source["name"]) {
            errors.required(&at.child("name"), "must specify a resource name");
        }
    } else if !is_set(&source["metric"]["name"]) {
        let metric = at.child("metric");
        errors.required(&metric.child("name"), "must specify a metric name");
    }
    let (target, at) = (&source["target"], at.child("target"));
    errors.required_one_of(&at.child("type"), &target["type"], &["AverageValue", "Utilization", "Value"]);
    if let Some(share) = target["averageUtilization"].as_i64().filter(|share| *share < 1) {
        errors.invalid(&at.child("averageUtilization"), share, POSITIVE);
    }
}

fn targets(object: &Value) -> String {
    let (wanted, current) = (items(&object["spec"]["metrics"]), items(&object["status"]["currentMetrics"]));
    if wanted.is_empty() {
        return print::NONE.to_owned();
    }
    let shown: Vec<String> =
        wanted.iter().take(SHOWN).enumerate().map(|(index, metric)| target(metric, current.get(index))).collect();
    let listed = shown.join(", ");
    if wanted.len() > SHOWN { format!("{listed} + {} more...", wanted.len() - SHOWN) } else { listed }
}

/// One metric as `cpu: 12%/80%`.
fn target(metric: &Value, current: Option<&Value>) -> String {
    let kind = text(&metric["type"]);
    let Some((_, field)) = METRICS.iter().find(|(name, _)| *name == kind) else { return "<unknown type>".to_owned() };
    let (wanted, is) = (&metric[*field]["target"], current.map_or(&Value::Null, |current| &current[*field]["current"]));
    let prefix = match kind {
        "Resource" | "ContainerResource" => format!("{}: ", text(&metric[*field]["name"])),
        _ => String::new(),
    };
    if let Some(share) = wanted["averageUtilization"].as_i64() {
        let is =
            is["averageUtilization"].as_i64().map_or_else(|| print::UNKNOWN.to_owned(), |share| format!("{share}%"));
        return format!("{prefix}{is}/{share}%");
    }
    let (field, suffix) = if is_set(&wanted["averageValue"]) {
        ("averageValue", if matches!(kind, "External" | "Object") { " (avg)" } else { "" })
    } else {
        ("value", "")
    };
    format!("{prefix}{}/{}{suffix}", is[field].as_str().unwrap_or(print::UNKNOWN), text(&wanted[field]))
}
