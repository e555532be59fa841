//! Who is who: the certificate authority, certificates of users and nodes, service-account tokens.
//!
//! Keys are P-256 everywhere: a key is made in well under a millisecond, so the first start of a
//! cluster does not wait for one.

mod authority;
mod der;
mod error;
mod files;
mod jwt;
mod signing;
mod signing_request;
mod tls;
mod token;
mod token_keys;
mod user;

pub use authority::{Authority, KeyPairPem, Request, Usage};
pub use error::Error;
pub use files::write_private;
pub use jwt::{PublicKeys, Unaccepted, check_public_key, claimed_issuer, verify_with_pem};
pub use signing::CertificateRequest;
pub use signing_request::organizations_of_request;
pub use tls::{client_tls, client_verifier, server_tls, server_tls_for_any_certificate};
pub use token::{BoundObject, Claims, LegacyClaims, TokenIssuer};
pub use token_keys::TokenSettings;
pub use user::{PODS_GROUP, User, user_of_certificate, validity_of_certificate};

/// The SHA-256 digest of some bytes: recognizes a secret without keeping it.
pub fn digest(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}
