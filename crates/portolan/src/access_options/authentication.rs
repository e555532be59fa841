//! Who is believed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use portolan_apiserver::SettingsFile;
use portolan_apiserver::authentication::{
    Anonymous, Authentication, AuthenticationConfiguration, ClaimMapping, FrontProxy, JwtIssuer, StaticTokens,
    TokenWebhook,
};

use super::{absolute, duration, duration_argument, read, service};

/// Who is believed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authentication")]
pub(crate) struct AuthenticationOptions {
    /// Whether requests without credentials are let through, as the user system:anonymous.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    anonymous_auth: bool,
    /// Whether Secrets of the type bootstrap.kubernetes.io/token are tokens.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    enable_bootstrap_token_auth: bool,
    /// File with an AuthenticationConfiguration: issuers of tokens, anonymous requests; changes of issuers are taken over
    /// while the server runs.
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
    /// File with tokens: `token,user,uid,"group1,group2"` per line.
    #[arg(long, value_name = "FILE")]
    token_auth_file: Option<PathBuf>,
    /// For whom tokens are meant that are shown to this server [default: the issuer of the cluster's tokens].
    #[arg(long, value_delimiter = ',', value_name = "AUDIENCES")]
    api_audiences: Vec<String>,
    /// File with further authorities of clients' certificates.
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
    /// URL of an OpenID Connect issuer whose tokens are believed.
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer_url: Option<String>,
    /// For whom the issuer's tokens must be meant.
    #[arg(long, value_name = "ID", requires = "oidc_issuer_url")]
    oidc_client_id: Option<String>,
    /// The claim with the user's name.
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    oidc_username_claim: String,
    /// Put before the user's name; `-` for nothing [default: the issuer and `#`, unless the claim is email].
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    oidc_username_prefix: Option<String>,
    /// The claim with the user's groups.
    #[arg(long, value_name = "CLAIM")]
    oidc_groups_claim: Option<String>,
    /// Put before each group.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    oidc_groups_prefix: String,
    /// A claim that must have a value: `claim=value`.
    #[arg(long, value_delimiter = ',', value_name = "CLAIM=VALUE")]
    oidc_required_claim: Vec<String>,
    /// Signatures that are accepted.
    #[arg(long, value_delimiter = ',', value_name = "ALGORITHMS", default_value = "RS256")]
    oidc_signing_algs: Vec<String>,
    /// File with the authorities of the issuer's certificate [default: those of the system].
    #[arg(long, value_name = "FILE")]
    oidc_ca_file: Option<PathBuf>,
    /// Kubeconfig of a service that knows tokens.
    #[arg(long, value_name = "FILE")]
    authentication_token_webhook_config_file: Option<PathBuf>,
    /// How long its answers hold.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    authentication_token_webhook_cache_ttl: Duration,
    /// Version of authentication.k8s.io that it speaks.
    #[arg(long, value_name = "VERSION", default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    authentication_token_webhook_version: String,
    /// File with the authorities of proxies that say for whom they ask.
    #[arg(long, value_name = "FILE")]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that a proxy's certificate may have [default: any].
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    requestheader_allowed_names: Vec<String>,
    /// Headers with the user's name.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS", default_value = "X-Remote-User")]
    requestheader_username_headers: Vec<String>,
    /// Headers with the user's id.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS", default_value = "X-Remote-Uid")]
    requestheader_uid_headers: Vec<String>,
    /// Headers with the user's groups.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS", default_value = "X-Remote-Group")]
    requestheader_group_headers: Vec<String>,
    /// Beginnings of headers with further facts about the user.
    #[arg(long, value_delimiter = ',', value_name = "PREFIXES", default_value = "X-Remote-Extra-")]
    requestheader_extra_headers_prefix: Vec<String>,
}

impl AuthenticationOptions {
    /// The authorities of everybody who may show a certificate, besides the cluster's own.
    pub(super) fn client_authorities(&self) -> anyhow::Result<String> {
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

    /// Reads the files; `own_issuers` are those of the cluster itself.
    pub(super) fn settings(&self, own_issuers: &[String]) -> anyhow::Result<Authentication> {
        let mut issuers: Vec<JwtIssuer> = self.issuer(own_issuers)?.into_iter().collect();
        let mut anonymous = if self.anonymous_auth { Anonymous::Allowed } else { Anonymous::Refused };
        let (mut file, mut anonymous_in_file) = (None, None);
        if let Some(path) = &self.authentication_config {
            if !issuers.is_empty() {
                bail!("--authentication-config and --oidc-* exclude each other: name the issuer in the file");
            }
            let text = read(path, "--authentication-config")?;
            let found = AuthenticationConfiguration::parse(&text, own_issuers).context("--authentication-config")?;
            issuers = found.issuers;
            anonymous = found.anonymous.clone().unwrap_or(anonymous);
            anonymous_in_file = found.anonymous;
            file = Some(SettingsFile { path: path.clone(), text });
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
            file,
            anonymous_in_file,
        })
    }

    fn issuer(&self, own_issuers: &[String]) -> anyhow::Result<Option<JwtIssuer>> {
        let (Some(url), Some(client)) = (&self.oidc_issuer_url, &self.oidc_client_id) else { return Ok(None) };
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
        let issuer = JwtIssuer {
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
        };
        issuer.check(own_issuers).context("--oidc-issuer-url and --oidc-client-id")?;
        Ok(Some(issuer))
    }

    pub(super) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        for (flag, path) in [
            ("--authentication-config", &self.authentication_config),
            ("--token-auth-file", &self.token_auth_file),
            ("--client-ca-file", &self.client_ca_file),
            ("--oidc-ca-file", &self.oidc_ca_file),
            ("--authentication-token-webhook-config-file", &self.authentication_token_webhook_config_file),
            ("--requestheader-client-ca-file", &self.requestheader_client_ca_file),
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
            ("--anonymous-auth", self.anonymous_auth.to_string()),
            ("--enable-bootstrap-token-auth", self.enable_bootstrap_token_auth.to_string()),
        ] {
            add(flag, value.into());
        }
        add("--authentication-token-webhook-cache-ttl", duration_argument(self.authentication_token_webhook_cache_ttl));
    }
}
