//! Endpoints, the older form of endpoint slices.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::addresses::ip_warning;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, objects, set_zero, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of endpoints.
pub(crate) struct Endpoints;

const COLUMNS: &[Column] = &[NAME, Column::string("Endpoints").of("core.Endpoints", "subsets"), AGE];
/// How many addresses a row names before it says how many more there are.
const SHOWN: usize = 3;

impl Strategy for Endpoints {
    fn default(&self, object: &mut Value) {
        let Some(endpoints) = object.as_object_mut() else { return };
        for subset in objects(endpoints, "subsets") {
            for port in objects(subset, "ports") {
                set_zero(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, root) = (Errors::default(), At::root("subsets"));
        for (index, subset) in items(&object["subsets"]).iter().enumerate() {
            let at = root.index(index);
            if !is_set(&subset["addresses"]) && !is_set(&subset["notReadyAddresses"]) {
                errors.required(&at, "must specify `addresses` or `notReadyAddresses`");
            }
            for list in ["addresses", "notReadyAddresses"] {
                let at = at.child(list);
                for (index, address) in items(&subset[list]).iter().enumerate() {
                    let at = at.index(index);
                    errors.ip(&at.child("ip"), text(&address["ip"]));
                    errors.obeys_if_set(&at.child("hostname"), &address["hostname"], validation::is_dns1123_label);
                    if let Some(node) = address["nodeName"].as_str() {
                        errors.obeys(&at.child("nodeName"), node, validation::is_dns1123_subdomain);
                    }
                    errors.endpoint_ip(&at.child("ip"), text(&address["ip"]));
                }
            }
            let at = at.child("ports");
            let ports = items(&subset["ports"]);
            for (index, port) in ports.iter().enumerate() {
                let at = at.index(index);
                if ports.len() > 1 && !is_set(&port["name"]) {
                    errors.required(&at.child("name"), "");
                }
                errors.obeys_if_set(&at.child("name"), &port["name"], validation::is_dns1123_label);
                errors.required_port(&at.child("port"), &port["port"]);
                errors.required_one_of(&at.child("protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
                if let Some(protocol) = port["appProtocol"].as_str() {
                    errors.obeys(&at.child("appProtocol"), protocol, validation::is_qualified_name);
                }
            }
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        for (index, subset) in items(&object["subsets"]).iter().enumerate() {
            for list in ["addresses", "notReadyAddresses"] {
                for (position, address) in items(&subset[list]).iter().enumerate() {
                    let path = format!("subsets[{index}].{list}[{position}].ip");
                    warnings.extend(ip_warning(&path, text(&address["ip"])));
                }
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), endpoints(object).into(), print::age(object, now)]
    }
}

fn endpoints(object: &Value) -> String {
    let subsets = items(&object["subsets"]);
    if subsets.is_empty() {
        return print::NONE.to_owned();
    }
    let (mut shown, mut count) = (Vec::new(), 0);
    let mut add = |endpoint: &dyn Fn() -> String| {
        if shown.len() < SHOWN {
            shown.push(endpoint());
        }
        count += 1;
    };
    for subset in subsets {
        let ports = items(&subset["ports"]);
        for address in items(&subset["addresses"]).iter().map(|address| text(&address["ip"])) {
            if ports.is_empty() {
                add(&|| address.to_owned());
            }
            for port in ports {
                add(&|| {
                    if address.contains(':') {
                        format!("[{address}]:{}", port["port"])
                    } else {
                        format!("{address}:{}", port["port"])
                    }
                });
            }
        }
    }
    let listed = shown.join(",");
    if count > shown.len() { format!("{listed} + {} more...", count - shown.len()) } else { listed }
}
