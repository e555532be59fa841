//! `portolan explain`: why an object is in the state it is in.
//!
//! Every decision of the system leaves its reason where this command looks: in conditions, in
//! container states and in events.

use serde_json::Value;

use super::{describe, target};
use crate::Api;
use crate::output::print_line;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan explain pod cart-7d9c        # why is it pending, why is it not ready
  portolan explain deployment/cart      # why is the rollout stuck")]
pub struct Arguments {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(required = true)]
    what: Vec<String>,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    for target in target::parse(api, &arguments.what).await? {
        let object = api.get(&target.path(api), "application/json").await?;
        print_line(&format!("{}: {}", target.display(), summary(&object)));
        for reason in reasons(&object) {
            print_line(&format!("  - {reason}"));
        }
        let events = describe::events(api, &object).await?;
        if !events.is_empty() {
            describe::print_events(&events);
        }
    }
    Ok(())
}

fn summary(object: &Value) -> String {
    let status = &object["status"];
    if object["metadata"]["deletionTimestamp"].is_string() {
        return "is being deleted".into();
    }
    if let Some(phase) = status["phase"].as_str() {
        return phase.to_owned();
    }
    if let Some(health) = status["health"].as_str() {
        return health.to_owned();
    }
    match (object["spec"]["replicas"].as_u64(), status["availableReplicas"].as_u64()) {
        (Some(wanted), available) => format!("{} of {wanted} replicas available", available.unwrap_or(0)),
        _ => "exists".into(),
    }
}

/// The reasons that an object's status gives, one line each.
fn reasons(object: &Value) -> Vec<String> {
    let status = &object["status"];
    let mut reasons = Vec::new();
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let texts = ["type", "status", "reason", "message", "lastTransitionTime"]
            .map(|field| condition[field].as_str().unwrap_or_default());
        let [name, value, reason, message, since] = texts;
        let because = [reason, message].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
        let because = if because.is_empty() { String::new() } else { format!(" because {because}") };
        reasons.push(format!("{name} is {value}{because} (since {since})"));
    }
    for list in ["initContainerStatuses", "containerStatuses"] {
        for container in status[list].as_array().into_iter().flatten() {
            reasons.extend(container_reason(container));
        }
    }
    for field in ["reason", "message"] {
        if let Some(text) = status[field].as_str() {
            reasons.push(text.to_owned());
        }
    }
    reasons
}

fn container_reason(container: &Value) -> Option<String> {
    let name = container["name"].as_str()?;
    let (state, facts) = container["state"].as_object()?.iter().next()?;
    let mut text = format!("container {name} is {state}");
    for field in ["reason", "message", "exitCode"] {
        match &facts[field] {
            Value::Null => {}
            value => text.push_str(&format!(", {field} {value}")),
        }
    }
    let restarts = container["restartCount"].as_u64().unwrap_or(0);
    if restarts > 0 {
        text.push_str(&format!(", restarted {restarts} times"));
    }
    if let Some(last) = container["lastState"]["terminated"].as_object() {
        let reason = last.get("reason").and_then(Value::as_str).unwrap_or("Unknown");
        let code = last.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
        text.push_str(&format!("; before that it ended with {reason}, exit code {code}"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crashing_pod_says_what_happened_before() {
        let pod = serde_json::json!({"status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady",
                "message": "containers with unready status: [cart]", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "containerStatuses": [{"name": "cart", "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 7}}}]}});
        assert_eq!(summary(&pod), "Running");
        assert_eq!(
            reasons(&pod),
            [
                "Ready is False because ContainersNotReady: containers with unready status: [cart] (since 2026-01-01T00:00:00Z)",
                "container cart is waiting, reason \"CrashLoopBackOff\", restarted 3 times; before that it ended with Error, exit code 7",
            ]
        );
    }
}
