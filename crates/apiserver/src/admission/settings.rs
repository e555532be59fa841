//! What is built in and decides, and how: `--enable-admission-plugins`, `--disable-admission-plugins` and the
//! `AdmissionConfiguration` of `--admission-control-config-file`.

use std::collections::BTreeSet;
use std::path::Path as FilePath;

use serde::Deserialize;
use serde_json::Value;

use super::controllers::{
    self, Controller, ELSEWHERE, EVENT_RATE_LIMIT, MUTATING_WEBHOOK, POD_SECURITY, RESOURCE_QUOTA, Usual,
    VALIDATING_WEBHOOK,
};
use super::plugins::{EventLimits, PodSecurity};
use super::quota::LimitedResource;
use crate::configuration::{self, Invalid};
use crate::webhook_client::WebhookUsers;

/// Settings of what is built in; the default is that of a server without any.
#[derive(Debug, Clone, Default)]
pub struct AdmissionSettings {
    disabled: BTreeSet<String>,
    enabled: BTreeSet<String>,
    pub(super) pod_security: PodSecurity,
    pub(super) limited_resources: Vec<LimitedResource>,
    pub(super) event_limits: EventLimits,
    /// As whom webhooks are asked, those that change and those that only decide.
    pub(super) mutating_users: WebhookUsers,
    pub(super) validating_users: WebhookUsers,
}

/// Reads the users of a kubeconfig; the error says why they cannot be told.
pub type WebhookUsersReader<'a> = &'a dyn Fn(&FilePath) -> Result<WebhookUsers, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plugin {
    #[serde(default)]
    name: String,
    #[serde(default)]
    path: String,
    configuration: Option<Value>,
}

/// Webhooks are asked with the credentials that this names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Webhooks {
    #[serde(default)]
    kube_config_file: String,
}

impl AdmissionSettings {
    /// Whether what decides is what decides by default: who knows that much beforehand may ask less.
    pub(crate) fn are_usual(&self) -> bool {
        self.disabled.is_empty() && self.enabled.is_empty() && self.limited_resources.is_empty()
    }

    /// Reads what the flags name; of a file, its place and its text. `users` reads kubeconfigs that the file names.
    ///
    /// # Errors
    /// A name is not known, or a file says something that cannot be.
    pub fn read(
        enable: &[String],
        disable: &[String],
        file: Option<(&FilePath, &str)>,
        users: WebhookUsersReader<'_>,
    ) -> Result<Self, Invalid> {
        let mut wrong = Vec::new();
        let is_known = |name: &str| controllers::named(name).is_some();
        for (flag, names) in [("enable", enable), ("disable", disable)] {
            let unknown = names.iter().filter(|name| !is_known(name) && !ELSEWHERE.contains(&name.as_str()));
            wrong.extend(unknown.map(|name| format!("{flag}-admission-plugins plugin {name:?} is unknown")));
        }
        let missing = enable.iter().filter(|name| ELSEWHERE.contains(&name.as_str()));
        wrong
            .extend(missing.map(|name| format!("enable-admission-plugins plugin {name:?} is not part of this server")));
        let both: BTreeSet<&str> = enable.iter().filter(|name| disable.contains(name)).map(String::as_str).collect();
        if !both.is_empty() {
            let both: Vec<&str> = both.into_iter().collect();
            let both = both.join(" ");
            wrong.push(format!("[{both}] in enable-admission-plugins and disable-admission-plugins overlapped"));
        }
        configuration::aggregate(wrong)?;
        let is_off = |name: &str| controllers::named(name).is_some_and(|found| found.usual == Usual::Off);
        let mut settings = Self {
            disabled: disable.iter().cloned().collect(),
            enabled: enable.iter().filter(|name| is_off(name)).cloned().collect(),
            ..Self::default()
        };
        if let Some((path, text)) = file {
            settings.read_file(path, text, users)?;
        }
        if settings.runs(&EVENT_RATE_LIMIT) && settings.event_limits.is_empty() {
            return Err(Invalid("EventRateLimit: limits: Invalid value: null: must not be empty".into()));
        }
        Ok(settings)
    }

    /// Whether something built in decides.
    pub(super) fn runs(&self, controller: &Controller) -> bool {
        match controller.usual {
            Usual::On => !self.disabled.contains(controller.name),
            Usual::Off => self.enabled.contains(controller.name),
        }
    }

    fn read_file(&mut self, path: &FilePath, text: &str, users: WebhookUsersReader<'_>) -> Result<(), Invalid> {
        let versions = ["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"];
        let kinds = versions.map(|version| (version, "AdmissionConfiguration"));
        let file: File = configuration::read(text, &kinds)?;
        for Plugin { name, path: own_file, configuration } in file.plugins {
            let of_plugin = |why: String| Invalid(format!("{name}: {why}"));
            let text = match configuration {
                Some(found) if !found.is_null() => found.to_string(),
                _ if own_file.is_empty() => continue,
                _ => {
                    let own_file = path.parent().unwrap_or(FilePath::new(".")).join(own_file);
                    std::fs::read_to_string(&own_file)
                        .map_err(|error| of_plugin(format!("read {}: {error}", own_file.display())))?
                }
            };
            self.configure(&name, &text, users).map_err(|Invalid(why)| of_plugin(why))?;
        }
        Ok(())
    }

    fn configure(&mut self, name: &str, text: &str, users: WebhookUsersReader<'_>) -> Result<(), Invalid> {
        match controllers::named(name) {
            Some(&POD_SECURITY) => {
                let versions = [
                    "pod-security.admission.config.k8s.io/v1",
                    "pod-security.admission.config.k8s.io/v1beta1",
                    "pod-security.admission.config.k8s.io/v1alpha1",
                ];
                let kinds = versions.map(|version| (version, "PodSecurityConfiguration"));
                self.pod_security = PodSecurity::checked(configuration::read(text, &kinds)?)?;
            }
            Some(&RESOURCE_QUOTA) => {
                let kinds = [
                    ("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"),
                    ("resourcequota.admission.k8s.io/v1beta1", "Configuration"),
                    ("resourcequota.admission.k8s.io/v1alpha1", "Configuration"),
                ];
                self.limited_resources = LimitedResource::checked(configuration::read(text, &kinds)?)?;
            }
            Some(&EVENT_RATE_LIMIT) => {
                let kinds = [("eventratelimit.admission.k8s.io/v1alpha1", "Configuration")];
                self.event_limits = EventLimits::checked(configuration::read(text, &kinds)?)?;
            }
            Some(&MUTATING_WEBHOOK) => self.mutating_users = webhook_users(text, users)?,
            Some(&VALIDATING_WEBHOOK) => self.validating_users = webhook_users(text, users)?,
            Some(_) => return Err(Invalid("it takes no configuration".into())),
            None => return Err(Invalid("it is not part of this server".into())),
        }
        Ok(())
    }
}

/// As whom webhooks are asked, by the configuration of one of the two plugins that ask them.
fn webhook_users(text: &str, users: WebhookUsersReader<'_>) -> Result<WebhookUsers, Invalid> {
    let kinds = [("apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration")];
    let Webhooks { kube_config_file } = configuration::read(text, &kinds)?;
    let path = FilePath::new(&kube_config_file);
    let invalid = |why: &str| Invalid(format!("kubeConfigFile: Invalid value: {kube_config_file:?}: {why}"));
    match kube_config_file.as_str() {
        "" => Ok(WebhookUsers::default()),
        _ if path.is_relative() => Err(invalid("must be an absolute file path")),
        _ => users(path).map_err(|why| invalid(&why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(plugin: &str, configuration: &str) -> Result<AdmissionSettings, Invalid> {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: {plugin}\n  \
             configuration: {configuration}"
        );
        let users = |path: &FilePath| match path.to_str() {
            Some("/good") => Ok(WebhookUsers::default()),
            _ => Err("it is not there".to_owned()),
        };
        AdmissionSettings::read(&[], &[], Some((FilePath::new("/etc/admission.yaml"), &text)), &users)
    }

    const NOBODY: fn(&FilePath) -> Result<WebhookUsers, String> = |_| Ok(WebhookUsers::default());

    #[test]
    fn what_decides_is_what_is_on_or_enabled_and_not_disabled() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let settings = AdmissionSettings::read(
            &names(&["AlwaysPullImages", "LimitRanger"]),
            &names(&["PodSecurity", "PodNodeSelector"]),
            None,
            &NOBODY,
        );
        let settings = settings.expect("reads");
        for (name, expected) in
            [("AlwaysPullImages", true), ("LimitRanger", true), ("PodSecurity", false), ("AlwaysDeny", false)]
        {
            let controller = controllers::named(name).expect("it is there");
            assert_eq!(settings.runs(controller), expected, "{name}");
        }
        for (enable, disable, expected) in [
            (&["Nothing"][..], &[][..], "enable-admission-plugins plugin \"Nothing\" is unknown"),
            (&[], &["Nothing"], "disable-admission-plugins plugin \"Nothing\" is unknown"),
            (
                &["PodNodeSelector"],
                &[],
                "enable-admission-plugins plugin \"PodNodeSelector\" is not part of this server",
            ),
            (
                &["PodSecurity"],
                &["PodSecurity"],
                "[PodSecurity] in enable-admission-plugins and disable-admission-plugins overlapped",
            ),
            (&["EventRateLimit"], &[], "must not be empty"),
        ] {
            let refused = AdmissionSettings::read(&names(enable), &names(disable), None, &NOBODY).expect_err(expected);
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }

    #[test]
    fn files_are_checked() {
        let security = "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration";
        let events = "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration";
        let quota = "{apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration";
        let hooks = "{apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration";
        file("MutatingAdmissionWebhook", &format!("{hooks}, kubeConfigFile: /good}}")).expect("reads");
        file("PodSecurity", &format!("{security}, defaults: {{enforce: baseline}}, exemptions: {{usernames: [a]}}}}"))
            .expect("reads");
        for (plugin, configuration, expected) in [
            (
                "PodSecurity",
                format!("{security}, defaults: {{enforce: all}}}}"),
                "PodSecurity: defaults.enforce: Invalid value: \"all\": must be one of",
            ),
            (
                "PodSecurity",
                format!("{security}, defaults: {{warn-version: '1'}}}}"),
                "defaults.warn-version: Invalid value: \"1\": must be \"latest\"",
            ),
            (
                "PodSecurity",
                format!("{security}, exemptions: {{namespaces: [A]}}}}"),
                "exemptions.namespaces[0]: Invalid value: \"A\"",
            ),
            (
                "PodSecurity",
                format!("{security}, exemptions: {{runtimeClasses: [a, a]}}}}"),
                "exemptions.runtimeClasses[1]: Duplicate value: \"a\"",
            ),
            (
                "PodSecurity",
                format!("{security}, exemptions: {{usernames: ['']}}}}"),
                "exemptions.usernames[0]: Invalid value: \"\": username must not be empty",
            ),
            (
                "EventRateLimit",
                format!("{events}, limits: []}}"),
                "EventRateLimit: limits: Invalid value: null: must not be empty",
            ),
            (
                "EventRateLimit",
                format!("{events}, limits: [{{type: All, qps: 1, burst: 0}}]}}"),
                "limits[0].type: Unsupported value: \"All\"",
            ),
            (
                "EventRateLimit",
                format!("{events}, limits: [{{type: All, qps: 1, burst: 0}}]}}"),
                "limits[0].burst: Invalid value: 0: must be positive",
            ),
            (
                "ResourceQuota",
                format!("{quota}, limitedResources: [{{apiGroup: a}}]}}"),
                "limitedResources[0].resource: Required value",
            ),
            (
                "ResourceQuota",
                quota.replace("ResourceQuotaConfiguration", "Configuration") + "}",
                "no kind \"Configuration\" is registered for version \"apiserver.config.k8s.io/v1\"",
            ),
            (
                "MutatingAdmissionWebhook",
                "{apiVersion: apiserver.config.k8s.io/v1alpha1, kind: WebhookAdmission}".to_owned(),
                "no kind \"WebhookAdmission\" is registered for version \"apiserver.config.k8s.io/v1alpha1\"",
            ),
            (
                "ValidatingAdmissionWebhook",
                hooks.replace("WebhookAdmissionConfiguration", "WebhookAdmission")
                    + ", kubeConfigFile: /WebhookAdmissionConfiguration}",
                "no kind \"WebhookAdmission\" is registered for version \"apiserver.config.k8s.io/v1\"",
            ),
            ("LimitRanger", quota.to_owned() + "}", "LimitRanger: it takes no configuration"),
            ("ImagePolicyWebhook", quota.to_owned() + "}", "ImagePolicyWebhook: it is not part of this server"),
            (
                "ValidatingAdmissionWebhook",
                format!("{hooks}, kubeConfigFile: /k}}"),
                "ValidatingAdmissionWebhook: kubeConfigFile: Invalid value: \"/k\": it is not there",
            ),
            (
                "MutatingAdmissionWebhook",
                format!("{hooks}, kubeConfigFile: k}}"),
                "kubeConfigFile: Invalid value: \"k\": must be an absolute file path",
            ),
        ] {
            let refused = file(plugin, &configuration).expect_err(expected).to_string();
            assert!(refused.contains(expected), "{configuration}: {refused}");
        }
    }
}
