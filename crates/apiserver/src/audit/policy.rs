//! Which requests are recorded, and how much of them: the file of `--audit-policy-file`.
//!
//! Source: `k8s.io/apiserver/pkg/audit/policy`, `checker.go`.

use portolan_api::field::{Error, Path};
use portolan_api::validation;
use portolan_identity::User;
use serde::Deserialize;

use crate::authorization::covers_path;
use crate::configuration::{self, Invalid};
use crate::request::Info;

/// How much of a request is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who did what, not the objects.
    Metadata,
    /// Also the object that was sent.
    Request,
    /// Also the object that came back.
    RequestResponse,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// When in the life of a request something is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// It came in.
    RequestReceived,
    /// The head of its answer went out; for those whose answer goes on for long.
    ResponseStarted,
    /// Its answer is complete.
    ResponseComplete,
    /// Its handler failed.
    Panic,
}

impl Stage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A policy: the first rule that fits a request decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What is recorded of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) level: Level,
    omitted: Vec<Stage>,
    pub(super) omit_managed_fields: bool,
}

impl Extent {
    pub(super) fn includes(&self, stage: Stage) -> bool {
        !self.omitted.contains(&stage)
    }
}

impl Policy {
    /// Reads the text of a file, YAML or JSON.
    ///
    /// # Errors
    /// It is not such a file.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let policy: Self = configuration::read(text, &[("audit.k8s.io/v1", "Policy")])?;
        if policy.rules.is_empty() {
            return Err(Invalid("loaded illegal policy with 0 rules".into()));
        }
        let rules = Path::new("rules");
        let errors: Vec<Error> =
            policy.rules.iter().enumerate().flat_map(|(index, rule)| rule.problems(&rules.index(index))).collect();
        match errors.as_slice() {
            [] => Ok(policy),
            errors => Err(Invalid(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
        }
    }

    /// What is recorded of a request; nothing if no rule fits.
    pub(super) fn extent(&self, user: Option<&User>, verb: &str, path: &str, info: Option<&Info>) -> Extent {
        match self.rules.iter().find(|rule| rule.fits(user, verb, path, info)) {
            None => Extent { level: Level::None, omitted: Vec::new(), omit_managed_fields: false },
            Some(rule) => Extent {
                level: rule.level,
                omitted: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
        }
    }
}

impl Rule {
    /// What upstream refuses (`k8s.io/apiserver/pkg/apis/audit/validation`).
    fn problems(&self, at: &Path) -> Vec<Error> {
        let mut errors = Vec::new();
        let urls = at.child("nonResourceURLs");
        for (index, url) in self.non_resource_urls.iter().enumerate().filter(|(_, url)| *url != "*") {
            if !url.starts_with('/') {
                let why = "non-resource URL rules must begin with a '/' character";
                errors.push(Error::invalid(&urls.index(index), url.as_str(), why));
            }
            if url.find('*').is_some_and(|star| star + 1 < url.len()) {
                let why = "non-resource URL wildcards '*' must be the final character of the rule";
                errors.push(Error::invalid(&urls.index(index), url.as_str(), why));
            }
        }
        let resources = at.child("resources");
        for group in &self.resources {
            if !matches!(group.group.as_str(), "" | "*") {
                let problems = validation::is_dns1123_subdomain(&group.group);
                if !problems.is_empty() {
                    let why = problems.join(",");
                    errors.push(Error::invalid(&resources.child("group"), group.group.as_str(), why));
                }
            }
            if !group.resource_names.is_empty() && group.resources.is_empty() {
                let why = "using resourceNames requires at least one resource";
                let names = group.resource_names.clone();
                errors.push(Error::invalid(&resources.child("resourceNames"), names, why));
            }
        }
        let of_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if of_resources && !self.non_resource_urls.is_empty() {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(Error::invalid(&urls, self.non_resource_urls.clone(), why));
        }
        errors
    }

    fn fits(&self, user: Option<&User>, verb: &str, path: &str, info: Option<&Info>) -> bool {
        let any = |list: &[String], fits: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|item| fits(item));
        let by_user = any(&self.users, &|name| user.is_some_and(|user| user.name == name))
            && any(&self.user_groups, &|group| user.is_some_and(|user| user.is_in(group)));
        if !by_user || !any(&self.verbs, &|allowed| allowed == verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_some_and(|info| {
                any(&self.namespaces, &|namespace| namespace == info.namespace)
                    && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.fits(info)))
            });
        }
        if !self.non_resource_urls.is_empty() {
            return info.is_none() && self.non_resource_urls.iter().any(|pattern| covers_path(pattern, path));
        }
        true
    }
}

impl GroupResources {
    fn fits(&self, info: &Info) -> bool {
        if self.group != info.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let combined = match info.subresource.as_str() {
            "" => info.resource.clone(),
            subresource => format!("{}/{subresource}", info.resource),
        };
        let fits = |pattern: &String| {
            pattern == "*"
                || *pattern == combined
                || !info.subresource.is_empty() && pattern.strip_prefix("*/") == Some(&info.subresource)
                || pattern.strip_suffix("/*") == Some(&info.resource)
        };
        (self.resource_names.is_empty() || self.resource_names.contains(&info.name)) && self.resources.iter().any(fits)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::request::Query;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = Policy::parse(
            "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ['system:kube-scheduler'], verbs: [watch]}
- {level: Metadata, resources: [{group: '', resources: [secrets, 'serviceaccounts/token']}]}
- {level: RequestResponse, namespaces: [shop], resources: [{group: apps, resources: ['deployments/*'], resourceNames: [web]}]}
- {level: None, nonResourceURLs: ['/healthz*']}
- {level: Request, userGroups: [dev], omitStages: [ResponseStarted]}
",
        )
        .expect("reads");
        let cases = [
            ("system:kube-scheduler", "GET", "/api/v1/pods?watch=1", Level::None),
            ("ann", "GET", "/api/v1/secrets", Level::Metadata),
            ("ann", "POST", "/api/v1/namespaces/a/serviceaccounts/b/token", Level::Metadata),
            ("ann", "POST", "/api/v1/namespaces/a/serviceaccounts", Level::Request),
            ("ann", "GET", "/apis/apps/v1/namespaces/shop/deployments/web/scale", Level::RequestResponse),
            ("ann", "GET", "/apis/apps/v1/namespaces/shop/deployments/other", Level::Request),
            ("ann", "GET", "/healthz/ping", Level::None),
            ("ann", "GET", "/version", Level::Request),
        ];
        for (name, method, uri, expected) in cases {
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let method: Method = method.parse().expect("a method");
            let info = Info::parse(&method, path, &Query::parse(query));
            let verb = info.as_ref().map_or("get", |info| info.verb);
            let extent = policy.extent(Some(&User::new(name, ["dev"])), verb, path, info.as_ref());
            assert_eq!(extent.level, expected, "{name} {uri}");
        }
        let last = policy.extent(Some(&User::new("a", ["dev"])), "get", "/version", None);
        assert!(!last.includes(Stage::RequestReceived) && !last.includes(Stage::ResponseStarted));
        assert!(last.includes(Stage::ResponseComplete));
        for (rule, expected) in [
            (
                "{level: None, nonResourceURLs: [healthz]}",
                "rules[0].nonResourceURLs[0]: Invalid value: \"healthz\": non-resource URL rules must begin with a '/' \
                 character",
            ),
            (
                "{level: None, nonResourceURLs: ['/a*b', '*', '/c*']}",
                "rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\"",
            ),
            (
                "{level: None, resources: [{group: apps/v1}]}",
                "rules[0].resources.group: Invalid value: \"apps/v1\": a lowercase RFC 1123 subdomain must consist",
            ),
            (
                "{level: None, resources: [{group: '', resourceNames: [a]}]}",
                "using resourceNames requires at least one",
            ),
            ("{level: None, namespaces: [a], nonResourceURLs: [/a]}", "rules cannot apply to both"),
        ] {
            let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{rule}]");
            let error = Policy::parse(&text).expect_err(rule).to_string();
            assert!(error.contains(expected), "{rule}: {error}");
        }
        for bad in [
            "apiVersion: v1\nkind: Policy",
            "apiVersion: audit.k8s.io/v1\nkind: Policy",
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]",
        ] {
            assert!(Policy::parse(bad).is_err(), "{bad}");
        }
    }
}
