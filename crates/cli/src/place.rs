//! Where the cluster on this machine is: the file that the server leaves for the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use portolan_base::process::{self, Claimed};
use serde::{Deserialize, Serialize};

/// How the URL of a name server begins.
const DNS: &str = "dns://";

/// Written by the server as soon as it serves; gone after `down`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Process id of the server.
    pub pid: i32,
    /// Of the Kubernetes API.
    pub api_server_url: String,
    /// Of the registry, for `GET <url>/instances`.
    pub registry_url: String,
    /// URLs where clients on this machine reach each dialect of the registry, by its name. The one of `dns` has an
    /// address and a port (RFC 4501).
    #[serde(default)]
    pub dialects: std::collections::BTreeMap<String, String>,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Socket of the container runtime.
    pub runtime_socket: PathBuf,
    /// Log of the server.
    pub log: PathBuf,
    /// The settings that the server runs with, as arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// The server's claim to a data folder; given back when the process ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    _claim: process::Claim,
}

impl Place {
    /// The file's path in a data folder.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("place.json")
    }

    /// Reads the file; `None` if no server was started from this folder.
    ///
    /// # Errors
    /// The file is there but cannot be read.
    pub fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data_dir);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = Self::path(data_dir);
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Notes where names are answered.
    pub fn answers_names(&mut self, address: SocketAddr) {
        self.dialects.insert("dns".to_owned(), format!("{DNS}{address}"));
    }

    /// Where names are answered; `None` if that is nowhere.
    pub fn names(&self) -> Option<SocketAddr> {
        self.dialects.get("dns")?.strip_prefix(DNS)?.parse().ok()
    }

    /// Reads the file of a cluster that must be there.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn required(data_dir: &Path) -> anyhow::Result<Self> {
        Self::read(data_dir)?.with_context(|| {
            format!(
                "no cluster was started from {}; start one with `portolan up`, or give --data-dir",
                data_dir.display()
            )
        })
    }

    /// Claims the folder for this process, so that others find it with [`Place::server`].
    ///
    /// # Errors
    /// Another server has the folder, or it cannot be written to.
    pub fn claim(data_dir: &Path) -> anyhow::Result<Claim> {
        let path = lock_path(data_dir);
        match process::Claim::take(&path).with_context(|| format!("open {}", path.display()))? {
            Claimed::Ours(claim) => Ok(Claim { _claim: claim }),
            Claimed::Theirs(Some(pid)) => bail!("a server (process {pid}) runs from {} already", data_dir.display()),
            Claimed::Theirs(None) => bail!("{} cannot be locked", path.display()),
        }
    }

    /// Process id of the server that runs from this folder, serving or still starting.
    pub fn server(data_dir: &Path) -> Option<i32> {
        process::Claim::holder(&lock_path(data_dir))
    }
}

fn lock_path(data_dir: &Path) -> PathBuf {
    data_dir.join("server.lock")
}
