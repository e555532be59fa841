//! Whom a webhook's client trusts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WantsClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// How the checks say that a certificate of an authority is used as one of a server.
const USED_AS_SERVER: &str = "CaUsedAsEndEntity";

/// Settings of a client that trusts the certificates of `bundle` (PEM in base64), or those that the machine
/// trusts if it is empty. The error is a text for whoever waits for the webhook.
pub(super) fn client(bundle: &str) -> Result<Arc<ClientConfig>, String> {
    let mut config = trusting(bundle)?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same, before it is settled whether the client has a certificate.
pub(crate) fn trusting(bundle: &str) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let pem = if bundle.is_empty() {
        portolan_base::trust::system_bundle().and_then(|path| std::fs::read(path).ok()).unwrap_or_default()
    } else {
        STANDARD.decode(bundle).map_err(|error| format!("caBundle: {error}"))?
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier(&pem, !bundle.is_empty())?);
    Ok(builder)
}

/// Checks the certificates of servers against authorities in PEM. If those were named for one server, one of them may be
/// its own certificate.
pub(crate) fn verifier(pem: &[u8], were_named: bool) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let mut trusted = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem).flatten() {
        // A bundle may hold certificates that are of no use here; the others count.
        if roots.add(certificate.clone()).is_ok() && were_named {
            trusted.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err("tls: failed to verify certificate: x509: certificate signed by unknown authority".into());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(Verifier { inner, trusted }))
}

/// The usual checks, and one allowance that clients in Go make: a self-signed certificate which is itself in
/// the bundle is trusted although it says that it belongs to an authority.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let outcome = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        // The times of the certificate were looked at before what it may be used for.
        let is_authority = matches!(
            &outcome,
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string() == USED_AS_SERVER
        );
        if !is_authority || !self.trusted.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            return outcome;
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Why a connection could not be secured, in the words of clients in Go where they have some.
pub(crate) fn told(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = inner else { return error.to_string() };
    let why = match why {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        CertificateError::Expired | CertificateError::NotValidYet => {
            "certificate has expired or is not yet valid".to_owned()
        }
        other => other.to_string(),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}
