//! Connections, and checks that need nothing more.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};

use super::http::Secrecy;

/// A connection, over TLS or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The parts of `host:port`; an IPv6 address stands in brackets.
///
/// # Errors
/// It is not of this form.
pub fn host_and_port(address: &str) -> Result<(&str, u16), String> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((host, port.parse::<u16>().ok().filter(|port| *port != 0)?))
    });
    parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| format!("{address:?} is not HOST:PORT"))
}

/// `host:port` with brackets where needed.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Connects; `protocol` is agreed on under TLS, if there is one.
///
/// # Errors
/// Why not, as people know it.
pub async fn connect(
    host: &str,
    port: u16,
    secrecy: &Secrecy,
    protocol: Option<&'static str>,
) -> Result<Box<dyn Stream>, String> {
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| format!("dial tcp {}: {error}", authority(host, port)))?;
    match secrecy {
        Secrecy::Plain => Ok(Box::new(stream)),
        Secrecy::Tls { config, name } => {
            let name = if name.is_empty() { host } else { name };
            let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
            let mut config = config.clone();
            if let Some(protocol) = protocol {
                Arc::make_mut(&mut config).alpn_protocols = vec![protocol.as_bytes().to_vec()];
            }
            let connected = tokio_rustls::TlsConnector::from(config).connect(name, stream).await;
            Ok(Box::new(connected.map_err(|error| error.to_string())?))
        }
    }
}

/// Whether somebody accepts connections.
///
/// # Errors
/// Why not.
pub async fn tcp(address: &str, secrecy: &Secrecy) -> Result<String, String> {
    let (host, port) = host_and_port(address)?;
    connect(host, port, secrecy, None).await?;
    Ok(format!("TCP connect {address}: Success"))
}

/// Whether a datagram is answered, or at least not refused within `timeout`.
///
/// # Errors
/// Why it could not be sent, or that it was refused.
pub async fn udp(address: &str, timeout: Duration) -> Result<String, String> {
    let (host, port) = host_and_port(address)?;
    let failed = |error: std::io::Error| format!("dial udp {address}: {error}");
    let exchange = async {
        let target = tokio::net::lookup_host((host, port)).await.map_err(failed)?.next();
        let target = target.ok_or_else(|| format!("dial udp {address}: no such host"))?;
        let own: SocketAddr = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await.map_err(failed)?;
        socket.connect(target).await.map_err(failed)?;
        socket.send(b"\n").await.map_err(failed)?;
        socket.recv(&mut [0; 1]).await.map_err(failed)?;
        Ok(())
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Ok(format!("UDP connect {address}: Success")),
    }
}
