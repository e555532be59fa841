//! What a new user does besides: the registry, a crash, mistakes.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::ensure;
use portolan_tests::{Cluster, MANIFEST, build_web_image, command, eventually};
use serde_json::Value;

#[test]
fn the_tutorial_client_of_a_registry_lists_pods_and_registered_instances() {
    let cluster = Cluster::start().expect("started");
    build_web_image(&cluster, "my-image:latest", "one").expect("built");
    cluster.kubectl_with("apply", MANIFEST).expect("applied");
    cluster.kubectl("rollout status deployment/my-deployment --timeout=60s").expect("rolled out");
    cluster
        .portolan(&["register", "billing", "--address", "192.0.2.7", "--port", "8080", "--ttl", "30", "--once"])
        .expect("registered");
    let registry_url = cluster.status().expect("a status")["registryUrl"].as_str().expect("a URL").to_owned();
    let script = format!(
        "import json, urllib.request\n\
         for instance in json.load(urllib.request.urlopen('{registry_url}/instances')): print(instance['name'])"
    );
    eventually("three pods and one registered instance are listed", || {
        let names = command(Command::new("python3").args(["-c", &script]))?;
        let pods = names.lines().filter(|name| name.starts_with("my-deployment-")).count();
        ensure!(pods == 3 && names.contains("billing"), "{names}");
        Ok(())
    });
    let seen = cluster.kubectl("get serviceinstances").expect("kubectl sees it");
    assert!(seen.contains("billing"), "{seen}");
}

#[test]
fn after_kill_minus_nine_running_containers_are_adopted() {
    let cluster = Cluster::start().expect("started");
    build_web_image(&cluster, "my-image:latest", "one").expect("built");
    cluster.kubectl_with("apply", MANIFEST).expect("applied");
    cluster.kubectl("rollout status deployment/my-deployment --timeout=60s").expect("rolled out");
    let containers = |cluster: &Cluster| -> anyhow::Result<BTreeSet<String>> {
        let pods = cluster.kubectl_json("get pods")?;
        Ok(pods["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pod| {
                let status = &pod["status"]["containerStatuses"][0];
                format!(
                    "{} {} {}",
                    status["containerID"], status["restartCount"], status["state"]["running"]["startedAt"]
                )
            })
            .collect())
    };
    let before = containers(&cluster).expect("listed");
    cluster.kill_server().expect("killed");
    cluster.up().expect("up again");
    eventually("the node is ready and all containers are the same", || {
        cluster.kubectl("rollout status deployment/my-deployment --timeout=30s")?;
        let after = containers(&cluster)?;
        ensure!(before == after, "before {before:?}\nafter {after:?}");
        Ok(())
    });
}

#[test]
fn an_idle_node_is_heard_of_without_a_write() {
    let cluster = Cluster::start().expect("started");
    let look = || -> anyhow::Result<(String, String)> {
        let lease = cluster.kubectl_json("get lease test-node -n kube-node-lease")?;
        // The revision of a list is that of the store.
        let all: Value = serde_json::from_str(&cluster.kubectl("get --raw /api/v1/namespaces?limit=1")?)?;
        Ok((lease["spec"]["renewTime"].to_string(), all["metadata"]["resourceVersion"].to_string()))
    };
    let (mut heard, mut revision) = look().expect("registered");
    let mut quiet = 0;
    eventually("two heartbeats pass without a write", || {
        let (again, newest) = look()?;
        if newest != revision {
            // What belongs to the start is still being written.
            (quiet, revision) = (0, newest);
        } else if again != heard {
            quiet += 1;
        }
        heard = again;
        ensure!(quiet >= 2, "{quiet} heartbeats since revision {revision}");
        Ok(())
    });
}

#[test]
fn mistakes_are_answered_in_words_and_change_nothing() {
    let cluster = Cluster::start().expect("started");
    assert!(cluster.up().expect("up twice").contains("nothing was changed"));
    let cases = [
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x", "yaml"),
        ("apiVersion: v1\nkind: Pot\nmetadata: {name: x}", "no matches for kind \"Pot\""),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: c, image: i, prots: []}]}",
            "unknown field \"spec.containers[0].prots\"",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: Not_A_Name}\nspec: {containers: [{name: c, image: i}]}",
            "metadata.name",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 70000}]}",
            "must be between 1 and 65535, inclusive",
        ),
    ];
    for (manifest, words) in cases {
        let error = cluster.kubectl_with("apply", manifest).expect_err(manifest).to_string();
        assert!(error.contains(words), "{manifest}\n{error}");
    }
    assert_eq!(cluster.kubectl("get pods -o name").expect("listed").trim(), "");

    let missing = "apiVersion: v1\nkind: Pod\nmetadata: {name: missing}\nspec: {containers: [{name: c, image: 'localhost:1/no/such:1'}]}";
    cluster.kubectl_with("apply", missing).expect("applied");
    eventually("the pod says why it has no image", || {
        let pods = cluster.kubectl("get pod missing")?;
        ensure!(pods.contains("ImagePullBackOff") || pods.contains("ErrImagePull"), "{pods}");
        Ok(())
    });
    build_web_image(&cluster, "my-image:latest", "one").expect("built");
    let crashing = "apiVersion: v1\nkind: Pod\nmetadata: {name: crashing}\nspec: {containers: [{name: c, image: 'my-image:latest', command: [busybox, 'false']}]}";
    cluster.kubectl_with("apply", crashing).expect("applied");
    eventually("the pod is in its back-off", || {
        let pods = cluster.kubectl("get pod crashing")?;
        ensure!(pods.contains("CrashLoopBackOff"), "{pods}");
        Ok(())
    });
    let why = cluster.portolan(&["explain", "pod", "crashing"]).expect("explained");
    assert!(why.contains("exit code 1"), "{why}");
}
