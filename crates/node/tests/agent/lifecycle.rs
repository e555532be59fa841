//! Lives of pods.

use portolan_runtime::Runtime as _;
use serde_json::json;

use crate::harness::{Node, condition, status};

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_its_status_says_so() {
    let node = Node::start().await;
    node.create("web", json!({})).await;
    node.until_ready("web").await;
    let pod = node.pod("web").expect("it is there");
    let status = status(&pod);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(status.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(status.host_ip.as_deref(), Some("127.0.0.1"));
    for name in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&pod, name), "True", "{name}");
    }
    let container = &status.container_statuses.expect("one container")[0];
    assert!(container.ready && container.started == Some(true) && container.restart_count == 0);
    assert!(container.container_id.as_deref().is_some_and(|id| id.starts_with("containerd://")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_leaves_nothing_behind() {
    let node = Node::start().await;
    node.create("web", json!({"volumes": [{"name": "tmp", "emptyDir": {}}]})).await;
    node.until_ready("web").await;
    node.client
        .delete::<portolan_api::typed::kinds::core::v1::Pod>("default", "web", &Default::default())
        .await
        .expect("deletable");
    node.until_gone("web").await;
    let empty = async {
        while !node.runtime.sandboxes().await.expect("listed").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), empty).await.expect("the sandbox is removed");
    node.stop().await;
}
