//! A device that a driver offers.

use portolan_api::field::Shown;
use portolan_api::{time, validation};
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use super::capacity::default_capacities;
use super::names::{COUNTER_LENGTH, KEY_LENGTH};
use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::validate_node_selector;
use crate::resources::json::{canonical_quantity, entries, is_set, object, objects, same, set, text};
use crate::resources::shown;

/// Most attributes and capacities of a device.
pub(super) const MOST_NAMES: usize = 32;
const MOST_TAINTS: usize = 16;
const MOST_CONSUMPTIONS: usize = 2;
const MOST_COUNTERS: usize = 32;
/// Longest value of an attribute.
pub(super) const VALUE_LENGTH: usize = 64;

/// Fields of an attribute of which one holds its value.
const VALUES: [&str; 4] = ["bool", "int", "string", "version"];
/// Fields of an attribute that hold several values. Upstream takes them away unless it is told to keep them.
const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];
/// Fields of which one says where a device is.
const PLACES: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];

const ONE_VALUE: &str = "exactly one value must be specified";
const ONE_PLACE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
const NO_PLACE: &str = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

/// Writes the amounts of a device in their canonical form.
pub(super) fn default_device(device: &mut Map<String, Value>) {
    default_capacities(device);
    objects(device, "consumesCounters").for_each(default_counters);
}

/// Writes the amounts of counters in their canonical form.
pub(super) fn default_counters(holder: &mut Map<String, Value>) {
    for counter in object(holder, "counters").into_iter().flat_map(Map::values_mut) {
        counter.get_mut("value").into_iter().for_each(canonical_quantity);
    }
}

/// Takes away what upstream does not keep unless it is told to, and notes when taints were put on.
pub(super) fn settle(device: &mut Map<String, Value>, now: Timestamp) {
    device.remove("nodeAllocatableResourceMappings");
    let attributes = object(device, "attributes").into_iter().flat_map(Map::values_mut);
    for attribute in attributes.filter_map(Value::as_object_mut) {
        attribute.retain(|field, _| !LISTS.contains(&field.as_str()));
    }
    for taint in objects(device, "taints") {
        set(taint, "timeAdded", time::format(now));
    }
}

impl Errors {
    /// A device of a slice whose spec may leave it to devices where they are. What it was like before, if it was.
    pub(super) fn device(&mut self, at: &At<'_>, device: &Value, before: &Value, slice: &Value) {
        self.device_label(&at.child("name"), &device["name"]);
        let (attributes, capacities) = (&device["attributes"], &device["capacity"]);
        let count = entries(attributes).count() + entries(capacities).count();
        if count > MOST_NAMES {
            let detail = format!("the total number of attributes and capacities must not exceed {MOST_NAMES}");
            self.invalid(at, count, detail);
        }
        let name = Self::device_qualified_name;
        self.each_entry(&at.child("attributes"), attributes, KEY_LENGTH, name, |attribute, at, errors| {
            errors.attribute(at, attribute);
        });
        let is_shared = device["allowMultipleAllocations"] == true;
        self.each_entry(&at.child("capacity"), capacities, KEY_LENGTH, name, |capacity, at, errors| {
            errors.capacity(at, capacity, is_shared);
        });
        if before.is_null() || !same(&before["taints"], &device["taints"]) {
            self.each(&at.child("taints"), &device["taints"], MOST_TAINTS, |taint, at, errors| {
                errors.device_taint(at, taint);
            });
        }
        let set = |consumption: &Value| text(&consumption["counterSet"]).to_owned();
        let (list, consumptions) = (at.child("consumesCounters"), &device["consumesCounters"]);
        self.each_once(&list, consumptions, MOST_CONSUMPTIONS, set, |consumption, at, errors| {
            errors.counters(at, consumption, "counterSet");
        });
        self.place(at, device, slice["perDeviceNodeSelection"] == true);
        self.binding_conditions(at, device);
    }

    /// A set of counters, or what a device takes of one; `field` is what it is named by.
    pub(super) fn counters(&mut self, at: &At<'_>, holder: &Value, field: &str) {
        match text(&holder[field]) {
            "" => self.required(&at.child(field), ""),
            _ => self.device_label(&at.child(field), &holder[field]),
        }
        let (at, counters) = (at.child("counters"), &holder["counters"]);
        match entries(counters).count() {
            0 => self.required(&at, ""),
            count if count > MOST_COUNTERS => self.too_many(&at, count, MOST_COUNTERS),
            _ => {
                let name = |errors: &mut Self, at: &At<'_>, name: &str| errors.device_label(at, &name.into());
                self.each_entry(&at, counters, COUNTER_LENGTH, name, |_, _, _| {});
            }
        }
    }

    fn attribute(&mut self, at: &At<'_>, attribute: &Value) {
        for field in ["string", "version"] {
            let (at, value) = (at.child(field), text(&attribute[field]));
            if field == "version" && attribute[field].is_string() && !is_version(value) {
                self.invalid(&at, value, "must be a string compatible with semver.org spec 2.0.0");
            }
            if value.len() > VALUE_LENGTH {
                self.too_long(&at, VALUE_LENGTH);
            }
        }
        match VALUES.iter().filter(|field| !attribute[**field].is_null()).count() {
            0 => self.invalid(at, "", ONE_VALUE),
            1 => {}
            _ => {
                self.invalid(at, Shown::Text(shown::compact("DeviceAttribute", attribute)), ONE_VALUE);
            }
        }
    }

    fn place(&mut self, at: &At<'_>, device: &Value, is_expected: bool) {
        if !is_expected {
            if PLACES.iter().any(|field| !device[*field].is_null()) {
                self.invalid(at, Value::Null, NO_PLACE);
            }
            return;
        }
        let places = self.places(at, device, &PLACES, "must not be empty");
        match places.as_slice() {
            [] => self.required(at, ONE_PLACE),
            [_] => {}
            several => self.invalid(at, format!("{{{}}}", several.join(", ")), ONE_PLACE),
        }
    }

    /// Which of the fields that may say where devices are do so; `empty` is what is said of a node without a name.
    pub(super) fn places(&mut self, at: &At<'_>, holder: &Value, fields: &[&str], empty: &str) -> Vec<String> {
        let mut places = Vec::new();
        for field in fields {
            let (at, value) = (at.child(field), &holder[*field]);
            match value {
                Value::Null => continue,
                Value::String(name) if name.is_empty() => {
                    self.invalid(&at, "", empty);
                    continue;
                }
                Value::String(name) => self.obeys(&at, name, validation::is_dns1123_subdomain),
                Value::Bool(false) => {
                    self.invalid(&at, false, "must be either unset or set to true");
                    continue;
                }
                Value::Bool(true) => {}
                selector => validate_node_selector(selector, &at, self),
            }
            places.push(format!("`{field}`"));
        }
        places
    }
}

/// Whether a text is a version as <https://semver.org> has it, whose numbers may be of any size.
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.is_empty() && !part.starts_with('0'))
    };
    let is_identifier =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_early =
        |part: &str| is_number(part) || is_identifier(part) && part.bytes().any(|byte| !byte.is_ascii_digit());
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (numbers, early) = text.split_once('-').map_or((text, None), |(numbers, early)| (numbers, Some(early)));
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && early.is_none_or(|early| early.split('.').all(is_early))
        && build.is_none_or(|build| build.split('.').all(is_identifier))
}

/// Whether devices of a slice are such that there may be fewer of them.
pub(super) fn is_advanced(device: &Value) -> bool {
    is_set(&device["taints"]) || is_set(&device["consumesCounters"])
}
