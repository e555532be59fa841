//! Limit ranges.

use std::collections::{BTreeMap, BTreeSet};

use portolan_api::field;
use portolan_api::quantity::Quantity;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{canonical_quantities, entries, items, objects, spec, text};
use crate::resources::print;
use crate::strategy::{Column, Context, NAME, Strategy};

/// The strategy of limit ranges.
pub(crate) struct LimitRange;

const COLUMNS: &[Column] = &[NAME, Column::string("Created At")];
const LISTS: [&str; 5] = ["default", "defaultRequest", "max", "maxLimitRequestRatio", "min"];

impl Strategy for LimitRange {
    /// The default limit of a container is its most, its default request its default limit or its least.
    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        for limit in objects(spec, "limits") {
            for list in LISTS {
                canonical_quantities(limit, list);
            }
            if limit.get("type").and_then(Value::as_str) != Some("Container") {
                continue;
            }
            for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
                let Some(source) = limit.get(from).and_then(Value::as_object).cloned() else { continue };
                let target = limit.entry(to).or_insert_with(|| Value::Object(Default::default()));
                let Some(target) = target.as_object_mut() else { continue };
                for (name, quantity) in source {
                    target.entry(name).or_insert(quantity);
                }
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, spec) = (Errors::default(), At::root("spec"));
        let list = spec.child("limits");
        let mut types = BTreeSet::new();
        for (index, limit) in items(&object["spec"]["limits"]).iter().enumerate() {
            let at = list.index(index);
            if !types.insert(text(&limit["type"])) {
                errors.duplicate(&at.child("type"), limit["type"].clone());
            }
            check_limit(&mut errors, &at, limit);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        vec![print::name(object), object["metadata"]["creationTimestamp"].clone()]
    }
}

fn check_limit(errors: &mut Errors, at: &At<'_>, limit: &Value) {
    let mut found: BTreeMap<&str, BTreeMap<&str, (Quantity, &str)>> = BTreeMap::new();
    for list in LISTS {
        let place = at.child(list);
        for (name, value) in entries(&limit[list]) {
            if let Some(quantity) = errors.quantity(&place.key(name), value) {
                found.entry(name).or_default().insert(list, (quantity, text(value)));
            }
        }
    }
    if limit["type"] == "Pod" {
        for list in ["default", "defaultRequest"] {
            if entries(&limit[list]).next().is_some() {
                errors.forbidden(&at.child(list), "may not be specified when `type` is 'Pod'");
            }
        }
    }
    if limit["type"] == "PersistentVolumeClaim" {
        let has = |list: &str| !limit[list]["storage"].is_null();
        if !has("min") && !has("max") {
            errors.required(at, "either minimum or maximum storage value is required, but neither was provided");
        }
    }
    for (name, lists) in &found {
        let ordered = [
            ("min", "max", "min", "min value", "max value"),
            ("defaultRequest", "max", "defaultRequest", "default request value", "max value"),
            ("default", "max", "default", "default value", "max value"),
            ("min", "defaultRequest", "defaultRequest", "min value", "default request value"),
            ("min", "default", "default", "min value", "default value"),
            ("defaultRequest", "default", "defaultRequest", "default request value", "default limit value"),
        ];
        for (low, high, place, low_name, high_name) in ordered {
            let (Some((least, least_text)), Some((most, most_text))) = (lists.get(low), lists.get(high)) else {
                continue;
            };
            if least > most {
                let detail = format!("{low_name} {least_text} is greater than {high_name} {most_text}");
                let shown = lists.get(place).map_or("", |(_, text)| text);
                errors.invalid(&at.child(place).key(name), shown, detail);
            }
        }
        if let Some((ratio, shown)) = lists.get("maxLimitRequestRatio")
            && ratio.milli_value() < 1000
        {
            let detail = format!("ratio {shown} is less than 1");
            errors.invalid(&at.child("maxLimitRequestRatio").key(name), *shown, detail);
        }
    }
}
