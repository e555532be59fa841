//! Moving over step by step: another registry is copied and followed. Here our own server plays the old one.

use std::process::{Child, Command, Stdio};

use anyhow::ensure;
use portolan_tests::{Cluster, Dialects, ask, binary, done, eventually, kill, resolve};
use serde_json::{Value, json};

use crate::support::{eureka_instance, free_port};

/// `portolan registry import` until this is dropped.
struct Import(Child);

impl Import {
    fn start(into: &Cluster, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut import = Command::new(binary()?);
        import.args(["registry", "import"]).args(arguments).arg("--data-dir").arg(into.data_dir());
        Ok(Self(import.env_remove("KUBECONFIG").stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?))
    }

    /// Stops it as a person does; whether it ended well.
    fn interrupt(&mut self) -> anyhow::Result<bool> {
        kill("-INT", self.0.id())?;
        Ok(self.0.wait()?.success())
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tags and health of a service's instances by their addresses, as Consul's clients see them.
fn seen(dialects: &Dialects, service: &str) -> anyhow::Result<Vec<String>> {
    let answer = done(&dialects.consul, "GET", &format!("/v1/health/service/{service}"), "")?;
    let entries: Value = serde_json::from_str(&answer)?;
    let mut lines: Vec<String> = entries
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            let service = &entry["Service"];
            let healthy = entry["Checks"].as_array().is_some_and(|all| all.iter().all(|it| it["Status"] == "passing"));
            format!(
                "{} {} {} {} {}",
                entry["Node"]["Node"].as_str().unwrap_or_default(),
                service["Address"].as_str().unwrap_or_default(),
                service["Tags"],
                service["Meta"]["owner"],
                if healthy { "passing" } else { "not passing" },
            )
        })
        .collect();
    lines.sort();
    Ok(lines)
}

fn shows(dialects: &Dialects, service: &str, expected: &[&str]) {
    eventually(&format!("{service} is {expected:?}"), || {
        let found = seen(dialects, service)?;
        ensure!(found == expected, "{found:?}");
        Ok(())
    });
}

fn key(dialects: &Dialects, key: &str) -> anyhow::Result<Option<String>> {
    let (code, answer) = ask(&dialects.consul, "GET", &format!("/v1/kv/{key}?raw"), "")?;
    ensure!(code == 200 || code == 404, "{code} {answer}");
    Ok((code == 200).then_some(answer))
}

fn key_becomes(dialects: &Dialects, name: &str, expected: Option<&str>) {
    eventually(&format!("{name} becomes {expected:?}"), || {
        let found = key(dialects, name)?;
        ensure!(found.as_deref() == expected, "{found:?}");
        Ok(())
    });
}

fn register(dialects: &Dialects, node: &str, id: &str, address: &str, tag: &str, status: &str) -> anyhow::Result<()> {
    let body = json!({
        "Node": node, "Address": address,
        "Service": {"Service": "billing", "ID": id, "Address": address, "Port": 80, "Tags": [tag], "Meta": {"owner": "a&b"}},
        "Check": {"Name": "c", "CheckID": format!("c-{id}"), "ServiceID": id, "Status": status},
    });
    done(&dialects.consul, "PUT", "/v1/catalog/register", &body.to_string()).map(drop)
}

#[test]
fn another_registry_is_copied_and_followed_with_its_keys_while_it_is_there_and_comes_back() {
    let port = free_port().expect("a port");
    let listen = format!("127.0.0.1:{port}");
    let old_cluster = Cluster::prepare(&["--consul-listen", &listen]).expect("prepared");
    old_cluster.up().expect("started");
    let new_cluster = old_cluster.another(&[]).expect("prepared");
    new_cluster.up().expect("started");
    let life = || -> anyhow::Result<()> {
        let (old, new) = (Dialects::of(&old_cluster)?, Dialects::of(&new_cluster)?);
        register(&old, "vm-1", "b-1", "192.0.2.1", "blue", "passing")?;
        register(&old, "vm-2", "b-2", "192.0.2.2", "green", "critical")?;
        done(&old.consul, "PUT", "/v1/kv/shop/motto?flags=7", "ports of call")?;
        done(&old.consul, "PUT", "/v1/kv/other", "stays there")?;
        // What is here already is nobody else's.
        done(
            &new.consul,
            "PUT",
            "/v1/agent/service/register",
            r#"{"Name": "own", "Address": "192.0.2.90", "Port": 1}"#,
        )?;

        let from = format!("http://{}", old.consul);
        let mut import =
            Import::start(&new_cluster, &["consul", "--from", &from, "--keys", "shop/", "--interval", "1"])?;
        shows(
            &new,
            "billing",
            &[r#"vm-1 192.0.2.1 ["blue"] "a&b" passing"#, r#"vm-2 192.0.2.2 ["green"] "a&b" not passing"#],
        );
        key_becomes(&new, "shop/motto", Some("ports of call"));
        ensure!(key(&new, "other")?.is_none(), "only what was asked for is copied");
        let pair = done(&new.consul, "GET", "/v1/kv/shop/motto", "")?;
        ensure!(serde_json::from_str::<Value>(&pair)?[0]["Flags"] == 7, "{pair}");
        let found = resolve(&new_cluster.name_server(), "billing.service.consul")?;
        ensure!(found.len() == 1 && found[0].to_string() == "192.0.2.1", "{found:?}");

        // Every kind of change is followed.
        register(&old, "vm-2", "b-2", "192.0.2.2", "green", "passing")?;
        register(&old, "vm-1", "b-1", "192.0.2.1", "violet", "passing")?;
        register(&old, "vm-3", "b-3", "192.0.2.3", "red", "passing")?;
        done(&old.consul, "PUT", "/v1/catalog/deregister", r#"{"Node": "vm-2", "ServiceID": "b-2"}"#)?;
        shows(
            &new,
            "billing",
            &[r#"vm-1 192.0.2.1 ["violet"] "a&b" passing"#, r#"vm-3 192.0.2.3 ["red"] "a&b" passing"#],
        );
        done(&old.consul, "PUT", "/v1/kv/shop/motto", "all hands")?;
        done(&old.consul, "PUT", "/v1/kv/shop/new", "1")?;
        key_becomes(&new, "shop/motto", Some("all hands"));
        key_becomes(&new, "shop/new", Some("1"));
        done(&old.consul, "DELETE", "/v1/kv/shop/new", "")?;
        key_becomes(&new, "shop/new", None);

        // While the old one is away nothing is lost here; when it is back it is followed again.
        old_cluster.kill_server()?;
        ensure!(seen(&new, "billing")?.len() == 2, "what was copied stays");
        old_cluster.up()?;
        let old = Dialects::of(&old_cluster)?;
        done(&old.consul, "PUT", "/v1/catalog/deregister", r#"{"Node": "vm-1"}"#)?;
        shows(&new, "billing", &[r#"vm-3 192.0.2.3 ["red"] "a&b" passing"#]);
        ensure!(seen(&new, "own")?.len() == 1, "what registered here is not touched");
        ensure!(import.interrupt()?, "an interrupted import ends well");
        Ok(())
    };
    life().expect("a team moves over");
}

#[test]
fn a_eureka_server_is_copied_and_followed() {
    let old_cluster = Cluster::start().expect("started");
    let new_cluster = old_cluster.another(&[]).expect("prepared");
    new_cluster.up().expect("started");
    let life = || -> anyhow::Result<()> {
        let (old, new) = (Dialects::of(&old_cluster)?, Dialects::of(&new_cluster)?);
        for number in 1..=2 {
            let instance = eureka_instance("orders", &format!("orders-{number}"), &format!("192.0.2.{number}"), 900);
            done(&old.eureka, "POST", "/eureka/apps/ORDERS", &instance)?;
        }
        let from = format!("http://{}/eureka", old.eureka);
        let mut import = Import::start(&new_cluster, &["eureka", "--from", &from, "--interval", "1"])?;
        let addresses = |expected: &[&str]| {
            eventually(&format!("orders is {expected:?}"), || {
                let answer = done(&new.consul, "GET", "/v1/health/service/orders?passing", "")?;
                let entries: Value = serde_json::from_str(&answer)?;
                let entries = entries.as_array().cloned().unwrap_or_default();
                let mut found: Vec<&str> = entries.iter().filter_map(|it| it["Service"]["Address"].as_str()).collect();
                found.sort_unstable();
                ensure!(found == expected, "{found:?}");
                Ok(())
            });
        };
        addresses(&["192.0.2.1", "192.0.2.2"]);
        done(&old.eureka, "PUT", "/eureka/apps/ORDERS/orders-1/status?value=OUT_OF_SERVICE", "")?;
        addresses(&["192.0.2.2"]);
        done(&old.eureka, "DELETE", "/eureka/apps/ORDERS/orders-1/status?value=UP", "")?;
        addresses(&["192.0.2.1", "192.0.2.2"]);
        done(&old.eureka, "DELETE", "/eureka/apps/ORDERS/orders-2", "")?;
        addresses(&["192.0.2.1"]);
        eventually("its name leads there too", || {
            let found = resolve(&new_cluster.name_server(), "orders.default.svc.cluster.local")?;
            ensure!(found.len() == 1 && found[0].to_string() == "192.0.2.1", "{found:?}");
            Ok(())
        });
        ensure!(import.interrupt()?, "an interrupted import ends well");
        Ok(())
    };
    life().expect("a team moves over");
}
