//! What a pod's state means for the person who looks at it. Pure.

use portolan_api::annotations::{PUBLISHED_NAME, PUBLISHED_PORT};
use serde_json::Value;

use super::status::{self, list};

/// Whether no node was found for it.
pub(super) fn is_unscheduled(pod: &Value) -> bool {
    pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty()
        && !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Whether it takes requests.
pub(super) fn is_ready(pod: &Value) -> bool {
    list(&pod["status"]["conditions"]).iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Why it takes no requests, in one line; `None` if it does.
pub(super) fn unready(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return Some(format!("pod {name} is being deleted"));
    }
    if is_ready(pod) {
        return None;
    }
    let containers = ["initContainerStatuses", "containerStatuses"];
    let mut why: Vec<String> = containers
        .iter()
        .flat_map(|field| list(&pod["status"][*field]))
        .filter(|container| container["ready"] != true && container["state"]["terminated"]["exitCode"] != 0)
        .filter_map(status::container)
        .collect();
    if why.is_empty() {
        let scheduled = list(&pod["status"]["conditions"]).iter().find(|it| it["type"] == "PodScheduled");
        why.extend(scheduled.and_then(|condition| condition["message"].as_str()).map(str::to_owned));
    }
    if why.is_empty() {
        why.push(format!("phase {}", pod["status"]["phase"].as_str().unwrap_or("unknown")));
    }
    Some(format!("pod {name} is not ready: {}", why.join("; ")))
}

/// What to look at next.
pub(super) fn hints(pod: &Value) -> Vec<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default");
    let images = list(&pod["spec"]["containers"]).iter().chain(list(&pod["spec"]["initContainers"]));
    let image_of = |container: &str| {
        images.clone().find(|it| it["name"] == container).and_then(|it| it["image"].as_str()).unwrap_or_default()
    };
    let mut hints = Vec::new();
    for container in ["initContainerStatuses", "containerStatuses"].iter().flat_map(|it| list(&pod["status"][*it])) {
        let container_name = container["name"].as_str().unwrap_or_default();
        match container["state"]["waiting"]["reason"].as_str() {
            Some("ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName") => {
                hints.push(format!(
                    "image {} could not be had: compare with `portolan image ls`, or bring it with `portolan image build` or `portolan image load`",
                    image_of(container_name)
                ));
            }
            Some("CrashLoopBackOff") => {
                hints.push(format!(
                    "its last words: portolan logs {name} -n {namespace} -c {container_name} --previous"
                ));
            }
            _ => {}
        }
    }
    hints
}

/// The name under which a pod asks to be in the registry.
pub(super) fn published_as(pod: &Value) -> Option<&str> {
    pod["metadata"]["annotations"][PUBLISHED_NAME].as_str().map(str::trim).filter(|name| !name.is_empty())
}

/// What became of that; `listed` are the instances of that name.
pub(super) fn published(pod: &Value, service: &str, listed: &Value) -> String {
    let found = list(listed).iter().find(|instance| instance["name"] == pod["metadata"]["name"]);
    let Some(found) = found else {
        return format!("it is to be in the registry as {service}, and is not listed: it has no address, or has ended");
    };
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    let place = match found["port"].as_u64() {
        Some(port) => format!("at {}:{port}", text("address")),
        None => format!(
            "at {} without a port: no container names one, nor does a valid annotation {PUBLISHED_PORT}",
            text("address")
        ),
    };
    let because = match text("reason") {
        "" => String::new(),
        reason => format!(" because {reason}"),
    };
    format!("it is in the registry as {service} {place}, {}{because}", text("health"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unready_pod_says_why_in_one_line() {
        let pod = |status: Value| json!({"metadata": {"name": "a"}, "spec": {}, "status": status});
        let waiting = json!({"name": "c", "ready": false,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}});
        let finished = json!({"name": "i", "ready": false, "state": {"terminated": {"exitCode": 0}}});
        let cases = [
            (json!({"conditions": [{"type": "Ready", "status": "True"}]}), None),
            (
                json!({"initContainerStatuses": [finished], "containerStatuses": [waiting]}),
                Some("pod a is not ready: container c is waiting, ImagePullBackOff, no such image"),
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}),
                Some("pod a is not ready: 0/1 nodes are available"),
            ),
            (json!({"phase": "Pending"}), Some("pod a is not ready: phase Pending")),
        ];
        for (status, expected) in cases {
            assert_eq!(unready(&pod(status.clone())).as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn a_published_pod_says_how_it_is_listed() {
        let pod = json!({"metadata": {"name": "a", "annotations": {PUBLISHED_NAME: " cart "}}});
        assert_eq!(published_as(&pod), Some("cart"));
        let listed = |fields: Value| {
            let mut instance = json!({"name": "a", "address": "10.42.0.7", "health": "passing"});
            instance.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
            json!([{"name": "b"}, instance])
        };
        let cases = [
            (json!([]), "is not listed"),
            (listed(json!({"port": 80})), "as cart at 10.42.0.7:80, passing"),
            (listed(json!({})), "without a port"),
            (listed(json!({"health": "critical", "reason": "no such port"})), "critical because no such port"),
        ];
        for (listed, words) in cases {
            let said = published(&pod, "cart", &listed);
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_missing_image_is_named_with_what_to_do() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "shop:7"}]},
            "status": {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}}]}});
        assert!(hints(&pod)[0].contains("image shop:7"), "{:?}", hints(&pod));
    }
}
