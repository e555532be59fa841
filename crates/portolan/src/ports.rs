//! Listening sockets, with a helpful error when somebody else has the port.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;

/// Binds a TCP listener; on a conflict the error names the process that holds the port.
pub(crate) async fn listen(address: SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holder = match holder(address.port()) {
                Some(process) => format!("{process} holds it"),
                None => "another process holds it".into(),
            };
            Err(anyhow!(
                "port {} for {what} is taken: {holder}; stop that process or choose another port with {flag}",
                address.port()
            ))
        }
        Err(error) => Err(error).with_context(|| format!("listen on {address} for {what}")),
    }
}

/// `name (process id)` of the process that listens on a TCP port, if `/proc` shows it.
fn holder(port: u16) -> Option<String> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let inode = tables.iter().find_map(|table| listening_inode(table, port))?;
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
/// local address in hexadecimal, column 3 the state (`0A` listens), column 9 the inode.
fn listening_inode(table: &str, port: u16) -> Option<&str> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (columns.get(1)?.ends_with(&suffix) && *columns.get(3)? == "0A").then(|| columns.get(9).copied())?
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
}
