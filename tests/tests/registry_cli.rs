//! The registry from the command line, names for programs outside of pods, and importing from a registry.

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Dialects, ask, eventually};
use serde_json::Value;

fn json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

#[test]
fn keys_services_and_names_from_the_command_line_and_an_import() {
    let names = ["--dns-listen", "127.0.0.1:0", "--consul-datacenter", "eu-1", "--dns-consul-service-ttl", "7"];
    let limits = ["--registry-limits", "registrations=1,instances=3"];
    let cluster = Cluster::prepare(&[&names[..], &limits].concat()).expect("prepared");
    let life = || -> anyhow::Result<()> {
        cluster.up()?;
        let portolan = |line: &str| cluster.portolan(&line.split_whitespace().collect::<Vec<_>>());

        // Keys.
        ensure!(cluster.portolan(&["registry", "kv", "put", "shop/motto", "ports of call"])?.contains("written"));
        ensure!(portolan("registry kv get shop/motto")? == "ports of call");
        ensure!(json(&portolan("registry kv get shop/motto -o json")?)?["Key"] == "shop/motto");
        ensure!(portolan("registry kv put shop/motto other --cas 0").is_err(), "the key is there");
        portolan("registry kv put shop/other 1 --cas 0")?;
        let listed = portolan("registry kv ls shop/")?;
        ensure!(listed.contains("shop/motto") && listed.contains("13"), "{listed}");
        portolan("registry kv delete shop/ --recurse")?;
        ensure!(portolan("registry kv get shop/motto").is_err(), "the key is gone");

        // Instances.
        portolan("registry register billing --address 192.0.2.7 --port 8080 --ttl 600 --once")?;
        eventually("the instance is shown", || {
            let services = portolan("registry services")?;
            let line = services.lines().find(|line| line.contains("billing")).context("no line")?;
            ensure!(line.split_whitespace().eq(["default", "billing", "1", "0", "0"]), "{services}");
            let health = portolan("registry health billing")?;
            ensure!(health.contains("192.0.2.7") && health.contains("passing"), "{health}");
            Ok(())
        });
        ensure!(json(&portolan("registry health billing -o json")?)?[0]["port"] == 8080);

        // Names, for programs outside of pods: over both protocols, in both zones.
        eventually("the name is answered", || {
            for line in ["dns query billing.service.consul", "dns query billing.default.svc.cluster.local --tcp"] {
                let found = portolan(line)?;
                ensure!(found.contains("192.0.2.7"), "{line}: {found}");
            }
            Ok(())
        });
        let found = json(&portolan("dns query billing.service.consul SRV -o json")?)?;
        ensure!(found["answers"][0]["data"] == "1 1 8080 c0000207.addr.eu-1.consul.", "{found}");
        ensure!(found["answers"][0]["ttl"] == 7, "{found}");
        ensure!(found["additional"][0]["data"] == "192.0.2.7", "{found}");
        let back = portolan("dns query 192.0.2.7")?;
        ensure!(back.contains("billing.service.eu-1.consul."), "{back}");
        for name in ["consul.service.consul", "kubernetes.virtual.consul"] {
            ensure!(portolan(&format!("dns query {name}"))?.lines().count() == 2, "{name}");
        }
        let nobody = portolan("dns query nobody.service.consul").expect_err("nobody").to_string();
        ensure!(nobody.contains("there is no name nobody.service.consul"), "{nobody}");

        // The datacenter, over HTTP.
        let dialects = Dialects::of(&cluster)?;
        let (_, known) = ask(&dialects.consul, "GET", "/v1/catalog/datacenters", "")?;
        ensure!(json(&known)? == serde_json::json!(["eu-1"]), "{known}");
        for (datacenter, expected) in [("eu-1", 200), ("dc1", 500)] {
            let (code, answer) = ask(&dialects.consul, "GET", &format!("/v1/catalog/nodes?dc={datacenter}"), "")?;
            ensure!(code == expected, "{datacenter}: {code} {answer}");
        }

        // A client that registers more than it may is told so, in the words of each dialect; others are not.
        let register = |number: u32| {
            let body = format!(r#"{{"Name": "web", "ID": "web-{number}", "Address": "192.0.2.8", "Port": 80}}"#);
            ask(&dialects.consul, "PUT", "/v1/agent/service/register", &body)
        };
        let refused = (0..20).find_map(|number| register(number).ok().filter(|(code, _)| *code != 200));
        let (code, answer) = refused.context("nothing was refused")?;
        ensure!(code == 429 && answer.contains("Your request was rate limited"), "{code} {answer}");
        let many: Vec<String> =
            (0..9).map(|number| format!(r#"{{"service": "many", "id": "many-{number}"}}"#)).collect();
        let body = format!(r#"{{"register": [{}]}}"#, many.join(","));
        let (code, answer) = ask(&dialects.native, "POST", "/registry/batch", &body)?;
        ensure!(code == 429 && answer.contains("TooManyRequests"), "{code} {answer}");

        // This very cluster in the role of the old one: what Consul's clients see of it goes to another namespace.
        cluster.kubectl("create namespace moved")?;
        let from = format!("http://{}", dialects.consul);
        let said = cluster.portolan(&["registry", "import", "consul", "--from", &from, "--once", "-n", "moved"])?;
        ensure!(said.contains("created"), "{said}");
        let moved = json(&cluster.portolan(&["registry", "ls", "-n", "moved", "-o", "json"])?)?;
        let found = moved.as_array().context("a list")?.iter().any(|it| it["address"] == "192.0.2.7");
        ensure!(found, "{moved}");
        let from = format!("http://{}/eureka", dialects.eureka);
        let said = cluster.portolan(&["registry", "import", "eureka", "--from", &from, "--once", "-n", "moved"])?;
        ensure!(said.contains("created"), "{said}");

        eventually("the client may write again", || portolan("registry deregister billing-8080").map(drop));
        eventually("the instance is gone", || {
            ensure!(portolan("registry health billing").is_err());
            Ok(())
        });
        Ok(())
    };
    life().expect("a life at the command line");
}

#[test]
fn a_server_without_containers_answers_names() {
    let cluster = Cluster::prepare(&["--no-agent", "--dns-listen", "127.0.0.1:0"]).expect("prepared");
    let life = || -> anyhow::Result<()> {
        cluster.up()?;
        cluster.portolan(&["registry", "register", "billing", "--address", "192.0.2.7", "--port", "8080", "--once"])?;
        for name in ["billing.service.consul", "billing.default.svc.cluster.local"] {
            eventually("the name is answered", || {
                let answer = cluster.portolan(&["dns", "query", name])?;
                ensure!(answer.contains("192.0.2.7"), "{answer}");
                Ok(())
            });
        }
        let server = cluster.portolan(&["dns", "query", "ns.consul"])?;
        ensure!(server.contains("127.0.0.1"), "{server}");
        Ok(())
    };
    let lived = life();
    cluster.down().expect("stopped");
    lived.expect("names without a node");
}
