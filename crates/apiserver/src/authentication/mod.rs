//! Who asks.
//!
//! A request proves itself by the connection's certificate, by the headers of a trusted proxy or by
//! a bearer token; without any of them it is anonymous. Kinds of tokens are tried one after the
//! other, and the first that knows the token decides.

mod bootstrap_token;
mod configuration;
mod expressions;
mod front_proxy;
mod impersonation;
mod oidc;
mod service_account;
mod token_file;
mod webhook;

use std::sync::Arc;

use http::{HeaderMap, header};
use portolan_base::Timestamp;
use portolan_identity::{User, claimed_issuer};

pub use configuration::AuthenticationConfiguration;
pub use expressions::Expressions;
pub use front_proxy::FrontProxy;
pub use oidc::{ClaimMapping, JwtIssuer};
pub use token_file::StaticTokens;
pub use webhook::TokenWebhook;

pub(crate) use front_proxy::Recognizer;

use crate::config::Error;
use crate::request::percent_decode;
use crate::server::{Certified, Peer, Server};
use crate::status::Status;

/// How users prove themselves, beyond certificates and tokens of the cluster itself.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    /// What is done without credentials.
    pub anonymous: Anonymous,
    /// Whether Secrets of the type `bootstrap.kubernetes.io/token` are tokens.
    pub bootstrap_tokens: bool,
    /// For whom tokens of service accounts are meant that are shown to this server; the issuer's
    /// name if there are none.
    pub api_audiences: Vec<String>,
    /// Tokens from a file.
    pub static_tokens: StaticTokens,
    /// Issuers whose tokens are believed.
    pub issuers: Vec<JwtIssuer>,
    /// Another service that knows tokens.
    pub webhook: Option<TokenWebhook>,
    /// Proxies that say who asks.
    pub front_proxy: Option<FrontProxy>,
    /// Further authorities of clients' certificates, PEM.
    pub client_ca_pem: String,
}

/// What is done without credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// The user is `system:anonymous`.
    #[default]
    Allowed,
    /// The same, at these paths only.
    AllowedAt(Vec<String>),
    /// The request is refused.
    Refused,
}

/// What is behind the settings: clients of other services, and what they answered.
#[derive(Debug)]
pub(crate) struct Authenticator {
    settings: Authentication,
    issuers: Vec<oidc::Verifier>,
    webhook: Option<webhook::TokenReviewer>,
    pub(crate) proxies: Option<Recognizer>,
}

/// A user who has proved to be one, and the audiences for which the proof holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) user: User,
    pub(crate) audiences: Vec<String>,
}

/// Who asks, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    /// Who has proved to ask.
    pub(crate) real: Arc<User>,
    /// As whom, if that is somebody else.
    pub(crate) impersonated: Option<Arc<User>>,
}

impl Requester {
    /// The user whose rights count.
    pub(crate) fn user(&self) -> &Arc<User> {
        self.impersonated.as_ref().unwrap_or(&self.real)
    }
}

impl Authenticator {
    pub(crate) fn new(settings: Authentication, own_ca_pem: &str) -> Result<Self, Error> {
        let unusable = |source| Error::Outgoing { source };
        let issuers = settings.issuers.iter().cloned().map(oidc::Verifier::new);
        let issuers = issuers.collect::<Result<_, _>>().map_err(unusable)?;
        let webhook = settings.webhook.clone().map(webhook::TokenReviewer::new).transpose().map_err(unusable)?;
        let clients = format!("{own_ca_pem}\n{}", settings.client_ca_pem);
        let proxies = settings.front_proxy.clone().map(|proxy| Recognizer::new(proxy, &clients));
        let proxies = proxies.transpose().map_err(|source| Error::NodeTls { source })?;
        Ok(Self { settings, issuers, webhook, proxies })
    }
}

impl Server {
    /// For whom tokens are meant that are shown to this server.
    pub(crate) fn api_audiences(&self) -> &[String] {
        &self.audiences
    }
}

/// The user of a request: from inside the process, or by token or client certificate.
pub(crate) async fn requester(
    server: &Server,
    path: &str,
    headers: &HeaderMap,
    peer: &Peer,
    now: Timestamp,
) -> Result<Requester, Status> {
    let real = match peer {
        Peer::Trusted(user) => user.clone(),
        Peer::Tls { certificate, is_proxy, .. } => {
            let proxied = server.authenticator.proxies.as_ref().filter(|_| *is_proxy);
            match proxied.and_then(|proxies| proxies.user(headers)) {
                Some(user) => Arc::new(user),
                None => proven(server, path, headers, certificate.as_ref(), now).await?,
            }
        }
    };
    let impersonated = impersonation::asked(server, headers, &real).await?;
    Ok(Requester { real, impersonated })
}

async fn proven(
    server: &Server,
    path: &str,
    headers: &HeaderMap,
    certificate: Option<&Certified>,
    now: Timestamp,
) -> Result<Arc<User>, Status> {
    let refused = match (certificate, bearer(headers)) {
        (Some(Certified(Ok(named))), _) => return Ok(named.clone()),
        (_, Some(token)) => match token_user(server, token, server.api_audiences(), now).await {
            Ok(proven) => return Ok(Arc::new(proven.user)),
            Err(why) => why,
        },
        (Some(Certified(Err(error))), None) => error.to_string(),
        (None, None) => {
            return match &server.authenticator.settings.anonymous {
                Anonymous::Allowed => Ok(Arc::new(User::anonymous())),
                Anonymous::AllowedAt(paths) if paths.iter().any(|allowed| allowed == path) => {
                    Ok(Arc::new(User::anonymous()))
                }
                _ => Err(Status::unauthorized()),
            };
        }
    };
    tracing::debug!(why = refused, "credentials were refused");
    Err(Status::unauthorized())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// The user that a token speaks for.
///
/// `audiences`: those that the caller is.
pub(crate) async fn token_user(
    server: &Server,
    token: &str,
    audiences: &[String],
    now: Timestamp,
) -> Result<Proven, String> {
    let Authenticator { settings, issuers, webhook, .. } = &server.authenticator;
    // Tokens that know nothing of audiences are meant for the API server.
    let for_us = |user: User| {
        let granted = server.api_audiences().iter().filter(|own| audiences.contains(own));
        let audiences: Vec<String> = granted.cloned().collect();
        if audiences.is_empty() {
            Err("the token is meant for the API server".to_owned())
        } else {
            Ok(Proven { user, audiences })
        }
    };
    if let Some(user) = settings.static_tokens.user(token) {
        return for_us(user.clone());
    }
    if let Some((id, secret)) = bootstrap_token::split(token).filter(|_| settings.bootstrap_tokens) {
        return bootstrap_token::user(server, id, secret, now).await.and_then(for_us);
    }
    let mut refused = "invalid bearer token".to_owned();
    if server.config.tokens.may_be_ours(token) {
        match service_account::user(server, token, audiences, now).await {
            Ok(proven) => return Ok(proven),
            Err(why) => refused = format!("[{refused}, {why}]"),
        }
    }
    let issuer = claimed_issuer(token);
    if let Some(verifier) = issuers.iter().find(|verifier| Some(verifier.issuer()) == issuer.as_deref()) {
        match verifier.user(token, now).await {
            Ok(user) => return for_us(user),
            Err(why) => refused = format!("[{refused}, oidc: {why}]"),
        }
    }
    if let Some(webhook) = webhook {
        match webhook.user(token, audiences, now).await {
            Ok(proven) => return Ok(proven),
            Err(why) => refused = format!("[{refused}, {why}]"),
        }
    }
    Err(refused)
}

/// A key as it stands in the name of a header.
fn percent_decoded(text: &str) -> String {
    percent_decode(text, false).to_lowercase()
}
