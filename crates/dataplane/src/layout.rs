//! The files of one data plane, and their end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_base::process::{self, Claim};

/// How long the process may take to answer what it was asked before it is killed.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// Where a data plane keeps its things.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Everything that lasts.
    pub(crate) folder: PathBuf,
    /// How it reaches the API, with the certificate of the node.
    pub(crate) kubeconfig: PathBuf,
    /// What it knew last.
    pub(crate) last_known: PathBuf,
    pub(crate) log: PathBuf,
    /// Where its owner finds it.
    pub(crate) control: PathBuf,
    /// Claimed by the process that keeps the rules.
    pub(crate) claim: PathBuf,
}

impl Layout {
    /// The files in a folder that lasts and one that ends with the machine.
    pub fn new(folder: PathBuf, run_dir: &Path) -> Self {
        Self {
            kubeconfig: folder.join("kubeconfig"),
            last_known: folder.join("last-known.jsonl"),
            log: folder.join("dataplane.log"),
            control: run_dir.join("dataplane.sock"),
            claim: run_dir.join("dataplane.lock"),
            folder,
        }
    }

    /// The log of the process, which looks after its size.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The kubeconfig that the process uses; its owner writes it, and may write it again at any time.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

/// Ends the data plane, whoever started it, and removes its files. Goes on after failures and
/// returns them.
pub async fn purge(layout: &Layout) -> Vec<String> {
    let mut failures = Vec::new();
    // One that is just taking over from another claims the file after it, so there may be a second.
    while let Some(pid) = Claim::holder(&layout.claim) {
        if let Err(error) = process::end(pid, STOP_GRACE).await {
            failures.push(format!("end the data plane (process {pid}): {error}"));
            break;
        }
    }
    let removed = [&layout.control, &layout.claim].map(|file| (file, std::fs::remove_file(file)));
    let folder = (&layout.folder, std::fs::remove_dir_all(&layout.folder));
    for (path, outcome) in removed.into_iter().chain([folder]) {
        match outcome {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                failures.push(format!("remove {}: {error}", path.display()));
            }
            _ => {}
        }
    }
    failures
}
