//! What this machine can do.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::Error;

/// CAP_SYS_RESOURCE, needed to make a process less likely to be killed when memory runs out.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Programs and abilities found.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) containerd: PathBuf,
    pub(super) ctr: PathBuf,
    pub(super) runc: PathBuf,
    pub(super) snapshotter: Snapshotter,
    pub(super) may_lower_oom_score: bool,
    pub(super) apparmor: bool,
}

/// How layers become a root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshotter {
    /// Shared layers.
    Overlayfs,
    /// A full copy for each container.
    Native {
        /// Why overlayfs is not possible.
        reason: String,
    },
}

impl Snapshotter {
    /// containerd's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Overlayfs => "overlayfs",
            Self::Native { .. } => "native",
        }
    }
}

impl Host {
    /// Looks for programs in `PATH` and tries out what the kernel allows; scratch files go below `scratch`.
    pub(super) fn probe(scratch: &Path) -> Result<Self, Error> {
        Ok(Self {
            containerd: find("containerd", "containerd")?,
            ctr: find("ctr", "containerd")?,
            runc: find("runc", "runc")?,
            snapshotter: probe_overlayfs(scratch),
            may_lower_oom_score: effective_capabilities() & CAP_SYS_RESOURCE != 0,
            apparmor: apparmor_is_usable(),
        })
    }
}

/// The folders of `PATH` and those that hold daemons, which a user's `PATH` may lack.
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    std::env::split_paths(&path).chain(daemons.map(PathBuf::from)).collect()
}

fn find(program: &'static str, package: &'static str) -> Result<PathBuf, Error> {
    let found = search_path().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    found.ok_or(Error::MissingProgram { program, package })
}

fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

fn apparmor_is_usable() -> bool {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    enabled.starts_with('Y') && find("apparmor_parser", "apparmor").is_ok()
}

/// Mounts an overlay for a moment: the only way to know (nested overlays and some file systems refuse).
fn probe_overlayfs(scratch: &Path) -> Snapshotter {
    let folder = scratch.join(format!("overlay-probe-{}", std::process::id()));
    let attempt = || -> std::io::Result<()> {
        for part in ["lower", "upper", "work", "merged"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let options = format!("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", folder.display());
        let merged = folder.join("merged");
        mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        umount2(&merged, MntFlags::MNT_DETACH)?;
        Ok(())
    };
    let result = attempt();
    // Left-overs of the probe are harmless; the folder is private to this instance.
    let _ = fs::remove_dir_all(&folder);
    match result {
        Ok(()) => Snapshotter::Overlayfs,
        Err(error) => Snapshotter::Native { reason: error.to_string() },
    }
}
