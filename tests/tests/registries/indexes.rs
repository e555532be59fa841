//! What clients remember of instances that nobody touched holds over `kill -9` and a restart.

use anyhow::ensure;
use portolan_tests::{Cluster, done, eventually};
use serde_json::{Value, json};

use crate::crash::poll;
use crate::support::free_port;

/// Index of an answer, and id and indexes of everything in it.
fn indexes(consul: &str, path: &str, id: &str) -> anyhow::Result<(u64, Vec<String>)> {
    let (index, answer) = poll(consul, path)?;
    let list = answer.as_array().cloned().unwrap_or_default();
    let show = |it: &Value| format!("{} {} {}", it[id], it["CreateIndex"], it["ModifyIndex"]);
    let mut shown: Vec<String> = list.iter().map(show).collect();
    shown.sort();
    Ok((index, shown))
}

#[test]
fn indexes_of_instances_and_machines_hold_over_a_kill() {
    let [native, consul] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port().expect("a port")));
    let cluster = Cluster::prepare(&["--registry-listen", &native, "--consul-listen", &consul]).expect("prepared");
    cluster.up().expect("started");
    let put = |path: &str, body: Value| done(&consul, "PUT", path, &body.to_string()).expect(path);
    let register = |id: &str, tag: &str| {
        json!({"Name": "web", "ID": id, "Address": "192.0.2.1", "Port": 80, "Tags": [tag],
            "Check": {"CheckID": format!("alive-{id}"), "TTL": "10m", "Status": "passing"}})
    };
    put("/v1/agent/service/register", register("untouched", "x"));
    put("/v1/agent/service/register", register("changed", "x"));
    let of_native = json!({"service": "web", "id": "native", "address": "192.0.2.2", "port": 80, "ttlSeconds": 600});
    done(&native, "POST", "/registry/instances", &of_native.to_string()).expect("registered");
    let vm = |kind: &str| json!({"Node": "vm", "Address": "192.0.2.7", "NodeMeta": {"kind": kind}});
    put("/v1/catalog/register", vm("small"));
    // Now some of them change: in what they are, in what is said of them, in how they do.
    put("/v1/agent/service/register", register("changed", "y"));
    put("/v1/agent/check/warn/alive-changed", Value::Null);
    put("/v1/catalog/register", vm("large"));
    let instances = || indexes(&consul, "/v1/catalog/service/web", "ServiceID");
    let machines = || {
        let (index, list) = indexes(&consul, "/v1/catalog/nodes", "Node")?;
        Ok::<_, anyhow::Error>((index, list.into_iter().filter(|line| line.contains("vm")).collect::<Vec<_>>()))
    };
    let before = eventually("all are seen", || {
        let (instances, machines) = (instances()?, machines()?);
        ensure!(instances.1.len() == 3 && machines.1.len() == 1, "{instances:?} {machines:?}");
        let differ = |line: &&String| line.rsplit(' ').next() != line.rsplit(' ').nth(1);
        let changed = instances.1.iter().chain(&machines.1).filter(differ).count();
        ensure!(changed == 2, "one instance and the machine changed since they came: {instances:?} {machines:?}");
        Ok((instances, machines))
    });
    cluster.kill_server().expect("killed");
    cluster.up().expect("started");
    eventually("all are as they were", || {
        let after = (instances()?, machines()?);
        ensure!((&after.0.1, &after.1.1) == (&before.0.1, &before.1.1), "{before:?} and then {after:?}");
        ensure!(after.0.0 >= before.0.0 && after.1.0 >= before.1.0, "an index went back: {before:?} {after:?}");
        Ok(())
    });
}
