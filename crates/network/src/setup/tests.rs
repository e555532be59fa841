use std::process::Command;

use serde_json::Value;

use super::*;
use crate::testing::Namespace;

fn ip(host: &Namespace, arguments: &[&str]) -> Vec<Value> {
    let output = host.run(|| Command::new("ip").arg("-j").args(arguments).output()).expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("ip writes JSON")
}

/// Hardware address, size, addresses and routes of the bridge.
fn bridge(host: &Namespace) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let link = &ip(host, &["address", "show", "dev", "portolan0"])[0];
    let mut found = vec![format!("{} {}", text(&link["address"]), text(&link["mtu"]))];
    let addresses = link["addr_info"].as_array().expect("a list").iter().filter(|address| address["family"] == "inet");
    found.extend(addresses.map(|address| format!("{}/{}", text(&address["local"]), text(&address["prefixlen"]))));
    let routes = ip(host, &["route", "show", "dev", "portolan0"]);
    found.extend(routes.iter().map(|route| format!("to {} from {}", text(&route["dst"]), text(&route["prefsrc"]))));
    found
}

#[test]
fn a_run_with_other_settings_leaves_nothing_of_the_earlier_one() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let host = Namespace::new();
    let first = Config::new("n1", state.path());
    let set_up = |config: &Config| host.run(|| setup_node(config)).expect("the node's network can be made");
    set_up(&first);
    let then = bridge(&host);
    expect_test::expect![[r#"
        [
            "0a:58:0a:2a:00:01 1500",
            "10.42.0.1/24",
            "10.43.0.10/32",
            "to 10.42.0.0/24 from 10.42.0.1",
            "to 10.43.0.0/16 from 10.42.0.1",
            "to 10.44.0.0/24 from 10.42.0.1",
        ]
    "#]]
    .assert_debug_eq(&then);
    set_up(&first);
    assert_eq!(bridge(&host), then, "nothing changes");

    let cidr = |text: &str| text.parse().expect("a network");
    let second = Config {
        pod_cidr: cidr("10.52.7.0/25"),
        cluster_cidr: cidr("10.52.0.0/16"),
        service_cidr: cidr("10.43.0.0/17"),
        load_balancer_cidr: cidr("10.54.0.0/24"),
        local_addresses: vec!["10.43.0.11".parse().expect("an address")],
        mtu: 1400,
        ..first.clone()
    };
    set_up(&second);
    expect_test::expect![[r#"
        [
            "0a:58:0a:34:07:01 1400",
            "10.52.7.1/25",
            "10.43.0.11/32",
            "to 10.43.0.0/17 from 10.52.7.1",
            "to 10.52.7.0/25 from 10.52.7.1",
            "to 10.54.0.0/24 from 10.52.7.1",
        ]
    "#]]
    .assert_debug_eq(&bridge(&host));
    set_up(&first);
    assert_eq!(bridge(&host), then);
}

#[test]
fn a_network_that_another_link_has_an_address_in_is_refused_and_nothing_is_made() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let config = Config::new("n1", state.path());
    let cases = [
        ("10.42.0.1/24", Some("network 10.42.0.0/24 of pods holds 10.42.0.1, which other of this machine has")),
        ("10.43.0.10/32", Some("network 10.43.0.0/16 of services holds 10.43.0.10")),
        ("10.44.0.200/8", Some("choose another with --load-balancer-cidr; if an earlier cluster")),
        // A wider network around the cluster's is no obstacle: the narrower route wins.
        ("10.41.0.1/8", None),
    ];
    for (address, expected) in cases {
        let host = Namespace::new();
        let run = |line: &str| {
            let done = host.run(|| Command::new("ip").args(line.split(' ')).status()).expect("iproute2 is installed");
            assert!(done.success(), "{line}");
        };
        run("link add other type bridge");
        run(&format!("address add {address} dev other"));
        let outcome = host.run(|| setup_node(&config));
        match (outcome, expected) {
            (Ok(()), None) => host.run(|| setup_node(&config)).expect("its own addresses are no obstacle"),
            (Err(error), Some(words)) => {
                assert!(error.to_string().contains(words), "{error}");
                assert_eq!(ip(&host, &["link", "show", "type", "bridge"]).len(), 1, "only the other");
            }
            (outcome, _) => panic!("{address}: {outcome:?}"),
        }
    }
}
