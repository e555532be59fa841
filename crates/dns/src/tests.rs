mod registered;

use std::net::SocketAddr;
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
use crate::{Config, ConsulZone, Forwarder, Listener, Outcome, Sockets, Upstreams, Zone, serve};

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

fn zone() -> Zone {
    let mut zone = Zone::new("cluster.local").expect("a domain");
    zone.consul = ConsulZone::new("consul", "dc1", "".into());
    zone.addresses = ["192.0.2.53", "2001:db8::53"].map(|address| address.parse().expect("an address")).into();
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
        ("ns.dns.cluster.local", record::A, "NOERROR; A 192.0.2.53"),
        ("ns.dns.cluster.local", record::AAAA, "NOERROR; AAAA 2001:db8::53"),
        ("ns.dns.cluster.local", record::TXT, "NOERROR"),
        ("dns.cluster.local", record::A, "NOERROR"),
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
fn a_zone_says_where_its_server_is() {
    let (snapshot, mut out) = (cluster(1), Vec::new());
    for domain in ["cluster.local", "consul"] {
        zone().answer(&query(domain, record::NS, None), &snapshot, None, &mut out);
        let glue = [[192, 0, 2, 53].as_slice(), &std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53).octets()];
        assert_eq!(out[10..12], [0, 2], "{domain}");
        assert!(glue.iter().all(|address| out.windows(address.len()).any(|found| found == *address)), "{domain}");
    }
    // Nobody said: the machine's own address is.
    let mut catalog = Catalog::new();
    let addresses = json!([{"type": "InternalIP", "address": "203.0.113.5"}]);
    let node = json!({"metadata": {"name": "here"}, "status": {"addresses": addresses}});
    catalog.put(Input::Node(decode(&node)));
    let zone = Zone { addresses: Vec::new(), node: "here".into(), ..zone() };
    zone.answer(&query("ns.dns.cluster.local", record::A, None), &catalog.snapshot(), None, &mut out);
    assert_eq!(shown(&out), "NOERROR; A 203.0.113.5");
}

#[test]
fn what_is_not_understood_is_refused_in_its_own_words() {
    let (snapshot, mut out) = (cluster(1), Vec::new());
    // RFC 1035, section 4.1.1: NOTIFY, UPDATE and others come back as they were asked, with the wish for recursion.
    for operation in [1_u8, 2, 4, 5, 15] {
        let mut packet = query("web.shop.svc.cluster.local", record::A, None);
        packet[2] |= operation << 3;
        zone().answer(&packet, &snapshot, None, &mut out);
        assert_eq!((out[2], shown(&out).as_str()), (0x80 | operation << 3 | 1, "NOTIMP"), "{operation}");
    }
    // RFC 6891, section 6.1.3: the code 16 has its upper bits in the OPT record, with the version that is spoken here.
    let mut packet = query("web.shop.svc.cluster.local", record::A, Some(1232));
    let version = packet.len() - 5;
    packet[version] = 1;
    zone().answer(&packet, &snapshot, None, &mut out);
    assert_eq!((out[3] & 0x0f, &out[6..12]), (0, &[0, 0, 0, 0, 0, 1][..]));
    assert_eq!(out[out.len() - 11..], [0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
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
