//! Network policies.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::addresses::{cidr_warning, masked, parse_cidr_sloppy};
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, object_or_new, objects, set, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of network policies.
pub(crate) struct NetworkPolicy;

const DIRECTIONS: [&str; 2] = ["Ingress", "Egress"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const COLUMNS: &[Column] =
    &[NAME, Column::string("Pod-Selector").of("networking.NetworkPolicySpec", "podSelector"), AGE];

impl Strategy for NetworkPolicy {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        object_or_new(spec, "podSelector");
        if !spec.get("policyTypes").is_some_and(is_set) {
            let egress = spec.get("egress").is_some_and(is_set);
            let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            spec.insert("policyTypes".to_owned(), types);
        }
        for direction in ["ingress", "egress"] {
            for rule in objects(spec, direction) {
                for port in objects(rule, "ports") {
                    set(port, "protocol", "TCP");
                }
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.label_selector(&at.child("podSelector"), &spec["podSelector"]);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            let list = at.child(direction);
            for (index, rule) in items(&spec[direction]).iter().enumerate() {
                let at = list.index(index);
                let ports = at.child("ports");
                for (index, port) in items(&rule["ports"]).iter().enumerate() {
                    validate_port(port, &ports.index(index), &mut errors);
                }
                let list = at.child(peers);
                for (index, peer) in items(&rule[peers]).iter().enumerate() {
                    validate_peer(peer, &list.index(index), &mut errors);
                }
            }
        }
        let list = at.child("policyTypes");
        if items(&spec["policyTypes"]).len() > 2 {
            errors.invalid(&list, spec["policyTypes"].clone(), "may not specify more than two policyTypes");
            return errors.0;
        }
        for (index, kind) in items(&spec["policyTypes"]).iter().enumerate() {
            if !DIRECTIONS.contains(&text(kind)) {
                errors.not_supported_as_listed(&list.index(index), kind.clone(), &DIRECTIONS);
            }
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for (index, rule) in items(&object["spec"][direction]).iter().enumerate() {
                for (position, peer) in items(&rule[peers]).iter().enumerate() {
                    let (block, path) =
                        (&peer["ipBlock"], format!("spec.{direction}[{index}].{peers}[{position}].ipBlock"));
                    warnings.extend(cidr_warning(&format!("{path}.cidr"), text(&block["cidr"])));
                    for (index, except) in items(&block["except"]).iter().enumerate() {
                        warnings.extend(cidr_warning(&format!("{path}.except[{index}]"), text(except)));
                    }
                }
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let selector = print::label_selector(&object["spec"]["podSelector"]);
        vec![print::name(object), selector.into(), print::age(object, now)]
    }
}

fn validate_port(port: &Value, at: &At<'_>, errors: &mut Errors) {
    let protocol = &port["protocol"];
    if !protocol.is_null() && !PROTOCOLS.contains(&text(protocol)) {
        errors.not_supported_as_listed(&at.child("protocol"), protocol.clone(), &PROTOCOLS);
    }
    if !port["port"].is_null() {
        errors.port_or_name(&at.child("port"), &port["port"]);
    }
    if let Some(end) = port["endPort"].as_i64() {
        let at = at.child("endPort");
        match &port["port"] {
            Value::Null => errors.invalid(&at, end, "may not be specified when `port` is not specified"),
            Value::String(_) => errors.invalid(&at, end, "may not be specified when `port` is non-numeric"),
            start => {
                if start.as_i64().is_some_and(|start| end < start) {
                    errors.invalid(&at, start.clone(), "must be greater than or equal to `port`");
                }
                errors.port(&at, &port["endPort"]);
            }
        }
    }
}

fn validate_peer(peer: &Value, at: &At<'_>, errors: &mut Errors) {
    let (pods, namespaces, block) = (&peer["podSelector"], &peer["namespaceSelector"], &peer["ipBlock"]);
    errors.label_selector(&at.child("podSelector"), pods);
    errors.label_selector(&at.child("namespaceSelector"), namespaces);
    if !block.is_null() {
        if !pods.is_null() || !namespaces.is_null() {
            errors.forbidden(at, "may not specify both ipBlock and another peer");
        }
        let at = at.child("ipBlock");
        if !is_set(&block["cidr"]) {
            errors.required(&at.child("cidr"), "");
            return;
        }
        let range = text(&block["cidr"]);
        errors.cidr(&at.child("cidr"), range);
        let Some((first, length)) = parse_cidr_sloppy(range) else { return };
        let list = at.child("except");
        for (index, except) in items(&block["except"]).iter().enumerate() {
            let (at, except) = (list.index(index), text(except));
            errors.cidr(&at, except);
            let Some((address, longer)) = parse_cidr_sloppy(except) else { continue };
            let is_inside = address.is_ipv4() == first.is_ipv4()
                && longer > length
                && masked(address, length) == masked(first, length);
            if !is_inside {
                errors.invalid(&at, except, "must be a strict subset of `cidr`");
            }
        }
    } else if pods.is_null() && namespaces.is_null() {
        errors.required(at, "must specify a peer");
    }
}
