//! Users by tokens of OpenID Connect issuers (OpenID Connect Core 1.0 and Discovery 1.0).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portolan_base::{Timestamp, go};
use portolan_identity::{PublicKeys, Unaccepted, User};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::claims;
use super::expressions::Expressions;
use crate::outgoing::{Client, Endpoint, Unusable};

/// How often an issuer is asked for its keys at most, if tokens come that none of them signed.
const REFETCH: Duration = Duration::from_secs(10);

/// An issuer whose tokens are believed, and how their claims make a user.
#[derive(Debug, Clone, Default)]
pub struct JwtIssuer {
    /// Its URL, as it stands in the tokens.
    pub url: String,
    /// Where its discovery document is, if not below its URL.
    pub discovery_url: Option<String>,
    /// Authorities of its certificate, PEM; those of the system if there are none.
    pub authority_pem: Option<String>,
    /// A token must be meant for one of these.
    pub audiences: Vec<String>,
    /// Signatures that are accepted, such as `RS256`.
    pub algorithms: Vec<String>,
    /// The claim with the user's name, and what is put before it.
    pub username: ClaimMapping,
    /// The claim with the user's groups, and what is put before each.
    pub groups: Option<ClaimMapping>,
    /// The claim with the user's id.
    pub uid_claim: Option<String>,
    /// Claims that must have these values.
    pub required_claims: Vec<(String, String)>,
    /// What else claims and users must be, and is made of claims.
    pub expressions: Arc<Expressions>,
}

/// A claim and what is put before its value.
#[derive(Debug, Clone, Default)]
pub struct ClaimMapping {
    /// Name of the claim.
    pub claim: String,
    /// Put before the value.
    pub prefix: String,
}

/// Checks the tokens of one issuer.
#[derive(Debug)]
pub(crate) struct Verifier {
    settings: JwtIssuer,
    client: Client,
    keys: Arc<Mutex<Option<Fetched>>>,
}

#[derive(Debug)]
struct Fetched {
    keys: Arc<PublicKeys>,
    at: Timestamp,
}

/// What keeps the issuer's keys from this server.
enum Unfetched {
    /// The issuer does not say where they are.
    Place(String),
    /// They are not there.
    Keys(String),
}

impl Verifier {
    pub(crate) fn new(settings: JwtIssuer) -> Result<Self, Unusable> {
        let url = settings
            .discovery_url
            .clone()
            .unwrap_or_else(|| format!("{}/.well-known/openid-configuration", settings.url.trim_end_matches('/')));
        let client =
            Client::new(Endpoint { url, authority_pem: settings.authority_pem.clone(), ..Endpoint::default() })?;
        Ok(Self { settings, client, keys: Arc::default() })
    }

    /// With the keys of one of these that asks the same issuer: new settings are no reason to ask again.
    pub(super) fn with_keys_of(mut self, known: &[Self]) -> Self {
        let source = |settings: &JwtIssuer| {
            (settings.url.clone(), settings.discovery_url.clone(), settings.authority_pem.clone())
        };
        if let Some(same) = known.iter().find(|known| source(&known.settings) == source(&self.settings)) {
            self.keys = same.keys.clone();
        }
        self
    }

    pub(super) fn issuer(&self) -> &str {
        &self.settings.url
    }

    /// Whether the issuer answers, unless it has already; the error says why not. Its keys come with the first token.
    pub(super) async fn check(&self) -> Result<(), String> {
        if self.keys.lock().await.is_some() {
            return Ok(());
        }
        let unhealthy = |why| format!("oidc: authenticator for issuer {:?} is not healthy: {why}", self.settings.url);
        self.place_of_keys().await.map(drop).map_err(unhealthy)
    }

    /// The user of a token that names this issuer.
    pub(super) async fn user(&self, token: &str, now: Timestamp) -> Result<User, String> {
        claims::user(&self.settings, &self.claims(token, now).await?, now)
    }

    /// What a token says that one of the issuer's keys signed.
    async fn claims(&self, token: &str, now: Timestamp) -> Result<Map<String, Value>, String> {
        let refused = |why: &str| format!("oidc: verify token: {why}");
        let unfetched = |why: Unfetched| match why {
            Unfetched::Place(why) => {
                tracing::debug!(issuer = self.settings.url, why, "the issuer does not say where its keys are");
                "oidc: authenticator not initialized".to_owned()
            }
            Unfetched::Keys(why) => refused(&format!("failed to verify signature: fetching keys oidc: {why}")),
        };
        let algorithms = &self.settings.algorithms;
        let unaccepted = |why: Unaccepted| match why {
            Unaccepted::UnknownKey => refused("failed to verify signature: failed to verify id token signature"),
            Unaccepted::Algorithm { name } => {
                let (expected, name) = (go::quote_all(algorithms), go::quote(&name));
                refused(&format!("oidc: id token signed with unsupported algorithm, expected {expected} got {name}"))
            }
            other => refused(&format!("oidc: malformed jwt: {other}")),
        };
        let keys = self.keys(now, None).await.map_err(unfetched)?;
        match keys.verify(token, algorithms) {
            // The issuer may have new keys.
            Err(Unaccepted::UnknownKey) => {
                let keys = self.keys(now, Some(&keys)).await.map_err(unfetched)?;
                keys.verify(token, algorithms).map_err(unaccepted)
            }
            outcome => outcome.map_err(unaccepted),
        }
    }

    /// The issuer's keys; newer ones than `not` if they may be asked for.
    async fn keys(&self, now: Timestamp, not: Option<&Arc<PublicKeys>>) -> Result<Arc<PublicKeys>, Unfetched> {
        // Held while asking, so that many tokens at a time ask once.
        let mut fetched = self.keys.lock().await;
        if let Some(known) = &*fetched {
            let unwanted = not.is_some_and(|not| Arc::ptr_eq(not, &known.keys));
            if !unwanted || now < known.at + REFETCH {
                return Ok(known.keys.clone());
            }
        }
        let keys = Arc::new(self.fetch().await?);
        *fetched = Some(Fetched { keys: keys.clone(), at: now });
        Ok(keys)
    }

    async fn fetch(&self) -> Result<PublicKeys, Unfetched> {
        let place = self.place_of_keys().await.map_err(Unfetched::Place)?;
        let failed = |why| Unfetched::Keys(format!("get keys failed {why}"));
        let (code, body) = self.client.get(&place).await.map_err(failed)?;
        let text = String::from_utf8_lossy(&body);
        if code != StatusCode::OK {
            return Err(Unfetched::Keys(format!("get keys failed: {code} {text}")));
        }
        PublicKeys::from_json(&body).map_err(|error| Unfetched::Keys(format!("failed to decode keys: {error} {text}")))
    }

    /// Where the issuer says that its keys are.
    async fn place_of_keys(&self) -> Result<String, String> {
        let document = self.get(self.client.url()).await?;
        let document: Value = serde_json::from_slice(&document).map_err(|error| format!("discovery: {error}"))?;
        if document["issuer"] != self.settings.url.as_str() {
            return Err(format!("the discovery document is one of {}, not {}", document["issuer"], self.settings.url));
        }
        let place = document["jwks_uri"].as_str().filter(|place| !place.is_empty());
        Ok(place.ok_or("the discovery document names no jwks_uri")?.to_owned())
    }

    async fn get(&self, url: &str) -> Result<bytes::Bytes, String> {
        let (code, body) = self.client.get(url).await?;
        if code.is_success() { Ok(body) } else { Err(format!("{url} answered {code}")) }
    }
}
