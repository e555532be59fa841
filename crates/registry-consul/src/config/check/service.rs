//! What is wrong with the defaults of a service.

use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{meta_problems, together};
use crate::config::{items, text};

/// All that is wrong.
pub(super) fn check(name: &str, entry: &Map<String, Value>) -> Result<(), String> {
    if name == "*" {
        return Err("service-defaults name must be the name of a service, and not a wildcard".into());
    }
    let mut problems = meta_problems(entry);
    let balance = text(entry.get("BalanceInboundConnections"));
    if !is_balance(balance) {
        problems.push(format!("invalid value for balance_inbound_connections: {balance}"));
    }
    let protocol = text(entry.get("Protocol"));
    if !matches!(protocol, "" | "http" | "http2" | "grpc" | "tcp") {
        problems.push(format!("invalid value for protocol: {protocol}"));
    }
    if let Some(upstreams) = entry.get("UpstreamConfig") {
        if entry.contains_key("Destination") {
            problems.push("UpstreamConfig and Destination are mutually exclusive for service defaults".into());
            return together(&problems);
        }
        for upstream in items(upstreams.get("Overrides")) {
            let (name, peer) = (text(upstream.get("Name")), text(upstream.get("Peer")));
            let whose = if name.is_empty() { ":".to_owned() } else { format!("{name}:{peer}") };
            let found = name_of_override(name).and_then(|()| check_upstream(upstream));
            problems.extend(found.err().map(|error| format!("error in upstream override for {whose}: {error}")));
        }
        if let Some(upstream) = upstreams.get("Defaults") {
            let is_named = upstream.get("Name").is_some();
            let found = if is_named { Err("Name must be empty".into()) } else { check_upstream(upstream) };
            problems.extend(found.err().map(|error| format!("error in upstream defaults: {error}")));
        }
    }
    if let Some(destination) = entry.get("Destination") {
        destination_problems(destination, &mut problems);
    }
    if entry.contains_key("RateLimits") {
        problems.push("invalid rate_limits config. Rate limiting is a consul enterprise feature".into());
    }
    together(&problems)
}

fn is_balance(text: &str) -> bool {
    matches!(text, "" | "exact_balance")
}

fn destination_problems(destination: &Value, problems: &mut Vec<String>) {
    let addresses = items(destination.get("Addresses"));
    if addresses.is_empty() {
        problems.push("Destination must contain at least one valid address".into());
    }
    let mut seen = HashSet::new();
    for address in addresses.iter().map(|address| text(Some(address))) {
        if !seen.insert(address) {
            problems.push(format!("Duplicate address '{address}' is not allowed"));
            continue;
        }
        if address.is_empty() || address.contains(['*', '/', ':']) && address.parse::<IpAddr>().is_err() {
            problems.push(format!(
                "Destination address '{address}' is invalid Could not validate address {address} as an IP or Hostname"
            ));
        }
    }
    let port = destination["Port"].as_i64().unwrap_or_default();
    if !(1..=65535).contains(&port) {
        problems.push(format!("Invalid Port number {port}"));
    }
}

fn name_of_override(name: &str) -> Result<(), String> {
    match name {
        "" => Err("Name is required".into()),
        "*" => Err("Wildcard name is not supported".into()),
        _ => Ok(()),
    }
}

fn check_upstream(upstream: &Value) -> Result<(), String> {
    let mut problems = Vec::new();
    problems.extend(upstream.get("PassiveHealthCheck").and_then(problem_of_outliers));
    problems.extend(upstream.get("Limits").and_then(problem_of_limits));
    let balance = text(upstream.get("BalanceOutboundConnections"));
    if !is_balance(balance) {
        problems.push(format!("invalid value for balance_outbound_connections: {balance}"));
    }
    together(&problems)
}

/// The first thing that is wrong with how failing instances are put out.
fn problem_of_outliers(check: &Value) -> Option<String> {
    let number = |field: &str| check[field].as_i64().unwrap_or_default();
    let negative = |field: &str, name: &str| {
        (number(field) < 0).then(|| format!("passive health check {name} cannot be negative"))
    };
    let beyond = |field: &str, name: &str| {
        let words = || format!("passive health check {name} must be a percentage between 0 and 100");
        (number(field) > 100).then(words)
    };
    negative("Interval", "interval")
        .or_else(|| beyond("EnforcingConsecutive5xx", "enforcing_consecutive_5xx"))
        .or_else(|| beyond("EnforcingConsecutiveGatewayFailure", "enforcing_consecutive_gateway_failure"))
        .or_else(|| beyond("MaxEjectionPercent", "max_ejection_percent"))
        .or_else(|| negative("BaseEjectionTime", "base_ejection_time"))
}

/// The first thing that is wrong with limits.
fn problem_of_limits(limits: &Value) -> Option<String> {
    let fields = [
        ("MaxConnections", "max connections"),
        ("MaxPendingRequests", "max pending requests"),
        ("MaxConcurrentRequests", "max concurrent requests"),
    ];
    let (_, name) = fields.iter().find(|(field, _)| limits[*field].as_i64().is_some_and(|number| number < 0))?;
    Some(format!("{name} cannot be negative"))
}
