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
    let spec = json!({"type": kind, "ports": [{"port": 80, "protocol": "TCP"}]});
    let mut service = json!({"metadata": {"name": "s"}, "spec": spec});
    for (key, value) in more.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
        if key == "clusterIP" {
            service["spec"]["clusterIPs"] = json!([value]);
        }
    }
    service
}

fn told(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Invalid(error) => format!("{error}\n"),
        Refusal::Internal(why) => format!("500 {why}\n"),
    }
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
            Err(refusal) => lines += &told(&refusal),
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
            spec.clusterIPs: Invalid value: ["10.9.0.1"]: failed to allocate IP 10.9.0.1: the provided network does not match the current range
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
    allocator.compare([&old], 0);
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
            500 failed to allocate a serviceIP for Service "s": range is full
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
            500 failed to allocate a serviceIP for Service "s": range is full
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

#[test]
fn a_port_serves_one_service_whatever_its_protocols() {
    let of =
        |protocol: &str| service("NodePort", json!({"ports": [{"port": 53, "protocol": protocol, "nodePort": 30053}]}));
    check(
        &mut allocator(),
        &[
            of("TCP"),
            of("UDP"),
            service("NodePort", json!({"ports": [{"port": 80, "nodePort": 30080}, {"port": 81, "nodePort": 30080}]})),
            service("NodePort", json!({"ports": [{"port": 53}, {"port": 53, "nodePort": 30054}, {"port": 80}]})),
            service("ClusterIP", json!({"clusterIP": "10.43.0.0"})),
            service("NodePort", json!({"clusterIP": "10.43.0.9"})),
        ],
        expect![[r#"
            "10.43.1.0" 30053
            spec.ports[0].nodePort: Invalid value: 30053: provided port is already allocated
            spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated
            "10.43.1.3" 30054,30054,30086
            spec.clusterIPs: Invalid value: ["10.43.0.0"]: failed to allocate IP 10.43.0.0: the provided IP (10.43.0.0) is not in the valid range. The range of valid IPs is 10.43.0.0/16
            "10.43.0.9" 30087
        "#]],
    );
}

#[test]
fn a_port_for_health_stays_and_cannot_be_one_of_others() {
    let mut allocator = allocator();
    let balanced = |port: u32| {
        let ports = json!([{"port": 80, "nodePort": 30080}]);
        service("LoadBalancer", json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": port, "ports": ports}))
    };
    let mut old = balanced(0);
    let grant = allocator.allocate(&old, None).expect("there is one");
    grant.apply(&mut old);
    allocator.commit(grant);
    assert_eq!(old["spec"]["healthCheckNodePort"], 30086);
    let refusal = allocator.allocate(&balanced(30086), None).expect_err("it is taken");
    assert_eq!(told(&refusal), "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated\n");
    let mut other = balanced(30086);
    other["spec"]["ports"][0]["nodePort"] = 0.into();
    let refusal = allocator.allocate(&other, None).expect_err("it is taken");
    expect![[r#"
        500 failed to allocate requested HealthCheck NodePort 30086: provided port is already allocated
    "#]]
    .assert_eq(&told(&refusal));
    // A new version with another port is for validation to refuse.
    let grant = allocator.allocate(&balanced(40000), Some(&old)).expect("nothing is needed");
    allocator.abandon(grant);
    let mut more = old.clone();
    more["spec"]["ports"] = json!([{"port": 80, "nodePort": 30080}, {"port": 80, "protocol": "UDP"}]);
    let grant = allocator.allocate(&more, Some(&old)).expect("there is one more");
    grant.apply(&mut more);
    assert_ne!(more["spec"]["ports"][1]["nodePort"], 30080, "only new services share a number");
}

#[test]
fn what_no_service_has_for_some_time_is_free_again() {
    let mut allocator = Allocator::new(30000..=30010);
    allocator.use_ranges(&["10.43.0.0/24".parse().expect("a network")]);
    let service = |address: &str, port: u16| {
        json!({"metadata": {"name": "a"}, "spec": {
            "type": "NodePort", "clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "nodePort": port}],
        }})
    };
    let (first, second) = (service("10.43.0.7", 30001), service("10.43.0.8", 30002));
    let may_have = |allocator: &mut Allocator, service: &Value| match allocator.allocate(service, None) {
        Ok(grant) => {
            allocator.abandon(grant);
            true
        }
        Err(_) => false,
    };
    allocator.compare([&first, &second], 0);
    // The first is gone without a word; that of the second is heard of in between.
    let steps: [&[&Value]; 5] = [&[&second], &[], &[&second], &[&second], &[&second]];
    let expected = [(false, false), (false, false), (true, false), (true, false), (true, false)];
    for (step, (services, expected)) in steps.iter().zip(expected).enumerate() {
        let returns = allocator.returns();
        allocator.compare(services.iter().copied(), returns);
        assert_eq!((may_have(&mut allocator, &first), may_have(&mut allocator, &second)), expected, "step {step}");
    }
    // What was given back while services were read is not taken over again.
    let returns = allocator.returns();
    allocator.release(&second);
    allocator.compare([&second], returns);
    assert!(may_have(&mut allocator, &second));
}

#[test]
fn what_something_else_gave_back_is_not_held_again() {
    let [first, second, third] = [2, 3, 4].map(|last| Ipv4Addr::new(10, 43, 0, last));
    let mut allocator = allocator();
    let held = |allocator: &Allocator| [first, second, third].map(|address| allocator.foreign.contains(&address));
    let returns = allocator.returns();
    allocator.hold_all_foreign([first, second].into(), returns);
    assert_eq!(held(&allocator), [true, true, false]);
    // It was read before one of them was deleted.
    allocator.release_foreign(first);
    allocator.hold_all_foreign([first, second, third].into(), returns);
    assert_eq!(held(&allocator), [false, true, false]);
    let returns = allocator.returns();
    allocator.hold_all_foreign([third].into(), returns);
    assert_eq!(held(&allocator), [false, false, true]);
}
