//! A real controller on kube-rs: for every ConfigMap with a label it keeps a Secret, which it owns
//! and applies server-side, and cleans up behind a finalizer. The program runs it against the cluster
//! of `KUBECONFIG`, checks what it does, and ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::wait::await_condition;
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};

const LABEL: &str = "interop.portolan.dev/mirrored";
const FINALIZER: &str = "interop.portolan.dev/mirror";
const PATIENCE: Duration = Duration::from_secs(20);

struct State {
    client: Client,
    cleanups: AtomicUsize,
}

type Failure = kube::runtime::finalizer::Error<kube::Error>;

async fn reconcile(source: Arc<ConfigMap>, state: Arc<State>) -> Result<Action, Failure> {
    let namespace = source.namespace().unwrap_or_default();
    let sources: Api<ConfigMap> = Api::namespaced(state.client.clone(), &namespace);
    finalizer(&sources, FINALIZER, source, |event| async {
        match event {
            Event::Apply(source) => {
                let mirrors: Api<Secret> = Api::namespaced(state.client.clone(), &namespace);
                let mirror = Secret {
                    metadata: ObjectMeta {
                        name: Some(source.name_any()),
                        owner_references: source.controller_owner_ref(&()).map(|owner| vec![owner]),
                        ..ObjectMeta::default()
                    },
                    string_data: source.data.clone(),
                    ..Secret::default()
                };
                let parameters = PatchParams::apply("mirror").force();
                mirrors.patch(&source.name_any(), &parameters, &Patch::Apply(&mirror)).await?;
            }
            Event::Cleanup(_) => _ = state.cleanups.fetch_add(1, Ordering::SeqCst),
        }
        Ok(Action::await_change())
    })
    .await
}

fn retry(_: Arc<ConfigMap>, error: &Failure, _: Arc<State>) -> Action {
    eprintln!("retry: {error}");
    Action::requeue(Duration::from_millis(200))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let client = Client::try_default().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace {
        metadata: ObjectMeta { generate_name: Some("kube-rs-".into()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let namespace = namespaces.create(&PostParams::default(), &namespace).await?.name_any();
    let outcome = tokio::time::timeout(2 * PATIENCE, run(client, &namespace)).await;
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    outcome.context("the controller takes too long")??;
    println!("ok   a kube-rs controller applies, owns and cleans up");
    Ok(())
}

async fn run(client: Client, namespace: &str) -> anyhow::Result<()> {
    let sources: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mirrors: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let state = Arc::new(State { client, cleanups: AtomicUsize::new(0) });
    // With the stream of initial events in place of a list, as new clients do.
    let settings = watcher::Config::default().labels(LABEL).streaming_lists();
    let controller = Controller::new(sources.clone(), settings)
        .owns(mirrors.clone(), watcher::Config::default())
        .run(reconcile, retry, state.clone())
        .for_each(|_| async {});
    tokio::select! {
        () = controller => anyhow::bail!("the controller ended"),
        outcome = check(&sources, &mirrors, &state) => outcome,
    }
}

async fn check(sources: &Api<ConfigMap>, mirrors: &Api<Secret>, state: &State) -> anyhow::Result<()> {
    let value = |text: &str| BTreeMap::from([("key".to_owned(), text.to_owned())]);
    let holds = |text: &'static str| {
        move |secret: Option<&Secret>| {
            let data = secret.and_then(|secret| secret.data.as_ref());
            data.and_then(|data| data.get("key")).is_some_and(|value| value.0 == text.as_bytes())
        }
    };
    let mut source = ConfigMap {
        metadata: ObjectMeta {
            name: Some("source".into()),
            labels: Some(BTreeMap::from([(LABEL.to_owned(), "yes".to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(value("one")),
        ..ConfigMap::default()
    };
    sources.create(&PostParams::default(), &source).await?;
    await_condition(mirrors.clone(), "source", holds("one")).await.context("wait for the mirror")?;

    // Somebody else deletes what is owned: it comes back.
    mirrors.delete("source", &DeleteParams::default()).await?;
    await_condition(mirrors.clone(), "source", holds("one")).await.context("wait for the mirror to come back")?;

    source = sources.get("source").await?;
    ensure!(source.finalizers().iter().any(|name| name == FINALIZER), "no finalizer: {:?}", source.metadata);
    source.data = Some(value("two"));
    sources.replace("source", &PostParams::default(), &source).await?;
    await_condition(mirrors.clone(), "source", holds("two")).await.context("wait for the change")?;
    let mirror = mirrors.get("source").await?;
    let managers = mirror.metadata.managed_fields.unwrap_or_default();
    ensure!(managers.iter().any(|entry| entry.manager.as_deref() == Some("mirror")), "nobody owns the fields");

    sources.delete("source", &DeleteParams::default()).await?;
    await_condition(sources.clone(), "source", |object: Option<&ConfigMap>| object.is_none()).await?;
    ensure!(state.cleanups.load(Ordering::SeqCst) == 1, "not cleaned up");
    let left = sources.list(&ListParams::default().labels(LABEL)).await?;
    ensure!(left.items.is_empty(), "left over: {:?}", left.items);
    Ok(())
}
