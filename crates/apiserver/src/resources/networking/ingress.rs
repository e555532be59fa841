//! Ingresses.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::core::load_balancer_status::{self, Modes};
use crate::resources::json::{is_set, items, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy, keep_other_half};

/// The strategy of ingresses.
pub(crate) struct Ingress;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Class")
        .about("The name of the IngressClass resource that should be used for additional configuration"),
    Column::string("Hosts").about("Hosts that incoming requests are matched against before the ingress rule"),
    Column::string("Address").about("Address is a list containing ingress points for the load-balancer"),
    Column::string("Ports").about("Ports of TLS configurations that open"),
    AGE,
];
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
/// What a path may not contain, because servers disagree on what it means.
const BAD_IN_PATH: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_AT_END: [&str; 2] = ["/..", "/."];
/// How many hosts a row names.
const SHOWN: usize = 3;

impl Strategy for Ingress {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), json!({"loadBalancer": {}}));
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let is_status = context.subresource == "status";
        keep_other_half(new, old, is_status);
        if is_status {
            load_balancer_status::complete(new);
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            load_balancer_status::validate(&new["status"], &old["status"], Modes::Unknown, &mut errors);
        }
        errors.0
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        let rules = items(&spec["rules"]);
        if rules.is_empty() && spec["defaultBackend"].is_null() {
            errors.invalid(&at, Value::Null, "either `defaultBackend` or `rules` must be specified");
        }
        if !spec["defaultBackend"].is_null() {
            validate_backend(&spec["defaultBackend"], &at.child("defaultBackend"), &mut errors);
        }
        if let Some(class) = spec["ingressClassName"].as_str() {
            errors.obeys(&at.child("ingressClassName"), class, validation::is_dns1123_subdomain);
        }
        let list = at.child("tls");
        for (index, tls) in items(&spec["tls"]).iter().enumerate() {
            let at = list.index(index);
            let hosts = at.child("hosts");
            for (index, host) in items(&tls["hosts"]).iter().enumerate() {
                errors.obeys(&hosts.index(index), text(host), host_rule(text(host)));
            }
            let secret = at.child("secretName");
            errors.obeys_if_set(&secret, &tls["secretName"], validation::is_dns1123_subdomain);
        }
        let list = at.child("rules");
        for (index, rule) in rules.iter().enumerate() {
            validate_rule(rule, &list.index(index), &mut errors);
        }
        errors.0
    }

    fn validate_create(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (old_way, new_way) =
            (&object["metadata"]["annotations"][CLASS_ANNOTATION], &object["spec"]["ingressClassName"]);
        if !old_way.is_null() && !new_way.is_null() && old_way != new_way {
            let detail = "must match `ingressClassName` when both are specified";
            errors.invalid(&At::root("annotations").child(CLASS_ANNOTATION), old_way.clone(), detail);
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let is_set = !object["metadata"]["annotations"][CLASS_ANNOTATION].is_null();
        if is_set && object["spec"]["ingressClassName"].is_null() {
            return vec![format!(
                "annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
            )];
        }
        Vec::new()
    }

    fn update_warnings(&self, _new: &Value, _old: &Value) -> Vec<String> {
        Vec::new()
    }

    fn status_warnings(&self, new: &Value) -> Vec<String> {
        load_balancer_status::warnings(&new["status"])
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let addresses: Vec<&str> = items(&object["status"]["loadBalancer"]["ingress"])
            .iter()
            .map(|point| if is_set(&point["ip"]) { text(&point["ip"]) } else { text(&point["hostname"]) })
            .filter(|address| !address.is_empty())
            .collect();
        vec![
            print::name(object),
            spec["ingressClassName"].as_str().unwrap_or(print::NONE).into(),
            hosts(spec).into(),
            addresses.join(",").into(),
            (if is_set(&spec["tls"]) { "80, 443" } else { "80" }).into(),
            print::age(object, now),
        ]
    }
}

fn host_rule(host: &str) -> crate::resources::checks::Rule {
    if host.contains('*') { validation::is_wildcard_dns1123_subdomain } else { validation::is_dns1123_subdomain }
}

fn validate_rule(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    let host = text(&rule["host"]);
    if !host.is_empty() {
        if host.parse::<std::net::IpAddr>().is_ok() {
            errors.invalid(&at.child("host"), host, "must be a DNS name, not an IP address");
        } else {
            errors.obeys(&at.child("host"), host, host_rule(host));
        }
    }
    if rule["http"].is_null() {
        return;
    }
    let http = at.child("http");
    let list = http.child("paths");
    if items(&rule["http"]["paths"]).is_empty() {
        errors.required(&list, "");
    }
    for (index, path) in items(&rule["http"]["paths"]).iter().enumerate() {
        let at = list.index(index);
        if path["pathType"].is_null() {
            errors.required(&at.child("pathType"), "pathType must be specified");
            continue;
        }
        validate_path(path, &at, errors);
        validate_backend(&path["backend"], &at.child("backend"), errors);
    }
}

fn validate_path(path: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = text(&path["pathType"]);
    if !PATH_TYPES.contains(&kind) {
        errors.not_supported(&at.child("pathType"), kind, &PATH_TYPES);
        return;
    }
    let (at, path) = (at.child("path"), text(&path["path"]));
    if kind == "ImplementationSpecific" {
        if !path.is_empty() && !path.starts_with('/') {
            errors.invalid(&at, path, "must be an absolute path");
        }
        return;
    }
    if !path.starts_with('/') {
        errors.invalid(&at, path, "must be an absolute path");
    }
    for bad in BAD_IN_PATH.iter().filter(|bad| path.contains(**bad)) {
        errors.invalid(&at, path, format!("must not contain '{bad}'"));
    }
    for bad in BAD_AT_END.iter().filter(|bad| path.ends_with(**bad)) {
        errors.invalid(&at, path, format!("cannot end with '{bad}'"));
    }
}

fn validate_backend(backend: &Value, at: &At<'_>, errors: &mut Errors) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    match (service.is_null(), resource.is_null()) {
        (false, false) => errors.invalid(at, "", "cannot set both resource and service backends"),
        (true, true) => errors.invalid(at, "", "resource or service backend is required"),
        (true, false) => {
            let at = at.child("resource");
            errors.present(&at.child("kind"), &resource["kind"]);
            errors.present(&at.child("name"), &resource["name"]);
        }
        (false, true) => {
            let backend = at;
            let at = at.child("service");
            errors.required_name(&at.child("name"), &service["name"], validation::is_dns1123_label);
            let port = &service["port"];
            let at = at.child("port");
            match (is_set(&port["name"]), is_set(&port["number"])) {
                (true, true) => errors.invalid(backend, "", "cannot set both port name & port number"),
                (false, false) => errors.required(backend, "port name or number is required"),
                (true, false) => errors.obeys(&at.child("name"), text(&port["name"]), validation::is_valid_port_name),
                (false, true) => errors.port(&at.child("number"), &port["number"]),
            }
        }
    }
}

fn hosts(spec: &Value) -> String {
    let hosts: Vec<&str> =
        items(&spec["rules"]).iter().map(|rule| text(&rule["host"])).filter(|host| !host.is_empty()).collect();
    match hosts.len() {
        0 => "*".to_owned(),
        count if count > SHOWN => format!("{} + {} more...", hosts[..SHOWN].join(","), count - SHOWN),
        _ => hosts.join(","),
    }
}
