//! Control groups of pods: the parents that hold the sum of a pod's limits.
//!
//! The container runtime makes the groups of containers below them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portolan_runtime::Resources;

use tokio::time::Instant;

use crate::config::CgroupConfig;

/// A killed process that stays this long hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes the group of a pod and sets its limits; does nothing if groups are left to the runtime.
///
/// Whoever writes a limit of memory waits until the kernel has taken back what is above it, which can be long.
pub(crate) async fn ensure(config: Option<&CgroupConfig>, path: &str, limits: &Resources) -> io::Result<()> {
    let Some(config) = config.filter(|_| !path.is_empty()) else { return Ok(()) };
    let (mount, path, limits) = (config.mount.clone(), path.to_owned(), limits.clone());
    let written = tokio::task::spawn_blocking(move || {
        if mount.join("cgroup.controllers").exists() {
            unified(&mount, &path, &limits)
        } else {
            legacy(&mount, &path, &limits)
        }
    });
    written.await.map_err(io::Error::other)?
}

/// Lets a pod have the processor time of `limits` if it has less, before its containers may have more of it: theirs
/// must never be more than the pod's.
pub(crate) fn raise_quota(config: Option<&CgroupConfig>, path: &str, limits: &Resources) -> io::Result<()> {
    let Some(config) = config.filter(|_| !path.is_empty()) else { return Ok(()) };
    let quota = limits.cpu_quota_us;
    for group in groups(&config.mount, path) {
        for (file, unlimited) in [("cpu.max", "max"), ("cpu.cfs_quota_us", "-1")] {
            let file = group.join(file);
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let has = text.split_whitespace().next().and_then(|has| has.parse().ok());
            // Whatever is no amount is no limit.
            if has.is_some_and(|has: i64| has > 0 && is_less(has, quota)) {
                // The period stays.
                fs::write(file, if quota > 0 { quota.to_string() } else { unlimited.to_owned() })?;
            }
        }
    }
    Ok(())
}

/// Whether one limit is less than another; 0 is none.
pub(crate) fn is_less<T: PartialOrd + Default>(one: T, other: T) -> bool {
    let none = T::default();
    one != none && (other == none || one < other)
}

/// Removes the group of a pod that has ended, with the groups of containers that the runtime left in it.
///
/// A runtime that is killed while it makes a container forgets the process that it began; nobody else
/// ends it. Whatever is still in the group of an ended pod is such a process.
pub(crate) async fn remove(config: Option<&CgroupConfig>, path: &str) -> io::Result<()> {
    let Some(config) = config.filter(|_| !path.is_empty()) else { return Ok(()) };
    let groups = groups(&config.mount, path);
    for process in groups.iter().flat_map(|group| processes(group)).collect::<BTreeSet<i32>>() {
        tracing::warn!(process, group = path, "ending a process that the container runtime forgot");
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
    }
    let give_up = Instant::now() + KILL_TIMEOUT;
    for group in groups {
        // A killed process leaves its group a moment later, without notice.
        while let Err(error) = remove_tree(&group) {
            if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() > give_up {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// The memory that a group uses, what the kernel caches for it included.
pub(crate) fn memory_usage(config: Option<&CgroupConfig>, path: &str) -> Option<u64> {
    let config = config.filter(|_| !path.is_empty())?;
    let files = ["memory.current", "memory.usage_in_bytes"];
    let mut texts = groups(&config.mount, path).into_iter().flat_map(|group| files.map(|file| group.join(file)));
    texts.find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
}

/// How many processes are in the group of a pod.
pub(crate) fn process_count(config: Option<&CgroupConfig>, path: &str) -> u64 {
    let Some(config) = config.filter(|_| !path.is_empty()) else { return 0 };
    let groups = groups(&config.mount, path);
    // Every hierarchy has the same processes.
    let found: BTreeSet<i32> = groups.iter().flat_map(|group| processes(group)).collect();
    u64::try_from(found.len()).unwrap_or(u64::MAX)
}

/// The processes of a group and of those below it.
fn processes(group: &Path) -> Vec<i32> {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = listed.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
    found.extend(below(group).iter().flat_map(|inner| processes(inner)));
    found
}

fn remove_tree(group: &Path) -> io::Result<()> {
    below(group).iter().try_for_each(|inner| remove_tree(inner))?;
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// One hierarchy for all controllers.
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html>
fn unified(mount: &Path, path: &str, limits: &Resources) -> io::Result<()> {
    let mut group = mount.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // Children have the controllers that their parent passes on.
        let available = fs::read_to_string(group.join("cgroup.controllers"))?;
        let wanted = ["cpu", "memory", "pids", "io", "cpuset"];
        let wanted = available.split_whitespace().filter(|name| wanted.contains(name));
        let passed: Vec<String> = wanted.map(|controller| format!("+{controller}")).collect();
        if !passed.is_empty() {
            fs::write(group.join("cgroup.subtree_control"), passed.join(" "))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders and files as the kernel shows them; real groups need rights that a test may not have.
    #[tokio::test]
    async fn a_forgotten_process_ends_with_the_pods_group() {
        let mount = tempfile::tempdir().expect("a folder");
        let group = mount.path().join("memory/kubepods/pod1/container1");
        fs::create_dir_all(&group).expect("made");
        let mut forgotten = std::process::Command::new("sleep").arg("600").spawn().expect("started");
        fs::write(group.join("cgroup.procs"), format!("{}\n", forgotten.id())).expect("written");
        let config = CgroupConfig { mount: mount.path().into(), parent: "/kubepods".into() };
        // The kernel's files go with the folder, these do not: only the killing can be seen here.
        let _ = remove(Some(&config), "/kubepods/pod1").await;
        let status = forgotten.wait().expect("it ended");
        assert!(!status.success(), "{status}");
    }

    const POD: &str = "/kubepods/burstable/pod1";

    /// A hierarchy of version 2 as the kernel shows it; `available` are the controllers of the machine.
    fn unified_tree(available: &str) -> tempfile::TempDir {
        let mount = tempfile::tempdir().expect("a folder");
        let mut group = mount.path().to_owned();
        for part in ["", "kubepods", "burstable"] {
            group.push(part);
            fs::create_dir_all(&group).expect("made");
            fs::write(group.join("cgroup.controllers"), available).expect("written");
        }
        mount
    }

    fn legacy_tree(controllers: &[&str]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().expect("a folder");
        for controller in controllers {
            fs::create_dir(mount.path().join(controller)).expect("made");
        }
        mount
    }

    fn config(mount: &tempfile::TempDir) -> CgroupConfig {
        CgroupConfig { mount: mount.path().into(), parent: "/kubepods".into() }
    }

    /// The content of the files below a group, without those that a test put there.
    fn files(mount: &tempfile::TempDir, group: &str, names: &[&str]) -> String {
        let read =
            |name: &&str| Some(format!("{name}={}", fs::read_to_string(mount.path().join(group).join(name)).ok()?));
        names.iter().filter_map(read).collect::<Vec<_>>().join("; ")
    }

    fn limits(cpu_shares: u64, cpu_quota_us: i64, memory_limit: u64) -> Resources {
        Resources { cpu_shares, cpu_quota_us, cpu_period_us: 100_000, memory_limit, ..Resources::default() }
    }

    #[tokio::test]
    async fn limits_are_written_in_the_files_of_version_2() {
        let names = ["cpu.weight", "cpu.max", "memory.max"];
        let cases = [
            (limits(2, -1, 0), "cpu.weight=1"),
            (limits(1024, 150_000, 64 << 20), "cpu.weight=39; cpu.max=150000 100000; memory.max=67108864"),
            (limits(262_144, 0, 0), "cpu.weight=10000"),
            (limits(0, 0, 0), "cpu.weight=1"),
            (limits(1_000_000, 0, 0), "cpu.weight=10000"),
        ];
        for (limits, expected) in cases {
            let mount = unified_tree("cpuset cpu io memory hugetlb pids rdma misc");
            ensure(Some(&config(&mount)), POD, &limits).await.expect("made");
            assert_eq!(files(&mount, &POD[1..], &names), expected, "{limits:?}");
        }
    }

    #[tokio::test]
    async fn each_group_passes_on_the_controllers_that_it_has() {
        for (available, expected) in [
            ("cpuset cpu io memory hugetlb pids rdma misc", "cgroup.subtree_control=+cpuset +cpu +io +memory +pids"),
            ("cpu memory", "cgroup.subtree_control=+cpu +memory"),
            ("", ""),
        ] {
            let mount = unified_tree(available);
            ensure(Some(&config(&mount)), POD, &limits(2, 0, 0)).await.expect("made");
            for group in ["", "kubepods", "kubepods/burstable"] {
                assert_eq!(files(&mount, group, &["cgroup.subtree_control"]), expected, "{group}");
            }
            // Processes live in the leaves: the pod's own group is left to the runtime.
            assert_eq!(files(&mount, &POD[1..], &["cgroup.subtree_control"]), "");
            ensure(Some(&config(&mount)), POD, &limits(2, 0, 0)).await.expect("a second time changes nothing");
        }
    }

    #[tokio::test]
    async fn limits_are_written_in_each_hierarchy_of_version_1() {
        let mount = legacy_tree(&["cpu", "memory", "pids"]);
        ensure(Some(&config(&mount)), POD, &limits(512, 50_000, 1 << 20)).await.expect("made");
        let group = |controller: &str| format!("{controller}{POD}");
        let names = ["cpu.shares", "cpu.cfs_quota_us", "memory.limit_in_bytes"];
        assert_eq!(files(&mount, &group("cpu"), &names), "cpu.shares=512; cpu.cfs_quota_us=50000");
        assert_eq!(files(&mount, &group("memory"), &names), "memory.limit_in_bytes=1048576");
        assert!(!mount.path().join(group("pids")).exists());
    }

    #[tokio::test]
    async fn nothing_else_waits_for_the_kernel_while_it_takes_a_limit() {
        let mount = legacy_tree(&["memory"]);
        let group = mount.path().join("memory").join(&POD[1..]);
        fs::create_dir_all(&group).expect("made");
        let file = group.join("memory.limit_in_bytes");
        // Whoever writes into a pipe waits for its reader.
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let config = config(&mount);
        let limits = limits(2, 0, 1 << 20);
        let (written, read) = tokio::join!(ensure(Some(&config), POD, &limits), tokio::fs::read_to_string(&file));
        written.expect("written");
        assert_eq!(read.expect("read"), "1048576");
    }

    #[test]
    fn a_quota_is_raised_and_never_lowered() {
        // (what the group has, what it is to have) and what it has then.
        let cases = [("100000", 150_000, "150000"), ("100000", 50_000, "100000"), ("100000", 0, ""), ("", 50_000, "")];
        for (has, wanted, expected) in cases {
            for (file, prefix, unlimited) in [("cpu.max", "", "max"), ("cpu.cfs_quota_us", "cpu/", "-1")] {
                let mount = tempfile::tempdir().expect("a folder");
                let group = mount.path().join(format!("{prefix}{}", &POD[1..]));
                fs::create_dir_all(&group).expect("made");
                if prefix.is_empty() {
                    fs::write(mount.path().join("cgroup.controllers"), "cpu").expect("written");
                }
                let text = |quota: &str| if quota.is_empty() { unlimited.to_owned() } else { quota.to_owned() };
                let period = if prefix.is_empty() { " 100000\n" } else { "\n" };
                fs::write(group.join(file), format!("{}{period}", text(has))).expect("written");
                raise_quota(Some(&config(&mount)), POD, &limits(2, wanted, 0)).expect("raised");
                let now = fs::read_to_string(group.join(file)).expect("it is there");
                assert_eq!(now.split_whitespace().next(), Some(text(expected).as_str()), "{file} {has} {wanted}");
            }
        }
    }

    #[test]
    fn processes_of_a_pod_are_counted_once_in_either_version() {
        let unified = unified_tree("cpu");
        let legacy = legacy_tree(&["cpu", "memory"]);
        for (mount, groups) in
            [(&unified, vec![POD[1..].to_owned()]), (&legacy, vec![format!("cpu{POD}"), format!("memory{POD}")])]
        {
            for group in groups {
                let group = mount.path().join(group);
                fs::create_dir_all(group.join("container")).expect("made");
                fs::write(group.join("cgroup.procs"), "").expect("written");
                fs::write(group.join("container/cgroup.procs"), "10\n11\n").expect("written");
            }
            assert_eq!(process_count(Some(&config(mount)), POD), 2);
        }
        assert_eq!(process_count(None, POD), 0);
    }

    #[tokio::test]
    async fn the_groups_of_a_pod_go_in_either_version() {
        let unified = unified_tree("cpu");
        let legacy = legacy_tree(&["cpu", "memory"]);
        for (mount, groups) in
            [(&unified, vec![POD[1..].to_owned()]), (&legacy, vec![format!("cpu{POD}"), format!("memory{POD}")])]
        {
            for group in &groups {
                fs::create_dir_all(mount.path().join(group).join("container")).expect("made");
            }
            remove(Some(&config(mount)), POD).await.expect("removed");
            assert!(groups.iter().all(|group| !mount.path().join(group).exists()));
            remove(Some(&config(mount)), POD).await.expect("nothing to do");
        }
    }
}
