//! Endpoint slices.

use std::collections::HashSet;

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::addresses::ip_warning;
use crate::resources::at::{At, Errors};
use crate::resources::checks::Rule;
use crate::resources::json::{self, are_same_but, entries, is_set, items, object_or_new, objects, set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of endpoint slices.
pub(crate) struct EndpointSlice;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("AddressType").of("discovery.EndpointSlice", "addressType"),
    Column::string("Ports").of("discovery.EndpointSlice", "ports"),
    Column::string("Endpoints").of("discovery.EndpointSlice", "endpoints"),
    AGE,
];
/// How many a row names before it says how many more there are.
const SHOWN: usize = 3;
const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;
const MOST_TOPOLOGY_LABELS: usize = 16;
const MOST_HINTS: usize = 8;

impl Strategy for EndpointSlice {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        !are_same_but(new, old, &["metadata"], |_, new, old| new == old)
            || new["metadata"]["labels"] != old["metadata"]["labels"]
    }

    fn default(&self, object: &mut Value) {
        let Some(slice) = object.as_object_mut() else { return };
        for port in objects(slice, "ports") {
            set(port, "name", "");
            set(port, "protocol", "TCP");
        }
        for endpoint in objects(slice, "endpoints") {
            object_or_new(endpoint, "conditions");
            let Some(hints) = json::object(endpoint, "hints") else { continue };
            for list in ["forZones", "forNodes"] {
                objects(hints, list).for_each(|hint| set(hint, "name", ""));
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let kind = text(&object["addressType"]);
        errors.required_one_of(&At::root("addressType"), &object["addressType"], &["FQDN", "IPv4", "IPv6"]);
        let list = At::root("endpoints");
        let endpoints = items(&object["endpoints"]);
        if endpoints.len() > MOST_ENDPOINTS {
            errors.too_many(&list, endpoints.len(), MOST_ENDPOINTS);
        } else {
            for (index, endpoint) in endpoints.iter().enumerate() {
                validate_endpoint(endpoint, kind, &list.index(index), &mut errors);
            }
        }
        let list = At::root("ports");
        let ports = items(&object["ports"]);
        if ports.len() > MOST_PORTS {
            errors.too_many(&list, ports.len(), MOST_PORTS);
            return errors.0;
        }
        let mut names = HashSet::new();
        for (index, port) in ports.iter().enumerate() {
            let at = list.index(index);
            let name = text(&port["name"]);
            if !name.is_empty() {
                errors.obeys(&at.child("name"), name, validation::is_dns1123_label);
            }
            if !names.insert(name) {
                errors.duplicate(&at.child("name"), name);
            }
            errors.one_of_if_present(&at.child("protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
            if let Some(protocol) = port["appProtocol"].as_str() {
                errors.obeys(&at.child("appProtocol"), protocol, validation::is_qualified_name);
            }
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.immutable_text(&At::root("addressType"), &new["addressType"], &old["addressType"]);
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        if object["addressType"] == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        for (index, endpoint) in items(&object["endpoints"]).iter().enumerate() {
            for (position, address) in items(&endpoint["addresses"]).iter().enumerate() {
                warnings.extend(ip_warning(&format!("endpoints[{index}].addresses[{position}]"), text(address)));
            }
        }
        warnings
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
    } else if addresses.len() > MOST_ADDRESSES {
        errors.too_many(&list, addresses.len(), MOST_ADDRESSES);
    }
    for (index, address) in addresses.iter().map(text).enumerate() {
        validate_address(address, kind, &list, index, errors);
    }
    if let Some(node) = endpoint["nodeName"].as_str() {
        errors.obeys(&at.child("nodeName"), node, validation::is_dns1123_subdomain);
    }
    let topology = at.child("deprecatedTopology");
    let labels = entries(&endpoint["deprecatedTopology"]).count();
    if labels > MOST_TOPOLOGY_LABELS {
        errors.too_many(&topology, labels, MOST_TOPOLOGY_LABELS);
    }
    errors.labels(&topology, &endpoint["deprecatedTopology"]);
    if endpoint["hostname"].is_string() {
        errors.obeys(&at.child("hostname"), text(&endpoint["hostname"]), validation::is_dns1123_label);
    }
    let hints = at.child("hints");
    validate_hints(&endpoint["hints"]["forZones"], &hints.child("forZones"), validation::is_valid_label_value, errors);
    validate_hints(&endpoint["hints"]["forNodes"], &hints.child("forNodes"), validation::is_dns1123_subdomain, errors);
}

fn validate_address(address: &str, kind: &str, list: &At<'_>, index: usize, errors: &mut Errors) {
    let (at, before) = (list.index(index), errors.0.len());
    match kind {
        "IPv4" => errors.ip(&at, address),
        "IPv6" => errors.strict_ip(&at, address),
        "FQDN" => {
            let name = address.strip_suffix('.').unwrap_or(address);
            errors.obeys(&at, name, validation::is_dns1123_subdomain);
            if errors.0.len() == before && !name.contains('.') {
                errors.invalid(&at, name, "should be a domain with at least two segments separated by dots");
            }
            return;
        }
        _ => return,
    }
    if errors.0.len() == before {
        if address.contains(':') != (kind == "IPv6") {
            errors.invalid(list, address, format!("must be an {kind} address"));
        }
        errors.endpoint_ip(&at, address);
    }
}

fn validate_hints(hints: &Value, at: &At<'_>, rule: Rule, errors: &mut Errors) {
    let hints = items(hints);
    if hints.len() > MOST_HINTS {
        errors.too_many(at, hints.len(), MOST_HINTS);
        return;
    }
    for (index, hint) in hints.iter().enumerate() {
        let (at, name) = (at.index(index), text(&hint["name"]));
        if hints[..index].iter().any(|before| text(&before["name"]) == name) {
            errors.duplicate(&at.child("name"), name);
        }
        errors.obeys(&at.child("name"), name, rule);
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
