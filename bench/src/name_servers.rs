//! Name servers of other makers, with the same names and addresses, one thread each for UDP.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::process::{Server, free_port};

/// A name server to measure against, as Debian packages it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Maker {
    /// Knot DNS: a zone in memory.
    Knot,
    /// NSD: a zone compiled into answers.
    Nsd,
    /// Unbound: a resolver; the names are its local data.
    Unbound,
}

/// One that runs.
pub struct NameServer {
    /// The process that was started.
    pub server: Server,
    /// UDP port on the loopback address.
    pub port: u16,
}

/// A name with an address.
pub type Record = (String, String);

impl Maker {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Knot => "Knot",
            Self::Nsd => "NSD",
            Self::Unbound => "Unbound",
        }
    }

    /// Starts one that answers for a domain; the names are below that. It may need a while until it does.
    ///
    /// # Errors
    /// It is not installed, or its files cannot be written.
    pub fn start(
        self,
        folder: &Path,
        domain: &str,
        records: impl Iterator<Item = Record>,
    ) -> anyhow::Result<NameServer> {
        let (port, home) = (free_port()?, folder.join(format!("{}-{}", self.name(), free_port()?)));
        std::fs::create_dir_all(&home)?;
        let place = home.display();
        let (program, configuration) = match self {
            Self::Knot => {
                std::fs::write(home.join("zone"), zone(domain, records))?;
                let text = format!(
                    "server:\n  rundir: {place}\n  user: root\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                     background-workers: 1\ndatabase:\n  storage: {place}\nzone:\n  - domain: {domain}\n    storage: {place}\n    \
                     file: zone\n    zonefile-sync: -1\n    journal-content: none\n"
                );
                ("knotd", text)
            }
            Self::Nsd => {
                std::fs::write(home.join("zone"), zone(domain, records))?;
                let text = format!(
                    "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  zonesdir: {place}\n  database: \"\"\n  \
                     pidfile: {place}/pid\n  xfrdfile: {place}/xfrd\n  xfrdir: {place}\n  zonelistfile: {place}/zones\n  \
                     server-count: 1\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  name: {domain}\n  zonefile: zone\n"
                );
                ("nsd", text)
            }
            Self::Unbound => {
                let mut text = format!(
                    "server:\n  interface: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  directory: {place}\n  pidfile: {place}/pid\n  \
                     use-syslog: no\n  num-threads: 1\n  do-tcp: no\n  access-control: 127.0.0.0/8 allow\n  module-config: iterator\n  \
                     local-zone: {domain}. static\n"
                );
                for (name, address) in records {
                    let _ = writeln!(text, "  local-data: \"{name}.{domain}. 5 A {address}\"");
                }
                text.push_str("remote-control:\n  control-enable: no\n");
                ("unbound", text)
            }
        };
        let path = home.join("conf");
        std::fs::write(&path, configuration)?;
        let mut command = Command::new(program);
        match self {
            Self::Knot => command.arg("-c"),
            Self::Nsd | Self::Unbound => command.args(["-d", "-c"]),
        };
        let server = Server::start(command.arg(path), &home.join("log"));
        Ok(NameServer { server: server.with_context(|| format!("apt-get install {}", self.name()))?, port })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // NSD answers in a process of its own, which the end of the first one would leave behind for a moment.
        for pid in self.server.below().unwrap_or_default() {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn zone(domain: &str, records: impl Iterator<Item = Record>) -> String {
    let mut text =
        format!("$ORIGIN {domain}.\n$TTL 5\n@ SOA ns hostmaster 1 7200 1800 86400 5\n@ NS ns\nns A 127.0.0.1\n");
    for (name, address) in records {
        let _ = writeln!(text, "{name} A {address}");
    }
    text
}
