//! Objects that parts of the process create without a request are those that a request would have made.

use std::collections::BTreeMap;

use http::HeaderValue;
use portolan_api::typed::{
    CheckType, Health, HealthCheck, HealthCheckStatus, InstanceLease, InstanceLocality, InstanceOverride, InstancePort,
    InstanceWeights, Known, LeaseKind, Object, ObjectMeta, OverrideMode, ServiceInstance, ServiceInstanceStatus,
    TaggedAddress, Time,
};
use portolan_apiserver::audit::{Audit, LogFile, Policy};
use portolan_apiserver::{Access, Peer, full};
use portolan_identity::User;
use portolan_store::{KeyRange, RangeRequest, Store as _};
use serde_json::{Value, json};

use crate::support::{Cluster, admin, cluster, cluster_with};

/// Two namespaces whose names are as long.
const TYPED: &str = "typed-1";
const ASKED: &str = "asked-1";
const AGENT: HeaderValue = HeaderValue::from_static("portolan-registry/0 (portolan)");

fn instance(edit: impl FnOnce(&mut ServiceInstance)) -> ServiceInstance {
    let mut instance = ServiceInstance::default();
    (instance.metadata.name, instance.metadata.namespace) = (Some("cart-1".into()), Some(TYPED.into()));
    instance.spec.service = "cart".into();
    instance.spec.address = "192.0.2.7".into();
    edit(&mut instance);
    let name = instance.name().to_owned();
    instance.spec.fill_defaults(&name);
    instance
}

fn lease(kind: LeaseKind, ttl_seconds: Option<i32>, session: &str) -> Option<InstanceLease> {
    Some(InstanceLease { kind, ttl_seconds, session: session.into() })
}

fn time(text: &str) -> Option<Time> {
    Some(Time(text.parse().expect("a time")))
}

fn texts<const N: usize>(texts: [(&str, &str); N]) -> BTreeMap<String, String> {
    texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

fn check(id: &str) -> HealthCheck {
    HealthCheck { id: id.into(), ttl_milliseconds: Some(30_000), ..HealthCheck::default() }
}

fn port(name: &str, port: i32, protocol: &str) -> InstancePort {
    InstancePort { name: name.into(), port, protocol: protocol.into() }
}

type Edit = fn(&mut ServiceInstance);

/// What instances may say, part by part.
const PARTS: &[(&str, Edit)] = &[
    ("nothing more", |_| {}),
    ("an id of its own", |it| it.spec.instance_id = "cart:1\"\\".into()),
    ("a node instead of an address", |it| {
        it.spec.address.clear();
        it.spec.node = "vm-1".into();
    }),
    ("a port", |it| it.spec.ports = vec![port("", 80, "")]),
    ("ports", |it| it.spec.ports = vec![port("http", 80, ""), port("dns", 53, "UDP")]),
    ("tags, one twice, out of order", |it| it.spec.tags = ["v1", "a b", "é\n\"", "v1", ""].map(str::to_owned).into()),
    ("metadata", |it| it.spec.metadata = texts([("zone", "a"), ("a\"b", ""), ("Z.é/\u{1}", "x\u{7f}")])),
    ("a version", |it| it.spec.version = "2.0".into()),
    ("weights", |it| it.spec.weights = Some(InstanceWeights { passing: 10, warning: 2 })),
    ("a place", |it| {
        it.spec.locality = Some(InstanceLocality { region: "eu".into(), zone: "a".into(), rack: String::new() });
    }),
    ("a time to live", |it| it.spec.lease = lease(LeaseKind::Ttl, Some(30), "")),
    ("a connection", |it| it.spec.lease = lease(LeaseKind::Connection, None, "")),
    ("a session", |it| it.spec.lease = lease(LeaseKind::Session, None, "s")),
    ("further addresses", |it| {
        let wan = TaggedAddress { address: "198.51.100.1".into(), port: 443 };
        it.spec.tagged_addresses = [("wan".to_owned(), wan.clone()), ("lan_ipv4".to_owned(), wan)].into();
    }),
    ("an override of the tags", |it| it.spec.enable_tag_override = true),
    ("a decision", |it| {
        let since = time("2026-01-01T00:00:00.5Z");
        it.spec.administrative =
            Some(InstanceOverride { mode: OverrideMode::OutOfService, reason: "disk".into(), since });
    }),
    ("what one dialect knows", |it| {
        let known = json!({"eureka": {"a": 1, "b": [1, {"c": "d"}], "e": {}, "f": true, "g\"": {"h": -1, "i": null}}, "x": "y", "z": null});
        it.spec.extensions = known.as_object().expect("an object").clone();
    }),
    ("an origin", |it| it.spec.origin = "consul".into()),
    ("checks", |it| {
        it.spec.checks = vec![check("service:z"), check("a\"b"), check("service:a")];
        it.spec.checks[0].initial_health = Some(Health::Passing);
    }),
    ("a check with all there is", |it| {
        it.spec.checks = vec![HealthCheck {
            name: "n".into(),
            r#type: CheckType::Http,
            notes: "o".into(),
            url: "http://192.0.2.7/".into(),
            method: "HEAD".into(),
            headers: [("x-a".to_owned(), vec!["b".to_owned(), String::new()])].into(),
            body: "{}".into(),
            disable_redirects: true,
            address: "192.0.2.7:1".into(),
            tls: true,
            tls_server_name: "a".into(),
            tls_skip_verify: true,
            command: vec!["true".into()],
            alias_node: "vm-1".into(),
            alias_service: "s".into(),
            interval_milliseconds: Some(10_000),
            timeout_milliseconds: Some(1),
            success_before_passing: 1,
            failures_before_warning: 2,
            failures_before_critical: 3,
            output_max_bytes: Some(4096),
            deregister_critical_after_seconds: Some(60),
            initial_health: Some(Health::Warning),
            ..check("all")
        }];
    }),
    ("a health", |it| {
        let status = ServiceInstanceStatus { health: Health::Warning, reason: "slow".into(), ..Default::default() };
        it.status = Some(status);
    }),
    ("what its checks found", |it| {
        let since = time("2026-01-01T00:00:00.123456Z");
        let found = HealthCheckStatus { id: "a".into(), health: Health::Critical, output: "re\tfused".into(), since };
        let checks = vec![found.clone(), HealthCheckStatus { id: "b".into(), since: None, ..found }];
        it.status = Some(ServiceInstanceStatus { checks, since: time("2026-01-01T00:00:00Z"), ..Default::default() });
    }),
    ("who registered it", |it| {
        it.metadata.annotations = Some(texts([("registry.portolan.dev/registered-by", "address 192.0.2.1")]));
    }),
];

async fn namespaces(cluster: &Cluster) {
    for name in [TYPED, ASKED] {
        assert_eq!(cluster.create("/api/v1/namespaces", json!({"metadata": {"name": name}})).await.code, 201);
    }
}

fn path(namespace: &str) -> String {
    format!("/apis/registry.portolan.dev/v1/namespaces/{namespace}/serviceinstances")
}

async fn stored(cluster: &Cluster, namespace: &str) -> Option<String> {
    let key = format!("/registry/registry.portolan.dev/serviceinstances/{namespace}/cart-1");
    let request = RangeRequest { range: KeyRange::key(key), revision: None, limit: 1 };
    let found = cluster.store.range(request).await.expect("reads").entries;
    found.first().map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}

/// Asks for it as any client would; the code of the answer.
async fn ask(cluster: &Cluster, user: User, mut instance: ServiceInstance, namespace: &str) -> u16 {
    instance.metadata.namespace = Some(namespace.into());
    let request = http::Request::builder().method("POST").uri(path(namespace)).header("user-agent", AGENT);
    let request = request.header("content-type", "application/json").body(full(instance.encode())).expect("a request");
    cluster.server.handle(request, Peer::Trusted(user.into())).await.status().as_u16()
}

async fn create(cluster: &Cluster, user: User, instance: &mut ServiceInstance) -> bool {
    cluster.server.create_known(&user, Some(&AGENT), Known::ServiceInstance(instance)).await
}

/// The stored form without what differs from one object to the next.
fn alike(stored: &str, namespace: &str) -> String {
    let object: Value = serde_json::from_str(stored).expect("JSON");
    let uid = object["metadata"]["uid"].as_str().expect("has a UID").to_owned();
    stored.replace(&uid, "UID").replace(namespace, "NAMESPACE")
}

#[tokio::test]
async fn what_is_created_is_what_a_request_would_have_stored() {
    let cluster = cluster().await;
    namespaces(&cluster).await;
    let every = |it: &mut ServiceInstance| PARTS.iter().for_each(|(_, edit)| edit(it));
    let one_by_one = PARTS.iter().map(|(what, edit)| (*what, instance(edit)));
    for (what, asked) in one_by_one.chain([("everything", instance(every))]) {
        let mut typed = asked.clone();
        assert!(typed.is_plain(), "{what}");
        assert!(create(&cluster, admin(), &mut typed).await, "{what}");
        assert_eq!(ask(&cluster, admin(), asked, ASKED).await, 201, "{what}");
        let (one, other) = (stored(&cluster, TYPED).await, stored(&cluster, ASKED).await);
        let (one, other) = (one.expect("is stored"), other.expect("is stored"));
        assert_eq!(alike(&one, TYPED), alike(&other, ASKED), "{what}");
        // What the creator knows of it is what others read.
        let uri = format!("{}/cart-1", path(TYPED));
        let mut read = ServiceInstance::decode(cluster.get(&uri).await.body.to_string().as_bytes()).expect("decodes");
        read.metadata.managed_fields = None;
        assert_eq!(typed, read, "{what}");
        for namespace in [TYPED, ASKED] {
            assert_eq!(cluster.delete(&format!("{}/cart-1", path(namespace)), json!({})).await.code, 200);
        }
    }
}

/// Not valid, or not in its one form.
const OTHERS: &[(&str, Edit)] = &[
    ("no name", |it| it.metadata.name = None),
    ("no name of an object", |it| it.metadata.name = Some("Cart_1".into())),
    ("labels", |it| it.metadata.labels = Some(texts([("a", "b")]))),
    ("a finalizer", |it| it.metadata.finalizers = Some(vec!["a/b".into()])),
    ("an annotation with a bad name", |it| it.metadata.annotations = Some(texts([("a b", "c")]))),
    ("a version of before", |it| it.metadata.resource_version = Some("5".into())),
    ("no service", |it| it.spec.service.clear()),
    ("a service with a slash", |it| it.spec.service = "a/b".into()),
    ("no address", |it| it.spec.address.clear()),
    ("a control character", |it| it.spec.address = "a\u{1}".into()),
    ("no number for a port", |it| it.spec.ports = vec![port("", 0, "TCP")]),
    ("too large a number for a port", |it| it.spec.ports = vec![port("", 70_000, "TCP")]),
    ("a protocol that is none", |it| it.spec.ports = vec![port("", 80, "tcp")]),
    ("two ports of a name", |it| it.spec.ports = vec![port("a", 80, ""), port("a", 81, "")]),
    ("two ports without names", |it| it.spec.ports = vec![port("", 80, ""), port("", 81, "")]),
    ("no weight", |it| it.spec.weights = Some(InstanceWeights { passing: 0, warning: 1 })),
    ("no time to live", |it| it.spec.lease = lease(LeaseKind::Ttl, None, "")),
    ("too long a time to live", |it| it.spec.lease = lease(LeaseKind::Ttl, Some(90_000), "")),
    ("an owner that is not named", |it| it.spec.lease = lease(LeaseKind::Orchestrator, None, "")),
    ("a session without one", |it| it.spec.lease = lease(LeaseKind::Session, None, "")),
    ("a check without a time", |it| it.spec.checks = vec![HealthCheck { ttl_milliseconds: None, ..check("a") }]),
    ("two checks of an id", |it| it.spec.checks = vec![check("a"), check("a")]),
    ("a fraction", |it| drop(it.spec.extensions.insert("a".into(), json!(1.5)))),
    ("a place that is nowhere", |it| it.spec.locality = Some(InstanceLocality::default())),
    ("an address without a port", |it| {
        it.spec.tagged_addresses = [("wan".to_owned(), TaggedAddress { address: "a".into(), port: 0 })].into();
    }),
];

#[tokio::test]
async fn what_is_not_plain_is_left_to_a_request() {
    let cluster = cluster().await;
    namespaces(&cluster).await;
    for (what, edit) in OTHERS {
        let mut typed = instance(edit);
        let before = typed.clone();
        assert!(!create(&cluster, admin(), &mut typed).await, "{what}");
        assert_eq!((typed, stored(&cluster, TYPED).await), (before, None), "{what}");
    }
    // No other defaults than those of the API are taken for granted.
    let mut bare = instance(|_| {});
    bare.spec.weights = None;
    assert!(!create(&cluster, admin(), &mut bare).await);
}

#[tokio::test]
async fn whoever_has_a_say_makes_it_a_request() {
    let cluster = cluster().await;
    namespaces(&cluster).await;
    let refused = async |what: &str| {
        let mut typed = instance(|_| {});
        assert!(!create(&cluster, admin(), &mut typed).await, "{what}");
        assert_eq!(stored(&cluster, TYPED).await, None, "{what}");
        assert_eq!(typed.metadata.uid, ObjectMeta::default().uid);
    };
    let mut typed = instance(|_| {});
    assert!(!create(&cluster, User::new("nobody", []), &mut typed).await, "somebody who may not");
    assert_eq!(stored(&cluster, TYPED).await, None);
    typed.metadata.namespace = Some("nowhere".into());
    assert!(!create(&cluster, admin(), &mut typed).await, "a namespace that is not there");

    let webhook = json!({"metadata": {"name": "w"}, "webhooks": [{
        "name": "w.example.com", "clientConfig": {"url": "https://localhost:1/"}, "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["serviceinstances"]}],
    }]});
    for kind in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        let uri = format!("/apis/admissionregistration.k8s.io/v1/{kind}");
        assert_eq!(cluster.create(&uri, webhook.clone()).await.code, 201);
        refused(kind).await;
        assert_eq!(cluster.delete(&format!("{uri}/w"), json!({})).await.code, 200);
    }
    let quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"count/serviceinstances.registry.portolan.dev": "0"}}});
    let uri = format!("/api/v1/namespaces/{TYPED}/resourcequotas");
    assert_eq!(cluster.create(&uri, quota).await.code, 201);
    refused("a quota").await;
    assert_eq!(cluster.delete(&format!("{uri}/q"), json!({})).await.code, 200);
    let service = json!({"metadata": {"name": "v1.registry.portolan.dev"}, "spec": {
        "group": "registry.portolan.dev", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
        "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "elsewhere"},
    }});
    let uri = "/apis/apiregistration.k8s.io/v1/apiservices";
    let path = format!("{uri}/v1.registry.portolan.dev");
    let made = cluster.create(uri, service.clone()).await;
    if made.code == 409 {
        let mut present = cluster.get(&path).await.body;
        present["spec"] = service["spec"].clone();
        assert_eq!(cluster.update(&path, &present).await.code, 200);
    }
    refused("another server for the group").await;
    assert_eq!(cluster.delete(&path, json!({})).await.code, 200);

    assert!(create(&cluster, admin(), &mut instance(|_| {})).await);
    assert!(!create(&cluster, admin(), &mut instance(|_| {})).await, "one that is there");
    assert_eq!(ask(&cluster, admin(), instance(|_| {}), TYPED).await, 409);

    let folder = tempfile::tempdir().expect("a folder");
    let log = LogFile { path: folder.path().join("audit.log"), ..LogFile::default() };
    let policy =
        Policy::parse("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Metadata}\n").expect("reads");
    let audited = cluster_with(Access { audit: Some(Audit::to_file(policy, log)), ..Access::default() }).await;
    namespaces(&audited).await;
    assert!(!create(&audited, admin(), &mut instance(|_| {})).await, "a log of who did what");
}
