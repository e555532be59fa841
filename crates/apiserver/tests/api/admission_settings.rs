//! What is built in decides as the operator set it up.

use std::path::Path;
use std::time::Duration;

use portolan_apiserver::{Access, AdmissionSettings};
use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster_with, pod, request};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn cluster(enable: &[&str], disable: &[&str], plugins: &str) -> Cluster {
    let text = format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n{plugins}");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let file = Some((Path::new("/etc/admission.yaml"), text.as_str()));
    let admission =
        AdmissionSettings::read(&names(enable), &names(disable), file, &|_| Err("none".to_owned())).expect("reads");
    cluster_with(Access { admission, ..Access::default() }).await
}

fn bold(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["hostNetwork"] = true.into();
    pod
}

#[tokio::test]
async fn pods_keep_within_the_default_level_unless_they_are_exempt() {
    let cluster = cluster(
        &[],
        &[],
        "
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}
    exemptions: {usernames: [trusted], namespaces: [exempt], runtimeClasses: [sandboxed]}
",
    )
    .await;
    let namespace = |name: &str, level: &str| {
        let labels = json!({"pod-security.kubernetes.io/enforce": level});
        json!({"metadata": {"name": name, "labels": labels}})
    };
    let exempt = cluster.create("/api/v1/namespaces", namespace("exempt", "restricted")).await;
    let warning = exempt.headers["warning"].to_str().expect("text");
    assert!(
        warning.contains("namespace \\\"exempt\\\" is exempt from Pod Security, and the policy (enforce=restricted:v1.30) will be ignored"),
        "{warning}"
    );
    assert_eq!(cluster.create("/api/v1/namespaces", namespace("free", "privileged")).await.code, 201);
    for name in ["exempt", "free"] {
        let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
        cluster.create(&accounts, json!({"metadata": {"name": "default"}})).await;
    }
    let class = json!({"metadata": {"name": "sandboxed"}, "handler": "h"});
    assert_eq!(cluster.create("/apis/node.k8s.io/v1/runtimeclasses", class).await.code, 201);
    let mut sandboxed = bold("c");
    sandboxed["spec"]["runtimeClassName"] = "sandboxed".into();
    for (user, uri, pod, expected) in [
        ("ann", PODS, bold("a"), "violates PodSecurity \"baseline:v1.30\": host namespaces (hostNetwork=true)"),
        ("trusted", PODS, bold("b"), "201"),
        ("ann", PODS, sandboxed, "201"),
        ("ann", "/api/v1/namespaces/exempt/pods", bold("d"), "201"),
        ("ann", "/api/v1/namespaces/free/pods", bold("e"), "201"),
        ("ann", PODS, pod("f"), "201"),
    ] {
        let made = cluster
            .send(User::new(user, ["system:masters"]), request("POST", uri, "application/json", &pod.to_string()))
            .await;
        assert!(made.text().contains(expected), "{user} {uri}: {made:?}");
        let is_warned =
            made.headers.get("warning").is_some_and(|it| it.to_str().unwrap_or_default().contains("restricted"));
        assert_eq!(is_warned, pod["metadata"]["name"] == "f" || pod["metadata"]["name"] == "e", "{made:?}");
    }
}

#[tokio::test]
async fn what_is_limited_needs_a_quota_that_speaks_of_it() {
    let cluster = cluster(
        &[],
        &[],
        "
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - {resource: persistentvolumeclaims, matchContains: [fast.storageclass.storage.k8s.io]}
    - resource: pods
      matchScopes: [{scopeName: PriorityClass, operator: In, values: [high]}]
",
    )
    .await;
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    assert_eq!(cluster.create("/apis/scheduling.k8s.io/v1/priorityclasses", class).await.code, 201);
    let mut high = pod("a");
    high["spec"]["priorityClassName"] = "high".into();
    let claim = |class: &str| {
        let resources = json!({"requests": {"storage": "1Gi"}});
        json!({"metadata": {"generateName": "c"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": resources}})
    };
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    assert_eq!(
        cluster.create(PODS, high.clone()).await.text(),
        "500 insufficient quota to match these scopes: [{PriorityClass In [high]}]"
    );
    let refused = cluster.create(claims, claim("fast")).await.text();
    assert!(
        refused.ends_with(
            "is forbidden: insufficient quota to consume: fast.storageclass.storage.k8s.io/persistentvolumeclaims,\
             fast.storageclass.storage.k8s.io/requests.storage"
        ),
        "{refused}"
    );
    assert_eq!(cluster.create(PODS, pod("b")).await.code, 201);
    assert_eq!(cluster.create(claims, claim("slow")).await.code, 201);
    let hard = json!({"pods": "5"});
    let selector = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard, "scopeSelector": selector}});
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    assert_eq!(cluster.create(quotas, quota).await.code, 201);
    let counted = json!({"status": {"hard": {"pods": "5"}, "used": {"pods": "0"}}}).to_string();
    let patched = cluster.ask("PATCH", &format!("{quotas}/q/status"), "application/merge-patch+json", &counted).await;
    assert_eq!(patched.code, 200, "{patched:?}");
    let made = cluster.create(PODS, high).await;
    assert_eq!(made.code, 201, "{made:?}");
}

#[tokio::test]
async fn events_come_no_faster_than_configured() {
    let cluster = cluster(
        &["EventRateLimit"],
        &[],
        "
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits: [{type: Namespace, qps: 1, burst: 2}]
",
    )
    .await;
    let event = async |number: u32| {
        let event = json!({
            "metadata": {"name": format!("e{number}")}, "reason": "R", "message": "m", "type": "Normal",
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
            "source": {"component": "c"}, "count": 1,
        });
        cluster.create("/api/v1/namespaces/default/events", event).await.text()
    };
    assert_eq!((event(1).await, event(2).await), ("201".into(), "201".into()));
    assert_eq!(event(3).await, "429 limit reached on type Namespace for key default");
    cluster.clock.advance(Duration::from_secs(1));
    assert_eq!(event(4).await, "201");
}

#[tokio::test]
async fn what_is_enabled_decides_and_what_is_disabled_does_not() {
    let enabled = [
        "AlwaysPullImages",
        "DenyServiceExternalIPs",
        "ExtendedResourceToleration",
        "LimitPodHardAntiAffinityTopology",
    ];
    let cluster = cluster(&enabled, &["DefaultTolerationSeconds"], "").await;
    let mut plain = pod("a");
    let container = &mut plain["spec"]["containers"][0];
    container["imagePullPolicy"] = "Never".into();
    container["resources"] = json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}});
    let made = cluster.create(PODS, plain).await;
    assert_eq!(made.code, 201, "{made:?}");
    let spec = &made.body["spec"];
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(spec["tolerations"], json!([{"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]));
    let mut apart = pod("b");
    let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}});
    apart["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    assert_eq!(
        cluster.create(PODS, apart).await.text(),
        "403 pods \"b\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key \
         kubernetes.io/hostname is allowed"
    );
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.7"]}});
    assert_eq!(
        cluster.create("/api/v1/namespaces/default/services", service).await.text(),
        "403 services \"s\" is forbidden: Use of external IPs is denied by admission control"
    );
}
