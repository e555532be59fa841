//! Whether a definition in a group of Kubernetes' own says that its community knows of it.
//!
//! Source: `apihelpers/helpers.go` and `controller/apiapproval` of `k8s.io/apiextensions-apiserver`.

use portolan_base::go;
use serde_json::Value;

use super::set_condition;

const ANNOTATION: &str = "api-approved.kubernetes.io";
const CONDITION: &str = "KubernetesAPIApprovalPolicyConformant";
const RULES: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// Puts into a definition whether the use of its group is approved; nothing if anybody may use it.
pub fn judge(object: &mut Value, now: &str) {
    if !is_protected(object["spec"]["group"].as_str().unwrap_or_default()) {
        return;
    }
    let said = object["metadata"]["annotations"][ANNOTATION].as_str().unwrap_or_default();
    let must = || format!("protected groups must have approval annotation {}", go::quote(ANNOTATION));
    let (holds, reason, message) = if said.is_empty() {
        (false, "MissingAnnotation", format!("{}, {RULES}", must()))
    } else if said.starts_with("unapproved") {
        (false, "UnapprovedAnnotation", format!("not approved: {}", go::quote(said)))
    } else if is_url(said) {
        (true, "ApprovedAnnotation", format!("approved in {said}"))
    } else {
        let message = format!("{} with either a URL or a reason starting with \"unapproved\", {RULES}", must());
        (false, "InvalidAnnotation", message)
    };
    set_condition(object, CONDITION, holds, reason, &message, now);
}

fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Whether a text names a scheme and a host.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    is_scheme && !host.is_empty() && !text.contains(|it: char| it.is_ascii_control() || it == ' ')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_of_kubernetes_say_who_approved_them() {
        let needs = "protected groups must have approval annotation \"api-approved.kubernetes.io\"";
        let link = "https://github.com/kubernetes/enhancements/pull/1111";
        let cases = [
            ("example.com", Value::Null, None),
            ("xk8s.io", Value::Null, None),
            ("k8s.io", Value::Null, Some(format!("False MissingAnnotation {needs}, see {link}"))),
            ("a.kubernetes.io", json!(""), Some(format!("False MissingAnnotation {needs}, see {link}"))),
            ("a.k8s.io", json!(link), Some(format!("True ApprovedAnnotation approved in {link}"))),
            (
                "a.k8s.io",
                json!("unapproved, \"new\""),
                Some("False UnapprovedAnnotation not approved: \"unapproved, \\\"new\\\"\"".to_owned()),
            ),
            (
                "a.k8s.io",
                json!("ask us"),
                Some(format!(
                    "False InvalidAnnotation {needs} with either a URL or a reason starting with \"unapproved\", see {link}"
                )),
            ),
        ];
        for (group, annotation, expected) in cases {
            let mut object = json!({"metadata": {"annotations": {ANNOTATION: annotation}}, "spec": {"group": group}});
            judge(&mut object, "now");
            let told = object.pointer("/status/conditions/0").map(|condition| {
                let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
                assert_eq!(text("type"), CONDITION);
                format!("{} {} {}", text("status"), text("reason"), text("message"))
            });
            assert_eq!(told, expected, "{group} {annotation}");
        }
    }
}
