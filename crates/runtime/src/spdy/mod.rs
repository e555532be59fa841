//! SPDY/3.1: several byte streams over one connection.
//!
//! Kubernetes' older remote-command and port-forward protocols run on it. Container runtimes serve
//! it, `kubectl` speaks it, so this codec takes both roles.
//!
//! Flow control: the widespread Go implementation neither sends WINDOW_UPDATE nor honours it. Windows
//! are therefore obeyed only from the moment the peer shows that it takes part, and a stream whose
//! reader is slow stops the reading of the whole connection once [`Limits::buffer`] bytes wait. A
//! client also returns them only from then on: a server closes its connection as soon as it has
//! written everything, and a kernel that gets more for a connection that is closed resets it and
//! throws away what it has not delivered yet (RFC 9293, section 3.6.1).
//!
//! ```no_run
//! # async fn example(socket: tokio::net::TcpStream) -> Result<(), portolan_runtime::spdy::Error> {
//! use portolan_runtime::spdy::{Connection, Limits, Role};
//! let connection = Connection::new(socket, Role::Server, Limits::default());
//! while let Some(stream) = connection.accept_stream().await? {
//!     println!("stream of type {:?}", stream.headers().get("streamtype"));
//! }
//! connection.close().await;
//! # Ok(()) }
//! ```

mod connection;
mod dictionary;
mod frame;
mod headers;
mod state;
mod stream;
#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use frame::ResetReason;
pub use headers::Headers;
pub use stream::Stream;

/// Which side of a connection this is. Clients open streams with odd ids, servers with even ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that opened the connection.
    Client,
    /// The side that accepted it.
    Server,
}

/// What a peer may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams open at the same time; more are refused.
    pub streams: usize,
    /// Bytes of one expanded header block; more end the connection.
    pub header_bytes: usize,
    /// Bytes received on one stream and not read yet; then reading pauses.
    pub buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 256, header_bytes: 64 * 1024, buffer: 256 * 1024 }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent something that no correct peer sends.
    #[error("SPDY protocol error: {0}")]
    Protocol(&'static str),
    /// The transport failed.
    #[error("SPDY connection failed: {0}")]
    Transport(String),
    /// The connection has ended or is about to.
    #[error("the SPDY connection is closed")]
    Closed,
    /// The peer refused or reset the stream.
    #[error("the peer reset the stream: {0:?}")]
    Reset(ResetReason),
}
