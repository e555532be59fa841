//! The machine: running commands, and what a test may not leave on it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, bail};

/// Runs a command to its end and returns what it printed; an error carries both outputs.
pub fn command(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    }
    Ok(both(&output))
}

fn both(output: &Output) -> String {
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fetches a page over a connection of its own and returns its body.
pub fn http_get(address: &str, path: &str) -> anyhow::Result<String> {
    let address: SocketAddr = address.parse().with_context(|| format!("{address:?} is an address and port"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = text(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer has a head")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("status {status}: {body}");
    }
    Ok(body.to_owned())
}

/// What exists on the machine outside of files: links, namespaces, mounts, packet tables, control
/// groups, processes of container runtimes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers(BTreeSet<String>);

impl Leftovers {
    /// Looks around.
    pub fn look() -> Self {
        let mut found = BTreeSet::new();
        let mut collect = |kind: &str, program: &str, arguments: &[&str], wanted: fn(&str) -> bool| {
            let output = Command::new(program).args(arguments).output();
            let printed = output.map(|output| text(&output.stdout)).unwrap_or_default();
            found.extend(printed.lines().filter(|line| wanted(line)).map(|line| format!("{kind} {}", line.trim())));
        };
        collect("link", "ip", &["-o", "link"], |_| true);
        collect("namespace", "ip", &["netns", "list"], |_| true);
        collect("table", "nft", &["list", "tables"], |_| true);
        collect("mount", "cat", &["/proc/mounts"], |line| {
            ["portolan", "containerd", "kubepods", "/run/netns"].iter().any(|name| line.contains(name))
        });
        collect("process", "ps", &["-eo", "args"], |line| {
            ["containerd", "portolan server", "portolan dataplane"].iter().any(|name| line.contains(name))
                && !line.contains("ps -eo")
                // Ended; its parent was killed, and whether process 1 collects it is the machine's affair.
                && !line.contains("<defunct>")
        });
        collect("cgroup", "find", &["/sys/fs/cgroup", "-maxdepth", "3", "-name", "*kubepods*"], |_| true);
        // Interface numbers and counters differ from look to look.
        Self(
            found
                .into_iter()
                .map(|line| line.split_once(": ").map_or(line.clone(), |(_, rest)| format!("link {rest}")))
                .collect(),
        )
    }

    /// What is here that was not there before.
    pub fn since<'a>(&'a self, before: &'a Self) -> Vec<&'a str> {
        self.0.difference(&before.0).map(String::as_str).collect()
    }
}
