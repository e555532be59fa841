//! Horizontal pod autoscalers: what `autoscaling/v1` has no fields for stands in its annotations.
//!
//! The annotations are written and read as upstream does it (`pkg/apis/autoscaling/v1/conversion.go`): metrics in
//! the flat form of the first version, `behavior` under the names that its Go fields have.

use serde_json::{Map, Value, json};

use crate::description::{GroupVersionKind, builtin};
use crate::schema;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Annotations that stand for fields; no version keeps them beside those.
const ANNOTATIONS: [&str; 6] = [
    METRICS,
    CURRENT_METRICS,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

const SECOND: GroupVersionKind<'_> =
    GroupVersionKind { group: "autoscaling", version: "v2", kind: "HorizontalPodAutoscaler" };

/// Utilization that is aimed at if nothing is said.
const UTILIZATION: i64 = 80;

/// A field of a metric: where the first version has it and where the second.
struct Place {
    flat: &'static str,
    nested: &'static [&'static str],
    /// A quantity that the first version always has.
    is_required: bool,
}

const fn place(flat: &'static str, nested: &'static [&'static str]) -> Place {
    Place { flat, nested, is_required: false }
}

const fn required(flat: &'static str, nested: &'static [&'static str]) -> Place {
    Place { flat, nested, is_required: true }
}

/// The fields of the sources of metrics, by the field that holds the source.
const WANTED: &[(&str, &[Place])] = &[
    ("resource", &[NAME, place("targetAverageUtilization", UTILIZATION_OF), place("targetAverageValue", AVERAGE)]),
    (
        "containerResource",
        &[NAME, CONTAINER, place("targetAverageUtilization", UTILIZATION_OF), place("targetAverageValue", AVERAGE)],
    ),
    ("pods", &[METRIC, SELECTOR, required("targetAverageValue", AVERAGE)]),
    (
        "object",
        &[
            METRIC,
            SELECTOR,
            place("target", &["describedObject"]),
            required("targetValue", &["target", "value"]),
            place("averageValue", AVERAGE),
        ],
    ),
    (
        "external",
        &[
            METRIC,
            place("metricSelector", &["metric", "selector"]),
            place("targetValue", &["target", "value"]),
            place("targetAverageValue", AVERAGE),
        ],
    ),
];

/// The same for what was measured.
const MEASURED: &[(&str, &[Place])] = &[
    (
        "resource",
        &[
            NAME,
            place("currentAverageUtilization", &["current", "averageUtilization"]),
            required("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "containerResource",
        &[
            NAME,
            CONTAINER,
            place("currentAverageUtilization", &["current", "averageUtilization"]),
            required("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    ("pods", &[METRIC, SELECTOR, required("currentAverageValue", &["current", "averageValue"])]),
    (
        "object",
        &[
            METRIC,
            SELECTOR,
            place("target", &["describedObject"]),
            required("currentValue", &["current", "value"]),
            place("averageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "external",
        &[
            METRIC,
            place("metricSelector", &["metric", "selector"]),
            required("currentValue", &["current", "value"]),
            place("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
];

const NAME: Place = place("name", &["name"]);
const CONTAINER: Place = place("container", &["container"]);
const METRIC: Place = place("metricName", &["metric", "name"]);
const SELECTOR: Place = place("selector", &["metric", "selector"]);
const UTILIZATION_OF: &[&str] = &["target", "averageUtilization"];
const AVERAGE: &[&str] = &["target", "averageValue"];

/// Drops the annotations of a horizontal pod autoscaler that stand for fields.
pub fn drop_annotations(object: &mut Map<String, Value>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    let before = annotations.len();
    annotations.retain(|name, _| !ANNOTATIONS.contains(&name.as_str()));
    if annotations.is_empty() && before > 0 {
        metadata.remove("annotations");
    }
}

pub(super) fn to_first(object: &mut Map<String, Value>) {
    drop_annotations(object);
    let mut found = Vec::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let mut others = Vec::new();
        for metric in list(spec.remove("metrics")) {
            match cpu_utilization(&metric, "target") {
                Some(utilization) => drop(spec.entry("targetCPUUtilizationPercentage").or_insert(utilization)),
                None => others.push(flattened(&metric, WANTED)),
            }
        }
        if !others.is_empty() {
            found.push((METRICS, Value::Array(others)));
        }
        if let Some(behavior) = spec.remove("behavior").filter(|behavior| !behavior.is_null()) {
            found.push((BEHAVIOR, go_behavior(&behavior)));
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.entry("currentReplicas").or_insert(Value::from(0));
        let metrics = list(status.remove("currentMetrics"));
        let utilization = metrics.iter().filter_map(|metric| cpu_utilization(metric, "current")).next_back();
        if let Some(utilization) = utilization {
            status.insert("currentCPUUtilizationPercentage".to_owned(), utilization);
        }
        // The raw value has no other place, so these are kept even if the utilization has a field.
        if !metrics.is_empty() {
            found.push((CURRENT_METRICS, metrics.iter().map(|metric| flattened(metric, MEASURED)).collect()));
        }
        let conditions = list(status.remove("conditions"));
        if !conditions.is_empty() {
            found.push((CONDITIONS, Value::Array(conditions)));
        }
    }
    if found.is_empty() {
        return;
    }
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    for (name, value) in found {
        metadata["annotations"][name] = value.to_string().into();
    }
}

pub(super) fn to_second(object: &mut Map<String, Value>) {
    let annotations = object.get("metadata").map(|metadata| metadata["annotations"].clone()).unwrap_or_default();
    let read = |name: &str| serde_json::from_str::<Value>(annotations[name].as_str()?).ok();
    let spec = object.entry("spec").or_insert_with(|| json!({}));
    if let Some(spec) = spec.as_object_mut() {
        let utilization = spec.remove("targetCPUUtilizationPercentage").filter(|share| !share.is_null());
        let others = read(METRICS).and_then(|metrics| fitting("spec", "metrics", wanted(&metrics)?));
        let mut metrics = list(others);
        metrics.extend(utilization.map(|share| cpu_metric(&share)));
        if metrics.is_empty() {
            metrics.push(cpu_metric(&UTILIZATION.into()));
        }
        spec.insert("metrics".to_owned(), Value::Array(metrics));
        let behavior = read(BEHAVIOR).map(|behavior| from_go(&behavior));
        let behavior = behavior.filter(|behavior| behavior.as_object().is_some_and(|fields| !fields.is_empty()));
        if let Some(behavior) = behavior.and_then(|behavior| fitting("spec", "behavior", behavior)) {
            spec.insert("behavior".to_owned(), behavior);
        }
    }
    let metrics =
        read(CURRENT_METRICS).and_then(|metrics| fitting("status", "currentMetrics", nested_all(&metrics, MEASURED)?));
    let conditions = read(CONDITIONS).and_then(|conditions| fitting("status", "conditions", conditions));
    if metrics.is_some() || conditions.is_some() {
        object.entry("status").or_insert_with(|| json!({}));
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let utilization = status.remove("currentCPUUtilizationPercentage").filter(|share| !share.is_null());
        let from_field = utilization.map(|share| {
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": share}}}])
        });
        status.insert("currentMetrics".to_owned(), metrics.or(from_field).unwrap_or_default());
        if let Some(conditions) = conditions {
            status.insert("conditions".to_owned(), conditions);
        }
        // Each version always shows one of the two numbers, and the other one only if it is some.
        if status.get("currentReplicas").is_some_and(|count| count == 0) {
            status.remove("currentReplicas");
        }
    }
    drop_annotations(object);
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The utilization of a metric of the processor, if it is one.
fn cpu_utilization(metric: &Value, side: &str) -> Option<Value> {
    let is_cpu = metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
    let utilization = &metric["resource"][side]["averageUtilization"];
    (is_cpu && !utilization.is_null()).then(|| utilization.clone())
}

fn cpu_metric(utilization: &Value) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": utilization});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

/// A metric as the first version writes it.
fn flattened(metric: &Value, sources: &[(&str, &[Place])]) -> Value {
    let mut written = json!({"type": metric["type"]});
    for (field, places) in sources {
        let source = &metric[*field];
        if source.is_null() {
            continue;
        }
        let mut flat = Map::new();
        for Place { flat: name, nested, is_required } in *places {
            let value = nested.iter().fold(source, |value, step| &value[*step]);
            match value {
                Value::Null if *is_required => drop(flat.insert((*name).to_owned(), "0".into())),
                Value::Null => {}
                value => drop(flat.insert((*name).to_owned(), value.clone())),
            }
        }
        written[*field] = Value::Object(flat);
    }
    written
}

/// The metrics that are aimed at, as the second version writes them.
fn wanted(metrics: &Value) -> Option<Value> {
    let mut read = nested_all(metrics, WANTED)?;
    for metric in read.as_array_mut().into_iter().flatten() {
        for (field, _) in WANTED {
            if let Some(source) = metric.get_mut(field) {
                set_target_type(field, source);
            }
        }
    }
    Some(read)
}

fn nested_all(metrics: &Value, sources: &[(&str, &[Place])]) -> Option<Value> {
    let read = metrics.as_array()?.iter().map(|metric| metric.is_object().then(|| nested(metric, sources)));
    read.collect()
}

/// A metric as the second version writes it.
fn nested(metric: &Value, sources: &[(&str, &[Place])]) -> Value {
    let mut written = json!({"type": metric["type"].as_str().unwrap_or_default()});
    for (field, places) in sources {
        let source = &metric[*field];
        if !source.is_object() {
            continue;
        }
        let mut deep = json!({});
        for Place { flat, nested, is_required } in *places {
            let value = match &source[*flat] {
                Value::Null if *is_required => Value::from("0"),
                Value::Null => continue,
                value => value.clone(),
            };
            match *nested {
                [name] => deep[*name] = value,
                [outer, name] => deep[*outer][*name] = value,
                _ => {}
            }
        }
        written[*field] = deep;
    }
    written
}

/// The first version does not say what kind of target it has.
fn set_target_type(field: &str, source: &mut Value) {
    let target = &mut source["target"];
    let has = |name: &str| !target[name].is_null();
    let kind = match field {
        "resource" | "containerResource" if has("averageUtilization") => "Utilization",
        "external" if has("value") => "Value",
        "object" if !has("averageValue") => "Value",
        _ => "AverageValue",
    };
    // The first version cannot leave the value out, which beside an average means nothing.
    if field == "object" && kind == "AverageValue" && target["value"] == "0" {
        target.as_object_mut().map(|target| target.remove("value"));
    }
    target["type"] = kind.into();
}

/// What an annotation says, if the field that it stands for can hold it.
fn fitting(half: &str, field: &str, value: Value) -> Option<Value> {
    let probe = json!({half: {field: value}});
    let findings = builtin().schema(SECOND).map(|schema| schema::check_at(&probe, schema)).unwrap_or_default();
    let Value::Object(mut probe) = probe else { return None };
    let fits = findings.wrong_type.is_none() && findings.unknown.is_empty();
    probe.get_mut(half).filter(|_| fits).map(|half| half[field].take())
}

/// Fields of `behavior`, by the names that they have in Go and in the API, and whether they may be absent.
const RULES: [(&str, &str); 4] = [
    ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
    ("SelectPolicy", "selectPolicy"),
    ("Policies", "policies"),
    ("Tolerance", "tolerance"),
];
const POLICY: [(&str, &str); 3] = [("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds")];
const DIRECTIONS: [(&str, &str); 2] = [("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")];

/// `behavior` as Go encodes a struct without names of its own.
fn go_behavior(behavior: &Value) -> Value {
    let policy = |policy: &Value| renamed(policy, &POLICY, |_, value| value.clone());
    let rules = |rules: &Value| {
        renamed(rules, &RULES, |name, value| match value {
            Value::Array(policies) if name == "Policies" => policies.iter().map(policy).collect(),
            value => value.clone(),
        })
    };
    renamed(behavior, &DIRECTIONS, |_, value| if value.is_null() { Value::Null } else { rules(value) })
}

fn renamed(value: &Value, names: &[(&str, &str)], inner: impl Fn(&str, &Value) -> Value) -> Value {
    names.iter().map(|(go, own)| ((*go).to_owned(), inner(go, &value[*own]))).collect::<Map<_, _>>().into()
}

/// The same back. Go reads names in any case.
fn from_go(behavior: &Value) -> Value {
    read_as(behavior, &DIRECTIONS, |_, rules| {
        read_as(rules, &RULES, |name, value| match value {
            Value::Array(policies) if name == "policies" => {
                policies.iter().map(|policy| read_as(policy, &POLICY, |_, value| value.clone())).collect()
            }
            value => value.clone(),
        })
    })
}

fn read_as(value: &Value, names: &[(&str, &str)], inner: impl Fn(&str, &Value) -> Value) -> Value {
    // A value of a wrong type is kept, for the schema to refuse.
    let Some(fields) = value.as_object() else { return value.clone() };
    let mut read = Map::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        if let Some((_, own)) = names.iter().find(|(go, _)| go.eq_ignore_ascii_case(name)) {
            read.insert((*own).to_owned(), inner(own, value));
        }
    }
    Value::Object(read)
}
