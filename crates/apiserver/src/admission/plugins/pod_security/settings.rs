//! What is demanded where a namespace says nothing, and who is exempt: the `PodSecurityConfiguration`.

use portolan_api::field::{Error, Path};
use portolan_api::validation::{is_dns1123_label, is_dns1123_subdomain};
use serde::Deserialize;

use super::policy::{Demand, Level, Policy, is_version};
use crate::configuration::{self, Invalid};

/// The settings as a file has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    exemptions: Exemptions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Defaults {
    enforce: Option<String>,
    enforce_version: Option<String>,
    audit: Option<String>,
    audit_version: Option<String>,
    warn: Option<String>,
    warn_version: Option<String>,
}

/// Whose pods are not looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Exemptions {
    #[serde(default)]
    pub(super) usernames: Vec<String>,
    #[serde(default)]
    pub(super) namespaces: Vec<String>,
    #[serde(default)]
    pub(super) runtime_classes: Vec<String>,
}

/// The settings; the default is that nothing is demanded and nobody exempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct PodSecurity {
    pub(super) defaults: Policy,
    pub(super) exemptions: Exemptions,
}

impl PodSecurity {
    /// What a file says, if that can be.
    pub(crate) fn checked(file: File) -> Result<Self, Invalid> {
        let File { defaults, exemptions, .. } = file;
        let mut errors = Vec::new();
        let enforce = demand("enforce", defaults.enforce, defaults.enforce_version, &mut errors);
        let warn = demand("warn", defaults.warn, defaults.warn_version, &mut errors);
        let audit = demand("audit", defaults.audit, defaults.audit_version, &mut errors);
        names("namespaces", &exemptions.namespaces, |name| is_dns1123_label(name).join(", "), &mut errors);
        names("runtimeClasses", &exemptions.runtime_classes, |name| is_dns1123_subdomain(name).join(", "), &mut errors);
        let is_user =
            |name: &str| if name.is_empty() { "username must not be empty".to_owned() } else { String::new() };
        names("usernames", &exemptions.usernames, is_user, &mut errors);
        configuration::all(errors)?;
        Ok(Self { defaults: Policy { enforce, audit, warn }, exemptions })
    }
}

fn demand(mode: &str, level: Option<String>, version: Option<String>, errors: &mut Vec<Error>) -> Demand {
    let at = Path::new("defaults");
    let level = match level.as_deref().filter(|level| !level.is_empty()) {
        None => Level::Privileged,
        Some(text) => Level::parse(text).unwrap_or_else(|| {
            let why = "must be one of privileged, baseline, restricted";
            errors.push(Error::invalid(&at.child(mode), text, why));
            Level::Restricted
        }),
    };
    let version = version.filter(|version| !version.is_empty()).unwrap_or_else(|| "latest".to_owned());
    if !is_version(&version) {
        let why = "must be \"latest\" or \"v1.x\"";
        errors.push(Error::invalid(&at.child(&format!("{mode}-version")), version.as_str(), why));
    }
    Demand { level, version }
}

fn names(list: &str, names: &[String], check: impl Fn(&str) -> String, errors: &mut Vec<Error>) {
    let at = Path::new("exemptions").child(list);
    for (index, name) in names.iter().enumerate() {
        let why = check(name);
        if !why.is_empty() {
            errors.push(Error::invalid(&at.index(index), name.as_str(), why));
        } else if names[..index].contains(name) {
            errors.push(Error::duplicate(&at.index(index), name.as_str()));
        }
    }
}
