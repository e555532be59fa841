//! Who asks.
//!
//! A request proves itself by the connection's certificate, by the headers of a trusted proxy or by
//! a bearer token; without any of them it is anonymous. Kinds of tokens are tried one after the
//! other, and the first that knows the token decides.

mod bootstrap_token;
mod certificates;
mod claims;
mod configuration;
mod expressions;
mod front_proxy;
pub(crate) mod impersonation;
mod oidc;
mod service_account;
mod token_file;
mod webhook;

use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use parking_lot::RwLock;
use portolan_base::Timestamp;
use portolan_identity::{User, claimed_issuer};

pub use certificates::Shown;
pub use configuration::AuthenticationConfiguration;
pub use expressions::Expressions;
pub use front_proxy::FrontProxy;
pub(crate) use impersonation::Impersonated;
pub use oidc::{ClaimMapping, JwtIssuer};
pub(crate) use service_account::day;
pub use token_file::StaticTokens;
pub use webhook::TokenWebhook;

use crate::authorization::Action;
use crate::cache::Cache;
use crate::config::Error;
use crate::configuration::aggregate;
use crate::followed_file::{FollowedFile, SettingsFile};
use crate::outgoing::Unusable;
use crate::request::{Query, percent_decode};
use crate::server::{Peer, Server};
use crate::status::Status;

/// What is said of tokens that no kind of tokens knows.
const UNKNOWN_TOKEN: &str = "invalid bearer token";

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
    /// The file that names the issuers, if one does; it is followed while the server runs.
    pub file: Option<SettingsFile>,
    /// What that file says of requests without credentials, if anything: it has to go on saying so.
    pub anonymous_in_file: Option<Anonymous>,
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
    issuers: RwLock<Arc<[oidc::Verifier]>>,
    /// The file that names the issuers.
    pub(crate) file: Option<FollowedFile>,
    webhook: Option<webhook::TokenReviewer>,
    certificates: certificates::Certificates,
    /// How each user acted as somebody else last.
    last_modes: Cache<String, impersonation::Mode>,
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
    pub(crate) impersonated: Option<Impersonated>,
}

/// Why a request goes no further, and who had proved to ask until then.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: Status,
    pub(crate) real: Option<Arc<User>>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self { status, real: None }
    }
}

impl Requester {
    /// The user whose rights count.
    pub(crate) fn user(&self) -> &Arc<User> {
        self.impersonated.as_ref().map_or(&self.real, |impersonated| &impersonated.user)
    }
}

impl Authenticator {
    pub(crate) fn new(settings: Authentication, own_ca_pem: &str) -> Result<Self, Error> {
        let unusable = |source| Error::Outgoing { source };
        let issuers = RwLock::new(verifiers(&settings.issuers, &[]).map_err(unusable)?);
        let file = settings.file.clone().map(|file| FollowedFile::new(file, "authentication"));
        let webhook = settings.webhook.clone().map(webhook::TokenReviewer::new).transpose().map_err(unusable)?;
        let clients = format!("{own_ca_pem}\n{}", settings.client_ca_pem);
        let certificates = certificates::Certificates::new(&clients, settings.front_proxy.clone());
        let certificates = certificates.map_err(|source| Error::NodeTls { source })?;
        Ok(Self { settings, issuers, file, webhook, certificates, last_modes: Cache::default() })
    }

    /// Takes over the issuers that the file names now, once all of them answer. What cannot be used changes nothing.
    pub(crate) async fn reload(&self, own_issuers: &[String], now: Timestamp) {
        let Some(file) = &self.file else { return };
        let text = match file.changed().await {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return file.refused(now, &error.to_string()),
        };
        let issuers = match self.read(&text, own_issuers) {
            Ok(issuers) => issuers,
            Err(why) => return file.refused(now, &why),
        };
        let checks = futures::future::join_all(issuers.iter().map(oidc::Verifier::check)).await;
        match aggregate(checks.into_iter().filter_map(Result::err).collect()) {
            Ok(()) => {
                *self.issuers.write() = issuers;
                file.taken_over(now);
            }
            // They may answer later.
            Err(why) => file.put_off(now, &why.to_string()),
        }
    }

    fn read(&self, text: &str, own_issuers: &[String]) -> Result<Arc<[oidc::Verifier]>, String> {
        let settings = AuthenticationConfiguration::parse(text, own_issuers).map_err(|error| error.to_string())?;
        if settings.anonymous != self.settings.anonymous_in_file {
            return Err("anonymous: Forbidden: changed from initial configuration file".into());
        }
        let known = self.issuers.read().clone();
        verifiers(&settings.issuers, &known).map_err(|error| error.to_string())
    }
}

/// What checks the tokens of these issuers, after those that are `known`.
fn verifiers(issuers: &[JwtIssuer], known: &[oidc::Verifier]) -> Result<Arc<[oidc::Verifier]>, Unusable> {
    let verifier = |issuer: &JwtIssuer| Ok(oidc::Verifier::new(issuer.clone())?.with_keys_of(known));
    issuers.iter().map(verifier).collect()
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
    action: Action<'_>,
    headers: &HeaderMap,
    peer: &Peer,
    now: Timestamp,
) -> Result<Requester, Refused> {
    let real = match peer {
        Peer::Trusted(user) => user.clone(),
        Peer::Tls { shown, .. } => {
            let begun = Instant::now();
            let proven = proven(server, path, headers, shown.as_deref(), now).await;
            let result = if proven.is_ok() { "success" } else { "failure" };
            server.metrics.attempts.authenticated(result, begun.elapsed());
            proven?
        }
    };
    match impersonation::asked(server, headers, &real, action).await {
        Ok(impersonated) => Ok(Requester { real, impersonated }),
        Err(status) => Err(Refused { status, real: Some(real) }),
    }
}

/// How a client that nobody knows tried to prove who it is, as the audit log says it.
pub(crate) fn attempted(parts: &Parts, query: &Query, peer: &Peer) -> String {
    let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = given.trim().split_once(' ').unwrap_or_default();
    let is_basic = || STANDARD.decode(rest).is_ok_and(|pair| pair.contains(&b':'));
    let ways = [
        ("basic", scheme.eq_ignore_ascii_case("basic") && is_basic()),
        ("bearer", scheme.eq_ignore_ascii_case("bearer")),
        ("access_token", !query.get("access_token").trim().is_empty()),
        ("x509", matches!(peer, Peer::Tls { shown: Some(_), .. })),
    ];
    let ways: Vec<&str> = ways.into_iter().filter_map(|(way, is_tried)| is_tried.then_some(way)).collect();
    if ways.is_empty() {
        return "Authentication failed, no credentials provided".into();
    }
    format!("Authentication failed, attempted: {}", ways.join(", "))
}

async fn proven(
    server: &Server,
    path: &str,
    headers: &HeaderMap,
    shown: Option<&Shown>,
    now: Timestamp,
) -> Result<Arc<User>, Status> {
    if let Some(end) = shown.and_then(Shown::end) {
        server.metrics.certificates.used(end - now.as_second());
    }
    let mut refused = Vec::new();
    match shown.map(|shown| server.authenticator.certificates.user(shown, headers, now)) {
        Some(Ok(Some(user))) => return Ok(user),
        Some(Err(why)) => refused.push(why),
        // A certificate without a name is none.
        Some(Ok(None)) | None => {}
    }
    if let Some(token) = bearer(headers) {
        match Box::pin(token_user(server, token, server.api_audiences(), now)).await {
            Ok(proven) => return Ok(Arc::new(proven.user)),
            Err(why) => refused.push(why),
        }
    }
    if !refused.is_empty() {
        tracing::debug!(why = refused.join(", "), "credentials were refused");
        return Err(Status::unauthorized());
    }
    match &server.authenticator.settings.anonymous {
        Anonymous::Allowed => Ok(Arc::new(User::anonymous())),
        Anonymous::AllowedAt(paths) if paths.iter().any(|allowed| allowed == path) => Ok(Arc::new(User::anonymous())),
        _ => Err(Status::unauthorized()),
    }
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
    let Authenticator { settings, webhook, .. } = &server.authenticator;
    // Tokens that know nothing of audiences are meant for the API server, and nobody's for others.
    let for_us = |user: User| {
        let granted = server.api_audiences().iter().filter(|own| audiences.contains(own));
        let audiences: Vec<String> = granted.cloned().collect();
        (!audiences.is_empty()).then_some(Proven { user, audiences })
    };
    let mut refused = vec![UNKNOWN_TOKEN.to_owned()];
    if let Some(proven) = settings.static_tokens.user(token).cloned().and_then(for_us) {
        return Ok(proven);
    }
    if server.config.tokens.may_be_ours(token) {
        match service_account::user(server, token, audiences, now).await {
            Ok(proven) => return Ok(proven),
            Err(why) => refused.push(why),
        }
    }
    if let Some((id, secret)) = bootstrap_token::split(token).filter(|_| settings.bootstrap_tokens) {
        match bootstrap_token::user(server, id, secret, now).await.map(for_us) {
            Ok(Some(proven)) => return Ok(proven),
            Ok(None) => {}
            // Who guesses learns nothing.
            Err(why) => tracing::debug!(token = id, why, "a bootstrap token was refused"),
        }
    }
    let issuer = claimed_issuer(token);
    let issuers = server.authenticator.issuers.read().clone();
    if let Some(verifier) = issuers.iter().find(|verifier| Some(verifier.issuer()) == issuer.as_deref()) {
        match verifier.user(token, now).await.map(for_us) {
            Ok(Some(proven)) => return Ok(proven),
            Ok(None) => {}
            Err(why) => refused.push(why),
        }
    }
    if let Some(webhook) = webhook {
        match webhook.user(token, audiences, now).await {
            Ok(proven) => return Ok(proven),
            Err(why) => refused.push(why),
        }
    }
    Err(aggregate(refused).map_or_else(|all| all.to_string(), |()| UNKNOWN_TOKEN.to_owned()))
}

/// The value of a header. What is no text is odd text, never nothing: who is named so has no rights, and does not
/// leave those of the sender to the request.
fn header_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A key as it stands in the name of a header.
fn percent_decoded(text: &str) -> String {
    percent_decode(text, false).to_lowercase()
}
