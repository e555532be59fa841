//! Endpoint slices.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, objects, set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of endpoint slices.
pub(crate) struct EndpointSlice;

const COLUMNS: &[Column] =
    &[NAME, Column::string("AddressType"), Column::string("Ports"), Column::string("Endpoints"), AGE];
/// How many a row names before it says how many more there are.
const SHOWN: usize = 3;
const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;

impl Strategy for EndpointSlice {
    fn default(&self, object: &mut Value) {
        let Some(slice) = object.as_object_mut() else { return };
        for port in objects(slice, "ports") {
            set(port, "name", "");
            set(port, "protocol", "TCP");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let kind = text(&object["addressType"]);
        errors.required_one_of(&At::root("addressType"), &object["addressType"], &["FQDN", "IPv4", "IPv6"]);
        let list = At::root("endpoints");
        let endpoints = items(&object["endpoints"]);
        too_many(&list, endpoints.len(), MOST_ENDPOINTS, &mut errors);
        for (index, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(endpoint, kind, &list.index(index), &mut errors);
        }
        let list = At::root("ports");
        let ports = items(&object["ports"]);
        too_many(&list, ports.len(), MOST_PORTS, &mut errors);
        for (index, port) in ports.iter().enumerate() {
            let at = list.index(index);
            let name = text(&port["name"]);
            if !name.is_empty() {
                errors.obeys(&at.child("name"), name, validation::is_dns1123_label);
            }
            if ports[..index].iter().any(|before| text(&before["name"]) == name) {
                errors.duplicate(&at.child("name"), name);
            }
            errors.port(&at.child("port"), &port["port"]);
            errors.required_one_of(&at.child("protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.immutable(&At::root("addressType"), &new["addressType"], &old["addressType"]);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let addresses = items(&object["endpoints"]).iter().flat_map(|endpoint| items(&endpoint["addresses"]));
        vec![
            print::name(object),
            object["addressType"].clone(),
            ports(&object["ports"]).into(),
            listed(addresses.map(|address| text(address).to_owned()), "<unset>").into(),
            print::age(object, now),
        ]
    }
}

fn validate_endpoint(endpoint: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("addresses");
    let addresses = items(&endpoint["addresses"]);
    if addresses.is_empty() {
        errors.required(&list, "must contain at least 1 address");
    }
    too_many(&list, addresses.len(), MOST_ADDRESSES, errors);
    for (index, address) in addresses.iter().map(text).enumerate() {
        let at = list.index(index);
        match kind {
            "IPv4" if address.parse::<std::net::Ipv4Addr>().is_err() => {
                errors.invalid(&at, address, "must be a valid IPv4 address");
            }
            "IPv6" if address.parse::<std::net::Ipv6Addr>().is_err() => {
                errors.invalid(&at, address, "must be a valid IPv6 address");
            }
            "FQDN" => errors.obeys(&at, address, validation::is_dns1123_subdomain),
            _ => {}
        }
    }
    errors.obeys_if_set(&at.child("nodeName"), &endpoint["nodeName"], validation::is_dns1123_subdomain);
    errors.obeys_if_set(&at.child("hostname"), &endpoint["hostname"], validation::is_dns1123_label);
}

fn too_many(at: &At<'_>, count: usize, most: usize, errors: &mut Errors) {
    if count > most {
        errors.0.push(field::Error {
            error_type: field::ErrorType::TooMany,
            path: at.path(),
            value: count.into(),
            detail: format!("must have at most {most} items"),
        });
    }
}

fn ports(ports: &Value) -> String {
    let shown = |port: &Value| match (&port["port"], text(&port["name"])) {
        (Value::Null, "") => "*".to_owned(),
        (Value::Null, name) => name.to_owned(),
        (number, _) => number.to_string(),
    };
    let ports = items(ports);
    if ports.iter().any(is_set) { listed(ports.iter().map(shown), "<unset>") } else { "<unset>".to_owned() }
}

/// The first few, and how many more.
fn listed(names: impl Iterator<Item = String>, none: &str) -> String {
    let (mut shown, mut count) = (Vec::new(), 0);
    for name in names {
        if shown.len() < SHOWN {
            shown.push(name);
        }
        count += 1;
    }
    match count {
        0 => none.to_owned(),
        _ if count > SHOWN => format!("{} + {} more...", shown.join(","), count - SHOWN),
        _ => shown.join(","),
    }
}
