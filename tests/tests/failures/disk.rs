//! A full disk and damaged files: reads go on, nothing acknowledged is lost, damage is named.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::ensure;
use portolan_tests::{Cluster, eventually};
use serde_json::json;

use crate::ending::SmallDisk;
use crate::support::{Proxy, build_image, items, web};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn a_full_disk_stops_writes_with_a_reason_and_keeps_reads() {
    let cluster = Cluster::prepare(&[]).expect("folders");
    let disk = SmallDisk::mount(&cluster.data_dir().join("store"), "64m");
    cluster.up().expect("up");
    let proxy = Proxy::start(&cluster).expect("proxy");
    let filler = "x".repeat(200 << 10);
    let mut acknowledged = BTreeSet::new();
    let write = |name: &str| {
        let object = json!({"metadata": {"name": name}, "data": {"filler": filler}});
        proxy.request("POST", CONFIG_MAPS, &object.to_string()).expect("an answer")
    };
    for number in 0..20 {
        let name = format!("before-{number}");
        assert_eq!(write(&name).0, 201);
        acknowledged.insert(name);
    }
    disk.fill();
    let refusal = eventually("a write is refused", || {
        let name = format!("during-{}", acknowledged.len());
        match write(&name) {
            (201, _) => {
                acknowledged.insert(name);
                anyhow::bail!("there was room")
            }
            refusal => Ok(refusal),
        }
    });
    let (code, status) = refusal;
    let message = status["message"].as_str().unwrap_or_default();
    assert!(code >= 500 && message.contains("No space left on device"), "{code} {message}");
    let names = |proxy: &Proxy| -> BTreeSet<String> {
        let (code, list) = proxy.request("GET", CONFIG_MAPS, "").expect("reads go on");
        assert_eq!(code, 200, "{list}");
        let names = items(&list).map(|object| object["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        names.filter(|name| name != "kube-root-ca.crt").collect()
    };
    assert_eq!(names(&proxy), acknowledged, "what was refused is not there");
    assert!(cluster.kubectl("get nodes").expect("reads go on").contains("test-node"));

    disk.free();
    cluster.kill_server().expect("killed");
    cluster.up().expect("up again");
    let proxy = Proxy::start(&cluster).expect("proxy");
    assert_eq!(names(&proxy), acknowledged, "after the restart");
    let object = json!({"metadata": {"name": "after"}});
    assert_eq!(proxy.request("POST", CONFIG_MAPS, &object.to_string()).expect("an answer").0, 201);
    drop(proxy);
    cluster.down().expect("down");
}

#[test]
fn a_full_disk_under_the_logs_of_containers_harms_no_pod() {
    let cluster = Cluster::prepare(&[]).expect("folders");
    let disk = SmallDisk::mount(&cluster.data_dir().join("logs"), "4m");
    std::fs::write(cluster.data_dir().join("portolan.log"), "").expect("the folder is a cluster's");
    cluster.up().expect("up");
    build_image(&cluster, "web:1");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: loud}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers: \
               [{name: c, image: 'web:1', command: [sh, -c, 'while :; do busybox echo loud; done']}]\n";
    cluster.kubectl_with("apply", pod).expect("applied");
    cluster.kubectl("wait --for=condition=Ready pod/loud --timeout=60s").expect("ready");
    disk.fill();
    cluster.kubectl_with("apply", &web("web", 1)).expect("applied");
    eventually("the agent goes on", || {
        let status = cluster.status()?;
        ensure!(status["nodes"][0]["ready"] == true, "{status}");
        let pod = cluster.kubectl_json("get pod loud")?;
        ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0, "{}", pod["status"]);
        Ok(())
    });
    disk.free();
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out once there is room");
    cluster.kubectl("delete pod loud").expect("deleted");
    cluster.down().expect("down");
}

fn segments(cluster: &Cluster) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cluster.data_dir().join("store")).expect("a folder").flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    paths.sort();
    paths
}

#[test]
fn damage_in_the_middle_is_named_and_a_torn_end_is_cut() {
    let cluster = Cluster::start().expect("started");
    let store = cluster.data_dir().join("store");
    let check = || cluster.portolan(&["store", "check", store.to_str().expect("a printable path")]);
    let proxy = Proxy::start(&cluster).expect("proxy");
    let write = |name: &str| {
        let object = json!({"metadata": {"name": name}});
        assert_eq!(proxy.request("POST", CONFIG_MAPS, &object.to_string()).expect("an answer").0, 201);
    };
    for number in 0..50 {
        write(&format!("map-{number}"));
    }
    // The write that is cut off below; what comes after it may be a heartbeat.
    write("last");
    let pid = cluster.server_pid().expect("running");
    let error = check().expect_err("a store that is being written to").to_string();
    assert!(error.contains(&format!("is in use by process {pid}")), "{error}");
    cluster.kill_server().expect("killed");
    let report = eventually("the server is gone", check);
    assert!(report.contains("The store is sound"), "{report}");
    let segment = segments(&cluster).pop().expect("a segment");
    let sound = std::fs::read(&segment).expect("read");
    let used = sound.iter().rposition(|byte| *byte != 0).expect("not empty");

    let mut damaged = sound.clone();
    damaged[used / 2] ^= 0x40;
    std::fs::write(&segment, &damaged).expect("written");
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    for error in [check().expect_err("damage").to_string(), cluster.up().expect_err("damage").to_string()] {
        assert!(error.contains("damaged") && error.contains(&name) && error.contains("at byte"), "{error}");
    }
    assert_eq!(std::fs::read(&segment).expect("read"), damaged, "nothing was changed");

    // The end of the last record did not reach the disk: the write was never acknowledged.
    let mut torn = sound;
    torn[used - 3..=used].fill(0);
    std::fs::write(&segment, &torn).expect("written");
    let report = check().expect("a torn end is no damage");
    assert!(report.contains("torn tail"), "{report}");
    cluster.up().expect("up");
    let maps = cluster.kubectl("get configmaps -o name").expect("listed");
    assert!((0..50).all(|number| maps.contains(&format!("configmap/map-{number}\n"))), "{maps}");
}
