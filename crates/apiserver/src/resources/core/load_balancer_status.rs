//! Where load balancers say that they can be reached: the status of services and of ingresses.

use portolan_api::validation;
use serde_json::Value;

use crate::resources::addresses::{ip_warning, parse_sloppy};
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, object_or_new, status, text};

/// Whether a point says how packets for its address arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modes {
    /// It does.
    Known,
    Unknown,
}

/// What is wrong with a new status. Addresses of the old one may stay as they are.
pub(crate) fn validate(new: &Value, old: &Value, modes: Modes, errors: &mut Errors) {
    let points = |status: &Value| items(&status["loadBalancer"]["ingress"]).to_vec();
    let known: Vec<Value> = points(old).into_iter().map(|mut point| point["ip"].take()).collect();
    let root = At::root("status");
    let balancer = root.child("loadBalancer");
    let list = balancer.child("ingress");
    for (index, point) in points(new).iter().enumerate() {
        let at = list.index(index);
        let (address, host, mode) = (&point["ip"], text(&point["hostname"]), &point["ipMode"]);
        if is_set(address) && !known.contains(address) {
            errors.ip(&at.child("ip"), text(address));
        }
        if modes == Modes::Known {
            let at = at.child("ipMode");
            match (mode.is_null(), is_set(address)) {
                (true, true) => errors.required(&at, "must be specified when `ip` is set"),
                (false, false) => errors.forbidden(&at, "may not be specified when `ip` is not set"),
                _ => errors.one_of_if_present(&at, mode, &["Proxy", "VIP"]),
            }
        }
        if !host.is_empty() {
            let at = at.child("hostname");
            errors.obeys(&at, host, validation::is_dns1123_subdomain);
            if parse_sloppy(host).is_some() {
                errors.invalid(&at, host, "must be a DNS name, not an IP address");
            }
        }
    }
}

/// Even a balancer that is nowhere is shown.
pub(crate) fn complete(object: &mut Value) {
    if let Some(status) = status(object) {
        object_or_new(status, "loadBalancer");
    }
}

/// What is said of addresses that are taken but not written as they should be.
pub(crate) fn warnings(status: &Value) -> Vec<String> {
    let points = items(&status["loadBalancer"]["ingress"]).iter().enumerate();
    let said = points.filter(|(_, point)| is_set(&point["ip"]));
    said.filter_map(|(index, point)| ip_warning(&format!("status.loadBalancer.ingress[{index}]"), text(&point["ip"])))
        .collect()
}
