//! Listening sockets, with a helpful error when somebody else has the port.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;

/// Binds a TCP listener; on a conflict the error names the process that holds the port.
pub(crate) async fn listen(address: SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(anyhow!("{}; stop that process or choose another port with {flag}", taken(address, what)))
        }
        Err(error) => Err(error).with_context(|| format!("listen on {address} for {what}")),
    }
}

/// Says that a port is taken, and by whom.
pub(crate) fn taken(address: SocketAddr, what: &str) -> String {
    let port = address.port();
    match holder(address) {
        Some(process) => format!("port {port} for {what} is taken: {process} holds it"),
        None => format!("port {port} for {what} is taken: another process holds it"),
    }
}

/// `name (process id)` of the process that is in the way of an address, TCP or UDP, if `/proc` shows it.
fn holder(address: SocketAddr) -> Option<String> {
    let tables = ["tcp", "tcp6", "udp", "udp6"]
        .map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let inode = tables.iter().find_map(|table| listening_inode(table, address))?;
    let link = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(id) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(files) = process.path().join("fd").read_dir() else { continue };
        let holds = |path: &Path| std::fs::read_link(path).is_ok_and(|target| target.as_os_str() == link.as_str());
        if files.flatten().any(|file| holds(&file.path())) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// The socket inode of a listener in the format of `/proc/net/tcp` (proc(5)): column 1 is the
/// local address in hexadecimal, column 3 the state (`0A` listens; UDP has `07` for a socket that
/// takes datagrams from anyone), column 9 the inode.
fn listening_inode(table: &str, address: SocketAddr) -> Option<&str> {
    let port = format!("{:04X}", address.port());
    // The table shows addresses in the machine's byte order. One that is mapped into IPv6 ends alike.
    let own = match address.ip() {
        IpAddr::V4(address) => format!("{:08X}", u32::from_ne_bytes(address.octets())),
        IpAddr::V6(_) => String::new(),
    };
    let in_the_way = |other: &str| {
        address.ip().is_unspecified() || other.bytes().all(|digit| digit == b'0') || other.ends_with(&own)
    };
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (other, other_port) = columns.get(1)?.split_once(':')?;
        let listens = ["0A", "07"].contains(columns.get(3)?);
        (listens && other_port == port && in_the_way(other)).then(|| columns.get(9).copied())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = taken.local_addr().expect("bound");
        let error = listen(address, "the API", "--listen").await.expect_err("taken").to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        assert!(error.contains("--listen"), "{error}");
    }

    #[tokio::test]
    async fn a_holder_of_a_datagram_port_is_found() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let own = format!("(process {})", std::process::id());
        for (address, in_the_way) in [("127.0.0.1", true), ("0.0.0.0", true), ("127.0.0.2", false)] {
            let address = SocketAddr::new(address.parse().expect("an address"), port);
            assert_eq!(holder(address).is_some_and(|holder| holder.contains(&own)), in_the_way, "{address}");
        }
    }
}
