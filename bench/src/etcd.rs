//! The peer: Debian's etcd, fsync on, gRPC, one member.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::process::{Server, free_port};

/// A running etcd.
pub struct Etcd {
    /// The process.
    pub server: Server,
    /// Where it is reached.
    pub url: String,
}

impl Etcd {
    /// Starts one in a folder and waits until it answers.
    ///
    /// # Errors
    /// It is not installed or does not come up.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (client_port, peer_port) = (free_port()?, free_port()?);
        let url = format!("http://127.0.0.1:{client_port}");
        let peer_url = format!("http://127.0.0.1:{peer_port}");
        let mut command = Command::new("etcd");
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
        command.args(["--initial-cluster", &format!("default={peer_url}"), "--data-dir"]).arg(folder.join("etcd"));
        let server = Server::start(&mut command, &folder.join("etcd.log")).context("apt-get install etcd-server")?;
        let started = Instant::now();
        loop {
            if let Ok(mut client) = etcd_client::Client::connect([&url], None).await
                && client.status().await.is_ok()
            {
                return Ok(Self { server, url });
            }
            ensure!(started.elapsed() < Duration::from_secs(30), "etcd did not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
