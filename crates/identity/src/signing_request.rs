//! What a request for a certificate says about its subject.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::Error;

/// The organizations (groups) in the subject of a request in PEM.
///
/// # Errors
/// It is no request.
pub fn organizations_of_request(pem: &[u8]) -> Result<Vec<String>, Error> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|error| Error::Tls(error.to_string()))?;
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|error| Error::Tls(error.to_string()))?;
    let subject = &request.certification_request_info.subject;
    Ok(subject.iter_organization().filter_map(|it| it.as_str().ok()).map(str::to_owned).collect())
}
