//! What is built in and decides about writes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use portolan_apiserver::{AdmissionSettings, WebhookUser, WebhookUsers};
use portolan_client::Kubeconfig;
use portolan_identity::KeyPairPem;

use super::{absolute, read};

/// What is built in and decides about writes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Admission")]
pub(crate) struct AdmissionOptions {
    /// Plugins to enable besides those that are by default: AlwaysAdmit, AlwaysDeny, AlwaysPullImages,
    /// DenyServiceExternalIPs, EventRateLimit, ExtendedResourceToleration, LimitPodHardAntiAffinityTopology.
    #[arg(long, value_delimiter = ',', value_name = "PLUGINS")]
    enable_admission_plugins: Vec<String>,
    /// Plugins to disable, by Kubernetes' names.
    #[arg(long, value_delimiter = ',', value_name = "PLUGINS")]
    disable_admission_plugins: Vec<String>,
    /// File with an AdmissionConfiguration: settings of PodSecurity, ResourceQuota, EventRateLimit and webhooks.
    #[arg(long, value_name = "FILE")]
    admission_control_config_file: Option<PathBuf>,
}

impl AdmissionOptions {
    pub(super) fn settings(&self) -> anyhow::Result<AdmissionSettings> {
        let path = self.admission_control_config_file.as_deref();
        let flag = "--admission-control-config-file";
        let text = path.map(|path| read(path, flag)).transpose()?;
        let file = path.zip(text.as_deref());
        let (enable, disable) = (&self.enable_admission_plugins, &self.disable_admission_plugins);
        let users = |path: &Path| webhook_users(path).map_err(|error| format!("{error:#}"));
        let settings = AdmissionSettings::read(enable, disable, file, &users);
        settings.with_context(|| if file.is_some() { flag } else { "admission" })
    }

    pub(super) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        for (flag, list) in [
            ("--enable-admission-plugins", &self.enable_admission_plugins),
            ("--disable-admission-plugins", &self.disable_admission_plugins),
        ] {
            if !list.is_empty() {
                add(flag, list.join(",").into());
            }
        }
        if let Some(path) = &self.admission_control_config_file {
            add("--admission-control-config-file", absolute(path));
        }
    }
}

/// As whom webhooks are asked.
fn webhook_users(path: &Path) -> anyhow::Result<WebhookUsers> {
    let file = Kubeconfig::load(path)?;
    let users = file.users()?.into_iter().map(|(name, shown)| {
        let pair = shown.client_certificate.zip(shown.client_key);
        let certificate = pair.map(|(certificate_pem, key_pem)| KeyPairPem { certificate_pem, key_pem });
        (name, WebhookUser { certificate, token: shown.token, password: shown.password })
    });
    WebhookUsers::new(users, file.current_user()).map_err(anyhow::Error::msg)
}
