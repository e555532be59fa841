//! Certificates for keys that others hold: reading their requests (PKCS #10) and signing them.
//!
//! A certificate takes subject, key and names over from the request byte by byte, so that nothing
//! of them is lost: several organizations in the subject, for example.

use std::net::IpAddr;

use aws_lc_rs::digest;
use portolan_base::Timestamp;
use rcgen::{PublicKeyData, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Authority, Error, der};

/// What a request for a certificate says, its own signature checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Common name of the subject.
    pub common_name: String,
    /// Organizations of the subject, in order.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// Mail addresses.
    pub mail_addresses: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
    subject: Vec<u8>,
    key_info: Vec<u8>,
    key: Vec<u8>,
    alternative_names: Option<Vec<u8>>,
}

impl CertificateRequest {
    /// Reads a PEM request and checks that its sender holds the key.
    ///
    /// # Errors
    /// It is no request, or its signature is wrong.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let bad = |reason: String| Error::CertificateRequest(reason);
        let bytes = CertificateSigningRequestDer::from_pem_slice(pem)
            .map_err(|_| bad("PEM block type must be CERTIFICATE REQUEST".into()))?;
        let (_, request) = X509CertificationRequest::from_der(&bytes).map_err(|error| bad(format!("asn1: {error}")))?;
        let algorithm = request.signature_algorithm.algorithm.to_id_string();
        request.verify_signature().map_err(|_| bad(misfit(&algorithm).into()))?;
        let info = &request.certification_request_info;
        let mut read = Self {
            subject: info.subject.as_raw().to_vec(),
            key_info: info.subject_pki.raw.to_vec(),
            key: info.subject_pki.subject_public_key.data.to_vec(),
            ..Self::default()
        };
        for name in info.subject.iter_common_name() {
            read.common_name = name.as_str().map_err(|error| bad(error.to_string()))?.to_owned();
        }
        for name in info.subject.iter_organization() {
            read.organizations.push(name.as_str().map_err(|error| bad(error.to_string()))?.to_owned());
        }
        let extensions = info.iter_attributes().filter_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(asked) => Some(&asked.extensions),
            _ => None,
        });
        for extension in extensions.flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                read.alternative_names = Some(extension.value.to_vec());
                names.general_names.iter().try_for_each(|name| read.take_name(name))?;
            }
        }
        Ok(read)
    }

    fn take_name(&mut self, name: &GeneralName<'_>) -> Result<(), Error> {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.mail_addresses.push((*name).to_owned()),
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                self.addresses.push(address.map_err(|_| Error::CertificateRequest("an IP address is damaged".into()))?);
            }
            _ => return Err(Error::CertificateRequest("it has a name of a type that is not supported".into())),
        }
        Ok(())
    }
}

/// What Go says of a signature that does not fit its key, which depends on its algorithm.
fn misfit(algorithm: &str) -> &'static str {
    match algorithm {
        "1.3.101.112" => "x509: Ed25519 verification failure",
        rsa if rsa.starts_with("1.2.840.113549.1.1.") => "crypto/rsa: verification error",
        _ => "x509: ECDSA verification failure",
    }
}

/// What a key may be used for, in the words of the API (`certificates.k8s.io`).
const KEY_USAGES: [(&str, u32); 9] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
];

/// Purposes, and the last number of their object id below `1.3.6.1.5.5.7.3`.
const EXTENDED_KEY_USAGES: [(&str, u8); 7] = [
    ("server auth", 1),
    ("client auth", 2),
    ("code signing", 3),
    ("email protection", 4),
    ("s/mime", 4),
    ("timestamping", 8),
    ("ocsp signing", 9),
];

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const BASIC_CONSTRAINTS: u8 = 19;
const KEY_USAGE: u8 = 15;
const EXTENDED_KEY_USAGE: u8 = 37;
const ALTERNATIVE_NAMES: u8 = 17;
const SUBJECT_KEY: u8 = 14;
const AUTHORITY_KEY: u8 = 35;

impl Authority {
    /// Signs a certificate for the key of a request: its subject and names, these usages, valid
    /// between these times. PEM.
    ///
    /// # Errors
    /// A usage that is not known, or a time that cannot stand in a certificate.
    pub fn sign(
        &self,
        request: &CertificateRequest,
        usages: &[String],
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<String, Error> {
        let damaged = |reason: String| Error::Damaged { what: "the cluster's CA".into(), reason };
        let own = CertificateDer::from_pem_slice(self.certificate_pem().as_bytes())
            .map_err(|error| damaged(error.to_string()))?;
        let (_, own) = X509Certificate::from_der(&own).map_err(|error| damaged(error.to_string()))?;
        let algorithm = der::joined(der::SEQUENCE, &[&der::element(der::OBJECT_ID, ECDSA_WITH_SHA256)]);
        let key = self.key();
        let subject_key = identifier(&request.key);
        let mut extensions = usage_extensions(usages)?;
        extensions.push(extension(BASIC_CONSTRAINTS, true, &der::element(der::SEQUENCE, &[])));
        extensions.push(extension(SUBJECT_KEY, false, &der::element(der::OCTET_STRING, &subject_key)));
        let authority_key = own
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            })
            .unwrap_or_else(|| identifier(key.der_bytes()));
        // Number 0, implicit: the key's id without a tag of its own.
        let authority_key = der::joined(der::SEQUENCE, &[&der::element(0x80, &authority_key)]);
        extensions.push(extension(AUTHORITY_KEY, false, &authority_key));
        if let Some(names) = &request.alternative_names {
            extensions.push(extension(ALTERNATIVE_NAMES, false, names));
        }
        let extensions = der::joined(der::SEQUENCE, &[&extensions.concat()]);
        let body = der::joined(
            der::SEQUENCE,
            &[
                // Version 3.
                &der::joined(der::explicit(0), &[&der::unsigned(&[2])]),
                &der::unsigned(&serial()?),
                &algorithm,
                own.subject().as_raw(),
                &der::joined(der::SEQUENCE, &[&moment(not_before)?, &moment(not_after)?]),
                &request.subject,
                &request.key_info,
                &der::joined(der::explicit(3), &[&extensions]),
            ],
        );
        let failed = |source| Error::Issue { subject: request.common_name.clone(), source };
        let signature = key.sign(&body).map_err(failed)?;
        let certificate = der::joined(der::SEQUENCE, &[&body, &algorithm, &der::bits(&signature)]);
        Ok(pem("CERTIFICATE", &certificate))
    }
}

fn usage_extensions(usages: &[String]) -> Result<Vec<Vec<u8>>, Error> {
    let (mut bits, mut purposes) = (0u16, Vec::new());
    for usage in usages {
        if let Some((_, bit)) = KEY_USAGES.iter().find(|(name, _)| name == usage) {
            // Bit 0 of the extension is the highest.
            bits |= 0x8000 >> bit;
        } else if let Some((_, number)) = EXTENDED_KEY_USAGES.iter().find(|(name, _)| name == usage) {
            purposes.push(der::element(der::OBJECT_ID, &[0x2b, 6, 1, 5, 5, 7, 3, *number]));
        } else {
            return Err(Error::CertificateRequest(format!("the usage \"{usage}\" is not known")));
        }
    }
    let mut extensions = Vec::new();
    if bits != 0 {
        let unused = (bits >> 8).trailing_zeros() as u8;
        let value = der::element(der::BIT_STRING, &[unused, (bits >> 8) as u8]);
        extensions.push(extension(KEY_USAGE, true, &value));
    }
    if !purposes.is_empty() {
        extensions.push(extension(EXTENDED_KEY_USAGE, false, &der::joined(der::SEQUENCE, &[&purposes.concat()])));
    }
    Ok(extensions)
}

/// An extension below `2.5.29`.
fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    der::joined(
        der::SEQUENCE,
        &[&der::element(der::OBJECT_ID, &[0x55, 0x1d, number]), critical, &der::element(der::OCTET_STRING, value)],
    )
}

/// The id of a key: the first 20 bytes of its digest (RFC 7093, method 1).
fn identifier(key: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, key).as_ref()[..20].to_vec()
}

fn serial() -> Result<[u8; 16], Error> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| Error::Tls("the system has no random numbers".into()))?;
    serial[0] &= 0x7f;
    Ok(serial)
}

/// A time as RFC 5280 writes it: with two digits for the year until 2049.
fn moment(time: Timestamp) -> Result<Vec<u8>, Error> {
    let time = OffsetDateTime::from_unix_timestamp(time.as_second())
        .map_err(|error| Error::CertificateRequest(error.to_string()))?;
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let rest = format!("{month:02}{day:02}{:02}{:02}{:02}Z", time.hour(), time.minute(), time.second());
    Ok(match year {
        1950..2050 => der::element(der::UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes()),
        0..10000 => der::element(der::GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes()),
        _ => return Err(Error::CertificateRequest(format!("the year {year} cannot stand in a certificate"))),
    })
}

fn pem(label: &str, bytes: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;
    use crate::user_of_certificate;

    fn request(subject: &[(DnType, &str)], names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().expect("a key");
        params.serialize_request(&key).and_then(|request| request.pem()).expect("a request")
    }

    #[test]
    fn a_signed_certificate_says_what_was_asked_for_and_who_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::load_or_create(folder.path(), "ca").expect("an authority");
        let subject = [(DnType::CommonName, "system:node:n1"), (DnType::OrganizationName, "system:nodes")];
        let pem = request(&subject, &["n1", "10.0.0.1"]);
        let read = CertificateRequest::from_pem(pem.as_bytes()).expect("reads");
        assert_eq!((&*read.common_name, &*read.organizations), ("system:node:n1", &["system:nodes".to_owned()][..]));
        assert_eq!(read.dns_names, ["n1"]);
        assert_eq!(read.addresses, ["10.0.0.1".parse::<IpAddr>().expect("an address")]);
        let now: Timestamp = "2049-06-01T00:00:00Z".parse().expect("a time");
        let end: Timestamp = "2051-06-01T00:00:00Z".parse().expect("a time");
        let usages = ["digital signature".to_owned(), "key encipherment".to_owned(), "client auth".to_owned()];
        let signed = authority.sign(&read, &usages, now, end).expect("signs");
        let bytes = CertificateDer::from_pem_slice(signed.as_bytes()).expect("PEM");
        let (_, certificate) = X509Certificate::from_der(&bytes).expect("a certificate");
        let own = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).expect("PEM");
        let (_, own) = X509Certificate::from_der(&own).expect("a certificate");
        certificate.verify_signature(Some(own.public_key())).expect("signed by the authority");
        assert_eq!(certificate.issuer().as_raw(), own.subject().as_raw());
        assert_eq!(certificate.validity().not_after.timestamp(), end.as_second());
        let usage = certificate.key_usage().expect("one").expect("there").value;
        assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
        assert!(certificate.extended_key_usage().expect("one").expect("there").value.client_auth);
        assert!(!certificate.is_ca());
        assert_eq!(user_of_certificate(&bytes).expect("a user").name, "system:node:n1");
        let unknown = authority.sign(&read, &["flying".to_owned()], now, end).expect_err("refused");
        assert!(unknown.to_string().contains("flying"), "{unknown}");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let good = request(&[(DnType::CommonName, "a")], &[]);
        let text: String = good.lines().filter(|line| !line.starts_with('-')).collect();
        let mut bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).expect("base64");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        for bad in ["", "hello", &super::pem("CERTIFICATE", &bytes), &super::pem("CERTIFICATE REQUEST", &bytes)] {
            assert!(CertificateRequest::from_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
