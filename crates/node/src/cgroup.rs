//! Control groups of pods: the parents that hold the sum of a pod's limits.
//!
//! The container runtime makes the groups of containers below them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portolan_runtime::Resources;

use crate::config::CgroupConfig;

/// Makes the group of a pod and sets its limits; does nothing if groups are left to the runtime.
pub(crate) fn ensure(config: Option<&CgroupConfig>, path: &str, limits: &Resources) -> io::Result<()> {
    let Some(config) = config.filter(|_| !path.is_empty()) else { return Ok(()) };
    if config.mount.join("cgroup.controllers").exists() {
        unified(&config.mount, path, limits)
    } else {
        legacy(&config.mount, path, limits)
    }
}

/// Removes the group of a pod that has ended. A group that is still in use stays.
pub(crate) fn remove(config: Option<&CgroupConfig>, path: &str) -> io::Result<()> {
    let Some(config) = config.filter(|_| !path.is_empty()) else { return Ok(()) };
    for group in groups(&config.mount, path) {
        match fs::remove_dir(&group) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// One hierarchy for all controllers.
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html>
fn unified(mount: &Path, path: &str, limits: &Resources) -> io::Result<()> {
    let mut group = mount.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // Children have the controllers that their parent passes on.
        let available = fs::read_to_string(group.join("cgroup.controllers"))?;
        for controller in ["cpu", "memory", "pids", "io", "cpuset"] {
            if available.split_whitespace().any(|name| name == controller) {
                fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"))?;
            }
        }
        group.push(part);
        make(&group)?;
    }
    // The kernel's scale is 1 to 10000 where shares are 2 to 262144.
    let weight = 1 + (limits.cpu_shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
    fs::write(group.join("cpu.weight"), weight.to_string())?;
    if limits.cpu_quota_us > 0 {
        fs::write(group.join("cpu.max"), format!("{} {}", limits.cpu_quota_us, limits.cpu_period_us))?;
    }
    if limits.memory_limit > 0 {
        fs::write(group.join("memory.max"), limits.memory_limit.to_string())?;
    }
    Ok(())
}

/// One hierarchy per controller.
fn legacy(mount: &Path, path: &str, limits: &Resources) -> io::Result<()> {
    for (controller, file, value) in [
        ("cpu", "cpu.shares", i128::from(limits.cpu_shares)),
        ("cpu", "cpu.cfs_quota_us", i128::from(limits.cpu_quota_us)),
        ("memory", "memory.limit_in_bytes", i128::from(limits.memory_limit)),
    ] {
        let root = mount.join(controller);
        if !root.exists() {
            continue;
        }
        let mut group = root;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            group.push(part);
            make(&group)?;
        }
        if value > 0 {
            fs::write(group.join(file), value.to_string())?;
        }
    }
    Ok(())
}

fn groups(mount: &Path, path: &str) -> Vec<PathBuf> {
    let relative = path.trim_start_matches('/');
    if mount.join("cgroup.controllers").exists() {
        return vec![mount.join(relative)];
    }
    let hierarchies = fs::read_dir(mount).into_iter().flatten().flatten();
    hierarchies.map(|entry| entry.path().join(relative)).filter(|group| group.is_dir()).collect()
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}
