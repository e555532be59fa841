//! What is wrong with a config entry, in Consul's words. Pure.

mod service;

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{items, text};
use crate::bexpr;

/// More keys of metadata are not taken, nor longer ones, nor longer values.
const MOST_META: usize = 64;
const LONGEST_META_KEY: usize = 128;
const LONGEST_META_VALUE: usize = 512;
/// A subset is a label of a name in DNS.
const LONGEST_SUBSET: usize = 63;
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
const RETRIES: [&str; 12] = [
    "5xx",
    "gateway-error",
    "reset",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Says what is wrong with an entry that was read by its tables.
pub(super) fn check(kind: &str, entry: &Map<String, Value>) -> Result<(), String> {
    let name = text(entry.get("Name"));
    if kind == "proxy-defaults" {
        if name != "global" {
            return Err(format!("invalid name ({name:?}), only \"global\" is supported"));
        }
    } else if name.is_empty() {
        return Err("Name is required".into());
    }
    // Of a service all that is wrong is told together.
    if kind != "service-defaults" {
        together(&meta_problems(entry))?;
    }
    let mode = text(entry.get("MutualTLSMode"));
    if !matches!(mode, "" | "strict" | "permissive") {
        return Err(format!("Invalid MutualTLSMode {mode:?}. Must be one of \"\", \"strict\", or \"permissive\"."));
    }
    if entry.contains_key("PrioritizeByLocality") {
        return Err("Prioritize-by-locality requires Consul Enterprise ".into());
    }
    match kind {
        "service-defaults" => service::check(name, entry),
        "service-resolver" => check_resolver(name, entry),
        "service-router" => check_router(entry),
        "service-splitter" => check_splitter(name, entry),
        _ => Ok(()),
    }
}

fn meta_problems(entry: &Map<String, Value>) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(meta) = entry.get("Meta").and_then(Value::as_object) else { return problems };
    if meta.len() > MOST_META {
        problems.push(format!("Meta exceeds maximum element count {MOST_META}"));
    }
    for (key, value) in meta {
        if key.len() > LONGEST_META_KEY {
            problems.push(format!("Meta key {key:?} exceeds maximum length {LONGEST_META_KEY}"));
        }
        if text(Some(value)).len() > LONGEST_META_VALUE {
            problems.push(format!("Meta value for key {key:?} exceeds maximum length {LONGEST_META_VALUE}"));
        }
    }
    problems
}

/// Several problems in one text, as Consul puts them.
fn together(problems: &[String]) -> Result<(), String> {
    let points: Vec<String> = problems.iter().map(|problem| format!("* {problem}")).collect();
    match problems.len() {
        0 => Ok(()),
        1 => Err(format!("1 error occurred:\n\t{}\n\n", points[0])),
        count => Err(format!("{count} errors occurred:\n\t{}\n\n", points.join("\n\t"))),
    }
}

fn check_resolver(name: &str, entry: &Map<String, Value>) -> Result<(), String> {
    let empty = Map::new();
    let subsets = entry.get("Subsets").and_then(Value::as_object).unwrap_or(&empty);
    for (subset, said) in subsets {
        check_subset(subset)?;
        let filter = text(said.get("Filter"));
        if !filter.is_empty() {
            bexpr::check_grammar(filter)
                .map_err(|error| format!("Filter for subset {subset:?} is not a valid expression: {error}"))?;
        }
    }
    let default = text(entry.get("DefaultSubset"));
    if !default.is_empty() && !subsets.contains_key(default) {
        return Err(format!("DefaultSubset {default:?} is not a valid subset"));
    }
    // A subset of another service may be defined later.
    let own = |target: &Value| {
        let service = text(target.get("Service"));
        let subset = text(target.get("ServiceSubset"));
        let is_known = subset.is_empty() || !(service.is_empty() || service == name) || subsets.contains_key(subset);
        if is_known { Ok(()) } else { Err(format!("ServiceSubset {subset:?} is not a valid subset of {name:?}")) }
    };
    let failover = entry.get("Failover").and_then(Value::as_object);
    if let Some(redirect) = entry.get("Redirect") {
        if failover.is_some() {
            return Err("Redirect and Failover cannot both be set".into());
        }
        refuse_pair(redirect, "Redirect.", &["Peer", "SamenessGroup"], &["ServiceSubset", "Datacenter"])?;
        let lacks_service = text(redirect.get("Service")).is_empty();
        if let Some(field) = ["ServiceSubset", "Peer"].iter().find(|field| redirect.get(**field).is_some())
            && lacks_service
        {
            return Err(format!("Redirect.{field} defined without Redirect.Service"));
        }
        own(redirect).map_err(|error| format!("Redirect.{error}"))?;
    }
    for (subset, said) in failover.into_iter().flatten() {
        let bad = |what: String| format!("Bad Failover[{subset:?}]: {what}");
        if subset != "*" && !subsets.contains_key(subset) {
            return Err(bad("not a valid subset subset".into()));
        }
        let says = ["Service", "ServiceSubset", "Targets", "SamenessGroup", "Datacenters"];
        if says.iter().all(|field| said.get(*field).is_none()) {
            let what = "one of Service, ServiceSubset, Namespace, Targets, SamenessGroup, or Datacenters is required";
            return Err(bad(what.into()));
        }
        own(said).map_err(bad)?;
        refuse_pair(said, "", &["SamenessGroup"], &["Datacenters", "ServiceSubset", "Targets"]).map_err(bad)?;
        refuse_pair(said, "", &["Targets"], &["Datacenters", "ServiceSubset", "Service"]).map_err(bad)?;
        for (at, target) in items(said.get("Targets")).iter().enumerate() {
            let bad = |what: String| format!("Bad Failover[{subset:?}].Targets[{at}]: {what}");
            refuse_pair(target, "", &["Peer"], &["ServiceSubset", "Datacenter"]).map_err(bad)?;
            own(target).map_err(bad)?;
        }
        if items(said.get("Datacenters")).iter().any(|datacenter| text(Some(datacenter)).is_empty()) {
            return Err(format!("Bad Failover[{subset:?}].Datacenters: found empty datacenter"));
        }
    }
    check_balancer(entry.get("LoadBalancer"))
}

fn check_subset(subset: &str) -> Result<(), String> {
    if subset.is_empty() {
        return Err("Subset defined with empty name".into());
    }
    let wanted = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = subset.bytes().next().is_some_and(wanted) && subset.bytes().last().is_some_and(wanted);
    if subset.len() > LONGEST_SUBSET || !ends || !subset.bytes().all(|byte| wanted(byte) || byte == b'-') {
        return Err(format!(
            "Subset {subset:?} is invalid: must be 63 characters or fewer, begin or end with lower case alphanumeric \
             characters, and contain lower case alphanumeric characters or '-' in between"
        ));
    }
    Ok(())
}

fn check_balancer(balancer: Option<&Value>) -> Result<(), String> {
    let Some(balancer) = balancer else { return Ok(()) };
    let policy = text(balancer.get("Policy"));
    if !matches!(policy, "" | "random" | "round_robin" | "least_request" | "ring_hash" | "maglev") {
        return Err(format!("Bad LoadBalancer policy: {policy:?} is not supported"));
    }
    for (config, of) in [("RingHashConfig", "ring_hash"), ("LeastRequestConfig", "least_request")] {
        if policy != of && balancer.get(config).is_some() {
            return Err(format!(
                "Bad LoadBalancer configuration. {config} specified for incompatible load balancing policy {policy:?}"
            ));
        }
    }
    if !matches!(policy, "ring_hash" | "maglev") && balancer.get("HashPolicies").is_some() {
        return Err(format!(
            "Bad LoadBalancer configuration: HashPolicies specified for non-hash-based Policy: {policy:?}"
        ));
    }
    for (at, hash) in items(balancer.get("HashPolicies")).iter().enumerate() {
        let bad = |what: String| Err(format!("Bad LoadBalancer HashPolicy[{at}]: {what}"));
        let (field, value, cookie) = (text(hash.get("Field")), text(hash.get("FieldValue")), hash.get("CookieConfig"));
        let by_address = hash["SourceIP"] == true;
        if !matches!(field, "" | "header" | "cookie" | "query_parameter") {
            return bad(format!("{field:?} is not a supported field"));
        }
        if by_address && !field.is_empty() {
            return bad(format!("A single hash policy cannot hash both a source address and a {field:?}"));
        }
        if by_address && !value.is_empty() {
            return bad("A FieldValue cannot be specified when hashing SourceIP".into());
        }
        if !field.is_empty() && value.is_empty() {
            return bad(format!("Field {field:?} was specified without a FieldValue"));
        }
        if field.is_empty() && !value.is_empty() {
            return bad("FieldValue requires a Field to apply to".into());
        }
        if let Some(cookie) = cookie {
            if field != "cookie" {
                return bad(format!("cookie_config provided for {field:?}"));
            }
            if cookie["Session"] == true && cookie.get("TTL").is_some() {
                return bad("a session cookie cannot have an associated TTL".into());
            }
        }
    }
    Ok(())
}

fn check_router(entry: &Map<String, Value>) -> Result<(), String> {
    for (at, route) in items(entry.get("Routes")).iter().enumerate() {
        let matched = &route["Match"]["HTTP"];
        let path = |field: &str| text(matched.get(field));
        for field in ["PathExact", "PathPrefix"] {
            if !path(field).is_empty() && !path(field).starts_with('/') {
                return Err(format!("Route[{at}] {field} doesn't start with '/': {:?}", path(field)));
            }
        }
        if ["PathExact", "PathPrefix", "PathRegex"].iter().filter(|field| !path(field).is_empty()).count() > 1 {
            return Err(format!("Route[{at}] should only contain at most one of PathExact, PathPrefix, or PathRegex"));
        }
        let lists = [
            (
                "Header",
                &["Present", "Exact", "Prefix", "Suffix", "Regex"][..],
                "Present, Exact, Prefix, Suffix, or Regex",
            ),
            ("QueryParam", &["Present", "Exact", "Regex"][..], "Present, Exact, or Regex"),
        ];
        for (list, ways, words) in lists {
            for (index, one) in items(matched.get(list)).iter().enumerate() {
                if text(one.get("Name")).is_empty() {
                    return Err(format!("Route[{at}] {list}[{index}] missing required Name field"));
                }
                if ways.iter().filter(|way| one.get(**way).is_some()).count() != 1 {
                    return Err(format!("Route[{at}] {list}[{index}] should only contain one of {words}"));
                }
            }
        }
        let mut seen = HashSet::new();
        for method in items(matched.get("Methods")).iter().map(|method| text(Some(method))) {
            if !METHODS.contains(&method) {
                return Err(format!("Route[{at}] Methods contains an invalid method {method:?}"));
            }
            if !seen.insert(method) {
                return Err(format!("Route[{at}] Methods contains {method:?} more than once"));
            }
        }
        let destination = &route["Destination"];
        let can_rewrite = !(path("PathExact").is_empty() && path("PathPrefix").is_empty());
        if destination.get("PrefixRewrite").is_some() && !can_rewrite {
            return Err(format!(
                "Route[{at}] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix"
            ));
        }
        let retries = items(destination.get("RetryOn")).iter().map(|retry| text(Some(retry)));
        if let Some(wrong) = retries.into_iter().find(|retry| !RETRIES.contains(retry)) {
            return Err(format!("Route[{at}] contains an invalid retry condition: {wrong:?}"));
        }
    }
    Ok(())
}

fn check_splitter(name: &str, entry: &Map<String, Value>) -> Result<(), String> {
    let splits = items(entry.get("Splits"));
    if splits.is_empty() {
        return Err("no splits configured".into());
    }
    let mut seen = HashSet::new();
    for split in splits {
        let service = Some(text(split.get("Service"))).filter(|service| !service.is_empty()).unwrap_or(name);
        let subset = text(split.get("ServiceSubset"));
        if !seen.insert((service, subset)) {
            return Err(format!(
                "split destination occurs more than once: service={service:?}, subset={subset:?}, namespace=\"\", \
                 partition=\"\""
            ));
        }
    }
    // In hundredths of a percent, which is as fine as shares are.
    let hundredths = |split: &Value| (split["Weight"].as_f64().unwrap_or_default() * 100.0).round();
    let sum: f64 = splits.iter().map(hundredths).sum();
    if sum == 10_000.0 {
        Ok(())
    } else {
        Err(format!("the sum of all split weights must be 100, not {:.6}", sum / 100.0))
    }
}

/// Refuses one of `fields` together with one of `others`.
fn refuse_pair(said: &Value, prefix: &str, fields: &[&str], others: &[&str]) -> Result<(), String> {
    for field in fields.iter().filter(|field| said.get(**field).is_some()) {
        if let Some(other) = others.iter().find(|other| said.get(**other).is_some()) {
            return Err(format!("{prefix}{field} cannot be set with {prefix}{other}"));
        }
    }
    Ok(())
}
