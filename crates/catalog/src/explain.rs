//! Why an instance is as healthy as it is, in lines for a person. Pure.

use std::time::Duration;

use portolan_base::Timestamp;

use crate::model::{Check, Instance, Node, Origin, Status};

/// What made an instance (un)healthy and since when: the verdict first, then what was decided and found,
/// the worst first, then its lease. `lease_left` is what the registrar says, and `held_by` what it says of a lease that
/// is not renewed.
pub fn explain(
    instance: &Instance,
    node: Option<&Node>,
    lease_left: Option<Duration>,
    held_by: Option<&str>,
) -> Vec<String> {
    let health = &instance.health;
    let mut lines = vec![format!(
        "{} of {} is {}{}: {}",
        instance.id,
        instance.service,
        health.status.as_str(),
        since(health.since),
        health.reason
    )];
    let registration = instance.registration.as_deref();
    if let Some(decision) = registration.and_then(|it| it.administrative()) {
        let reason = if decision.reason.is_empty() { String::new() } else { format!(": {}", decision.reason) };
        lines.push(format!(
            "an administrator set it to {}{}{reason}; this stands above all checks",
            decision.mode.as_str(),
            since(decision.since.as_ref().map(|time| time.0))
        ));
    }
    if let Some(held) = instance.held_since() {
        lines.push(format!(
            "its lease ran out{}, together with too many others for as many deaths: it is kept until it is heard of, \
             or until the policy gives it up",
            since(Some(held))
        ));
    }
    let mut checks: Vec<(String, &Check)> =
        instance.checks.iter().map(|check| (format!("check {}", check.name), check)).collect();
    if let Some(node) = node.filter(|_| instance.origin == Origin::Registry) {
        checks.extend(node.checks.iter().map(|check| (format!("check {} of node {}", check.name, node.name), check)));
    }
    checks.sort_by_key(|(_, check)| std::cmp::Reverse(check.status));
    lines.extend(checks.iter().map(|(name, check)| found(name, check)));
    if let Some((health, time, reason)) = registration.and_then(|it| it.said()) {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        lines.push(format!("it says of itself that it is {}{}{reason}", health.as_str(), since(time)));
    }
    lines.push(match (held_by, instance.origin, instance.ttl, lease_left) {
        (Some(held), ..) => held.to_owned(),
        (_, Origin::Orchestrator, ..) => "it is a pod: its node and its probes decide how long it is listed".to_owned(),
        (_, _, None, _) => "it has no lease: it stays until somebody deregisters it".to_owned(),
        (_, _, Some(ttl), Some(left)) => {
            format!("its lease of {} s ends in {} s unless it is renewed", ttl.as_secs(), left.as_secs())
        }
        (_, _, Some(ttl), None) => format!("it has a lease of {} s", ttl.as_secs()),
    });
    lines
}

fn found(name: &str, check: &Check) -> String {
    let kind = if check.check_type.is_empty() { String::new() } else { format!(" ({})", check.check_type) };
    let output = match check.output.trim() {
        "" if check.since.is_none() && check.status != Status::Passing => ": nothing was found yet".to_owned(),
        "" => String::new(),
        output => format!(": {output}"),
    };
    format!("{name}{kind} is {}{}{output}", check.status.as_str(), since(check.since))
}

fn since(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| format!(" since {}", portolan_api::time::format(time)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portolan_api::typed::{Object, ServiceInstance};
    use serde_json::{Value, json};

    use super::*;
    use crate::{Catalog, Input};

    fn check(spec: Value, status: Value, left: Option<u64>, expected: &[&str]) {
        let object = json!({
            "metadata": {"namespace": "default", "name": "a"},
            "spec": spec, "status": status,
        });
        let object = ServiceInstance::decode(object.to_string().as_bytes()).expect("fits its kind");
        let mut catalog = Catalog::new();
        catalog.put(Input::Registration(Arc::new(object)));
        let snapshot = catalog.snapshot();
        let instance = &snapshot.instances_of("default", "web").expect("registered")[0];
        assert_eq!(explain(instance, None, left.map(Duration::from_secs), None), expected);
    }

    #[test]
    fn every_verdict_names_what_made_it_and_since_when() {
        let t = |second: u32| format!("2026-01-01T00:00:{second:02}Z");
        check(
            json!({"service": "web", "lease": {"kind": "ttl", "ttlSeconds": 30}}),
            json!({"health": "passing", "since": t(1)}),
            Some(12),
            &[
                "a of web is passing since 2026-01-01T00:00:01Z: registered, its lease is kept",
                "it says of itself that it is passing since 2026-01-01T00:00:01Z",
                "its lease of 30 s ends in 12 s unless it is renewed",
            ],
        );
        check(
            json!({"service": "web", "checks": [{"id": "m", "name": "memory", "type": "ttl"}, {"id": "h", "type": "http"}, {"id": "n", "type": "tcp"}]}),
            json!({"health": "passing", "since": t(1), "checks": [
                {"id": "m", "health": "passing", "since": t(2)},
                {"id": "h", "health": "critical", "since": t(3), "output": "refused"}]}),
            None,
            &[
                "a of web is critical since 2026-01-01T00:00:03Z: check h: refused",
                "check h (http) is critical since 2026-01-01T00:00:03Z: refused",
                "check n (tcp) is critical: nothing was found yet",
                "check memory (ttl) is passing since 2026-01-01T00:00:02Z",
                "it says of itself that it is passing since 2026-01-01T00:00:01Z",
                "it has no lease: it stays until somebody deregisters it",
            ],
        );
        check(
            json!({"service": "web", "override": {"mode": "maintenance", "reason": "disk", "since": t(4)}, "lease": {"kind": "ttl", "ttlSeconds": 30}}),
            json!({"health": "passing", "since": t(1), "leaseHeldSince": t(5)}),
            None,
            &[
                "a of web is critical since 2026-01-01T00:00:04Z: override: maintenance (disk)",
                "an administrator set it to maintenance since 2026-01-01T00:00:04Z: disk; this stands above all checks",
                "its lease ran out since 2026-01-01T00:00:05Z, together with too many others for as many deaths: it is kept until it is heard of, or until the policy gives it up",
                "it says of itself that it is passing since 2026-01-01T00:00:01Z",
                "it has a lease of 30 s",
            ],
        );
    }
}
