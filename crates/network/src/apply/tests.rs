use std::io::Write as _;
use std::process::{Command, Stdio};

use portolan_base::error;
use portolan_catalog::{Catalog, Key, Kind};
use serde_json::{Value, json};

use super::*;
use crate::plan::{Planner, text};
use crate::testing::Namespace;
use crate::testing::objects::{put_endpoints, put_service};

/// Runs nft in a namespace.
fn nft(host: &Namespace, arguments: &[&str], input: &str) -> Result<String, String> {
    host.run(|| {
        let mut child = Command::new("nft")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nftables is installed");
        child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("nft reads");
        let output = child.wait_with_output().expect("nft ends");
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).expect("nft writes text"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    })
}

/// All rules as nft understands them, without what differs from one run to the next.
fn listing(host: &Namespace) -> Vec<Value> {
    let text = nft(host, &["-j", "list", "ruleset"], "").expect("rules can be listed");
    let mut listing: Value = serde_json::from_str(&text).expect("nft writes JSON");
    let mut entries: Vec<Value> = listing["nftables"].as_array_mut().expect("a list").drain(1..).collect();
    for entry in &mut entries {
        for object in entry.as_object_mut().expect("an object").values_mut() {
            object.as_object_mut().expect("an object").remove("handle");
            if let Some(elements) = object.get_mut("elem").and_then(Value::as_array_mut) {
                elements.sort_by_cached_key(ToString::to_string);
            }
        }
    }
    // Stable: rules stay in the order of their chain.
    entries.sort_by_cached_key(|entry| {
        let (kind, object) = entry.as_object().expect("an object").iter().next().expect("one entry");
        (kind.clone(), object["chain"].to_string(), object["name"].to_string())
    });
    entries
}

fn config() -> Config {
    Config { table: "plt".into(), ..Config::new("n1", "/nonexistent") }
}

type Change = Box<dyn Fn(&mut Catalog)>;

fn service(name: &'static str, address: &'static str, extra: Value, balancer: &'static [&'static str]) -> Change {
    Box::new(move |catalog| put_service(catalog, name, address, &extra, balancer))
}

fn endpoints(name: &'static str, endpoints: &'static [(&'static str, &'static str)]) -> Change {
    Box::new(move |catalog| put_endpoints(catalog, name, endpoints))
}

fn removed(name: &'static str) -> Change {
    Box::new(move |catalog| catalog.remove(Kind::Service, &Key::new("default", name)))
}

fn many(count: usize) -> Change {
    Box::new(move |catalog| {
        for number in 0..count {
            let name = format!("s{number}");
            put_service(catalog, &name, &format!("10.43.{}.{}", 1 + number / 250, number % 250), &json!({}), &[]);
            put_endpoints(catalog, &name, &[("10.42.0.2", "n1"), ("10.42.0.3", "n2")]);
        }
    })
}

const ONE: &[(&str, &str)] = &[("10.42.0.2", "n1")];
const TWO: &[(&str, &str)] = &[("10.42.0.2", "n1"), ("10.42.1.3", "n2")];
const OTHER: &[(&str, &str)] = &[("10.42.0.9", "n1"), ("10.42.1.3", "n2"), ("10.42.1.4", "n2")];

#[test]
fn the_kernel_holds_what_nft_would_have_made_of_the_same_plan() {
    let node_port = json!([{"name": "t", "port": 80, "nodePort": 30080}]);
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": node_port});
    let ranges = |ranges: &[&str]| json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ranges});
    let cases: Vec<(&str, Vec<Change>)> = vec![
        ("nothing", vec![]),
        ("a service without endpoints", vec![service("a", "10.43.0.20", json!({}), &[])]),
        (
            "endpoints come, change and go",
            vec![
                service("a", "10.43.0.20", json!({}), &[]),
                endpoints("a", ONE),
                endpoints("a", TWO),
                endpoints("a", OTHER),
                endpoints("a", &[]),
                endpoints("a", ONE),
                removed("a"),
            ],
        ),
        (
            "session affinity",
            vec![
                service("a", "10.43.0.20", json!({"sessionAffinity": "ClientIP"}), &[]),
                endpoints("a", TWO),
                endpoints("a", OTHER),
            ],
        ),
        (
            "all places, with a policy that stays on the node",
            vec![
                service("a", "10.43.0.20", local, &["10.44.0.1"]),
                endpoints("a", TWO),
                endpoints("a", &[("10.42.1.3", "n2")]),
                endpoints("a", OTHER),
            ],
        ),
        (
            "source ranges, some inside of others",
            vec![
                endpoints("a", ONE),
                service(
                    "a",
                    "10.43.0.20",
                    ranges(&["10.1.0.0/16", "10.0.0.0/8", "192.0.2.7/32", "10.0.0.0/8"]),
                    &["10.44.0.1"],
                ),
                service("a", "10.43.0.20", ranges(&["10.1.0.0/16", "0.0.0.0/0"]), &["10.44.0.1"]),
                service("a", "10.43.0.20", ranges(&["10.1.0.0/16", "nonsense"]), &["10.44.0.1"]),
            ],
        ),
        ("more than one message", vec![many(1500), endpoints("s700", OTHER), many(1400)]),
    ];
    for (name, changes) in cases {
        let (ours, peer) = (Namespace::new(), Namespace::new());
        let mut rules = ours.run(|| Rules::open(config())).expect("tests run as root");
        let (mut planner, mut catalog) = (Planner::new(config()), Catalog::new());
        let mut batches = vec![planner.replace(&catalog.snapshot())];
        for change in changes {
            change(&mut catalog);
            batches.push(planner.update(&catalog.snapshot()));
        }
        for batch in &batches {
            let text = text::of(batch, &config());
            nft(&peer, &["-f", "-"], &text).unwrap_or_else(|error| panic!("{name}: {error}"));
            rules.apply(batch).unwrap_or_else(|error| panic!("{name}: {}", error::chain(&error)));
        }
        let (ours, peer) = (listing(&ours), listing(&peer));
        assert!(ours.len() > 40 && ours.len() == peer.len(), "{name}: {} and {}", ours.len(), peer.len());
        for (ours, peer) in ours.iter().zip(&peer) {
            assert_eq!(ours, peer, "{name}");
        }
    }
}
