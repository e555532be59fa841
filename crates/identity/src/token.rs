//! Service-account tokens: signed JSON web tokens, bound to objects and audiences.
//!
//! Source: Kubernetes KEP-1205 (bound service-account tokens), RFC 7519.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use jsonwebtoken::{Header, Validation};
use portolan_base::Timestamp;
use rcgen::KeyPair;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::token_keys::{SigningKey, TokenSettings, VerificationKey};
use crate::{Error, files};

/// An object whose end ends a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundObject {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub service_account: BoundObject,
    /// The pod whose token it is.
    pub pod: Option<BoundObject>,
    /// The node that the pod runs on.
    pub node: Option<BoundObject>,
    /// The secret whose token it is.
    pub secret: Option<BoundObject>,
    /// For whom the token is meant.
    pub audiences: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When whoever uses it should have had another one.
    pub warn_after: Option<Timestamp>,
    /// Names this token, in logs for example.
    pub id: String,
}

impl Claims {
    /// `system:serviceaccount:<namespace>:<name>`.
    pub fn user_name(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account.name)
    }
}

/// What a token of the old kind says, which lives in a Secret and as long as it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyClaims {
    /// Namespace of the service account.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    /// The Secret that holds the token.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    /// Name of the service account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub service_account: String,
    /// UID of the service account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub uid: String,
}

/// Who signs tokens of the old kind.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

#[derive(Serialize, Deserialize)]
struct LegacyWire {
    iss: String,
    sub: String,
    #[serde(flatten)]
    claims: LegacyClaims,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    iss: String,
    sub: String,
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    nbf: i64,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: WireKubernetes,
}

#[derive(Serialize, Deserialize)]
struct WireKubernetes {
    namespace: String,
    serviceaccount: BoundObject,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pod: Option<BoundObject>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    node: Option<BoundObject>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    secret: Option<BoundObject>,
    #[serde(rename = "warnafter", skip_serializing_if = "Option::is_none", default)]
    warn_after: Option<i64>,
}

/// Signs service-account tokens with one key, and verifies them with that and with others that it was given.
pub struct TokenIssuer {
    issuers: Vec<String>,
    signing: SigningKey,
    /// All keys, that which signs first.
    verification: Vec<VerificationKey>,
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenIssuer").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl TokenIssuer {
    /// Loads `service-account.key` from a folder, or makes it there: a P-256 key (ES256).
    ///
    /// # Errors
    /// A file that cannot be read or written, or is damaged.
    pub fn load_or_create(directory: &Path, issuer: &str) -> Result<Self, Error> {
        Self::load(directory, TokenSettings { issuers: vec![issuer.to_owned()], ..TokenSettings::default() })
    }

    /// The same with keys and names besides. The folder's own key signs unless another is given, and always verifies.
    ///
    /// # Errors
    /// As [`Self::load_or_create`]; a key that is given cannot be used, or there is no issuer.
    pub fn load(directory: &Path, settings: TokenSettings) -> Result<Self, Error> {
        let TokenSettings { issuers, signing_key, verification_keys } = settings;
        if issuers.is_empty() {
            return Err(Error::Token("service-account tokens need an issuer".into()));
        }
        let path = directory.join("service-account.key");
        let damaged = |reason: String| Error::Damaged { what: path.display().to_string(), reason };
        let pem = match files::read(&path)? {
            Some(pem) => pem,
            None => {
                let pem = KeyPair::generate().map_err(|error| damaged(error.to_string()))?.serialize_pem();
                files::write_private(&path, &pem)?;
                pem
            }
        };
        let own = SigningKey::from_pem(&pem).map_err(|error| damaged(error.to_string()))?;
        let signing = signing_key.map(|pem| SigningKey::from_pem(&pem)).transpose()?;
        let mut verification = Vec::new();
        for pem in verification_keys {
            verification.extend(VerificationKey::all_from_pem(&pem)?);
        }
        let signing = match signing {
            None => own,
            Some(signing) => {
                verification.push(own.public);
                signing
            }
        };
        verification.insert(0, signing.public.clone());
        let mut seen = HashSet::new();
        verification.retain(|key| seen.insert(key.id.clone()));
        Ok(Self { issuers, signing, verification })
    }

    /// Who signs, as it stands in the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuers[0]
    }

    /// All names under which tokens of this issuer are believed, the one that is written first.
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// Algorithms of all keys, in the words of RFC 7518, each once.
    pub fn algorithms(&self) -> Vec<String> {
        let names = self.verification.iter().map(|key| format!("{:?}", key.algorithm));
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Signs a token.
    ///
    /// # Errors
    /// The signature could not be made.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let wire = Wire {
            iss: self.issuer().to_owned(),
            sub: claims.user_name(),
            aud: claims.audiences.clone(),
            exp: claims.expires_at.as_second(),
            iat: claims.issued_at.as_second(),
            nbf: claims.issued_at.as_second(),
            jti: claims.id.clone(),
            kubernetes: WireKubernetes {
                namespace: claims.namespace.clone(),
                serviceaccount: claims.service_account.clone(),
                pod: claims.pod.clone(),
                node: claims.node.clone(),
                secret: claims.secret.clone(),
                warn_after: claims.warn_after.map(Timestamp::as_second),
            },
        };
        self.encode(&wire)
    }

    /// Checks a token's signature, issuer and time. Audience and bound objects are the caller's.
    ///
    /// # Errors
    /// The token is malformed, not ours, or not valid at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Error> {
        let wire: Wire = self.decode(token, &self.issuers)?;
        if wire.exp <= now.as_second() {
            return Err(Error::Token("it has expired".into()));
        }
        if wire.nbf > now.as_second() {
            return Err(Error::Token("it is not valid yet".into()));
        }
        let time = |second| Timestamp::from_second(second).map_err(|error| Error::Token(error.to_string()));
        Ok(Claims {
            namespace: wire.kubernetes.namespace,
            service_account: wire.kubernetes.serviceaccount,
            pod: wire.kubernetes.pod,
            node: wire.kubernetes.node,
            secret: wire.kubernetes.secret,
            audiences: wire.aud,
            issued_at: time(wire.iat)?,
            expires_at: time(wire.exp)?,
            warn_after: wire.kubernetes.warn_after.map(time).transpose()?,
            id: wire.jti,
        })
    }

    /// Signs a token of the old kind.
    ///
    /// # Errors
    /// The signature could not be made.
    pub fn sign_legacy(&self, claims: &LegacyClaims) -> Result<String, Error> {
        let sub = format!("system:serviceaccount:{}:{}", claims.namespace, claims.service_account);
        let wire = LegacyWire { iss: LEGACY_ISSUER.into(), sub, claims: claims.clone() };
        self.encode(&wire)
    }

    /// Checks the signature of a token of the old kind. Whether its Secret still holds it is the caller's.
    ///
    /// # Errors
    /// The token is malformed or not ours.
    pub fn verify_legacy(&self, token: &str) -> Result<LegacyClaims, Error> {
        let wire: LegacyWire = self.decode(token, &[LEGACY_ISSUER.to_owned()])?;
        Ok(wire.claims)
    }

    /// Whether a token claims to be one of these, of the new or old kind.
    pub fn may_be_ours(&self, token: &str) -> bool {
        crate::claimed_issuer(token).is_some_and(|issuer| issuer == LEGACY_ISSUER || self.issuers.contains(&issuer))
    }

    /// The public keys as a JSON web key set (RFC 7517), for others who verify tokens.
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({"keys": self.verification.iter().map(|key| &key.web_key).collect::<Vec<_>>()})
    }

    fn encode(&self, wire: &impl Serialize) -> Result<String, Error> {
        let header = Header { kid: Some(self.signing.public.id.clone()), ..Header::new(self.signing.public.algorithm) };
        jsonwebtoken::encode(&header, wire, &self.signing.encoding).map_err(|error| Error::Token(error.to_string()))
    }

    /// What a token of one of these issuers says that one of the keys signed. No time is compared: the library would
    /// ask the system's clock.
    fn decode<T: DeserializeOwned>(&self, token: &str, issuers: &[String]) -> Result<T, Error> {
        let failed = |error: jsonwebtoken::errors::Error| Error::Token(error.to_string());
        let header = jsonwebtoken::decode_header(token).map_err(failed)?;
        let fits = |key: &&VerificationKey| key.algorithm == header.alg;
        let named = |key: &&VerificationKey| header.kid.as_ref() == Some(&key.id);
        // Tokens of other issuers' implementations may name their keys otherwise: then all are tried.
        let (named, others): (Vec<_>, Vec<_>) = self.verification.iter().filter(fits).partition(named);
        let candidates = if named.is_empty() { others } else { named };
        let mut refused = Error::Token("no key of this cluster signed it".into());
        for key in candidates {
            let mut validation = Validation::new(key.algorithm);
            validation.set_issuer(issuers);
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            match jsonwebtoken::decode(token, &key.decoding, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => refused = failed(error),
            }
        }
        Err(refused)
    }
}
