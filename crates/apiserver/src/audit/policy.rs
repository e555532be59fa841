//! Which requests are recorded, and how much of them: the file of `--audit-policy-file`.
//!
//! Source: `k8s.io/apiserver/pkg/audit/policy`, `checker.go`.

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
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
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
        let policy: Self = configuration::read(text, &["audit.k8s.io/v1"], "Policy")?;
        for (index, rule) in policy.rules.iter().enumerate() {
            let resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
            if resources && !rule.non_resource_urls.is_empty() {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                return Err(Invalid(format!("rules[{index}].nonResourceURLs: Invalid value: {why}")));
            }
        }
        Ok(policy)
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
        for bad in ["apiVersion: v1\nkind: Policy", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]"]
        {
            assert!(Policy::parse(bad).is_err(), "{bad}");
        }
    }
}
