//! A Portolan of its own for one test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::machine::command;

/// Two cores carry one cluster well; tests of one binary take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A running Portolan. Dropping it removes everything it made.
pub struct Cluster {
    data: TempDir,
    run: TempDir,
    bridge: String,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts one. Its addresses do not overlap those of a Portolan with default settings.
    pub fn start() -> anyhow::Result<Self> {
        // A test that panicked has cleaned up in its drop; its poison means nothing here.
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let cluster = Self {
            data: TempDir::with_prefix("portolan-test-")?,
            run: TempDir::with_prefix("portolan-run-")?,
            bridge: format!("ptl{}", std::process::id() % 1_000_000),
            _turn: turn,
        };
        cluster.up()?;
        Ok(cluster)
    }

    /// Runs `portolan up`; returns what it printed.
    pub fn up(&self) -> anyhow::Result<String> {
        command(
            Command::new(binary()?)
                .arg("up")
                .args(self.folders())
                .args(["--listen", "127.0.0.1:0", "--registry-listen", "127.0.0.1:0", "--agent-port", "0"])
                .args(["--node-name", "test-node", "--pod-cidr", "10.142.0.0/24", "--service-cidr", "10.143.0.0/16"])
                .args(["--load-balancer-cidr", "10.144.0.0/24", "--cluster-dns", "10.143.0.10"]),
        )
    }

    fn folders(&self) -> Vec<std::ffi::OsString> {
        let mut arguments: Vec<std::ffi::OsString> = vec!["--data-dir".into(), self.data.path().into()];
        arguments.extend(["--run-dir".into(), self.run.path().into()]);
        arguments.extend(["--bridge".into(), self.bridge.clone().into()]);
        arguments
    }

    /// Runs a command of our own client.
    pub fn portolan(&self, arguments: &[&str]) -> anyhow::Result<String> {
        command(
            Command::new(binary()?).args(arguments).arg("--data-dir").arg(self.data.path()).env_remove("KUBECONFIG"),
        )
    }

    /// The stock client, pointed at this cluster.
    pub fn kubectl_command(&self) -> Command {
        let mut kubectl = Command::new(std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into()));
        kubectl.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.data.path()).stdin(Stdio::null());
        kubectl
    }

    /// Runs the stock client; words are separated by blanks.
    pub fn kubectl(&self, line: &str) -> anyhow::Result<String> {
        command(self.kubectl_command().args(line.split_whitespace()))
    }

    /// Runs the stock client with a manifest on its standard input.
    pub fn kubectl_with(&self, line: &str, manifest: &str) -> anyhow::Result<String> {
        let file = self.data.path().join("manifest.yaml");
        std::fs::write(&file, manifest)?;
        command(self.kubectl_command().args(line.split_whitespace()).arg("-f").arg(file))
    }

    /// Reads objects through the stock client.
    pub fn kubectl_json(&self, line: &str) -> anyhow::Result<Value> {
        let printed = self.kubectl(&format!("{line} -o json"))?;
        serde_json::from_str(&printed).context("kubectl printed JSON")
    }

    /// `portolan status -o json`.
    pub fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.portolan(&["status", "-o", "json"])?)?)
    }

    /// Process id of the server.
    pub fn server_pid(&self) -> anyhow::Result<u32> {
        let pid = self.status()?["pid"].as_u64().context("the status has the process id")?;
        Ok(u32::try_from(pid)?)
    }

    /// Kills the server without warning.
    pub fn kill_server(&self) -> anyhow::Result<()> {
        command(Command::new("kill").arg("-9").arg(self.server_pid()?.to_string())).map(drop)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.path().join("admin.kubeconfig")
    }

    /// The folder that lasts.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let removed = binary().and_then(|binary| command(Command::new(binary).arg("down").args(self.folders())));
        match removed {
            Err(error) if !std::thread::panicking() => panic!("take the cluster down: {error:#}"),
            Err(error) => eprintln!("take the cluster down: {error:#}"),
            Ok(_) => {}
        }
    }
}

/// The binary under test: `$PORTOLAN_BINARY`, else the one that lies beside the test's own.
fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("PORTOLAN_BINARY") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("tests lie in target/<profile>/deps")?;
    let path = folder.join("portolan");
    anyhow::ensure!(path.exists(), "{} is missing: cargo build -p portolan", path.display());
    Ok(path)
}
