//! Which registered service a Service follows, and why nothing of it takes requests. Pure.

use portolan_api::typed::{Health, Object as _, ServiceInstance};
use serde_json::Value;

use super::status::list;

/// Names the registered service that a Service without selector follows.
const ANNOTATION: &str = "registry.portolan.dev/service";

/// What a Service says that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mirror {
    /// A service of the registry: namespace and name.
    Of(String, String),
    /// Nothing, for this reason.
    Refused(String),
}

/// What a Service follows; `None` if it says nothing of that.
pub(super) fn mirror(service: &Value) -> Option<Mirror> {
    let text = service["metadata"]["annotations"][ANNOTATION].as_str()?.trim();
    let has_selector = service["spec"]["selector"].as_object().is_some_and(|labels| !labels.is_empty());
    if has_selector || service["spec"]["type"] == "ExternalName" {
        return Some(Mirror::Refused(format!(
            "annotation {ANNOTATION} is ignored: the Service has a selector or is an alias"
        )));
    }
    let own = service["metadata"]["namespace"].as_str().unwrap_or("default");
    let (namespace, name) = text.split_once('/').unwrap_or((own, text));
    let is_name = |text: &str| !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace());
    Some(if is_name(namespace) && is_name(name) {
        Mirror::Of(namespace.to_owned(), name.to_owned())
    } else {
        Mirror::Refused(format!(
            "no endpoints: annotation {ANNOTATION}: {text:?} is neither NAME nor NAMESPACE/NAME of a registered service"
        ))
    })
}

/// One line per fact; `instances` are those of the namespace of what is followed.
pub(super) fn reasons(service: &Value, namespace: &str, name: &str, instances: &[ServiceInstance]) -> Vec<String> {
    let followed = format!("it follows the registered service {namespace}/{name}");
    let instances: Vec<&ServiceInstance> = instances.iter().filter(|instance| instance.spec.service == name).collect();
    if instances.is_empty() {
        return vec![format!(
            "{followed}; no endpoints: no instance of that name is registered in namespace {namespace}"
        )];
    }
    let complaints: Vec<String> = instances.iter().filter_map(|instance| complaint(service, instance)).collect();
    let well = instances.len() - complaints.len();
    let mut reasons = vec![format!("{followed}: {well} of its {} instances take requests", instances.len())];
    reasons.extend(complaints);
    reasons
}

/// Why an instance takes no requests; `None` if it does.
fn complaint(service: &Value, instance: &ServiceInstance) -> Option<String> {
    let (name, spec) = (instance.name(), &instance.spec);
    if spec.address.parse::<std::net::IpAddr>().is_err() {
        return Some(format!("instance {name} registered with {:?}, and endpoints are IP addresses", spec.address));
    }
    let (health, reason) = instance.effective_health();
    if health == Health::Critical {
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        return Some(format!("instance {name} is critical{because}"));
    }
    let wanted = list(&service["spec"]["ports"]);
    let is_lacking = |port: &Value| {
        port["targetPort"].as_str().is_some_and(|wanted| !spec.ports.iter().any(|own| own.name == wanted))
    };
    let first = wanted.iter().find(|port| is_lacking(port))?;
    let all = wanted.iter().all(is_lacking);
    all.then(|| format!("port {}: instance {name} has no port named {}", first["port"], first["targetPort"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mirror_says_what_it_follows_and_why_nothing_is_behind_it() {
        let service = |annotation: &str, spec: Value| json!({"metadata": {"namespace": "shop", "name": "db", "annotations": {ANNOTATION: annotation}}, "spec": spec});
        let of = |namespace: &str, name: &str| Mirror::Of(namespace.to_owned(), name.to_owned());
        assert_eq!(mirror(&service("legacy", json!({}))), Some(of("shop", "legacy")));
        assert_eq!(mirror(&service("old/legacy", json!({}))), Some(of("old", "legacy")));
        assert_eq!(mirror(&json!({"metadata": {}, "spec": {}})), None);
        let refused = [
            ("Bad Name/x/y", json!({}), "neither NAME nor NAMESPACE/NAME"),
            ("/x", json!({}), "neither NAME nor NAMESPACE/NAME"),
            ("", json!({}), "neither NAME nor NAMESPACE/NAME"),
            ("legacy", json!({"selector": {"app": "a"}}), "is ignored"),
        ];
        for (annotation, spec, words) in refused {
            let Some(Mirror::Refused(text)) = mirror(&service(annotation, spec)) else { panic!("{annotation}") };
            assert!(text.contains(words), "{text}");
        }
        let instance = |name: &str, address: &str, health: &str| {
            let object = json!({"metadata": {"namespace": "shop", "name": name},
                "spec": {"service": "legacy", "address": address, "ports": [{"name": "sql", "port": 5432}]},
                "status": {"health": health, "reason": "disk"}});
            ServiceInstance::decode_value(&object).expect("an instance")
        };
        let instances = [
            instance("a", "192.0.2.1", "passing"),
            instance("b", "192.0.2.2", "critical"),
            instance("c", "vm", "passing"),
        ];
        let cases = [
            (
                json!({"ports": [{"port": 80, "targetPort": "sql"}]}),
                "legacy",
                vec![
                    "it follows the registered service shop/legacy: 1 of its 3 instances take requests",
                    "instance b is critical: disk",
                    "instance c registered with \"vm\", and endpoints are IP addresses",
                ],
            ),
            (
                json!({"ports": [{"port": 80, "targetPort": "http"}]}),
                "legacy",
                vec![
                    "it follows the registered service shop/legacy: 0 of its 3 instances take requests",
                    "port 80: instance a has no port named \"http\"",
                    "instance b is critical: disk",
                    "instance c registered with \"vm\", and endpoints are IP addresses",
                ],
            ),
            (
                json!({}),
                "none",
                vec![
                    "it follows the registered service shop/none; no endpoints: no instance of that name is registered in namespace shop",
                ],
            ),
        ];
        for (spec, name, expected) in cases {
            assert_eq!(reasons(&service("legacy", spec), "shop", name, &instances), expected);
        }
    }
}
