//! Users whom a trusted proxy names in headers, having proved itself by a certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use portolan_base::Timestamp;
use portolan_identity::{Error, User, client_verifier};
use rustls::server::danger::ClientCertVerifier;

use super::certificates::{Shown, verify};
use super::{header_text, percent_decoded};

/// Which proxies are believed, and the headers they use (`--requestheader-*`).
#[derive(Debug, Clone, Default)]
pub struct FrontProxy {
    /// Authorities of the proxies' certificates, PEM.
    pub authority_pem: String,
    /// Common names that a proxy's certificate may have; empty for any.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name, the first that is there counts.
    pub username_headers: Vec<String>,
    /// Headers with the user's id.
    pub uid_headers: Vec<String>,
    /// Headers with the user's groups.
    pub group_headers: Vec<String>,
    /// Beginnings of headers with further facts about the user.
    pub extra_header_prefixes: Vec<String>,
}

/// Recognizes proxies and reads what they say.
#[derive(Debug)]
pub(super) struct Recognizer {
    settings: FrontProxy,
    proxies: Arc<dyn ClientCertVerifier>,
}

impl Recognizer {
    pub(super) fn new(settings: FrontProxy) -> Result<Self, Error> {
        Ok(Self { proxies: client_verifier(&settings.authority_pem)?, settings })
    }

    /// Whether a certificate is a proxy's; the error says why not.
    pub(super) fn recognize(&self, shown: &Shown, now: Timestamp) -> Result<(), String> {
        verify(&*self.proxies, shown, now)?;
        let names = &self.settings.allowed_names;
        let name = shown.name().unwrap_or_default();
        if names.is_empty() || names.iter().any(|allowed| allowed == name) {
            Ok(())
        } else {
            Err(format!("x509: subject with cn={name} is not in the allowed list"))
        }
    }

    /// The user that the headers name, if they do.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User> {
        let values = |names: &[String]| -> Vec<String> {
            let all = names.iter().flat_map(|name| headers.get_all(name.as_str()));
            all.map(header_text).collect()
        };
        let name = values(&self.settings.username_headers).into_iter().find(|name| !name.is_empty())?;
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for (header, value) in headers {
            let Some(key) = self.extra_key(header) else { continue };
            extra.entry(key).or_default().push(header_text(value));
        }
        let groups = values(&self.settings.group_headers);
        let mut user = User::new(name, groups.iter().map(String::as_str));
        user.uid = values(&self.settings.uid_headers).into_iter().next().unwrap_or_default();
        user.extra = extra;
        Some(user)
    }

    fn extra_key(&self, header: &HeaderName) -> Option<String> {
        let prefixes = self.settings.extra_header_prefixes.iter();
        let mut keys = prefixes.filter_map(|prefix| header.as_str().strip_prefix(&*prefix.to_ascii_lowercase()));
        keys.next().map(percent_decoded)
    }
}
