//! Why a Service has the endpoints that it has. Pure.

use serde_json::Value;

use super::pod;
use super::status::list;

/// The label selector of a Service; `None` if it has none.
pub(super) fn selector(service: &Value) -> Option<String> {
    let labels = service["spec"]["selector"].as_object().filter(|labels| !labels.is_empty())?;
    let pairs: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    Some(pairs.join(","))
}

/// One line per fact; `pods` are those that the selector matches.
pub(super) fn reasons(service: &Value, pods: &[Value]) -> Vec<String> {
    if service["spec"]["type"] == "ExternalName" {
        let name = service["spec"]["externalName"].as_str().unwrap_or_default();
        return vec![format!("it is another name for {name}; it has no endpoints of its own")];
    }
    let mut reasons = Vec::new();
    match selector(service) {
        None => {
            reasons.push("it has no selector, so it has the endpoints that somebody writes or registers".to_owned())
        }
        Some(selector) => reasons.extend(endpoints(service, &selector, pods)),
    }
    if service["spec"]["type"] == "LoadBalancer" && list(&service["status"]["loadBalancer"]["ingress"]).is_empty() {
        reasons.push("it has no external address yet; the addresses of --load-balancer-cidr may be used up".to_owned());
    }
    reasons
}

fn endpoints(service: &Value, selector: &str, pods: &[Value]) -> Vec<String> {
    if pods.is_empty() {
        let namespace = service["metadata"]["namespace"].as_str().unwrap_or("default");
        return vec![format!("no endpoints: no pod in namespace {namespace} has the labels {selector}")];
    }
    let unready: Vec<String> = pods.iter().filter_map(pod::unready).collect();
    let ready = pods.len() - unready.len();
    let mut reasons = vec![format!("{ready} of {} pods with {selector} are ready and take requests", pods.len())];
    reasons.extend(unready);
    for port in list(&service["spec"]["ports"]) {
        let Some(name) = port["targetPort"].as_str() else { continue };
        reasons.extend(pods.iter().filter(|pod| !has_port(pod, name)).map(|pod| {
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            format!("port {}: pod {pod} has no container port named {name:?}", port["port"])
        }));
    }
    reasons
}

fn has_port(pod: &Value, name: &str) -> bool {
    list(&pod["spec"]["containers"])
        .iter()
        .flat_map(|container| list(&container["ports"]))
        .any(|port| port["name"] == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_says_where_its_endpoints_are_or_why_there_are_none() {
        let service = |spec: Value| json!({"metadata": {"namespace": "shop"}, "spec": spec, "status": {}});
        let cart = json!({"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": "http"}]});
        let pod = |name: &str, ready: &str, port: &str| {
            json!({"metadata": {"name": name}, "spec": {"containers": [{"ports": [{"name": port}]}]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
        };
        let cases = [
            (cart.clone(), vec![], vec!["no endpoints: no pod in namespace shop has the labels app=cart"]),
            (
                cart,
                vec![pod("a", "True", "http"), pod("b", "False", "web")],
                vec![
                    "1 of 2 pods with app=cart are ready and take requests",
                    "pod b is not ready: phase Running",
                    "port 80: pod b has no container port named \"http\"",
                ],
            ),
            (json!({}), vec![], vec!["it has no selector, so it has the endpoints that somebody writes or registers"]),
            (
                json!({"type": "ExternalName", "externalName": "example.org"}),
                vec![],
                vec!["it is another name for example.org; it has no endpoints of its own"],
            ),
        ];
        for (spec, pods, expected) in cases {
            assert_eq!(reasons(&service(spec.clone()), &pods), expected, "{spec}");
        }
    }
}
