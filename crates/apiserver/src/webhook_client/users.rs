//! As whom webhooks are asked: the users of a kubeconfig, whose names say for which hosts they are.
//!
//! Source: `k8s.io/apiserver/pkg/util/webhook/authentication.go`.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use portolan_identity::KeyPairPem;
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What is shown to a webhook.
#[derive(Clone, Default)]
pub struct WebhookUser {
    /// A client certificate.
    pub certificate: Option<KeyPairPem>,
    /// A bearer token.
    pub token: Option<String>,
    /// A name and a password.
    pub password: Option<(String, String)>,
}

/// All users of a file.
#[derive(Clone, Default)]
pub struct WebhookUsers {
    by_name: HashMap<String, Arc<Shown>>,
    /// That of the current context.
    current: Option<Arc<Shown>>,
}

impl std::fmt::Debug for WebhookUsers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WebhookUsers").field("names", &self.by_name.keys()).finish_non_exhaustive()
    }
}

/// The same, ready to be shown.
pub(crate) struct Shown {
    certificate: Option<Arc<dyn ResolvesClientCert>>,
    pub(super) authorization: Option<HeaderValue>,
}

impl WebhookUsers {
    /// Users by their names; `current` is that of the current context.
    ///
    /// # Errors
    /// What one of them shows cannot be used.
    pub fn new(users: impl IntoIterator<Item = (String, WebhookUser)>, current: Option<&str>) -> Result<Self, String> {
        let mut by_name = HashMap::new();
        for (name, user) in users {
            let shown = Shown::new(&user).map_err(|why| format!("user {name:?}: {why}"))?;
            by_name.insert(name, Arc::new(shown));
        }
        let current = current.and_then(|name| by_name.get(name)).cloned();
        Ok(Self { by_name, current })
    }

    /// The user for `target`, given as `host:port`: the name itself, then `*.` with ever fewer of its parts, then both
    /// without the port if that is the usual one, then `*`, then that of the current context.
    pub(crate) fn of(&self, target: &str) -> Option<&Shown> {
        let wider = |target: &str| {
            let dots: Vec<usize> = target.match_indices('.').map(|(at, _)| at).collect();
            dots.into_iter().find_map(|at| self.by_name.get(&format!("*{}", &target[at..])))
        };
        let named = |target: &str| self.by_name.get(target).or_else(|| wider(target));
        let without_port = || {
            let host = target.strip_suffix(":443")?;
            named(host.trim_start_matches('[').trim_end_matches(']'))
        };
        let found = named(target).or_else(without_port);
        found.or_else(|| self.by_name.get("*")).or(self.current.as_ref()).map(|shown| &**shown)
    }
}

impl Shown {
    fn new(user: &WebhookUser) -> Result<Self, String> {
        let certificate = user.certificate.as_ref().map(certified).transpose()?;
        let text = match (&user.token, &user.password) {
            (Some(_), Some(_)) => {
                return Err("username/password or bearer token may be set, but not both".to_owned());
            }
            (Some(token), None) => Some(format!("Bearer {token}")),
            (None, Some((name, password))) => Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))),
            (None, None) => None,
        };
        let header = text.map(|text| {
            let mut value = HeaderValue::try_from(text).map_err(|_| "its token cannot be sent".to_owned())?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        });
        Ok(Self { certificate, authorization: header.transpose()? })
    }

    /// The same settings of a connection, with the certificate to show.
    pub(super) fn on(&self, tls: Arc<ClientConfig>) -> Arc<ClientConfig> {
        let Some(certificate) = &self.certificate else { return tls };
        let mut config = Arc::unwrap_or_clone(tls);
        config.client_auth_cert_resolver = certificate.clone();
        Arc::new(config)
    }
}

fn certified(pair: &KeyPairPem) -> Result<Arc<dyn ResolvesClientCert>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| format!("client-certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).map_err(|error| format!("client-key: {error}"))?;
    let key = CertifiedKey::from_der(certificates, key, &rustls::crypto::aws_lc_rs::default_provider());
    Ok(Arc::new(SingleCertAndKey::from(key.map_err(|error| error.to_string())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_name_counts() {
        let names = ["a.b.svc:443", "a.b.svc", "*.b.svc:8443", "*.b.svc", "*.svc", "1.2.3.4", "::1", "*", "last"];
        let user = |name: &str| WebhookUser { token: Some(name.to_owned()), ..WebhookUser::default() };
        let all = WebhookUsers::new(names.map(|name| (name.to_owned(), user(name))), Some("last")).expect("fits");
        let some = WebhookUsers::new([("last".to_owned(), user("last"))], Some("last")).expect("fits");
        let none = WebhookUsers::new([("x".to_owned(), user("x"))], None).expect("fits");
        for (users, target, expected) in [
            (&all, "a.b.svc:443", "a.b.svc:443"),
            (&all, "a.b.svc:8443", "*.b.svc:8443"),
            (&all, "c.b.svc:443", "*.b.svc"),
            (&all, "c.b.svc:9443", "*"),
            (&all, "a.c.svc:443", "*.svc"),
            (&all, "1.2.3.4:443", "1.2.3.4"),
            (&all, "[::1]:443", "::1"),
            (&all, "localhost:443", "*"),
            (&some, "a.b.svc:443", "last"),
            (&none, "a.b.svc:443", ""),
        ] {
            let shown = users.of(target).and_then(|shown| shown.authorization.as_ref()?.to_str().ok());
            let expected = if expected.is_empty() { None } else { Some(format!("Bearer {expected}")) };
            assert_eq!(shown.map(str::to_owned), expected, "{target}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let password = Some(("ann".to_owned(), "secret".to_owned()));
        let basic = WebhookUser { password: password.clone(), ..WebhookUser::default() };
        let shown = Shown::new(&basic).ok().and_then(|shown| shown.authorization).expect("a header");
        assert_eq!(shown, "Basic YW5uOnNlY3JldA==");
        let pair = |text: &str| KeyPairPem { certificate_pem: text.to_owned(), key_pem: text.to_owned() };
        for (user, expected) in [
            (WebhookUser { token: Some("t".into()), password, ..WebhookUser::default() }, "not both"),
            (WebhookUser { token: Some("a\nb".into()), ..WebhookUser::default() }, "cannot be sent"),
            (WebhookUser { certificate: Some(pair("")), ..WebhookUser::default() }, "client-key"),
        ] {
            let why = WebhookUsers::new([("u".to_owned(), user)], None).expect_err(expected);
            assert!(why.starts_with("user \"u\": ") && why.contains(expected), "{why}");
        }
    }
}
