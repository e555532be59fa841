//! `kill -9` of the server: nothing acknowledged is missing, no container is lost, doubled or restarted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use portolan_tests::{Cluster, eventually, http_get, kill};
use serde_json::{Value, json};

use crate::support::{Proxy, Random, address, build_image, identities, items, none_lost_or_doubled, web};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// What a client knows about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// Acknowledged: this version holds this number.
    There { version: String, number: u64 },
    /// Acknowledged as deleted, or never made.
    Gone,
    /// A request was under way when the server died; either outcome is right.
    Unknown,
}

fn known(object: &Value) -> Known {
    Known::There {
        version: object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
        number: object["data"]["number"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default(),
    }
}

/// Writes until the server is gone; returns what was acknowledged.
fn write_until_killed(proxy: &Proxy, random: &mut Random, model: &mut BTreeMap<String, Known>, killed: &AtomicBool) {
    let mut number = random.below(1 << 30);
    loop {
        number += 1;
        let name = format!("object-{}", random.below(40));
        let path = format!("{CONFIG_MAPS}/{name}");
        let object = json!({
            "metadata": {"name": name, "labels": {"test": "kill"}}, "data": {"number": number.to_string()},
        });
        let before = model.insert(name.clone(), Known::Unknown).unwrap_or(Known::Gone);
        let deletes = random.below(4) == 0;
        let sent = match (&before, deletes) {
            (Known::Gone, _) => proxy.request("POST", CONFIG_MAPS, &object.to_string()),
            (_, true) => proxy.request("DELETE", &path, ""),
            (_, false) => proxy.request("PATCH", &path, &object.to_string()),
        };
        let after = match sent {
            Ok((200 | 201, _)) if deletes && before != Known::Gone => Known::Gone,
            Ok((200 | 201, object)) => known(&object),
            // The proxy says that it does not reach the server.
            Ok((502, _)) | Err(_) => {
                assert!(killed.load(Ordering::SeqCst), "a request failed before the server was killed");
                return;
            }
            Ok((code, answer)) => panic!("{code} {answer}"),
        };
        model.insert(name, after);
        if random.below(25) == 0 {
            let replicas = json!({"spec": {"replicas": random.below(5)}});
            let _ = proxy.request("PATCH", "/apis/apps/v1/namespaces/default/deployments/web", &replicas.to_string());
        }
        if random.below(60) == 0 {
            // Its pods are collected, and the set makes new ones.
            let _ = proxy.request("DELETE", "/api/v1/namespaces/default/pods?labelSelector=app%3Dweb", "");
        }
    }
}

fn check_acknowledged(proxy: &Proxy, model: &mut BTreeMap<String, Known>) {
    let (_, list) = proxy.request("GET", CONFIG_MAPS, "").expect("listed");
    let found: BTreeMap<String, Known> = items(&list)
        .filter(|object| object["metadata"]["labels"]["test"] == "kill")
        .map(|object| (object["metadata"]["name"].as_str().unwrap_or_default().to_owned(), known(object)))
        .collect();
    for (name, expected) in model.iter_mut() {
        let found = found.get(name).cloned().unwrap_or(Known::Gone);
        match expected {
            Known::Unknown => *expected = found,
            _ => assert_eq!(*expected, found, "{name}"),
        }
    }
    assert!(found.keys().all(|name| model.contains_key(name)), "objects that nobody wrote");
}

/// `PORTOLAN_KILL_ROUNDS` sets how often; a few rounds show what is wrong every time, hundreds the rest.
#[test]
fn killed_at_random_moments_it_keeps_what_it_acknowledged_and_converges() {
    let rounds = std::env::var("PORTOLAN_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let mut random = Random::seeded();
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "web:1");
    cluster.kubectl_with("apply", &web("web", 2)).expect("applied");
    let mut model = BTreeMap::new();
    for round in 0..rounds {
        let proxy = Proxy::start(&cluster).expect("proxy");
        check_acknowledged(&proxy, &mut model);
        let pid = cluster.server_pid().expect("running");
        let (wait, killed) = (Duration::from_millis(20 + random.below(1500)), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| write_until_killed(&proxy, &mut random, &mut model, &killed));
            // The random moment itself, not a wait for something.
            thread::sleep(wait);
            killed.store(true, Ordering::SeqCst);
            kill("-9", pid).expect("killed");
        });
        // Sometimes the power of both is gone, in the middle of making or removing a pod.
        if random.below(3) == 0 {
            let containerd = std::fs::read_to_string(cluster.run_dir().join("containerd.pid")).expect("a pid");
            kill("-9", containerd.trim().parse().expect("a pid")).expect("killed");
        }
        cluster.up().unwrap_or_else(|error| panic!("round {round}: {error:#}"));
    }
    check_acknowledged(&Proxy::start(&cluster).expect("proxy"), &mut model);
    cluster.kubectl("scale deployment web --replicas=3").expect("scaled");
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    eventually("containerd runs what the pods' statuses say", || none_lost_or_doubled(&cluster));
    cluster.kubectl("delete deployment web").expect("deleted");
    eventually("nothing runs any more", || {
        ensure!(identities(&cluster)?.is_empty(), "pods are left");
        none_lost_or_doubled(&cluster)
    });
    let panics: Vec<String> = cluster.log().lines().filter(|line| line.contains("panic")).map(str::to_owned).collect();
    assert!(panics.is_empty(), "{panics:?}");
}

const ALL_KINDS_OF_PODS: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: word}
stringData: {word: xyzzy}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: green}
---
apiVersion: v1
kind: Pod
metadata: {name: everything, labels: {app: everything}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: first, image: "web:1", command: [sh, -c, "busybox echo made > /memory/made"], volumeMounts: [{name: memory, mountPath: /memory}]}
  containers:
  - name: web
    image: web:1
    startupProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
    readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
    livenessProbe: {exec: {command: [busybox, "true"]}, periodSeconds: 1}
    env: [{name: WORD, valueFrom: {secretKeyRef: {name: word, key: word}}}]
    volumeMounts:
    - {name: memory, mountPath: /memory}
    - {name: word, mountPath: /word}
    - {name: settings, mountPath: /settings}
  volumes:
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: word, secret: {secretName: word}}
  - {name: settings, configMap: {name: settings}}
---
apiVersion: v1
kind: Pod
metadata: {name: done}
spec:
  restartPolicy: Never
  containers: [{name: c, image: "web:1", command: [busybox, "true"]}]
"#;

#[test]
fn pods_of_all_kinds_are_adopted_and_services_go_on_without_the_server() {
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "web:1");
    cluster.kubectl_with("apply", &web("web", 2)).expect("applied");
    cluster.kubectl_with("apply", ALL_KINDS_OF_PODS).expect("applied");
    cluster.kubectl("rollout status deployment/web --timeout=60s").expect("rolled out");
    cluster.kubectl("wait --for=condition=Ready pod/everything --timeout=60s").expect("ready");
    eventually("the short pod is done", || {
        let pod = cluster.kubectl_json("get pod done")?;
        ensure!(pod["status"]["phase"] == "Succeeded", "{}", pod["status"]);
        Ok(())
    });
    let address = address(&cluster, "web");
    eventually("the service answers", || http_get(&address, "/"));
    let before = identities(&cluster).expect("listed");
    for signal in ["-9", "-TERM"] {
        let pid = cluster.server_pid().expect("running");
        kill(signal, pid).expect("killed");
        eventually("the server is gone", || {
            ensure!(!crate::support::is_alive(pid), "still there");
            Ok(())
        });
        for _ in 0..20 {
            http_get(&address, "/").expect("service rules work without the server");
        }
        cluster.up().expect("up again");
        eventually("the node is ready", || {
            let node = cluster.status()?;
            ensure!(node["nodes"][0]["ready"] == true, "{node}");
            Ok(())
        });
        // Several rounds of probes and of syncs have had their chance to do harm.
        cluster.kubectl("wait --for=condition=Ready pod/everything --timeout=60s").expect("ready");
        let asked = cluster.kubectl("exec everything -- busybox cat /memory/made /word/word /settings/colour");
        assert_eq!(asked.expect("exec works after adoption"), "made\nxyzzygreen");
        thread::sleep(Duration::from_millis(1500));
        let after = identities(&cluster).expect("listed");
        assert_eq!(before, after, "after kill {signal}");
        none_lost_or_doubled(&cluster).expect("none lost or doubled");
    }
    // A change that was made after the adoption arrives.
    cluster.kubectl("scale deployment web --replicas=1").expect("scaled");
    eventually("one is left", || {
        ensure!(items(&cluster.kubectl_json("get pods -l app=web")?).count() == 1, "more");
        none_lost_or_doubled(&cluster)
    });
}
