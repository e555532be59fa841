//! Where a cluster keeps its things on a machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

/// The bridge of a cluster that was not given another.
const DEFAULT_BRIDGE: &str = "portolan0";

/// Folders of a cluster on this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct Folders {
    /// Folder for everything that lasts.
    #[arg(long, env = "PORTOLAN_DATA_DIR", default_value = "/var/lib/portolan")]
    pub(crate) data_dir: PathBuf,
    /// Folder for sockets and other things that end with the machine.
    #[arg(long, env = "PORTOLAN_RUN_DIR", default_value = "/run/portolan")]
    pub(crate) run_dir: PathBuf,
    /// Name of the bridge for pods; also names the packet rules and control groups. Several clusters on one machine
    /// need several [default: the one that the cluster in the data folder has, or else portolan0].
    #[arg(long)]
    pub(crate) bridge: Option<String>,
}

impl Folders {
    /// Name of the bridge for pods.
    pub(crate) fn bridge(&self) -> &str {
        self.bridge.as_deref().unwrap_or(DEFAULT_BRIDGE)
    }

    /// Takes the bridge that the network of this cluster was made with: its pods may run, whether or not the server
    /// that started them does.
    ///
    /// # Errors
    /// Another one was asked for while that network is there.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        let Some(made) = self.made_bridge()? else { return Ok(()) };
        match &self.bridge {
            Some(asked) if *asked != made && has_link(&made) => anyhow::bail!(
                "the cluster in {} has its network on the bridge {made}, and --bridge asks for {asked}; nothing was \
                 changed. Leave --bridge out, or remove that network first with `portolan down --keep-data`",
                self.data_dir.display()
            ),
            // What was made before this machine started anew is gone.
            Some(_) => {}
            None => self.bridge = Some(made),
        }
        Ok(())
    }

    /// Fails if the bridge is there and not of this cluster: it would take over the network of another, and remove it
    /// at its end. A cluster of a version that made no notes is known by the leases in its folder.
    pub(crate) fn refuse_foreign_bridge(&self) -> anyhow::Result<()> {
        let bridge = self.bridge();
        if !has_link(bridge) || self.bridge_note().exists() || self.network_state().exists() {
            return Ok(());
        }
        anyhow::bail!(
            "the bridge {bridge} is there already, and not made from {}: another cluster has it, or left it. Choose \
             another name with --bridge and other networks with --pod-cidr, --service-cidr and --load-balancer-cidr; or \
             remove it with `portolan down --bridge {bridge} --data-dir FOLDER`, its data folder, or an empty one if that \
             is lost",
            self.data_dir.display()
        )
    }

    /// Notes the bridge in the data folder; before anything is made, so that whatever happens then, it is known what
    /// to remove.
    pub(crate) fn note_bridge(&self) -> anyhow::Result<()> {
        let note = self.bridge_note();
        std::fs::write(&note, self.bridge()).with_context(|| format!("write {}", note.display()))
    }

    /// Forgets the bridge: nothing of the network is left.
    pub(crate) fn forget_bridge(&self) {
        // Removing once more what is gone does no harm.
        let _ = std::fs::remove_file(self.bridge_note());
    }

    fn made_bridge(&self) -> anyhow::Result<Option<String>> {
        let note = self.bridge_note();
        match std::fs::read_to_string(&note) {
            Ok(bridge) => Ok(Some(bridge).filter(|bridge| !bridge.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", note.display())),
        }
    }

    fn network_state(&self) -> PathBuf {
        self.data_dir.join("network")
    }

    fn bridge_note(&self) -> PathBuf {
        self.data_dir.join("bridge")
    }

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
        let table = self.bridge().replace(|character: char| !character.is_ascii_alphanumeric(), "_");
        portolan_network::Config {
            table: format!("portolan_{table}"),
            bridge: self.bridge().to_owned(),
            ..portolan_network::Config::new(node, self.network_state())
        }
    }

    /// Parent of the control groups of this cluster's pods. The bridge's name keeps several
    /// clusters on one machine apart.
    pub(crate) fn cgroup_parent(&self) -> String {
        format!("/kubepods-{}", self.bridge())
    }

    /// Whether the network of this cluster's pods is there, of a start that went well or of one that was killed.
    pub(crate) fn has_network(&self) -> bool {
        has_link(self.bridge())
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

fn has_link(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_knows_the_bridge_that_it_was_made_with() {
        /// Made, asked for, and settled on.
        type Case<'a> = (Option<&'a str>, Option<&'a str>, Result<&'a str, &'a str>);
        // Every machine has the link `lo`.
        let (there, gone) = ("lo", "ptl-gone");
        let cases: [Case<'_>; 7] = [
            (None, None, Ok("portolan0")),
            (None, Some("b1"), Ok("b1")),
            (Some(there), None, Ok(there)),
            (Some(there), Some(there), Ok(there)),
            (Some(there), Some("b1"), Err("has its network on the bridge lo, and --bridge asks for b1")),
            (Some(gone), None, Ok(gone)),
            (Some(gone), Some("b1"), Ok("b1")),
        ];
        for (made, asked, expected) in cases {
            let scratch = tempfile::tempdir().expect("a folder");
            let folders = |bridge: Option<&str>| Folders {
                data_dir: scratch.path().to_owned(),
                run_dir: scratch.path().join("run"),
                bridge: bridge.map(str::to_owned),
            };
            if made.is_some() {
                folders(made).note_bridge().expect("noted");
            }
            let mut folders = folders(asked);
            let settled = folders.settle().map(|()| folders.bridge()).map_err(|error| error.to_string());
            match (settled, expected) {
                (Ok(settled), Ok(expected)) => assert_eq!(settled, expected, "{made:?} {asked:?}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (settled, expected) => panic!("{made:?} {asked:?}: {settled:?}, not {expected:?}"),
            }
            folders.forget_bridge();
            assert_eq!(folders.made_bridge().expect("read"), None);
        }
    }

    #[test]
    fn a_bridge_of_another_cluster_is_refused() {
        // Every machine has the link `lo`.
        let cases = [
            ("lo", None, false),
            ("lo", Some("bridge"), true),
            ("lo", Some("network"), true),
            ("ptl-gone", None, true),
        ];
        for (bridge, present, expected) in cases {
            let scratch = tempfile::tempdir().expect("a folder");
            let folders = Folders {
                data_dir: scratch.path().to_owned(),
                run_dir: scratch.path().join("run"),
                bridge: Some(bridge.to_owned()),
            };
            if let Some(name) = present {
                std::fs::create_dir(scratch.path().join(name)).expect("made");
            }
            assert_eq!(folders.refuse_foreign_bridge().is_ok(), expected, "{bridge} {present:?}");
        }
    }

    #[test]
    fn a_folder_with_foreign_files_is_refused() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folders = |name: &str| Folders {
            data_dir: scratch.path().join(name),
            run_dir: scratch.path().join("run"),
            bridge: None,
        };
        folders("absent").refuse_foreign().expect("not there yet");
        folders("").refuse_foreign().expect("empty");
        std::fs::write(scratch.path().join("letters.txt"), "dear").expect("written");
        folders("").refuse_foreign().expect_err("somebody's letters");
        std::fs::write(scratch.path().join("server.lock"), "").expect("written");
        folders("").refuse_foreign().expect("a cluster's");
    }
}
