//! Devices that a driver offers.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{is_set, items, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of resource slices.
pub(crate) struct ResourceSlice;

const COLUMNS: &[Column] = &[NAME, Column::string("Node"), Column::string("Driver"), Column::string("Pool"), AGE];
/// Fields of which one says where the devices are.
const PLACES: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
/// Most devices of a slice.
const MOST: usize = 128;

impl Strategy for ResourceSlice {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        errors.required_name(&at.child("driver"), &spec["driver"], validation::is_dns1123_subdomain);
        let pool = at.child("pool");
        errors.present(&pool.child("name"), &spec["pool"]["name"]);
        let slices = integer(&spec["pool"]["resourceSliceCount"]);
        if slices <= 0 {
            errors.invalid(&pool.child("resourceSliceCount"), slices, POSITIVE);
        }
        errors.not_negative(&pool.child("generation"), &spec["pool"]["generation"]);
        let places: Vec<&str> = PLACES.into_iter().filter(|place| is_set(&spec[*place])).collect();
        match places.as_slice() {
            [] => {
                let detail =
                    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
                errors.required(&at, detail);
            }
            [_] => errors.obeys_if_set(&at.child("nodeName"), &spec["nodeName"], validation::is_dns1123_subdomain),
            several => {
                let named: Vec<String> = several.iter().map(|place| format!("`{place}`")).collect();
                let detail = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is \
                              required, but multiple fields are set";
                errors.invalid(&at, format!("{{{}}}", named.join(", ")), detail);
            }
        }
        let list = at.child("devices");
        let devices = items(&spec["devices"]);
        if devices.len() > MOST {
            errors.too_many(&list, devices.len(), MOST);
        }
        for (index, device) in devices.iter().enumerate() {
            let at = list.index(index);
            errors.required_name(&at.child("name"), &device["name"], validation::is_dns1123_label);
            let name = text(&device["name"]);
            if devices[..index].iter().any(|earlier| text(&earlier["name"]) == name) {
                errors.duplicate(&at.child("name"), name);
            }
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        for field in ["nodeName", "nodeSelector", "allNodes", "driver"] {
            errors.immutable(&at.child(field), &new["spec"][field], &old["spec"][field]);
        }
        let pool = at.child("pool");
        errors.immutable(&pool.child("name"), &new["spec"]["pool"]["name"], &old["spec"]["pool"]["name"]);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let node = spec["nodeName"].as_str().unwrap_or(if spec["allNodes"] == true { "<all>" } else { "<unset>" });
        vec![
            print::name(object),
            node.into(),
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
