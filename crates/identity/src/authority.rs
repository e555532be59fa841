//! The cluster's certificate authority.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use crate::{Error, files};

/// How long the authority itself is valid. Replacing it touches every client, so it is long.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Certificates are valid from a little before now, so that a peer whose clock is behind accepts them.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// A certificate with its private key, both PEM.
#[derive(Clone)]
pub struct KeyPairPem {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key (PKCS #8).
    pub key_pem: String,
}

impl std::fmt::Debug for KeyPairPem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyPairPem").finish_non_exhaustive()
    }
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To prove a server.
    Server,
    /// To prove a client.
    Client,
    /// Both (a node's).
    ServerAndClient,
}

/// The number of `O`.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

/// What a certificate shall say.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the user or server (`CN`).
    pub common_name: String,
    /// Groups of the user (`O`).
    pub organizations: [Option<String>; 2],
    /// DNS names of the server.
    pub dns_names: Vec<String>,
    /// Addresses of the server.
    pub addresses: Vec<IpAddr>,
    /// What it may be used for.
    pub usage: Usage,
    /// For how long from now.
    pub valid_for: Duration,
}

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Loads `ca.crt` and `ca.key` from a folder, or makes them there if neither exists.
    ///
    /// # Errors
    /// Files that cannot be read or written; a damaged pair; only one of the two files present.
    pub fn load_or_create(directory: &Path, common_name: &str) -> Result<Self, Error> {
        let (certificate_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
        match (files::read(&certificate_path)?, files::read(&key_path)?) {
            (Some(certificate), Some(key)) => Self::from_pem(certificate, &key),
            // The key is written first: a certificate without a key cannot be the trace of a crash.
            (None, _) => {
                let (certificate, key) = generate(common_name)?;
                files::write_private(&key_path, &key)?;
                files::write_private(&certificate_path, &certificate)?;
                Self::from_pem(certificate, &key)
            }
            (Some(_), None) => Err(Error::Damaged {
                what: directory.display().to_string(),
                reason: "ca.crt is there without ca.key".into(),
            }),
        }
    }

    /// Makes an authority that is kept elsewhere than in files; [`Self::from_key_pair`] takes it up again.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn create(common_name: &str) -> Result<KeyPairPem, Error> {
        let (certificate_pem, key_pem) = generate(common_name)?;
        Ok(KeyPairPem { certificate_pem, key_pem })
    }

    /// The authority with this certificate and key.
    ///
    /// # Errors
    /// A damaged pair.
    pub fn from_key_pair(pair: KeyPairPem) -> Result<Self, Error> {
        Self::from_pem(pair.certificate_pem, &pair.key_pem)
    }

    fn from_pem(certificate_pem: String, key_pem: &str) -> Result<Self, Error> {
        let damaged =
            |error: rcgen::Error| Error::Damaged { what: "the cluster's CA".into(), reason: error.to_string() };
        let key = KeyPair::from_pem(key_pem).map_err(damaged)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(damaged)?;
        Ok(Self { certificate_pem, issuer })
    }

    /// The authority's certificate: what clients trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The key that signs.
    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// Makes a key and a certificate for it.
    ///
    /// # Errors
    /// Names that cannot stand in a certificate.
    pub fn issue(&self, request: &Request) -> Result<KeyPairPem, Error> {
        let failed = |source| Error::Issue { subject: request.common_name.clone(), source };
        let mut params = CertificateParams::new(request.dns_names.clone()).map_err(failed)?;
        params.subject_alt_names.extend(request.addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, request.common_name.as_str());
        // The library holds one value for each of its types, so that the second one goes by its number.
        let types = [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION.to_vec())];
        for (r#type, organization) in types.into_iter().zip(&request.organizations) {
            if let Some(organization) = organization {
                params.distinguished_name.push(r#type, organization.as_str());
            }
        }
        (params.not_before, params.not_after) = validity(request.valid_for);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match request.usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::ServerAndClient => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(KeyPairPem { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn generate(common_name: &str) -> Result<(String, String), Error> {
    let failed = |source| Error::Issue { subject: common_name.to_owned(), source };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    (params.not_before, params.not_after) = validity(AUTHORITY_LIFETIME);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn validity(lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - CLOCK_SKEW, now + lifetime)
}
