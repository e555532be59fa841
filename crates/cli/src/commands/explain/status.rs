//! What an object's status says, in sentences. Pure.

use serde_json::Value;

/// The state in a few words.
pub(super) fn summary(object: &Value) -> String {
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
pub(super) fn reasons(object: &Value) -> Vec<String> {
    let status = &object["status"];
    let mut reasons: Vec<String> = list(&status["conditions"]).iter().map(condition).collect();
    for containers in ["initContainerStatuses", "containerStatuses"] {
        reasons.extend(list(&status[containers]).iter().filter_map(container));
    }
    for field in ["reason", "message"] {
        if let Some(text) = status[field].as_str() {
            reasons.push(text.to_owned());
        }
    }
    reasons
}

fn condition(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    let because: Vec<&str> = [text("reason"), text("message")].into_iter().filter(|text| !text.is_empty()).collect();
    let because = if because.is_empty() { String::new() } else { format!(" because {}", because.join(": ")) };
    let since = match text("lastTransitionTime") {
        "" => String::new(),
        since => format!(" (since {since})"),
    };
    format!("{} is {}{because}{since}", text("type"), text("status"))
}

/// What a container does, and how it ended before.
pub(super) fn container(container: &Value) -> Option<String> {
    let name = container["name"].as_str()?;
    let (state, facts) = container["state"].as_object()?.iter().next()?;
    let mut text = format!("container {name} is {state}");
    for field in ["reason", "message"] {
        if let Some(fact) = facts[field].as_str() {
            text.push_str(&format!(", {fact}"));
        }
    }
    if let Some(code) = facts["exitCode"].as_i64() {
        text.push_str(&format!(", exit code {code}"));
    }
    if state == "running" && container["ready"] == false {
        text.push_str(", but not ready");
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

/// An array, or nothing.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
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
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 7}}}]}});
        assert_eq!(summary(&pod), "Running");
        assert_eq!(
            reasons(&pod),
            [
                "Ready is False because ContainersNotReady: containers with unready status: [cart] (since 2026-01-01T00:00:00Z)",
                "container cart is waiting, CrashLoopBackOff, back-off 40s, restarted 3 times; before that it ended with Error, exit code 7",
            ]
        );
    }
}
