//! Connecting to ports inside a sandbox.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

/// A connection inside one machine is made or refused at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to a port on the loopback addresses of a network name space; `None` means the machine's own.
pub(super) async fn connect(namespace: Option<PathBuf>, port: u16) -> io::Result<tokio::net::TcpStream> {
    let (done, result) = oneshot::channel();
    // Entering a name space changes the thread for good, so it gets one of its own that ends here.
    std::thread::Builder::new().name("pod-connect".to_owned()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = done.send(connect_here(namespace, port));
    })?;
    let stream = result.await.map_err(|_| io::Error::other("the connecting thread ended without an answer"))??;
    stream.set_nonblocking(true)?;
    tokio::net::TcpStream::from_std(stream)
}

fn connect_here(namespace: Option<PathBuf>, port: u16) -> io::Result<TcpStream> {
    if let Some(path) = namespace {
        setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
    }
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let second = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&first, CONNECT_TIMEOUT)
        // The first reason is the one that people look for.
        .or_else(|error| TcpStream::connect_timeout(&second, CONNECT_TIMEOUT).map_err(|_| error))
}
