//! Horizontal pod autoscalers.

use std::borrow::Cow;

use portolan_api::conversion::{self, Conversion, drop_annotations};
use portolan_api::{field, quantity::Quantity, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::core::resource_name::{is_standard, is_standard_for_containers};
use crate::resources::json::{self, is_set, items, object, object_or_new, set, spec, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of horizontal pod autoscalers. The first version is held to the same rules once converted.
pub(crate) struct HorizontalPodAutoscaler;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Reference").of("autoscaling.HorizontalPodAutoscalerSpec", "scaleTargetRef"),
    Column::string("Targets").of("autoscaling.HorizontalPodAutoscalerSpec", "metrics"),
    Column::string("MinPods").of("autoscaling.HorizontalPodAutoscalerSpec", "minReplicas"),
    Column::string("MaxPods").of("autoscaling.HorizontalPodAutoscalerSpec", "maxReplicas"),
    Column::string("Replicas").of("autoscaling.HorizontalPodAutoscalerStatus", "currentReplicas"),
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
/// The fields in the order in which they are looked at: the first that is there is held to its rules.
const SOURCES: [&str; 5] = ["object", "external", "pods", "resource", "containerResource"];
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
        validate(object, false)
    }

    fn revalidates(&self) -> bool {
        false
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        if context.subresource == "status" {
            let mut errors = Errors::default();
            errors.status_counts(&new["status"], &["currentReplicas", "desiredReplicas"], &[]);
            return errors.0;
        }
        // What was scaled before may be, however it is named.
        let target = |object: &Value| as_second(object)["spec"]["scaleTargetRef"].clone();
        let (after, before) = (target(new), target(old));
        validate(new, ["apiVersion", "kind"].iter().all(|field| json::same(&after[*field], &before[*field])))
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
            integer(&spec["maxReplicas"]).into(),
            integer(&object["status"]["currentReplicas"]).into(),
            print::age(object, now),
        ]
    }
}

/// What is wrong with an autoscaler; `is_kept` says that it scales what it did before.
fn validate(object: &Value, is_kept: bool) -> Vec<field::Error> {
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
    // The only kind of the core group that has a scale.
    let is_core = spec["scaleTargetRef"]["kind"] == "ReplicationController";
    let group = if is_core || is_kept { Group::Optional } else { Group::Needed };
    validate_reference(&spec["scaleTargetRef"], &target, group, &mut errors);
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
        set(up, "selectPolicy", "Max");
        let (pods, percent) = (
            json!({"type": "Pods", "value": 4, "periodSeconds": 15}),
            json!({"type": "Percent", "value": 100, "periodSeconds": 15}),
        );
        set(up, "policies", vec![pods, percent]);
    }
    if let Some(down) = object_or_new(behavior, "scaleDown") {
        set(down, "selectPolicy", "Max");
        set(down, "policies", vec![json!({"type": "Percent", "value": 100, "periodSeconds": 15})]);
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
    errors.one_of_if_present(&at.child("selectPolicy"), &rules["selectPolicy"], &["Disabled", "Max", "Min"]);
    let list = at.child("policies");
    if items(&rules["policies"]).is_empty() {
        errors.required(&list, "must specify at least one Policy");
    }
    for (index, policy) in items(&rules["policies"]).iter().enumerate() {
        let at = list.index(index);
        if !matches!(text(&policy["type"]), "Percent" | "Pods") {
            errors.not_supported(&at.child("type"), text(&policy["type"]), &["Percent", "Pods"]);
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
    if !rules["tolerance"].is_null() {
        errors.quantity(&at.child("tolerance"), &rules["tolerance"]);
    }
}

/// What is scaled or described.
fn validate_reference(reference: &Value, at: &At<'_>, group: Group, errors: &mut Errors) {
    for field in ["kind", "name"] {
        errors.required_name(&at.child(field), &reference[field], validation::is_path_segment_name);
    }
    let version = text(&reference["apiVersion"]);
    let problem = match version.matches('/').count() {
        0 | 1 if group == Group::Optional || version.find('/').is_some_and(|length| length > 0) => return,
        0 | 1 => "apiVersion must specify API group".to_owned(),
        _ => format!("unexpected GroupVersion string: {version}"),
    };
    errors.invalid(&at.child("apiVersion"), version, problem);
}

/// Whether the version of what is referred to must be of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Needed,
    Optional,
}

fn validate_metric(metric: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = text(&metric["type"]);
    let names = METRICS.map(|(name, _)| name);
    if kind.is_empty() {
        errors.required(&at.child("type"), "must specify a metric source type");
    }
    let field = METRICS.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    if field.is_none() {
        errors.not_supported(&at.child("type"), kind, &names);
    }
    let present: Vec<&str> = SOURCES.into_iter().filter(|source| !metric[*source].is_null()).collect();
    if let Some(first) = present.first() {
        validate_source(first, &metric[*first], &at.child(first), errors);
    }
    match field {
        None => errors.not_supported(&at.child("type"), kind, &names),
        Some(field) if metric[field].is_null() => {
            errors.required(&at.child(field), "must populate information for the given metric source");
        }
        Some(_) => {}
    }
    if present.len() > 1 {
        for other in present.into_iter().filter(|source| Some(*source) != field) {
            errors.forbidden(&at.child(other), "must populate the given metric source only");
        }
    }
}

fn validate_source(kind: &str, source: &Value, at: &At<'_>, errors: &mut Errors) {
    let (target, at_target) = (&source["target"], at.child("target"));
    match kind {
        "resource" => {
            if !is_set(&source["name"]) {
                errors.required(&at.child("name"), "must specify a resource name");
            }
        }
        "containerResource" => validate_container_resource(source, at, errors),
        _ => {
            if kind == "object" {
                let at = at.child("describedObject");
                validate_reference(&source["describedObject"], &at, Group::Optional, errors);
            }
            let metric = at.child("metric");
            let (name, at) = (&source["metric"]["name"], metric.child("name"));
            if is_set(name) {
                errors.obeys(&at, text(name), validation::is_path_segment_name);
            } else {
                errors.required(&at, "must specify a metric name");
            }
        }
    }
    validate_target(target, &at_target, errors);
    let has = |field: &str| !target[field].is_null();
    let average = at_target.child("averageValue");
    match kind {
        "resource" | "containerResource" => {
            if !has("averageUtilization") && !has("averageValue") {
                let detail = "must set either a target raw value or a target utilization";
                errors.required(&at_target.child("averageUtilization"), detail);
            } else if has("averageUtilization") && has("averageValue") {
                errors.forbidden(&average, "may not set both a target raw value and a target utilization");
            }
        }
        "pods" if !has("averageValue") => errors.required(&average, "must specify a positive target averageValue"),
        "object" if !has("value") && !has("averageValue") => {
            errors.required(&average, "must set either a target value or averageValue");
        }
        "external" if !has("value") && !has("averageValue") => {
            errors.required(&average, "must set either a target value for metric or a per-pod target");
        }
        "external" if has("value") && has("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.forbidden(&at_target.child("value"), detail);
        }
        _ => {}
    }
}

fn validate_container_resource(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let (at_name, name) = (at.child("name"), text(&source["name"]));
    if name.is_empty() {
        errors.required(&at_name, "must specify a resource name");
    } else {
        let before = errors.0.len();
        errors.obeys(&at_name, name, validation::is_qualified_name);
        if errors.0.len() == before && !name.contains('/') && !is_standard(name) {
            errors.invalid(&at_name, name, "must be a standard resource type or fully qualified");
        }
        if !name.contains('/') && !is_standard_for_containers(name) {
            errors.invalid(&at_name, name, "must be a standard resource for containers");
        }
    }
    let container = &source["container"];
    if is_set(container) {
        errors.obeys(&at.child("container"), text(container), validation::is_dns1123_label);
    } else {
        errors.required(&at.child("container"), "must specify a container");
    }
}

fn validate_target(target: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = text(&target["type"]);
    if kind.is_empty() {
        errors.required(&at.child("type"), "must specify a metric target type");
    }
    if !matches!(kind, "AverageValue" | "Utilization" | "Value") {
        errors.invalid(&at.child("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        let amount = target[field].as_str().and_then(|amount| Quantity::parse(amount).ok());
        if amount.is_some_and(|amount| amount.is_zero() || amount.is_negative()) {
            errors.invalid(&at.child(field), target[field].clone(), "must be positive");
        }
    }
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
