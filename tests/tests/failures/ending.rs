//! Stops: in an orderly way, after a crash, twice, and with leftovers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;
use portolan_tests::{Cluster, Leftovers, eventually, kill};

use crate::support::{Proxy, build_image, is_alive, none_lost_or_doubled, resident_kilobytes, web};

#[test]
fn a_stop_ends_watches_finishes_requests_and_leaves_containers_running() {
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "web:1");
    cluster.kubectl_with("apply", &web("web", 1)).expect("applied");
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    let pid = cluster.server_pid().expect("running");
    let containers = crate::support::Containers::look(&cluster).expect("listed").running;

    let mut watch = cluster.kubectl_command();
    let mut watch = watch
        .args(["get", "--raw", "/api/v1/namespaces/default/pods?watch=1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    lines.next().expect("the watch begins").expect("read");
    let proxy = Proxy::start(&cluster).expect("proxy");
    let writer = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            let name = format!("during-the-stop-{number}");
            let object = serde_json::json!({"metadata": {"name": name}});
            match proxy.request("POST", "/api/v1/namespaces/default/configmaps", &object.to_string()) {
                Ok((201, _)) => acknowledged.push(name),
                _ => return acknowledged,
            }
        }
        unreachable!("the server is stopped meanwhile")
    });
    // Some writes are under way when the stop comes.
    eventually("writes arrive", || cluster.kubectl("get configmap during-the-stop-3").map(drop));
    let asked = Instant::now();
    kill("-TERM", pid).expect("asked to stop");
    eventually("the server is gone", || {
        ensure!(!is_alive(pid), "still there");
        Ok(())
    });
    assert!(asked.elapsed() < Duration::from_secs(6), "the stop took {:?}", asked.elapsed());
    while let Some(Ok(_)) = lines.next() {}
    watch.wait().expect("the watch ended");
    let acknowledged = writer.join().expect("no panic");
    for log in ["store closed", "draining"] {
        assert!(cluster.log().contains(log), "{}", cluster.log());
    }
    assert!(!cluster.log().contains("did not stop in time"), "{}", cluster.log());
    for process in containers.values() {
        assert!(is_alive(*process), "container process {process} ended with the server");
    }

    cluster.up().expect("up again");
    let found = cluster.kubectl("get configmaps -o name").expect("listed");
    for name in acknowledged {
        assert!(found.contains(&format!("configmap/{name}\n")), "{name} was acknowledged");
    }
    eventually("the same containers", || none_lost_or_doubled(&cluster));
}

#[test]
fn down_removes_everything_whatever_happened_before() {
    let before = Leftovers::look();
    let gone = |cluster: &Cluster, what: &str| {
        // Others may use this machine too; what they do for a moment is not ours.
        eventually(&format!("{what}: nothing is left"), || {
            let now = Leftovers::look();
            ensure!(now.since(&before).is_empty(), "{:?}", now.since(&before));
            Ok(())
        });
        assert!(!cluster.data_dir().exists() && !cluster.run_dir().exists(), "{what}: folders are left");
    };
    let cluster = Cluster::start().expect("started");
    let with_pods = || {
        cluster.up().expect("up");
        build_image(&cluster, "web:1");
        cluster.kubectl_with("apply", &web("web", 2)).expect("applied");
        cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    };
    with_pods();
    cluster.kill_server().expect("killed");
    cluster.down().expect("down after a crash, with running pods");
    gone(&cluster, "after a crash");
    cluster.down().expect("down twice");
    gone(&cluster, "down twice");

    // The server, containerd and a shim are gone: what runs must be found without them.
    with_pods();
    let containerd = std::fs::read_to_string(cluster.run_dir().join("containerd.pid")).expect("a pid");
    cluster.kill_server().expect("killed");
    kill("-9", containerd.trim().parse().expect("a pid")).expect("killed");
    let socket = cluster.run_dir().join("containerd.sock");
    let shims = crate::support::processes(&["containerd-shim", &socket.to_string_lossy()]);
    assert_eq!(shims.len(), 2, "{shims:?}");
    kill("-9", shims[0]).expect("killed");
    cluster.down().expect("down with leftovers");
    gone(&cluster, "with leftovers");

    // The same folders serve again after all that.
    cluster.up().expect("up");
    cluster.down().expect("down");
    gone(&cluster, "empty");
}

/// Ticks of 10 ms that a process used.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    // Fields 14 and 15 of proc(5), counted from 1; the name and the number before it are cut off.
    [11, 12].iter().filter_map(|index| fields.get(*index)?.parse::<u64>().ok()).sum()
}

#[test]
fn an_idle_cluster_uses_no_cpu() {
    const WATCHED: Duration = Duration::from_secs(10);
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "web:1");
    cluster.kubectl_with("apply", &web("web", 3)).expect("applied");
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    let containerd = std::fs::read_to_string(cluster.run_dir().join("containerd.pid")).expect("a pid");
    let processes = [cluster.server_pid().expect("running"), containerd.trim().parse().expect("a pid")];
    // The last events of the rollout pass; then time itself is what is measured.
    std::thread::sleep(Duration::from_secs(2));
    let before = processes.map(ticks);
    std::thread::sleep(WATCHED);
    let used = [0, 1].map(|index| ticks(processes[index]) - before[index]);
    println!(
        "idle for {WATCHED:?}: server and containerd used {used:?} ticks; {} kB",
        resident_kilobytes(processes[0])
    );
    // One per cent of a core for both; an unoptimised build is what is measured here.
    assert!(used.iter().sum::<u64>() <= 10, "ticks of 10 ms in {WATCHED:?}: {used:?}");
}

/// A disk of its own in memory; unmounted when dropped.
pub(crate) struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    pub(crate) fn mount(path: &std::path::Path, size: &str) -> Self {
        std::fs::create_dir_all(path).expect("a folder");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path).status();
        assert!(status.expect("mount runs").success(), "mount a disk in memory");
        Self(path.to_owned())
    }

    pub(crate) fn fill(&self) {
        let zeros = vec![0; 64 << 10];
        let mut file = std::fs::File::create(self.0.join("ballast")).expect("a file");
        while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}
