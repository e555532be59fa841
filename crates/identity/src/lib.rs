//! Who is who: the certificate authority, certificates of users and nodes, service-account tokens.
//!
//! Keys are P-256 everywhere: a key is made in well under a millisecond, so the first start of a
//! cluster does not wait for one.

mod authority;
mod error;
mod files;
mod signing_request;
mod tls;
mod token;
mod user;

pub use authority::{Authority, KeyPairPem, Request, Usage};
pub use error::Error;
pub use files::write_private;
pub use signing_request::organizations_of_request;
pub use tls::{client_tls, server_tls};
pub use token::{BoundObject, Claims, TokenIssuer};
pub use user::{User, user_of_certificate};
