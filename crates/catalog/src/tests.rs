use std::net::IpAddr;
use std::sync::Arc;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::*;

fn decode<K: Object>(value: &Value) -> Arc<K> {
    Arc::new(K::decode(value.to_string().as_bytes()).expect("the test's object fits its kind"))
}

fn service(name: &str, address: &str) -> Input {
    Input::Service(decode::<core::Service>(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": address, "ports": [{"name": "http", "port": 80}], "selector": {"app": name}}
    })))
}

fn slice(service: &str, endpoints: &[(&str, &str, bool)]) -> Input {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, pod, ready)| {
            json!({"addresses": [address], "conditions": {"ready": ready, "serving": ready}, "nodeName": "n1",
                   "targetRef": {"kind": "Pod", "namespace": "default", "name": pod}})
        })
        .collect();
    Input::EndpointSlice(decode::<EndpointSlice>(&json!({
        "metadata": {"namespace": "default", "name": format!("{service}-x"),
                     "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]
    })))
}

fn pod(name: &str, address: &str, waiting: Option<&str>) -> Input {
    let ready = if waiting.is_none() { "True" } else { "False" };
    let state = waiting.map_or(json!({"running": {}}), |reason| json!({"waiting": {"reason": reason}}));
    Input::Pod(decode::<core::Pod>(&json!({
        "metadata": {"namespace": "default", "name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "main"}]},
        "status": {"phase": "Running", "podIP": address,
                   "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                   "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": waiting.is_none(),
                                          "restartCount": 0, "state": state}]}
    })))
}

#[test]
fn pods_behind_a_service_are_instances_with_the_reason_of_their_health() {
    let mut catalog = Catalog::new();
    catalog.put(slice("web", &[("10.42.0.2", "web-a", true), ("10.42.0.3", "web-b", false)]));
    catalog.put(service("web", "10.43.0.20"));
    catalog.put(pod("web-a", "10.42.0.2", None));
    catalog.put(pod("web-b", "10.42.0.3", Some("CrashLoopBackOff")));
    let snapshot = catalog.snapshot();
    let shown: Vec<String> = snapshot
        .instances_of("default", "web")
        .expect("the service has instances")
        .iter()
        .map(|instance| {
            format!(
                "{} {} {} {}: {}",
                instance.name,
                instance.address,
                instance.node,
                instance.health.status.as_str(),
                instance.health.reason
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "web-a 10.42.0.2 n1 passing: the pod is ready",
            "web-b 10.42.0.3 n1 critical: container main waits: CrashLoopBackOff",
        ]
    );
    let service = snapshot.service("default", "web").expect("the service is there");
    let backends: Vec<String> =
        service.backends(&service.ports[0]).map(|(endpoint, port)| format!("{}:{port}", endpoint.address)).collect();
    assert_eq!(backends, ["10.42.0.2:8080"]);
}

#[test]
fn the_index_rises_only_when_something_changed() {
    let mut catalog = Catalog::new();
    catalog.put(service("web", "10.43.0.20"));
    let first = catalog.snapshot();
    catalog.put(service("web", "10.43.0.20"));
    catalog.put(slice("other", &[]));
    let second = catalog.snapshot();
    assert_eq!((first.index(), second.index()), (1, 1));
    catalog.put(slice("web", &[("10.42.0.2", "web-a", true)]));
    let third = catalog.snapshot();
    assert_eq!(third.index(), 2);
    assert_eq!(third.changed_services(&second), [Key::new("default", "web")]);
    assert!(second.changed_services(&first).is_empty());
    catalog.remove(Kind::Service, &Key::new("default", "web"));
    let fourth = catalog.snapshot();
    assert_eq!(fourth.index(), 3);
    assert!(fourth.service("default", "web").is_none() && fourth.instances_of("default", "web").is_none());
}

#[test]
fn an_address_knows_its_owners_until_the_last_one_is_gone() {
    let mut catalog = Catalog::new();
    let owners = |snapshot: &Snapshot, address: &str| {
        snapshot.owners_of(address.parse::<IpAddr>().expect("an address")).to_vec()
    };
    catalog.put(service("web", "10.43.0.20"));
    catalog.put(slice("web", &[("10.42.0.2", "web-a", true)]));
    catalog.put(pod("web-a", "10.42.0.2", None));
    let snapshot = catalog.snapshot();
    assert_eq!(owners(&snapshot, "10.43.0.20"), [AddressOwner::Service(Key::new("default", "web"))]);
    assert_eq!(
        owners(&snapshot, "10.42.0.2"),
        [AddressOwner::Endpoint(Key::new("default", "web")), AddressOwner::Pod(Key::new("default", "web-a")),]
    );
    catalog.remove(Kind::Pod, &Key::new("default", "web-a"));
    catalog.remove(Kind::EndpointSlice, &Key::new("default", "web-x"));
    assert!(owners(&catalog.snapshot(), "10.42.0.2").is_empty());
}

#[test]
fn a_terminating_endpoint_serves_only_while_none_is_ready() {
    let endpoint = |address: &str, ready, serving, terminating| Endpoint {
        address: address.parse().expect("an address"),
        ports: [EndpointPort { name: "".into(), protocol: Protocol::Tcp, port: 1 }].into(),
        ready,
        serving,
        terminating,
        node: None,
        zone: None,
        hostname: None,
        pod: None,
    };
    let cases = [
        (vec![endpoint("10.0.0.1", true, true, false), endpoint("10.0.0.2", false, true, true)], vec!["10.0.0.1"]),
        (vec![endpoint("10.0.0.1", false, false, false), endpoint("10.0.0.2", false, true, true)], vec!["10.0.0.2"]),
        (vec![endpoint("10.0.0.1", false, true, false)], vec![]),
    ];
    for (endpoints, expected) in cases {
        let mut catalog = Catalog::new();
        catalog.put(service("web", "10.43.0.20"));
        let mut service = Service::clone(catalog.snapshot().service("default", "web").expect("just added"));
        service.endpoints = endpoints.into();
        let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: 80, node_port: None };
        let addresses: Vec<String> =
            service.backends(&port).map(|(endpoint, _)| endpoint.address.to_string()).collect();
        assert_eq!(addresses, expected);
    }
}

fn registration(name: &str, node: &str, tag: &str, version: u64) -> Input {
    Input::Registration(decode::<portolan_api::typed::ServiceInstance>(&json!({
        "metadata": {"namespace": "default", "name": name, "resourceVersion": version.to_string()},
        "spec": {"service": "web", "instanceId": name, "address": "192.0.2.1", "node": node, "tags": [tag]},
        "status": {"health": "passing"}
    })))
}

fn machine(health: &str, version: u64) -> Input {
    Input::ExternalNode(decode::<portolan_api::typed::ExternalNode>(&json!({
        "metadata": {"name": "object-of-vm", "resourceVersion": version.to_string()},
        "spec": {"node": "VM", "address": "192.0.2.1", "checks": [{"id": "up", "type": "external"}]},
        "status": {"checks": [{"id": "up", "health": health, "output": "disk"}]}
    })))
}

#[test]
fn an_address_leads_to_who_registered_with_it() {
    let mut catalog = Catalog::new();
    let shown = |catalog: &mut Catalog, address: &str| {
        let snapshot = catalog.snapshot();
        let mut names: Vec<String> = snapshot
            .residents_of(address.parse().expect("an address"))
            .map(|resident| match resident {
                Resident::Instances(key) => key.to_string(),
                Resident::Machine(name) => name.to_string(),
            })
            .collect();
        names.sort_unstable();
        names.join(" ")
    };
    let none = Key::new("", "object-of-vm");
    type Step<'a> = (&'a str, Box<dyn Fn(&mut Catalog)>, &'a str);
    let steps: [Step<'_>; 8] = [
        ("a registration", Box::new(|catalog| catalog.put(registration("a", "VM", "", 1))), "default/web"),
        ("another", Box::new(|catalog| catalog.put(registration("b", "", "", 2))), "default/web"),
        ("its machine", Box::new(|catalog| catalog.put(machine("passing", 3))), "VM default/web"),
        ("which fails", Box::new(|catalog| catalog.put(machine("critical", 4))), "VM default/web"),
        ("other tags", Box::new(|catalog| catalog.put(registration("a", "VM", "x", 5))), "VM default/web"),
        (
            "one goes",
            Box::new(|catalog| catalog.remove(Kind::Registration, &Key::new("default", "a"))),
            "VM default/web",
        ),
        ("the other too", Box::new(|catalog| catalog.remove(Kind::Registration, &Key::new("default", "b"))), "VM"),
        ("and the machine", Box::new(move |catalog| catalog.remove(Kind::ExternalNode, &none)), ""),
    ];
    for (what, step, expected) in steps {
        step(&mut catalog);
        assert_eq!(shown(&mut catalog, "192.0.2.1"), expected, "{what}");
        assert_eq!(shown(&mut catalog, "192.0.2.2"), "", "{what}");
    }
    // Pods have their names from the orchestrator.
    catalog.put(service("web", "10.43.0.20"));
    catalog.put(slice("web", &[("10.42.0.2", "web-a", true)]));
    catalog.put(pod("web-a", "10.42.0.2", None));
    assert_eq!(shown(&mut catalog, "10.42.0.2"), "");
}

#[test]
fn a_node_leaves_an_address_that_it_listed_twice() {
    let mut catalog = Catalog::new();
    let node = |addresses: [&str; 2], version: &str| {
        Input::Node(decode::<core::Node>(&json!({
            "metadata": {"name": "n1", "resourceVersion": version},
            "status": {"addresses": [
                {"type": "InternalIP", "address": addresses[0]}, {"type": "ExternalIP", "address": addresses[1]},
            ]},
        })))
    };
    let residents = |catalog: &mut Catalog, address: &str| {
        catalog.snapshot().residents_of(address.parse().expect("an address")).count()
    };
    let (one, other) = ("192.0.2.1", "192.0.2.2");
    for (version, addresses, expected) in
        [("1", [one, one], [1, 0]), ("2", [one, other], [1, 1]), ("3", [other, other], [0, 1])]
    {
        catalog.put(node(addresses, version));
        assert_eq!([one, other].map(|address| residents(&mut catalog, address)), expected, "{addresses:?}");
    }
}

#[test]
fn the_checks_of_a_machine_count_for_what_runs_on_it() {
    let mut catalog = Catalog::new();
    catalog.put(registration("a", "VM", "", 1));
    catalog.put(registration("b", "", "", 2));
    let shown = |catalog: &mut Catalog| {
        let snapshot = catalog.snapshot();
        let all = snapshot.instances_of("default", "web").expect("registered");
        all.iter()
            .map(|it| format!("{} {}: {}", it.id, it.health.status.as_str(), it.health.reason))
            .collect::<Vec<_>>()
    };
    let (fine, other) = ("a passing: registered without a lease", "b passing: registered without a lease");
    assert_eq!(shown(&mut catalog), [fine, other]);
    catalog.put(machine("warning", 3));
    assert_eq!(shown(&mut catalog), ["a warning: node VM, check up: disk", other]);
    catalog.put(machine("passing", 4));
    assert_eq!(shown(&mut catalog), [fine, other]);
    catalog.put(machine("critical", 5));
    assert_eq!(shown(&mut catalog), ["a critical: node VM, check up: disk", other]);
    catalog.remove(Kind::ExternalNode, &Key::new("", "object-of-vm"));
    assert_eq!(shown(&mut catalog), [fine, other]);
}

#[test]
fn indexes_follow_revisions_and_never_go_back() {
    let mut catalog = Catalog::new();
    assert_eq!(catalog.snapshot().index(), 0, "nothing is known yet");
    catalog.put(registration("a", "VM", "x", 100));
    catalog.put(service("other", "10.43.0.20"));
    catalog.put(machine("passing", 90));
    let indexes = |snapshot: &Snapshot| {
        let services = ["web", "other", "none"].map(|name| snapshot.service_index("default", name));
        (snapshot.index(), services, snapshot.node_index("VM"), snapshot.services_index(), snapshot.nodes_index())
    };
    // The list was complete up to here.
    catalog.seen(120);
    assert_eq!(indexes(&catalog.snapshot()), (120, [120, 120, 120], 120, 120, 120));
    // Another tag; a late event; a check of the machine; a removal.
    catalog.put(registration("a", "VM", "y", 130));
    assert_eq!(indexes(&catalog.snapshot()), (130, [130, 120, 120], 130, 130, 120));
    catalog.put(registration("b", "", "y", 125));
    assert_eq!(indexes(&catalog.snapshot()), (131, [131, 120, 120], 130, 131, 120));
    catalog.put(machine("warning", 140));
    assert_eq!(indexes(&catalog.snapshot()), (140, [140, 120, 120], 140, 131, 140));
    catalog.put(machine("warning", 150));
    assert_eq!(indexes(&catalog.snapshot()).0, 140, "nothing changed");
    catalog.remove(Kind::Registration, &Key::new("default", "a"));
    catalog.remove(Kind::Registration, &Key::new("default", "b"));
    let last = catalog.snapshot();
    assert_eq!(indexes(&last), (150, [150, 120, 150], 150, 150, 140));
    // A new process, after the same history and a removal of something else.
    let mut next = Catalog::new();
    next.put(service("other", "10.43.0.20"));
    next.put(machine("warning", 150));
    next.seen(152);
    let next = next.snapshot();
    assert_eq!(indexes(&next), (152, [152, 152, 152], 152, 152, 152));
}

#[test]
fn a_snapshot_of_nothing_has_an_index_once_it_is_known_to_be_nothing() {
    let mut catalog = Catalog::new();
    catalog.seen(7);
    assert_eq!((catalog.snapshot().index(), catalog.snapshot().service_index("default", "web")), (7, 7));
}

#[test]
fn a_pod_that_asks_for_a_port_that_is_none_is_listed_and_takes_no_requests() {
    // The annotation, the ports of its container, and how it is listed.
    let cases = [
        (Some("web"), json!([{"name": "web", "containerPort": 8080}]), "passing 8080"),
        (Some("8081"), json!([{"name": "web", "containerPort": 8080}]), "passing 8081"),
        (None, json!([{"name": "web", "containerPort": 8080}]), "passing 8080"),
        (None, json!([]), "passing"),
        (
            Some("nosuch"),
            json!([{"name": "web", "containerPort": 8080}]),
            "critical: annotation registry.portolan.dev/port: \"nosuch\" names no port of a container",
        ),
        (
            Some("70000"),
            json!([{"name": "web", "containerPort": 8080}]),
            "critical: annotation registry.portolan.dev/port: \"70000\" is no port: it must be between 1 and 65535",
        ),
        (
            Some("0"),
            json!([]),
            "critical: annotation registry.portolan.dev/port: \"0\" is no port: it must be between 1 and 65535",
        ),
    ];
    for (port, ports, expected) in cases {
        let mut annotations = json!({"registry.portolan.dev/name": "cart"});
        if let Some(port) = port {
            annotations["registry.portolan.dev/port"] = port.into();
        }
        let mut catalog = Catalog::new();
        catalog.put(Input::Pod(decode::<core::Pod>(&json!({
            "metadata": {"namespace": "default", "name": "a", "annotations": annotations},
            "spec": {"containers": [{"name": "main", "ports": ports}]},
            "status": {"phase": "Running", "podIP": "10.42.0.7", "conditions": [{"type": "Ready", "status": "True"}]}
        }))));
        let snapshot = catalog.snapshot();
        let [instance] = &snapshot.instances_of("default", "cart").expect("published")[..] else { panic!("one") };
        let ports: String = instance.ports.iter().map(|port| format!(" {}", port.port)).collect();
        let shown = match instance.health.status {
            Status::Passing => format!("passing{ports}"),
            other => format!("{}{ports}: {}", other.as_str(), instance.health.reason),
        };
        assert_eq!(shown, expected);
        let worst = instance.checks.iter().map(|check| check.status).max();
        assert_eq!(worst, Some(instance.health.status), "clients that look at checks see the same");
    }
}

/// What a client remembers of an instance nobody touched holds over a restart of the server, in whatever order the new
/// process hears of things; and it is never ahead of the index of the answer that it came with.
#[test]
fn instances_keep_their_indexes_over_a_restart() {
    let at = |input: &Value, revision: u64| {
        let mut object = input.clone();
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        object
    };
    let registered = |id: &str, tag: &str| {
        json!({"metadata": {"namespace": "default", "name": id},
            "spec": {"service": "web", "instanceId": id, "address": "192.0.2.1", "tags": [tag]},
            "status": {"health": "passing"}})
    };
    let of = |object: &Value| Input::Registration(decode::<portolan_api::typed::ServiceInstance>(object));
    let mut changed = registered("b", "new");
    changed["metadata"]["annotations"] = json!({portolan_api::annotations::CREATED_REVISION: "12"});
    let vm = json!({"metadata": {"name": "vm", "annotations": {portolan_api::annotations::CREATED_REVISION: "9"}},
        "spec": {"node": "vm", "address": "192.0.2.7"}});
    let vm = |revision| Input::ExternalNode(decode::<portolan_api::typed::ExternalNode>(&at(&vm, revision)));
    let published = json!({"metadata": {"namespace": "default", "name": "p", "resourceVersion": "15",
            "annotations": {"registry.portolan.dev/name": "web"}},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "podIP": "10.42.0.7", "conditions": [{"type": "Ready", "status": "True"}]}});
    let published = |_| Input::Pod(decode::<core::Pod>(&published));
    let shown = |snapshot: &Snapshot| {
        let instances = snapshot.instances_of("default", "web").expect("three of them");
        let machine = snapshot.external_node("vm").expect("a machine");
        let newest = instances.iter().map(|it| it.modified_index).chain([machine.modified_index]).max();
        assert!(newest <= Some(snapshot.index()));
        let mut shown: Vec<String> =
            instances.iter().map(|it| format!("{} {} {}", it.id, it.created_index, it.modified_index)).collect();
        shown.push(format!("vm {} {}", machine.created_index, machine.modified_index));
        shown
    };
    let mut before = Catalog::new();
    before.seen(5);
    before.snapshot();
    let history = [of(&at(&registered("a", "x"), 11)), of(&at(&registered("b", "x"), 12)), published(0), vm(14)];
    for input in history {
        before.put(input);
        before.snapshot();
    }
    before.put(of(&at(&changed, 20)));
    let expected = ["a 11 11", "b 12 20", "p 15 15", "vm 9 14"];
    assert_eq!(shown(&before.snapshot()), expected);
    for turned in [false, true] {
        let mut objects = vec![of(&at(&registered("a", "x"), 11)), of(&at(&changed, 20)), published(0), vm(14)];
        if turned {
            objects.reverse();
        }
        let mut after = Catalog::new();
        objects.into_iter().for_each(|object| after.put(object));
        after.seen(30);
        assert_eq!(shown(&after.snapshot()), expected);
        // A write that changed nothing that is shown.
        after.put(vm(31));
        assert_eq!(shown(&after.snapshot()), expected);
    }
}
