use std::collections::HashSet;
use std::sync::Arc;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::{ExternalNode, PreparedQuery, ServiceInstance};
use portolan_catalog::{Catalog, Input, Snapshot};
use serde_json::{Value, json};

use super::ConsulZone;
use crate::forward::answer_records;
use crate::tests::{decode, query, shown, shown_record, sorted};
use crate::wire::{HEADER, Name, Record, record};
use crate::{Outcome, Zone};

fn zone() -> Zone {
    let mut zone = Zone::new("cluster.local").expect("a domain");
    zone.consul = ConsulZone::new("consul", "DC1", "here".into());
    zone.addresses = vec![[192, 0, 2, 53].into()];
    zone
}

/// A catalog of registrations: namespace, id, and what else is said.
fn registered(instances: &[(&str, &str, Value)]) -> Catalog {
    let mut catalog = Catalog::new();
    for (namespace, id, spec) in instances {
        let mut object = json!({
            "metadata": {"namespace": namespace, "name": id.to_lowercase()},
            "spec": {"service": "web", "instanceId": id, "ports": [{"name": "", "port": 80}]}
        });
        object["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        catalog.put(Input::Registration(decode::<ServiceInstance>(&object)));
    }
    catalog
}

fn node(catalog: &mut Catalog, name: &str, spec: &Value) {
    let mut object = json!({"metadata": {"name": name.to_lowercase()}, "spec": {"node": name}});
    object["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    catalog.put(Input::ExternalNode(decode::<ExternalNode>(&object)));
}

fn datacenter() -> Arc<Snapshot> {
    let weights = json!({"passing": 7, "warning": 3});
    let critical = json!([{"id": "c", "type": "ttl", "ttlSeconds": 30}]);
    let mut catalog = registered(&[
        ("default", "w1", json!({"address": "192.0.2.7", "tags": ["Blue", "v1.2"], "weights": weights})),
        ("default", "w2", json!({"address": "198.51.100.1", "node": "Rack.One", "ports": [{"name": "", "port": 81}]})),
        ("default", "w3", json!({"address": "192.0.2.9", "tags": ["blue"], "checks": critical})),
        ("default", "w4", json!({"address": "192.0.2.7", "tags": ["v1.2"], "weights": weights})),
        ("default", "six", json!({"service": "Six", "address": "2001:db8::1"})),
        ("default", "a1", json!({"service": "alias", "address": "example.org"})),
        ("default", "a2", json!({"service": "mixed", "address": "example.org"})),
        ("default", "a3", json!({"service": "mixed", "address": "192.0.2.8"})),
        ("default", "d1", json!({"service": "down", "address": "192.0.2.9", "checks": critical})),
        ("default", "n1", json!({"service": "placed", "address": "", "node": "north"})),
        ("shop", "c1", json!({"service": "cart", "address": "192.0.2.20"})),
    ]);
    node(
        &mut catalog,
        "Rack.One",
        &json!({"address": "198.51.100.1", "metadata": {"rfc1035-00": "v=1", "a=b": "c`d", "long": "x".repeat(300)}}),
    );
    node(&mut catalog, "named", &json!({"address": "named.example.org"}));
    catalog.put(Input::Node(decode::<core::Node>(&json!({
        "metadata": {"name": "north"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [
            {"type": "InternalIP", "address": "203.0.113.1"}, {"type": "InternalIP", "address": "2001:db8::2"},
            {"type": "ExternalIP", "address": "203.0.113.99"}
        ]}
    }))));
    catalog.snapshot()
}

fn records_of(packet: &[u8], skip: usize) -> Vec<Record> {
    let (_, mut at) = Name::read(packet, HEADER).expect("a question");
    at += 4;
    let records = std::iter::from_fn(|| {
        let found = Record::read(packet, at)?;
        at = found.end;
        Some(found)
    });
    records.skip(skip).collect()
}

#[test]
fn names_of_the_datacenter() {
    const MX: u16 = 15;
    let snapshot = datacenter();
    let web = "NOERROR; A 192.0.2.7; A 198.51.100.1";
    let srv = "NOERROR; SRV 80 c0000207.addr.dc1.consul.; SRV 81 rack.one.node.dc1.consul.";
    let blue = "NOERROR; SRV 80 c0000207.addr.dc1.consul.";
    let long = format!("TXT long={}\\xfa{}", "x".repeat(250), "x".repeat(50)).replace("\\xfa", "2");
    let texts = format!("NOERROR; TXT a`=b=c``d; {long}; TXT v=1");
    let cases: &[(&str, u16, &str)] = &[
        ("web.service.consul", record::A, web),
        ("WEB.Service.dc1.CONSUL", record::A, web),
        ("web.service.dc1.dc.consul", record::A, web),
        ("web.service.consul", record::ANY, web),
        ("web.service.consul", record::AAAA, "NOERROR"),
        ("web.service.consul", MX, "NOERROR"),
        ("web.service.consul", record::SRV, srv),
        ("blue.web.service.consul", record::SRV, blue),
        ("v1.2.web.service.consul", record::A, "NOERROR; A 192.0.2.7"),
        ("green.web.service.consul", record::A, "NXDOMAIN"),
        ("_web._tcp.service.consul", record::SRV, srv),
        ("_web._tcp.consul", record::SRV, srv),
        ("_web._blue.dc1.dc.consul", record::SRV, blue),
        ("_web._green.service.consul", record::SRV, "NXDOMAIN"),
        ("_nope._tcp.service.consul", record::SRV, "NXDOMAIN"),
        ("six.service.consul", record::AAAA, "NOERROR; AAAA 2001:db8::1"),
        ("six.service.consul", record::A, "NOERROR"),
        ("six.service.consul", record::SRV, "NOERROR; SRV 80 20010db8000000000000000000000001.addr.dc1.consul."),
        // Critical ones are left out; then there is no such name.
        ("down.service.consul", record::A, "NXDOMAIN"),
        ("nope.service.consul", record::A, "NXDOMAIN"),
        // A host name is an alias, unless there are addresses.
        ("alias.service.consul", record::A, "NOERROR; CNAME example.org."),
        ("alias.service.consul", record::SRV, "NOERROR; SRV 80 example.org."),
        ("alias.service.consul", record::TXT, "NOERROR"),
        ("mixed.service.consul", record::A, "NOERROR; A 192.0.2.8"),
        // Behind the name there may be an address of the other kind.
        ("mixed.service.consul", record::AAAA, "NOERROR; CNAME example.org."),
        ("mixed.service.consul", record::TXT, "NOERROR"),
        // An instance without an address has its machine's.
        ("placed.service.consul", record::A, "NOERROR; A 203.0.113.1"),
        ("placed.service.consul", record::SRV, "NOERROR; SRV 80 north.node.dc1.consul."),
        // Other namespaces.
        ("cart-shop.service.consul", record::A, "NOERROR; A 192.0.2.20"),
        ("cart.service.consul", record::A, "NXDOMAIN"),
        // Machines.
        ("north.node.consul", record::A, "NOERROR; A 203.0.113.1"),
        ("north.node.dc1.consul", record::AAAA, "NOERROR; AAAA 2001:db8::2"),
        ("rack.one.node.dc1.dc.consul", record::A, "NOERROR; A 198.51.100.1"),
        ("rack.one.node.consul", record::TXT, &texts),
        ("rack.one.node.consul", record::SRV, "NOERROR"),
        ("named.node.consul", record::A, "NOERROR; CNAME named.example.org."),
        ("nope.node.consul", record::A, "NXDOMAIN"),
        // Addresses.
        ("c0000207.addr.dc1.consul", record::A, "NOERROR; A 192.0.2.7"),
        ("c0000207.addr.dc1.consul", record::AAAA, "NOERROR"),
        ("c0000207.addr.dc2.consul", record::A, "NXDOMAIN"),
        ("xyz.addr.dc1.consul", record::A, "NXDOMAIN"),
        // Elsewhere, and the zone itself.
        ("web.service.dc2.consul", record::A, "NXDOMAIN"),
        ("north.node.dc2.dc.consul", record::A, "NXDOMAIN"),
        ("service.consul", record::A, "NOERROR"),
        ("consul", record::A, "NOERROR"),
        ("consul", record::SOA, "NOERROR; SOA ns.consul."),
        ("consul", record::NS, "NOERROR; NS ns.consul."),
        ("ns.consul", record::A, "NOERROR; A 192.0.2.53"),
        ("ns.consul", record::AAAA, "NOERROR"),
        ("web.consul", record::A, "NXDOMAIN"),
        ("web.service.consul", 252, "REFUSED"),
    ];
    let mut out = Vec::new();
    for (name, kind, expected) in cases {
        let outcome = zone().answer(&query(name, *kind, None), &snapshot, None, &mut out);
        assert_eq!(matches!(outcome, Outcome::Alias(..)), expected.contains("CNAME"), "{name}: {outcome:?}");
        assert_eq!(sorted(&out), *expected, "{name} {kind}");
        let answers = answer_records(&out);
        assert!(answers.iter().all(|found| found.ttl == 0), "{name}: nothing may be kept");
        // Who has nothing to say says whose zone it is.
        let authority = records_of(&out, answers.len()).into_iter().any(|found| found.kind == record::SOA);
        assert_eq!(authority, answers.is_empty() && *kind != 252, "{name} {kind}");
    }
}

#[test]
fn names_are_asked_elsewhere_where_there_is_no_such_zone() {
    let mut other = zone();
    other.consul = None;
    let outcome = other.answer(&query("web.service.consul", record::A, None), &datacenter(), None, &mut Vec::new());
    assert!(matches!(outcome, Outcome::Forward(_)), "{outcome:?}");
    for (domain, datacenter) in [("", "dc1"), ("consul", ""), ("consul", "a.b"), ("a..b", "dc1")] {
        assert!(ConsulZone::new(domain, datacenter, "".into()).is_none(), "{domain:?} {datacenter:?}");
    }
}

#[test]
fn nothing_is_denied_before_the_catalog_has_arrived() {
    let mut out = Vec::new();
    zone().answer(&query("web.service.consul", record::A, None), &Snapshot::default(), None, &mut out);
    assert_eq!(shown(&out), "SERVFAIL");
}

#[test]
fn srv_records_carry_weights_by_health_and_addresses_of_their_targets() {
    let mut out = Vec::new();
    zone().answer(&query("web.service.consul", record::SRV, None), &datacenter(), None, &mut out);
    let answers = answer_records(&out);
    let mut weights: Vec<_> = answers.iter().map(|found| out[found.data..found.data + 4].to_vec()).collect();
    weights.sort_unstable();
    assert_eq!(weights, [[0, 1, 0, 1], [0, 1, 0, 7]], "priority 1; the weights of who passes");
    let mut glue: Vec<_> = records_of(&out, answers.len())
        .iter()
        .map(|found| format!("{:?} {}", found.name, shown_record(&out, found)))
        .collect();
    glue.sort_unstable();
    assert_eq!(glue, ["c0000207.addr.dc1.consul. A 192.0.2.7", "rack.one.node.dc1.consul. A 198.51.100.1"]);
}

fn many(count: usize) -> Arc<Snapshot> {
    let ids: Vec<_> = (0..count)
        .map(|number| (format!("w{number}"), format!("192.0.{}.{}", 2 + number / 250, 1 + number % 250)))
        .collect();
    let zones = ["z1", "z2"].into_iter().cycle();
    let instances: Vec<_> = ids
        .iter()
        .zip(zones)
        .map(|((id, address), zone)| {
            ("default", id.as_str(), json!({"address": address, "locality": {"region": "r", "zone": zone}}))
        })
        .collect();
    let mut catalog = registered(&instances);
    catalog.put(Input::Node(decode::<core::Node>(&json!({"metadata": {"name": "here", "labels": {
        "topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z2"
    }}}))));
    catalog.snapshot()
}

#[test]
fn every_query_gets_the_nearest_first_in_another_order() {
    let snapshot = many(8);
    let mut out = Vec::new();
    let (mut firsts, mut packet) = (HashSet::new(), query("web.service.consul", record::A, None));
    for id in 0..64_u16 {
        packet[..2].copy_from_slice(&id.to_be_bytes());
        zone().answer(&packet, &snapshot, None, &mut out);
        let addresses: Vec<u8> = answer_records(&out).iter().map(|found| out[found.end - 1]).collect();
        assert_eq!(addresses.len(), 8);
        // Instances of the node's own zone have even addresses.
        assert!(addresses[..4].iter().all(|last| last % 2 == 0), "{addresses:?}");
        firsts.insert(addresses[0]);
    }
    assert_eq!(firsts.len(), 4, "each of the near ones is first for somebody");
}

#[test]
fn an_answer_keeps_to_the_size_the_client_takes() {
    let snapshot = many(300);
    let mut out = Vec::new();
    for kind in [record::A, record::SRV] {
        for (edns, limit, most) in
            [(None, None, 512), (Some(1232), None, 1232), (Some(65_535), None, 4096), (None, Some(65_535), 65_535)]
        {
            zone().answer(&query("web.service.consul", kind, edns), &snapshot, limit, &mut out);
            assert!(out.len() <= most, "{} > {most}", out.len());
            assert_eq!(out[2] & 0x02 != 0, limit.is_none(), "300 records fit only over TCP");
        }
        assert_eq!(answer_records(&out).len(), 300);
    }
}

#[test]
fn prepared_queries_answer_by_name_and_by_template() {
    let prepared = |id: &str, spec: Value| {
        Input::PreparedQuery(decode::<PreparedQuery>(&json!({"metadata": {"name": id}, "spec": spec})))
    };
    let ttl = json!([{"id": "c", "type": "ttl", "ttlSeconds": 30}]);
    let mut catalog = registered(&[
        ("default", "w1", json!({"address": "192.0.2.7", "tags": ["v1"]})),
        ("default", "w2", json!({"address": "192.0.2.8", "tags": ["v2"], "metadata": {"rack": "a"}})),
        ("default", "w3", json!({"address": "192.0.2.9", "tags": ["v2"], "checks": ttl})),
        ("default", "a1", json!({"service": "alias", "address": "example.org"})),
    ]);
    let template = json!({"regexp": "^geo-([^-]+)-?(.*)$", "removeEmptyTags": true});
    let queries = [
        prepared("q1", json!({"name": "near.web", "service": "web", "tags": ["!v1"], "ttlSeconds": 10})),
        prepared(
            "q2",
            json!({"name": "geo-", "template": template, "service": "${match(1)}", "tags": ["${match(2)}"]}),
        ),
        prepared("q3", json!({"name": "sick", "service": "web", "tags": ["v2"], "ignoreCheckIds": ["c"]})),
        prepared("q4", json!({"name": "far", "service": "web", "elsewhere": true})),
        prepared("q5", json!({"name": "meta", "service": "web", "serviceMetadata": {"rack": "a"}})),
    ];
    queries.into_iter().for_each(|query| catalog.put(query));
    let snapshot = catalog.snapshot();
    let cases = [
        ("near.web.query.consul", record::A, "NOERROR; A 192.0.2.8"),
        ("NEAR.WEB.query.dc1.consul", record::A, "NOERROR; A 192.0.2.8"),
        ("q1.query.consul", record::A, "NOERROR; A 192.0.2.8"),
        ("geo-web.query.consul", record::A, "NOERROR; A 192.0.2.7; A 192.0.2.8"),
        ("geo-web-v1.query.consul", record::A, "NOERROR; A 192.0.2.7"),
        ("_geo-web-v1._tcp.query.consul", record::SRV, "NOERROR; SRV 80 c0000207.addr.dc1.consul."),
        ("geo-nobody.query.consul", record::A, "NXDOMAIN"),
        ("geo-alias.query.consul", record::CNAME, "NOERROR; CNAME example.org."),
        ("sick.query.consul", record::A, "NOERROR; A 192.0.2.8; A 192.0.2.9"),
        ("far.query.consul", record::A, "NXDOMAIN"),
        ("meta.query.consul", record::A, "NOERROR; A 192.0.2.8"),
        ("meta.query.consul", record::AAAA, "NOERROR"),
        ("meta.query.dc2.consul", record::A, "NXDOMAIN"),
        ("none.query.consul", record::A, "NXDOMAIN"),
    ];
    let mut out = Vec::new();
    for (name, kind, expected) in cases {
        zone().answer(&query(name, kind, None), &snapshot, None, &mut out);
        assert_eq!(sorted(&out), expected, "{name}");
    }
    zone().answer(&query("near.web.query.consul", record::A, None), &snapshot, None, &mut out);
    assert_eq!(answer_records(&out)[0].ttl, 10, "the query's own");
}
