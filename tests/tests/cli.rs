//! Every command of the command line once, against real containers.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, binary, build_web_image, command, eventually, web_image};
use serde_json::Value;

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'web:1', ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: lonely}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: choosy}
spec: {nodeSelector: {disk: fast}, containers: [{name: c, image: 'web:1'}]}
";

/// Runs a command of ours; what it needs to find the cluster stands in the environment, as it may
/// have arguments that are not ours.
fn run(cluster: &Cluster, arguments: &[&str], input: &[u8]) -> anyhow::Result<Output> {
    let mut child = Command::new(binary()?)
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("PORTOLAN_DATA_DIR", cluster.data_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("piped")?;
    let written = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&written));
    let output = child.wait_with_output()?;
    // A command that does not read its input closes it.
    let _ = writer.join();
    Ok(output)
}

/// Runs a command of ours that must succeed and print all of `words`.
fn says(cluster: &Cluster, line: &str, words: &[&str]) -> anyhow::Result<String> {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = run(cluster, &arguments, b"")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "portolan {line}: {}\n{printed}{complaint}", output.status);
    for word in words {
        ensure!(printed.contains(word), "portolan {line}: no {word:?} in\n{printed}");
    }
    Ok(printed)
}

/// Runs a command of ours that must fail and say why.
fn refuses(cluster: &Cluster, line: &str, words: &[&str]) -> anyhow::Result<()> {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = run(cluster, &arguments, b"")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "portolan {line} succeeded");
    for word in words {
        ensure!(complaint.contains(word), "portolan {line}: no {word:?} in\n{complaint}");
    }
    Ok(())
}

fn build_image(cluster: &Cluster) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    web_image(folder.path(), "hello")?;
    let path = folder.path().to_str().context("a printable name")?;
    says(cluster, &format!("image build -t web:1 {path}"), &["web:1 built"])?;
    says(cluster, &format!("image build -t web:1 {path}"), &["web:1 unchanged"])?;
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nRUN make\n")?;
    refuses(cluster, &format!("image build -t web:2 {path}"), &["Dockerfile:2: RUN is not supported"])
}

fn apply(cluster: &Cluster) -> anyhow::Result<()> {
    let file = cluster.scratch_dir().join("web.yaml");
    std::fs::write(&file, MANIFEST)?;
    let line = format!("apply -f {} --wait", file.display());
    says(cluster, &line, &["deployment.apps/web created", "service/lonely created"])?;
    says(cluster, &line, &["deployment.apps/web unchanged"]).map(drop)
}

fn pod(cluster: &Cluster) -> anyhow::Result<String> {
    let names = says(cluster, "get pods -l app=web -o name", &["pod/web-"])?;
    Ok(names.lines().next().context("one pod")?.trim_start_matches("pod/").to_owned())
}

#[test]
fn every_command_does_what_it_says() {
    let cluster = Cluster::start().expect("started");
    let everything = || -> anyhow::Result<()> {
        says(&cluster, "version", &["portolan ", "v1.36"])?;
        says(&cluster, "completion bash", &["_portolan()"])?;
        says(&cluster, "status", &["API server", "Registry", "test-node", "containerd"])?;
        says(&cluster, "kubeconfig", &["kind: Config", "client-certificate-data"])?;
        says(&cluster, "kubeconfig --path", &["admin.kubeconfig"])?;
        says(&cluster, "invite north --address 192.0.2.8", &["user: north", "client-key-data"])?;
        build_image(&cluster)?;
        says(&cluster, "image ls", &["web:1", "local"])?;
        says(&cluster, "image list -o json", &["\"sizeBytes\"", "web:1"])?;
        apply(&cluster)?;
        read(&cluster)?;
        execute(&cluster)?;
        explain(&cluster)?;
        registry(&cluster)?;
        images(&cluster)?;
        says(&cluster, "scale deployment/web --replicas 2", &["deployment.apps/web scaled"])?;
        refuses(&cluster, "store check", &["in use by process"])?;
        says(&cluster, "delete deployment/web pod/choosy", &["deployment.apps/web deleted"])?;
        refuses(&cluster, "delete deployment web", &["NotFound", "not found"])?;
        refuses(&cluster, "get pots", &["doesn't have a resource type \"pots\""])
    };
    everything().expect("every command");
}

fn read(cluster: &Cluster) -> anyhow::Result<()> {
    says(cluster, "get deployments", &["NAME", "READY", "web", "1/1"])?;
    let wide = says(cluster, "get pods -o wide", &["NODE", "test-node"])?;
    ensure!(!wide.contains('{'), "a table only: {wide}");
    let list: Value = serde_json::from_str(&says(cluster, "get pods,svc -o json", &[])?)?;
    ensure!(list["items"].as_array().is_some_and(|items| items.len() > 3), "{list}");
    says(cluster, "get deploy web -o yaml", &["kind: Deployment", "replicas: 1"])?;
    says(cluster, "describe node test-node", &["KubeletReady", "RegisteredNode", "NodeReady"])?;
    says(cluster, "describe deployment web", &["kind: Deployment", "ScalingReplicaSet"])?;
    let name = pod(cluster)?;
    says(cluster, &format!("logs {name} --tail 5"), &[]).map(drop)
}

fn execute(cluster: &Cluster) -> anyhow::Result<()> {
    let name = pod(cluster)?;
    says(cluster, &format!("exec {name} -- busybox hostname"), &[&name])?;
    let failed = run(cluster, &["exec", &name, "--", "sh", "-c", "echo why >&2; exit 7"], b"")?;
    ensure!(failed.status.code() == Some(7) && failed.stderr == b"why\n", "{failed:?}");
    let through: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let echoed = run(cluster, &["exec", "-i", &name, "-c", "c", "--", "busybox", "cat"], &through)?;
    let complaint = String::from_utf8_lossy(&echoed.stderr);
    let (came, sent) = (echoed.stdout.len(), through.len());
    ensure!(echoed.stdout == through, "{came} of {sent} bytes came back, {}: {complaint}", echoed.status);
    ensure!(echoed.status.success(), "{}: {complaint}", echoed.status);
    refuses(cluster, &format!("exec {name} -c nope -- true"), &["container nope is not valid"])?;
    refuses(cluster, &format!("exec {name} -- /no/such/program"), &["/no/such/program"])
}

fn explain(cluster: &Cluster) -> anyhow::Result<()> {
    says(cluster, "explain pod choosy", &["Unschedulable", "node test-node cannot take it: ", "affinity/selector"])?;
    says(cluster, "explain service lonely", &["no pod in namespace default has the labels app=nobody"])?;
    says(cluster, "explain service web", &["1 of 1 pods with app=web are ready"])?;
    says(cluster, "explain deployment web", &["1 of 1 replicas available", "Available is True"])?;
    cluster.kubectl("create job once --image=web:1")?;
    says(cluster, "explain job once", &["no controller for objects of kind Job"])?;
    cluster.kubectl("delete job once").map(drop)
}

fn images(cluster: &Cluster) -> anyhow::Result<()> {
    refuses(cluster, "image rm web:1", &["web:1 stays: container c of pod web-", "uses it"])?;
    refuses(cluster, "image rm nothing:1", &["nothing:1 is not on this machine"])?;
    for name in ["spare:1", "spare:2", "other:1"] {
        build_web_image(cluster, name, name.split(':').next().unwrap_or(name))?;
    }
    let list: Value = serde_json::from_str(&says(cluster, "image ls -o json", &[])?)?;
    let other = list.as_array().into_iter().flatten().find(|image| image["tags"].to_string().contains("other:1"));
    let id = other.and_then(|image| image["id"].as_str()).context("other:1 is listed")?.trim_start_matches("sha256:");
    // Names of one image, and an id as the table shows it.
    let line = format!("image rm spare:1 spare:2 {}", &id[..12]);
    says(cluster, &line, &["spare:1 removed", "spare:2 removed", "other:1 removed"])?;
    refuses(cluster, "image rm sha256:", &["sha256:"])?;
    let left = says(cluster, "image ls", &["web:1"])?;
    ensure!(!left.contains("spare") && !left.contains("other"), "{left}");
    Ok(())
}

fn registry(cluster: &Cluster) -> anyhow::Result<()> {
    says(cluster, "register billing --address 192.0.2.7 --port 8080 --ttl 60 --once", &["registered"])?;
    eventually("the registry lists it", || {
        says(cluster, "registry ls --service billing", &["billing-8080", "192.0.2.7", "passing"])
    });
    says(cluster, "registry ls -o json", &["\"health\"", "web-"])?;
    says(cluster, "explain instance default/billing-8080", &["it registered itself", "its lease of 60 s ends in"])?;
    refuses(cluster, "explain instance nobody", &["the registry has no instance default/nobody"])?;
    let mut watch = Command::new(binary()?)
        .args(["watch", "--service", "billing"])
        .env("PORTOLAN_DATA_DIR", cluster.data_dir())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().context("piped")?));
    let first = lines.next().context("a watch begins with what is there");
    watch.kill()?;
    watch.wait()?;
    let first = first??;
    ensure!(first.starts_with("ADDED") && first.contains("billing-8080"), "{first}");
    Ok(())
}

#[test]
fn a_backup_makes_the_same_cluster_again() {
    let cluster = Cluster::start().expect("started");
    let life = || -> anyhow::Result<()> {
        build_image(&cluster)?;
        apply(&cluster)?;
        let secret = "create secret generic word --from-literal=word=hunter2hunter2";
        cluster.kubectl(secret)?;
        let backup = cluster.scratch_dir().join("monday.portolan");
        let backup = backup.display();
        says(&cluster, &format!("backup {backup}"), &["holds everything up to revision", "holds the keys"])?;
        refuses(&cluster, &format!("backup {backup}"), &["exists already"])?;
        refuses(&cluster, &format!("restore {backup}"), &["the cluster is running"])?;
        ensure!(std::fs::read_dir(cluster.data_dir().join("scratch"))?.next().is_none(), "the server kept a file");

        let keys = cluster.data_dir().join("identity/encryption-provider-config.yaml");
        ensure!(std::fs::read(format!("{backup}.keys"))? == std::fs::read(&keys)?, "other keys");

        // As on another machine: the keys of Secrets come with the backup.
        cluster.down()?;
        ensure!(!keys.exists(), "nothing stays behind");
        says(&cluster, &format!("restore {backup}"), &["restored up to revision"])?;
        says(&cluster, "store check", &["The store is sound"])?;
        cluster.up()?;
        build_image(&cluster)?;
        eventually("the deployment runs again", || {
            says(&cluster, "get deployments", &["web", "1/1"])?;
            let name = pod(&cluster)?;
            says(&cluster, &format!("exec {name} -- busybox hostname"), &[&name])
        });
        let word = cluster.kubectl("get secret word -o jsonpath={.data.word}")?;
        ensure!(word == "aHVudGVyMmh1bnRlcjI=", "{word}");
        Ok(())
    };
    life().expect("a second life");
}

#[test]
fn only_those_who_may_read_everything_get_a_backup() {
    let cluster = Cluster::start().expect("started");
    let token = cluster
        .kubectl_with(
            "create --raw /api/v1/namespaces/default/serviceaccounts/default/token",
            r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}"#,
        )
        .expect("a token");
    let token: Value = serde_json::from_str(&token).expect("JSON");
    let token = token["status"]["token"].as_str().expect("a token");
    let ask = || {
        let kubeconfig = cluster.scratch_dir().join("nobody.kubeconfig");
        let admin = std::fs::read_to_string(cluster.kubeconfig()).expect("readable");
        let cluster_part = admin.split("contexts:").next().expect("a part");
        let rest =
            "contexts:\n- name: portolan\n  context: {cluster: portolan, user: nobody}\nusers:\n- name: nobody\n";
        let text = format!("{cluster_part}{rest}  user: {{token: {token}}}\n");
        std::fs::write(&kubeconfig, text).expect("written");
        command(
            Command::new(binary().expect("built"))
                .arg("backup")
                .arg(cluster.scratch_dir().join("b"))
                .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()]),
        )
    };
    let refused = ask().expect_err("not allowed").to_string();
    assert!(refused.contains("cannot get path \"/portolan/v1/backup\""), "{refused}");
    assert!(!cluster.scratch_dir().join("b").exists() && !cluster.scratch_dir().join("b.partial").exists());
    let allow = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: backup}
rules: [{nonResourceURLs: [/portolan/v1/backup], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: backup}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: backup}
subjects: [{kind: ServiceAccount, namespace: default, name: default}]
";
    cluster.kubectl_with("apply", allow).expect("applied");
    ask().expect("allowed now");
}
