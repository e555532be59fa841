//! Options about access to the API, under the names that `kube-apiserver` gives them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use portolan_apiserver::audit::{Audit, LogFile, Policy};
use portolan_apiserver::authentication::{
    Anonymous, Authentication, AuthenticationConfiguration, ClaimMapping, FrontProxy, JwtIssuer, StaticTokens,
    TokenWebhook,
};
use portolan_apiserver::authorization::{AccessWebhook, Authorization, Mode, OnFailure};
use portolan_apiserver::{Access, Encryption, Endpoint};
use portolan_client::Kubeconfig;
use portolan_identity::KeyPairPem;

use crate::encryption;

/// Who is believed, who decides, what is recorded and encrypted.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access to the API")]
pub(crate) struct AccessOptions {
    /// Whether requests without credentials are let through, as the user system:anonymous.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) anonymous_auth: bool,
    /// Whether Secrets of the type bootstrap.kubernetes.io/token are tokens.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) enable_bootstrap_token_auth: bool,
    /// File with an AuthenticationConfiguration: issuers of tokens, anonymous requests.
    #[arg(long, value_name = "FILE")]
    pub(crate) authentication_config: Option<PathBuf>,
    /// File with tokens: `token,user,uid,"group1,group2"` per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_auth_file: Option<PathBuf>,
    /// For whom tokens are meant that are shown to this server [default: the issuer of the cluster's tokens].
    #[arg(long, value_delimiter = ',', value_name = "AUDIENCES")]
    pub(crate) api_audiences: Vec<String>,
    /// File with further authorities of clients' certificates.
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca_file: Option<PathBuf>,
    /// URL of an OpenID Connect issuer whose tokens are believed.
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    pub(crate) oidc_issuer_url: Option<String>,
    /// For whom the issuer's tokens must be meant.
    #[arg(long, value_name = "ID", requires = "oidc_issuer_url")]
    pub(crate) oidc_client_id: Option<String>,
    /// The claim with the user's name.
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    pub(crate) oidc_username_claim: String,
    /// Put before the user's name; `-` for nothing [default: the issuer and `#`, unless the claim is email].
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    pub(crate) oidc_username_prefix: Option<String>,
    /// The claim with the user's groups.
    #[arg(long, value_name = "CLAIM")]
    pub(crate) oidc_groups_claim: Option<String>,
    /// Put before each group.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) oidc_groups_prefix: String,
    /// A claim that must have a value: `claim=value`.
    #[arg(long, value_delimiter = ',', value_name = "CLAIM=VALUE")]
    pub(crate) oidc_required_claim: Vec<String>,
    /// Signatures that are accepted.
    #[arg(long, value_delimiter = ',', value_name = "ALGORITHMS", default_value = "RS256")]
    pub(crate) oidc_signing_algs: Vec<String>,
    /// File with the authorities of the issuer's certificate [default: those of the system].
    #[arg(long, value_name = "FILE")]
    pub(crate) oidc_ca_file: Option<PathBuf>,
    /// Kubeconfig of a service that knows tokens.
    #[arg(long, value_name = "FILE")]
    pub(crate) authentication_token_webhook_config_file: Option<PathBuf>,
    /// How long its answers hold.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub(crate) authentication_token_webhook_cache_ttl: Duration,
    /// Version of authentication.k8s.io that it speaks.
    #[arg(long, value_name = "VERSION", default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    pub(crate) authentication_token_webhook_version: String,
    /// File with the authorities of proxies that say for whom they ask.
    #[arg(long, value_name = "FILE")]
    pub(crate) requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that a proxy's certificate may have [default: any].
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) requestheader_allowed_names: Vec<String>,
    /// Headers with the user's name.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS", default_value = "X-Remote-User")]
    pub(crate) requestheader_username_headers: Vec<String>,
    /// Headers with the user's id.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS", default_value = "X-Remote-Uid")]
    pub(crate) requestheader_uid_headers: Vec<String>,
    /// Headers with the user's groups.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS", default_value = "X-Remote-Group")]
    pub(crate) requestheader_group_headers: Vec<String>,
    /// Beginnings of headers with further facts about the user.
    #[arg(long, value_delimiter = ',', value_name = "PREFIXES", default_value = "X-Remote-Extra-")]
    pub(crate) requestheader_extra_headers_prefix: Vec<String>,
    /// Who decides, in this order: AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook.
    #[arg(long, value_delimiter = ',', value_name = "MODES", default_value = "Node,RBAC")]
    pub(crate) authorization_mode: Vec<String>,
    /// Kubeconfig of a service that decides; needs the mode Webhook.
    #[arg(long, value_name = "FILE")]
    pub(crate) authorization_webhook_config_file: Option<PathBuf>,
    /// Version of authorization.k8s.io that it speaks.
    #[arg(long, value_name = "VERSION", default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    pub(crate) authorization_webhook_version: String,
    /// How long its answers hold that allow something.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub(crate) authorization_webhook_cache_authorized_ttl: Duration,
    /// How long its other answers hold.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) authorization_webhook_cache_unauthorized_ttl: Duration,
    /// File with an audit policy: which requests are recorded.
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    pub(crate) audit_policy_file: Option<PathBuf>,
    /// Where requests are recorded; `-` for the standard output.
    #[arg(long, value_name = "FILE", requires = "audit_policy_file", allow_hyphen_values = true)]
    pub(crate) audit_log_path: Option<PathBuf>,
    /// Days that old records are kept; 0: for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub(crate) audit_log_maxage: u32,
    /// Files of old records that are kept; 0: all.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) audit_log_maxbackup: usize,
    /// Size in megabytes at which the next file is begun.
    #[arg(long, value_name = "MEGABYTES", default_value_t = 100)]
    pub(crate) audit_log_maxsize: u32,
    /// File with an EncryptionConfiguration: which objects are encrypted on disk [default: Secrets, with a key that is
    /// made at the first start].
    #[arg(long, value_name = "FILE")]
    pub(crate) encryption_provider_config: Option<PathBuf>,
    /// Whether changes of that file are taken over while the server runs.
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) encryption_provider_config_automatic_reload: bool,
    /// Requests that read and run at a time, over the network; with those that write, what priority levels share.
    #[arg(long, value_name = "COUNT", default_value_t = 400)]
    pub(crate) max_requests_inflight: usize,
    /// Requests that write and run at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub(crate) max_mutating_requests_inflight: usize,
    /// Whether requests wait for their turn, by priority levels.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) enable_priority_and_fairness: bool,
    /// How long events are kept; 0s: for ever.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub(crate) event_ttl: Duration,
    /// How long a request may take that is not meant to go on.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub(crate) request_timeout: Duration,
}

/// A time such as `2m` or `30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || "give a time such as 30s, 5m or 1h30m".to_owned();
    let (mut sum, mut number) = (Duration::ZERO, String::new());
    for letter in text.chars() {
        let unit = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        sum += Duration::from_secs(std::mem::take(&mut number).parse::<u64>().map_err(|_| bad())?.saturating_mul(unit));
    }
    if number.is_empty() && !text.is_empty() { Ok(sum) } else { Err(bad()) }
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
    /// Reads the files and puts everything together; `identity` is the folder of the cluster's own keys.
    pub(crate) fn access(&self, identity: &Path) -> anyhow::Result<Access> {
        let total = self.max_requests_inflight + self.max_mutating_requests_inflight;
        Ok(Access {
            authentication: self.authentication()?,
            authorization: self.authorization()?,
            audit: self.audit()?,
            encryption: Some(self.encryption(identity)?),
            most_requests: (self.enable_priority_and_fairness && total > 0).then_some(total),
            request_timeout: self.request_timeout,
            event_ttl: self.event_ttl,
            ..Access::default()
        })
    }

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

    /// The authorities of everybody who may show a certificate, besides the cluster's own.
    pub(crate) fn client_authorities(&self) -> anyhow::Result<String> {
        let mut all = String::new();
        for (path, flag) in [
            (&self.client_ca_file, "--client-ca-file"),
            (&self.requestheader_client_ca_file, "--requestheader-client-ca-file"),
        ] {
            if let Some(path) = path {
                all.push_str(&read(path, flag)?);
                all.push('\n');
            }
        }
        Ok(all)
    }

    fn authentication(&self) -> anyhow::Result<Authentication> {
        let mut issuers: Vec<JwtIssuer> = self.issuer()?.into_iter().collect();
        let mut anonymous = if self.anonymous_auth { Anonymous::Allowed } else { Anonymous::Refused };
        if let Some(path) = &self.authentication_config {
            if !issuers.is_empty() {
                bail!("--authentication-config and --oidc-* exclude each other: name the issuer in the file");
            }
            let text = read(path, "--authentication-config")?;
            let file = AuthenticationConfiguration::parse(&text).context("--authentication-config")?;
            issuers = file.issuers;
            anonymous = file.anonymous.unwrap_or(anonymous);
        }
        let static_tokens = match &self.token_auth_file {
            None => StaticTokens::default(),
            Some(path) => StaticTokens::parse(&read(path, "--token-auth-file")?)
                .map_err(|why| anyhow::anyhow!("--token-auth-file: {why}"))?,
        };
        let webhook = self.authentication_token_webhook_config_file.as_ref().map(|path| {
            anyhow::Ok(TokenWebhook {
                endpoint: service(path, "--authentication-token-webhook-config-file")?,
                version: self.authentication_token_webhook_version.clone(),
                cache_for: self.authentication_token_webhook_cache_ttl,
            })
        });
        let front_proxy = self.requestheader_client_ca_file.as_ref().map(|path| {
            anyhow::Ok(FrontProxy {
                authority_pem: read(path, "--requestheader-client-ca-file")?,
                allowed_names: self.requestheader_allowed_names.clone(),
                username_headers: self.requestheader_username_headers.clone(),
                uid_headers: self.requestheader_uid_headers.clone(),
                group_headers: self.requestheader_group_headers.clone(),
                extra_header_prefixes: self.requestheader_extra_headers_prefix.clone(),
            })
        });
        let client_ca_pem = self.client_ca_file.as_ref().map(|path| read(path, "--client-ca-file")).transpose()?;
        Ok(Authentication {
            anonymous,
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            api_audiences: self.api_audiences.clone(),
            static_tokens,
            issuers,
            webhook: webhook.transpose()?,
            front_proxy: front_proxy.transpose()?,
            client_ca_pem: client_ca_pem.unwrap_or_default(),
        })
    }

    fn issuer(&self) -> anyhow::Result<Option<JwtIssuer>> {
        let (Some(url), Some(client)) = (&self.oidc_issuer_url, &self.oidc_client_id) else { return Ok(None) };
        if !url.starts_with("https://") {
            bail!("--oidc-issuer-url {url}: it must begin with https://");
        }
        let claim = self.oidc_username_claim.clone();
        let prefix = match self.oidc_username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            // An address names its issuer itself.
            None if claim == "email" => String::new(),
            None => format!("{url}#"),
        };
        let groups = self.oidc_groups_claim.clone();
        let required = self.oidc_required_claim.iter().map(|text| {
            let pair =
                text.split_once('=').with_context(|| format!("--oidc-required-claim {text}: give claim=value"))?;
            Ok((pair.0.to_owned(), pair.1.to_owned()))
        });
        Ok(Some(JwtIssuer {
            url: url.clone(),
            discovery_url: None,
            authority_pem: self.oidc_ca_file.as_ref().map(|path| read(path, "--oidc-ca-file")).transpose()?,
            audiences: vec![client.clone()],
            algorithms: self.oidc_signing_algs.clone(),
            username: ClaimMapping { claim, prefix },
            groups: groups.map(|claim| ClaimMapping { claim, prefix: self.oidc_groups_prefix.clone() }),
            uid_claim: None,
            required_claims: required.collect::<anyhow::Result<_>>()?,
            expressions: Default::default(),
        }))
    }

    fn authorization(&self) -> anyhow::Result<Authorization> {
        let webhook = self.authorization_webhook_config_file.as_ref();
        if webhook.is_some() && !self.authorization_mode.iter().any(|mode| mode == "Webhook") {
            bail!("--authorization-webhook-config-file needs Webhook among the modes of --authorization-mode");
        }
        let modes = self.authorization_mode.iter().map(|mode| {
            Ok(match mode.as_str() {
                "AlwaysAllow" => Mode::AlwaysAllow,
                "AlwaysDeny" => Mode::AlwaysDeny,
                "Node" => Mode::Node,
                "RBAC" => Mode::Rbac,
                "Webhook" => {
                    let path = webhook.context("the mode Webhook needs --authorization-webhook-config-file")?;
                    Mode::Webhook(AccessWebhook {
                        endpoint: service(path, "--authorization-webhook-config-file")?,
                        version: self.authorization_webhook_version.clone(),
                        cache_allowed: self.authorization_webhook_cache_authorized_ttl,
                        cache_refused: self.authorization_webhook_cache_unauthorized_ttl,
                        on_failure: OnFailure::NoOpinion,
                    })
                }
                other => bail!("--authorization-mode {other}: know AlwaysAllow, AlwaysDeny, Node, RBAC and Webhook"),
            })
        });
        Ok(Authorization { modes: modes.collect::<anyhow::Result<_>>()? })
    }

    fn audit(&self) -> anyhow::Result<Option<Audit>> {
        let (Some(policy), Some(path)) = (&self.audit_policy_file, &self.audit_log_path) else { return Ok(None) };
        let policy = Policy::parse(&read(policy, "--audit-policy-file")?).context("--audit-policy-file")?;
        let day = Duration::from_secs(24 * 3600);
        let log = LogFile {
            path: path.clone(),
            most_bytes: u64::from(self.audit_log_maxsize) * 1024 * 1024,
            most_files: self.audit_log_maxbackup,
            longest: (self.audit_log_maxage > 0).then(|| day * self.audit_log_maxage),
        };
        Ok(Some(Audit { policy, log }))
    }

    /// The options as arguments for a child process: those that are not as they are by default.
    pub(crate) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        let absolute = |path: &PathBuf| if *path == Path::new("-") { path.into() } else { absolute(path) };
        for (flag, path) in [
            ("--authentication-config", &self.authentication_config),
            ("--token-auth-file", &self.token_auth_file),
            ("--client-ca-file", &self.client_ca_file),
            ("--oidc-ca-file", &self.oidc_ca_file),
            ("--authentication-token-webhook-config-file", &self.authentication_token_webhook_config_file),
            ("--requestheader-client-ca-file", &self.requestheader_client_ca_file),
            ("--authorization-webhook-config-file", &self.authorization_webhook_config_file),
            ("--audit-policy-file", &self.audit_policy_file),
            ("--audit-log-path", &self.audit_log_path),
            ("--encryption-provider-config", &self.encryption_provider_config),
        ] {
            if let Some(path) = path {
                add(flag, absolute(path));
            }
        }
        for (flag, list) in [
            ("--api-audiences", &self.api_audiences),
            ("--oidc-required-claim", &self.oidc_required_claim),
            ("--oidc-signing-algs", &self.oidc_signing_algs),
            ("--requestheader-allowed-names", &self.requestheader_allowed_names),
            ("--requestheader-username-headers", &self.requestheader_username_headers),
            ("--requestheader-uid-headers", &self.requestheader_uid_headers),
            ("--requestheader-group-headers", &self.requestheader_group_headers),
            ("--requestheader-extra-headers-prefix", &self.requestheader_extra_headers_prefix),
            ("--authorization-mode", &self.authorization_mode),
        ] {
            if !list.is_empty() {
                add(flag, list.join(",").into());
            }
        }
        for (flag, text) in [
            ("--oidc-issuer-url", &self.oidc_issuer_url),
            ("--oidc-client-id", &self.oidc_client_id),
            ("--oidc-username-prefix", &self.oidc_username_prefix),
            ("--oidc-groups-claim", &self.oidc_groups_claim),
        ] {
            if let Some(text) = text {
                add(flag, text.into());
            }
        }
        for (flag, value) in [
            ("--oidc-username-claim", self.oidc_username_claim.clone()),
            ("--oidc-groups-prefix", self.oidc_groups_prefix.clone()),
            ("--authentication-token-webhook-version", self.authentication_token_webhook_version.clone()),
            ("--authorization-webhook-version", self.authorization_webhook_version.clone()),
            ("--audit-log-maxage", self.audit_log_maxage.to_string()),
            ("--audit-log-maxbackup", self.audit_log_maxbackup.to_string()),
            ("--audit-log-maxsize", self.audit_log_maxsize.to_string()),
            ("--max-requests-inflight", self.max_requests_inflight.to_string()),
            ("--max-mutating-requests-inflight", self.max_mutating_requests_inflight.to_string()),
            ("--anonymous-auth", self.anonymous_auth.to_string()),
            (
                "--encryption-provider-config-automatic-reload",
                self.encryption_provider_config_automatic_reload.to_string(),
            ),
            ("--enable-bootstrap-token-auth", self.enable_bootstrap_token_auth.to_string()),
            ("--enable-priority-and-fairness", self.enable_priority_and_fairness.to_string()),
        ] {
            add(flag, value.into());
        }
        for (flag, time) in [
            ("--authentication-token-webhook-cache-ttl", self.authentication_token_webhook_cache_ttl),
            ("--authorization-webhook-cache-authorized-ttl", self.authorization_webhook_cache_authorized_ttl),
            ("--authorization-webhook-cache-unauthorized-ttl", self.authorization_webhook_cache_unauthorized_ttl),
            ("--request-timeout", self.request_timeout),
            ("--event-ttl", self.event_ttl),
        ] {
            add(flag, format!("{}s", time.as_secs()).into());
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
            "--request-timeout=1m30s",
            "--event-ttl=1h0m0s",
            "--audit-policy-file=/p",
            "--audit-log-path=-",
            "--oidc-groups-prefix=g:",
        ];
        let options = parse(&given).expect("understood");
        let mut arguments: Vec<String> = Vec::new();
        options.arguments(&mut |flag, value| arguments.push(format!("{flag}={}", value.to_string_lossy())));
        let again = parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect("understood again");
        assert_eq!(format!("{options:?}"), format!("{again:?}"));
        assert_eq!(again.request_timeout, Duration::from_secs(90));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (arguments, expected) in [
            (&["--authorization-mode=Webhook"][..], "--authorization-webhook-config-file"),
            (&["--authorization-mode=ABAC"], "ABAC"),
            (&["--oidc-issuer-url=http://issuer", "--oidc-client-id=us"], "https://"),
            (&["--token-auth-file=/nowhere"], "/nowhere"),
            (&["--encryption-provider-config-automatic-reload"], "--encryption-provider-config"),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let refused = parse(arguments).expect("understood").access(folder.path()).expect_err("refused");
            assert!(format!("{refused:#}").contains(expected), "{refused:#}");
        }
        assert!(parse(&["--audit-log-path=/log"]).is_err());
        assert!(parse(&["--request-timeout=soon"]).is_err());
    }
}
