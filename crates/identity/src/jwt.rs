//! JSON web tokens of other issuers, checked against their published keys (RFC 7515, 7517, 7519).

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
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
    /// It is signed in a way that is not accepted.
    #[error("it is signed with {name}, which is not accepted")]
    Algorithm {
        /// The way, as the token says it.
        name: String,
    },
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
        let (header, validation) = accepted(token, algorithms)?;
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

/// The claims of a token that one of these keys signed, each in PEM, with one of `algorithms`. Nothing but the
/// signature is checked.
///
/// # Errors
/// The token is malformed, its algorithm is not accepted, or no key signed it.
pub fn verify_with_pem(token: &str, keys: &[String], algorithms: &[String]) -> Result<Map<String, Value>, Unaccepted> {
    let (header, validation) = accepted(token, algorithms)?;
    for key in keys {
        let decoding = match header.alg {
            Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(key.as_bytes()),
            Algorithm::EdDSA => DecodingKey::from_ed_pem(key.as_bytes()),
            _ => DecodingKey::from_rsa_pem(key.as_bytes()),
        };
        let Ok(decoding) = decoding else { continue };
        if let Ok(data) = decode::<Map<String, Value>>(token, &decoding, &validation) {
            return Ok(data.claims);
        }
    }
    Err(Unaccepted::UnknownKey)
}

/// Checks that a text is a public key that [`verify_with_pem`] can use.
///
/// # Errors
/// It is not.
pub fn check_public_key(pem: &str) -> Result<(), Error> {
    let bytes = pem.as_bytes();
    let known = [DecodingKey::from_rsa_pem(bytes), DecodingKey::from_ec_pem(bytes), DecodingKey::from_ed_pem(bytes)];
    if known.iter().any(Result::is_ok) {
        return Ok(());
    }
    Err(Error::Token("it is no public key of RSA, ECDSA or EdDSA in PEM".into()))
}

/// The header of a token whose algorithm is accepted, and how its signature is checked.
fn accepted(token: &str, algorithms: &[String]) -> Result<(Header, Validation), Unaccepted> {
    // Read by itself first: there are algorithms that no one here checks, and tokens that are not signed.
    let encoded = token.split('.').next().unwrap_or_default();
    let named = part(encoded).and_then(|header| Some(header.get("alg")?.as_str()?.to_owned()));
    if let Some(name) = named.filter(|name| name.starts_with("HS") || !algorithms.contains(name)) {
        return Err(Unaccepted::Algorithm { name });
    }
    let header = decode_header(token).map_err(|error| Error::Token(error.to_string()))?;
    let name = format!("{:?}", header.alg);
    if name.starts_with("HS") || !algorithms.contains(&name) {
        return Err(Unaccepted::Algorithm { name });
    }
    let mut validation = Validation::new(header.alg);
    // Time, issuer and audience are compared by the caller, who knows the time.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    Ok((header, validation))
}

/// The issuer that a token names, without any check: to find who could check it.
pub fn claimed_issuer(token: &str) -> Option<String> {
    part(token.split('.').nth(1)?)?.get("iss")?.as_str().map(str::to_owned)
}

/// What a part of a token says.
fn part(encoded: &str) -> Option<Value> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?;
    serde_json::from_slice(&bytes).ok()
}
