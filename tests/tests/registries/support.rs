//! The dialects of a cluster, asked over plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use portolan_tests::Cluster;

/// `host:port` of each dialect.
#[derive(Debug, Clone)]
pub(crate) struct Dialects {
    pub(crate) native: String,
    pub(crate) consul: String,
    pub(crate) eureka: String,
}

impl Dialects {
    pub(crate) fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let status = cluster.status()?;
        let address = |name: &str| -> anyhow::Result<String> {
            let url = status["dialects"][name].as_str().with_context(|| format!("{name} in {status}"))?;
            Ok(url.trim_start_matches("http://").to_owned())
        };
        Ok(Self { native: address("registry")?, consul: address("consul")?, eureka: address("eureka")? })
    }
}

/// Asks once over a connection of its own: code and body of the answer.
pub(crate) fn send(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
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

/// The same, for what must succeed.
pub(crate) fn done(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let (code, answer) = send(address, method, path, body)?;
    ensure!((200..300).contains(&code), "{method} {path}: {code} {answer}");
    Ok(answer)
}

/// A port that is free now, for a server that must be found again after its end.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An instance as Eureka's clients register it.
pub(crate) fn eureka_instance(app: &str, id: &str, address: &str, seconds: u32) -> String {
    serde_json::json!({"instance": {
        "instanceId": id, "app": app.to_uppercase(), "hostName": address, "ipAddr": address, "vipAddress": app,
        "status": "UP", "port": {"$": 80, "@enabled": "true"},
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": seconds / 3, "durationInSecs": seconds},
    }})
    .to_string()
}
