//! Options about access to the API, under the names that `kube-apiserver` gives them.

mod admission;
mod audit;
mod authentication;
mod authorization;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use portolan_apiserver::authentication::Anonymous;
use portolan_apiserver::authorization::Mode;
use portolan_apiserver::{Access, Encryption, Endpoint};
use portolan_base::go;
use portolan_client::Kubeconfig;
use portolan_identity::KeyPairPem;

use crate::encryption;
use admission::AdmissionOptions;
use audit::AuditOptions;
use authentication::AuthenticationOptions;
use authorization::AuthorizationOptions;

/// Who is believed, who decides, what is recorded and encrypted.
#[derive(Debug, Clone, Args)]
pub(crate) struct AccessOptions {
    #[command(flatten)]
    authentication: AuthenticationOptions,
    #[command(flatten)]
    authorization: AuthorizationOptions,
    #[command(flatten)]
    admission: AdmissionOptions,
    #[command(flatten)]
    audit: AuditOptions,
    #[command(flatten)]
    serving: ServingOptions,
}

/// How requests are served, and objects kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving the API")]
struct ServingOptions {
    /// File with an EncryptionConfiguration: which objects are encrypted on disk [default: Secrets, with a key that is
    /// made at the first start].
    #[arg(long, value_name = "FILE")]
    encryption_provider_config: Option<PathBuf>,
    /// Whether changes of that file are taken over while the server runs.
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    encryption_provider_config_automatic_reload: bool,
    /// Requests that read and run at a time, over the network; with those that write, what priority levels share.
    #[arg(long, value_name = "COUNT", default_value_t = 400)]
    max_requests_inflight: usize,
    /// Requests that write and run at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    max_mutating_requests_inflight: usize,
    /// Whether requests wait for their turn, by priority levels.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    enable_priority_and_fairness: bool,
    /// How long events are kept; 0s: for ever.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    event_ttl: Duration,
    /// How long a request may take that is not meant to go on.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    request_timeout: Duration,
}

/// A time such as `2m`, `1h30m` or `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = go::parse_duration(text)?;
    let time = u64::try_from(nanoseconds).map_err(|_| "must not be negative".to_owned())?;
    Ok(Duration::from_nanos(time))
}

/// The same as an argument.
pub(crate) fn duration_argument(time: Duration) -> OsString {
    go::format_duration(time).into()
}

pub(crate) fn read(path: &Path, flag: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{flag}: read {}", path.display()))
}

/// A file as an argument for a child process, which may run in another folder.
pub(crate) fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string()
}

/// The service that a kubeconfig leads to.
fn service(path: &Path, flag: &str) -> anyhow::Result<Endpoint> {
    let found = Kubeconfig::load(path).and_then(|file| file.endpoint()).with_context(|| flag.to_owned())?;
    let certificate = found.client_certificate.zip(found.client_key);
    Ok(Endpoint {
        url: found.server,
        authority_pem: Some(found.certificate_authority).filter(|pem| !pem.is_empty()),
        certificate: certificate.map(|(certificate_pem, key_pem)| KeyPairPem { certificate_pem, key_pem }),
        token: found.token,
    })
}

impl AccessOptions {
    /// Reads the files and puts everything together; `identity` is the folder of the cluster's own keys, `issuers` are the
    /// names of the issuer of its tokens.
    pub(crate) fn access(&self, identity: &Path, issuers: &[String]) -> anyhow::Result<Access> {
        let serving = &self.serving;
        let total = serving.max_requests_inflight + serving.max_mutating_requests_inflight;
        let mut authentication = self.authentication.settings(issuers)?;
        let authorization = self.authorization.settings()?;
        let allows_everything = authorization.modes.iter().any(|named| matches!(named.mode, Mode::AlwaysAllow));
        if allows_everything && authentication.anonymous == Anonymous::Allowed {
            tracing::warn!("anonymous requests are refused: the authorization AlwaysAllow would let them do anything");
            authentication.anonymous = Anonymous::Refused;
        }
        Ok(Access {
            authentication,
            authorization,
            admission: self.admission.settings()?,
            audit: self.audit.settings()?,
            encryption: Some(serving.encryption(identity)?),
            most_requests: (serving.enable_priority_and_fairness && total > 0).then_some(total),
            request_timeout: serving.request_timeout,
            event_ttl: serving.event_ttl,
            ..Access::default()
        })
    }

    /// The authorities of everybody who may show a certificate, besides the cluster's own.
    pub(crate) fn client_authorities(&self) -> anyhow::Result<String> {
        self.authentication.client_authorities()
    }

    /// The options as arguments for a child process: those that are not as they are by default.
    pub(crate) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        self.authentication.arguments(add);
        self.authorization.arguments(add);
        self.admission.arguments(add);
        self.audit.arguments(add);
        self.serving.arguments(add);
    }
}

impl ServingOptions {
    fn encryption(&self, identity: &Path) -> anyhow::Result<Encryption> {
        let configured = self.encryption_provider_config.as_deref();
        let changes = match self.encryption_provider_config_automatic_reload {
            true if configured.is_none() => {
                bail!("--encryption-provider-config-automatic-reload must be set with --encryption-provider-config")
            }
            true => encryption::Changes::Followed,
            false => encryption::Changes::Left,
        };
        encryption::load(identity, configured, changes)
    }

    fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        if let Some(path) = &self.encryption_provider_config {
            add("--encryption-provider-config", absolute(path));
        }
        for (flag, value) in [
            ("--max-requests-inflight", self.max_requests_inflight.to_string()),
            ("--max-mutating-requests-inflight", self.max_mutating_requests_inflight.to_string()),
            (
                "--encryption-provider-config-automatic-reload",
                self.encryption_provider_config_automatic_reload.to_string(),
            ),
            ("--enable-priority-and-fairness", self.enable_priority_and_fairness.to_string()),
        ] {
            add(flag, value.into());
        }
        for (flag, time) in [("--request-timeout", self.request_timeout), ("--event-ttl", self.event_ttl)] {
            add(flag, duration_argument(time));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: AccessOptions,
    }

    fn parse(arguments: &[&str]) -> Result<AccessOptions, clap::Error> {
        Line::try_parse_from(std::iter::once(&"x").chain(arguments)).map(|line| line.options)
    }

    #[test]
    fn options_survive_the_way_to_a_child() {
        let given = [
            "--oidc-issuer-url=https://issuer",
            "--oidc-client-id=us",
            "--oidc-username-prefix=-",
            "--anonymous-auth=false",
            "--encryption-provider-config=/e",
            "--encryption-provider-config-automatic-reload",
            "--authorization-mode=Node,RBAC",
            "--requestheader-allowed-names=a,b",
            "--request-timeout=1m30.5s",
            "--event-ttl=1h0m0s",
            "--audit-policy-file=/p",
            "--audit-log-path=-",
            "--audit-log-mode=batch",
            "--disable-admission-plugins=PodSecurity,LimitRanger",
            "--enable-admission-plugins=AlwaysPullImages",
            "--admission-control-config-file=/a",
            "--audit-log-batch-max-wait=3s",
            "--audit-webhook-truncate-enabled",
            "--audit-webhook-batch-throttle-qps=2.5",
            "--audit-webhook-batch-throttle-enable=false",
            "--oidc-groups-prefix=g:",
        ];
        let options = parse(&given).expect("understood");
        let mut arguments: Vec<String> = Vec::new();
        options.arguments(&mut |flag, value| arguments.push(format!("{flag}={}", value.to_string_lossy())));
        let again = parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect("understood again");
        assert_eq!(format!("{options:?}"), format!("{again:?}"));
        assert_eq!(again.serving.request_timeout, Duration::from_millis(90_500));
    }

    const POLICY: &str = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}";

    #[test]
    fn nobody_may_do_anything_without_saying_who_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, authorizers: &str| {
            let path = folder.path().join(name);
            let text = format!(
                "{{apiVersion: apiserver.config.k8s.io/v1, kind: AuthorizationConfiguration, authorizers: {authorizers}}}"
            );
            std::fs::write(&path, text).expect("written");
            format!("--authorization-config={}", path.display())
        };
        let open = file("open", "[{type: RBAC, name: rbac}, {type: AlwaysAllow, name: alwaysallow}]");
        let closed = file("closed", "[{type: Node, name: node}, {type: RBAC, name: rbac}]");
        for (arguments, expected) in [
            (&[][..], Anonymous::Allowed),
            (&[&*closed], Anonymous::Allowed),
            (&[&*open], Anonymous::Refused),
            (&["--authorization-mode=RBAC,AlwaysAllow"], Anonymous::Refused),
            (&["--authorization-mode=AlwaysAllow", "--anonymous-auth=false"], Anonymous::Refused),
        ] {
            let access = parse(arguments).expect("understood").access(folder.path(), &[]).expect("goes together");
            assert_eq!(access.authentication.anonymous, expected, "{arguments:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (arguments, expected) in [
            (&["--authorization-mode=Webhook"][..], "--authorization-webhook-config-file"),
            (&["--authorization-mode=ABAC"], "ABAC"),
            (&["--authorization-mode=RBAC,Node,RBAC"], "RBAC more than once"),
            (&["--authorization-config=/c", "--authorization-mode=RBAC"], "can not be specified when"),
            (&["--authorization-config=/c", "--authorization-webhook-version=v1"], "can not be specified when"),
            (&["--authorization-config=/nowhere"], "/nowhere"),
            (&["--admission-control-config-file=/nowhere"], "/nowhere"),
            (&["--enable-admission-plugins=Nothing"], "plugin \"Nothing\" is unknown"),
            (&["--oidc-issuer-url=http://issuer", "--oidc-client-id=us"], "URL scheme must be https"),
            (&["--oidc-issuer-url=https://own", "--oidc-client-id=us"], "must not overlap with disallowed issuers"),
            (&["--oidc-issuer-url=https://issuer", "--oidc-client-id="], "issuer.audiences[0]: Required value"),
            (&["--token-auth-file=/nowhere"], "/nowhere"),
            (&["--encryption-provider-config-automatic-reload"], "--encryption-provider-config"),
            (&["--audit-log-mode=batch", "--audit-log-batch-buffer-size=0"], "invalid audit batch log buffer size 0"),
            (
                &["--audit-log-mode=batch", "--audit-log-batch-throttle-enable"],
                "invalid audit batch log throttle QPS 0, must be a positive number",
            ),
            (
                &["--audit-log-truncate-enabled", "--audit-log-truncate-max-batch-size=5"],
                "invalid audit truncate log max batch size 5, must be greater than max event size (102400)",
            ),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let policy = folder.path().join("policy");
            std::fs::write(&policy, POLICY).expect("written");
            let policy = format!("--audit-policy-file={}", policy.display());
            let arguments: Vec<&str> = match arguments.iter().any(|argument| argument.contains("audit")) {
                true => arguments.iter().copied().chain(["--audit-log-path=-", &policy]).collect(),
                false => arguments.to_vec(),
            };
            let refused = parse(&arguments)
                .expect("understood")
                .access(folder.path(), &["https://own".into()])
                .expect_err("refused");
            assert!(format!("{refused:#}").contains(expected), "{refused:#}");
        }
        assert!(parse(&["--audit-log-mode=sometimes"]).is_err());
        for time in ["soon", "-1s", "18446744073709551615s1s"] {
            assert!(parse(&[&format!("--request-timeout={time}")]).is_err());
        }
    }

    #[test]
    fn without_a_policy_nothing_is_recorded_and_what_is_wrong_is_told() {
        let settings = |arguments: &[&str]| {
            let folder = tempfile::tempdir().expect("a folder");
            parse(arguments).expect("understood").access(folder.path(), &[])
        };
        let access = settings(&["--audit-log-path=/log"]).expect("taken");
        assert!(access.audit.is_none());
        for (arguments, expected) in [
            (&["--audit-webhook-config-file=/nowhere"][..], "/nowhere"),
            (
                &["--audit-log-path=/log", "--audit-log-mode=batch", "--audit-log-batch-max-size=0"],
                "log max batch size 0",
            ),
        ] {
            let refused = settings(arguments).expect_err("refused");
            assert!(format!("{refused:#}").contains(expected), "{refused:#}");
        }
    }
}
