use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{ConfigMap, Node};
use portolan_base::{Shutdown, SystemClock};

use super::*;
use crate::params::{DeleteOptions, Patch};
use crate::testing::FakeServer;

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), namespace: Some("n".to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

fn names(keys: std::collections::BTreeSet<Key>) -> Vec<String> {
    keys.into_iter().map(|key| key.name).collect()
}

/// Runs a scenario with informers that are up; stops them afterwards.
async fn with_informers<F: Future<Output = ()>>(server: &FakeServer, scenario: impl FnOnce(Arc<Informers>) -> F) {
    let informers = Informers::new(server.client());
    let shutdown = Shutdown::default();
    tokio::join!(informers.run(shutdown.clone()), async {
        scenario(informers.clone()).await;
        shutdown.request();
    });
}

async fn follows_changes(server: FakeServer) {
    let client = server.client();
    client.create(&config_map("a")).await.expect("the name is free");
    with_informers(&server.clone(), |informers| async move {
        let informer = informers.informer::<ConfigMap>();
        informer.synced().await;
        let mut keys = informer.keys();
        assert_eq!(names(keys.next().await), ["a"]);
        client.create(&config_map("b")).await.expect("the name is free");
        assert_eq!(names(keys.next().await), ["b"]);
        client.delete::<ConfigMap>("n", "a", &DeleteOptions::default()).await.expect("it exists");
        assert_eq!(names(keys.next().await), ["a"]);
        assert!(informer.get("n", "a").is_none() && informer.get("n", "b").is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn follows_changes_by_watch_list() {
    follows_changes(FakeServer::default()).await;
}

#[tokio::test(start_paused = true)]
async fn falls_back_to_list_and_watch() {
    follows_changes(FakeServer::without_watch_lists(Arc::new(SystemClock))).await;
}

#[tokio::test(start_paused = true)]
async fn resumes_after_the_server_ends_a_watch_and_keeps_decoded_objects() {
    let server = FakeServer::default();
    let client = server.client();
    client.create(&config_map("a")).await.expect("the name is free");
    with_informers(&server.clone(), |informers| async move {
        let informer = informers.informer::<ConfigMap>();
        informer.synced().await;
        let before = informer.get("n", "a").expect("it was created");
        let mut keys = informer.keys();
        keys.next().await;
        server.end_watches();
        client.create(&config_map("b")).await.expect("the name is free");
        assert_eq!(names(keys.next().await), ["b"]);
        assert!(Arc::ptr_eq(&before, &informer.get("n", "a").expect("nobody deleted it")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn starts_over_when_history_is_gone_and_notices_what_was_deleted_meanwhile() {
    let server = FakeServer::default();
    let client = server.client();
    for name in ["a", "b"] {
        client.create(&config_map(name)).await.expect("the name is free");
    }
    with_informers(&server.clone(), |informers| async move {
        let informer = informers.informer::<ConfigMap>();
        informer.synced().await;
        let kept = informer.get("n", "b").expect("it was created");
        let mut keys = informer.keys();
        keys.next().await;
        server.end_watches();
        client.delete::<ConfigMap>("n", "a", &DeleteOptions::default()).await.expect("it exists");
        server.compact();
        assert_eq!(names(keys.next().await), ["a"]);
        assert!(Arc::ptr_eq(&kept, &informer.get("n", "b").expect("nobody deleted it")), "same version, same object");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_informer_is_shared_by_all_who_ask() {
    let server = FakeServer::default();
    with_informers(&server.clone(), |informers| async move {
        let first = informers.informer::<Node>();
        let second = informers.informer::<Node>();
        assert!(Arc::ptr_eq(&first.inner, &second.inner));
        assert!(!Arc::ptr_eq(&first.inner, &informers.selected::<Node>("metadata.name=a").inner));
        second.synced().await;
        assert!(first.is_synced());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn feeds_see_the_old_and_the_new_version() {
    let server = FakeServer::default();
    let client = server.client();
    let mut object = config_map("a");
    object.metadata.labels = Some([("for".to_owned(), "x".to_owned())].into());
    client.create(&object).await.expect("the name is free");
    with_informers(&server.clone(), |informers| async move {
        let informer = informers.informer::<ConfigMap>();
        informer.synced().await;
        let queue = WorkQueue::new();
        informer.feed(&queue, |object| {
            object.metadata().labels.iter().flatten().map(|(_, value)| Key::new("", value)).collect()
        });
        assert_eq!(names(queue.next().await), ["x"]);
        let patch = Patch::Merge(serde_json::json!({"metadata": {"labels": {"for": "y"}}}));
        client.patch::<ConfigMap>("n", "a", "", &patch).await.expect("it exists");
        assert_eq!(names(queue.next().await), ["x", "y"]);
    })
    .await;
}
