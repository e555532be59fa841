//! The native registry as processes of a machine and of pods use it.

use std::process::Command;

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Dialects, ask, binary, command, eventually, web_image};

const CLIENT: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: client}\nspec: {containers: [{name: c, image: 'web:1'}]}";

fn revision(cluster: &Cluster) -> anyhow::Result<u64> {
    let metrics = cluster.kubectl("get --raw /metrics")?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("portolan_store_revision "));
    Ok(line.context("the metrics have the revision")?.parse()?)
}

#[test]
fn leases_are_renewed_in_memory_and_outlive_a_killed_server_by_one_term() {
    let cluster = Cluster::start().expect("started");
    let life = || -> anyhow::Result<()> {
        let address = Dialects::of(&cluster)?.native;
        let body = r#"{"service": "billing", "id": "b-1", "address": "192.0.2.7", "port": 80, "ttlSeconds": 5}"#;
        let (code, answer) = ask(&address, "POST", "/registry/instances", body)?;
        ensure!(code == 201 && answer.contains("created"), "{code} {answer}");
        let before = revision(&cluster)?;
        for _ in 0..200 {
            let (code, answer) = ask(&address, "PUT", "/registry/instances/default/b-1/renew", "")?;
            ensure!(code == 200, "{code} {answer}");
        }
        // The node's heartbeat is a write now and then; two hundred renewals are none.
        ensure!(revision(&cluster)? - before < 20, "renewals move the store's revision");

        cluster.kill_server()?;
        cluster.up()?;
        let address = Dialects::of(&cluster)?.native;
        let (code, _) = ask(&address, "PUT", "/registry/instances/default/b-1/renew", "")?;
        ensure!(code == 200, "the lease did not outlive the server: {code}");
        eventually("the lease ends", || {
            let (code, answer) = ask(&address, "GET", "/registry/instances/default/b-1", "")?;
            ensure!(code == 404, "{code} {answer}");
            Ok(())
        });
        let (code, answer) = ask(&address, "PUT", "/registry/instances/default/b-1/renew", "")?;
        ensure!(code == 404 && answer.contains("register again"), "{code} {answer}");
        Ok(())
    };
    life().expect("a life of a lease");
}

#[test]
fn a_process_in_a_pod_registers_itself_and_is_found_by_name() {
    let cluster = Cluster::start().expect("started");
    let life = || -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        web_image(folder.path(), "hello")?;
        cluster.portolan(&["image", "build", "-t", "web:1", folder.path().to_str().context("printable")?])?;
        cluster.kubectl_with("apply", CLIENT)?;
        cluster.kubectl("wait --for=condition=Ready pod/client --timeout=60s")?;
        let pod = cluster.kubectl_json("get pod client")?;
        let own = pod["status"]["podIP"].as_str().context("an address")?.to_owned();
        let gateway = format!("{}.1", own.rsplit_once('.').context("four numbers")?.0);
        let address = Dialects::of(&cluster)?.native;
        let port = address.rsplit(':').next().context("a port")?;
        let inside = |arguments: &[&str]| {
            let mut exec = Command::new(binary()?);
            exec.env("PORTOLAN_DATA_DIR", cluster.data_dir()).env_remove("KUBECONFIG");
            command(exec.args(["exec", "client", "--", "busybox"]).args(arguments))
        };
        let url = format!("http://{gateway}:{port}/registry/instances");
        let body = r#"{"service": "inside", "port": 80, "ttlSeconds": 60}"#;
        let answer = inside(&["wget", "-q", "-O", "-", "--post-data", body, &url])?;
        ensure!(answer.contains("\"outcome\":\"created\""), "{answer}");
        eventually("the name leads to the pod that registered", || {
            let found = inside(&["nslookup", "inside.default.svc.cluster.local"])?;
            ensure!(found.contains(&own), "{found}");
            Ok(())
        });
        Ok(())
    };
    life().expect("a registration from inside");
}
