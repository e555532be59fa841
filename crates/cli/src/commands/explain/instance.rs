//! What the registry knows of an instance.

use anyhow::bail;
use http::Method;
use serde_json::Value;

use super::Registry;
use crate::commands::registry_http::{Refused, instance_path};
use crate::output::print_line;

/// Explains the instance `NAMESPACE/ID`, or `ID` in the namespace of the command line: by the id that it registered with,
/// or by the name of its object.
pub(super) async fn run(registry: &Registry, namespace: Option<&str>, id: &str) -> anyhow::Result<()> {
    let (namespace, id) = id.split_once('/').unwrap_or((namespace.unwrap_or("default"), id));
    // Only the registry that keeps the lease knows what is left of it.
    match registry.json(Method::GET, &instance_path(namespace, id), None).await {
        Ok(own) => {
            sentences(&own).iter().for_each(|line| print_line(line));
            return Ok(());
        }
        // What registered nothing is a pod, perhaps.
        Err(error) if error.downcast_ref::<Refused>().is_some_and(Refused::is_not_found) => {}
        Err(error) => return Err(error),
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("namespace", namespace).finish();
    let list = registry.json(Method::GET, &format!("/instances?{query}"), None).await?;
    let named = |instance: &&Value| instance["name"] == id || instance["id"] == id;
    let found: Vec<&Value> = list.as_array().into_iter().flatten().filter(named).collect();
    if found.is_empty() {
        bail!(
            "the registry has no instance {namespace}/{id}: it never registered, its lease ended, or it is a pod that no service selects; see `portolan registry ls`"
        );
    }
    for instance in found {
        sentences(instance).iter().for_each(|line| print_line(line));
    }
    Ok(())
}

fn sentences(instance: &Value) -> Vec<String> {
    let text = |field: &str| instance[field].as_str().unwrap_or_default();
    let mut lines = vec![format!("instance {}/{}: {}", text("namespace"), text("name"), text("health"))];
    if let Some(explanation) = instance["explanation"].as_array() {
        let port = instance["port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default();
        lines.extend(explanation.iter().filter_map(Value::as_str).map(|line| format!("  - {line}")));
        lines.push(format!("  - it registered itself at {}{port}", text("address")));
        return lines;
    }
    let because = match text("reason") {
        "" => String::new(),
        reason => format!(" because {reason}"),
    };
    let since = match text("since") {
        "" => String::new(),
        since => format!(" (since {since})"),
    };
    lines.push(format!("  - it is {}{because}{since}", text("health")));
    let port = instance["port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default();
    lines.push(format!("  - it serves {} at {}{port}", text("service"), text("address")));
    lines.push(match text("origin") {
        "registry" => "  - it registered itself".to_owned(),
        _ => format!("  - it is a pod on node {}", text("node")),
    });
    match (instance["ttlSeconds"].as_u64(), instance["leaseSecondsLeft"].as_f64()) {
        (Some(ttl), Some(left)) => {
            lines.push(format!("  - its lease of {ttl} s ends in {left:.1} s unless it is renewed"));
        }
        (Some(ttl), None) => lines.push(format!("  - its lease is {ttl} s long")),
        (None, _) if text("origin") == "registry" => {
            lines.push("  - it has no lease: it stays until it is deregistered".to_owned());
        }
        (None, _) => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_instance_says_its_health_its_place_and_its_lease() {
        let instance = json!({"namespace": "shop", "name": "billing-1", "service": "billing", "address": "192.0.2.7",
            "port": 8080, "health": "passing", "reason": "lease renewed", "since": "2026-01-01T00:00:00Z",
            "origin": "registry", "ttlSeconds": 15, "leaseSecondsLeft": 12.34});
        assert_eq!(
            sentences(&instance),
            [
                "instance shop/billing-1: passing",
                "  - it is passing because lease renewed (since 2026-01-01T00:00:00Z)",
                "  - it serves billing at 192.0.2.7:8080",
                "  - it registered itself",
                "  - its lease of 15 s ends in 12.3 s unless it is renewed",
            ]
        );
        let mut explained = instance;
        explained["explanation"] = json!(["billing-1 of billing is critical: check http: refused"]);
        assert_eq!(
            sentences(&explained),
            [
                "instance shop/billing-1: passing",
                "  - billing-1 of billing is critical: check http: refused",
                "  - it registered itself at 192.0.2.7:8080",
            ]
        );
    }
}
