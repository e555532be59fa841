//! Auth methods: who else is believed about who somebody is.
//!
//! Two kinds are served: `kubernetes`, where an API server reviews the token of a service account, and `jwt`, where
//! tokens are checked against keys that the method names.

use std::collections::BTreeMap;

use http::Response;
use portolan_registrar::http::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::bindings::rules;
use super::directory::tokens;
use super::{Access, Call, check_name};
use crate::bexpr::Kind;
use crate::space::{Records, Space, WriteError};
use crate::{Error, duration, fold};

/// Names of fields of `Config`, which letter case does not tell apart.
const CONFIG_FIELDS: [&str; 11] = [
    "Host",
    "CACert",
    "ServiceAccountJWT",
    "JWTValidationPubKeys",
    "JWTSupportedAlgs",
    "BoundIssuer",
    "BoundAudiences",
    "ClaimMappings",
    "ListClaimMappings",
    "JWKSURL",
    "OIDCDiscoveryURL",
];

static SERVICE_ACCOUNT: Kind = Kind::Fields(&[(
    "serviceaccount",
    Kind::Fields(&[("namespace", Kind::Text), ("name", Kind::Text), ("uid", Kind::Text)]),
)]);
static CLAIMS: Kind = Kind::Fields(&[("value", Kind::Map(&Kind::Text)), ("list", Kind::Map(&Kind::List(&Kind::Text)))]);

/// An auth method.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AuthMethod {
    pub(super) name: String,
    pub(super) r#type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) display_name: String,
    pub(super) description: String,
    /// How long tokens that it gave live; empty: until they log out.
    #[serde(rename = "MaxTokenTTL", skip_serializing_if = "String::is_empty")]
    pub(super) max_token_ttl: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) token_locality: String,
    pub(super) config: Map<String, Value>,
}

/// An API server that reviews tokens.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Kubernetes {
    pub(super) host: String,
    #[serde(rename = "CACert")]
    pub(super) ca_cert: String,
    /// Token of an account that may ask for reviews.
    #[serde(rename = "ServiceAccountJWT")]
    pub(super) service_account_jwt: String,
}

/// Keys that tokens are checked against, and what their claims must say.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Jwt {
    #[serde(rename = "JWTValidationPubKeys")]
    pub(super) keys: Vec<String>,
    #[serde(rename = "JWTSupportedAlgs")]
    pub(super) algorithms: Vec<String>,
    pub(super) bound_issuer: String,
    pub(super) bound_audiences: Vec<String>,
    /// Claims that rules can speak of, and how they name them.
    pub(super) claim_mappings: BTreeMap<String, String>,
    pub(super) list_claim_mappings: BTreeMap<String, String>,
    #[serde(rename = "JWKSURL")]
    keys_url: String,
    #[serde(rename = "OIDCDiscoveryURL")]
    discovery_url: String,
}

/// How a method checks who somebody is.
pub(super) enum Verifier {
    Kubernetes(Kubernetes),
    Jwt(Jwt),
}

impl AuthMethod {
    /// Reads its configuration; says what is wrong with it.
    pub(super) fn verifier(&self) -> Result<Verifier, Error> {
        let invalid = |text: String| Error::BadRequest(format!("Invalid Auth Method: {text}"));
        let config = fold::canonical(
            Value::Object(self.config.clone()),
            &CONFIG_FIELDS,
            &["ClaimMappings", "ListClaimMappings"],
        );
        match self.r#type.as_str() {
            "kubernetes" => {
                let found: Kubernetes = serde_json::from_value(config).map_err(|error| invalid(error.to_string()))?;
                let given = [("Host", &found.host), ("CACert", &found.ca_cert)];
                let given = given.into_iter().chain([("ServiceAccountJWT", &found.service_account_jwt)]);
                for (field, value) in given {
                    if value.is_empty() {
                        return Err(invalid(format!("Config.{field} is required")));
                    }
                }
                Ok(Verifier::Kubernetes(found))
            }
            "jwt" => {
                let mut found: Jwt = serde_json::from_value(config).map_err(|error| invalid(error.to_string()))?;
                if !found.keys_url.is_empty() || !found.discovery_url.is_empty() || found.keys.is_empty() {
                    let text = "keys are not fetched here: JWTValidationPubKeys must name them";
                    return Err(invalid(text.into()));
                }
                for key in &found.keys {
                    portolan_identity::check_public_key(key)
                        .map_err(|error| invalid(format!("error parsing public key: {error}")))?;
                }
                if found.algorithms.is_empty() {
                    found.algorithms.push("RS256".into());
                }
                Ok(Verifier::Jwt(found))
            }
            _ => Err(invalid("Type should be one of: [jwt kubernetes]".into())),
        }
    }

    /// What selectors of its rules can speak of.
    pub(super) fn selectable(&self) -> &'static Kind {
        if self.r#type == "kubernetes" { &SERVICE_ACCOUNT } else { &CLAIMS }
    }
}

pub(super) fn methods(space: &Space) -> Records<'_, AuthMethod> {
    space.records("acl/method")
}

fn missing(name: &str) -> Error {
    Error::NotFound(format!("Requested auth method does not exist: ACL not found: auth method {name:?} not found"))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let mut answered = Vec::new();
    for record in methods(&call.state.space).list().await? {
        let mut value = json!(record);
        // Lists leave the configuration out.
        if let Some(object) = value.as_object_mut() {
            object.remove("Config");
        }
        answered.push(value);
    }
    call.json(&answered)
}

pub(super) async fn read(call: &Call<'_>, name: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclRead).await?;
    let record = methods(&call.state.space).get(name).await?.ok_or_else(|| missing(name))?;
    call.json(&record)
}

pub(super) async fn write(call: &Call<'_>, name: Option<&str>) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let mut wanted: AuthMethod = call.body()?;
    if let Some(name) = name {
        if !wanted.name.is_empty() && wanted.name != name {
            return Err(Error::BadRequest("AuthMethod Name in URL and payload do not match".into()));
        }
        name.clone_into(&mut wanted.name);
    }
    check_name("Auth Method", &wanted.name, 128)?;
    let invalid = |text: &str| Error::BadRequest(format!("Invalid Auth Method: {text}"));
    if !matches!(&*wanted.token_locality, "" | "local" | "global") {
        return Err(invalid("TokenLocality should be one of 'local' or 'global'"));
    }
    if !wanted.max_token_ttl.is_empty() {
        duration::parse(&wanted.max_token_ttl).map_err(|error| invalid(&format!("MaxTokenTTL: {error}")))?;
    }
    wanted.verifier()?;
    let records = methods(&call.state.space);
    let before = records.get(&wanted.name).await?;
    match (&before, name) {
        (Some(_), None) => return Err(invalid(&format!("the Auth Method {:?} already exists", wanted.name))),
        (None, Some(name)) => return Err(missing(name)),
        (Some(before), Some(_)) if before.value.r#type != wanted.r#type => {
            let (name, kind) = (&wanted.name, &before.value.r#type);
            return Err(Error::BadRequest(format!(
                "Changing an auth method's type is not permitted: {name:?} is {kind}"
            )));
        }
        _ => {}
    }
    records.put(&wanted.name, None, &wanted, before.map(|before| (before.modified, None))).await?;
    let record = records.get(&wanted.name).await?.ok_or_else(|| missing(&wanted.name))?;
    call.json(&record)
}

/// Deletes a method, its rules and the tokens that it gave.
pub(super) async fn delete(call: &Call<'_>, name: &str) -> Result<Response<Body>, Error> {
    call.require(Access::AclWrite).await?;
    let space = &call.state.space;
    let record = methods(space).get(name).await?.ok_or_else(|| missing(name))?;
    // The method first: nobody logs in by it while its tokens go.
    if !methods(space).delete(name, record.modified, None).await? {
        return Err(WriteError::Stale.into());
    }
    for rule in rules(space).list().await?.into_iter().filter(|rule| rule.value.auth_method == name) {
        rules(space).delete(&rule.value.id, rule.modified, None).await?;
    }
    for token in tokens(space).list().await?.into_iter().filter(|token| token.value.token.auth_method == name) {
        let (id, hash) = (&token.value.token.accessor_id, token.value.secret_hash.as_str());
        tokens(space).delete(id, token.modified, Some(hash)).await?;
    }
    call.json(&true)
}
