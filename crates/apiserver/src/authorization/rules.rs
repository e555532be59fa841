//! Rules of roles, and what they cover.

use serde::Deserialize;

use super::Action;

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) non_resource_urls: Vec<String>,
}

impl Rule {
    /// Two rules that allow all there is.
    pub(crate) fn everything() -> [Self; 2] {
        let all = || vec!["*".to_owned()];
        [
            Self { verbs: all(), api_groups: all(), resources: all(), ..Self::default() },
            Self { verbs: all(), non_resource_urls: all(), ..Self::default() },
        ]
    }

    /// Whether the rule allows an action.
    pub(crate) fn covers(&self, action: Action<'_>) -> bool {
        match action {
            Action::Resource(info) => {
                has(&self.verbs, info.authorized_verb())
                    && has(&self.api_groups, &info.group)
                    && self.resources.iter().any(|pattern| names(pattern, &info.resource, &info.subresource))
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|name| name == info.authorized_name()))
            }
            Action::Path { verb, path } => {
                has(&self.verbs, verb) && self.non_resource_urls.iter().any(|pattern| covers_path(pattern, path))
            }
        }
    }
}

/// Whether a list names a value, or all values.
pub(crate) fn has(list: &[String], value: &str) -> bool {
    list.iter().any(|item| item == "*" || item == value)
}

/// `pods`, `pods/log`, `*`, `*/scale`.
fn names(pattern: &str, resource: &str, subresource: &str) -> bool {
    match pattern.split_once('/') {
        _ if pattern == "*" => true,
        None => subresource.is_empty() && pattern == resource,
        Some((base, sub)) => sub == subresource && (base == "*" || base == resource),
    }
}

/// Whether a path is this one, or begins as it does before its last `*`.
pub(crate) fn covers_path(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Info;

    #[test]
    fn a_rule_covers_what_it_names() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        // verbs, groups (- is core), resources, names; verb, group, resource, subresource, name
        let cases = [
            (("get", "-", "pods", ""), ("get", "", "pods", "", "a"), true),
            (("get", "-", "pods", ""), ("get", "", "pods", "log", "a"), false),
            (("get", "-", "pods/log", ""), ("get", "", "pods", "log", "a"), true),
            (("*", "*", "*", ""), ("delete", "apps", "deployments", "scale", "a"), true),
            (("update", "apps", "*/scale", ""), ("update", "apps", "deployments", "scale", "a"), true),
            (("get", "-", "secrets", "b"), ("get", "", "secrets", "", "a"), false),
            (("get", "-", "secrets", "b"), ("get", "", "secrets", "", "b"), true),
            (("get", "-", "pods", ""), ("get", "apps", "pods", "", ""), false),
        ];
        for ((verbs, groups, resources, resource_names), (verb, group, resource, subresource, name), covered) in cases {
            let rule = Rule {
                verbs: list(verbs),
                api_groups: list(groups).into_iter().map(|group| group.replace('-', "")).collect(),
                resources: list(resources),
                resource_names: list(resource_names),
                non_resource_urls: Vec::new(),
            };
            let info = Info {
                verb,
                group: group.into(),
                resource: resource.into(),
                subresource: subresource.into(),
                name: name.into(),
                ..Info::default()
            };
            assert_eq!(rule.covers(Action::Resource(&info)), covered, "{rule:?} {info:?}");
        }
    }

    #[test]
    fn paths_may_end_in_a_star() {
        let rule = Rule {
            verbs: vec!["get".into()],
            non_resource_urls: vec!["/healthz".into(), "/api/*".into()],
            ..Rule::default()
        };
        for (path, covered) in [("/healthz", true), ("/healthz/x", false), ("/api/v1", true), ("/apis", false)] {
            assert_eq!(rule.covers(Action::Path { verb: "get", path }), covered, "{path}");
        }
    }
}
