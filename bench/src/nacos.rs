//! The peer: r-nacos, the crate `rnacos`, one member; its ephemeral instances are in memory only.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::dialects::{OF_A_SERVICE, Request};
use crate::http::Connection;
use crate::process::{Server, free_port};

/// Longer than any run: what is not renewed stays.
const LEASE_SECONDS: &str = "36000";

/// A running r-nacos.
pub struct Nacos {
    /// The process.
    pub server: Server,
    /// Where it is reached.
    pub url: String,
}

impl Nacos {
    /// Whether it is installed: it is no package of the distribution.
    pub fn is_installed() -> bool {
        Command::new("rnacos").arg("--version").output().is_ok()
    }

    /// Starts one in a folder and waits until it registers.
    ///
    /// # Errors
    /// It is not installed or does not come up.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (http, grpc) = (free_port()?, free_port()?);
        let mut command = Command::new("rnacos");
        command.env("RNACOS_DATA_DIR", folder.join("nacos")).env("RNACOS_HTTP_PORT", http.to_string());
        command.env("RNACOS_GRPC_PORT", grpc.to_string()).env("RNACOS_HTTP_CONSOLE_PORT", "0");
        for timeout in ["HEALTH", "INSTANCE"] {
            command.env(format!("RNACOS_NAMING_{timeout}_TIMEOUT_SECOND"), LEASE_SECONDS);
        }
        let server = Server::start(&mut command, &folder.join("nacos.log")).context("cargo install rnacos")?;
        let (peer, started) = (Self { server, url: format!("http://127.0.0.1:{http}") }, Instant::now());
        while peer.try_register().await.is_err() {
            ensure!(started.elapsed() < Duration::from_secs(30), "r-nacos did not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(peer)
    }

    async fn try_register(&self) -> anyhow::Result<()> {
        let (method, path, body) = register(0);
        Connection::open(&self.url).await?.succeed(method, &path, body.as_bytes()).await.map(drop)
    }
}

fn service(number: usize) -> String {
    format!("service-{:05}", number / OF_A_SERVICE)
}

fn instance(number: usize) -> String {
    let address = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
    format!("serviceName={}&ip={address}&port=8080", service(number))
}

/// Registers an instance with as much beside its address as the others carry.
pub fn register(number: usize) -> Request {
    let metadata = utf8_percent_encode(r#"{"zone":"a","version":"0","tags":"v1,green"}"#, NON_ALPHANUMERIC);
    let query = format!("{}&ephemeral=true&metadata={metadata}", instance(number));
    ("POST", format!("/nacos/v1/ns/instance?{query}"), String::new())
}

/// A light beat: what clients send once they are registered.
pub fn renew(number: usize) -> Request {
    ("PUT", format!("/nacos/v1/ns/instance/beat?{}&ephemeral=true", instance(number)), String::new())
}

/// Asks for the ten instances of the service that the instance is of.
pub fn look_up(number: usize) -> Request {
    ("GET", format!("/nacos/v1/ns/instance/list?serviceName={}", service(number)), String::new())
}
