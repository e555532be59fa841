//! Flags of `portolan server` on the tokens of service accounts; the same as those of `kube-apiserver` and
//! `kube-controller-manager`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use portolan_apiserver::ServiceAccounts;
use portolan_identity::TokenSettings;

use crate::access_options::{absolute, duration, duration_argument, read};

/// What tokens name as their issuer unless something else is asked for.
const ISSUER: &str = "https://kubernetes.default.svc";

/// The shortest limit of a lifetime; pods renew theirs well before.
const LEAST_LIFETIME: Duration = Duration::from_secs(3600);

/// Who signs tokens of service accounts, and by which keys they are believed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens of service accounts")]
pub(crate) struct ServiceAccountOptions {
    /// What tokens name as their issuer; once more for each that is believed too, so that a name can change
    /// [default: https://kubernetes.default.svc].
    #[arg(long, value_name = "URL")]
    service_account_issuer: Vec<String>,
    /// File with keys in PEM, public or private, by which tokens are verified besides the cluster's own; repeatable.
    #[arg(long, value_name = "FILE")]
    service_account_key_file: Vec<PathBuf>,
    /// File with the private key that signs tokens, in PEM: RSA, or ECDSA with P-256 or P-384 [default: the cluster's own].
    #[arg(long, value_name = "FILE")]
    service_account_signing_key_file: Option<PathBuf>,
    /// Where others find the public keys [default: at this server].
    #[arg(long, value_name = "URL")]
    service_account_jwks_uri: Option<String>,
    /// The longest lifetime of a token that is asked for; longer ones are cut.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    service_account_max_token_expiration: Option<Duration>,
    /// Whether tokens that every pod gets hold for a year, for programs that do not read them again; they are renewed
    /// after an hour all the same.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    service_account_extend_token_expiration: bool,
    /// How long a token that was once made for every service account must have been unused to be marked as invalid, and
    /// then again to be deleted with its Secret.
    #[arg(long, value_name = "TIME", default_value = "8760h", value_parser = period)]
    legacy_service_account_token_clean_up_period: Duration,
}

/// A time that is not nothing.
fn period(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|period| if period.is_zero() { Err("it must be more than 0s".to_owned()) } else { Ok(period) })
}

impl ServiceAccountOptions {
    /// Keys and names of the issuer.
    pub(crate) fn tokens(&self) -> anyhow::Result<TokenSettings> {
        let mut issuers = self.service_account_issuer.clone();
        for issuer in &issuers {
            let is_url = issuer.parse::<http::Uri>().is_ok_and(|url| url.scheme().is_some());
            ensure!(!issuer.is_empty(), "--service-account-issuer: it is empty");
            ensure!(is_url || !issuer.contains(':'), "--service-account-issuer {issuer}: it is no URL");
        }
        if issuers.is_empty() {
            issuers.push(ISSUER.to_owned());
        }
        let key = |flag: &'static str| move |path: &PathBuf| read(path, flag);
        let signing_key = self.service_account_signing_key_file.as_ref();
        let verification_keys = self.service_account_key_file.iter().map(key("--service-account-key-file"));
        Ok(TokenSettings {
            issuers,
            signing_key: signing_key.map(key("--service-account-signing-key-file")).transpose()?,
            verification_keys: verification_keys.collect::<anyhow::Result<_>>()?,
        })
    }

    /// What the API server is to know of them.
    pub(crate) fn service_accounts(&self) -> anyhow::Result<ServiceAccounts> {
        if let Some(uri) = &self.service_account_jwks_uri {
            let url: http::Uri = uri.parse().with_context(|| format!("--service-account-jwks-uri {uri}"))?;
            ensure!(url.scheme_str() == Some("https"), "--service-account-jwks-uri {uri}: it must begin with https://");
        }
        if let Some(longest) = self.service_account_max_token_expiration {
            ensure!(
                longest >= LEAST_LIFETIME && longest.as_secs() <= 1 << 32,
                "--service-account-max-token-expiration: it must be between 1h and 2^32 seconds"
            );
        }
        Ok(ServiceAccounts {
            keys_url: self.service_account_jwks_uri.clone(),
            longest_lifetime: self.service_account_max_token_expiration,
            extends: self.service_account_extend_token_expiration,
        })
    }

    /// How long a token in a Secret must have been unused to be taken away.
    pub(crate) fn legacy_token_period(&self) -> Duration {
        self.legacy_service_account_token_clean_up_period
    }

    /// The options as arguments for a child process.
    pub(crate) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        for issuer in &self.service_account_issuer {
            add("--service-account-issuer", issuer.into());
        }
        for path in &self.service_account_key_file {
            add("--service-account-key-file", absolute(path));
        }
        if let Some(path) = &self.service_account_signing_key_file {
            add("--service-account-signing-key-file", absolute(path));
        }
        if let Some(uri) = &self.service_account_jwks_uri {
            add("--service-account-jwks-uri", uri.into());
        }
        let extends = self.service_account_extend_token_expiration.to_string();
        add("--service-account-extend-token-expiration", extends.into());
        let period = duration_argument(self.legacy_service_account_token_clean_up_period);
        add("--legacy-service-account-token-clean-up-period", period);
        if let Some(longest) = self.service_account_max_token_expiration {
            add("--service-account-max-token-expiration", duration_argument(longest));
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
        options: ServiceAccountOptions,
    }

    fn parse(arguments: &[&str]) -> ServiceAccountOptions {
        Line::parse_from(std::iter::once(&"x").chain(arguments)).options
    }

    #[test]
    fn options_survive_the_way_to_a_child() {
        let given = [
            "--service-account-issuer=https://a",
            "--service-account-issuer=https://b",
            "--service-account-key-file=/old.pem",
            "--service-account-key-file=/older.pem",
            "--service-account-signing-key-file=/new.key",
            "--service-account-jwks-uri=https://a/keys",
            "--service-account-max-token-expiration=2h",
            "--service-account-extend-token-expiration=false",
            "--legacy-service-account-token-clean-up-period=48h",
        ];
        let mut arguments = Vec::new();
        parse(&given).arguments(&mut |flag, value| arguments.push(format!("{flag}={}", value.to_string_lossy())));
        let again = parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(format!("{:?}", parse(&given)), format!("{again:?}"));
        assert_eq!(again.service_accounts().expect("valid").longest_lifetime, Some(Duration::from_secs(7200)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (argument, expected) in [
            ("--service-account-issuer=a:b c", "no URL"),
            ("--service-account-issuer=", "empty"),
            ("--service-account-key-file=/nowhere", "/nowhere"),
            ("--service-account-signing-key-file=/nowhere", "/nowhere"),
        ] {
            let refused = parse(&[argument]).tokens().expect_err(argument);
            assert!(format!("{refused:#}").contains(expected), "{argument}: {refused:#}");
        }
        for (argument, expected) in [
            ("--service-account-jwks-uri=http://a", "https://"),
            ("--service-account-max-token-expiration=59m", "between 1h"),
        ] {
            let refused = parse(&[argument]).service_accounts().expect_err(argument);
            assert!(format!("{refused:#}").contains(expected), "{argument}: {refused:#}");
        }
        let refused = Line::try_parse_from(["x", "--legacy-service-account-token-clean-up-period=0s"]);
        assert!(refused.is_err_and(|error| error.to_string().contains("more than 0s")));
        assert_eq!(parse(&[]).legacy_token_period(), Duration::from_secs(8760 * 3600));
        assert_eq!(parse(&[]).tokens().expect("valid").issuers, [ISSUER]);
    }
}
