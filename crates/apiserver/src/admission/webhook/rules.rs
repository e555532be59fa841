//! Which operations on which resources a hook or policy wants to hear of.

use serde_json::Value;

/// Operations on resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Any,
    Cluster,
    Namespaced,
}

/// What a request is about, in the words of rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) operation: &'a str,
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    /// Whether the object lives in a namespace. A namespace itself does not.
    pub(crate) is_namespaced: bool,
}

impl Rule {
    pub(crate) fn read(rule: &Value) -> Self {
        let list = |field: &str| {
            let items = rule[field].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let scope = match rule["scope"].as_str().unwrap_or_default() {
            "Cluster" => Scope::Cluster,
            "Namespaced" => Scope::Namespaced,
            _ => Scope::Any,
        };
        Self {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            scope,
        }
    }

    /// Whether the rule speaks of a request.
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        let lists = |list: &[String], value: &str| list.iter().any(|item| item == "*" || item == value);
        let in_scope = match self.scope {
            Scope::Any => true,
            Scope::Cluster => !subject.is_namespaced,
            Scope::Namespaced => subject.is_namespaced,
        };
        in_scope
            && lists(&self.operations, subject.operation)
            && lists(&self.groups, subject.group)
            && lists(&self.versions, subject.version)
            && self.resources.iter().any(|pattern| names(pattern, subject))
    }
}

/// Whether `pods`, `pods/status`, `pods/*`, `*/scale`, `*` or `*/*` means a resource or subresource.
fn names(pattern: &str, subject: &Subject<'_>) -> bool {
    let (resource, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    let means = |pattern: &str, value: &str| pattern == "*" || pattern == value;
    means(resource, subject.resource) && means(subresource, subject.subresource)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_name_operations_resources_and_scopes() {
        let pods = |subresource| ("CREATE", "", "v1", "pods", subresource, true);
        let cases = [
            (json!(["CREATE"]), json!([""]), json!(["v1"]), json!(["pods"]), "*", pods(""), true),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["*"]), "", pods(""), true),
            (json!(["UPDATE"]), json!([""]), json!(["v1"]), json!(["pods"]), "*", pods(""), false),
            (json!(["*"]), json!(["apps"]), json!(["*"]), json!(["pods"]), "*", pods(""), false),
            (json!(["*"]), json!([""]), json!(["v2"]), json!(["pods"]), "*", pods(""), false),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["*"]), "*", pods("exec"), false),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["*/*"]), "*", pods("exec"), true),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["*/*"]), "*", pods(""), true),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["pods/*"]), "*", pods("exec"), true),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["*/exec"]), "*", pods("exec"), true),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["pods/log"]), "*", pods("exec"), false),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["*"]), "Cluster", pods(""), false),
            (json!(["*"]), json!(["*"]), json!(["*"]), json!(["*"]), "Namespaced", pods(""), true),
        ];
        for (operations, groups, versions, resources, scope, subject, expected) in cases {
            let rule = json!({
                "operations": operations, "apiGroups": groups, "apiVersions": versions, "resources": resources,
                "scope": scope,
            });
            let (operation, group, version, resource, subresource, is_namespaced) = subject;
            let subject = Subject { operation, group, version, resource, subresource, is_namespaced };
            assert_eq!(Rule::read(&rule).matches(&subject), expected, "{rule} {subject:?}");
        }
    }
}
