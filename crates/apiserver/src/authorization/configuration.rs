//! The file of `--authorization-config`: `AuthorizationConfiguration` of `apiserver.config.k8s.io`.
//!
//! Source: `k8s.io/apiserver/pkg/apis/apiserver/validation`, `ValidateAuthorizationConfiguration`.

use std::path::Path as FilePath;
use std::time::Duration;

use portolan_api::field::{Error, ErrorType, Path};
use portolan_api::validation::is_dns1123_subdomain;
use portolan_base::go;
use serde::Deserialize;

use super::conditions::Conditions;
use super::{AccessWebhook, Mode, NamedMode, OnFailure};
use crate::configuration::{self, Invalid};
use crate::followed_file::Kubeconfigs;

const TYPES: [&str; 5] = ["AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];

/// The longest time that a webhook may take.
const LONGEST: Duration = Duration::from_secs(30);

const MOST_CONDITIONS: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    authorizers: Vec<Authorizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Authorizer {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    webhook: Option<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Webhook {
    #[serde(default, rename = "authorizedTTL")]
    authorized_ttl: String,
    cache_authorized_requests: Option<bool>,
    #[serde(default, rename = "unauthorizedTTL")]
    unauthorized_ttl: String,
    cache_unauthorized_requests: Option<bool>,
    #[serde(default)]
    timeout: String,
    #[serde(default)]
    subject_access_review_version: String,
    #[serde(default)]
    match_condition_subject_access_review_version: String,
    #[serde(default)]
    failure_policy: String,
    connection_info: ConnectionInfo,
    #[serde(default)]
    match_conditions: Vec<MatchCondition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConnectionInfo {
    #[serde(default, rename = "type")]
    kind: String,
    kube_config_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchCondition {
    #[serde(default)]
    expression: String,
}

/// Reads the text of a file, YAML or JSON.
pub(super) fn parse(text: &str, kubeconfigs: &Kubeconfigs) -> Result<Vec<NamedMode>, Invalid> {
    let versions =
        ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
    let file: File = configuration::read(text, &versions.map(|version| (version, "AuthorizationConfiguration")))?;
    let list = Path::new("authorizers");
    let mut errors = Vec::new();
    if file.authorizers.is_empty() {
        errors.push(Error::required(&list, "at least one authorization mode must be defined"));
    }
    let (mut modes, mut types, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (index, Authorizer { kind, name, webhook }) in file.authorizers.into_iter().enumerate() {
        let place = list.index(index);
        if let Err(error) = check_type(&place, &kind, &types) {
            errors.push(error);
            continue;
        }
        errors.extend(check_name(&place, &name, &names));
        match (kind.as_str(), webhook) {
            ("Webhook", None) => errors.push(Error::required(&place.child("webhook"), "required when type=Webhook")),
            ("Webhook", Some(webhook)) => match read_webhook(&place, webhook, kubeconfigs) {
                Ok(webhook) => modes.push(NamedMode { name: name.clone(), mode: Mode::Webhook(Box::new(webhook)) }),
                Err(found) => errors.extend(found),
            },
            (_, Some(_)) => {
                let why = "may only be specified when type=Webhook";
                errors.push(Error::invalid(&place.child("webhook"), "non-null", why));
            }
            (kind, None) => modes.extend(Mode::built_in(kind).map(|mode| NamedMode { name: name.clone(), mode })),
        }
        types.push(kind);
        names.push(name);
    }
    configuration::all(errors)?;
    let mut wrong = Vec::new();
    for (kind, name) in types.iter().zip(&names).filter(|(kind, _)| *kind != "Webhook") {
        let expected = kind.to_lowercase();
        if *name != expected {
            wrong.push(format!("expected name {expected} for authorizer {kind} instead of {name}"));
        }
    }
    configuration::aggregate(wrong)?;
    Ok(modes)
}

fn check_type(place: &Path, kind: &str, seen: &[String]) -> Result<(), Error> {
    let place = place.child("type");
    if kind.is_empty() {
        return Err(Error::required(&place, ""));
    }
    if !TYPES.contains(&kind) {
        return Err(Error::not_supported(&place, kind, &TYPES));
    }
    if kind != "Webhook" && seen.iter().any(|other| other == kind) {
        return Err(Error::duplicate(&place, kind));
    }
    Ok(())
}

fn check_name(place: &Path, name: &str, seen: &[String]) -> Option<Error> {
    let place = place.child("name");
    if name.is_empty() {
        return Some(Error::required(&place, ""));
    }
    if seen.iter().any(|other| other == name) {
        return Some(Error::duplicate(&place, name));
    }
    let problems = is_dns1123_subdomain(name);
    let why = || format!("authorizer name is invalid: {}", problems.join(", "));
    (!problems.is_empty()).then(|| Error::invalid(&place, name, why()))
}

/// `place` is the authorizer's: that is where upstream says its webhook's fields are.
fn read_webhook(place: &Path, webhook: Webhook, kubeconfigs: &Kubeconfigs) -> Result<AccessWebhook, Vec<Error>> {
    let mut errors = Vec::new();
    let mut time = |field: &str, text: &str, otherwise: Option<Duration>, most: Duration, why: &str| {
        let place = place.child(field);
        let found = if text.is_empty() {
            Ok(Duration::ZERO)
        } else {
            go::parse_duration(text)
                .map(|nanoseconds| Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default()))
        };
        match found {
            Err(why) => errors.push(Error::invalid(&place, text, format!("time: {why}"))),
            Ok(time) if time > most || text.starts_with('-') => errors.push(Error::invalid(&place, text, why)),
            Ok(Duration::ZERO) => match otherwise {
                None => errors.push(Error::required(&place, "")),
                Some(time) => return time,
            },
            Ok(time) => return time,
        }
        Duration::ZERO
    };
    let timeout = time("timeout", &webhook.timeout, None, LONGEST, "must be > 0s and <= 30s");
    let (allowed, refused) = (Some(Duration::from_secs(300)), Some(Duration::from_secs(30)));
    let cache_allowed = time("authorizedTTL", &webhook.authorized_ttl, allowed, Duration::MAX, "must be > 0s");
    let cache_refused = time("unauthorizedTTL", &webhook.unauthorized_ttl, refused, Duration::MAX, "must be > 0s");
    let version = webhook.subject_access_review_version;
    let field = place.child("subjectAccessReviewVersion");
    match version.as_str() {
        "" => errors.push(Error::required(&field, "")),
        "v1" | "v1beta1" => {}
        other => errors.push(Error::not_supported(&field, other, &["v1", "v1beta1"])),
    }
    let field = place.child("matchConditionSubjectAccessReviewVersion");
    match webhook.match_condition_subject_access_review_version.as_str() {
        "" if !webhook.match_conditions.is_empty() => {
            errors.push(Error::required(&field, "required if match conditions are specified"));
        }
        "" | "v1" => {}
        other => errors.push(Error::not_supported(&field, other, &["v1"])),
    }
    let field = place.child("failurePolicy");
    let on_failure = match webhook.failure_policy.as_str() {
        "NoOpinion" => OnFailure::NoOpinion,
        "Deny" => OnFailure::Deny,
        "" => {
            errors.push(Error::required(&field, ""));
            OnFailure::Deny
        }
        other => {
            errors.push(Error::not_supported(&field, other, &["NoOpinion", "Deny"]));
            OnFailure::Deny
        }
    };
    let endpoint = connection(&place.child("connectionInfo"), &webhook.connection_info, kubeconfigs);
    let conditions = conditions(&place.child("matchConditions"), &webhook.match_conditions);
    match (endpoint, conditions) {
        (Ok(endpoint), Ok(conditions)) if errors.is_empty() => Ok(AccessWebhook {
            endpoint,
            version,
            timeout,
            cache_allowed: remembered(cache_allowed, webhook.cache_authorized_requests),
            cache_refused: remembered(cache_refused, webhook.cache_unauthorized_requests),
            on_failure,
            conditions,
        }),
        (endpoint, conditions) => {
            errors.extend(endpoint.err());
            errors.extend(conditions.err().into_iter().flatten());
            Err(errors)
        }
    }
}

/// Nothing if it is said not to remember answers.
fn remembered(time: Duration, remember: Option<bool>) -> Duration {
    if remember == Some(false) { Duration::ZERO } else { time }
}

fn connection(
    place: &Path,
    connection: &ConnectionInfo,
    kubeconfigs: &Kubeconfigs,
) -> Result<crate::outgoing::Endpoint, Error> {
    let field = place.child("kubeConfigFile");
    let file = connection.kube_config_file.as_deref();
    match connection.kind.as_str() {
        "" => Err(Error::required(&place.child("type"), "")),
        "InClusterConfig" => Err(match file {
            Some(file) => Error::invalid(&field, file, "can only be set when type=KubeConfigFile"),
            None => {
                let why = "not allowed for an API server: it would ask itself";
                Error::invalid(&place.child("type"), "InClusterConfig", why)
            }
        }),
        "KubeConfigFile" => match file {
            None | Some("") => Err(Error::required(&field, "")),
            Some(file) if !FilePath::new(file).is_absolute() => {
                Err(Error::invalid(&field, file, "must be an absolute path"))
            }
            Some(file) => match std::fs::metadata(file) {
                Err(error) => Err(Error::invalid(&field, file, format!("error loading file: {error}"))),
                Ok(found) if !found.is_file() => Err(Error::invalid(&field, file, "must be a regular file")),
                Ok(_) => kubeconfigs.endpoint(FilePath::new(file)).map_err(|why| Error::invalid(&field, file, why)),
            },
        },
        other => Err(Error::not_supported(&place.child("type"), other, &["InClusterConfig", "KubeConfigFile"])),
    }
}

fn conditions(place: &Path, list: &[MatchCondition]) -> Result<Conditions, Vec<Error>> {
    if list.len() > MOST_CONDITIONS {
        let error = Error::invalid(place, list.len(), format!("must have at most {MOST_CONDITIONS} items"));
        return Err(vec![Error { error_type: ErrorType::TooMany, ..error }]);
    }
    let (mut conditions, mut errors) = (Conditions::default(), Vec::new());
    for (index, MatchCondition { expression }) in list.iter().enumerate() {
        let place = place.index(index).child("expression");
        if expression.trim().is_empty() {
            errors.push(Error::required(&place, ""));
        } else if list[..index].iter().any(|other| other.expression == *expression) {
            errors.push(Error::duplicate(&place, expression.as_str()));
        } else if let Err(why) = conditions.add(expression) {
            errors.push(Error::invalid(&place, expression.as_str(), why));
        }
    }
    if errors.is_empty() { Ok(conditions) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Endpoint;

    const GOOD: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: first
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: /dev/../proc/version}
    matchConditions: [{expression: 'has(request.resourceAttributes)'}]
- {type: Node, name: node}
- {type: RBAC, name: rbac}
";

    #[test]
    fn the_file_says_who_decides_in_which_order() {
        let kubeconfigs =
            Kubeconfigs::new(|path| Ok(Endpoint { url: format!("https://{}", path.display()), ..Endpoint::default() }));
        let modes = parse(GOOD, &kubeconfigs).expect("reads");
        let names: Vec<&str> = modes.iter().map(|mode| mode.name.as_str()).collect();
        assert_eq!(names, ["first", "node", "rbac"]);
        let Mode::Webhook(webhook) = &modes[0].mode else { panic!("a webhook") };
        assert_eq!((webhook.timeout, webhook.cache_refused), (Duration::from_secs(3), Duration::from_secs(30)));
        assert_eq!(webhook.on_failure, OnFailure::Deny);
        for (from, to, expected) in [
            ("type: RBAC", "type: Node", "authorizers[2].type: Duplicate value: \"Node\""),
            ("type: RBAC", "type: ABAC", "authorizers[2].type: Unsupported value: \"ABAC\": supported values: "),
            ("name: rbac", "name: other", "expected name rbac for authorizer RBAC instead of other"),
            ("name: rbac", "name: node", "authorizers[2].name: Duplicate value: \"node\""),
            (
                "name: first",
                "name: First",
                "authorizers[0].name: Invalid value: \"First\": authorizer name is invalid: a",
            ),
            ("timeout: 3s", "timeout: 31s", "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s"),
            ("    timeout: 3s\n", "", "authorizers[0].timeout: Required value"),
            (
                "timeout: 3s",
                "timeout: 3s\n    authorizedTTL: -1s",
                "authorizers[0].authorizedTTL: Invalid value: \"-1s\"",
            ),
            (
                "failurePolicy: Deny",
                "failurePolicy: Ignore",
                "authorizers[0].failurePolicy: Unsupported value: \"Ignore\"",
            ),
            (
                "subjectAccessReviewVersion: v1",
                "subjectAccessReviewVersion: v2",
                "supported values: \"v1\", \"v1beta1\"",
            ),
            (
                "    matchConditionSubjectAccessReviewVersion: v1\n",
                "",
                "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match",
            ),
            ("has(request.resourceAttributes)", "request.user", "must evaluate to bool but got string"),
            ("has(request.resourceAttributes)", "request.nothing", "matchConditions[0].expression: Invalid value: "),
            (
                "/dev/../proc/version",
                "relative",
                "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"relative\": must be an absolute path",
            ),
            ("/dev/../proc/version", "/nowhere", "error loading file: "),
            (
                "{type: KubeConfigFile, kubeConfigFile: /dev/../proc/version}",
                "{type: InClusterConfig}",
                "connectionInfo.type: Invalid value: \"InClusterConfig\"",
            ),
            (
                "name: node}",
                "name: node, webhook: {connectionInfo: {}}}",
                "authorizers[1].webhook: Invalid value: \"non-null\"",
            ),
            ("    timeout", "    time-out", "unknown field"),
            (
                "[{expression: 'has(request.resourceAttributes)'}]",
                &format!("[{}]", ["{expression: 'true'}"; 65].join(", ")),
                "authorizers[0].matchConditions: Too many: 65: must have at most 64 items",
            ),
        ] {
            let error = parse(&GOOD.replacen(from, to, 1), &kubeconfigs).expect_err(to).to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
