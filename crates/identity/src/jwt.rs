//! JSON web tokens of other issuers, checked against their published keys (RFC 7515, 7517, 7519).

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::Error;

/// The keys of an issuer.
#[derive(Debug, Clone)]
pub struct PublicKeys(JwkSet);

/// Why a token was not accepted by some keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unaccepted {
    /// None of the keys signed it. The issuer may have new ones.
    #[error("no key of the issuer verifies the token")]
    UnknownKey,
    /// It is no token that these keys could sign.
    #[error(transparent)]
    Malformed(#[from] Error),
}

impl PublicKeys {
    /// Reads a key set.
    ///
    /// # Errors
    /// It is not a JSON web key set.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map(Self).map_err(|error| Error::Token(format!("the key set: {error}")))
    }

    /// The claims of a token that one of the keys signed with one of `algorithms` (`RS256`, ...).
    /// Nothing but the signature is checked.
    ///
    /// # Errors
    /// The token is malformed, its algorithm is not accepted, or no key signed it.
    pub fn verify(&self, token: &str, algorithms: &[String]) -> Result<Map<String, Value>, Unaccepted> {
        let header = decode_header(token).map_err(|error| Error::Token(error.to_string()))?;
        let name = format!("{:?}", header.alg);
        if matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) || !algorithms.contains(&name) {
            return Err(Error::Token(format!("it is signed with {name}, which is not accepted")).into());
        }
        let mut validation = Validation::new(header.alg);
        // Time, issuer and audience are compared by the caller, who knows the time.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        for key in &self.0.keys {
            let other = header.kid.is_some() && key.common.key_id.is_some() && header.kid != key.common.key_id;
            let Some(decoding) = (!other).then(|| DecodingKey::from_jwk(key).ok()).flatten() else { continue };
            if let Ok(data) = decode::<Map<String, Value>>(token, &decoding, &validation) {
                return Ok(data.claims);
            }
        }
        Err(Unaccepted::UnknownKey)
    }
}

/// The issuer that a token names, without any check: to find who could check it.
pub fn claimed_issuer(token: &str) -> Option<String> {
    use base64::Engine;
    let body = token.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}
