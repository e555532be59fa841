//! What instances live by: connections, sessions, owners, and the way they are written.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use portolan_tests::{Cluster, Dialects, ask, done, eventually};
use serde_json::{Value, json};

use crate::support::free_port;

/// A stream that an instance lives by.
struct Held(BufReader<TcpStream>);

impl Held {
    fn register(native: &str, id: &str) -> anyhow::Result<Self> {
        let body = json!({"service": "held", "id": id, "address": "192.0.2.1", "port": 80}).to_string();
        let mut stream = TcpStream::connect(native)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let length = body.len();
        write!(
            stream,
            "POST /registry/instances?lease=connection HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut held = Self(BufReader::new(stream));
        ensure!(held.event()?["type"] == "REGISTERED", "the first event says so");
        Ok(held)
    }

    fn event(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        while self.0.read_line(&mut line)? > 0 {
            if let Some(data) = line.strip_prefix("data: ") {
                return Ok(serde_json::from_str(data)?);
            }
            line.clear();
        }
        bail!("the stream ended")
    }
}

fn ids(native: &str, service: &str) -> anyhow::Result<Vec<String>> {
    let list = done(native, "GET", &format!("/registry/instances?service={service}"), "")?;
    let list: Value = serde_json::from_str(&list)?;
    let mut ids: Vec<_> =
        list.as_array().into_iter().flatten().filter_map(|it| it["id"].as_str().map(str::to_owned)).collect();
    ids.sort();
    Ok(ids)
}

fn until(native: &str, service: &str, wanted: &[&str]) {
    eventually(&format!("{service} has {wanted:?}"), || {
        let found = ids(native, service)?;
        ensure!(found == wanted, "{found:?}");
        Ok(())
    });
}

#[test]
fn instances_live_by_connections_sessions_and_owners() {
    let native = format!("127.0.0.1:{}", free_port().expect("a port"));
    let cluster = Cluster::prepare(&["--registry-listen", &native]).expect("prepared");
    cluster.up().expect("started");
    let consul = || Dialects::of(&cluster).map(|dialects| dialects.consul).expect("dialects");

    // Two of two at once: that is no fault of the network.
    let streams = [Held::register(&native, "a").expect("held"), Held::register(&native, "b").expect("held")];
    until(&native, "held", &["a", "b"]);
    drop(streams);
    until(&native, "held", &[]);

    let mut held = Held::register(&native, "a").expect("held");
    let answer = done(&consul(), "PUT", "/v1/session/create", "{}").expect("a session");
    let session = serde_json::from_str::<Value>(&answer).expect("JSON")["ID"].as_str().expect("an id").to_owned();
    let body = json!({"service": "bound", "id": "s", "address": "192.0.2.2", "port": 80, "session": session});
    done(&native, "POST", "/registry/instances", &body.to_string()).expect("registered");
    until(&native, "bound", &["s"]);
    let shown = done(&native, "GET", "/registry/instances/default/s", "").expect("shown");
    assert!(shown.contains(&format!("its lease is the session {session} of Consul, which lives")), "{shown}");

    // A crash ends streams; who comes back within the grace was never gone, and what lives by a session stays.
    cluster.kill_server().expect("killed");
    held.event().expect_err("the server is gone");
    cluster.up().expect("started again");
    let mut held = eventually("the instance is held again", || {
        ensure!(ids(&native, "held")? == ["a"], "it was there all the time");
        Held::register(&native, "a")
    });
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(
        (ids(&native, "held").expect("a list"), ids(&native, "bound").expect("a list")),
        (vec!["a".into()], vec!["s".into()])
    );

    done(&consul(), "PUT", &format!("/v1/session/destroy/{session}"), "").expect("destroyed");
    until(&native, "bound", &[]);
    done(&native, "DELETE", "/registry/instances/default/a", "").expect("deregistered");
    assert_eq!(held.event().expect("an event")["reason"], "the instance was deregistered");

    // As kubectl writes them: nothing holds these, so they go; an owner is asked for where one must be.
    let object = |name: &str, lease: Value| {
        json!({"apiVersion": "registry.portolan.dev/v1", "kind": "ServiceInstance", "metadata": {"name": name},
            "spec": {"service": "written", "address": "192.0.2.3", "ports": [{"port": 80}], "lease": lease}})
        .to_string()
    };
    cluster.kubectl_with("create", &object("c", json!({"kind": "connection", "ttlSeconds": 2}))).expect("created");
    cluster.kubectl_with("create", &object("s", json!({"kind": "session", "session": "none"}))).expect("created");
    until(&native, "written", &[]);
    let refused = cluster.kubectl_with("create", &object("o", json!({"kind": "orchestrator"}))).expect_err("refused");
    assert!(format!("{refused:#}").contains("metadata.ownerReferences: Required value"), "{refused:#}");
    let (code, answer) = ask(&native, "GET", "/registry/instances/default/c", "").context("asked").expect("answered");
    assert_eq!(code, 404, "{answer}");
}

#[test]
fn a_port_without_a_name_can_be_applied_by_all_who_apply() {
    let cluster = Cluster::start().expect("started");
    let file = cluster.scratch_dir().join("instance.json");
    for tool in ["server-side", "client-side", "portolan"] {
        for port in [1, 2] {
            let object = json!({"apiVersion": "registry.portolan.dev/v1", "kind": "ServiceInstance",
                "metadata": {"name": tool},
                "spec": {"service": "applied", "address": "192.0.2.4", "ports": [{"port": port}]}});
            std::fs::write(&file, object.to_string()).expect("written");
            let path = file.to_str().expect("a path");
            match tool {
                "server-side" => cluster.kubectl(&format!("apply --server-side -f {path}")),
                "client-side" => cluster.kubectl(&format!("apply -f {path}")),
                _ => cluster.portolan(&["apply", "-f", path]),
            }
            .unwrap_or_else(|error| panic!("{tool} {port}: {error:#}"));
            let found = cluster.kubectl_json(&format!("get serviceinstance {tool}")).expect("there");
            assert_eq!(found["spec"]["ports"], json!([{"port": port, "protocol": "TCP"}]), "{tool}");
        }
    }
}
