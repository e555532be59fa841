//! Does the pure part of server-side applies of a pod of 4 KiB so many times, to be counted in instructions:
//!
//! ```sh
//! cargo build --profile bench-fast -p portolan-bench --example apply_costs
//! scripts/instructions.sh target/bench-fast/examples/apply_costs read same first field decoded whole
//! ```
//!
//! All that comes before the counted rounds is the same whatever their number is.

use std::hint::black_box;

use anyhow::{Context, bail, ensure};
use portolan_api::apply::{self, Apart, Force, Kind, Manager, Manifest};
use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::schema;
use portolan_base::Timestamp;
use portolan_bench::verbs::pod;
use serde_json::{Value, json};

// As the server's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().context("the first argument says what is done")?;
    let rounds: usize = arguments.next().context("the second argument is how often")?.parse()?;
    let pods = GroupVersionKind { group: "", version: "v1", kind: "Pod" };
    let schema = builtin().schema(pods).context("there are pods")?;
    let kind = Kind { schema, ignored: &[&["status"]], convert: &|_, _| None };
    let manager = |name| Manager { name, api_version: "v1", subresource: "", now: Timestamp::UNIX_EPOCH };

    let mut live = pod(1, "as it was created");
    fill_in(&mut live);
    drop(schema::prune(&mut live, schema));
    apply::track_update(None, &mut live, &kind, &manager("creator"));
    let live = apply::apply(Some(&live), &pod(1, "as it was created"), &kind, &manager("owner"), Force::Yes)?;
    let stored = stored(&live);
    let (object, managers) = apart(live);
    let bare = object.to_string();
    let note = if matches!(&*what, "field" | "decoded" | "whole") { "as it is now" } else { "as it was created" };
    let body = pod(1, note).to_string();
    let who = manager(if what == "first" { "another" } else { "owner" });
    for _ in 0..rounds {
        let read = || Manifest::read(body.as_bytes(), &Limits::default()).context("it is read");
        match &*what {
            "read" => drop(black_box(read()?)),
            // What nobody has a say about.
            "same" | "first" | "field" => {
                let found = apply::apply_in_place(stored.as_bytes(), &read()?, &kind, &who, Force::Yes);
                let found = found.context("is done in place")?;
                ensure!(found.leaves_object() == (what != "field"));
                black_box(found.encoded(stored.as_bytes()));
            }
            // What the server's checks and admission look at.
            "decoded" => {
                let found = apply::apply_in_place(stored.as_bytes(), &read()?, &kind, &who, Force::Yes);
                let old: Value = serde_json::from_str(&bare)?;
                let mut new = old.clone();
                found.context("is done in place")?.change(&mut new);
                black_box((old, new.to_string()));
            }
            // What cannot be done in place.
            "whole" => {
                let applied = decode::yaml(body.as_bytes(), &Limits::default())?.value;
                let old: Value = serde_json::from_str(&bare)?;
                let live = Apart { object: &old, managers: managers.as_bytes() };
                let (new, managers) = apply::apply_apart(Some(live), &applied, &kind, &who, Force::Yes)?;
                ensure!(schema::check_at(&new, schema).wrong_type.is_none());
                black_box((new.to_string(), managers));
            }
            other => bail!("{other} is nothing that can be done"),
        }
    }
    println!("{what} {rounds}: manifest {}, stored {}, of it managers {}", body.len(), stored.len(), managers.len());
    Ok(())
}

/// As the server stores an object.
fn stored(object: &Value) -> String {
    let rest = ["spec", "status"].map(|name| format!("\"{name}\":{}", object[name])).join(",");
    format!("{{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{},{rest}}}", object["metadata"])
}

fn apart(mut object: Value) -> (Value, String) {
    let managers = object["metadata"]["managedFields"].take();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    (object, managers.to_string())
}

/// What the server adds to a new pod.
fn fill_in(pod: &mut Value) {
    let spec = &mut pod["spec"];
    for (name, value) in [
        ("dnsPolicy", json!("ClusterFirst")),
        ("enableServiceLinks", json!(true)),
        ("preemptionPolicy", json!("PreemptLowerPriority")),
        ("restartPolicy", json!("Always")),
        ("securityContext", json!({})),
        ("serviceAccount", json!("default")),
        ("serviceAccountName", json!("default")),
        ("terminationGracePeriodSeconds", json!(30)),
    ] {
        spec[name] = value;
    }
    spec["volumes"] = json!([{"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}}]}}]);
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        container["imagePullPolicy"] = "IfNotPresent".into();
        container["terminationMessagePath"] = "/dev/termination-log".into();
        container["terminationMessagePolicy"] = "File".into();
        container["volumeMounts"] = json!([
            {"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access", "readOnly": true}]);
        for (name, value) in
            [("failureThreshold", 3), ("periodSeconds", 10), ("successThreshold", 1), ("timeoutSeconds", 1)]
        {
            container["readinessProbe"][name] = value.into();
        }
        container["readinessProbe"]["httpGet"]["scheme"] = "HTTP".into();
    }
    pod["metadata"]["uid"] = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0".into();
    pod["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z".into();
    pod["metadata"]["generation"] = 1.into();
    pod["status"] = json!({"phase": "Pending", "qosClass": "Burstable"});
}
