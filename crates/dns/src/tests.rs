use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{Object, ServiceInstance};
use portolan_base::Shutdown;
use portolan_catalog::{Catalog, Input, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;

use crate::forward::answer_records;
use crate::wire::{HEADER, Name, Record, record, write_name};
use crate::{Config, ConsulZone, Forwarder, Listener, NamesOf, Outcome, Sockets, Upstreams, Zone, serve};

pub(crate) fn decode<K: Object>(value: &Value) -> Arc<K> {
    Arc::new(K::decode(value.to_string().as_bytes()).expect("the test's object fits its kind"))
}

fn cluster(endpoints: usize) -> Arc<Snapshot> {
    let mut catalog = Catalog::new();
    let mut service = |name: &str, spec: Value| {
        catalog.put(Input::Service(decode::<core::Service>(
            &json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec}),
        )));
    };
    let ports = json!([{"name": "http", "port": 80}]);
    service("web", json!({"clusterIP": "10.43.0.20", "ports": ports}));
    service("db", json!({"clusterIP": "None", "ports": ports}));
    service("empty", json!({"clusterIP": "None"}));
    service("elsewhere", json!({"type": "ExternalName", "externalName": "example.org"}));
    service("near", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"}));
    service("first", json!({"type": "ExternalName", "externalName": "elsewhere.shop.svc.cluster.local"}));
    service("round", json!({"type": "ExternalName", "externalName": "round.shop.svc.cluster.local"}));
    let addresses: Vec<Value> = (0..endpoints)
        .map(|number| {
            let address = format!("10.42.{}.{}", number / 250, 2 + number % 250);
            let hostname = if number == 0 { json!("db-0") } else { Value::Null };
            json!({"addresses": [address], "hostname": hostname, "conditions": {"ready": number != 1}})
        })
        .collect();
    catalog.put(Input::EndpointSlice(decode::<EndpointSlice>(&json!({
        "metadata": {"namespace": "shop", "name": "db-x", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "endpoints": addresses, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]
    }))));
    catalog.put(Input::Pod(decode::<core::Pod>(&json!({
        "metadata": {"namespace": "shop", "name": "p"}, "status": {"podIP": "10.42.9.9"}
    }))));
    catalog.put(Input::Registration(decode::<ServiceInstance>(&json!({
        "metadata": {"namespace": "shop", "name": "old-1"},
        "spec": {"service": "old", "instanceId": "old-1", "address": "192.0.2.7", "ports": [{"name": "http", "port": 8081}]}
    }))));
    catalog.put(Input::Registration(decode::<ServiceInstance>(&json!({
        "metadata": {"namespace": "shop", "name": "far-1"},
        "spec": {"service": "far", "instanceId": "far-1", "address": "example.org", "ports": []}
    }))));
    catalog.snapshot()
}

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

fn zone() -> Zone {
    let mut zone = Zone::new("cluster.local").expect("a domain");
    zone.consul = ConsulZone::new("consul", "dc1", "".into());
    zone.reverse = vec![([10, 42, 0, 0].into(), 16), ([10, 43, 0, 0].into(), 16)];
    zone
}

pub(crate) fn query(name: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    if let Some(size) = edns {
        packet.extend_from_slice(&[0, 0, 41]);
        packet.extend_from_slice(&size.to_be_bytes());
        packet.extend_from_slice(&[0; 6]);
    }
    packet
}

/// The answer in one line: code, then the records of the answer section.
pub(crate) fn shown(packet: &[u8]) -> String {
    let code = match packet[3] & 0x0f {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        _ => "REFUSED",
    };
    let records = answer_records(packet);
    let texts = records.iter().map(|found| format!("; {}", shown_record(packet, found)));
    std::iter::once(code.to_owned()).chain(texts).collect()
}

/// The answer in one line, its records in order: which comes first is up to chance.
pub(crate) fn sorted(packet: &[u8]) -> String {
    let line = shown(packet);
    let mut parts: Vec<&str> = line.split("; ").collect();
    parts[1..].sort_unstable();
    parts.join("; ")
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

pub(crate) fn shown_record(packet: &[u8], found: &Record) -> String {
    let data = &packet[found.data..found.end];
    let name = |at: usize| format!("{:?}", Name::read(packet, at).expect("a name").0);
    match found.kind {
        record::A => format!("A {}.{}.{}.{}", data[0], data[1], data[2], data[3]),
        record::AAAA => {
            let octets: [u8; 16] = data.try_into().expect("sixteen bytes");
            format!("AAAA {}", std::net::Ipv6Addr::from(octets))
        }
        record::SRV => format!("SRV {} {}", u16::from_be_bytes([data[4], data[5]]), name(found.data + 6)),
        record::PTR => format!("PTR {}", name(found.data)),
        record::CNAME => format!("CNAME {}", name(found.data)),
        record::TXT => format!("TXT {}", data[1..].escape_ascii()),
        record::SOA => format!("SOA {}", name(found.data)),
        record::NS => format!("NS {}", name(found.data)),
        other => format!("TYPE{other}"),
    }
}

#[test]
fn names_of_the_cluster() {
    let snapshot = cluster(3);
    let cases = [
        ("web.shop.svc.cluster.local", record::A, "NOERROR; A 10.43.0.20"),
        ("WEB.Shop.svc.Cluster.LOCAL", record::A, "NOERROR; A 10.43.0.20"),
        ("web.shop.svc.cluster.local", record::AAAA, "NOERROR"),
        ("web.shop.svc.cluster.local", record::SRV, "NOERROR; SRV 80 web.shop.svc.cluster.local."),
        ("_http._tcp.web.shop.svc.cluster.local", record::SRV, "NOERROR; SRV 80 web.shop.svc.cluster.local."),
        ("_http._udp.web.shop.svc.cluster.local", record::SRV, "NXDOMAIN"),
        ("_nope._tcp.web.shop.svc.cluster.local", record::SRV, "NXDOMAIN"),
        ("nope.shop.svc.cluster.local", record::A, "NXDOMAIN"),
        ("web.nope.svc.cluster.local", record::A, "NXDOMAIN"),
        ("web.svc.cluster.local", record::A, "NXDOMAIN"),
        ("a.b.c.d.e.f.g.cluster.local", record::A, "NXDOMAIN"),
        // Headless: ready endpoints, by host name or by address; 0x1234 % 2 begins with the first.
        ("db.shop.svc.cluster.local", record::A, "NOERROR; A 10.42.0.2; A 10.42.0.4"),
        (
            "db.shop.svc.cluster.local",
            record::SRV,
            "NOERROR; SRV 8080 db-0.db.shop.svc.cluster.local.; SRV 8080 10-42-0-4.db.shop.svc.cluster.local.",
        ),
        ("db-0.db.shop.svc.cluster.local", record::A, "NOERROR; A 10.42.0.2"),
        ("10-42-0-4.db.shop.svc.cluster.local", record::A, "NOERROR; A 10.42.0.4"),
        ("10-42-0-3.db.shop.svc.cluster.local", record::A, "NXDOMAIN"),
        ("10-43-0-20.web.shop.svc.cluster.local", record::A, "NXDOMAIN"),
        ("empty.shop.svc.cluster.local", record::A, "NXDOMAIN"),
        // Aliases; the target is added by the server.
        ("elsewhere.shop.svc.cluster.local", record::A, "NOERROR; CNAME example.org."),
        // Pods.
        ("10-42-9-9.shop.pod.cluster.local", record::A, "NOERROR; A 10.42.9.9"),
        ("10-42-9-9.other.pod.cluster.local", record::A, "NXDOMAIN"),
        ("10-42-9-8.shop.pod.cluster.local", record::A, "NXDOMAIN"),
        // Instances that registered themselves.
        ("old.shop.svc.cluster.local", record::A, "NOERROR; A 192.0.2.7"),
        ("old-1.old.shop.svc.cluster.local", record::A, "NOERROR; A 192.0.2.7"),
        ("old-2.old.shop.svc.cluster.local", record::A, "NXDOMAIN"),
        ("_http._tcp.old.shop.svc.cluster.local", record::SRV, "NOERROR; SRV 8081 old-1.old.shop.svc.cluster.local."),
        // The zone itself.
        ("dns-version.cluster.local", record::TXT, "NOERROR; TXT 1.1.0"),
        ("cluster.local", record::SOA, "NOERROR; SOA ns.dns.cluster.local."),
        ("cluster.local", record::NS, "NOERROR; NS ns.dns.cluster.local."),
        ("svc.cluster.local", record::A, "NOERROR"),
        // Backwards.
        ("20.0.43.10.in-addr.arpa", record::PTR, "NOERROR; PTR web.shop.svc.cluster.local."),
        ("2.0.42.10.in-addr.arpa", record::PTR, "NOERROR; PTR db-0.db.shop.svc.cluster.local."),
        ("4.0.42.10.in-addr.arpa", record::PTR, "NOERROR; PTR 10-42-0-4.db.shop.svc.cluster.local."),
        ("9.9.42.10.in-addr.arpa", record::PTR, "NOERROR; PTR 10-42-9-9.shop.pod.cluster.local."),
        ("99.0.43.10.in-addr.arpa", record::PTR, "NXDOMAIN"),
        ("web.shop.svc.cluster.local", 252, "REFUSED"),
    ];
    let mut out = Vec::new();
    for (name, kind, expected) in cases {
        let outcome = zone().answer(&query(name, kind, None), &snapshot, None, &mut out);
        assert!(matches!(outcome, Outcome::Answered | Outcome::Alias(..)), "{name}: {outcome:?}");
        assert_eq!(shown(&out), expected, "{name} {kind}");
    }
    for name in ["example.org", "local", "1.0.0.127.in-addr.arpa", ""] {
        let outcome = zone().answer(&query(name, record::A, None), &snapshot, None, &mut out);
        assert!(matches!(outcome, Outcome::Forward(_)), "{name}: {outcome:?}");
    }
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
        ("mixed", record::AAAA, "NOERROR"),
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
        catalog.put(Input::ExternalNode(decode::<portolan_api::typed::ExternalNode>(
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

#[test]
fn nothing_is_denied_before_the_catalog_has_arrived() {
    let mut out = Vec::new();
    zone().answer(&query("web.shop.svc.cluster.local", record::A, None), &Snapshot::default(), None, &mut out);
    assert_eq!(shown(&out), "SERVFAIL");
}

#[test]
fn an_answer_keeps_to_the_size_the_client_takes() {
    let snapshot = cluster(300);
    let mut out = Vec::new();
    for (edns, limit, most) in
        [(None, None, 512), (Some(1232), None, 1232), (Some(65_535), None, 4096), (None, Some(65_535), 65_535)]
    {
        zone().answer(&query("db.shop.svc.cluster.local", record::A, edns), &snapshot, limit, &mut out);
        let truncated = out[2] & 0x02 != 0;
        assert!(out.len() <= most, "{} > {most}", out.len());
        assert_eq!(truncated, limit.is_none(), "299 addresses of 16 bytes fit only over TCP");
        assert_eq!(out[..2], [0x12, 0x34]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_packet_panics(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
        zone().answer(&packet, &cluster(1), None, &mut Vec::new());
    }

    #[test]
    fn no_damaged_query_panics(
        name in proptest::sample::select(vec![
            "_http._tcp.db.shop.svc.cluster.local",
            "_old-shop._tcp.service.dc1.dc.consul",
            "v1.old-shop.service.consul",
            "c0000207.addr.dc1.consul",
            "north.node.consul",
        ]),
        at in 0_usize..80,
        byte in any::<u8>(),
        cut in 0_usize..80,
        kind in any::<u16>(),
        known in any::<bool>(),
    ) {
        const KNOWN: [u16; 5] = [record::A, record::AAAA, record::SRV, record::TXT, record::ANY];
        let kind = if known { KNOWN[usize::from(kind) % KNOWN.len()] } else { kind };
        let mut packet = query(name, kind, Some(700));
        packet.truncate(packet.len().saturating_sub(cut));
        if let Some(target) = packet.get_mut(at) {
            *target = byte;
        }
        let mut out = Vec::new();
        if matches!(zone().answer(&packet, &cluster(2), None, &mut out), Outcome::Answered) {
            prop_assert!(out.len() >= HEADER && out.len() <= 4096);
        }
        answer_records(&packet);
    }
}

/// A server with an upstream that answers every question with 198.51.100.1 and counts them.
struct Running {
    address: SocketAddr,
    upstream: Arc<std::sync::atomic::AtomicUsize>,
    shutdown: Shutdown,
    tasks: tokio::task::JoinSet<()>,
}

impl Running {
    async fn start(with_upstream: bool) -> Self {
        Self::start_for(with_upstream, true).await
    }

    /// With an upstream, and whether it is asked for clients on this machine.
    async fn start_for(with_upstream: bool, recursion: bool) -> Self {
        let mut tasks = tokio::task::JoinSet::new();
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let servers = if with_upstream { vec![socket.local_addr().expect("bound")] } else { Vec::new() };
        let shutdown = Shutdown::default();
        tasks.spawn(upstream(socket, asked.clone(), shutdown.clone()));
        let listener = Listener::new(Sockets::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port"))
            .expect("a runtime");
        let address = listener.address().expect("bound");
        let forwarder = Arc::new(Forwarder::new(Upstreams::Servers(servers), vec![address]));
        let config = Config { zone: zone(), forwarder, recursion: Arc::new(move |_| recursion) };
        let (_sender, catalog) = watch::channel(cluster(300));
        tasks.spawn(serve(config, vec![listener], catalog, shutdown.clone()));
        Self { address, upstream: asked, shutdown, tasks }
    }

    async fn udp(&self, name: &str, kind: u16) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        socket.send_to(&query(name, kind, None), self.address).await.expect("sent");
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await.expect("answered");
        shown(&buffer[..length])
    }

    async fn stop(mut self) -> usize {
        self.shutdown.request();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no task panics");
        }
        self.upstream.load(std::sync::atomic::Ordering::Relaxed)
    }
}

async fn upstream(socket: UdpSocket, asked: Arc<std::sync::atomic::AtomicUsize>, shutdown: Shutdown) {
    let mut buffer = [0; 512];
    while let Some(Ok((length, peer))) = shutdown.run(socket.recv_from(&mut buffer)).await {
        asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (_, end) = Name::read(&buffer[..length], HEADER).expect("a query");
        let mut answer = buffer[..2].to_vec();
        answer.extend_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        answer.extend_from_slice(&buffer[HEADER..end + 4]);
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 1]);
        socket.send_to(&answer, peer).await.expect("sent");
    }
}

#[tokio::test]
async fn other_names_are_asked_upstream_once() {
    let server = Running::start(true).await;
    for _ in 0..3 {
        assert_eq!(server.udp("example.org", record::A).await, "NOERROR; A 198.51.100.1");
    }
    assert_eq!(
        server.udp("elsewhere.shop.svc.cluster.local", record::A).await,
        "NOERROR; CNAME example.org.; A 198.51.100.1"
    );
    assert_eq!(
        server.udp("near.shop.svc.cluster.local", record::A).await,
        "NOERROR; CNAME web.shop.svc.cluster.local.; A 10.43.0.20"
    );
    assert_eq!(server.udp("old-shop.service.consul", record::A).await, "NOERROR; A 192.0.2.7");
    assert_eq!(server.udp("far-shop.service.consul", record::A).await, "NOERROR; CNAME example.org.; A 198.51.100.1");
    assert_eq!(
        server.udp("far.shop.svc.cluster.local", record::A).await,
        "NOERROR; CNAME example.org.; A 198.51.100.1"
    );
    // One alias leads to the next, but not in a circle.
    assert_eq!(
        server.udp("first.shop.svc.cluster.local", record::A).await,
        "NOERROR; CNAME elsewhere.shop.svc.cluster.local.; CNAME example.org.; A 198.51.100.1"
    );
    assert!(server.udp("round.shop.svc.cluster.local", record::A).await.starts_with("SERVFAIL"));
    assert_eq!(server.stop().await, 1);
}

#[tokio::test]
async fn strangers_are_answered_about_names_of_the_cluster_only() {
    let server = Running::start_for(true, false).await;
    let cases = [
        ("example.org", "REFUSED"),
        ("web.shop.svc.cluster.local", "NOERROR; A 10.43.0.20"),
        ("old-shop.service.consul", "NOERROR; A 192.0.2.7"),
        ("elsewhere.shop.svc.cluster.local", "NOERROR; CNAME example.org."),
        ("near.shop.svc.cluster.local", "NOERROR; CNAME web.shop.svc.cluster.local.; A 10.43.0.20"),
    ];
    for (name, expected) in cases {
        assert_eq!(server.udp(name, record::A).await, expected, "{name}");
    }
    assert_eq!(server.stop().await, 0, "nobody is asked");
}

#[tokio::test]
async fn without_an_upstream_other_names_fail_and_the_cluster_answers() {
    let server = Running::start(false).await;
    assert_eq!(server.udp("example.org", record::A).await, "SERVFAIL");
    assert_eq!(server.udp("web.shop.svc.cluster.local", record::A).await, "NOERROR; A 10.43.0.20");
    server.stop().await;
}

#[tokio::test]
async fn large_answers_come_over_tcp() {
    let server = Running::start(false).await;
    let mut stream = TcpStream::connect(server.address).await.expect("listening");
    for _ in 0..2 {
        let packet = query("db.shop.svc.cluster.local", record::A, None);
        stream.write_u16(packet.len() as u16).await.expect("sent");
        stream.write_all(&packet).await.expect("sent");
        let length = stream.read_u16().await.expect("answered");
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.expect("complete");
        assert_eq!(answer_records(&answer).len(), 299);
    }
    drop(stream);
    server.stop().await;
}

#[test]
fn names_that_loop_or_are_too_long_are_refused() {
    let mut looping = vec![0; HEADER];
    looping.extend_from_slice(&[0xc0, 12]);
    assert!(Name::read(&looping, HEADER).is_none());
    let long = format!("{}.", "a".repeat(63)).repeat(4);
    assert!(Name::parse(&long).is_none());
    assert!(Name::parse(&"a".repeat(64)).is_none());
    let mut out = Vec::new();
    write_name(&mut out, &Name::parse("a.b").expect("a name"));
    assert_eq!(out, b"\x01a\x01b\x00");
}
