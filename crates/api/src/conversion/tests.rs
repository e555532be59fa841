use serde_json::{Value, json};

use super::{home, of};

/// Converts there and back; the way back must lead to what came in.
fn check(resource: (&str, &str), from: Value, to: Value) {
    let conversion = of(resource.0, resource.1).expect("is converted");
    let (first, second) = (text(&from), text(&to));
    let mut object = from.clone();
    conversion.convert(&mut object, &second);
    assert_eq!(parsed(object.clone()), parsed(to), "{first} to {second}");
    conversion.convert(&mut object, &first);
    assert_eq!(parsed(object), parsed(from), "back to {first}");
}

fn text(object: &Value) -> String {
    object["apiVersion"].as_str().expect("has a version").to_owned()
}

/// Annotations hold JSON, whose order does not matter.
fn parsed(mut object: Value) -> Value {
    for value in object["metadata"]["annotations"].as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
        if let Some(inner) = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            *value = inner;
        }
    }
    if object["metadata"]["annotations"].is_null() {
        object["metadata"].as_object_mut().map(|metadata| metadata.remove("annotations"));
    }
    object
}

#[test]
fn events_of_both_groups_are_the_same_under_other_names() {
    check(
        ("", "events"),
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "message": "m", "reason": "r", "type": "Normal",
            "involvedObject": {"kind": "Pod", "name": "p"}, "count": 3, "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-02T00:00:00Z", "source": {"component": "c", "host": "h"}, "action": "a",
            "reportingComponent": "rc", "reportingInstance": "ri", "series": {"count": 2}, "related": {"name": "x"},
        }),
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "m", "reason": "r",
            "type": "Normal", "regarding": {"kind": "Pod", "name": "p"}, "deprecatedCount": 3,
            "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": "2026-01-02T00:00:00Z",
            "deprecatedSource": {"component": "c", "host": "h"}, "action": "a", "reportingController": "rc",
            "reportingInstance": "ri", "series": {"count": 2}, "related": {"name": "x"},
        }),
    );
    let mut unreported = json!({"apiVersion": "v1", "message": "m", "reportingComponent": "", "reportingInstance": ""});
    of("", "events").expect("is converted").convert(&mut unreported, "events.k8s.io/v1");
    assert_eq!(unreported, json!({"apiVersion": "events.k8s.io/v1", "note": "m"}));
    assert_eq!(home("events.k8s.io", "events"), "");
    assert_eq!(home("events.k8s.io", "others"), "events.k8s.io");
}

fn second(spec: Value, status: Value) -> Value {
    json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": spec, "status": status})
}

fn first(annotations: Value, spec: Value, status: Value) -> Value {
    let metadata = match &annotations {
        Value::Null => json!({"name": "a"}),
        annotations => json!({"name": "a", "annotations": annotations}),
    };
    let mut object = json!({"apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status});
    for value in object["metadata"]["annotations"].as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
        if !value.is_string() {
            *value = value.to_string().into();
        }
    }
    object
}

fn annotation(name: &str, value: Value) -> Value {
    json!({format!("autoscaling.alpha.kubernetes.io/{name}"): value})
}

#[test]
fn metrics_of_autoscalers_move_between_fields_and_annotations() {
    let metric = |kind: &str, field: &str, source: Value| json!({"type": kind, field: source});
    let utilization = |name: &str, share: i64| {
        let target = json!({"type": "Utilization", "averageUtilization": share});
        metric("Resource", "resource", json!({"name": name, "target": target}))
    };
    let selector = json!({"matchLabels": {"a": "b"}});
    let flat_and_nested = [
        (
            metric("Resource", "resource", json!({"name": "memory", "targetAverageUtilization": 70})),
            utilization("memory", 70),
        ),
        (
            metric("Resource", "resource", json!({"name": "cpu", "targetAverageValue": "100m"})),
            metric(
                "Resource",
                "resource",
                json!({"name": "cpu", "target": {"type": "AverageValue", "averageValue": "100m"}}),
            ),
        ),
        (
            metric(
                "ContainerResource",
                "containerResource",
                json!({"name": "cpu", "container": "c", "targetAverageUtilization": 5}),
            ),
            metric(
                "ContainerResource",
                "containerResource",
                json!({"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 5}}),
            ),
        ),
        (
            metric("Pods", "pods", json!({"metricName": "m", "selector": selector, "targetAverageValue": "1k"})),
            metric(
                "Pods",
                "pods",
                json!({
                    "metric": {"name": "m", "selector": selector},
                    "target": {"type": "AverageValue", "averageValue": "1k"},
                }),
            ),
        ),
        (
            metric("Object", "object", json!({"metricName": "m", "target": {"name": "o"}, "targetValue": "10"})),
            metric(
                "Object",
                "object",
                json!({
                    "metric": {"name": "m"}, "describedObject": {"name": "o"}, "target": {"type": "Value", "value": "10"},
                }),
            ),
        ),
        (
            metric(
                "Object",
                "object",
                json!({"metricName": "m", "target": {"name": "o"}, "targetValue": "0", "averageValue": "5"}),
            ),
            metric(
                "Object",
                "object",
                json!({
                    "metric": {"name": "m"}, "describedObject": {"name": "o"},
                    "target": {"type": "AverageValue", "averageValue": "5"},
                }),
            ),
        ),
        (
            metric(
                "External",
                "external",
                json!({"metricName": "m", "metricSelector": selector, "targetAverageValue": "3"}),
            ),
            metric(
                "External",
                "external",
                json!({
                    "metric": {"name": "m", "selector": selector},
                    "target": {"type": "AverageValue", "averageValue": "3"},
                }),
            ),
        ),
    ];
    for (flat, nested) in flat_and_nested {
        check(
            ("autoscaling", "horizontalpodautoscalers"),
            second(
                json!({"maxReplicas": 3, "metrics": [nested, utilization("cpu", 50)]}),
                json!({"currentMetrics": null}),
            ),
            first(
                annotation("metrics", json!([flat])),
                json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}),
                json!({"currentReplicas": 0}),
            ),
        );
    }
}

#[test]
fn behavior_and_status_of_autoscalers_stand_in_annotations() {
    let cpu = json!([{
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }]);
    let policies = json!([{"type": "Pods", "value": 4, "periodSeconds": 15}]);
    let mut annotations = annotation(
        "behavior",
        json!({
            "ScaleUp": {
                "StabilizationWindowSeconds": 0, "SelectPolicy": "Max", "Tolerance": null,
                "Policies": [{"Type": "Pods", "Value": 4, "PeriodSeconds": 15}],
            },
            "ScaleDown": null,
        }),
    );
    let measured = json!([{
        "type": "Resource",
        "resource": {"name": "cpu", "currentAverageUtilization": 12, "currentAverageValue": "3m"},
    }]);
    let condition = json!([{"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    for (name, value) in [("current-metrics", measured), ("conditions", condition.clone())] {
        annotations[format!("autoscaling.alpha.kubernetes.io/{name}")] = value;
    }
    annotations["kept"] = "yes".into();
    let mut from = second(
        json!({
            "maxReplicas": 3, "metrics": cpu,
            "behavior": {"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": policies}},
        }),
        json!({
            "currentReplicas": 1, "conditions": condition,
            "currentMetrics": [{
                "type": "Resource",
                "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "3m"}},
            }],
        }),
    );
    from["metadata"]["annotations"] = json!({"kept": "yes"});
    check(
        ("autoscaling", "horizontalpodautoscalers"),
        from,
        first(
            annotations,
            json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}),
            json!({"currentReplicas": 1, "currentCPUUtilizationPercentage": 12}),
        ),
    );
}

#[test]
fn each_version_of_an_autoscaler_always_shows_other_fields() {
    let conversion = of("autoscaling", "horizontalpodautoscalers").expect("is converted");
    let cpu = json!({"maxReplicas": 1, "targetCPUUtilizationPercentage": 9});
    let mut object = first(Value::Null, cpu, json!({"currentReplicas": 0, "desiredReplicas": 0}));
    let came = object.clone();
    conversion.convert(&mut object, "autoscaling/v2");
    assert_eq!(object["status"], json!({"currentMetrics": null, "desiredReplicas": 0}));
    conversion.convert(&mut object, "autoscaling/v1");
    assert_eq!(object, came);
}

#[test]
fn an_annotation_that_is_no_field_is_dropped() {
    let cases = [
        annotation("metrics", json!("not json")),
        annotation("metrics", json!({"no": "list"})),
        annotation("metrics", json!([{"type": "Resource", "resource": {"name": 5}}])),
        annotation("metrics", json!([7])),
        annotation("behavior", json!({"scaleup": {"policies": "none"}})),
        annotation("behavior", json!([])),
        annotation("behavior", json!({})),
        annotation("conditions", json!([{"type": {}}])),
        annotation("current-metrics", json!([{"type": "Pods", "pods": {"currentAverageValue": []}}])),
    ];
    for annotations in cases {
        let mut object =
            first(annotations.clone(), json!({"maxReplicas": 1, "targetCPUUtilizationPercentage": 9}), json!({}));
        of("autoscaling", "horizontalpodautoscalers").expect("is converted").convert(&mut object, "autoscaling/v2");
        let target = json!({"type": "Utilization", "averageUtilization": 9});
        let expected = second(
            json!({
                "maxReplicas": 1, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            }),
            json!({"currentMetrics": null}),
        );
        assert_eq!(object, expected, "{annotations}");
    }
}
