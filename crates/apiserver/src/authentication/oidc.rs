//! Users by tokens of OpenID Connect issuers (OpenID Connect Core 1.0 and Discovery 1.0).

use std::sync::Arc;
use std::time::Duration;

use portolan_base::Timestamp;
use portolan_identity::{PublicKeys, Unaccepted, User};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

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
        let keys = self.keys(now, None).await?;
        let claims = match keys.verify(token, &self.settings.algorithms) {
            Ok(claims) => claims,
            // The issuer may have new keys.
            Err(Unaccepted::UnknownKey) => {
                let keys = self.keys(now, Some(&keys)).await?;
                keys.verify(token, &self.settings.algorithms).map_err(|error| error.to_string())?
            }
            Err(error) => return Err(error.to_string()),
        };
        described(&self.settings, &claims, now)
    }

    /// The issuer's keys; newer ones than `not` if they may be asked for.
    async fn keys(&self, now: Timestamp, not: Option<&Arc<PublicKeys>>) -> Result<Arc<PublicKeys>, String> {
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

    async fn fetch(&self) -> Result<PublicKeys, String> {
        let place = self.place_of_keys().await?;
        PublicKeys::from_json(&self.get(&place).await?).map_err(|error| error.to_string())
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

/// The user that the claims of a verified token describe.
fn described(settings: &JwtIssuer, claims: &Map<String, Value>, now: Timestamp) -> Result<User, String> {
    if claims.get("iss").and_then(Value::as_str) != Some(&settings.url) {
        return Err("the token is one of another issuer".into());
    }
    if !texts(claims.get("aud")).unwrap_or_default().iter().any(|audience| settings.audiences.contains(audience)) {
        return Err(format!("the token is not meant for any of {:?}", settings.audiences));
    }
    let second = |name: &str| claims.get(name).and_then(Value::as_f64);
    if second("exp").is_none_or(|end| end <= now.as_second() as f64) {
        return Err("the token has expired".into());
    }
    if second("nbf").is_some_and(|start| start > now.as_second() as f64 + 300.0) {
        return Err("the token is not valid yet".into());
    }
    let expressions = &*settings.expressions;
    let seen = expressions.claims(claims);
    let name = match &expressions.username {
        Some(expression) => expression.text(&seen, "username")?,
        None => named(&settings.username, claims)?,
    };
    if name.is_empty() {
        return Err("empty username via CEL expression is not allowed".into());
    }
    let mut groups = match &settings.groups {
        None => Vec::new(),
        Some(mapping) => match claims.get(&mapping.claim) {
            None => Vec::new(),
            found => texts(found)
                .ok_or_else(|| format!("the claim {} is not a list of groups", mapping.claim))?
                .iter()
                .map(|group| format!("{}{group}", mapping.prefix))
                .collect(),
        },
    };
    if let Some(expression) = &expressions.groups {
        groups = expression.texts(&seen).map_err(|why| format!("error evaluating group claim expression: {why}"))?;
    }
    let uid = match (&settings.uid_claim, &expressions.uid) {
        (Some(claim), _) => {
            let uid = claims.get(claim).and_then(Value::as_str);
            uid.ok_or_else(|| format!("the token has no claim {claim}"))?.to_owned()
        }
        (None, Some(expression)) => expression.text(&seen, "uid")?,
        (None, None) => String::new(),
    };
    let mut extra = expressions.extra(&seen)?;
    if let Some(id) = claims.get("jti").and_then(Value::as_str) {
        extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={id}")]);
    }
    for (name, value) in &settings.required_claims {
        if claims.get(name).and_then(Value::as_str) != Some(value) {
            return Err(format!("required claim {name} does not have the value {value}"));
        }
    }
    expressions.check_claims(&seen)?;
    expressions.check_user(&name, &uid, &groups, &extra)?;
    let mut user = User::new(name, groups.iter().map(String::as_str));
    (user.uid, user.extra) = (uid, extra);
    Ok(user)
}

/// The name that a claim says.
fn named(mapping: &ClaimMapping, claims: &Map<String, Value>) -> Result<String, String> {
    let name = claims.get(&mapping.claim).and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("the token has no claim {}", mapping.claim))?;
    // An address that the issuer has not checked is anybody's.
    if mapping.claim == "email" && claims.get("email_verified").is_some_and(|verified| verified != true) {
        return Err("email not verified".into());
    }
    Ok(format!("{}{name}", mapping.prefix))
}

/// A claim that is a text or a list of them.
fn texts(claim: Option<&Value>) -> Option<Vec<String>> {
    match claim? {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_make_a_user() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let text = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: https://issuer, audiences: [us]}
  claimValidationRules:
  - {expression: 'claims.?email_verified.orValue(true) == true', message: the address must be verified}
  - {expression: 'claims.exp - claims.nbf <= 86400', message: must live for a day at most}
  claimMappings:
    username: {expression: '\"x:\" + claims.email'}
    groups: {expression: 'claims.roles.map(role, \"r:\" + role)'}
    uid: {expression: claims.sub}
    extra:
    - {key: example.com/team, valueExpression: 'claims.team'}
    - {key: example.com/none, valueExpression: '[\"\"]'}
  userValidationRules:
  - {expression: '!user.username.startsWith(\"x:system:\")', message: that name is taken}
  - {expression: 'user.groups.all(group, group != \"r:root\")', message: nobody is root}
";
        let file = super::super::AuthenticationConfiguration::parse(text, &[]).expect("reads");
        let good = json!({
            "iss": "https://issuer", "aud": "us", "exp": now.as_second() + 60, "nbf": now.as_second(), "email": "ann@a",
            "sub": "7", "roles": ["dev", "ops"], "team": ["blue", ""],
        });
        let cases = [
            (json!({}), "x:ann@a [r:dev r:ops system:authenticated] 7 {\"example.com/team\":[\"blue\"]}"),
            (json!({"team": "red"}), "{\"example.com/team\":[\"red\"]}"),
            (
                json!({"team": 1}),
                "error evaluating extra claim expression: claims.team: expression must return a string",
            ),
            (json!({"roles": []}), "x:ann@a [system:authenticated]"),
            (
                json!({"email_verified": false}),
                "error evaluating claim validation expression: validation expression \
                 'claims.?email_verified.orValue(true) == true' failed: the address must be verified",
            ),
            (json!({"exp": now.as_second() + 86_401}), "must live for a day at most"),
            (json!({"email": "system:ann"}), "failed: that name is taken"),
            (json!({"roles": ["root"]}), "failed: nobody is root"),
            (json!({"sub": 7}), "error evaluating uid claim expression: uid claim expression must return a string"),
            (json!({"email": null}), "error evaluating username claim expression: expression"),
        ];
        for (changes, expected) in cases {
            let mut claims = good.as_object().expect("an object").clone();
            claims.extend(changes.as_object().expect("an object").clone());
            let text = match described(&file.issuers[0], &claims, now) {
                Ok(user) => format!("{} [{}] {} {}", user.name, user.groups.join(" "), user.uid, json!(user.extra)),
                Err(why) => why,
            };
            assert!(text.contains(expected), "{changes}: {text}");
        }
    }

    #[test]
    fn claims_make_a_user() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let settings = JwtIssuer {
            url: "https://issuer".into(),
            audiences: vec!["us".into()],
            username: ClaimMapping { claim: "email".into(), prefix: "oidc:".into() },
            groups: Some(ClaimMapping { claim: "groups".into(), prefix: "g:".into() }),
            required_claims: vec![("hd".into(), "example.com".into())],
            ..JwtIssuer::default()
        };
        let good = json!({
            "iss": "https://issuer", "aud": ["them", "us"], "exp": now.as_second() + 1, "email": "ann@example.com",
            "groups": ["dev", "ops"], "hd": "example.com",
        });
        let cases = [
            (json!({}), "oidc:ann@example.com [g:dev g:ops system:authenticated]"),
            (json!({"groups": "dev"}), "oidc:ann@example.com [g:dev system:authenticated]"),
            (json!({"groups": [1]}), "not a list of groups"),
            (json!({"email_verified": false}), "email not verified"),
            (json!({"email_verified": true}), "oidc:ann@example.com"),
            (json!({"iss": "https://other"}), "another issuer"),
            (json!({"aud": "them"}), "not meant for"),
            (json!({"exp": now.as_second()}), "expired"),
            (json!({"nbf": now.as_second() + 301}), "not valid yet"),
            (json!({"hd": "other"}), "required claim hd"),
            (json!({"email": ""}), "no claim email"),
        ];
        for (changes, expected) in cases {
            let mut claims = good.as_object().expect("an object").clone();
            claims.extend(changes.as_object().expect("an object").clone());
            let text = match described(&settings, &claims, now) {
                Ok(user) => format!("{} [{}]", user.name, user.groups.join(" ")),
                Err(why) => why,
            };
            assert!(text.contains(expected), "{changes}: {text}");
        }
    }
}
