//! Whose certificates a check believes.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// The operating system's roots and the cluster's own authority. Read once, when first needed.
#[derive(Debug, Clone, Default)]
pub struct Trust(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    authority_pem: Option<String>,
    verified: OnceLock<Result<Arc<ClientConfig>, String>>,
    unverified: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Trust {
    /// Also believes this authority.
    pub fn with_authority(authority_pem: Option<String>) -> Self {
        Self(Arc::new(Inner { authority_pem, ..Inner::default() }))
    }

    /// Settings of a connection.
    ///
    /// # Errors
    /// The authority's certificate or the provider is unusable.
    pub fn config(&self, skip_verify: bool) -> Result<Arc<ClientConfig>, String> {
        match skip_verify {
            true => self.0.unverified.get_or_init(unverified).clone(),
            false => self.0.verified.get_or_init(|| verified(self.0.authority_pem.as_deref())).clone(),
        }
    }
}

fn verified(authority_pem: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = portolan_base::trust::system_bundle() {
        let certificates = CertificateDer::pem_file_iter(&path);
        let certificates = certificates.map_err(|error| format!("read {}: {error}", path.display()))?;
        // Bundles contain old certificates that nobody could use; those are left out.
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    }
    if let Some(pem) = authority_pem {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("the cluster's authority: {error}"))?;
            roots.add(certificate).map_err(|error| format!("the cluster's authority: {error}"))?;
        }
    }
    let builder = builder()?.with_root_certificates(roots);
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// TLS that accepts any certificate: asks whether the server answers, not who it is.
///
/// # Errors
/// The provider has no usable protocol version.
pub fn unverified() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)));
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

#[derive(Debug)]
struct AcceptAny(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
