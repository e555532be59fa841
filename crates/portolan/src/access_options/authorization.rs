//! Who decides.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use portolan_apiserver::authorization::{AccessWebhook, Authorization, Conditions, Mode, OnFailure};
use portolan_apiserver::{Kubeconfigs, SettingsFile};

use super::{absolute, duration, duration_argument, read, service};

/// How long a webhook may take that flags name.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Who decides.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authorization")]
pub(crate) struct AuthorizationOptions {
    /// File with an AuthorizationConfiguration: who decides, in which order, with which webhooks; excludes
    /// --authorization-mode and --authorization-webhook-*; changes are taken over while the server runs.
    #[arg(long, value_name = "FILE")]
    authorization_config: Option<PathBuf>,
    /// Who decides, in this order: AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook [default: Node,RBAC].
    #[arg(long, value_delimiter = ',', value_name = "MODES")]
    authorization_mode: Vec<String>,
    /// Kubeconfig of a service that decides; needs the mode Webhook.
    #[arg(long, value_name = "FILE")]
    authorization_webhook_config_file: Option<PathBuf>,
    /// Version of authorization.k8s.io that it speaks [default: v1beta1].
    #[arg(long, value_name = "VERSION", value_parser = ["v1", "v1beta1"])]
    authorization_webhook_version: Option<String>,
    /// How long its answers hold that allow something [default: 5m].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    authorization_webhook_cache_authorized_ttl: Option<Duration>,
    /// How long its other answers hold [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    authorization_webhook_cache_unauthorized_ttl: Option<Duration>,
}

impl AuthorizationOptions {
    pub(super) fn settings(&self) -> anyhow::Result<Authorization> {
        let webhook = self.authorization_webhook_config_file.as_ref();
        let is_flag_given = !self.authorization_mode.is_empty()
            || webhook.is_some()
            || self.authorization_webhook_version.is_some()
            || self.authorization_webhook_cache_authorized_ttl.is_some()
            || self.authorization_webhook_cache_unauthorized_ttl.is_some();
        if let Some(path) = &self.authorization_config {
            ensure!(
                !is_flag_given,
                "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* \
                 flags are defined"
            );
            let flag = "--authorization-config";
            let file = SettingsFile { path: path.clone(), text: read(path, flag)? };
            let kubeconfigs = Kubeconfigs::new(move |path| service(path, flag).map_err(|error| format!("{error:#}")));
            return Authorization::from_file(file, kubeconfigs).context(flag);
        }
        if self.authorization_mode.is_empty() && !is_flag_given {
            return Ok(Authorization::default());
        }
        if webhook.is_some() && !self.authorization_mode.iter().any(|mode| mode == "Webhook") {
            bail!("--authorization-webhook-config-file needs Webhook among the modes of --authorization-mode");
        }
        let mut modes: Vec<&str> = self.authorization_mode.iter().map(String::as_str).collect();
        if modes.is_empty() {
            modes = vec!["Node", "RBAC"];
        }
        for (index, mode) in modes.iter().enumerate() {
            ensure!(!modes[..index].contains(mode), "--authorization-mode has {mode} more than once");
        }
        let modes = modes.into_iter().map(|mode| match (mode, Mode::built_in(mode)) {
            (_, Some(mode)) => Ok(mode),
            ("Webhook", _) => self.webhook().map(|webhook| Mode::Webhook(Box::new(webhook))),
            _ => bail!("--authorization-mode {mode}: know AlwaysAllow, AlwaysDeny, Node, RBAC and Webhook"),
        });
        let mut settings = Authorization::of(modes.collect::<anyhow::Result<Vec<_>>>()?);
        for named in settings.modes.iter_mut().filter(|named| matches!(named.mode, Mode::Webhook(_))) {
            "default".clone_into(&mut named.name);
        }
        Ok(settings)
    }

    fn webhook(&self) -> anyhow::Result<AccessWebhook> {
        let path = self.authorization_webhook_config_file.as_ref();
        let path = path.context("the mode Webhook needs --authorization-webhook-config-file")?;
        let (allowed, refused) =
            (self.authorization_webhook_cache_authorized_ttl, self.authorization_webhook_cache_unauthorized_ttl);
        Ok(AccessWebhook {
            endpoint: service(path, "--authorization-webhook-config-file")?,
            version: self.authorization_webhook_version.clone().unwrap_or_else(|| "v1beta1".to_owned()),
            timeout: TIMEOUT,
            cache_allowed: allowed.unwrap_or(Duration::from_secs(300)),
            cache_refused: refused.unwrap_or(Duration::from_secs(30)),
            on_failure: OnFailure::NoOpinion,
            conditions: Conditions::default(),
        })
    }

    pub(super) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        for (flag, path) in [
            ("--authorization-config", &self.authorization_config),
            ("--authorization-webhook-config-file", &self.authorization_webhook_config_file),
        ] {
            if let Some(path) = path {
                add(flag, absolute(path));
            }
        }
        if !self.authorization_mode.is_empty() {
            add("--authorization-mode", self.authorization_mode.join(",").into());
        }
        if let Some(version) = &self.authorization_webhook_version {
            add("--authorization-webhook-version", version.into());
        }
        for (flag, time) in [
            ("--authorization-webhook-cache-authorized-ttl", self.authorization_webhook_cache_authorized_ttl),
            ("--authorization-webhook-cache-unauthorized-ttl", self.authorization_webhook_cache_unauthorized_ttl),
        ] {
            if let Some(time) = time {
                add(flag, duration_argument(time));
            }
        }
    }
}
