use std::collections::BTreeSet;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_base::error;
use portolan_catalog::{Catalog, Input};
use serde_json::json;

use super::*;
use crate::Config;
use crate::apply::Rules;
use crate::testing::objects::{decode, put_endpoints, put_service};
use crate::testing::{Machine, Namespace, Pod};

/// A machine with pods that serve, and the planner of its rules.
struct Node {
    machine: Machine,
    catalog: Catalog,
    planner: Planner,
    rules: Rules,
}

impl Node {
    fn new() -> Self {
        let machine = Machine::new();
        let planner = Planner::new(machine.config.clone());
        let rules = machine.rules();
        Self { machine, catalog: Catalog::new(), planner, rules }
    }

    fn pods(&self, count: usize) -> Vec<Pod> {
        (0..count)
            .map(|_| {
                let mut pod = self.machine.pod();
                pod.serve(8080);
                pod
            })
            .collect()
    }

    fn endpoints(&mut self, service: &str, pods: &[Pod]) {
        let addresses: Vec<String> = pods.iter().map(|pod| pod.address.to_string()).collect();
        let endpoints: Vec<(&str, &str)> = addresses.iter().map(|address| (address.as_str(), "n1")).collect();
        put_endpoints(&mut self.catalog, service, &endpoints);
    }

    fn apply(&mut self) -> Batch {
        let batch = self.planner.update(&self.catalog.snapshot());
        let text = text::of(&batch, &self.machine.config);
        self.rules.apply(&batch).unwrap_or_else(|error| panic!("{}\n{text}", error::chain(&error)));
        batch
    }
}

/// Which endpoints answered, and which client address they saw.
fn answers(client: &Namespace, to: &str, times: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let texts = (0..times).map(|_| client.tcp(to).unwrap_or_else(|error| panic!("{to}: {error}")));
    texts
        .map(|text| text.split_once('<').map(|(server, peer)| (server.to_owned(), peer.to_owned())).expect("both"))
        .unzip()
}

/// A machine on the same wire as the node: `192.0.2.2`, the node is `192.0.2.1`.
fn outsider(node: &Node) -> Namespace {
    let outside = Namespace::new();
    let link = &format!("o{}", &outside.name[outside.name.len() - 10..]);
    node.machine.host.run(|| {
        crate::testing::ip(&["link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", &outside.name]);
        crate::testing::ip(&["address", "add", "192.0.2.1/24", "dev", link]);
        crate::testing::ip(&["link", "set", link, "up"]);
    });
    outside.run(|| {
        crate::testing::ip(&["address", "add", "192.0.2.2/24", "dev", "eth0"]);
        crate::testing::ip(&["link", "set", "eth0", "up"]);
        crate::testing::ip(&["route", "add", "10.43.0.0/16", "via", "192.0.2.1"]);
        crate::testing::ip(&["route", "add", "10.44.0.0/24", "via", "192.0.2.1"]);
    });
    outside
}

#[test]
fn a_cluster_address_is_balanced_over_its_endpoints_from_pods_and_from_the_host() {
    let mut node = Node::new();
    let pods = node.pods(3);
    let client = node.machine.pod();
    put_service(&mut node.catalog, "web", "10.43.0.20", &json!({}), &[]);
    node.endpoints("web", &pods);
    node.apply();
    let all: BTreeSet<String> = pods.iter().map(|pod| pod.address.to_string()).collect();

    let (servers, peers) = answers(&client.namespace, "10.43.0.20:80", 40);
    assert_eq!(servers, all);
    assert_eq!(peers, [client.address.to_string()].into(), "the client's address is preserved");
    let (servers, peers) = answers(&node.machine.host, "10.43.0.20:80", 40);
    assert_eq!((servers, peers), (all, ["10.42.0.1".to_owned()].into()));

    // Hairpin: a pod reaches itself through the service.
    node.endpoints("web", &pods[..1]);
    node.apply();
    let (servers, _) = answers(&pods[0].namespace, "10.43.0.20:80", 3);
    assert_eq!(servers, [pods[0].address.to_string()].into());
    // UDP.
    let socket = client.namespace.udp_socket();
    let expected = format!("{}<{}", pods[0].address, client.address);
    assert_eq!(Namespace::udp_again_if_lost(&socket, "10.43.0.20:80"), Ok(expected));
}

#[test]
fn balance_is_even() {
    let mut node = Node::new();
    let pods = node.pods(3);
    put_service(&mut node.catalog, "web", "10.43.0.20", &json!({}), &[]);
    node.endpoints("web", &pods);
    node.apply();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..300 {
        *counts.entry(node.machine.host.tcp("10.43.0.20:80").expect("answered")).or_default() += 1;
    }
    // Six standard deviations around 100.
    assert!(counts.len() == 3 && counts.values().all(|count| (50..=150).contains(count)), "{counts:?}");
}

#[test]
fn node_ports_and_balancer_addresses_answer_from_outside_and_from_the_host() {
    let mut node = Node::new();
    let pods = node.pods(2);
    let outside = outsider(&node);
    let spec = json!({"type": "LoadBalancer", "ports": [{"name": "t", "port": 80, "nodePort": 30080}]});
    put_service(&mut node.catalog, "web", "10.43.0.20", &spec, &["10.44.0.1"]);
    node.endpoints("web", &pods);
    node.apply();
    let all: BTreeSet<String> = pods.iter().map(|pod| pod.address.to_string()).collect();
    for to in ["192.0.2.1:30080", "10.44.0.1:80"] {
        let (servers, peers) = answers(&outside, to, 20);
        assert_eq!((servers, peers), (all.clone(), ["192.0.2.2".to_owned()].into()), "{to}");
    }
    for to in ["192.0.2.1:30080", "127.0.0.1:30080", "10.42.0.1:30080", "10.44.0.1:80", "10.43.0.20:80"] {
        assert_eq!(answers(&node.machine.host, to, 20).0, all, "{to}");
    }
    for to in ["192.0.2.1:30080", "10.44.0.1:80"] {
        assert_eq!(answers(&pods[0].namespace, to, 20).0, all, "{to}");
    }
}

#[test]
fn a_local_policy_keeps_traffic_from_outside_on_the_node() {
    let mut node = Node::new();
    let pods = node.pods(2);
    let outside = outsider(&node);
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                      "ports": [{"name": "t", "port": 80, "nodePort": 30080}]});
    put_service(&mut node.catalog, "web", "10.43.0.20", &spec, &["10.44.0.1"]);
    let (first, second) = (pods[0].address.to_string(), pods[1].address.to_string());
    put_endpoints(&mut node.catalog, "web", &[(&first, "n1"), (&second, "n2")]);
    node.apply();
    for to in ["192.0.2.1:30080", "10.44.0.1:80"] {
        assert_eq!(answers(&outside, to, 20).0, [first.clone()].into(), "{to}");
        assert_eq!(answers(&node.machine.host, to, 30).0, [first.clone(), second.clone()].into(), "{to}");
    }
    put_endpoints(&mut node.catalog, "web", &[(&second, "n2")]);
    node.apply();
    assert_eq!(outside.tcp("10.44.0.1:80"), Err(std::io::ErrorKind::TimedOut));
    assert_eq!(answers(&node.machine.host, "10.44.0.1:80", 1).0, [second].into());
}

#[test]
fn what_nobody_answers_is_refused_at_once() {
    let mut node = Node::new();
    let client = node.machine.pod();
    let outside = outsider(&node);
    let spec = json!({"type": "LoadBalancer", "externalIPs": ["198.51.100.7"],
                      "ports": [{"name": "t", "port": 80, "nodePort": 30080}]});
    put_service(&mut node.catalog, "web", "10.43.0.20", &spec, &["10.44.0.1"]);
    node.apply();
    let refused = Err(std::io::ErrorKind::ConnectionRefused);
    for to in ["10.43.0.20:80", "10.43.9.9:1", "10.44.0.1:80", "10.42.0.1:30080"] {
        assert_eq!(client.namespace.tcp(to), refused, "{to}");
        assert_eq!(node.machine.host.tcp(to), refused, "{to}");
    }
    assert_eq!(outside.tcp("10.44.0.1:80"), refused);
    assert_eq!(outside.tcp("192.0.2.1:30080"), refused);
    let socket = client.namespace.udp_socket();
    socket.connect("10.43.9.9:53").expect("a route exists");
    assert_eq!(Namespace::udp(&socket, "10.43.9.9:53"), refused);
}

#[test]
fn a_client_keeps_its_endpoint_until_that_is_gone() {
    let mut node = Node::new();
    let pods = node.pods(4);
    put_service(&mut node.catalog, "web", "10.43.0.20", &json!({"sessionAffinity": "ClientIP"}), &[]);
    node.endpoints("web", &pods);
    node.apply();
    let clients: Vec<Pod> = (0..4).map(|_| node.machine.pod()).collect();
    let mut chosen = Vec::new();
    for client in &clients {
        let (servers, _) = answers(&client.namespace, "10.43.0.20:80", 10);
        assert_eq!(servers.len(), 1, "{servers:?}");
        chosen.extend(servers);
    }
    // One endpoint goes: its clients choose again, once; the others stay.
    let gone = chosen[0].clone();
    let left: Vec<(String, &str)> =
        pods.iter().map(|pod| (pod.address.to_string(), "n1")).filter(|(address, _)| *address != gone).collect();
    let left: Vec<(&str, &str)> = left.iter().map(|(address, name)| (address.as_str(), *name)).collect();
    put_endpoints(&mut node.catalog, "web", &left);
    node.apply();
    for (client, before) in clients.iter().zip(&chosen) {
        let (servers, _) = answers(&client.namespace, "10.43.0.20:80", 10);
        assert_eq!(servers.len(), 1, "{servers:?}");
        assert!(!servers.contains(&gone));
        assert!(*before == gone || servers.contains(before));
    }
}

#[test]
fn source_ranges_keep_others_out() {
    let mut node = Node::new();
    let pods = node.pods(1);
    let outside = outsider(&node);
    let spec = |range: &str| json!({"type": "LoadBalancer", "loadBalancerSourceRanges": [range]});
    node.endpoints("web", &pods);
    put_service(&mut node.catalog, "web", "10.43.0.20", &spec("192.0.2.0/24"), &["10.44.0.1"]);
    node.apply();
    assert!(outside.tcp("10.44.0.1:80").is_ok());
    put_service(&mut node.catalog, "web", "10.43.0.20", &spec("203.0.113.0/24"), &["10.44.0.1"]);
    node.apply();
    assert_eq!(outside.tcp("10.44.0.1:80"), Err(std::io::ErrorKind::TimedOut));
}

#[test]
fn a_host_port_leads_to_its_pod() {
    let mut node = Node::new();
    let pods = node.pods(1);
    let outside = outsider(&node);
    node.catalog.put(Input::Pod(decode::<core::Pod>(&json!({
        "metadata": {"namespace": "default", "name": "p"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 8080, "hostPort": 8081}]}]},
        "status": {"podIP": pods[0].address.to_string()}
    }))));
    node.apply();
    assert!(outside.tcp("192.0.2.1:8081").is_ok());
    assert!(node.machine.host.tcp("127.0.0.1:8081").is_ok());
}

#[test]
fn pods_reach_the_outside_with_the_address_of_the_node() {
    let node = Node::new();
    let client = node.machine.pod();
    let outside = outsider(&node);
    let _server = crate::testing::Server::start(&outside, "192.0.2.2".parse().expect("an address"), 8080);
    assert_eq!(client.namespace.tcp("192.0.2.2:8080").as_deref(), Ok("192.0.2.2<192.0.2.1"));
}

#[test]
fn a_change_of_one_service_among_a_thousand_touches_only_its_elements() {
    let mut catalog = Catalog::new();
    let mut planner = Planner::new(Config::new("n1", "/nonexistent"));
    for number in 0..1000 {
        let name = format!("s{number}");
        put_service(&mut catalog, &name, &format!("10.43.{}.{}", 1 + number / 250, number % 250), &json!({}), &[]);
        put_endpoints(&mut catalog, &name, &[("10.42.0.2", "n1"), ("10.42.0.3", "n1")]);
    }
    let config = Config::new("n1", "/nonexistent");
    assert!(text::of(&planner.replace(&catalog.snapshot()), &config).len() > 100_000);
    put_endpoints(&mut catalog, "s7", &[("10.42.0.3", "n1"), ("10.42.0.4", "n1")]);
    let batch = planner.update(&catalog.snapshot());
    expect_test::expect![[r#"
        delete element ip portolan endpoints { 10.43.1.7 . tcp . 80 . 0x70000000, 10.43.1.7 . udp . 80 . 0x70000000 }
        add element ip portolan endpoints { 10.43.1.7 . tcp . 80 . 0x70000000 : 10.42.0.4 . 8080, 10.43.1.7 . udp . 80 . 0x70000000 : 10.42.0.4 . 8080 }
    "#]]
    .assert_eq(&text::of(&batch, &config));
    assert_eq!(batch.stale_flows.len(), 1, "{:?}", batch.stale_flows);
    assert_eq!(planner.update(&catalog.snapshot()), Batch::default(), "no change, nothing to do");
}

#[test]
fn a_frontend_that_two_services_want_stays_with_the_first_until_it_leaves() {
    let mut catalog = Catalog::new();
    let mut planner = Planner::new(Config::new("n1", "/nonexistent"));
    let spec = json!({"externalIPs": ["198.51.100.7"], "ports": [{"name": "t", "port": 80}]});
    put_service(&mut catalog, "a", "10.43.0.20", &spec, &[]);
    put_endpoints(&mut catalog, "a", &[("10.42.0.2", "n1")]);
    planner.update(&catalog.snapshot());
    put_service(&mut catalog, "b", "10.43.0.21", &spec, &[]);
    put_endpoints(&mut catalog, "b", &[("10.42.0.3", "n1")]);
    let batch = planner.update(&catalog.snapshot());
    let config = Config::new("n1", "/nonexistent");
    let text = text::of(&batch, &config);
    assert!(!text.contains("198.51.100.7"), "{text}");
    let conflicts: Vec<_> = planner.conflicts().map(|(_, owner, others)| (owner, others)).collect();
    assert_eq!(conflicts, [("service default/a".to_owned(), vec!["service default/b".to_owned()])]);
    catalog.remove(portolan_catalog::Kind::Service, &portolan_catalog::Key::new("default", "a"));
    let batch = planner.update(&catalog.snapshot());
    let text = text::of(&batch, &config);
    let expected = "add element ip portolan endpoints { 198.51.100.7 . tcp . 80 . 0x70000000 : 10.42.0.3 . 8080 }";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_udp_client_moves_on_when_its_endpoint_is_gone() {
    let mut node = Node::new();
    let pods = node.pods(2);
    let client = node.machine.pod();
    put_service(&mut node.catalog, "web", "10.43.0.20", &json!({}), &[]);
    node.endpoints("web", &pods[..1]);
    node.apply();
    let socket = client.namespace.udp_socket();
    let answer = |pod: &Pod| Ok(format!("{}<{}", pod.address, client.address));
    assert_eq!(Namespace::udp_again_if_lost(&socket, "10.43.0.20:80"), answer(&pods[0]));
    node.endpoints("web", &pods[1..]);
    let batch = node.apply();
    assert_eq!(Namespace::udp(&socket, "10.43.0.20:80"), answer(&pods[0]), "the kernel remembers the flow");
    node.machine.host.run(|| crate::conntrack::forget(&batch.stale_flows)).expect("flows can be deleted");
    assert_eq!(Namespace::udp(&socket, "10.43.0.20:80"), answer(&pods[1]));
}

#[test]
fn the_whole_table_can_be_replaced_and_removed_under_load() {
    let mut node = Node::new();
    let pods = node.pods(1);
    put_service(&mut node.catalog, "web", "10.43.0.20", &json!({"sessionAffinity": "ClientIP"}), &[]);
    node.endpoints("web", &pods);
    for _ in 0..2 {
        let batch = node.planner.replace(&node.catalog.snapshot());
        node.rules.apply(&batch).expect("the table can be replaced");
        assert!(node.machine.host.tcp("10.43.0.20:80").is_ok());
    }
    let failures = node.machine.host.run(|| crate::teardown_node(&node.machine.config));
    assert!(failures.is_empty(), "{failures:?}");
    node.machine.host.run(|| {
        let rules = std::process::Command::new("nft").args(["list", "ruleset"]).output().expect("nft runs");
        assert_eq!(String::from_utf8_lossy(&rules.stdout), "");
    });
}
