//! TLS settings from certificates.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::{Error, KeyPairPem};

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Settings of a server that asks for a client certificate of `client_ca_pem` but also serves
/// clients without one (they may hold a token). A client with any other certificate is not served.
///
/// # Errors
/// Certificates that cannot be used.
pub fn server_tls(key_pair: &KeyPairPem, client_ca_pem: &str) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca_pem)?), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(tls)?;
    server(key_pair, provider, verifier)
}

/// Settings of a server that asks for a client certificate of `client_ca_pem` and takes any: a client proves in the
/// handshake that it holds the key of its certificate, and nothing more.
///
/// Whoever serves with these settings checks each certificate (with [`client_verifier`]) before believing what it
/// says. This way a client whose certificate has expired learns that from an answer, and may prove itself in another
/// way. A server that does not check takes [`server_tls`].
///
/// # Errors
/// Certificates that cannot be used.
pub fn server_tls_for_any_certificate(key_pair: &KeyPairPem, client_ca_pem: &str) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let wanted = roots(client_ca_pem)?.subjects();
    server(key_pair, provider.clone(), Arc::new(Holder { provider, wanted }))
}

fn server(
    key_pair: &KeyPairPem,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, Error> {
    let (certificates, key) = parse(key_pair)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)
        .map_err(tls)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}

/// Wants clients to hold the key of what they show, whoever vouches for it.
#[derive(Debug)]
struct Holder {
    provider: Arc<CryptoProvider>,
    wanted: Vec<DistinguishedName>,
}

impl ClientCertVerifier for Holder {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.wanted
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Says whether a client certificate is one of `ca_pem`.
///
/// # Errors
/// Certificates that cannot be used.
pub fn client_verifier(ca_pem: &str) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider).build().map_err(tls)
}

/// Settings of a client that trusts `ca_pem` and presents `key_pair` if there is one.
///
/// # Errors
/// Certificates that cannot be used.
pub fn client_tls(ca_pem: &str, key_pair: Option<&KeyPairPem>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_root_certificates(roots(ca_pem)?);
    let config = match key_pair {
        Some(key_pair) => {
            let (certificates, key) = parse(key_pair)?;
            builder.with_client_auth_cert(certificates, key).map_err(tls)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(ca_pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.map_err(tls)?).map_err(tls)?;
    }
    if roots.is_empty() {
        return Err(Error::Tls("the authority's file holds no certificate".into()));
    }
    Ok(roots)
}

fn parse(key_pair: &KeyPairPem) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let certificates = CertificateDer::pem_slice_iter(key_pair.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(tls)?;
    let key = PrivateKeyDer::from_pem_slice(key_pair.key_pem.as_bytes()).map_err(tls)?;
    Ok((certificates, key))
}

fn tls(error: impl std::fmt::Display) -> Error {
    Error::Tls(error.to_string())
}
