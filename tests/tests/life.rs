//! A plain Deployment and Service from apply to delete, and what is left of it all.
//!
//! Alone in its binary: it looks at the whole machine before and after, and tests of one binary overlap.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use portolan_api::quantity::Quantity;
use portolan_tests::{Cluster, Leftovers, MANIFEST, build_web_image, command, eventually, http_get};

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
        build_web_image(&cluster, "my-image:latest", "one").expect("built");
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

    build_web_image(cluster, "my-image:two", "two")?;
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
    a_pod_as_a_whole(cluster)?;

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

/// A pod whose limits are of all its containers together.
const WHOLE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: whole}
spec:
  terminationGracePeriodSeconds: 0
  resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}
  containers: [{name: one, image: 'my-image:latest'}]
";

/// What the kernel holds a control group of this cluster's pods to: microseconds of each tenth of a second, and bytes.
fn held_to(cluster: &Cluster, group: &str) -> anyhow::Result<(String, String)> {
    let group = format!("kubepods-{}{group}", cluster.bridge());
    // Version 1 of control groups has a hierarchy for each controller.
    let read = |controller: &str, legacy: &str, unified: &str| {
        let root = Path::new("/sys/fs/cgroup");
        let legacy = root.join(controller).join(&group).join(legacy);
        let file = if legacy.exists() { legacy } else { root.join(&group).join(unified) };
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        text.split_whitespace().next().map(str::to_owned).context("it has a word")
    };
    Ok((read("cpu", "cpu.cfs_quota_us", "cpu.max")?, read("memory", "memory.limit_in_bytes", "memory.max")?))
}

fn a_pod_as_a_whole(cluster: &Cluster) -> anyhow::Result<()> {
    let node = cluster.kubectl_json("get node test-node")?;
    let memory = node["status"]["capacity"]["memory"].as_str().context("the node has memory")?;
    let (_, all) = held_to(cluster, "")?;
    // The kernel counts in pages.
    ensure!(
        all.parse::<i64>()?.abs_diff(Quantity::parse(memory)?.value()) < 1 << 16,
        "all pods may have {all} of {memory}"
    );
    let told = cluster.kubectl("get events --field-selector reason=NodeAllocatableEnforced")?;
    ensure!(told.contains("Updated Node Allocatable limit across pods"), "{told}");

    cluster.kubectl_with("apply", WHOLE)?;
    cluster.kubectl("wait --for=condition=Ready pod/whole --timeout=60s")?;
    let uid = cluster.kubectl("get pod whole -o jsonpath={.metadata.uid}")?;
    let group = format!("/burstable/pod{}", uid.trim());
    let held = held_to(cluster, &group)?;
    ensure!(held == ("50000".to_owned(), "67108864".to_owned()), "{held:?}");
    let resize = r#"{"spec":{"resources":{"limits":{"cpu":"750m","memory":"96Mi"}}}}"#;
    command(cluster.kubectl_command().args(["patch", "pod", "whole", "--subresource", "resize", "-p", resize]))?;
    eventually("the pod has more as a whole", || {
        let held = held_to(cluster, &group)?;
        ensure!(held == ("75000".to_owned(), "100663296".to_owned()), "{held:?}");
        let status = &cluster.kubectl_json("get pod whole")?["status"];
        let limits = &status["resources"]["limits"];
        ensure!(limits["cpu"] == "750m" && limits["memory"] == "96Mi", "{status}");
        ensure!(status["allocatedResources"]["cpu"] == "100m", "{status}");
        ensure!(status["containerStatuses"][0]["restartCount"] == 0, "{status}");
        let told = cluster.kubectl("get events --field-selector involvedObject.name=whole")?;
        ensure!(told.contains("ResizeCompleted") && !told.contains("ResizeError"), "{told}");
        Ok(())
    });
    cluster.kubectl("delete pod whole").map(drop)
}
