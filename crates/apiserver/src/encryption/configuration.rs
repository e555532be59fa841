//! The file of `--encryption-provider-config`: `EncryptionConfiguration` of `apiserver.config.k8s.io`.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::cipher::Key;
use super::reload::Source;
use super::rule::{Provider, Resources, Rule};
use crate::configuration::{self, Invalid};

/// Which objects are encrypted at rest, and how.
#[derive(Debug, Clone)]
pub struct Encryption {
    pub(super) rules: Vec<Rule>,
    /// The file that goes with a backup.
    pub(crate) backed_up: Option<PathBuf>,
    /// The file that is followed.
    pub(super) source: Option<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    resources: Vec<ResourcesFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourcesFile {
    resources: Vec<String>,
    providers: Vec<ProviderFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<serde_json::Map<String, serde_json::Value>>,
    kms: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: Vec<NamedKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    name: String,
    secret: String,
}

impl Encryption {
    /// Reads the text of a file, YAML or JSON.
    ///
    /// # Errors
    /// It is not such a file, a key does not fit its provider, or it asks for a key service (KMS).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let kinds = [("apiserver.config.k8s.io/v1", "EncryptionConfiguration")];
        let file: File = configuration::read(text, &kinds)?;
        if file.resources.is_empty() {
            return Err(Invalid("resources: Required value: at least one resource configuration is required".into()));
        }
        let rules = file
            .resources
            .into_iter()
            .enumerate()
            .map(|(index, entry)| rule(entry).map_err(|why| Invalid(format!("resources[{index}].{why}"))));
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, backed_up: None, source: None })
    }

    /// The same, but what was encrypted by other settings stays readable.
    #[must_use]
    pub fn reading(mut self, before: Self) -> Self {
        for rule in &mut self.rules {
            rule.providers.extend(before.rules.iter().flat_map(|rule| rule.providers.iter().cloned()));
        }
        self.rules.extend(before.rules);
        self
    }

    /// Names the file with the keys, so that it is saved with a backup: without it the backup's Secrets are lost.
    #[must_use]
    pub fn backed_up(self, file: PathBuf) -> Self {
        Self { backed_up: Some(file), ..self }
    }
}

fn rule(entry: ResourcesFile) -> Result<Rule, String> {
    if entry.resources.is_empty() {
        return Err("resources: Required value: at least one resource is required".into());
    }
    if entry.providers.is_empty() {
        return Err("providers: Required value: at least one provider is required".into());
    }
    let resources = entry.resources.iter().map(|name| Resources::parse(name)).collect::<Result<_, _>>()?;
    let mut providers = Vec::new();
    for (index, provider) in entry.providers.into_iter().enumerate() {
        let at = |why: String| format!("providers[{index}].{why}");
        let ProviderFile { aesgcm, aescbc, secretbox, identity, kms } = provider;
        if kms.is_some() {
            return Err(at("kms: key services are not supported; use secretbox, aesgcm or aescbc".into()));
        }
        let mut found = Vec::new();
        for (name, keys, make) in [
            ("aesgcm", aesgcm, Key::aes_gcm as fn(&[u8]) -> Option<Key>),
            ("aescbc", aescbc, Key::aes_cbc),
            ("secretbox", secretbox, Key::secretbox),
        ] {
            let Some(Keys { keys }) = keys else { continue };
            if keys.is_empty() {
                return Err(at(format!("{name}.keys: Required value: at least one key is required")));
            }
            for (number, key) in keys.into_iter().enumerate() {
                if key.name.is_empty() || key.name.contains(':') {
                    return Err(at(format!(
                        "{name}.keys[{number}].name: Invalid value: it must be there, without a colon"
                    )));
                }
                let bytes = STANDARD.decode(&key.secret).ok();
                // The key itself is never said.
                let made = bytes.as_deref().and_then(make).ok_or_else(|| {
                    at(format!("{name}.keys[{number}].secret: Invalid value: secret is not of the expected length, base64 encoded"))
                })?;
                found.push(Provider::keyed(name, &key.name, made));
            }
        }
        if identity.is_some() {
            found.push(Provider::identity());
        }
        let kinds = found.iter().map(Provider::kind).collect::<std::collections::BTreeSet<_>>();
        if kinds.len() != 1 {
            return Err(format!("providers[{index}]: Invalid value: exactly one provider must be given"));
        }
        providers.extend(found);
    }
    Ok(Rule::new(resources, providers))
}
