//! Devices that a driver offers.

use portolan_api::field::{self, Shown};
use portolan_base::{Timestamp, go};
use serde_json::Value;

use super::device::{default_counters, default_device, is_advanced, settle};
use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{items, objects, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::shown;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of resource slices.
pub(crate) struct ResourceSlice;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Node").of("resource.ResourceSliceSpec", "nodeName"),
    Column::string("Driver").of("resource.ResourceSliceSpec", "driver"),
    Column::string("Pool").of("resource.ResourcePool", "name"),
    AGE,
];
/// Fields of which one says where the devices are.
const PLACES: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
/// Most devices of a slice, and most if some of them have taints or consume counters.
const MOST: [usize; 2] = [128, 64];
const MOST_COUNTER_SETS: usize = 8;

impl ResourceSlice {
    /// What is wrong with a slice, which was there before or not.
    fn problems(new: &Value, old: &Value) -> Vec<field::Error> {
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        let (spec, before) = (&new["spec"], &old["spec"]);
        errors.driver(&at.child("driver"), &spec["driver"]);
        let (at_pool, pool) = (at.child("pool"), &spec["pool"]);
        errors.pool(&at_pool.child("name"), &pool["name"]);
        let slices = integer(&pool["resourceSliceCount"]);
        if slices <= 0 {
            errors.invalid(&at_pool.child("resourceSliceCount"), slices, "must be greater than zero");
        }
        let generation = integer(&pool["generation"]);
        if generation < 0 {
            errors.invalid(&at_pool.child("generation"), generation, "must be greater than or equal to zero");
        }
        if !old.is_null() {
            errors.immutable_text(&at_pool.child("name"), &pool["name"], &before["pool"]["name"]);
            errors.immutable_text(&at.child("driver"), &spec["driver"], &before["driver"]);
            if spec["nodeName"] != before["nodeName"] {
                errors.invalid(&at.child("nodeName"), spec["nodeName"].clone(), IMMUTABLE);
            }
        }
        let places = errors.places(&at, spec, &PLACES, "must be either unset or set to a non-empty string");
        let terms = &spec["nodeSelector"]["nodeSelectorTerms"];
        if !spec["nodeSelector"].is_null() && items(terms).len() != 1 {
            let at = at.child("nodeSelector");
            let shown = shown::compact_list_or_null("NodeSelectorTerm", terms);
            let detail = "must have exactly one node selector term";
            errors.invalid(&at.child("nodeSelectorTerms"), Shown::Text(shown), detail);
        }
        let one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
        match places.as_slice() {
            [] => errors.required(&at, one),
            [_] => {}
            several => {
                let detail = format!("{one}, but multiple fields are set");
                errors.invalid(&at, format!("{{{}}}", several.join(", ")), detail);
            }
        }
        if !spec["sharedCounters"].is_null() && !spec["devices"].is_null() {
            errors.invalid(&at, "", "only one of `sharedCounters` or `devices` is allowed");
        }
        let name = |item: &Value| text(&item["name"]).to_owned();
        let most = MOST[usize::from(items(&spec["devices"]).iter().any(is_advanced))];
        errors.each_once(&at.child("devices"), &spec["devices"], most, name, |device, at, errors| {
            let before = items(&before["devices"]).iter().find(|it| it["name"] == device["name"]);
            errors.device(at, device, before.unwrap_or(&Value::Null), spec);
        });
        let (list, sets) = (at.child("sharedCounters"), &spec["sharedCounters"]);
        errors.each_once(&list, sets, MOST_COUNTER_SETS, name, |set, at, errors| errors.counters(at, set, "name"));
        errors.0
    }
}

impl Strategy for ResourceSlice {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        objects(spec, "devices").for_each(default_device);
        objects(spec, "sharedCounters").for_each(default_counters);
    }

    fn prepare_for_create(&self, object: &mut Value, context: &Context) {
        let Some(spec) = spec(object) else { return };
        objects(spec, "devices").for_each(|device| settle(device, context.now));
    }

    fn prepare_for_update(&self, new: &mut Value, _old: &Value, context: &Context) {
        self.prepare_for_create(new, context);
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        Self::problems(object, &Value::Null)
    }

    fn revalidates(&self) -> bool {
        false
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        Self::problems(new, old)
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let driver = text(&object["spec"]["driver"]);
        let is_odd = driver.to_lowercase() != driver;
        let warning = || {
            format!(
                "spec.driver: driver names should be lowercase; {} contains uppercase characters",
                go::quote(driver)
            )
        };
        is_odd.then(warning).into_iter().collect()
    }

    fn update_warnings(&self, new: &Value, _old: &Value) -> Vec<String> {
        self.warnings(new)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        vec![
            print::name(object),
            text(&spec["nodeName"]).into(),
            text(&spec["driver"]).into(),
            text(&spec["pool"]["name"]).into(),
            print::age(object, now),
        ]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["spec.driver", "spec.nodeName"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        let field = match name {
            "spec.driver" => "driver",
            "spec.nodeName" => "nodeName",
            _ => return None,
        };
        Some(text(&object["spec"][field]).to_owned())
    }
}
