//! Service-account tokens: signed JSON web tokens, bound to objects and audiences.
//!
//! Source: Kubernetes KEP-1205 (bound service-account tokens), RFC 7519.

use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use portolan_base::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use serde::{Deserialize, Serialize};

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
}

/// Signs and verifies service-account tokens with one P-256 key (ES256).
pub struct TokenIssuer {
    issuer: String,
    key_id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public_key: Vec<u8>,
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenIssuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl TokenIssuer {
    /// Loads `service-account.key` from a folder, or makes it there.
    ///
    /// # Errors
    /// A file that cannot be read or written, or is damaged.
    pub fn load_or_create(directory: &Path, issuer: &str) -> Result<Self, Error> {
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
        let key = KeyPair::from_pem(&pem).map_err(|error| damaged(error.to_string()))?;
        let encoding = EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|error| damaged(error.to_string()))?;
        let decoding =
            DecodingKey::from_ec_pem(key.public_key_pem().as_bytes()).map_err(|error| damaged(error.to_string()))?;
        let digest = digest::digest(&digest::SHA256, key.der_bytes());
        Ok(Self {
            issuer: issuer.to_owned(),
            key_id: URL_SAFE_NO_PAD.encode(digest.as_ref()),
            encoding,
            decoding,
            public_key: key.public_key_raw().to_vec(),
        })
    }

    /// Who signs, as it stands in the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs a token.
    ///
    /// # Errors
    /// The signature could not be made.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let wire = Wire {
            iss: self.issuer.clone(),
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
            },
        };
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &wire, &self.encoding).map_err(|error| Error::Token(error.to_string()))
    }

    /// Checks a token's signature, issuer and time. Audience and bound objects are the caller's.
    ///
    /// # Errors
    /// The token is malformed, not ours, or not valid at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Error> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[&self.issuer]);
        // Time is compared below against `now`; the library would ask the system's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let wire = jsonwebtoken::decode::<Wire>(token, &self.decoding, &validation)
            .map_err(|error| Error::Token(error.to_string()))?
            .claims;
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
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &wire, &self.encoding).map_err(|error| Error::Token(error.to_string()))
    }

    /// Checks the signature of a token of the old kind. Whether its Secret still holds it is the caller's.
    ///
    /// # Errors
    /// The token is malformed or not ours.
    pub fn verify_legacy(&self, token: &str) -> Result<LegacyClaims, Error> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[LEGACY_ISSUER]);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let data = jsonwebtoken::decode::<LegacyWire>(token, &self.decoding, &validation);
        Ok(data.map_err(|error| Error::Token(error.to_string()))?.claims.claims)
    }

    /// Whether a token claims to be one of these, of the new or old kind.
    pub fn may_be_ours(&self, token: &str) -> bool {
        crate::claimed_issuer(token).is_some_and(|issuer| issuer == self.issuer || issuer == LEGACY_ISSUER)
    }

    /// The public key as a JSON web key set (RFC 7517), for others who verify tokens.
    pub fn jwks(&self) -> serde_json::Value {
        // An uncompressed point is one tag byte and two coordinates of 32 bytes (SEC 1, 2.3.3).
        let coordinates = &self.public_key[1..];
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        serde_json::json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}
