//! Network policies.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::core::service_validation::is_cidr;
use crate::resources::json::{is_set, items, objects, set, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of network policies.
pub(crate) struct NetworkPolicy;

const COLUMNS: &[Column] = &[NAME, Column::string("Pod-Selector"), AGE];
const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

impl Strategy for NetworkPolicy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
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
        for (index, kind) in items(&spec["policyTypes"]).iter().enumerate() {
            errors.one_of(&list.index(index), kind, &["Egress", "Ingress"]);
        }
        errors.0
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
    errors.one_of(&at.child("protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
    if !port["port"].is_null() {
        errors.port_or_name(&at.child("port"), &port["port"]);
    }
    if let Some(end) = port["endPort"].as_i64() {
        let at = at.child("endPort");
        match &port["port"] {
            Value::Null => errors.required(&at, "may not be specified when `port` is not specified"),
            Value::String(_) => errors.required(&at, "may not be specified when `port` is non-numeric"),
            start if start.as_i64().is_some_and(|start| end < start) => {
                errors.invalid(&at, end, "must be greater than or equal to `port`");
            }
            _ => errors.port(&at, &port["endPort"]),
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
        } else if !is_cidr(text(&block["cidr"])) {
            errors.invalid(&at.child("cidr"), block["cidr"].clone(), CIDR);
        }
        let list = at.child("except");
        for (index, range) in items(&block["except"]).iter().enumerate() {
            if !is_cidr(text(range)) {
                errors.invalid(&list.index(index), range.clone(), CIDR);
            }
        }
    } else if pods.is_null() && namespaces.is_null() {
        errors.required(at, "must specify a peer");
    }
}
