//! Where a cluster keeps its things on a machine.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

/// The bridge of a cluster that was not given another.
const DEFAULT_BRIDGE: &str = "portolan0";
/// The folder for sockets of a cluster that was not given another.
const DEFAULT_RUN_DIR: &str = "/run/portolan";
/// File of the data folder with the name of the bridge that was made from it.
const BRIDGE: &str = "bridge";
/// File of the data folder with the folder for sockets that was made from it.
const RUN_DIR: &str = "run-dir";

/// Folders of a cluster on this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct Folders {
    /// Folder for everything that lasts.
    #[arg(long, env = "PORTOLAN_DATA_DIR", default_value = "/var/lib/portolan", value_parser = absolute)]
    pub(crate) data_dir: PathBuf,
    /// Folder for sockets and other things that end with the machine [default: the one that the cluster in the data
    /// folder has, or else /run/portolan].
    #[arg(long, env = "PORTOLAN_RUN_DIR", value_parser = absolute)]
    pub(crate) run_dir: Option<PathBuf>,
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

    /// Folder for sockets and other things that end with the machine.
    pub(crate) fn run_dir(&self) -> &Path {
        self.run_dir.as_deref().unwrap_or(Path::new(DEFAULT_RUN_DIR))
    }

    /// Takes the bridge and the folder for sockets that this cluster was made with: its pods may run, whether or not
    /// the server that started them does. Both stay `None` if neither was asked for and nothing was made: what has the
    /// usual names may be another cluster's.
    ///
    /// # Errors
    /// Others were asked for while those are there.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        if let Some(made) = self.noted(BRIDGE)? {
            let made = made.to_string_lossy().into_owned();
            if let Some(asked) = &self.bridge
                && *asked != made
                && has_link(&made)
            {
                anyhow::bail!(
                    "the cluster in {} has its network on the bridge {made}, and --bridge asks for {asked}; nothing was \
                     changed. Leave --bridge out, or remove that network first with `portolan down --keep-data`",
                    self.data_dir.display()
                );
            }
            // What was made before this machine started anew is gone, so what is asked for may differ.
            self.bridge.get_or_insert(made);
        }
        if let Some(made) = self.noted(RUN_DIR)?.map(PathBuf::from) {
            if let Some(asked) = &self.run_dir
                && *asked != made
                && made.exists()
            {
                anyhow::bail!(
                    "the cluster in {} has its sockets in {}, and --run-dir asks for {}; nothing was changed. Leave \
                     --run-dir out, or remove what runs there first with `portolan down --keep-data`",
                    self.data_dir.display(),
                    made.display(),
                    asked.display()
                );
            }
            self.run_dir.get_or_insert(made);
        }
        // A version that made no note of the folder, or a data folder that is lost.
        if self.bridge.is_some() {
            self.run_dir.get_or_insert_with(|| DEFAULT_RUN_DIR.into());
        }
        Ok(())
    }

    /// With the names that a start takes spelled out: whoever makes something there may have to remove it.
    pub(crate) fn spelled_out(&self) -> Self {
        Self {
            data_dir: self.data_dir.clone(),
            run_dir: Some(self.run_dir().to_owned()),
            bridge: Some(self.bridge().to_owned()),
        }
    }

    /// Fails if the bridge is there and not of this cluster: it would take over the network of another, and remove it
    /// at its end. A cluster of a version that made no notes is known by the leases in its folder.
    pub(crate) fn refuse_foreign_bridge(&self) -> anyhow::Result<()> {
        let bridge = self.bridge();
        if !has_link(bridge) || self.note(BRIDGE).exists() || self.network_state().exists() {
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

    /// Notes the bridge and the folder for sockets in the data folder; before anything is made, so that whatever
    /// happens then, it is known what to remove.
    pub(crate) fn note_names(&self) -> anyhow::Result<()> {
        let names = [(BRIDGE, self.bridge().as_bytes()), (RUN_DIR, self.run_dir().as_os_str().as_bytes())];
        names.into_iter().try_for_each(|(kind, name)| {
            let note = self.note(kind);
            std::fs::write(&note, name).with_context(|| format!("write {}", note.display()))
        })
    }

    /// Forgets what was noted: nothing of it is left.
    pub(crate) fn forget_names(&self) {
        for kind in [BRIDGE, RUN_DIR] {
            // Removing once more what is gone does no harm.
            let _ = std::fs::remove_file(self.note(kind));
        }
    }

    fn noted(&self, kind: &str) -> anyhow::Result<Option<OsString>> {
        let note = self.note(kind);
        match std::fs::read(&note) {
            Ok(name) => Ok(Some(OsString::from_vec(name)).filter(|name| !name.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", note.display())),
        }
    }

    fn note(&self, kind: &str) -> PathBuf {
        self.data_dir.join(kind)
    }

    fn network_state(&self) -> PathBuf {
        self.data_dir.join("network")
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
                self.run_dir().to_owned(),
                self.network_config(),
                self.network_plugins(),
            )
        }
    }

    /// The process for names and packet rules.
    pub(crate) fn dataplane(&self) -> portolan_dataplane::Layout {
        portolan_dataplane::Layout::new(self.data_dir.join("dataplane"), self.run_dir())
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

/// A server runs elsewhere than the command that starts it.
fn absolute(path: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}

fn has_link(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster in a folder, with the names that were asked for.
    fn folders(data_dir: &Path, bridge: Option<&str>, run_dir: Option<&str>) -> Folders {
        Folders {
            data_dir: data_dir.to_owned(),
            run_dir: run_dir.map(PathBuf::from),
            bridge: bridge.map(str::to_owned),
        }
    }

    /// Every machine has the link `lo`.
    const LINK: &str = "lo";

    #[test]
    fn a_cluster_knows_the_bridge_that_it_was_made_with() {
        /// Made, asked for, and settled on.
        type Case<'a> = (Option<&'a str>, Option<&'a str>, Result<&'a str, &'a str>);
        let gone = "ptl-gone";
        let cases: [Case<'_>; 7] = [
            (None, None, Ok("portolan0")),
            (None, Some("b1"), Ok("b1")),
            (Some(LINK), None, Ok(LINK)),
            (Some(LINK), Some(LINK), Ok(LINK)),
            (Some(LINK), Some("b1"), Err("has its network on the bridge lo, and --bridge asks for b1")),
            (Some(gone), None, Ok(gone)),
            (Some(gone), Some("b1"), Ok("b1")),
        ];
        for (made, asked, expected) in cases {
            let scratch = tempfile::tempdir().expect("a folder");
            if made.is_some() {
                folders(scratch.path(), made, None).note_names().expect("noted");
            }
            let mut folders = folders(scratch.path(), asked, None);
            let settled = folders.settle().map(|()| folders.bridge()).map_err(|error| error.to_string());
            match (settled, expected) {
                (Ok(settled), Ok(expected)) => assert_eq!(settled, expected, "{made:?} {asked:?}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (settled, expected) => panic!("{made:?} {asked:?}: {settled:?}, not {expected:?}"),
            }
            folders.forget_names();
            assert_eq!([BRIDGE, RUN_DIR].map(|kind| folders.noted(kind).expect("read")), [None, None]);
        }
    }

    #[test]
    fn a_cluster_knows_the_folder_of_its_sockets() {
        let there = tempfile::tempdir().expect("a folder");
        let there = there.path().to_str().expect("a name of letters");
        let refused = format!("has its sockets in {there}, and --run-dir asks for /run/r1");
        /// Made, asked for with a bridge or without, and settled on.
        type Case<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Result<Option<&'a str>, &'a str>);
        let cases: [Case<'_>; 7] = [
            // What is at the usual place may be another cluster's.
            (None, None, None, Ok(None)),
            (None, None, Some("b1"), Ok(Some(DEFAULT_RUN_DIR))),
            (None, Some("/run/r1"), None, Ok(Some("/run/r1"))),
            (Some(there), None, None, Ok(Some(there))),
            (Some(there), Some(there), None, Ok(Some(there))),
            (Some(there), Some("/run/r1"), None, Err(&refused)),
            (Some("/run/ptl-gone"), Some("/run/r1"), None, Ok(Some("/run/r1"))),
        ];
        for (made, asked, bridge, expected) in cases {
            let scratch = tempfile::tempdir().expect("a folder");
            if made.is_some() {
                folders(scratch.path(), None, made).note_names().expect("noted");
            }
            let mut folders = folders(scratch.path(), bridge, asked);
            let settled = folders.settle().map(|()| folders.run_dir.as_deref()).map_err(|error| error.to_string());
            match (settled, expected) {
                (Ok(settled), Ok(expected)) => assert_eq!(settled, expected.map(Path::new), "{made:?} {asked:?}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (settled, expected) => panic!("{made:?} {asked:?}: {settled:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_cluster_of_a_version_that_noted_its_bridge_alone_is_at_the_usual_place() {
        let scratch = tempfile::tempdir().expect("a folder");
        std::fs::write(scratch.path().join(BRIDGE), LINK).expect("written");
        let mut folders = folders(scratch.path(), None, None);
        folders.settle().expect("settled");
        assert_eq!((folders.bridge(), folders.run_dir.as_deref()), (LINK, Some(Path::new(DEFAULT_RUN_DIR))));
    }

    #[test]
    fn a_bridge_of_another_cluster_is_refused() {
        let cases = [
            (LINK, None, false),
            (LINK, Some("bridge"), true),
            (LINK, Some("network"), true),
            ("ptl-gone", None, true),
        ];
        for (bridge, present, expected) in cases {
            let scratch = tempfile::tempdir().expect("a folder");
            let folders = folders(scratch.path(), Some(bridge), None);
            if let Some(name) = present {
                std::fs::create_dir(scratch.path().join(name)).expect("made");
            }
            assert_eq!(folders.refuse_foreign_bridge().is_ok(), expected, "{bridge} {present:?}");
        }
    }

    #[test]
    fn a_folder_with_foreign_files_is_refused() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folders = |name: &str| folders(&scratch.path().join(name), None, None);
        folders("absent").refuse_foreign().expect("not there yet");
        folders("").refuse_foreign().expect("empty");
        std::fs::write(scratch.path().join("letters.txt"), "dear").expect("written");
        folders("").refuse_foreign().expect_err("somebody's letters");
        std::fs::write(scratch.path().join("server.lock"), "").expect("written");
        folders("").refuse_foreign().expect("a cluster's");
    }
}
