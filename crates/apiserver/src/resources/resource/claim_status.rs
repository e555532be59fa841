//! The status of a claim: what was allocated, for whom, and what drivers say of it.

use std::collections::BTreeSet;

use portolan_api::field::Shown;
use serde_json::{Map, Value};

use super::allocation::Device;
use super::device_claim::Requests;
use super::lists::repeated;
use super::taints::default_tolerations;
use crate::resources::at::{At, Errors};
use crate::resources::json::{canonical_quantities, is_set, items, object, objects, text};

/// Most users of a claim.
const MOST_USERS: usize = 256;
/// Most conditions of a device.
const MOST_CONDITIONS: usize = 8;
/// Largest data of a device, in bytes.
const DATA_LENGTH: usize = 10 * 1024;

/// Fills in what was allocated.
pub(super) fn default_status(status: &mut Map<String, Value>) {
    let Some(devices) = object(status, "allocation").and_then(|allocation| object(allocation, "devices")) else {
        return;
    };
    for result in objects(devices, "results") {
        default_tolerations(result);
        canonical_quantities(result, "consumedCapacity");
    }
}

/// Forgets what drivers said of devices that are no longer allocated.
pub(super) fn forget_deallocated(new: &mut Value, old: &Value) {
    let gone: BTreeSet<_> = Device::allocated(&old["status"]).collect();
    let kept: BTreeSet<_> = Device::allocated(&new["status"]).collect();
    let devices = items(&new["status"]["devices"]).iter();
    let rest: Vec<Value> = devices
        .filter(|device| {
            let device = Device::of(device);
            !gone.contains(&device) || kept.contains(&device)
        })
        .cloned()
        .collect();
    let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) else { return };
    if rest.is_empty() {
        status.remove("devices");
    } else {
        status.insert("devices".to_owned(), rest.into());
    }
}

impl Errors {
    /// The status of a claim that is there.
    pub(super) fn claim_status(&mut self, new: &Value, old: &Value) {
        let (at, status, before) = (At::root("status"), &new["status"], &old["status"]);
        let (reserved, allocation) = (at.child("reservedFor"), at.child("allocation"));
        let uid = |user: &Value| text(&user["uid"]).to_owned();
        self.each_once(&reserved, &status["reservedFor"], MOST_USERS, uid, |user, at, errors| {
            for field in ["resource", "name", "uid"] {
                errors.present(&at.child(field), &user[field]);
            }
        });
        let allocated: BTreeSet<_> = Device::allocated(status).collect();
        let list = at.child("devices");
        for (index, device) in items(&status["devices"]).iter().enumerate() {
            self.device_status(&list.index(index), device, &allocated);
        }
        for (index, device) in repeated(items(&status["devices"]).iter().map(Device::of)) {
            self.duplicate(&list.index(index), Shown::Text(device.to_string()));
        }
        let users = items(&status["reservedFor"]);
        if !users.is_empty() && status["allocation"].is_null() {
            self.forbidden(&reserved, "may not be specified when `allocated` is not set");
        } else if is_set(&new["metadata"]["deletionTimestamp"])
            && users.iter().any(|user| !items(&before["reservedFor"]).contains(user))
        {
            let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            self.forbidden(&reserved, detail);
        }
        if status["allocation"].is_null() {
            return;
        }
        if before["allocation"].is_null() {
            self.allocation(&allocation, &status["allocation"], &Requests::of(&new["spec"]));
        } else {
            self.immutable_structure(&allocation, "AllocationResult", &status["allocation"], &before["allocation"]);
        }
    }

    fn device_status(&mut self, at: &At<'_>, status: &Value, allocated: &BTreeSet<Device<'_>>) {
        self.driver(&at.child("driver"), &status["driver"]);
        self.pool(&at.child("pool"), &status["pool"]);
        self.device_label(&at.child("device"), &status["device"]);
        self.share(&at.child("shareID"), &status["shareID"]);
        let device = Device::of(status);
        if !allocated.contains(&device) {
            let detail = "must be an allocated device in the claim";
            self.invalid(at, Shown::Text(device.to_string()), detail);
        }
        let (at_conditions, conditions) = (at.child("conditions"), &status["conditions"]);
        if items(conditions).len() > MOST_CONDITIONS {
            self.too_many(&at_conditions, items(conditions).len(), MOST_CONDITIONS);
        }
        self.conditions(&at_conditions, conditions);
        if !status["data"].is_null() {
            self.any_object(&at.child("data"), &status["data"], DATA_LENGTH);
        }
        self.network_data(&at.child("networkData"), &status["networkData"]);
    }
}
