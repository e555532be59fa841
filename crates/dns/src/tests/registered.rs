use std::collections::BTreeSet;
use std::net::IpAddr;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{ExternalNode, ServiceInstance};
use portolan_catalog::{Catalog, Input, Snapshot};
use serde_json::{Value, json};

use super::{decode, query, shown, shown_record, sorted, zone};
use crate::forward::answer_records;
use crate::wire::{HEADER, Name, Record, record};
use crate::{NamesOf, Outcome, Zone};

/// A snapshot of objects.
fn objects(services: &[(&str, Value)], slices: &[(&str, Value)], instances: &[(&str, Value)]) -> Catalog {
    let mut catalog = Catalog::new();
    for (name, spec) in services {
        catalog.put(Input::Service(decode::<core::Service>(
            &json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec}),
        )));
    }
    for (name, endpoints) in slices {
        catalog.put(Input::EndpointSlice(decode::<EndpointSlice>(&json!({
            "metadata": {"namespace": "shop", "name": format!("{name}-{}", endpoints[0]["addresses"][0]),
                         "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]
        }))));
    }
    for (id, spec) in instances {
        let mut object = json!({
            "metadata": {"namespace": "shop", "name": id.to_lowercase().replace([':', '.'], "-")},
            "spec": {"instanceId": id, "ports": [{"name": "Http", "port": 8081}]}
        });
        object["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        catalog.put(Input::Registration(decode::<ServiceInstance>(&object)));
    }
    catalog
}

fn node(catalog: &mut Catalog, name: &str, zone: &str, address: &str) {
    catalog.put(Input::Node(decode::<core::Node>(&json!({
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": zone}},
        "status": {"addresses": [{"type": "InternalIP", "address": address}],
                   "conditions": [{"type": "Ready", "status": "True"}]}
    }))));
}

/// The records behind those of the answer, with their names.
fn additional(packet: &[u8]) -> Vec<String> {
    let (_, mut at) = Name::read(packet, HEADER).expect("a question");
    at += 4;
    let records = std::iter::from_fn(|| {
        let found = Record::read(packet, at)?;
        at = found.end;
        Some(found)
    });
    let records = records.skip(answer_records(packet).len()).filter(|found| found.kind != record::OPT);
    records
        .filter(|found| found.kind != record::SOA)
        .map(|found| format!("{:?} {}", found.name, shown_record(packet, &found)))
        .collect()
}

#[test]
fn names_of_what_registered_itself() {
    let critical = json!([{"id": "c", "type": "ttl", "ttlSeconds": 30}]);
    let mut catalog = objects(
        &[],
        &[],
        &[
            ("B-1", json!({"service": "Billing", "address": "192.0.2.1"})),
            ("m_1", json!({"service": "My_Svc", "address": "10.5.5.5", "weights": {"passing": 7, "warning": 1}})),
            ("10.0.0.9:app:80", json!({"service": "spring", "address": "192.0.2.3"})),
            ("h1", json!({"service": "host", "address": "one.example.org"})),
            ("h2", json!({"service": "host", "address": "two.example.org", "weights": {"passing": 3, "warning": 1}})),
            ("s1", json!({"service": "single", "address": "one.example.org"})),
            ("x1", json!({"service": "mixed", "address": "one.example.org"})),
            ("x2", json!({"service": "mixed", "address": "192.0.2.8"})),
            ("x3", json!({"service": "mixed", "address": "192.0.2.8", "ports": [{"name": "", "port": 9}]})),
            ("six", json!({"service": "six", "address": "2001:db8::1"})),
            ("placed", json!({"service": "placed", "address": "", "node": "north"})),
            ("d1", json!({"service": "down", "address": "192.0.2.9", "checks": critical})),
        ],
    );
    node(&mut catalog, "north", "z1", "203.0.113.1");
    let snapshot = catalog.snapshot();
    let cases = [
        // Names have no case, whatever they registered as.
        ("billing", record::A, "NOERROR; A 192.0.2.1"),
        ("BILLING", record::A, "NOERROR; A 192.0.2.1"),
        ("b-1.billing", record::A, "NOERROR; A 192.0.2.1"),
        ("my_svc", record::SRV, "NOERROR; SRV 8081 m_1.my_svc.shop.svc.cluster.local."),
        ("m_1.My_Svc", record::A, "NOERROR; A 10.5.5.5"),
        ("_http._tcp.Billing", record::SRV, "NOERROR; SRV 8081 b-1.billing.shop.svc.cluster.local."),
        ("_http._udp.billing", record::SRV, "NXDOMAIN"),
        // An id that is no label: the address stands for it.
        ("spring", record::SRV, "NOERROR; SRV 8081 192-0-2-3.spring.shop.svc.cluster.local."),
        ("192-0-2-3.spring", record::A, "NOERROR; A 192.0.2.3"),
        ("192-0-2-4.spring", record::A, "NXDOMAIN"),
        // Host names.
        ("single", record::A, "NOERROR; CNAME one.example.org."),
        ("single", record::AAAA, "NOERROR; CNAME one.example.org."),
        ("single", record::SRV, "NOERROR; SRV 8081 one.example.org."),
        ("single", record::TXT, "NOERROR"),
        ("host", record::SRV, "NOERROR; SRV 8081 one.example.org.; SRV 8081 two.example.org."),
        ("h1.host", record::A, "NOERROR; CNAME one.example.org."),
        ("h2.host", record::A, "NOERROR; CNAME two.example.org."),
        ("_http._tcp.host", record::SRV, "NOERROR; SRV 8081 one.example.org.; SRV 8081 two.example.org."),
        // Addresses go before aliases, and each is told once.
        ("mixed", record::A, "NOERROR; A 192.0.2.8"),
        ("mixed", record::AAAA, "NOERROR; CNAME one.example.org."),
        ("x1.mixed", record::A, "NOERROR; CNAME one.example.org."),
        // IPv6.
        ("six", record::AAAA, "NOERROR; AAAA 2001:db8::1"),
        ("six", record::A, "NOERROR"),
        ("six.six", record::AAAA, "NOERROR; AAAA 2001:db8::1"),
        ("2001-db8--1.six", record::AAAA, "NOERROR; AAAA 2001:db8::1"),
        ("six", record::SRV, "NOERROR; SRV 8081 six.six.shop.svc.cluster.local."),
        // One without an address has its machine's.
        ("placed", record::A, "NOERROR; A 203.0.113.1"),
        ("down", record::A, "NXDOMAIN"),
        ("nope.billing", record::A, "NXDOMAIN"),
        ("nope", record::A, "NXDOMAIN"),
    ];
    let mut out = Vec::new();
    for (name, kind, expected) in cases {
        let name = format!("{name}.shop.svc.cluster.local");
        let outcome = zone().answer(&query(&name, kind, None), &snapshot, None, &mut out);
        assert_eq!(matches!(outcome, Outcome::Alias(..)), expected.contains("CNAME"), "{name}: {outcome:?}");
        assert_eq!(sorted(&out), expected, "{name} {kind}");
    }
    // Of several aliases each is told to somebody.
    let (mut packet, mut told) = (query("host.shop.svc.cluster.local", record::A, None), BTreeSet::new());
    for id in 0..4_u16 {
        packet[..2].copy_from_slice(&id.to_be_bytes());
        zone().answer(&packet, &snapshot, None, &mut out);
        told.insert(shown(&out));
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn srv_records_of_what_registered_itself_carry_weights_and_addresses() {
    let weights = json!({"passing": 7, "warning": 2});
    let sick = json!([{"id": "c", "type": "ttl", "ttlSeconds": 30, "initialHealth": "warning"}]);
    let snapshot = objects(
        &[],
        &[],
        &[
            ("a", json!({"service": "web", "address": "192.0.2.1", "weights": weights})),
            ("b", json!({"service": "web", "address": "2001:db8::2", "weights": weights, "checks": sick})),
            ("c", json!({"service": "web", "address": "example.org"})),
        ],
    )
    .snapshot();
    let mut out = Vec::new();
    zone().answer(&query("web.shop.svc.cluster.local", record::SRV, Some(1232)), &snapshot, None, &mut out);
    let weight = |found: &Record| u16::from_be_bytes([out[found.data + 2], out[found.data + 3]]);
    let mut told: Vec<String> =
        answer_records(&out).iter().map(|found| format!("{} {}", weight(found), shown_record(&out, found))).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "1 SRV 8081 example.org.",
            "2 SRV 8081 b.web.shop.svc.cluster.local.",
            "7 SRV 8081 a.web.shop.svc.cluster.local."
        ]
    );
    let mut glue = additional(&out);
    glue.sort_unstable();
    assert_eq!(glue, ["a.web.shop.svc.cluster.local. A 192.0.2.1", "b.web.shop.svc.cluster.local. AAAA 2001:db8::2"]);
}

#[test]
fn services_and_endpoints_have_addresses_of_both_families() {
    let ports = json!([{"name": "http", "port": 80}]);
    let (four, six) = ("10.42.0.2", "2001:db8:42::2");
    let endpoint = |address: &str, hostname: Value| json!([{"addresses": [address], "hostname": hostname}]);
    let snapshot = objects(
        &[
            (
                "both",
                json!({"clusterIP": "10.43.0.20", "clusterIPs": ["10.43.0.20", "2001:db8:43::20"], "ports": ports}),
            ),
            ("db", json!({"clusterIP": "None", "ports": ports})),
            ("plain", json!({"clusterIP": "None", "ports": ports})),
        ],
        &[
            ("db", endpoint(four, json!("db-0"))),
            ("db", endpoint(six, json!("db-0"))),
            ("plain", endpoint("2001:db8:42::9", Value::Null)),
        ],
        &[],
    )
    .snapshot();
    let db_0 = "db-0.db.shop.svc.cluster.local.";
    let cases = [
        ("both", record::AAAA, "NOERROR; AAAA 2001:db8:43::20", ""),
        (
            "both",
            record::SRV,
            "NOERROR; SRV 80 both.shop.svc.cluster.local.",
            "both.shop.svc.cluster.local. A 10.43.0.20; both.shop.svc.cluster.local. AAAA 2001:db8:43::20",
        ),
        ("db", record::A, "NOERROR; A 10.42.0.2", ""),
        ("db", record::AAAA, "NOERROR; AAAA 2001:db8:42::2", ""),
        ("db-0.db", record::A, "NOERROR; A 10.42.0.2", ""),
        ("db-0.db", record::AAAA, "NOERROR; AAAA 2001:db8:42::2", ""),
        (
            "_http._tcp.db",
            record::SRV,
            &format!("NOERROR; SRV 8080 {db_0}"),
            &format!("{db_0} A 10.42.0.2; {db_0} AAAA 2001:db8:42::2"),
        ),
        (
            "plain",
            record::SRV,
            "NOERROR; SRV 8080 2001-db8-42--9.plain.shop.svc.cluster.local.",
            "2001-db8-42--9.plain.shop.svc.cluster.local. AAAA 2001:db8:42::9",
        ),
        ("2001-db8-42--9.plain", record::AAAA, "NOERROR; AAAA 2001:db8:42::9", ""),
    ];
    let mut out = Vec::new();
    for (name, kind, expected, glue) in cases {
        let name = format!("{name}.shop.svc.cluster.local");
        zone().answer(&query(&name, kind, Some(1232)), &snapshot, None, &mut out);
        assert_eq!(sorted(&out), expected, "{name} {kind}");
        let mut found = additional(&out);
        found.sort_unstable();
        assert_eq!(found.join("; "), glue, "{name} {kind}");
    }
}

#[test]
fn what_is_near_comes_first_in_another_order_for_each() {
    let endpoint = |last: u8, node: &str| json!({"addresses": [format!("10.42.0.{last}")], "nodeName": node});
    let endpoints: Vec<Value> =
        (0..8).map(|last| endpoint(last, if last % 2 == 0 { "here" } else { "there" })).collect();
    let place = |zone: &str| json!({"region": "r", "zone": zone});
    let ids: Vec<String> = (0..8).map(|number| format!("w{number}")).collect();
    let instances: Vec<(&str, Value)> = ids
        .iter()
        .enumerate()
        .map(|(at, id)| {
            let (zone, address) = (if at % 2 == 0 { "z1" } else { "z2" }, format!("192.0.2.{at}"));
            (id.as_str(), json!({"service": "old", "address": address, "locality": place(zone)}))
        })
        .collect();
    let headless = json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]});
    let mut catalog = objects(&[("db", headless)], &[("db", json!(endpoints))], &instances);
    node(&mut catalog, "here", "z1", "203.0.113.1");
    node(&mut catalog, "there", "z2", "203.0.113.2");
    let snapshot = catalog.snapshot();
    let zone = |node: &str| Zone { node: node.into(), ..zone() };
    // Whose machine it is, and the rest by two of the addresses of what is near; none where nothing is known.
    for (node, near) in [("here", Some(0)), ("there", Some(1)), ("elsewhere", None)] {
        for name in ["db", "old"] {
            let name = format!("{name}.shop.svc.cluster.local");
            for kind in [record::A, record::SRV] {
                let (mut packet, mut out) = (query(&name, kind, Some(4096)), Vec::new());
                let mut firsts = BTreeSet::new();
                for id in 0..32_u16 {
                    packet[..2].copy_from_slice(&id.to_be_bytes());
                    zone(node).answer(&packet, &snapshot, None, &mut out);
                    let records = answer_records(&out);
                    let parity = |found: &Record| {
                        let text = shown_record(&out, found);
                        let label = text.split(' ').next_back().expect("data").split(".shop").next().expect("a label");
                        let label = label.split_once(".old").or(label.split_once(".db")).map_or(label, |(id, _)| id);
                        label.bytes().last().expect("a digit") % 2
                    };
                    let order: Vec<u8> = records.iter().map(parity).collect();
                    assert_eq!(order.len(), 8, "{name} {kind}");
                    if let Some(near) = near {
                        assert!(order[..4].iter().all(|it| *it == near), "{node} {name} {kind}: {order:?}");
                    }
                    firsts.insert(shown_record(&out, &records[0]));
                }
                assert_eq!(firsts.len(), if near.is_some() { 4 } else { 8 }, "{node} {name} {kind}");
            }
        }
    }
}

#[test]
fn addresses_have_the_names_that_those_who_ask_expect() {
    let six = "2001:db8::5";
    let mut catalog = objects(
        &[
            ("web", json!({"clusterIP": "10.43.0.20", "ports": [{"name": "http", "port": 80}]})),
            ("chosen", json!({"clusterIP": "10.43.0.21", "ports": [{"name": "http", "port": 80}]})),
        ],
        &[("chosen", json!([{"addresses": ["10.5.5.9"]}]))],
        &[
            ("m-1", json!({"service": "My_Svc", "address": "10.5.5.5"})),
            ("m-2", json!({"service": "My_Svc", "address": "10.5.5.5"})),
            ("10.0.0.9:app:80", json!({"service": "spring", "address": "10.5.5.6"})),
            ("six", json!({"service": "six", "address": six})),
            ("vm", json!({"service": "on-vm", "address": "10.5.5.7"})),
            ("c-1", json!({"service": "chosen", "address": "10.5.5.9"})),
            ("local", json!({"service": "local", "address": "127.0.0.1"})),
            ("twice", json!({"service": "pods", "address": "10.42.9.9"})),
        ],
    );
    catalog.put(Input::Pod(decode::<core::Pod>(&json!({
        "metadata": {"namespace": "shop", "name": "p"}, "status": {"podIP": "10.42.9.9"}
    }))));
    node(&mut catalog, "north", "z1", "203.0.113.1");
    for (name, address) in [("vm.seven", "10.5.5.7"), ("vm8", "10.5.5.8")] {
        catalog.put(Input::ExternalNode(decode::<ExternalNode>(
            &json!({"metadata": {"name": name}, "spec": {"node": name, "address": address}}),
        )));
    }
    let snapshot = catalog.snapshot();
    let pod = "NOERROR; PTR 10-42-9-9.shop.pod.cluster.local.";
    let web = "NOERROR; PTR web.shop.svc.cluster.local.";
    // By the cluster's clients, and by Consul's.
    let cases = [
        ("10.43.0.20", web, web),
        ("10.42.9.9", pod, pod),
        (
            "10.5.5.5",
            "NOERROR; PTR m-1.my_svc.shop.svc.cluster.local.; PTR m-2.my_svc.shop.svc.cluster.local.",
            "NOERROR; PTR my_svc-shop.service.dc1.consul.",
        ),
        (
            "10.5.5.6",
            "NOERROR; PTR 10-5-5-6.spring.shop.svc.cluster.local.",
            "NOERROR; PTR spring-shop.service.dc1.consul.",
        ),
        (six, "NOERROR; PTR six.six.shop.svc.cluster.local.", "NOERROR; PTR six-shop.service.dc1.consul."),
        // A machine's own name, unless pods know an instance there.
        ("10.5.5.7", "NOERROR; PTR vm.on-vm.shop.svc.cluster.local.", "NOERROR; PTR vm.seven.node.dc1.consul."),
        ("10.5.5.8", "NOERROR; PTR vm8.node.dc1.consul.", "NOERROR; PTR vm8.node.dc1.consul."),
        // Names below a service with an address of its own would lead nowhere.
        ("10.5.5.9", "NOERROR; PTR chosen-shop.service.dc1.consul.", "NOERROR; PTR chosen-shop.service.dc1.consul."),
        ("203.0.113.1", "elsewhere", "NOERROR; PTR north.node.dc1.consul."),
        ("127.0.0.1", "elsewhere", "NOERROR; PTR local-shop.service.dc1.consul."),
        ("10.5.5.10", "elsewhere", "elsewhere"),
        ("2001:db8::6", "elsewhere", "elsewhere"),
        ("10.42.9.10", "NXDOMAIN", "NXDOMAIN"),
    ];
    let mut out = Vec::new();
    for (address, of_cluster, of_consul) in cases {
        let address: IpAddr = address.parse().expect("an address");
        let name = match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(address) => {
                let digits = format!("{:032x}", address.to_bits());
                digits.chars().rev().map(|digit| format!("{digit}.")).collect::<String>() + "ip6.arpa"
            }
        };
        for (names_of_addresses, expected) in [(NamesOf::Cluster, of_cluster), (NamesOf::Consul, of_consul)] {
            let zone = Zone { names_of_addresses, ..zone() };
            let found = match zone.answer(&query(&name, record::PTR, None), &snapshot, None, &mut out) {
                Outcome::Forward(_) => "elsewhere".to_owned(),
                _ => sorted(&out),
            };
            assert_eq!(found, expected, "{address} {names_of_addresses:?}");
            if expected.contains("PTR") {
                zone.answer(&query(&name, record::A, None), &snapshot, None, &mut out);
                assert_eq!(shown(&out), "NOERROR", "{address} has a name but no address of its own");
            }
        }
    }
    // What a name says leads back to the address.
    zone().answer(&query("10-5-5-6.spring.shop.svc.cluster.local", record::A, None), &snapshot, None, &mut out);
    assert_eq!(shown(&out), "NOERROR; A 10.5.5.6");
    // Nothing is denied before it is known.
    let packet = query("10.9.42.10.in-addr.arpa", record::PTR, None);
    zone().answer(&packet, &Snapshot::default(), None, &mut out);
    assert_eq!(shown(&out), "SERVFAIL");
}
