//! A controller: each order has a Deployment of as many replicas as pieces, and leaves a bill behind.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event as ClusterEvent;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::finalizer::{Error as FinalizerError, Event as Step, finalizer};
use kube::runtime::{wait, watcher};
use kube::{Client, CustomResource, Resource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

const FINALIZER: &str = "shop.kube.rs/bill";

#[derive(CustomResource, Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "shop.kube.rs",
    version = "v1",
    kind = "Order",
    namespaced,
    status = "OrderStatus",
    shortname = "od",
    scale(spec_replicas_path = ".spec.pieces", status_replicas_path = ".status.ready"),
    printcolumn(name = "Pieces", type_ = "integer", json_path = ".spec.pieces"),
    validation = kube::core::Rule::new("self.spec.pieces != 13").message("thirteen brings bad luck")
)]
pub struct OrderSpec {
    pub item: String,
    #[schemars(range(min = 0, max = 20))]
    #[serde(default)]
    pub pieces: i32,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
pub struct OrderStatus {
    pub ready: i32,
    pub pieces: i32,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("ask the API: {0}")]
    Api(#[from] kube::Error),
    #[error("finalize: {0}")]
    Finalizer(#[source] Box<FinalizerError<Error>>),
}

struct Shared {
    client: Client,
    recorder: Recorder,
}

async fn reconcile(order: Arc<Order>, shared: Arc<Shared>) -> Result<Action, Error> {
    let namespace = order.namespace().unwrap_or_default();
    let orders: Api<Order> = Api::namespaced(shared.client.clone(), &namespace);
    let outcome = finalizer(&orders, FINALIZER, order, |step| async {
        match step {
            Step::Apply(order) => apply(&order, &namespace, &shared).await,
            Step::Cleanup(order) => clean_up(&order, &namespace, &shared).await,
        }
    });
    outcome.await.map_err(|error| Error::Finalizer(Box::new(error)))
}

async fn apply(order: &Order, namespace: &str, shared: &Shared) -> Result<Action, Error> {
    let (name, owner) = (order.name_any(), order.controller_owner_ref(&()));
    let as_us = PatchParams::apply("orders").force();
    let deployments: Api<Deployment> = Api::namespaced(shared.client.clone(), namespace);
    let labels = json!({"order": name});
    let wanted = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "replicas": order.spec.pieces, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "web:1"}],
            }},
        },
    });
    let deployment = deployments.patch(&name, &as_us, &Patch::Apply(&wanted)).await?;
    let status = deployment.status.unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or(0);
    let known = order.status.clone().unwrap_or_default();
    if (known.ready, known.pieces) != (ready, order.spec.pieces) {
        let orders: Api<Order> = Api::namespaced(shared.client.clone(), namespace);
        let status = json!({"apiVersion": "shop.kube.rs/v1", "kind": "Order",
            "status": OrderStatus { ready, pieces: order.spec.pieces }});
        orders.patch_status(&name, &as_us, &Patch::Apply(&status)).await?;
        let event = Event {
            type_: EventType::Normal,
            reason: "Delivered".into(),
            note: Some(format!("{ready} of {}", order.spec.pieces)),
            action: "Deliver".into(),
            secondary: None,
        };
        shared.recorder.publish(&event, &order.object_ref(&())).await?;
    }
    Ok(Action::requeue(Duration::from_secs(300)))
}

async fn clean_up(order: &Order, namespace: &str, shared: &Shared) -> Result<Action, Error> {
    let bills: Api<ConfigMap> = Api::namespaced(shared.client.clone(), namespace);
    let name = format!("bill-{}", order.name_any());
    let bill = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"item": order.spec.item}});
    bills.patch(&name, &PatchParams::apply("orders"), &Patch::Apply(&bill)).await?;
    Ok(Action::await_change())
}

/// Runs the controller while its work is looked at.
pub(crate) async fn check(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let orders: Api<Order> = Api::namespaced(client.clone(), namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let shared = Shared { client: client.clone(), recorder: Recorder::new(client.clone(), "orders".into()) };
    let work = Controller::new(orders.clone(), watcher::Config::default())
        .owns(deployments.clone(), watcher::Config::default())
        .run(
            reconcile,
            |_, error, _| {
                eprintln!("not reconciled, tried again: {error}");
                Action::requeue(Duration::from_secs(1))
            },
            Arc::new(shared),
        )
        .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = work => anyhow::bail!("the controller ended"),
        outcome = life(client, namespace, &orders, &deployments) => outcome,
    }
}

async fn life(client: &Client, namespace: &str, orders: &Api<Order>, deployments: &Api<Deployment>) -> anyhow::Result<()> {
    let spec = OrderSpec { item: "tea".into(), pieces: 1 };
    let order = Order { metadata: ObjectMeta { name: Some("o".into()), ..Default::default() }, spec, status: None };
    orders.create(&PostParams::default(), &order).await?;
    let ready = |pieces: i32| {
        move |order: Option<&Order>| order.and_then(|order| order.status.as_ref()).is_some_and(|it| it.ready == pieces)
    };
    wait::await_condition(orders.clone(), "o", ready(1)).await?;
    let scale = orders.get_scale("o").await?;
    ensure!(scale.spec.and_then(|spec| spec.replicas) == Some(1), "the scale of an order");
    orders.patch_scale("o", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 2}}))).await?;
    wait::await_condition(orders.clone(), "o", ready(2)).await?;
    // What it owns comes back.
    let uid = deployments.get("o").await?.uid().context("no UID")?;
    deployments.delete("o", &DeleteParams::foreground()).await?;
    wait::await_condition(deployments.clone(), "o", wait::conditions::is_deleted(&uid)).await?;
    wait::await_condition(deployments.clone(), "o", wait::conditions::is_deployment_completed()).await?;
    wait::await_condition(orders.clone(), "o", ready(2)).await?;
    let events: Api<ClusterEvent> = Api::namespaced(client.clone(), namespace);
    let found = events.list(&ListParams::default().fields("regarding.name=o,reason=Delivered")).await;
    let found = match found {
        Ok(found) => found.items,
        Err(error) => anyhow::bail!("events by what they are about: {error}"),
    };
    // The recorder makes a series of events that differ in nothing but their note, and keeps the first.
    let series = |event: &ClusterEvent| event.series.as_ref().is_some_and(|series| series.count > 1);
    ensure!(found.len() == 1 && found.iter().all(series), "{found:?}");
    let uid = orders.get("o").await?.uid().context("no UID")?;
    orders.delete("o", &DeleteParams::default()).await?;
    wait::await_condition(orders.clone(), "o", wait::conditions::is_deleted(&uid)).await?;
    let bills: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    ensure!(bills.get("bill-o").await?.data.unwrap_or_default()["item"] == "tea", "the finalizer left no bill");
    wait::await_condition(deployments.clone(), "o", crate::gone).await?;
    Ok(())
}
