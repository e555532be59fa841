//! Drives a cluster with everything that kube-rs offers to controllers: a derived kind with rules, a controller
//! with a finalizer and owned objects by server-side apply, events, watchers, a store, a leader's lease, and the
//! streams of pods. Needs a kubeconfig of an administrator and the image `web:1`; prints one line per check.

mod controller;
mod lease;
mod streams;

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, ValidationDirective};
use kube::runtime::{WatchStreamExt, reflector, wait, watcher};
use kube::{Client, CustomResourceExt, ResourceExt};
use serde_json::json;

use controller::{Order, OrderSpec};

const PATIENCE: Duration = Duration::from_secs(60);
const CRD: &str = "orders.shop.kube.rs";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let client = Client::try_default().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = format!("kube-rs-{}", std::process::id());
    let namespace = Namespace { metadata: ObjectMeta { name: Some(name.clone()), ..Default::default() }, ..Default::default() };
    namespaces.create(&PostParams::default(), &namespace).await?;
    let mut failed = 0;
    macro_rules! check {
        ($name:literal, $work:expr) => {
            match tokio::time::timeout(PATIENCE, $work).await.map_err(anyhow::Error::from).flatten() {
                Ok(()) => println!("ok {}", $name),
                Err(error) => {
                    failed += 1;
                    println!("FAILED {}: {error:#}", $name);
                }
            }
        };
    }
    check!("a derived kind is published", definition(&client));
    check!("what the derived rules forbid is refused", rules(&client, &name));
    check!("a controller reconciles", controller::check(&client, &name));
    check!("apply has owners and conflicts", apply(&client, &name));
    check!("watchers list in both ways and recover", watchers(&client, &name));
    check!("pages and metadata", pages(&client, &name));
    check!("one of several leads", lease::check(&client, &name));
    check!("streams of pods", streams::check(&client, &name));
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.delete(CRD, &DeleteParams::default()).await?;
    namespaces.delete(&name, &DeleteParams::default()).await?;
    tokio::time::timeout(PATIENCE, wait::await_condition(namespaces, &name, gone)).await.context("the namespace stays")??;
    println!("ok the namespace goes with all that is in it");
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}

/// Holds for what is not there.
pub(crate) fn gone<K>(object: Option<&K>) -> bool {
    object.is_none()
}

async fn definition(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let as_us = PatchParams::apply("kube-rs").force();
    definitions.patch(CRD, &as_us, &Patch::Apply(Order::crd())).await?;
    wait::await_condition(definitions, CRD, wait::conditions::is_crd_established()).await?;
    let groups = kube::discovery::group(client, "shop.kube.rs").await?;
    let (resource, capabilities) = groups.recommended_kind("Order").context("the kind is not discovered")?;
    ensure!(resource.plural == "orders" && capabilities.supports_operation("patch"), "{resource:?}");
    ensure!(capabilities.subresources.len() == 2, "status and scale: {:?}", capabilities.subresources);
    Ok(())
}

/// The error of the API, or a complaint that there was none.
pub(crate) fn refusal<T: Debug>(answer: kube::Result<T>) -> anyhow::Result<kube::core::Status> {
    match answer {
        Err(kube::Error::Api(status)) => Ok(*status),
        other => bail!("not refused: {other:?}"),
    }
}

async fn rules(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let orders: Api<Order> = Api::namespaced(client.clone(), namespace);
    let order = |pieces| Order::new("refused", OrderSpec { item: "tea".into(), pieces });
    let status = refusal(orders.create(&PostParams::default(), &order(-1)).await)?;
    ensure!(status.code == 422 && status.message.contains("spec.pieces"), "{status:?}");
    let status = refusal(orders.create(&PostParams::default(), &order(13)).await)?;
    ensure!(status.code == 422 && status.message.contains("thirteen brings bad luck"), "{status:?}");
    let strict = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply("kube-rs") };
    let unknown = json!({"apiVersion": "shop.kube.rs/v1", "kind": "Order", "spec": {"item": "tea", "colour": "green"}});
    let status = refusal(orders.patch("refused", &strict, &Patch::Apply(&unknown)).await)?;
    // An apply is held to the schema before anybody asks how strictly, in the words of the library that applies.
    ensure!(status.code == 500 && status.message.contains(".spec.colour: field not declared in schema"), "{status:?}");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    orders.create(&dry, &order(2)).await?;
    ensure!(orders.get_opt("refused").await?.is_none(), "a dry run was kept");
    Ok(())
}

async fn apply(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"a": value}});
    let one = maps.patch("shared", &PatchParams::apply("one"), &Patch::Apply(map("1"))).await?;
    let again = maps.patch("shared", &PatchParams::apply("one"), &Patch::Apply(map("1"))).await?;
    ensure!(one.resource_version() == again.resource_version(), "an apply that changes nothing was written");
    let status = refusal(maps.patch("shared", &PatchParams::apply("two"), &Patch::Apply(map("2"))).await)?;
    ensure!(status.code == 409 && status.message.contains("conflict with \"one\": .data.a"), "{status:?}");
    let taken = maps.patch("shared", &PatchParams::apply("two").force(), &Patch::Apply(map("2"))).await?;
    ensure!(taken.data.unwrap_or_default()["a"] == "2", "not taken over");
    let mut stale = one.clone();
    stale.data = None;
    let status = refusal(maps.replace("shared", &PostParams::default(), &stale).await)?;
    ensure!(status.code == 409 && status.reason == "Conflict", "{status:?}");
    let mut entry = maps.entry("entered").await?.or_insert(ConfigMap::default);
    entry.commit(&PostParams::default()).await?;
    ensure!(maps.get("entered").await?.uid().is_some(), "not entered");
    Ok(())
}

async fn watchers(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let labelled = |name: &str| ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: Some([("watched".to_owned(), "yes".to_owned())].into()),
            ..Default::default()
        },
        ..Default::default()
    };
    maps.create(&PostParams::default(), &labelled("before")).await?;
    let config = watcher::Config::default().labels("watched=yes");
    for config in [config.clone(), config.clone().streaming_lists(), config.any_semantic().page_size(1)] {
        let (store, writer) = reflector::store();
        let events = watcher(maps.clone(), config).default_backoff().reflect(writer).applied_objects();
        pin_mut!(events);
        let first = events.try_next().await?.context("the watch ended")?;
        ensure!(first.name_any() == "before", "{}", first.name_any());
        maps.create(&PostParams::default(), &labelled("after")).await?;
        let second = events.try_next().await?.context("the watch ended")?;
        ensure!(second.name_any() == "after" && store.len() == 2, "{} of {}", second.name_any(), store.len());
        maps.delete("after", &DeleteParams::default()).await?;
    }
    let too_old = maps.watch(&Default::default(), "1").await;
    if let Ok(events) = too_old {
        pin_mut!(events);
        // Either it is remembered that long, or the client is told to list anew.
        let first = events.next().await.context("no event")?;
        ensure!(!matches!(&first, Ok(kube::api::WatchEvent::Error(status)) if status.code != 410), "{first:?}");
    }
    Ok(())
}

async fn pages(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut parameters = ListParams::default().limit(1);
    let mut names = Vec::new();
    loop {
        let page = maps.list_metadata(&parameters).await?;
        ensure!(page.items.len() <= 1, "a page of {}", page.items.len());
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = ListParams::default().limit(1).continue_token(&token),
            None => break,
        }
    }
    let all: Vec<String> = maps.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    ensure!(names == all && all.len() >= 2, "{names:?} {all:?}");
    Ok(())
}
