//! Taking down everything that one private containerd ever started.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use super::process::{self, Ending};
use super::{Layout, Options, Supervisor, supervisor};
use crate::port::{Runtime, SandboxId};

/// Pods get this long to end before they are killed with their shim.
const POD_TIMEOUT: Duration = Duration::from_secs(30);
/// A killed process that stays this long hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Ends every pod of the instance, ends containerd, and removes processes, mounts, network name spaces,
/// control groups and sockets that are left. Goes on after failures and returns them.
///
/// Images stay in [`Options::data_dir`]: removing that folder is up to the caller.
pub async fn purge(options: &Options) -> Vec<String> {
    let layout = Layout::new(options);
    let mut failures = Vec::new();
    let may_hold_pods = layout.config.exists() && has_state(&layout);
    if may_hold_pods && let Err(reason) = end_pods(options).await {
        tracing::warn!(%reason, "cannot end all pods in an orderly way; killing what is left");
    }
    if let Err(error) = supervisor::stop(&layout).await {
        failures.push(portolan_base::error::chain(&error).to_string());
    }
    kill_leftovers(&layout, &mut failures).await;
    for folder in cgroup_folders(&options.cgroup_root) {
        remove_empty_cgroups(&folder);
    }
    for folder in [&options.run_dir, &layout.root] {
        unmount_below(folder, &mut failures);
    }
    for folder in [&layout.state, &layout.runc_root] {
        remove(fs::remove_dir_all(folder), folder, &mut failures);
    }
    for file in [&layout.socket, &layout.ttrpc_socket, &layout.config, &layout.pid] {
        remove(fs::remove_file(file), file, &mut failures);
    }
    // Shared with other containerds: go only if empty, and not being empty is no failure.
    for folder in ["/run/containerd/s", "/run/containerd"] {
        let _ = fs::remove_dir(folder);
    }
    failures
}

/// Whether containers may be running.
fn has_state(layout: &Layout) -> bool {
    process::running(&layout.pid, &layout.config).is_some() || !bundles(layout).is_empty()
}

async fn end_pods(options: &Options) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let supervisor = Supervisor::start(options.clone()).await.map_err(|error| text(&error))?;
    let runtime = supervisor.runtime().await.map_err(|error| text(&error))?;
    let sandboxes = runtime.sandboxes().await.map_err(|error| text(&error))?;
    let ends = sandboxes.iter().map(|sandbox| end_pod(&runtime, &sandbox.id));
    let failed: Vec<String> = futures::future::join_all(ends).await.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

async fn end_pod(runtime: &impl Runtime, id: &SandboxId) -> Result<(), String> {
    let work = async {
        runtime.stop_sandbox(id).await?;
        runtime.remove_sandbox(id).await
    };
    match tokio::time::timeout(POD_TIMEOUT, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("end sandbox {}: {error}", id.0)),
        Err(_) => Err(format!("end sandbox {}: not within {POD_TIMEOUT:?}", id.0)),
    }
}

/// Folders of running tasks; their names are the container ids.
fn bundles(layout: &Layout) -> Vec<PathBuf> {
    let folder = layout.state.join("io.containerd.runtime.v2.task/k8s.io");
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Kills shims and first processes that containerd did not end.
async fn kill_leftovers(layout: &Layout, failures: &mut Vec<String>) {
    let socket = layout.socket.to_string_lossy().into_owned();
    let mut doomed: BTreeSet<i32> = process::all().into_iter().filter(|pid| is_shim_of(*pid, &socket)).collect();
    let mut groups = BTreeSet::new();
    for bundle in bundles(layout) {
        let Some(id) = bundle.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let pid = fs::read_to_string(bundle.join("init.pid")).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid {
            // Only a process in the container's own control group is the container's.
            let own = cgroups_of(pid).into_iter().filter(|group| group.to_string_lossy().contains(&id));
            let own: Vec<PathBuf> = own.collect();
            if !own.is_empty() {
                doomed.insert(pid);
            }
            groups.extend(own);
        }
        if let Ok(address) = fs::read_to_string(bundle.join("address")) {
            let path = PathBuf::from(address.trim().trim_start_matches("unix://"));
            remove(fs::remove_file(&path), &path, failures);
        }
    }
    for group in &groups {
        let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        doomed.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    for pid in doomed {
        let Ok(Some(ending)) = Ending::watch(pid) else { continue };
        if let Err(error) = process::signal(pid, Signal::SIGKILL) {
            failures.push(format!("kill process {pid}: {error}"));
        } else if tokio::time::timeout(KILL_TIMEOUT, ending.ended()).await.is_err() {
            failures.push(format!("process {pid} does not end"));
        }
    }
    for group in groups {
        remove(fs::remove_dir(&group), &group, failures);
    }
}

fn is_shim_of(pid: i32, socket: &str) -> bool {
    process::arguments(pid).is_some_and(|arguments| {
        arguments.first().is_some_and(|program| program.contains("containerd-shim"))
            && arguments.iter().any(|argument| argument == socket)
    })
}

/// Folders of the control groups that a process is in, in every hierarchy.
fn cgroups_of(pid: i32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let paths: BTreeSet<&str> = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    paths.into_iter().filter(|path| *path != "/").flat_map(|path| cgroup_folders(Path::new(path))).collect()
}

/// The folders of a control group in all hierarchies that have it.
pub(crate) fn cgroup_folders(group: &Path) -> Vec<PathBuf> {
    folders_below(Path::new(CGROUP_ROOT), group)
}

/// The folders of a control group below a mount point: of each hierarchy of version 1, or the one of
/// version 2, or both on a machine that has both.
fn folders_below(root: &Path, group: &Path) -> Vec<PathBuf> {
    let Ok(relative) = group.strip_prefix("/") else { return Vec::new() };
    if relative.as_os_str().is_empty() {
        return Vec::new();
    }
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = hierarchies.filter(|path| path.is_dir()).chain([root.to_owned()]);
    all.map(|hierarchy| hierarchy.join(relative)).filter(|folder| folder.is_dir()).collect()
}

/// Removes a control group with the groups in it as far as no process is in them: the group may be
/// shared with another instance.
fn remove_empty_cgroups(folder: &Path) {
    for inner in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_empty_cgroups(&inner.path());
    }
    // Fails if it is in use, which is what is wanted.
    let _ = fs::remove_dir(folder);
}

fn unmount_below(folder: &Path, failures: &mut Vec<String>) {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    below.sort();
    for point in below.into_iter().rev() {
        if let Err(error) = umount2(&point, MntFlags::MNT_DETACH) {
            failures.push(format!("unmount {}: {error}", point.display()));
        }
    }
}

/// Mount points have blanks, tabs, line feeds and backslashes as octal numbers (proc(5)).
fn unescape(point: &str) -> PathBuf {
    let replaced = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(replaced.iter().fold(point.to_owned(), |text, (from, to)| text.replace(from, to)))
}

fn remove(result: io::Result<()>, path: &Path, failures: &mut Vec<String>) {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            failures.push(format!("remove {}: {error}", path.display()));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_in_every_version_of_the_hierarchy() {
        let group = "/kubepods/pod1/c";
        for (layout, expected) in [
            (vec!["kubepods/pod1/c", "system.slice"], vec!["kubepods/pod1/c"]),
            (
                vec!["cpu/kubepods/pod1/c", "memory/kubepods/pod1/c", "pids"],
                vec!["cpu/kubepods/pod1/c", "memory/kubepods/pod1/c"],
            ),
            (
                vec!["cpu/kubepods/pod1/c", "unified/kubepods/pod1/c"],
                vec!["cpu/kubepods/pod1/c", "unified/kubepods/pod1/c"],
            ),
            (vec!["cpu"], vec![]),
        ] {
            let root = tempfile::tempdir().expect("a folder for the test");
            for folder in &layout {
                fs::create_dir_all(root.path().join(folder)).expect("made");
            }
            let mut found = folders_below(root.path(), Path::new(group));
            found.sort();
            let expected: Vec<PathBuf> = expected.iter().map(|folder| root.path().join(folder)).collect();
            assert_eq!(found, expected, "{layout:?}");
            assert!(folders_below(root.path(), Path::new("/")).is_empty(), "never all groups of the machine");
        }
    }

    #[test]
    fn groups_without_processes_go() {
        let root = tempfile::tempdir().expect("a folder for the test");
        let folder = root.path().join("kubepods");
        fs::create_dir_all(folder.join("pod1/c")).expect("made");
        remove_empty_cgroups(&folder);
        assert!(!folder.exists());
    }
}
