//! Evictions and the budgets that limit them.

use serde_json::{Value, json};

use crate::support::{Answer, Cluster, cluster, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A pod that runs and is, or is not, ready.
async fn running(cluster: &Cluster, name: &str, ready: &str) {
    assert_eq!(cluster.create(PODS, pod(name)).await.code, 201);
    let status =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}).to_string();
    let path = format!("{PODS}/{name}/status");
    assert_eq!(cluster.ask("PATCH", &path, "application/merge-patch+json", &status).await.code, 200);
}

async fn budget(cluster: &Cluster, name: &str, spec: Value, status: Value) {
    let made = cluster.create(BUDGETS, json!({"metadata": {"name": name}, "spec": spec})).await;
    assert_eq!(made.code, 201, "{made:?}");
    let mut object = made.body;
    object["status"] = status;
    let written = cluster.update(&format!("{BUDGETS}/{name}/status"), &object).await;
    assert_eq!(written.code, 200, "{written:?}");
}

async fn evict(cluster: &Cluster, name: &str, dry_run: &str) -> Answer {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    cluster.create(&format!("{PODS}/{name}/eviction{dry_run}"), eviction).await
}

fn status(allowed: i64, generation: i64) -> Value {
    json!({
        "observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 1,
        "expectedPods": 2, "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    })
}

#[tokio::test]
async fn a_budget_is_used_up_by_evictions_and_says_what_it_needs() {
    let cluster = cluster().await;
    for name in ["a", "b"] {
        running(&cluster, name, "True").await;
    }
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}});
    budget(&cluster, "web", spec, status(1, 1)).await;
    assert_eq!(evict(&cluster, "a", "?dryRun=All").await.code, 201);
    assert_eq!(cluster.get(&format!("{BUDGETS}/web")).await.body["status"]["disruptionsAllowed"], 1);
    assert_eq!(evict(&cluster, "a", "").await.code, 201);
    let left = cluster.get(&format!("{BUDGETS}/web")).await.body["status"].clone();
    assert_eq!(
        (&left["disruptionsAllowed"], &left["conditions"][0]["reason"]),
        (&json!(0), &json!("InsufficientPods"))
    );
    assert!(left["disruptedPods"]["a"].is_string(), "{left}");
    let refused = evict(&cluster, "b", "").await;
    assert_eq!(refused.text(), "429 Cannot evict pod as it would violate the pod's disruption budget.");
    let cause = json!({"reason": "DisruptionBudget", "message": "The disruption budget web needs 1 healthy pods and has 2 currently"});
    assert_eq!((&refused.body["reason"], &refused.body["details"]["causes"][0]), (&json!("TooManyRequests"), &cause));
    assert_eq!(cluster.get(&format!("{PODS}/b")).await.code, 200);
}

#[tokio::test]
async fn pods_that_serve_nobody_go_and_unclear_budgets_wait() {
    let cluster = cluster().await;
    let spec = json!({"minAvailable": 1, "selector": {}});
    budget(&cluster, "web", spec.clone(), status(0, 1)).await;
    // It has not started.
    assert_eq!(cluster.create(PODS, pod("pending")).await.code, 201);
    let phase = json!({"status": {"phase": "Pending"}}).to_string();
    cluster.ask("PATCH", &format!("{PODS}/pending/status"), "application/merge-patch+json", &phase).await;
    assert_eq!(evict(&cluster, "pending", "").await.code, 201);
    // Enough others are healthy.
    running(&cluster, "unready", "False").await;
    assert_eq!(evict(&cluster, "unready", "").await.code, 201);
    running(&cluster, "ready", "True").await;
    let unseen = json!({"spec": {"minAvailable": 2}}).to_string();
    cluster.ask("PATCH", &format!("{BUDGETS}/web"), "application/merge-patch+json", &unseen).await;
    let waits = evict(&cluster, "ready", "").await;
    assert_eq!((waits.code.as_u16(), waits.headers["retry-after"].to_str().ok()), (429, Some("10")));
    assert_eq!(
        waits.body["details"]["causes"][0]["message"],
        "The disruption budget web is still being processed by the server."
    );
    budget(&cluster, "second", spec, status(1, 1)).await;
    let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!(evict(&cluster, "ready", "").await.text(), format!("500 {text}"));
}
