//! What a new user does, with the stock client and real containers.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Leftovers, command, eventually, http_get, web_image};

const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-deployment}
spec:
  replicas: 3
  selector: {matchLabels: {app: my-app}}
  template:
    metadata: {labels: {app: my-app}}
    spec:
      containers:
      - name: my-container
        image: my-image:latest
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: my-service}
spec:
  selector: {app: my-app}
  ports: [{protocol: TCP, port: 80, targetPort: 80}]
  type: LoadBalancer
"#;

fn build_image(cluster: &Cluster, name: &str, word: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    web_image(folder.path(), word)?;
    let path = folder.path().to_str().context("a temporary folder has a printable name")?;
    cluster.portolan(&["image", "build", "-t", name, path]).map(drop)
}

/// Asks a service until as many different instances answered as there should be.
fn spread(address: &str, instances: usize) -> BTreeSet<String> {
    let mut answers = BTreeSet::new();
    eventually(&format!("{instances} instances answer at {address}"), || {
        answers.insert(http_get(address, "/")?.trim().to_owned());
        ensure!(answers.len() >= instances, "so far {answers:?}");
        Ok(())
    });
    answers
}

#[test]
fn a_plain_deployment_and_service_live_their_life_under_kubectl() {
    let before = Leftovers::look();
    {
        let cluster = Cluster::start().expect("started");
        build_image(&cluster, "my-image:latest", "one").expect("built");
        life_of_a_deployment(&cluster).expect("a life");
    }
    assert_eq!(Leftovers::look().since(&before), Vec::<&str>::new(), "left behind");
}

fn life_of_a_deployment(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.kubectl_with("apply", MANIFEST)?;
    cluster.kubectl("rollout status deployment/my-deployment --timeout=60s")?;
    let pods = cluster.kubectl("get pods -o wide")?;
    ensure!(pods.lines().filter(|line| line.contains("1/1") && line.contains("Running")).count() == 3, "{pods}");

    let address = eventually("the load balancer has an address", || {
        let service = cluster.kubectl_json("get service my-service")?;
        let address = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().context("no address yet")?;
        Ok(format!("{address}:80"))
    });
    spread(&address, 3);

    cluster.kubectl("scale deployment my-deployment --replicas=5")?;
    cluster.kubectl("rollout status deployment/my-deployment --timeout=60s")?;
    spread(&address, 5);
    cluster.kubectl("scale deployment my-deployment --replicas=2")?;

    build_image(cluster, "my-image:two", "two")?;
    cluster.kubectl("set image deployment/my-deployment my-container=my-image:two")?;
    cluster.kubectl("rollout status deployment/my-deployment --timeout=60s")?;
    eventually("the new image answers", || {
        let answer = http_get(&address, "/")?;
        ensure!(answer.starts_with("two "), "{answer}");
        Ok(())
    });
    cluster.kubectl("rollout undo deployment/my-deployment")?;
    cluster.kubectl("rollout status deployment/my-deployment --timeout=60s")?;
    eventually("the old image answers again", || {
        let answer = http_get(&address, "/")?;
        ensure!(answer.starts_with("one "), "{answer}");
        Ok(())
    });
    cluster.kubectl("rollout restart deployment/my-deployment")?;
    cluster.kubectl("rollout status deployment/my-deployment --timeout=60s")?;
    let history = cluster.kubectl("rollout history deployment/my-deployment")?;
    ensure!(history.contains("REVISION"), "{history}");

    inside_a_pod(cluster)?;
    small_changes(cluster)?;

    cluster.kubectl("delete deployment my-deployment --wait=true")?;
    eventually("the pods are gone", || {
        let pods = cluster.kubectl("get pods -o name")?;
        ensure!(pods.trim().is_empty(), "{pods}");
        Ok(())
    });
    Ok(())
}

fn inside_a_pod(cluster: &Cluster) -> anyhow::Result<()> {
    // The restarted pods replace the old ones; any running one will do.
    let pod = eventually("a running pod", || {
        let pods = cluster.kubectl_json("get pods -l app=my-app")?;
        let running = pods["items"].as_array().into_iter().flatten().find(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["containerStatuses"][0]["ready"] == true
        });
        Ok(running.context("none yet")?["metadata"]["name"].as_str().context("a pod has a name")?.to_owned())
    });
    let output = cluster.kubectl(&format!("exec {pod} -- busybox hostname"))?;
    ensure!(output.trim() == pod, "exec says {output:?}");
    let failed = cluster.kubectl(&format!("exec {pod} -- busybox false")).expect_err("false fails").to_string();
    ensure!(failed.contains("exit code 1"), "{failed}");

    let mut cat = cluster.kubectl_command();
    let mut cat =
        cat.args(["exec", "-i", &pod, "--", "busybox", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut cat.stdin.take().context("piped")?, b"through and back")?;
    let output = cat.wait_with_output()?;
    ensure!(output.stdout == b"through and back", "exec -i gives {:?}", String::from_utf8_lossy(&output.stdout));

    eventually("requests show in the log", || {
        let log = cluster.kubectl(&format!("logs {pod}"))?;
        ensure!(log.contains("httpd") || log.contains("GET") || log.contains("url:/") || log.is_empty(), "{log}");
        Ok(())
    });
    forward(cluster, &pod)?;
    let description = cluster.kubectl(&format!("describe pod {pod}"))?;
    for word in ["Started", "Successfully assigned", "Ready:"] {
        ensure!(description.contains(word), "describe lacks {word:?}:\n{description}");
    }
    Ok(())
}

fn forward(cluster: &Cluster, pod: &str) -> anyhow::Result<()> {
    let mut kubectl = cluster.kubectl_command();
    let mut kubectl = kubectl.args(["port-forward", pod, ":80"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(kubectl.stdout.take().context("piped")?));
    let result = (|| {
        let line = lines.next().context("port-forward says where it listens")??;
        let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).context(line.clone())?;
        http_get(address, "/")
    })();
    kubectl.kill()?;
    kubectl.wait()?;
    let answer = result?;
    ensure!(answer.contains(pod), "the forwarded port answers {answer:?}");
    Ok(())
}

fn small_changes(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.kubectl("label deployment my-deployment tier=web")?;
    let labelled = cluster.kubectl("get deployments -l tier=web -o name")?;
    ensure!(labelled.trim() == "deployment.apps/my-deployment", "{labelled}");
    command(cluster.kubectl_command().args([
        "patch",
        "deployment",
        "my-deployment",
        "-p",
        r#"{"spec":{"replicas":1}}"#,
    ]))?;
    let patched = cluster.kubectl_json("get deployment my-deployment")?;
    ensure!(patched["spec"]["replicas"] == 1, "{patched}");
    let explained = cluster.kubectl("explain deployment.spec.replicas")?;
    ensure!(explained.contains("<integer>"), "{explained}");
    let unchanged = cluster.kubectl_with("apply", MANIFEST)?;
    ensure!(unchanged.contains("service/my-service unchanged"), "{unchanged}");
    Ok(())
}

#[test]
fn the_tutorial_client_of_a_registry_lists_pods_and_registered_instances() {
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "my-image:latest", "one").expect("built");
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
    build_image(&cluster, "my-image:latest", "one").expect("built");
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
    build_image(&cluster, "my-image:latest", "one").expect("built");
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
