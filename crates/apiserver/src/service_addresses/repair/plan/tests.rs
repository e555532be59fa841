use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

const NOW: &str = "2026-01-02T03:04:05Z";

fn born(seconds_ago: i64) -> String {
    let now: Timestamp = NOW.parse().expect("a time");
    (now - std::time::Duration::from_secs(seconds_ago.unsigned_abs())).to_string()
}

/// `name address [spec as YAML]`, each an hour old.
fn service(text: &str) -> Value {
    let mut words = text.splitn(3, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (name, address) = (next(), next());
    let mut spec: Value = serde_yaml_ng::from_str(&format!("{{{}}}", next())).expect("YAML");
    spec["clusterIP"] = address.into();
    json!({"metadata": {"name": name, "namespace": "n", "creationTimestamp": born(3600)}, "spec": spec})
}

/// `address parent seconds [labels]`: a parent of another kind has a group before it. The labels are both unless
/// others are named.
fn address(text: &str) -> (Ipv4Addr, Value) {
    let words: Vec<&str> = text.split(' ').collect();
    let (group, name) = words[1].split_once('/').unwrap_or(("", words[1]));
    let resource = if group.is_empty() { "services" } else { "xs" };
    let all = |label: &str| words.get(3).is_none_or(|named| named.contains(label));
    let mut object = json!({
        "metadata": {"name": words[0], "labels": {}, "creationTimestamp": born(words[2].parse().expect("seconds"))},
        "spec": {"parentRef": {"group": group, "resource": resource, "namespace": "n", "name": name}},
    });
    for (named, (label, value)) in [("managed", MANAGED_BY), ("family", FAMILY)] {
        if all(named) {
            object["metadata"]["labels"][label] = value.into();
        }
    }
    (words[0].parse().expect("an address"), object)
}

fn check(services: &[&str], addresses: &[&str], expected: Expect) {
    let seen = Seen {
        services: services.iter().map(|text| service(text)).collect(),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        ranges: vec!["10.43.0.0/24".parse().expect("a network")],
        node_ports: 30000..=30010,
    };
    let shown = |repair: Repair| {
        let subject = match repair.subject {
            Subject::Service(index) => text(&seen.services[index]["metadata"]["name"]).to_owned(),
            Subject::Address(address) => address.to_string(),
        };
        let told = repair.told.map_or_else(|| "-".to_owned(), |told| format!("{}: {}", told.reason, told.note));
        format!("{subject} {:?} {told}", repair.action)
    };
    let lines: Vec<String> = plan(&seen, NOW.parse().expect("a time")).into_iter().map(shown).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn addresses_of_services_are_said_to_be_theirs() {
    check(
        &["a 10.43.0.2", "b None", "c 10.43.0.3", "d 10.43.0.4"],
        &["10.43.0.2 a 9", "10.43.0.3 c 9 managed", "10.43.0.4 d 9 family"],
        expect![[r#"
            c Write(10.43.0.3) -
            d Write(10.43.0.4) -"#]],
    );
    check(
        &["a 10.43.0.2", "b 10.43.0.2", "c 10.43.0.3", "d 10.44.0.1", "e 10.43.0.0", "f 10.43.0.255"],
        &["10.43.0.3 x.io/y 9 none"],
        expect![[r#"
            a Write(10.43.0.2) ClusterIPNotAllocated: Cluster IP [IPv4]: 10.43.0.2 is not allocated; repairing
            b Tell ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.43.0.2 was assigned to multiple services; please recreate service
            c Write(10.43.0.3) ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.43.0.3 for Service n/c has a wrong reference; repairing
            d Tell ClusterIPOutOfRange: Cluster IP [IPv4]: 10.44.0.1 is not within any configured Service CIDR; please recreate service
            e Tell ClusterIPOutOfRange: Cluster IP [IPv4]: 10.43.0.0 is not within any configured Service CIDR; please recreate service
            f Tell ClusterIPOutOfRange: Cluster IP [IPv4]: 10.43.0.255 is not within any configured Service CIDR; please recreate service"#]],
    );
    check(
        &["a 10.43.0.2", "b 10.43.0.2", "c 10.43.0.3", "d 10.43.0.4"],
        &["10.43.0.2 b 9", "10.43.0.3 gone 9", "10.43.0.4 a 9"],
        expect![[r#"
            a Tell ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.43.0.2 was assigned to multiple services; please recreate service
            c Write(10.43.0.3) ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.43.0.3 for Service n/c has a wrong reference; repairing
            10.43.0.4 Remove IPAddressWrongReference: IPAddress: 10.43.0.4 for Service n/a has a wrong reference; cleaning up"#]],
    );
}

#[test]
fn addresses_without_a_service_go_in_time() {
    check(
        &["a 10.43.0.2", "out None type: ExternalName"],
        &[
            "10.43.0.2 a 9",
            "10.43.0.3 gone 59",
            "10.43.0.4 gone 60",
            "10.43.0.5 gone 60 family",
            "10.43.0.6 x.io/y 0",
            "10.43.0.7 x.io/y 99 none",
            "10.43.0.8 a 4",
            "10.43.0.9 a 5",
            "10.43.0.10 out 59",
            "10.43.0.11 out 60",
            "10.43.0.12 a 7200",
        ],
        expect![[r#"
            10.43.0.4 Remove IPAddressNotAllocated: IPAddress: 10.43.0.4 for Service n/gone appears to have leaked: cleaning up
            10.43.0.6 Remove IPAddressNotAllocated: IPAddress 10.43.0.6 appears to have been modified, not referencing a Service &ParentReference{Group:x.io,Resource:xs,Namespace:n,Name:y,}: cleaning up
            10.43.0.9 Remove IPAddressWrongReference: IPAddress: 10.43.0.9 for Service n/a has a wrong reference; cleaning up
            10.43.0.11 Remove IPAddressWrongReference: IPAddress: 10.43.0.11 for Service n/out has a wrong reference; cleaning up
            10.43.0.12 Remove IPAddressWrongReference: IPAddress: 10.43.0.12 for Service n/a has a wrong reference; cleaning up"#]],
    );
}

#[test]
fn ports_of_two_services_or_of_none_are_told() {
    check(
        &[
            "a None ports: [{nodePort: 30001, protocol: TCP}, {nodePort: 30001, protocol: UDP}]",
            "b None ports: [{nodePort: 30001, protocol: SCTP}, {nodePort: 30011, protocol: TCP}, {port: 1}]",
            "c None ports: [{nodePort: 30002, protocol: UDP}], healthCheckNodePort: 30002",
            "d None ports: [{nodePort: 30003, protocol: TCP}], healthCheckNodePort: 30003",
        ],
        &[],
        expect![[r#"
            b Tell PortAlreadyAllocated: Port 30001 was assigned to multiple services; please recreate service
            b Tell PortOutOfRange: Port 30011 is not within the port range 30000-30010; please recreate service
            d Tell PortAlreadyAllocated: Port 30003 was assigned to multiple services; please recreate service"#]],
    );
}

#[test]
fn what_others_have_is_known() {
    let seen = Seen {
        services: vec![service("a 10.43.0.2")],
        addresses: ["10.43.0.2 x.io/y 9 none", "10.43.0.3 x.io/y 9 none", "10.43.0.4 a 9"].map(address).into(),
        ranges: Vec::new(),
        node_ports: 30000..=30010,
    };
    assert_eq!(foreign(&seen), HashSet::from(["10.43.0.3".parse().expect("an address")]));
}
