//! Service instances: copies of a service that registered themselves.

use std::collections::HashSet;

use portolan_api::typed::LONGEST_TTL_SECONDS;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use super::health_check;
use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{is_set, items, object_or_new, objects, set, set_zero, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy, keep_other_half};

/// The strategy of service instances.
pub(crate) struct ServiceInstance;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Service").of("registry.ServiceInstanceSpec", "service"),
    Column::string("Address").of("registry.ServiceInstanceSpec", "address"),
    Column::string("Ports").of("registry.ServiceInstanceSpec", "ports"),
    Column::string("Health").of("registry.ServiceInstanceStatus", "health"),
    AGE,
    Column::string("Version").of("registry.ServiceInstanceSpec", "version").wide(),
    Column::string("Tags").of("registry.ServiceInstanceSpec", "tags").wide(),
    Column::string("Lease").of("registry.ServiceInstanceSpec", "lease").wide(),
    Column::string("Reason").of("registry.ServiceInstanceStatus", "reason").wide(),
];
const SELECTABLE: &[&str] = &["spec.service", "spec.instanceId", "spec.address", "status.health"];
const OVERRIDES: [&str; 4] = ["down", "maintenance", "outOfService", "up"];

impl Strategy for ServiceInstance {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let name = object["metadata"]["name"].clone();
        let Some(spec) = spec(object) else { return };
        set_zero(spec, "instanceId", name);
        for port in objects(spec, "ports") {
            set_zero(port, "protocol", "TCP");
        }
        if let Some(weights) = object_or_new(spec, "weights") {
            set(weights, "passing", 1);
            set(weights, "warning", 1);
        }
        health_check::default(spec);
        if let Some(lease) = object_or_new(spec, "lease") {
            set_zero(lease, "kind", "none");
        }
    }

    fn prepare_for_create(&self, object: &mut Value, context: &Context) {
        super::forget_created_revision(object);
        // A registration says how the instance is in the same write.
        let Some(instance) = object.as_object_mut() else { return };
        let now = portolan_api::time::format(context.now);
        match object_or_new(instance, "status") {
            Some(status) => {
                set_zero(status, "health", "passing");
                set_zero(status, "since", now);
            }
            None => {
                instance.insert("status".to_owned(), json!({"health": "passing", "since": now}));
            }
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
        super::keep_created_revision(new, old);
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.required_name(&at.child("service"), &spec["service"], validation::is_registered_name);
        let address = text(&spec["address"]);
        if address.is_empty() && !is_set(&spec["node"]) {
            errors.required(&at.child("address"), "the IP address or host name where the instance is reached");
        } else {
            errors.obeys(&at.child("address"), address, validation::is_registered_name);
        }
        let list = at.child("ports");
        let ports = items(&spec["ports"]);
        let mut names = HashSet::new();
        for (index, port) in ports.iter().enumerate() {
            let (at, name) = (list.index(index), text(&port["name"]));
            if name.is_empty() && ports.len() > 1 {
                errors.required(&at.child("name"), "");
            } else if !name.is_empty() {
                errors.obeys(&at.child("name"), name, validation::is_dns1123_label);
                if !names.insert(name) {
                    errors.duplicate(&at.child("name"), name);
                }
            }
            errors.within(&at.child("port"), &json!(print::integer(&port["port"])), 1, 65535);
            errors.one_of(&at.child("protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
        }
        let weights = at.child("weights");
        for field in ["passing", "warning"] {
            errors.not_negative(&weights.child(field), &spec["weights"][field]);
        }
        validate_lease(&spec["lease"], &object["metadata"], &at.child("lease"), &mut errors);
        health_check::validate(spec, &at, &mut errors);
        if is_set(&spec["override"]) {
            errors.required_one_of(&at.child("override").child("mode"), &spec["override"]["mode"], &OVERRIDES);
        }
        let status = At::root("status");
        health_check::validate_status(&object["status"], &status, &mut errors);
        errors.one_of(&status.child("health"), &object["status"]["health"], &health_check::HEALTH);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        if context.subresource != "status" {
            for field in ["service", "instanceId"] {
                errors.immutable(&at.child(field), &new["spec"][field], &old["spec"][field]);
            }
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let (health, reason) = health(object);
        let or_none = |list: Vec<String>| if list.is_empty() { print::NONE.to_owned() } else { list.join(",") };
        let ports = items(&spec["ports"]).iter().map(|port| format!("{}/{}", port["port"], text(&port["protocol"])));
        let lease = match (text(&spec["lease"]["kind"]), spec["lease"]["ttlSeconds"].as_i64()) {
            ("ttl", Some(seconds)) => print::human_duration(seconds),
            ("" | "none", _) => print::NONE.to_owned(),
            (kind, _) => kind.to_owned(),
        };
        vec![
            print::name(object),
            text(&spec["service"]).into(),
            text(&spec["address"]).into(),
            or_none(ports.collect()).into(),
            health.into(),
            print::age(object, now),
            text(&spec["version"]).into(),
            or_none(items(&spec["tags"]).iter().map(|tag| text(tag).to_owned()).collect()).into(),
            lease.into(),
            reason.into(),
        ]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        let (half, field) = name.split_once('.').filter(|_| SELECTABLE.contains(&name))?;
        Some(text(&object[half][field]).to_owned())
    }
}

/// The one verdict on an instance, all things considered; what it says of itself where the rest cannot be read.
fn health(object: &Value) -> (String, String) {
    match portolan_api::typed::ServiceInstance::decode_value(object) {
        Ok(instance) => {
            let (health, reason) = instance.effective_health();
            (health.as_str().to_owned(), reason)
        }
        Err(_) => {
            let status = &object["status"];
            (text(&status["health"]).to_owned(), text(&status["reason"]).to_owned())
        }
    }
}

fn validate_lease(lease: &Value, metadata: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = text(&lease["kind"]);
    errors.one_of(&at.child("kind"), &lease["kind"], &["connection", "none", "orchestrator", "session", "ttl"]);
    let (seconds, at_seconds) = (&lease["ttlSeconds"], at.child("ttlSeconds"));
    match (kind, seconds.as_i64()) {
        ("ttl", None) => errors.required(&at_seconds, "must be specified when `kind` is 'ttl'"),
        ("ttl" | "connection", Some(seconds)) if seconds <= 0 => errors.invalid(&at_seconds, seconds, POSITIVE),
        ("ttl" | "connection", Some(_)) => errors.within(&at_seconds, seconds, 1, LONGEST_TTL_SECONDS.into()),
        (_, Some(_)) if is_set(seconds) => {
            errors.forbidden(&at_seconds, "may not be specified when `kind` is not 'ttl' or 'connection'");
        }
        _ => {}
    }
    let (session, at_session) = (&lease["session"], at.child("session"));
    match (kind, is_set(session)) {
        ("session", false) => errors.required(&at_session, "must be specified when `kind` is 'session'"),
        ("session", true) | (_, false) => {}
        (_, true) => errors.forbidden(&at_session, "may not be specified when `kind` is not 'session'"),
    }
    // Nobody else would ever end it.
    if kind == "orchestrator" && items(&metadata["ownerReferences"]).is_empty() {
        let owners = At::root("metadata");
        errors.required(
            &owners.child("ownerReferences"),
            "must name the object with which the instance ends when `spec.lease.kind` is 'orchestrator'",
        );
    }
}
