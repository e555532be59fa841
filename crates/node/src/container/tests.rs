//! Environments and security settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use portolan_runtime::{Image, Seccomp};
use serde_json::{Value, json};

use super::env::{self, Fetched};
use super::fields::Place;
use super::security;
use crate::config::Capacity;
use crate::pod;

fn pod(container: Value) -> Pod {
    let mut app = json!({"name": "app", "image": "i"});
    app.as_object_mut().expect("an object").extend(container.as_object().expect("an object").clone());
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"a": "b"}},
        "spec": {"containers": [app], "serviceAccountName": "robot"},
    });
    serde_json::from_value(object).expect("the test's pod is valid")
}

fn place() -> Place {
    Place {
        node_name: "north".into(),
        host_addresses: vec!["192.0.2.1".into()],
        pod_addresses: vec!["10.42.0.2".into()],
        allocatable: Capacity {
            cpu_milli: 2000,
            memory_bytes: 1 << 30,
            ephemeral_storage_bytes: 1 << 30,
            ..Capacity::default()
        },
    }
}

fn environment(container: Value) -> Result<String, String> {
    let pod = pod(container);
    let map: ConfigMap = serde_json::from_value(json!({"data": {"KEY": "value"}})).expect("valid");
    let secret: Secret = serde_json::from_value(json!({"data": {"PASS": "c2VjcmV0"}})).expect("valid");
    let fetched = Fetched {
        config_maps: [("map".to_owned(), Some(Arc::new(map))), ("none".to_owned(), None)].into(),
        secrets: [("secret".to_owned(), Some(Arc::new(secret)))].into(),
    };
    let services = BTreeMap::from([("API".to_owned(), "10.43.0.1".to_owned())]);
    let env = env::environment(&pod, &pod::spec(&pod).containers[0], &fetched, &services, &place())?;
    Ok(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
}

#[test]
fn environments_are_resolved_in_order() {
    let cases = [
        (json!({}), Ok("API=10.43.0.1")),
        (
            json!({"env": [{"name": "A", "value": "x"}, {"name": "B", "value": "$(A)-$(API)-$(C)-$$(A)-$5"}]}),
            Ok("API=10.43.0.1 A=x B=x-10.43.0.1-$(C)-$(A)-$5"),
        ),
        (
            json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}}, {"secretRef": {"name": "secret"}}]}),
            Ok("API=10.43.0.1 P_KEY=value PASS=secret"),
        ),
        (
            json!({"env": [
                {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                {"name": "I", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ]}),
            Ok("API=10.43.0.1 N=north L=b I=10.42.0.2"),
        ),
        (
            json!({"resources": {"limits": {"cpu": "1500m"}}, "env": [
                {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            ]}),
            Ok("API=10.43.0.1 C=2 M=1500 B=1024"),
        ),
        (json!({"envFrom": [{"configMapRef": {"name": "none", "optional": true}}]}), Ok("API=10.43.0.1")),
        (json!({"envFrom": [{"configMapRef": {"name": "none"}}]}), Err("configmap \"none\" not found")),
        (
            json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "nope"}}}]}),
            Err("couldn't find key nope in ConfigMap shop/map"),
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "lost", "key": "k"}}}]}),
            Err("secret \"lost\" not found"),
        ),
    ];
    for (container, expected) in cases {
        let got = environment(container.clone());
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{container}");
    }
}

#[test]
fn services_are_told_by_variables() {
    let service = |namespace: &str, name: &str, ip: &str| -> Arc<Service> {
        let object = json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        });
        Arc::new(serde_json::from_value(object).expect("valid"))
    };
    let services = [
        service("default", "kubernetes", "10.43.0.1"),
        service("shop", "my-db", "10.43.0.2"),
        service("shop", "x", "None"),
    ];
    let names = |pod: &Pod| env::service_variables(pod, &services).into_iter().collect::<Vec<_>>();
    let variables = names(&pod(json!({})));
    let has = |name: &str, value: &str| variables.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("KUBERNETES_SERVICE_HOST", "10.43.0.1") && has("MY_DB_SERVICE_PORT_HTTP", "80"));
    assert!(
        has("MY_DB_PORT_80_TCP", "tcp://10.43.0.2:80") && !variables.iter().any(|(name, _)| name.starts_with("X_"))
    );
    let mut unlinked = pod(json!({}));
    unlinked.spec.as_mut().expect("a spec").enable_service_links = Some(false);
    assert!(names(&unlinked).iter().all(|(name, _)| name.starts_with("KUBERNETES_")));
}

#[test]
fn security_settings_are_merged_and_root_is_refused() {
    let image = |user_id, user_name: &str| Image {
        id: "i".into(),
        tags: Vec::new(),
        digests: Vec::new(),
        size_bytes: 0,
        user_id,
        user_name: user_name.into(),
        local: false,
        pinned: false,
    };
    let check = |context: Value, image: Image| {
        let pod = pod(json!({"securityContext": context}));
        security::of_container(&pod, &pod::spec(&pod).containers[0], Some(&image), Path::new("/seccomp"))
    };
    let config = check(
        json!({"runAsUser": 7, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["CAP_CHOWN"]},
               "seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}),
        image(None, ""),
    )
    .expect("allowed");
    assert_eq!((config.run_as_user, config.no_new_privileges), (Some(7), true));
    assert_eq!((config.add_capabilities, config.drop_capabilities), (vec!["CHOWN".to_owned()], vec!["ALL".to_owned()]));
    assert_eq!(config.seccomp, Seccomp::Localhost("/seccomp/a.json".into()));
    for (context, image, expected) in [
        (
            json!({"runAsNonRoot": true, "runAsUser": 0}),
            image(None, ""),
            "container's runAsUser breaks non-root policy",
        ),
        (json!({"runAsNonRoot": true}), image(Some(0), ""), "container has runAsNonRoot and image will run as root"),
        (json!({"runAsNonRoot": true}), image(None, ""), "container has runAsNonRoot and image will run as root"),
        (
            json!({"runAsNonRoot": true}),
            image(None, "web"),
            "container has runAsNonRoot and image has non-numeric user (web)",
        ),
    ] {
        let refusal = check(context, image).expect_err("refused");
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    assert!(check(json!({"runAsNonRoot": true}), image(Some(9), "")).is_ok());
}
