//! Noticing that the other side of a connection is gone without a word: its machine died, or the way to it.

use std::os::fd::AsFd;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{KeepAlive, TcpKeepCount, TcpKeepIdle, TcpKeepInterval, TcpUserTimeout};

/// Seconds of silence after which the other side is asked whether it is there, how often, and how many times.
const IDLE: u32 = 10;
const INTERVAL: u32 = 5;
const PROBES: u32 = 3;
/// What was sent and is not acknowledged for so long, in milliseconds, ends the connection; without this the system
/// tries for a quarter of an hour, in which a registration that lives by the connection would be listed.
const UNACKNOWLEDGED: u32 = 30_000;

/// Lets the system end a connection whose other side is gone.
pub(crate) fn watch(socket: &impl AsFd) -> nix::Result<()> {
    setsockopt(socket, KeepAlive, &true)?;
    setsockopt(socket, TcpKeepIdle, &IDLE)?;
    setsockopt(socket, TcpKeepInterval, &INTERVAL)?;
    setsockopt(socket, TcpKeepCount, &PROBES)?;
    setsockopt(socket, TcpUserTimeout, &UNACKNOWLEDGED)
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
        watch(&stream).expect("sockets can be watched");
        assert!(getsockopt(&stream, KeepAlive).expect("an option"));
        assert_eq!(getsockopt(&stream, TcpKeepIdle).expect("an option"), IDLE);
        assert_eq!(getsockopt(&stream, TcpUserTimeout).expect("an option"), UNACKNOWLEDGED);
    }
}
