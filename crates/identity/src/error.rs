use std::io;
use std::path::PathBuf;

/// Why an identity could not be made, loaded or believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key or certificate file could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key or certificate file could not be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("issue a certificate for {subject:?}")]
    Issue {
        /// Its common name.
        subject: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A stored key or certificate is damaged.
    #[error("{what} is not valid: {reason}; restore it from a backup or remove the folder to make new ones")]
    Damaged {
        /// Which one.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// TLS cannot be set up from these certificates.
    #[error("set up TLS: {0}")]
    Tls(String),
    /// A certificate that a peer presented cannot be read.
    #[error("the client certificate cannot be read: {0}")]
    PeerCertificate(String),
    /// A request for a certificate cannot be read or fulfilled.
    #[error("the certificate request cannot be used: {0}")]
    CertificateRequest(String),
    /// A token is malformed, expired or not ours. The text does not contain the token.
    #[error("the token is not valid: {0}")]
    Token(String),
}
