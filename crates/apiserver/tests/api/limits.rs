//! What namespaces may use, and what pods may do.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

/// A quota whose use was counted, as its controller does.
async fn quota(cluster: &Cluster, name: &str, spec: Value) {
    let made = cluster.create(QUOTAS, json!({"metadata": {"name": name}, "spec": spec})).await;
    assert_eq!(made.code, 201, "{made:?}");
    let mut quota = made.body;
    let used: serde_json::Map<String, Value> =
        spec["hard"].as_object().expect("a list").keys().map(|name| (name.clone(), "0".into())).collect();
    quota["status"] = json!({"hard": spec["hard"], "used": used});
    let written = cluster.update(&format!("{QUOTAS}/{name}/status"), &quota).await;
    assert_eq!(written.code, 200, "{written:?}");
}

async fn used(cluster: &Cluster, name: &str) -> Value {
    cluster.get(&format!("{QUOTAS}/{name}")).await.body["status"]["used"].clone()
}

fn sized(name: &str, resources: Value) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

#[tokio::test]
async fn many_at_once_never_take_more_than_there_is() {
    let cluster = cluster().await;
    quota(&cluster, "few", json!({"hard": {"pods": "10", "secrets": "3", "requests.cpu": "1"}})).await;
    let pods = (0..40).map(|index| {
        let pod = sized(&format!("p{index}"), json!({"requests": {"cpu": "100m"}}));
        let cluster = &cluster;
        async move { cluster.create(PODS, pod).await }
    });
    let answers = join_all(pods).await;
    let made = answers.iter().filter(|answer| answer.code == 201).count();
    assert_eq!(made, 10);
    let refused = answers.iter().find(|answer| answer.code != 201).expect("one was too many");
    let text = refused.text();
    assert!(text.starts_with("403 pods \"p"), "{text}");
    let why = "exceeded quota: few, requested: pods=1,requests.cpu=100m, used: pods=10,requests.cpu=1, limited: pods=10,requests.cpu=1";
    assert!(text.ends_with(&format!("is forbidden: {why}")), "{text}");
    assert_eq!(used(&cluster, "few").await, json!({"pods": "10", "requests.cpu": "1", "secrets": "0"}));
    // What is not written is not charged.
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = |name: &str| json!({"metadata": {"name": name}});
    assert_eq!(cluster.create(&format!("{secrets}?dryRun=All"), secret("a")).await.code, 201);
    assert_eq!(cluster.create(secrets, secret("Bad_name")).await.code, 422);
    assert_eq!(cluster.create(secrets, secret("a")).await.code, 201);
    assert_eq!(cluster.create(secrets, secret("a")).await.code, 409);
    assert_eq!(used(&cluster, "few").await["secrets"], "1");
    // The count is the server's own.
    let quota = cluster.get(&format!("{QUOTAS}/few")).await.body;
    let managers = quota["metadata"]["managedFields"].as_array().expect("managers");
    let own = managers.iter().find(|it| it["manager"] == "kube-apiserver").expect("the server");
    assert_eq!((&own["operation"], &own["subresource"]), (&json!("Update"), &json!("status")));
    let counted = json!({"f:pods": {}, "f:requests.cpu": {}, "f:secrets": {}});
    assert_eq!(own["fieldsV1"], json!({"f:status": {"f:used": counted}}));
}

#[tokio::test]
async fn quotas_speak_of_what_is_in_their_scope_and_demand_what_they_count() {
    let cluster = cluster().await;
    quota(&cluster, "best", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})).await;
    quota(&cluster, "memory", json!({"hard": {"limits.memory": "1Gi"}, "scopes": ["NotBestEffort"]})).await;
    quota(&cluster, "services", json!({"hard": {"services.nodeports": "1", "count/deployments.apps": "0"}})).await;
    assert_eq!(cluster.create(PODS, pod("a")).await.code, 201);
    let answer = cluster.create(PODS, pod("b")).await;
    assert_eq!(
        answer.text(),
        "403 pods \"b\" is forbidden: exceeded quota: best, requested: pods=1, used: pods=1, limited: pods=1"
    );
    let answer = cluster.create(PODS, sized("c", json!({"requests": {"cpu": "1"}}))).await;
    assert_eq!(answer.text(), "403 pods \"c\" is forbidden: failed quota: memory: must specify limits.memory for: c");
    assert_eq!(cluster.create(PODS, sized("c", json!({"limits": {"memory": "600Mi"}}))).await.code, 201);
    let answer = cluster.create(PODS, sized("d", json!({"limits": {"memory": "600Mi"}}))).await;
    let why =
        "exceeded quota: memory, requested: limits.memory=600Mi, used: limits.memory=600Mi, limited: limits.memory=1Gi";
    assert_eq!(answer.text(), format!("403 pods \"d\" is forbidden: {why}"));
    // A change charges the difference.
    let services = "/api/v1/namespaces/default/services";
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    assert_eq!(cluster.create(services, service).await.code, 201);
    let more = json!({"spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}}).to_string();
    let answer = cluster.ask("PATCH", &format!("{services}/s"), "application/merge-patch+json", &more).await;
    assert_eq!(answer.code, 403, "{answer:?}");
    let less =
        json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": null, "ports": [{"port": 80}]}}).to_string();
    let answer = cluster.ask("PATCH", &format!("{services}/s"), "application/merge-patch+json", &less).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    assert_eq!(used(&cluster, "services").await["services.nodeports"], "0");
}

#[tokio::test]
async fn limit_ranges_complete_pods_and_bound_them() {
    let cluster = cluster().await;
    let limits = json!([
        {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}},
        {"type": "Pod", "max": {"memory": "1Gi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    ]);
    let range = json!({"metadata": {"name": "a"}, "spec": {"limits": limits}});
    let made = cluster.create("/api/v1/namespaces/default/limitranges", range).await;
    assert_eq!(made.body["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "1"}), "{made:?}");
    let answer = cluster.create(PODS, pod("a")).await;
    assert_eq!(
        answer.text(),
        "403 pods \"a\" is forbidden: maximum memory usage per Pod is 1Gi.  No limit is specified"
    );
    let answer = cluster.create(PODS, sized("a", json!({"limits": {"memory": "1Gi"}}))).await;
    assert_eq!(answer.body["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "1", "memory": "1Gi"}));
    let large = sized("b", json!({"limits": {"memory": "2Gi", "cpu": "2"}}));
    let answer = cluster.create(PODS, large).await;
    assert_eq!(
        answer.text(),
        "403 pods \"b\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Pod is 1Gi, but limit is 2Gi]"
    );
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
    let answer = cluster.create("/api/v1/namespaces/default/persistentvolumeclaims", claim).await;
    assert_eq!(
        answer.text(),
        "403 persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    );
}

#[tokio::test]
async fn namespaces_hold_pods_to_their_level_and_warn_about_workloads() {
    let cluster = cluster().await;
    let mut bold = pod("bold");
    bold["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    assert_eq!(cluster.create(PODS, bold.clone()).await.code, 201);
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}).to_string();
    let stricter = cluster.ask("PATCH", "/api/v1/namespaces/default", "application/merge-patch+json", &labels).await;
    let warnings: Vec<&str> = stricter.headers.get_all("warning").iter().filter_map(|it| it.to_str().ok()).collect();
    assert_eq!(
        warnings,
        [
            "299 - \"existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
            "299 - \"bold: privileged\"",
        ]
    );
    bold["metadata"]["name"] = "bolder".into();
    let refused = cluster.create(PODS, bold).await;
    assert_eq!(
        refused.text(),
        "403 pods \"bolder\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)"
    );
    // What was there before may still be labelled.
    let label = r#"{"metadata":{"labels":{"a":"b"}}}"#;
    assert_eq!(cluster.ask("PATCH", &format!("{PODS}/bold"), "application/merge-patch+json", label).await.code, 200);
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i"}]}});
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let made = cluster.create("/apis/apps/v1/namespaces/default/deployments", deployment).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(
        made.headers["warning"].to_str().ok(),
        Some("299 - \"would violate PodSecurity \\\"baseline:latest\\\": host namespaces (hostNetwork=true)\"")
    );
    let bad = json!({"metadata": {"name": "x", "labels": {"pod-security.kubernetes.io/enforce": "high"}}});
    let refused = cluster.create("/api/v1/namespaces", bad).await;
    assert_eq!(
        refused.text(),
        "422 Namespace \"x\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"high\": must be one of privileged, baseline, restricted"
    );
}

#[tokio::test]
async fn classes_and_protections_are_filled_in() {
    let cluster = cluster().await;
    let marked = |name: &str, mark: &str| json!({"metadata": {"name": name, "annotations": {mark: "true"}}});
    let mut storage = marked("fast", "storageclass.kubernetes.io/is-default-class");
    storage["provisioner"] = "example.com/p".into();
    assert_eq!(cluster.create("/apis/storage.k8s.io/v1/storageclasses", storage).await.code, 201);
    let mut ingress = marked("edge", "ingressclass.kubernetes.io/is-default-class");
    ingress["spec"] = json!({"controller": "example.com/c"});
    assert_eq!(cluster.create("/apis/networking.k8s.io/v1/ingressclasses", ingress).await.code, 201);
    let runtime = json!({
        "metadata": {"name": "sandboxed"}, "handler": "x", "overhead": {"podFixed": {"memory": "64Mi"}},
        "scheduling": {"nodeSelector": {"sandbox": "yes"}},
    });
    assert_eq!(cluster.create("/apis/node.k8s.io/v1/runtimeclasses", runtime).await.code, 201);
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim = cluster.create("/api/v1/namespaces/default/persistentvolumeclaims", claim).await.body;
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let ingress = json!({"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}});
    let ingress = cluster.create("/apis/networking.k8s.io/v1/namespaces/default/ingresses", ingress).await.body;
    assert_eq!(ingress["spec"]["ingressClassName"], "edge");
    let mut pod = pod("p");
    pod["spec"]["runtimeClassName"] = "sandboxed".into();
    let made = cluster.create(PODS, pod.clone()).await.body;
    assert_eq!(
        (&made["spec"]["overhead"], &made["spec"]["nodeSelector"]),
        (&json!({"memory": "64Mi"}), &json!({"sandbox": "yes"}))
    );
    pod["spec"]["runtimeClassName"] = "none".into();
    let refused = cluster.create(PODS, pod).await;
    assert_eq!(refused.text(), "403 pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
    let class = |name: &str| json!({"metadata": {"name": name}, "value": 5, "globalDefault": true});
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    assert_eq!(cluster.create(classes, class("one")).await.code, 201);
    let refused = cluster.create(classes, class("two")).await;
    let why = "PriorityClass one is already marked as default. Only one default can exist";
    assert_eq!(refused.text(), format!("403 priorityclasses.scheduling.k8s.io \"two\" is forbidden: {why}"));
}
