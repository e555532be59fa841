//! Validation of probes and lifecycle hooks.

use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{items, text};
use crate::resources::print::integer;

pub(super) fn validate_probes(container: &Value, at: &At<'_>, errors: &mut Errors) {
    for (name, only_one_success) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
        let (probe, at) = (&container[name], at.child(name));
        if probe.is_null() {
            continue;
        }
        validate_probe(probe, &at, errors);
        if only_one_success && probe["successThreshold"].as_i64().is_some_and(|count| count != 1) {
            errors.invalid(&at.child("successThreshold"), probe["successThreshold"].clone(), "must be 1");
        }
        let grace = &probe["terminationGracePeriodSeconds"];
        if name == "readinessProbe" && !grace.is_null() {
            errors.invalid(
                &at.child("terminationGracePeriodSeconds"),
                grace.clone(),
                "must not be set for readinessProbes",
            );
        } else if grace.as_i64().is_some_and(|seconds| seconds <= 0) {
            errors.invalid(&at.child("terminationGracePeriodSeconds"), grace.clone(), POSITIVE);
        }
    }
}

fn validate_probe(probe: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_handler(probe, None, at, &["exec", "httpGet", "tcpSocket", "grpc"], errors);
    for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        errors.not_negative(&at.child(name), &probe[name]);
    }
}

/// What a container does at its beginning and its end, for which the pod has so many seconds.
pub(super) fn validate_lifecycle(lifecycle: &Value, grace_seconds: Option<i64>, at: &At<'_>, errors: &mut Errors) {
    const KINDS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];
    for name in ["postStart", "preStop"] {
        if !lifecycle[name].is_null() {
            validate_handler(&lifecycle[name], grace_seconds, &at.child(name), &KINDS, errors);
        }
    }
}

/// Exactly one of the handlers, and a good one.
fn validate_handler(handler: &Value, grace_seconds: Option<i64>, at: &At<'_>, kinds: &[&str], errors: &mut Errors) {
    let mut found = 0;
    for name in kinds {
        let action = &handler[*name];
        if action.is_null() {
            continue;
        }
        found += 1;
        let at = at.child(name);
        if found > 1 {
            errors.forbidden(&at, "may not specify more than 1 handler type");
            continue;
        }
        match *name {
            "exec" => {
                if items(&action["command"]).is_empty() {
                    errors.required(&at.child("command"), "");
                }
            }
            "httpGet" => validate_http_get(action, &at, errors),
            "tcpSocket" => errors.port_or_name(&at.child("port"), &action["port"]),
            "grpc" => errors.port_or_name(&at.child("port"), &action["port"]),
            _ => validate_sleep(action, grace_seconds, &at, errors),
        }
    }
    if found == 0 {
        errors.required(at, "must specify a handler type");
    }
}

fn validate_sleep(action: &Value, grace_seconds: Option<i64>, at: &At<'_>, errors: &mut Errors) {
    let seconds = integer(&action["seconds"]);
    if let Some(grace) = grace_seconds.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid(at, seconds, detail);
    }
}

fn validate_http_get(action: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.present(&at.child("path"), &action["path"]);
    errors.port_or_name(&at.child("port"), &action["port"]);
    errors.one_of(&at.child("scheme"), &action["scheme"], &["HTTP", "HTTPS"]);
    for (index, header) in items(&action["httpHeaders"]).iter().enumerate() {
        let list = at.child("httpHeaders");
        let item = list.index(index);
        if !is_http_header_name(text(&header["name"])) {
            errors.invalid(
                &item.child("name"),
                header["name"].clone(),
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
            );
        }
    }
}

fn is_http_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
