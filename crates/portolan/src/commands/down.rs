//! `portolan down`: everything that `up` made goes away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portolan_cli::Place;

use crate::folders::Folders;

/// How long the server gets to drain before it is killed.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where control groups are mounted.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Stops the server, then removes containers, networks and files. Works after a crash too; goes on
/// after a failure and reports all of them.
pub(crate) async fn run(mut folders: Folders, keep_data: bool) -> anyhow::Result<()> {
    folders.refuse_foreign()?;
    folders.settle()?;
    if let Some(pid) = Place::server(&folders.data_dir) {
        stop_server(pid).await?;
        println!("server stopped");
    }
    let mut failures = remove_node(&folders).await;
    if folders.bridge.is_some() || !folders.has_network() {
        println!("containers and network removed");
    } else {
        let bridge = folders.bridge();
        println!(
            "the bridge {bridge} was not made from this folder and stays, with its containers; --bridge {bridge} would \
             remove them too"
        );
    }
    if keep_data {
        let _ = std::fs::remove_file(Place::path(&folders.data_dir));
    } else {
        failures.extend(remove(&folders.data_dir));
    }
    if failures.is_empty() {
        println!("Portolan is down");
        return Ok(());
    }
    bail!(
        "not everything could be removed; run `portolan down --bridge {} --run-dir {}` again after looking at:\n  {}",
        folders.bridge(),
        folders.run_dir().display(),
        failures.join("\n  ")
    )
}

/// Removes what makes this machine a node: names and packet rules, containers, the network. Data stays. What is not
/// known to be this cluster's stays too: what has the usual names may be another's.
pub(crate) async fn remove_node(folders: &Folders) -> Vec<String> {
    let mut failures = Vec::new();
    if let Some(run_dir) = &folders.run_dir {
        failures.extend(portolan_dataplane::purge(&folders.dataplane()).await);
        failures.extend(portolan_runtime::containerd::purge(&folders.containerd()).await);
        failures.extend(remove(run_dir));
    }
    failures.extend(unmount_below(&folders.data_dir));
    if folders.bridge.is_some() {
        let left = portolan_network::teardown_node(&folders.network(""));
        failures.extend(left.iter().map(|error| portolan_base::error::chain(error).to_string()));
        failures.extend(remove_control_groups(Path::new(CGROUP_ROOT), &folders.cgroup_parent()).await);
    }
    if failures.is_empty() {
        folders.forget_names();
    }
    failures
}

async fn stop_server(pid: i32) -> anyhow::Result<()> {
    let process = Pid::from_raw(pid);
    kill(process, Signal::SIGTERM).with_context(|| format!("stop the server (process {pid})"))?;
    if wait_for_end(process).await {
        return Ok(());
    }
    eprintln!("the server did not stop within {PATIENCE:?}; killing it");
    kill(process, Signal::SIGKILL).with_context(|| format!("kill the server (process {pid})"))?;
    if wait_for_end(process).await { Ok(()) } else { bail!("the server (process {pid}) does not end") }
}

/// Somebody else's child gives no notice when it ends, so this looks every few milliseconds.
async fn wait_for_end(process: Pid) -> bool {
    let gone = async {
        while kill(process, None).is_ok() && !is_zombie(process) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.is_ok()
}

/// Whether a process has ended and only waits for its parent to notice (proc(5), `stat` field 3).
fn is_zombie(process: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// Volumes in memory are mounts of their own; the innermost goes first.
fn unmount_below(folder: &Path) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    // The folder itself may be a disk of its own, which somebody else mounted.
    points.retain(|point| Path::new(point).starts_with(folder) && Path::new(point) != folder);
    points.sort_unstable_by(|left, right| right.cmp(left));
    let unmount = |point: &&str| nix::mount::umount2(*point, nix::mount::MntFlags::MNT_DETACH).err();
    points.iter().filter_map(|point| unmount(point).map(|error| format!("unmount {point}: {error}"))).collect()
}

/// Removes the control groups of pods, in each hierarchy of version 1 or the one of version 2, with
/// processes that the container runtime forgot because it was killed while it made them.
async fn remove_control_groups(root: &Path, parent: &str) -> Vec<String> {
    let mut hierarchies = vec![root.to_owned()];
    hierarchies.extend(root.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()));
    let groups = hierarchies.into_iter().map(|hierarchy| hierarchy.join(parent.trim_start_matches('/')));
    let groups: Vec<PathBuf> = groups.filter(|group| group.is_dir()).collect();
    for process in groups.iter().flat_map(|group| processes(group)).collect::<BTreeSet<i32>>() {
        let process = Pid::from_raw(process);
        // It may have ended meanwhile; if not, its group cannot be removed, which is said then.
        if kill(process, Signal::SIGKILL).is_ok() {
            wait_for_end(process).await;
        }
    }
    groups.iter().filter_map(|group| remove_group(group)).collect()
}

fn processes(group: &Path) -> Vec<i32> {
    let listed = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = listed.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
    let entries = group.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    found.extend(entries.filter(|entry| entry.is_dir()).flat_map(|inner| processes(&inner)));
    found
}

fn remove_group(group: &Path) -> Option<String> {
    for entry in group.read_dir().into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(failure) = remove_group(&entry.path())
        {
            return Some(failure);
        }
    }
    // The files in a control group are not real; removing the folder is all there is to do.
    std::fs::remove_dir(group).err().map(|error| format!("remove control group {}: {error}", group.display()))
}

fn remove(folder: &Path) -> Option<String> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        // Emptied; it stays because it is a disk of its own.
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy && is_empty(folder) => None,
        Err(error) => Some(format!("remove {}: {error}", folder.display())),
    }
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders as the kernel shows them; what cannot be seen here is that its files go with the folder.
    #[tokio::test]
    async fn the_groups_of_pods_go_from_hierarchies_of_either_version() {
        let parent = "/kubepods-b0";
        for hierarchies in [vec![""], vec!["cpu,cpuacct", "memory", "unified"]] {
            let root = tempfile::tempdir().expect("a folder");
            let group = |hierarchy: &str, group: &str| root.path().join(hierarchy).join(group);
            for hierarchy in &hierarchies {
                std::fs::create_dir_all(group(hierarchy, "kubepods-b0/burstable/pod1/c")).expect("made");
                std::fs::create_dir_all(group(hierarchy, "kubepods/pod2")).expect("made");
            }
            assert_eq!(remove_control_groups(root.path(), parent).await, Vec::<String>::new(), "{hierarchies:?}");
            for hierarchy in &hierarchies {
                assert!(!group(hierarchy, "kubepods-b0").exists(), "{hierarchy}");
                assert!(group(hierarchy, "kubepods/pod2").exists(), "another cluster's");
            }
        }
    }
}
