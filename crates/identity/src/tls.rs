//! TLS settings from certificates.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Error, KeyPairPem};

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Settings of a server that asks for a client certificate of `client_ca_pem` but also serves
/// clients without one (they may hold a token).
///
/// # Errors
/// Certificates that cannot be used.
pub fn server_tls(key_pair: &KeyPairPem, client_ca_pem: &str) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca_pem)?), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(tls)?;
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
