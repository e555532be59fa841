//! HTTP requests of probes and hooks.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How much of an answer is kept for messages, as upstream.
const BODY_KEPT: usize = 10 << 10;

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    /// Address of the pod.
    pub(crate) address: Option<IpAddr>,
    /// For its ports' names.
    pub(crate) container: &'a Container,
}

impl Target<'_> {
    /// The address of the pod, or the host that the action names.
    pub(crate) fn host(&self, host: Option<&str>) -> Result<String, String> {
        match (host.filter(|host| !host.is_empty()), self.address) {
            (Some(host), _) => Ok(host.to_owned()),
            (None, Some(address)) => Ok(address.to_string()),
            (None, None) => Err("the pod has no address".to_owned()),
        }
    }

    /// A port by number or name.
    pub(crate) fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => *number,
            IntOrString::String(name) => {
                let ports = self.container.ports.as_deref().unwrap_or_default();
                match ports.iter().find(|port| port.name.as_deref() == Some(name)) {
                    Some(port) => port.container_port,
                    None => name.parse().map_err(|_| format!("couldn't find port: {name:?}"))?,
                }
            }
        };
        u16::try_from(number).ok().filter(|port| *port != 0).ok_or_else(|| format!("invalid port number: {number}"))
    }
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

/// Sends the request of an action; redirects are not followed.
///
/// # Errors
/// Why there is no answer, for the event.
pub(crate) async fn get(target: &Target<'_>, action: &HTTPGetAction) -> Result<Answer, String> {
    let (host, port) = (target.host(action.host.as_deref())?, target.port(&action.port)?);
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let secure = action.scheme.as_deref() == Some("HTTPS");
    let url = format!("{}://{authority}{path}", if secure { "https" } else { "http" });
    let failed = |error: String| format!("Get {url:?}: {error}");

    let mut request = Request::get(&path);
    let mut named = false;
    for header in action.http_headers.iter().flatten() {
        named |= header.name.eq_ignore_ascii_case("host");
        request = request.header(&header.name, &header.value);
    }
    if !named {
        request = request.header(http::header::HOST, &authority);
    }
    let agent = format!("kube-probe/{}", crate::registration::VERSION);
    let request = request.header(http::header::USER_AGENT, agent).header(http::header::CONNECTION, "close");
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(error.to_string()))?;

    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.map_err(|error| failed(format!("dial tcp {authority}: {error}")))?;
    if secure {
        let name = ServerName::try_from(host).map_err(|error| failed(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(unverified()?);
        let stream = connector.connect(name, stream).await.map_err(|error| failed(error.to_string()))?;
        send(stream, request).await.map_err(failed)
    } else {
        send(stream, request).await.map_err(failed)
    }
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let mut body = response.into_body();
        let mut kept = Vec::new();
        while kept.len() < BODY_KEPT {
            match body.frame().await {
                Some(Ok(frame)) => kept.extend(frame.into_data().unwrap_or_default()),
                // The status is what counts; a body that breaks off does not change it.
                Some(Err(_)) | None => break,
            }
        }
        kept.truncate(BODY_KEPT);
        Ok(Answer { status, body: String::from_utf8_lossy(&kept).into_owned() })
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end before the answer was read to its end.
        outcome = connection => match outcome {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

/// TLS that accepts any certificate: a probe asks whether the server answers, not who it is.
fn unverified() -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
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
