//! Keys of service-account tokens: the one that signs, and all by which tokens are verified.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::Error;

/// Keys and names of an issuer besides those that it makes for itself.
#[derive(Debug, Clone, Default)]
pub struct TokenSettings {
    /// Names of the issuer: the first is written into tokens, all are believed. Must not be empty.
    pub issuers: Vec<String>,
    /// A private key in PEM that signs instead of the folder's own: RSA, or ECDSA with P-256 or P-384.
    pub signing_key: Option<String>,
    /// Texts with keys in PEM, public or private, by which tokens are verified too.
    pub verification_keys: Vec<String>,
}

/// A key that signs.
pub(crate) struct SigningKey {
    pub(crate) encoding: EncodingKey,
    pub(crate) public: VerificationKey,
}

/// A key by which signatures are verified.
#[derive(Clone)]
pub(crate) struct VerificationKey {
    /// Names the key in the head of a token.
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
    /// As a JSON web key (RFC 7517).
    pub(crate) web_key: Value,
}

fn unusable(why: impl std::fmt::Display) -> Error {
    Error::Token(format!("a key of service-account tokens: {why}"))
}

impl SigningKey {
    /// Reads a private key in PEM.
    ///
    /// # Errors
    /// The text has no private key, or one that cannot sign tokens.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, Error> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(unusable)?;
        let public = public_half(&key)?;
        let encoding = match public.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(unusable)?,
            algorithm => {
                let curve = if algorithm == Algorithm::ES256 {
                    &ECDSA_P256_SHA256_ASN1_SIGNING
                } else {
                    &ECDSA_P384_SHA384_ASN1_SIGNING
                };
                let pair = EcdsaKeyPair::from_private_key_der(curve, key.secret_der()).map_err(unusable)?;
                EncodingKey::from_ec_der(pair.to_pkcs8v1().map_err(unusable)?.as_ref())
            }
        };
        Ok(Self { encoding, public })
    }
}

impl VerificationKey {
    /// Reads all keys of a text in PEM: public keys, certificates, and private keys, of which the public half is taken.
    ///
    /// # Errors
    /// The text has no key, or one that is neither RSA nor ECDSA with P-256 or P-384.
    pub(crate) fn all_from_pem(pem: &str) -> Result<Vec<Self>, Error> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
            let (kind, der) = section.map_err(unusable)?;
            keys.push(match kind {
                SectionKind::PublicKey => Self::from_info(&der)?,
                SectionKind::Certificate => {
                    let (_, certificate) = X509Certificate::from_der(&der).map_err(unusable)?;
                    Self::from_info(certificate.public_key().raw)?
                }
                SectionKind::PrivateKey => public_half(&PrivateKeyDer::Pkcs8(der.into()))?,
                SectionKind::RsaPrivateKey => public_half(&PrivateKeyDer::Pkcs1(der.into()))?,
                SectionKind::EcPrivateKey => public_half(&PrivateKeyDer::Sec1(der.into()))?,
                // Parameters of a curve, which openssl writes beside a key, a request, a list of revocations.
                _ => continue,
            });
        }
        if keys.is_empty() { Err(unusable("there is none in PEM")) } else { Ok(keys) }
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1).
    fn from_info(der: &[u8]) -> Result<Self, Error> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(unusable)?;
        let id = URL_SAFE_NO_PAD.encode(crate::digest(der));
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match info.parsed().map_err(unusable)? {
            PublicKey::RSA(key) => {
                // Numbers of DER have a zero before them if they would be read as negative.
                let number = |bytes: &[u8]| bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
                let (modulus, exponent) = (number(key.modulus), number(key.exponent));
                let web_key = json!({
                    "use": "sig", "kty": "RSA", "kid": id, "alg": "RS256", "n": text(&modulus), "e": text(&exponent),
                });
                let decoding = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                Ok(Self { id, algorithm: Algorithm::RS256, decoding, web_key })
            }
            PublicKey::EC(point) => {
                let (algorithm, name, curve, size) = match point.key_size() {
                    256 => (Algorithm::ES256, "ES256", "P-256", 32),
                    384 => (Algorithm::ES384, "ES384", "P-384", 48),
                    bits => {
                        return Err(unusable(format!("a curve of {bits} bits is not supported; use P-256 or P-384")));
                    }
                };
                // An uncompressed point is one tag byte and two coordinates (SEC 1, 2.3.3).
                let coordinates = point.data().strip_prefix(&[4]).filter(|both| both.len() == 2 * size);
                let Some((x, y)) = coordinates.and_then(|both| both.split_at_checked(size)) else {
                    return Err(unusable("its point is compressed, or not of its curve"));
                };
                let (x, y) = (text(x), text(y));
                let decoding = DecodingKey::from_ec_components(&x, &y).map_err(unusable)?;
                let web_key = json!({"use": "sig", "kty": "EC", "kid": id, "crv": curve, "alg": name, "x": x, "y": y});
                Ok(Self { id, algorithm, decoding, web_key })
            }
            _ => Err(unusable("it is neither RSA nor ECDSA")),
        }
    }
}

fn public_half(key: &PrivateKeyDer<'_>) -> Result<VerificationKey, Error> {
    let pair = KeyPair::try_from(key).map_err(unusable)?;
    VerificationKey::from_info(&pair.subject_public_key_info())
}
