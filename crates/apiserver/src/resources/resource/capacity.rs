//! How much a device has of something, and in which amounts it can be asked for.

use portolan_api::quantity::Quantity;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::quantity;
use crate::resources::json::{canonical_quantity, is_set, items, object};

/// Most amounts to choose from.
const MOST_VALUES: usize = 10;

const OF_RANGE: &str = "required when validRange is defined";

/// Writes the amounts of a device's capacities in their canonical form.
pub(super) fn default_capacities(device: &mut Map<String, Value>) {
    for capacity in object(device, "capacity").into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        capacity.get_mut("value").into_iter().for_each(canonical_quantity);
        let Some(policy) = object(capacity, "requestPolicy") else { continue };
        policy.get_mut("default").into_iter().for_each(canonical_quantity);
        let values = policy.get_mut("validValues").and_then(Value::as_array_mut);
        values.into_iter().flatten().for_each(canonical_quantity);
        let range = object(policy, "validRange").into_iter().flat_map(Map::values_mut);
        range.for_each(canonical_quantity);
    }
}

impl Errors {
    /// A capacity of a device, which may be allocated more than once or not.
    pub(super) fn capacity(&mut self, at: &At<'_>, capacity: &Value, is_shared: bool) {
        let (at, policy) = (at.child("requestPolicy"), &capacity["requestPolicy"]);
        if policy.is_null() {
            return;
        }
        if !is_shared {
            return self.forbidden(&at, "allowMultipleAllocations must be true");
        }
        let (has_values, range) = (is_set(&policy["validValues"]), &policy["validRange"]);
        if has_values && !range.is_null() {
            let detail = r#"exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time"#;
            return self.forbidden(&at, detail);
        }
        let most = quantity(&capacity["value"]).unwrap_or(Quantity::ZERO);
        match quantity(&policy["default"]) {
            None if has_values => self.required(&at.child("default"), "required when validValues is defined"),
            None if !range.is_null() => self.required(&at.child("default"), OF_RANGE),
            Some(default) if has_values => {
                self.valid_values(&at.child("validValues"), &policy["validValues"], default, most);
            }
            Some(default) if !range.is_null() => self.valid_range(&at.child("validRange"), range, default, most),
            _ => {}
        }
    }

    fn valid_values(&mut self, at: &At<'_>, values: &Value, default: Quantity, most: Quantity) {
        let amount = |value: &Value| quantity(value).unwrap_or(Quantity::ZERO);
        for (index, pair) in items(values).windows(2).enumerate() {
            let (before, after) = (amount(&pair[0]), amount(&pair[1]));
            if before > after {
                self.invalid(&at.index(index + 1), after.to_string(), "values must be sorted in ascending order");
            }
        }
        let mut knows_default = false;
        let key = |value: &Value| amount(value).value().to_string();
        self.each_once(at, values, MOST_VALUES, key, |value, at, errors| {
            let value = amount(value);
            if value > most {
                let detail = format!("option is larger than capacity value: {most}");
                errors.invalid(at, value.to_string(), detail);
            }
            knows_default |= value == default;
        });
        if !knows_default {
            self.invalid(at, default.to_string(), "default value is not valid according to the requestPolicy");
        }
    }

    fn valid_range(&mut self, at: &At<'_>, range: &Value, default: Quantity, most: Quantity) {
        let (at_min, at_max, at_step) = (at.child("min"), at.child("max"), at.child("step"));
        let Some(min) = quantity(&range["min"]) else { return self.required(&at_min, OF_RANGE) };
        let (max, step) = (quantity(&range["max"]), quantity(&range["step"]));
        let mut unless = |fits: bool, at: &At<'_>, shown: Quantity, detail: String| {
            if !fits {
                self.invalid(at, shown.to_string(), detail);
            }
        };
        unless(min <= most, &at_min, min, format!("min is larger than capacity value: {most}"));
        unless(default >= min, &at_min, default, format!("default is less than min: {min}"));
        if let Some(max) = max {
            unless(min <= max, &at_max, min, format!("min is larger than max: {max}"));
            unless(max <= most, &at_max, max, format!("max is larger than capacity value: {most}"));
            unless(default <= max, &at_max, default, format!("default is more than max: {max}"));
        }
        let Some(step) = step else { return };
        let one = min + step;
        unless(one <= most, &at_step, step, format!("one step {one} is larger than capacity value: {most}"));
        for value in std::iter::once(default).chain(max) {
            let away = value.value().wrapping_sub(min.value());
            let detail = format!("value is not a multiple of a given step ({step}) from ({min})");
            // Upstream divides by whatever is given; by nothing nobody can.
            unless(away.checked_rem(step.value()) == Some(0), &at_step, value, detail);
        }
    }
}
