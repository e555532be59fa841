//! What was allocated for a claim.

use std::fmt;

use serde_json::Value;

use super::device_claim::{MOST, Requests};
use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::validate_node_selector;
use crate::resources::json::{items, text};

/// A device, or a share of one: driver, pool, device and share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Device<'a>([&'a str; 4]);

impl<'a> Device<'a> {
    /// The device that an allocation, or a driver's word about it, is of.
    pub(crate) fn of(holder: &'a Value) -> Self {
        Self(["driver", "pool", "device", "shareID"].map(|field| text(&holder[field])))
    }

    /// Those that a claim's status says are allocated.
    pub(super) fn allocated(status: &'a Value) -> impl Iterator<Item = Self> {
        items(&status["allocation"]["devices"]["results"]).iter().map(Self::of)
    }
}

/// As upstream shows it, by the names of its own structure.
impl fmt::Display for Device<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [driver, pool, device, share] = self.0.map(Value::from);
        write!(formatter, r#"{{"Driver":{driver},"Pool":{pool},"Device":{device},"ShareID":{share}}}"#)
    }
}

impl Errors {
    /// A new allocation.
    pub(super) fn allocation(&mut self, at: &At<'_>, allocation: &Value, requests: &Requests<'_>) {
        let (at_devices, devices) = (at.child("devices"), &allocation["devices"]);
        self.each(&at_devices.child("results"), &devices["results"], MOST, |result, at, errors| {
            errors.name_of_request(&at.child("request"), text(&result["request"]), requests);
            errors.driver(&at.child("driver"), &result["driver"]);
            errors.pool(&at.child("pool"), &result["pool"]);
            errors.device_label(&at.child("device"), &result["device"]);
            errors.binding_conditions(at, result);
            errors.share(&at.child("shareID"), &result["shareID"]);
        });
        // Those of the class and those of the claim.
        self.each(&at_devices.child("config"), &devices["config"], 2 * MOST, |config, at, errors| {
            let sources = ["FromClaim", "FromClass"];
            errors.required_one_of_as_listed(&at.child("source"), &config["source"], &sources);
            errors.names_of_requests(&at.child("requests"), &config["requests"], requests);
            errors.device_configuration(at, config);
        });
        if !allocation["nodeSelector"].is_null() {
            validate_node_selector(&allocation["nodeSelector"], &at.child("nodeSelector"), self);
        }
    }
}
