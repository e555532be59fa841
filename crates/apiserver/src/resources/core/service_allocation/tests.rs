use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn allocator() -> Allocator {
    of_ranges(&["10.43.0.0/16"], 30000..=32767)
}

fn networks(ranges: &[&str]) -> Vec<Network> {
    ranges.iter().map(|range| range.parse().expect("a network")).collect()
}

fn of_ranges(ranges: &[&str], node_ports: RangeInclusive<u16>) -> Allocator {
    let mut allocator = Allocator::new(node_ports);
    allocator.use_ranges(&networks(ranges));
    allocator
}

fn service(kind: &str, more: Value) -> Value {
    let mut service = json!({"spec": {"type": kind, "ports": [{"port": 80, "protocol": "TCP"}]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
    }
    service
}

/// Creates one service after the other and writes what each got.
fn check(allocator: &mut Allocator, services: &[Value], expected: Expect) {
    let mut lines = String::new();
    for service in services {
        let mut service = service.clone();
        match allocator.allocate(&service, None) {
            Ok(grant) => {
                grant.apply(&mut service);
                allocator.commit(grant);
                let spec = &service["spec"];
                let ports: Vec<String> =
                    items(&spec["ports"]).iter().map(|port| port["nodePort"].to_string()).collect();
                lines += &format!("{} {}\n", spec["clusterIP"], ports.join(","));
            }
            Err(errors) => errors.iter().for_each(|error| lines += &format!("{error}\n")),
        }
    }
    expected.assert_eq(&lines);
}

#[test]
fn addresses_and_ports_are_handed_out_once() {
    check(
        &mut allocator(),
        &[
            service("ClusterIP", json!({})),
            service("ClusterIP", json!({"clusterIP": "10.43.0.10"})),
            service("ClusterIP", json!({"clusterIP": "10.43.0.10"})),
            service("ClusterIP", json!({"clusterIP": "10.9.0.1"})),
            service("ClusterIP", json!({"clusterIP": "None"})),
            service("NodePort", json!({})),
            service("NodePort", json!({"ports": [{"port": 80, "nodePort": 30080}]})),
            service("NodePort", json!({"ports": [{"port": 80, "nodePort": 30080}]})),
            service("NodePort", json!({"ports": [{"port": 80, "nodePort": 80}]})),
            service("LoadBalancer", json!({"allocateLoadBalancerNodePorts": false})),
            service("NodePort", json!({"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]})),
            service("ExternalName", json!({})),
        ],
        expect![[r#"
            "10.43.1.0" null
            "10.43.0.10" null
            spec.clusterIPs: Invalid value: ["10.43.0.10"]: failed to allocate IP 10.43.0.10: provided IP is already allocated
            spec.clusterIPs: Invalid value: ["10.9.0.1"]: failed to allocate IP 10.9.0.1: the provided IP (10.9.0.1) is not in the valid range. The range of valid IPs is 10.43.0.0/16
            "None" null
            "10.43.1.1" 30086
            "10.43.1.2" 30080
            spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated
            spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767
            "10.43.1.5" null
            "10.43.1.6" 30087,30087
            null null
        "#]],
    );
}

#[test]
fn a_refused_service_takes_nothing() {
    let mut allocator = allocator();
    let wrong = service("NodePort", json!({"ports": [{"port": 80}, {"port": 81, "nodePort": 1}]}));
    assert!(allocator.allocate(&wrong, None).is_err());
    assert!(allocator.addresses.is_empty() && allocator.ports.is_empty());
}

#[test]
fn an_abandoned_grant_is_free_again() {
    let mut allocator = allocator();
    let grant = allocator.allocate(&service("NodePort", json!({})), None).expect("range is empty");
    allocator.abandon(grant);
    assert!(allocator.addresses.is_empty() && allocator.ports.is_empty());
}

#[test]
fn a_change_of_type_frees_the_ports_after_the_write() {
    let mut allocator = allocator();
    let old = service("NodePort", json!({"clusterIP": "10.43.0.7", "ports": [{"port": 80, "nodePort": 30080}]}));
    allocator.hold(&old);
    let new = service("ClusterIP", json!({"clusterIP": "10.43.0.7"}));
    let grant = allocator.allocate(&new, Some(&old)).expect("it keeps its address");
    assert_eq!(allocator.ports.len(), 1, "reserved until the write took place");
    allocator.commit(grant);
    assert!(allocator.ports.is_empty());
    assert_eq!(allocator.addresses.len(), 1);
    allocator.release(&new);
    assert!(allocator.addresses.is_empty());
}

#[test]
fn a_full_range_says_so() {
    let mut allocator = of_ranges(&["10.0.0.0/30"], 30000..=30000);
    check(
        &mut allocator,
        &[service("NodePort", json!({})), service("ClusterIP", json!({})), service("NodePort", json!({}))],
        expect![[r#"
            "10.0.0.1" 30000
            "10.0.0.2" null
            spec.clusterIPs: Internal error: failed to allocate a serviceIP: range is full
            spec.ports[0].nodePort: Internal error: failed to allocate a nodePort: range is full
        "#]],
    );
}

#[test]
fn a_second_range_serves_when_the_first_is_full_and_a_lost_one_no_longer() {
    let mut allocator = of_ranges(&["10.0.0.0/30", "10.0.1.0/30"], 30000..=30000);
    allocator.hold_foreign(Ipv4Addr::new(10, 0, 0, 2));
    let any = || service("ClusterIP", json!({}));
    let wanted = |address: &str| service("ClusterIP", json!({"clusterIP": address}));
    check(
        &mut allocator,
        &[any(), wanted("10.0.0.2"), wanted("10.0.1.2"), any(), any(), wanted("10.0.2.1")],
        expect![[r#"
            "10.0.0.1" null
            spec.clusterIPs: Invalid value: ["10.0.0.2"]: failed to allocate IP 10.0.0.2: provided IP is already allocated
            "10.0.1.2" null
            "10.0.1.1" null
            spec.clusterIPs: Internal error: failed to allocate a serviceIP: range is full
            spec.clusterIPs: Invalid value: ["10.0.2.1"]: failed to allocate IP 10.0.2.1: the provided network does not match the current range
        "#]],
    );
    allocator.release_foreign(Ipv4Addr::new(10, 0, 0, 2));
    allocator.use_ranges(&networks(&["10.0.0.0/30"]));
    check(
        &mut allocator,
        &[any()],
        expect![[r#"
            "10.0.0.2" null
        "#]],
    );
}
