//! The dialects of a cluster's registry, asked over plain HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::Cluster;

/// Longer than any dialect lets a question wait that does not ask for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// `host:port` of each dialect on this machine.
#[derive(Debug, Clone)]
pub struct Dialects {
    /// The registry's own.
    pub native: String,
    /// Consul's agent.
    pub consul: String,
    /// Eureka's server.
    pub eureka: String,
}

impl Dialects {
    /// Where a cluster says they are.
    ///
    /// # Errors
    /// The cluster does not run, or serves one of them not.
    pub fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let status = cluster.status()?;
        let address = |name: &str| -> anyhow::Result<String> {
            let url = status["dialects"][name].as_str().with_context(|| format!("{name} in {status}"))?;
            Ok(url.trim_start_matches("http://").to_owned())
        };
        Ok(Self { native: address("registry")?, consul: address("consul")?, eureka: address("eureka")? })
    }
}

/// Asks once for JSON, over a connection of its own: status code and body of the answer.
///
/// # Errors
/// The address cannot be reached, or its answer is no HTTP.
pub fn ask(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let code = head.split(' ').nth(1).context("a head has a code")?.parse()?;
    Ok((code, body.to_owned()))
}

/// The same for what must succeed: the body.
///
/// # Errors
/// As [`ask`], or the answer is no success.
pub fn done(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let (code, answer) = ask(address, method, path, body)?;
    ensure!((200..300).contains(&code), "{method} {path}: {code} {answer}");
    Ok(answer)
}
