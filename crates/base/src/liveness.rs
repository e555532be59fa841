//! Noticing that the other side of a connection is gone without a word: its machine died, or the way to it.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{KeepAlive, TcpKeepCount, TcpKeepIdle, TcpKeepInterval, TcpUserTimeout};

/// How long the other side of a connection may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// Silence after which it is asked whether it is there; whole seconds.
    pub idle: Duration,
    /// How often it is asked then; whole seconds.
    pub interval: Duration,
    /// How many times without an answer.
    pub probes: u32,
    /// What was sent and is not acknowledged for so long ends the connection; the system's quarter of an hour if
    /// that is not said.
    pub unacknowledged: Option<Duration>,
}

impl Liveness {
    /// What Go's servers ask of their connections, and with them those of Kubernetes: gone after two and a half minutes.
    pub const SERVER: Self =
        Self { idle: Duration::from_secs(15), interval: Duration::from_secs(15), probes: 9, unacknowledged: None };

    /// Lets the system end a connection whose other side is gone.
    ///
    /// # Errors
    /// The socket is none of TCP.
    pub fn watch(self, socket: &impl AsFd) -> nix::Result<()> {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        setsockopt(socket, KeepAlive, &true)?;
        setsockopt(socket, TcpKeepIdle, &seconds(self.idle))?;
        setsockopt(socket, TcpKeepInterval, &seconds(self.interval))?;
        setsockopt(socket, TcpKeepCount, &self.probes)?;
        let unacknowledged = self.unacknowledged.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        unacknowledged.map_or(Ok(()), |milliseconds| setsockopt(socket, TcpUserTimeout, &milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_watched() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let (stream, _client) = (accepted.expect("a connection").0, client.expect("a connection"));
        Liveness::SERVER.watch(&stream).expect("sockets can be watched");
        assert!(getsockopt(&stream, KeepAlive).expect("an option"));
        assert_eq!(getsockopt(&stream, TcpKeepIdle), Ok(15));
        assert_eq!(getsockopt(&stream, TcpUserTimeout), Ok(0));
        let impatient = Liveness { unacknowledged: Some(Duration::from_secs(30)), ..Liveness::SERVER };
        impatient.watch(&stream).expect("sockets can be watched");
        assert_eq!(getsockopt(&stream, TcpUserTimeout), Ok(30_000));
    }
}
