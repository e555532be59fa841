//! Names and service rules while the process that serves them, or the one that owns it, is away.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Leftovers, build_web_image, command, eventually, http_get, kill, resolve};
use serde_json::Value;

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: "web:1"}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

const NAME: &str = "web.default.svc.cluster.local";

/// A cluster with a service, and the service's address.
fn start() -> (Cluster, Ipv4Addr) {
    let cluster = Cluster::start().expect("started");
    build_web_image(&cluster, "web:1", "hello").expect("built");
    cluster.kubectl_with("apply", WEB).expect("applied");
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    let address = eventually("the name of the service", || {
        let found = resolve(&cluster.name_server(), NAME)?;
        found.first().copied().context("no address")
    });
    eventually("the service answers", || http_get(&format!("{address}:80"), "/"));
    (cluster, address)
}

/// Name and service answer, for a process that follows neither.
fn check(cluster: &Cluster, address: Ipv4Addr) -> anyhow::Result<()> {
    ensure!(resolve(&cluster.name_server(), NAME)? == [address], "another address");
    let page = http_get(&format!("{address}:80"), "/")?;
    ensure!(page.starts_with("hello"), "{page}");
    // The stock client, over TCP as well.
    let dig = ["+short", "+tries=1", "+tcp", &format!("@{}", cluster.name_server()), NAME];
    let answer = command(Command::new("dig").args(dig))?;
    ensure!(answer.trim() == address.to_string(), "{answer}");
    Ok(())
}

/// The data planes of a cluster; two while one takes over from the other.
fn dataplanes(cluster: &Cluster) -> Vec<u32> {
    let folder = cluster.data_dir().to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        words.get(1).is_some_and(|word| word == "dataplane") && words.contains(&folder)
    })
    .collect()
}

fn dataplane(cluster: &Cluster) -> u32 {
    eventually("one data plane runs", || match dataplanes(cluster)[..] {
        [one] => Ok(one),
        ref others => anyhow::bail!("{others:?}"),
    })
}

fn program(process: u32) -> PathBuf {
    std::fs::read_link(format!("/proc/{process}/exe")).expect("a running process has a program")
}

/// Asks for the name all the time while `work` is done; returns how many questions there were and
/// the failures. Ends, too, if `work` fails.
fn while_asking(cluster: &Cluster, work: impl FnOnce()) -> (usize, Vec<String>) {
    struct Done<'a>(&'a AtomicBool);

    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let (done, server) = (AtomicBool::new(false), cluster.name_server());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut count, mut failures) = (0, Vec::new());
            while !done.load(Ordering::SeqCst) {
                count += 1;
                match resolve(&server, NAME) {
                    Ok(found) if found.len() == 1 => {}
                    Ok(found) => failures.push(format!("{found:?}")),
                    Err(error) => failures.push(format!("{error:#}")),
                }
            }
            (count, failures)
        });
        let until_here = Done(&done);
        work();
        drop(until_here);
        asking.join().expect("no panic")
    })
}

fn state_of(cluster: &Cluster, part: &str) -> anyhow::Result<String> {
    let status = cluster.status()?;
    let parts = status["parts"].as_array().context("the status has parts")?;
    let found = parts.iter().find(|candidate| candidate["name"] == part).context("the part is listed")?;
    let words = ["state", "reason"].map(|field| found[field].as_str().unwrap_or_default());
    Ok(words.join(" ").trim().to_owned())
}

#[test]
fn names_and_services_go_on_without_the_server() {
    let before = Leftovers::look();
    let (cluster, address) = start();
    let process = dataplane(&cluster);
    for signal in ["-9", "-TERM", "-INT"] {
        let server = cluster.server_pid().expect("running");
        let (count, failures) = while_asking(&cluster, || {
            kill(signal, server).expect("killed");
            eventually("the server is gone", || {
                ensure!(!Path::new(&format!("/proc/{server}/exe")).exists(), "still there");
                Ok(())
            });
            for _ in 0..10 {
                check(&cluster, address).expect("served without the server");
            }
            cluster.up().expect("up again");
        });
        assert!(count > 10 && failures.is_empty(), "{signal}: {count} questions, {failures:?}");
        assert_eq!(dataplane(&cluster), process, "adopted after {signal}");
    }
    cluster.kubectl("create service externalname elsewhere --external-name=example.org").expect("created");
    cluster.kubectl("create service clusterip later --tcp=80").expect("created");
    eventually("what is new is known to the adopted process", || {
        resolve(&cluster.name_server(), "later.default.svc.cluster.local").map(drop)
    });

    cluster.kill_server().expect("killed");
    cluster.down().expect("down");
    assert_eq!(dataplanes(&cluster), [0; 0]);
    eventually("nothing is left", || {
        let now = Leftovers::look();
        ensure!(now.since(&before).is_empty(), "{:?}", now.since(&before));
        Ok(())
    });
}

#[test]
fn a_killed_data_plane_comes_back_and_its_questions_wait() {
    let (cluster, address) = start();
    let url = format!("{address}:80");
    let rules = || command(Command::new("nft").args(["list", "tables"])).expect("nft");
    let tables = rules();
    for _ in 0..3 {
        let killed = dataplane(&cluster);
        let (count, failures) = while_asking(&cluster, || {
            kill("-9", killed).expect("killed");
            while dataplanes(&cluster).first().is_none_or(|process| *process == killed) {
                http_get(&url, "/").expect("service rules stay");
                assert_eq!(rules(), tables);
            }
            eventually("the new one serves", || {
                ensure!(state_of(&cluster, "dns")? == "ready" && state_of(&cluster, "network")? == "ready", "not yet");
                Ok(())
            });
        });
        // The question that the killed process was just answering is gone with it.
        assert!(count > 1 && failures.len() <= 1, "{count} questions, {failures:?}");
        for _ in 0..10 {
            check(&cluster, address).expect("served");
        }
    }
}

#[test]
fn a_data_plane_started_while_the_api_is_away_answers_as_last_known() {
    let (cluster, address) = start();
    let folder = cluster.data_dir().join("dataplane");
    eventually("what is known is written down", || {
        let text = std::fs::read_to_string(folder.join("last-known.jsonl"))?;
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        let (lines, label) = (lines?, "kubernetes.io/service-name");
        let mut slices = lines.iter().map(|line| &line["object"]);
        let slice = slices.find(|object| object["metadata"]["labels"][label] == "web").context("no slice")?;
        let endpoints = slice["endpoints"].as_array().context("no endpoints")?;
        let ready = endpoints.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true).count();
        ensure!(ready == 2, "{slice}");
        Ok(())
    });
    // Its way to the API leads nowhere.
    let kubeconfig = folder.join("kubeconfig");
    let text = std::fs::read_to_string(&kubeconfig).expect("readable");
    let server = text.lines().find(|line| line.trim().starts_with("server:")).expect("a server");
    let replace = |text: &str| {
        let new = folder.join("kubeconfig.new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &kubeconfig)).expect("written");
    };
    replace(&text.replace(server, "    server: https://127.0.0.1:1"));
    let killed = dataplane(&cluster);
    kill("-9", killed).expect("killed");
    eventually("it answers from its file", || check(&cluster, address));
    assert_ne!(dataplane(&cluster), killed);
    eventually("the status says so", || {
        for part in ["dns", "network"] {
            let state = state_of(&cluster, part)?;
            ensure!(state.starts_with("failed") && state.contains("as last known"), "{part}: {state}");
        }
        Ok(())
    });
    cluster.kubectl("create service clusterip later --tcp=80").expect("created");
    cluster.kubectl("delete service web").expect("deleted");
    resolve(&cluster.name_server(), "later.default.svc.cluster.local").expect_err("not known yet");
    check(&cluster, address).expect("as last known");

    replace(&text);
    eventually("it is in step again", || {
        resolve(&cluster.name_server(), "later.default.svc.cluster.local")?;
        ensure!(resolve(&cluster.name_server(), NAME).is_err(), "the deleted service is still known");
        ensure!(state_of(&cluster, "dns")? == "ready", "not ready");
        Ok(())
    });
}

#[test]
fn another_build_takes_over_without_losing_a_question() {
    let (cluster, address) = start();
    let other = cluster.scratch_dir().join("portolan");
    std::fs::copy(portolan_tests::binary().expect("built"), &other).expect("copied");
    let before = dataplane(&cluster);
    cluster.stop_server().expect("stopped");
    let (count, failures) = while_asking(&cluster, || {
        cluster.up_of(&other, &[]).expect("up");
        eventually("the other build has taken over", || {
            let process = dataplanes(&cluster);
            ensure!(process.len() == 1 && process[0] != before && program(process[0]) == other, "{process:?}");
            Ok(())
        });
        check(&cluster, address).expect("served by the other build");
    });
    assert!(count > 10 && failures.is_empty(), "{count} questions, {failures:?}");
    // The same build again is adopted, and then replaced because it has other arguments.
    let process = dataplane(&cluster);
    cluster.stop_server().expect("stopped");
    cluster.up_of(&other, &[]).expect("up");
    assert_eq!(dataplane(&cluster), process);
    cluster.stop_server().expect("stopped");
    cluster.up_of(&other, &["--cluster-domain", "other.local"]).expect("up");
    assert_ne!(dataplane(&cluster), process);
    eventually("the new domain is served", || resolve(&cluster.name_server(), "web.default.svc.other.local").map(drop));
}
