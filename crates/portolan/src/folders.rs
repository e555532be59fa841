//! Where a cluster keeps its things on a machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

/// Folders of a cluster on this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct Folders {
    /// Folder for everything that lasts.
    #[arg(long, env = "PORTOLAN_DATA_DIR", default_value = "/var/lib/portolan")]
    pub(crate) data_dir: PathBuf,
    /// Folder for sockets and other things that end with the machine.
    #[arg(long, env = "PORTOLAN_RUN_DIR", default_value = "/run/portolan")]
    pub(crate) run_dir: PathBuf,
    /// Name of the bridge for pods; also names the packet rules. Several clusters on one machine need several.
    #[arg(long, default_value = "portolan0")]
    pub(crate) bridge: String,
}

impl Folders {
    /// Fails if the data folder holds something else than a cluster: `portolan down` removes all that
    /// is in it.
    pub(crate) fn refuse_foreign(&self) -> anyhow::Result<()> {
        let entries = match self.data_dir.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("read {}", self.data_dir.display())),
        };
        let names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
        let own = ["server.lock", "store", "portolan.log"].iter().any(|own| names.iter().any(|name| name == own));
        // A disk of its own has `lost+found` in its root.
        if own || names.iter().all(|name| name == "lost+found") {
            return Ok(());
        }
        anyhow::bail!(
            "{} holds other things than a cluster; nothing was changed. Choose another folder with --data-dir",
            self.data_dir.display()
        )
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.data_dir.join("portolan.log")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// The private containerd of this cluster.
    pub(crate) fn containerd(&self) -> portolan_runtime::containerd::Options {
        portolan_runtime::containerd::Options {
            cgroup_root: self.cgroup_parent().into(),
            ..portolan_runtime::containerd::Options::new(
                self.data_dir.join("containerd"),
                self.run_dir.clone(),
                self.network_config(),
                self.network_plugins(),
            )
        }
    }

    /// The process for names and packet rules.
    pub(crate) fn dataplane(&self) -> portolan_dataplane::Layout {
        portolan_dataplane::Layout::new(self.data_dir.join("dataplane"), &self.run_dir)
    }

    /// The network of this cluster: enough to remove it; `network` of the options fills in the rest.
    pub(crate) fn network(&self, node: &str) -> portolan_network::Config {
        let table = self.bridge.replace(|character: char| !character.is_ascii_alphanumeric(), "_");
        portolan_network::Config {
            table: format!("portolan_{table}"),
            bridge: self.bridge.clone(),
            ..portolan_network::Config::new(node, self.data_dir.join("network"))
        }
    }

    /// Parent of the control groups of this cluster's pods. The bridge's name keeps several
    /// clusters on one machine apart.
    pub(crate) fn cgroup_parent(&self) -> String {
        format!("/kubepods-{}", self.bridge)
    }

    /// Whether the network of this cluster's pods is there, of a start that went well or of one that was killed.
    pub(crate) fn has_network(&self) -> bool {
        Path::new("/sys/class/net").join(&self.bridge).exists()
    }

    /// Where containers log.
    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.data_dir.join("logs")
    }

    pub(crate) fn network_config(&self) -> PathBuf {
        self.data_dir.join("cni/net.d")
    }

    pub(crate) fn network_plugins(&self) -> PathBuf {
        self.data_dir.join("cni/bin")
    }

    pub(crate) fn node(&self) -> PathBuf {
        self.data_dir.join("node")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_foreign_files_is_refused() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folders = |name: &str| Folders {
            data_dir: scratch.path().join(name),
            run_dir: scratch.path().join("run"),
            bridge: "b0".into(),
        };
        folders("absent").refuse_foreign().expect("not there yet");
        folders("").refuse_foreign().expect("empty");
        std::fs::write(scratch.path().join("letters.txt"), "dear").expect("written");
        folders("").refuse_foreign().expect_err("somebody's letters");
        std::fs::write(scratch.path().join("server.lock"), "").expect("written");
        folders("").refuse_foreign().expect("a cluster's");
    }
}
