//! Packets that reach the name server: each is answered by a packet that fits, or by nothing.

use std::sync::{Arc, LazyLock};

use portolan_api::typed::{Object, PreparedQuery, ServiceInstance};
use portolan_catalog::{Catalog, Input, Snapshot};
use portolan_dns::{ConsulZone, Outcome, Zone};
use serde_json::{Value, json};

fn decode<K: Object>(value: Value) -> Arc<K> {
    Arc::new(K::decode(value.to_string().as_bytes()).expect("the object fits its kind"))
}

static WORLD: LazyLock<(Zone, Arc<Snapshot>)> = LazyLock::new(|| {
    let mut catalog = Catalog::new();
    for number in 1..40 {
        catalog.put(Input::Registration(decode::<ServiceInstance>(json!({
            "metadata": {"namespace": "default", "name": format!("web-{number}")},
            "spec": {"service": "web", "instanceId": format!("web-{number}"), "address": format!("192.0.2.{number}"),
                "tags": ["v1"], "ports": [{"name": "http", "port": 80}]},
        }))));
    }
    catalog.put(Input::Registration(decode::<ServiceInstance>(json!({
        "metadata": {"namespace": "shop", "name": "far"},
        "spec": {"service": "far", "instanceId": "far", "address": "example.org", "ports": []},
    }))));
    catalog.put(Input::PreparedQuery(decode::<PreparedQuery>(json!({
        "metadata": {"name": "q"},
        "spec": {"name": "geo-", "template": {"regexp": "^geo-(.*)$"}, "service": "${match(1)}"},
    }))));
    let mut zone = Zone::new("cluster.local").expect("a domain");
    zone.consul = ConsulZone::new("consul", "dc1", "node".into());
    zone.reverse = vec![([10, 42, 0, 0].into(), 16)];
    (zone, catalog.snapshot())
});

pub(crate) fn run(packet: &[u8]) {
    let (zone, snapshot) = &*WORLD;
    let mut out = Vec::new();
    for limit in [None, Some(65_535)] {
        if matches!(zone.answer(packet, snapshot, limit, &mut out), Outcome::Answered) {
            assert!(out.len() >= 12 && out.len() <= limit.unwrap_or(4096), "{} bytes", out.len());
            assert_eq!(out[..2], packet[..2], "the id of the question");
            assert!(out[2] & 0x80 != 0, "an answer");
        }
    }
}
