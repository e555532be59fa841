//! Which provider encrypts and decrypts which objects.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::cipher::{Failed, Key};

/// What marks a value as encrypted.
const MARK: &[u8] = b"k8s:enc:";

/// Objects and their providers: the first encrypts, all decrypt.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    resources: Vec<Resources>,
    pub(super) providers: Vec<Provider>,
    /// The values that it does not decrypt, as far as that was told.
    told: Arc<Mutex<BTreeSet<Vec<u8>>>>,
}

/// Values of a rule that are told as not to be decrypted, at most.
const MOST_TOLD: usize = 1000;

/// Names resources: `secrets`, `deployments.apps`, `*.apps`, `*.` for the core group, `*.*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resources {
    group: Option<String>,
    resource: Option<String>,
}

impl Resources {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        if resource.is_empty() || resource.contains('/') || group == "*" && resource != "*" || text == "*" {
            return Err(format!(
                "resources: Invalid value: \"{text}\": it names no resource such as secrets or deployments.apps"
            ));
        }
        let named = |text: &str| (text != "*").then(|| text.to_owned());
        Ok(Self { group: named(group), resource: named(resource) })
    }

    /// Whether the key of an object is one of these.
    fn holds(&self, key: &[u8]) -> bool {
        let Some(path) = key.strip_prefix(b"/registry/") else { return false };
        let mut parts = path.split(|byte| *byte == b'/');
        let (Some(group), Some(resource)) = (parts.next(), parts.next()) else { return false };
        let group: &[u8] = if group == b"core" { b"" } else { group };
        self.group.as_ref().is_none_or(|own| own.as_bytes() == group)
            && self.resource.as_ref().is_none_or(|own| own.as_bytes() == resource)
    }
}

impl Rule {
    pub(super) fn new(resources: Vec<Resources>, providers: Vec<Provider>) -> Self {
        Self { resources, providers, told: Arc::default() }
    }

    /// Says once which value it does not decrypt.
    pub(super) fn tell(&self, key: &[u8], why: Failed) {
        let mut told = self.told.lock();
        if told.len() >= MOST_TOLD || !told.insert(key.to_vec()) {
            return;
        }
        tracing::error!(
            key = %String::from_utf8_lossy(key), error = %why,
            "a stored object cannot be decrypted: the key that it was written with is missing in the encryption \
             configuration, or the object is damaged"
        );
        if told.len() == MOST_TOLD {
            tracing::error!("further objects that cannot be decrypted are not told");
        }
    }

    pub(super) fn holds(&self, key: &[u8]) -> bool {
        self.resources.iter().any(|resources| resources.holds(key))
    }

    /// A value as it is stored.
    pub(super) fn encrypt(&self, key: &[u8], value: Bytes) -> Result<Bytes, Failed> {
        match self.providers.first() {
            Some(Provider { prefix, key: Some(cipher), .. }) => {
                let mut sealed = Vec::with_capacity(prefix.len() + value.len() + 64);
                sealed.extend_from_slice(prefix);
                cipher.encrypt(&value, key, &mut sealed)?;
                Ok(sealed.into())
            }
            _ => Ok(value),
        }
    }

    /// A stored value as it was.
    pub(super) fn decrypt(&self, key: &[u8], stored: &Bytes) -> Result<Bytes, Failed> {
        let mut failed = None;
        for provider in self.providers.iter().filter(|provider| provider.wrote(stored)) {
            let Some(cipher) = &provider.key else { return Ok(stored.clone()) };
            // Two keys may have one name.
            match cipher.decrypt(&stored[provider.prefix.len()..], key) {
                Ok(value) => return Ok(value.into()),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| self.unknown(stored)))
    }

    /// Why no provider has the key of this value.
    fn unknown(&self, stored: &[u8]) -> Failed {
        let same_way = self.providers.iter().find(|provider| provider.is_way_of(stored));
        Failed(match same_way.map(|provider| provider.kind) {
            None => "no matching prefix found",
            Some("secretbox") => "no matching key was found for the provided Secretbox transformer",
            Some(_) => "no matching key was found for the provided AES transformer",
        })
    }

    /// Whether a stored value is as the first provider would write it.
    pub(super) fn is_current(&self, key: &[u8], stored: &[u8]) -> bool {
        self.providers.first().is_some_and(|first| {
            let reads = |cipher: &Key| cipher.decrypt(&stored[first.prefix.len()..], key).is_ok();
            first.wrote(stored) && first.key.as_ref().is_none_or(reads)
        })
    }
}

/// One key of one way to encrypt, or none at all.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    kind: &'static str,
    prefix: Vec<u8>,
    key: Option<Key>,
}

impl Provider {
    pub(super) fn keyed(kind: &'static str, name: &str, key: Key) -> Self {
        Self { kind, prefix: format!("k8s:enc:{kind}:v1:{name}:").into_bytes(), key: Some(key) }
    }

    /// Stores values as they are.
    pub(super) fn identity() -> Self {
        Self { kind: "identity", prefix: Vec::new(), key: None }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether this value was encrypted in this provider's way, by whatever key.
    fn is_way_of(&self, stored: &[u8]) -> bool {
        let rest = stored.strip_prefix(MARK).and_then(|rest| rest.strip_prefix(self.kind.as_bytes()));
        self.key.is_some() && rest.is_some_and(|rest| rest.starts_with(b":v1:"))
    }

    fn wrote(&self, stored: &[u8]) -> bool {
        match self.key {
            Some(_) => stored.starts_with(&self.prefix),
            None => !stored.starts_with(MARK),
        }
    }
}
