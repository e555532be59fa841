//! A Portolan of its own for one test.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::machine::command;
use crate::wait::eventually;

/// Two cores carry one cluster well; tests of one binary take turns.
static TURN: Mutex<()> = Mutex::new(());

/// How much of the server's log a failed test shows.
const LOG_LINES: usize = 40;

/// How addresses of other machines begin; RFC 2544 sets 198.18.0.0/15 aside for tests of networks.
pub(crate) const OUTSIDE: &str = "198.18";

/// Networks that a cluster has.
const NETWORKS: u8 = 3;

/// A running Portolan. Dropping it removes everything it made.
pub struct Cluster {
    data: TempDir,
    run: TempDir,
    /// Files of the tests and of the stock client, which the cluster does not know.
    scratch: TempDir,
    flags: Vec<String>,
    bridge: String,
    /// Its networks are 10.<this>.0.0 and the two after it.
    network: u8,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Cluster {
    /// Starts one. Its addresses do not overlap those of a Portolan with default settings.
    pub fn start() -> anyhow::Result<Self> {
        let cluster = Self::prepare(&[])?;
        cluster.up()?;
        Ok(cluster)
    }

    /// The same, not started yet; `flags` are added to every start.
    pub fn prepare(flags: &[&str]) -> anyhow::Result<Self> {
        // A test that panicked has cleaned up in its drop; its poison means nothing here.
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Self::prepared(flags, first_network()?, Some(turn))
    }

    /// Another one beside this, not started yet.
    pub fn another(&self, flags: &[&str]) -> anyhow::Result<Self> {
        Self::prepared(flags, self.network + NETWORKS, None)
    }

    fn prepared(flags: &[&str], network: u8, turn: Option<MutexGuard<'static, ()>>) -> anyhow::Result<Self> {
        Ok(Self {
            data: TempDir::with_prefix("portolan-test-")?,
            run: TempDir::with_prefix("portolan-run-")?,
            scratch: TempDir::with_prefix("portolan-scratch-")?,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            bridge: format!("ptl{}n{network}", std::process::id() % 1_000_000),
            network,
            _turn: turn,
        })
    }

    /// Runs `portolan up`; returns what it printed.
    pub fn up(&self) -> anyhow::Result<String> {
        self.up_with(&[])
    }

    /// Runs `portolan up` with further flags, which win over those that every test cluster has.
    pub fn up_with(&self, flags: &[&str]) -> anyhow::Result<String> {
        self.up_of(&binary()?, flags)
    }

    /// Runs `up` of another binary.
    pub fn up_of(&self, binary: &Path, flags: &[&str]) -> anyhow::Result<String> {
        let first = self.network;
        let [pods, services, balancers] =
            [format!("10.{first}.0.0/24"), format!("10.{}.0.0/16", first + 1), format!("10.{}.0.0/24", first + 2)];
        let dns = self.name_server();
        let run_dir = self.run.path().to_string_lossy();
        let mut given: Vec<(&str, Option<&str>)> = [
            ("--listen", "127.0.0.1:0"),
            ("--registry-listen", "127.0.0.1:0"),
            ("--consul-listen", "127.0.0.1:0"),
            ("--eureka-listen", "127.0.0.1:0"),
            ("--dns-listen", "off"),
            ("--agent-port", "0"),
            ("--node-name", "test-node"),
            ("--pod-cidr", &pods),
            ("--service-cidr", &services),
            ("--load-balancer-cidr", &balancers),
            ("--cluster-dns", &dns),
            ("--bridge", &self.bridge),
            ("--run-dir", &run_dir),
        ]
        .map(|(flag, value)| (flag, Some(value)))
        .into();
        let mut own = self.flags.iter().map(String::as_str).chain(flags.iter().copied()).peekable();
        while let Some(flag) = own.next() {
            given.retain(|(known, _)| *known != flag);
            given.push((flag, own.next_if(|next| !next.starts_with("--"))));
        }
        let given = given.into_iter().flat_map(|(flag, value)| std::iter::once(flag).chain(value));
        command(Command::new(binary).args(["up", "--data-dir"]).arg(self.data.path()).args(given))
    }

    /// Runs `portolan down`; returns what it printed.
    pub fn down(&self) -> anyhow::Result<String> {
        self.down_with(&[])
    }

    /// Runs `portolan down` with further flags. It is told neither the bridge nor the folder for sockets: a cluster
    /// knows its own.
    pub fn down_with(&self, flags: &[&str]) -> anyhow::Result<String> {
        command(Command::new(binary()?).args(["down", "--data-dir"]).arg(self.data.path()).args(flags))
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
        kubectl.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.scratch.path()).stdin(Stdio::null());
        kubectl
    }

    /// Runs the stock client; words are separated by blanks.
    pub fn kubectl(&self, line: &str) -> anyhow::Result<String> {
        command(self.kubectl_command().args(line.split_whitespace()))
    }

    /// Runs the stock client with a manifest on its standard input.
    pub fn kubectl_with(&self, line: &str, manifest: &str) -> anyhow::Result<String> {
        let file = self.scratch.path().join("manifest.yaml");
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

    /// Kills the server without warning, and returns once nothing of it is left.
    pub fn kill_server(&self) -> anyhow::Result<()> {
        let pid = self.server_pid()?;
        kill("-9", pid)?;
        // A busy machine takes its time, and until then the server still holds its port and its folder.
        eventually("the killed server is gone", || {
            let process = PathBuf::from(format!("/proc/{pid}"));
            let status = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            let state = status.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
            // The first thread of a process that nobody has waited for yet is the last to go.
            let threads = std::fs::read_dir(process.join("task")).map_or(0, Iterator::count);
            anyhow::ensure!(matches!(state, None | Some("Z" | "X")) && threads <= 1, "{threads} threads: {status}");
            Ok(())
        });
        Ok(())
    }

    /// Asks the server to stop, and returns once it takes no connections any more: it may still drain, which a start
    /// right after it waits for.
    pub fn stop_server(&self) -> anyhow::Result<()> {
        let status = self.status()?;
        let field = |name: &str| status[name].as_str().with_context(|| format!("the status has {name}"));
        let address: SocketAddr = field("apiServerUrl")?.trim_start_matches("https://").parse()?;
        kill("-TERM", self.server_pid()?)?;
        eventually("the server takes no connections", || {
            anyhow::ensure!(TcpStream::connect(address).is_err(), "it listens on {address}");
            Ok(())
        });
        Ok(())
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.path().join("admin.kubeconfig")
    }

    /// The folder that lasts.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The folder of sockets and of what runs.
    pub fn run_dir(&self) -> &Path {
        self.run.path()
    }

    /// A folder for the test's own files.
    pub fn scratch_dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Name of the bridge of pods.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// Address of the cluster's name service.
    pub fn name_server(&self) -> String {
        format!("10.{}.0.10", self.network + 1)
    }

    /// What sets its addresses apart from those of other clusters.
    pub(crate) fn network(&self) -> u8 {
        self.network
    }

    /// Address of this machine on the bridge of pods.
    pub fn gateway(&self) -> String {
        format!("10.{}.0.1", self.network)
    }

    /// The log of the server.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("portolan.log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of the server's log:\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        }
        match self.down() {
            Err(error) if !std::thread::panicking() => panic!("take the cluster down: {error:#}"),
            Err(error) => eprintln!("take the cluster down: {error:#}"),
            Ok(_) => {}
        }
    }
}

/// `PORTOLAN_TEST_NETWORK`, or else the first that is free: a run that was killed leaves its bridge, and addresses that
/// two links have are answered by either.
fn first_network() -> anyhow::Result<u8> {
    if let Ok(text) = std::env::var("PORTOLAN_TEST_NETWORK") {
        return text.parse().with_context(|| format!("PORTOLAN_TEST_NETWORK={text}"));
    }
    let addresses = command(Command::new("ip").args(["-4", "-oneline", "address"]))?;
    let taken = |network: u8| ["10", OUTSIDE].iter().any(|start| addresses.contains(&format!(" {start}.{network}.")));
    let candidates = (142..=250).step_by(usize::from(2 * NETWORKS));
    let mut free = candidates.filter(|first| !(*first..first + 2 * NETWORKS).any(taken));
    free.next().with_context(|| format!("no network is left; delete links of earlier runs:\n{addresses}"))
}

/// Sends a signal, given as an option of kill(1), to a process.
pub fn kill(signal: &str, pid: u32) -> anyhow::Result<()> {
    command(Command::new("kill").arg(signal).arg(pid.to_string())).map(drop)
}

/// The binary under test: `$PORTOLAN_BINARY`, else the one that lies beside the test's own.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("PORTOLAN_BINARY") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("tests lie in target/<profile>/deps")?;
    let path = folder.join("portolan");
    anyhow::ensure!(path.exists(), "{} is missing: cargo build -p portolan", path.display());
    Ok(path)
}
