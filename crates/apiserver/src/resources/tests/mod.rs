//! Tables of cases for all kinds: YAML in, errors, defaults or a row out.

mod defaults;
mod definitions;
mod device_allocations;
mod device_slices;
mod devices;
mod edges;
mod extensions;
mod immutable;
mod jobs;
mod long;
mod of_pods;
mod others;
mod pod_rows;
mod refusals;
mod rows;
mod services;
mod statuses;
mod updates;
mod upstream;
mod validation;
mod warnings;

use expect_test::Expect;
use portolan_base::Timestamp;
use serde_json::Value;

use super::core::pod_template::drop_disabled_of;
use super::strategy;
use crate::strategy::{Context, Strategy};

/// The moment at which all rows are printed.
const NOW: &str = "2026-01-02T03:04:05Z";

fn now() -> Timestamp {
    NOW.parse().expect("a timestamp")
}

fn context(subresource: &str) -> Context {
    Context { now: now(), namespace: "default".into(), subresource: subresource.into(), user: "someone".into() }
}

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

fn of(resource: &str) -> &'static dyn Strategy {
    let (group, resource) = resource.rsplit_once('/').unwrap_or(("", resource));
    strategy(group, resource)
}

/// What a client gets that creates each of these objects.
fn check_create(resource: &str, objects: &[&str], expected: Expect) {
    let lines: Vec<String> = objects.iter().map(|text| create(resource, text)).collect();
    expected.assert_eq(&lines.join("\n"));
}

fn create(resource: &str, text: &str) -> String {
    let (strategy, mut object) = (of(resource), yaml(text));
    strategy.default(&mut object);
    strategy.prepare_for_create(&mut object, &context(""));
    let mut errors = strategy.validate(&object, &context(""));
    errors.extend(strategy.validate_create(&object, &context("")));
    lines(&errors)
}

fn lines(errors: &[portolan_api::field::Error]) -> String {
    if errors.is_empty() {
        return "ok".to_owned();
    }
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What a client gets that changes the first object into the second.
fn check_update(resource: &str, cases: &[(&str, &str)], expected: Expect) {
    check_update_of(resource, "", cases, expected);
}

/// The same for a subresource.
fn check_update_of(resource: &str, subresource: &str, cases: &[(&str, &str)], expected: Expect) {
    let (strategy, context) = (of(resource), context(subresource));
    let update = |(old, new): &(&str, &str)| {
        let (mut old, mut new) = (yaml(old), yaml(new));
        strategy.default(&mut old);
        strategy.prepare_for_create(&mut old, &context);
        strategy.default(&mut new);
        strategy.prepare_for_update(&mut new, &old, &context);
        lines(&strategy.validate_changed(&new, &old, &context, &mut Vec::new()))
    };
    expected.assert_eq(&cases.iter().map(update).collect::<Vec<_>>().join("\n"));
}

/// The object after a create.
fn check_stored(resource: &str, text: &str, expected: Expect) {
    let (strategy, mut object) = (of(resource), yaml(text));
    strategy.default(&mut object);
    let (group, name) = resource.rsplit_once('/').unwrap_or(("", resource));
    drop_disabled_of(group, name, &mut object);
    strategy.prepare_for_create(&mut object, &context(""));
    let once = object.clone();
    strategy.default(&mut object);
    assert_eq!(once, object, "defaults are the same the second time");
    expected.assert_eq(&serde_yaml_ng::to_string(&object).expect("JSON is YAML"));
}

/// The rows of `kubectl get`, wide columns behind a bar.
fn check_rows(resource: &str, objects: &[&str], expected: Expect) {
    let strategy = of(resource);
    let columns = strategy.columns();
    let line = |cells: Vec<String>| {
        let (mut shown, mut wide) = (Vec::new(), Vec::new());
        for (cell, column) in cells.into_iter().zip(columns) {
            if column.priority == 0 { shown.push(cell) } else { wide.push(cell) }
        }
        let wide = if wide.is_empty() { String::new() } else { format!(" | {}", wide.join("; ")) };
        format!("{}{wide}", shown.join("; "))
    };
    let mut lines = vec![line(columns.iter().map(|column| column.name.to_uppercase()).collect())];
    for text in objects {
        let cells = strategy.cells(&yaml(text), now());
        // One more is what an address shows: see below.
        assert!((columns.len()..=columns.len() + 1).contains(&cells.len()), "{text}");
        lines.push(line(
            cells.iter().map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).collect(),
        ));
    }
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn every_kind_prints_as_many_cells_as_columns() {
    let description = portolan_api::description::builtin();
    for resource in description.resources() {
        let strategy = strategy(&resource.group, &resource.name);
        let object = serde_json::json!({"metadata": {"name": "x"}});
        // Upstream shows an age of addresses and has no column for it.
        let more = usize::from(resource.name == "ipaddresses");
        assert_eq!(strategy.cells(&object, now()).len(), strategy.columns().len() + more, "{}", resource.name);
        assert!(strategy.selectable_field(&object, "no.such.field").is_none(), "{}", resource.name);
        for field in strategy.selectable_fields() {
            assert!(strategy.selectable_field(&object, field).is_some(), "{} {field}", resource.name);
        }
    }
}

#[test]
fn every_column_says_what_it_tells() {
    for resource in portolan_api::description::builtin().resources() {
        let columns = strategy(&resource.group, &resource.name).column_definitions();
        for column in columns.as_array().into_iter().flatten() {
            let name = column["name"].as_str().unwrap_or_default();
            // Upstream looks for the words about these where there are none; those of metrics are another server's.
            let has_none = matches!((&*resource.name, name), ("runtimeclasses", "Handler"))
                || resource.group == crate::measurements::GROUP && name != "Name";
            assert_eq!(column["description"] == "", has_none, "{} {name}", resource.name);
        }
    }
}

#[test]
fn objects_of_any_shape_are_refused_not_crashed_on() {
    for resource in portolan_api::description::builtin().resources() {
        let strategy = strategy(&resource.group, &resource.name);
        for spec in ["{}", "null", "[]", "{template: null}", "{template: {spec: {containers: [{}]}}, containers: [{}]}"]
        {
            let mut object = yaml(&format!("{{apiVersion: v1, kind: X, metadata: {{name: x}}, spec: {spec}}}"));
            strategy.default(&mut object);
            strategy.prepare_for_create(&mut object, &context(""));
            let is_valid = strategy.validate(&object, &context("")).is_empty();
            let old = object.clone();
            strategy.prepare_for_update(&mut object, &old, &context(""));
            let may_stay = strategy.validate_update(&object, &old, &context("")).is_empty();
            assert!(may_stay || !is_valid, "{}", resource.name);
            let _ = (strategy.warnings(&object), strategy.default_grace_period_seconds(&object));
        }
    }
}
