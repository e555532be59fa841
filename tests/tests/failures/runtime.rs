//! Parts below the server die: containerd, a shim, a pod's first process, a container's process.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, eventually, http_get, kill};
use serde_json::Value;

use crate::support::{
    Containers, address, build_image, container_id, identities, is_alive, items, none_lost_or_doubled, processes, web,
};

fn first_pod(cluster: &Cluster) -> anyhow::Result<Value> {
    let pods = cluster.kubectl_json("get pods -l app=web")?;
    items(&pods).next().cloned().context("no pod")
}

fn status(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

fn first_process(cluster: &Cluster, id: &str) -> u32 {
    *Containers::look(cluster).expect("containerd answers").running.get(id).expect("it runs")
}

/// The sandbox of the only pod.
fn sandbox(cluster: &Cluster) -> String {
    let found = Containers::look(cluster).expect("containerd answers");
    (*found.live_sandboxes().first().expect("one sandbox")).clone()
}

fn recovered(cluster: &Cluster, address: &str, restarts: u64) -> Value {
    let pod = eventually("the pod is ready again", || {
        let pod = first_pod(cluster)?;
        ensure!(status(&pod)["ready"] == true, "{}", pod["status"]);
        ensure!(status(&pod)["restartCount"] == restarts, "{}", pod["status"]);
        none_lost_or_doubled(cluster)?;
        Ok(pod)
    });
    eventually("the service answers", || http_get(address, "/"));
    pod
}

#[test]
fn each_part_below_the_server_may_die() {
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "web:1");
    cluster.kubectl_with("apply", &web("web", 1)).expect("applied");
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    let address = address(&cluster, "web");
    eventually("the service answers", || http_get(&address, "/"));

    // containerd: nothing of the pods changes, and new ones can be started.
    let before = identities(&cluster).expect("listed");
    let pid_file = cluster.run_dir().join("containerd.pid");
    let read_pid = || -> anyhow::Result<u32> { Ok(std::fs::read_to_string(&pid_file)?.trim().parse()?) };
    let containerd = read_pid().expect("a pid");
    kill("-9", containerd).expect("killed");
    http_get(&address, "/").expect("pods go on without containerd");
    eventually("containerd is started again", || {
        ensure!(read_pid()? != containerd, "not yet");
        Containers::look(&cluster).map(drop)
    });
    cluster.kubectl("scale deployment web --replicas=2").expect("scaled");
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    cluster.kubectl("scale deployment web --replicas=1").expect("scaled");
    eventually("one pod is left", || {
        ensure!(items(&cluster.kubectl_json("get pods")?).count() == 1, "more");
        none_lost_or_doubled(&cluster)
    });
    // Which of the two is kept is the controller's choice: the older one.
    assert_eq!(identities(&cluster).expect("listed"), before);

    // A container's process: started again at once, the reason is kept.
    let pod = first_pod(&cluster).expect("a pod");
    kill("-9", first_process(&cluster, &container_id(status(&pod)))).expect("killed");
    let pod = recovered(&cluster, &address, 1);
    assert_eq!(status(&pod)["lastState"]["terminated"]["exitCode"], 137, "{}", pod["status"]);

    // The shim: the container's end is not known, its process must not stay beside the new one.
    let id = container_id(status(&pod));
    let (process, sandbox_id) = (first_process(&cluster, &id), sandbox(&cluster));
    let shim = processes(&["containerd-shim", &sandbox_id]);
    assert_eq!(shim.len(), 1, "shims of {sandbox_id}: {shim:?}");
    kill("-9", shim[0]).expect("killed");
    eventually("the pod has another container", || {
        let pod = first_pod(&cluster)?;
        ensure!(container_id(status(&pod)) != id && status(&pod)["ready"] == true, "{}", pod["status"]);
        ensure!(!is_alive(process), "the old process {process} is still there");
        none_lost_or_doubled(&cluster)
    });
    eventually("the service answers", || http_get(&address, "/"));

    // The pod's first process: the sandbox is replaced, with its containers.
    let (pod, sandbox_id) = (first_pod(&cluster).expect("a pod"), sandbox(&cluster));
    let (id, pause) = (container_id(status(&pod)), first_process(&cluster, &sandbox_id));
    let process = first_process(&cluster, &id);
    kill("-9", pause).expect("killed");
    eventually("the pod has another sandbox", || {
        let pod = first_pod(&cluster)?;
        ensure!(container_id(status(&pod)) != id && status(&pod)["ready"] == true, "{}", pod["status"]);
        ensure!(sandbox(&cluster) != sandbox_id, "the same sandbox");
        ensure!(!is_alive(process), "the old process {process} is still there");
        none_lost_or_doubled(&cluster)
    });
    eventually("the service answers", || http_get(&address, "/"));
}

const CRASHING: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "web:1", command: [busybox, "false"]}]
"#;

/// When each attempt was seen for the first time, by its number of restarts.
fn watch_restarts(cluster: &Cluster, until: u64) -> BTreeMap<u64, Instant> {
    let mut seen = BTreeMap::new();
    while !seen.contains_key(&until) {
        let count = eventually("the pod is there", || {
            let pod = cluster.kubectl_json("get pod crashing")?;
            let status = status(&pod);
            ensure!(!status["restartCount"].is_null(), "no status yet");
            Ok(status["restartCount"].as_u64().unwrap_or_default())
        });
        seen.entry(count).or_insert_with(Instant::now);
        thread::sleep(Duration::from_millis(100));
    }
    seen
}

/// `PORTOLAN_CRASH_RESTARTS` sets how many are waited for; each wait is twice as long as the one before.
#[test]
fn a_crashing_container_waits_longer_each_time_and_says_why() {
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "web:1");
    cluster.kubectl_with("apply", CRASHING).expect("applied");
    let restarts = std::env::var("PORTOLAN_CRASH_RESTARTS").ok().and_then(|count| count.parse().ok()).unwrap_or(2);
    let seen = watch_restarts(&cluster, restarts);
    // The first start after a crash is immediate, the following wait 10 s, then 20 s. A little less may be
    // seen because the end of an attempt, from which the wait counts, is seen late.
    let wait = |restart: u64| 10.0 * f64::from(1_u32 << (restart - 2));
    for restart in 2..=restarts {
        let gap = seen[&restart].duration_since(seen[&(restart - 1)]).as_secs_f64();
        let expected = wait(restart);
        assert!((expected - 1.5..expected + 4.0).contains(&gap), "restart {restart} came after {gap} s");
    }
    let next = format!("back-off {}s restarting failed container=c pod=crashing_default", wait(restarts + 1));
    let pod = cluster.kubectl_json("get pod crashing").expect("there");
    eventually("the status says how long it waits", || {
        let pod = cluster.kubectl_json("get pod crashing")?;
        let waiting = &status(&pod)["state"]["waiting"];
        ensure!(waiting["reason"] == "CrashLoopBackOff", "{}", pod["status"]);
        let message = waiting["message"].as_str().unwrap_or_default();
        ensure!(message.contains(&next), "{message}");
        Ok(())
    });
    assert_eq!(status(&pod)["lastState"]["terminated"]["exitCode"], 1, "{}", pod["status"]);
    let events = cluster.kubectl("get events").expect("events");
    assert!(events.contains("Back-off restarting failed container"), "{events}");
    // The crash loop goes on where it was after the server died.
    cluster.kill_server().expect("killed");
    cluster.up().expect("up again");
    thread::sleep(Duration::from_secs(3));
    let pod = cluster.kubectl_json("get pod crashing").expect("there");
    assert_eq!(status(&pod)["restartCount"], restarts, "{}", pod["status"]);
}
