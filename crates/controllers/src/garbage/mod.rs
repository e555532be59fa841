//! Deletes objects whose owners are gone, over all kinds the server has.

mod graph;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use parking_lot::{Mutex, RwLock};
use portolan_api::typed::Scope;
use portolan_base::error::chain;
use portolan_base::{Backoff, Shutdown};
use portolan_client::{
    ApiResource, DeleteOptions, Error, EventRecorder, EventType, Key, MetadataInformer, ObjectReference, PartialKind,
    Patch, Propagation, WorkQueue,
};
use serde_json::json;

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use graph::{Decision, FOREGROUND, Graph, Node, ORPHAN};

/// Separates kind and namespace in the keys of this queue.
const SEPARATOR: char = '|';

struct Kind {
    resource: ApiResource,
    objects: MetadataInformer,
}

/// Whether a kind counts only once its objects are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Synced,
    /// A kind that has just come has hardly any, and may go before they are known.
    No,
}

/// How long new kinds are waited for before all are looked for: definitions come in groups, and each is written several
/// times.
const CALM: Duration = Duration::from_millis(500);

struct Controller {
    context: Context,
    /// By the path of the collection.
    kinds: RwLock<HashMap<String, Arc<Kind>>>,
    graph: Arc<Mutex<Graph>>,
    queue: WorkQueue,
    events: EventRecorder,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let events = context.recorder("garbage-collector-controller");
    let controller =
        Controller { context, kinds: RwLock::default(), graph: Arc::default(), queue: WorkQueue::new(), events };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    // Without a complete view nothing may be deleted, so this comes before the loop.
    let start = async {
        while let Err(error) = controller.discover(Wait::Synced).await {
            tracing::warn!("garbage collection waits for discovery: {}", chain(&error));
            tokio::time::sleep(backoff.jittered()).await;
        }
    };
    if shutdown.run(start).await.is_none() {
        return;
    }
    let definitions = controller.context.informers.partial(&PartialKind {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        resource: "customresourcedefinitions".to_owned(),
        scope: Scope::Cluster,
    });
    let has_definitions = controller.kinds.read().values().any(|kind| kind.resource.kind == "CustomResourceDefinition");
    let new_kinds = async {
        if !has_definitions {
            return std::future::pending().await;
        }
        let mut changes = definitions.changes();
        while changes.changed().await.is_ok() {
            tokio::time::sleep(CALM).await;
            changes.mark_unchanged();
            if let Err(error) = controller.discover(Wait::No).await {
                tracing::warn!("garbage collection misses new kinds for now: {}", chain(&error));
            }
        }
    };
    tokio::select! {
        () = drive(&controller, &controller.queue, &controller.context.clock, &shutdown) => {}
        () = new_kinds => {}
    }
}

impl Controller {
    /// Begins to follow kinds that are not followed yet.
    async fn discover(&self, wait: Wait) -> Result<(), Error> {
        let resources = self.context.client.discover().await?;
        self.forget_all_but(&resources);
        for resource in resources {
            let collectable = ["list", "watch", "delete"].iter().all(|verb| resource.can(verb));
            // Events are many, own nothing and expire by themselves.
            let id = resource.path().collection("");
            if !collectable || resource.resource == "events" || self.kinds.read().contains_key(&id) {
                continue;
            }
            let objects = self.context.informers.partial(&partial(&resource));
            if wait == Wait::Synced {
                objects.synced().await;
            }
            self.kinds.write().insert(id.clone(), Arc::new(Kind { resource, objects: objects.clone() }));
            let graph = self.graph.clone();
            objects.feed_encoded(&self.queue, move |object| {
                let header = object.header();
                let key = key_of(&id, &header.namespace, &header.name);
                // What has no owner, holds nothing up and owns nothing that is known is most of a cluster.
                let has = |field| object.has(&["metadata", field]);
                let concerned = object.is_deleting() || has("ownerReferences") || has("finalizers");
                (concerned || graph.lock().concerns(&key, &header.uid)).then_some(key).into_iter().collect()
            });
        }
        Ok(())
    }

    /// Follows kinds that are gone no longer.
    fn forget_all_but(&self, resources: &[ApiResource]) {
        let present: HashSet<String> = resources.iter().map(|resource| resource.path().collection("")).collect();
        self.kinds.write().retain(|id, kind| {
            let stays = present.contains(id);
            if !stays {
                self.context.informers.forget(&partial(&kind.resource));
            }
            stays
        });
    }

    /// The owner in our copies, if it is there.
    fn known(&self, owner: &OwnerReference, namespace: &str) -> Option<(Key, Node)> {
        let kinds = self.kinds.read();
        let is_its = |kind: &Kind| kind.resource.kind == owner.kind && kind.resource.api_version() == owner.api_version;
        let (id, kind) = kinds.iter().find(|(_, kind)| is_its(kind))?;
        let namespace = if kind.resource.scope == Scope::Cluster { "" } else { namespace };
        let node = Node::of(&kind.objects.get(namespace, &owner.name)?.metadata);
        (node.uid == owner.uid).then(|| (key_of(id, namespace, &owner.name), node))
    }

    fn locate<'a>(&self, key: &'a Key) -> Option<(Arc<Kind>, &'a str)> {
        let (id, namespace) = key.namespace.split_once(SEPARATOR)?;
        Some((self.kinds.read().get(id)?.clone(), namespace))
    }

    /// Whether an owner exists, by the server's word.
    async fn exists(&self, owner: &OwnerReference, namespace: &str) -> Result<bool, Error> {
        let path = {
            let kinds = self.kinds.read();
            let kind = kinds
                .values()
                .find(|kind| kind.resource.kind == owner.kind && kind.resource.api_version() == owner.api_version);
            // A kind we do not know may exist all the same: its objects are left alone.
            let Some(kind) = kind else { return Ok(true) };
            kind.resource.path().object(namespace, &owner.name, "")
        };
        match self.context.client.raw(Method::GET, &path, None).await {
            Ok(found) => Ok(found["metadata"]["uid"] == owner.uid.as_str()),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says which owners an object names that are in another namespace, before it is deleted for that.
    fn tell_of_strangers(&self, strangers: Vec<OwnerReference>, kind: &Kind, key: &Key, namespace: &str, node: &Node) {
        for owner in strangers {
            let object = ObjectReference {
                api_version: Some(kind.resource.api_version()),
                kind: Some(kind.resource.kind.clone()),
                namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
                name: Some(key.name.clone()),
                uid: Some(node.uid.clone()),
                ..ObjectReference::default()
            };
            let message = format!(
                "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {}] does not exist in namespace {namespace:?}",
                owner.api_version, owner.kind, owner.name, owner.uid
            );
            self.events.event(&object, EventType::Warning, "OwnerRefInvalidNamespace", message);
        }
    }

    async fn patch(&self, key: &Key, patch: serde_json::Value) -> Result<(), Error> {
        let Some((kind, namespace)) = self.locate(key) else { return Ok(()) };
        let path = kind.resource.path().object(namespace, &key.name, "");
        match self.context.client.raw_patch(&path, &Patch::Merge(patch)).await {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    async fn delete(&self, key: &Key, uid: &str, foreground: bool) -> Result<(), Error> {
        let Some((kind, namespace)) = self.locate(key) else { return Ok(()) };
        let propagation = if foreground { Propagation::Foreground } else { Propagation::Background };
        let options = DeleteOptions::uid(uid).with_propagation(propagation);
        match self.context.client.delete_at(&kind.resource.path(), namespace, &key.name, &options).await {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            outcome => outcome,
        }
    }

    async fn apply(&self, key: &Key, namespace: &str, node: &Node, decision: Decision) -> Result<(), Error> {
        match decision {
            Decision::Keep => {}
            Decision::Verify(owners) => {
                let mut found_out = false;
                for owner in owners {
                    if let Some((key, node)) = self.known(&owner, namespace) {
                        let concerned = self.graph.lock().set(&key, Some(node));
                        self.queue.add(concerned);
                        found_out = true;
                        continue;
                    }
                    if !self.exists(&owner, namespace).await? {
                        self.graph.lock().set_absent(&owner.uid);
                        found_out = true;
                    }
                }
                if found_out {
                    self.queue.add([key.clone()]);
                }
            }
            Decision::Delete { foreground } => self.delete(key, &node.uid, foreground).await?,
            Decision::Disown(owners) => {
                self.patch(key, json!({"metadata": {"uid": node.uid, "ownerReferences": owners}})).await?;
            }
            Decision::OrphanDependents(keys) => {
                for key in keys {
                    let Some(dependent) = self.graph.lock().node(&key).cloned() else { continue };
                    let mut owners = dependent.owners;
                    owners.retain(|owner| owner.uid != node.uid);
                    self.patch(&key, json!({"metadata": {"uid": dependent.uid, "ownerReferences": owners}})).await?;
                }
            }
            Decision::DeleteDependents(keys) => self.queue.add(keys),
            Decision::RemoveFinalizer(finalizer) => {
                debug_assert!(finalizer == FOREGROUND || finalizer == ORPHAN);
                let finalizers: Vec<&String> = node.finalizers.iter().filter(|found| *found != finalizer).collect();
                self.patch(key, json!({"metadata": {"uid": node.uid, "finalizers": finalizers}})).await?;
            }
        }
        Ok(())
    }
}

fn partial(resource: &ApiResource) -> PartialKind {
    PartialKind {
        group: resource.group.clone(),
        version: resource.version.clone(),
        resource: resource.resource.clone(),
        scope: resource.scope,
    }
}

/// The namespace in a key of this queue.
fn namespace_of(key: &Key) -> &str {
    key.namespace.split_once(SEPARATOR).map_or("", |(_, namespace)| namespace)
}

fn key_of(collection: &str, namespace: &str, name: &str) -> Key {
    Key::new(format!("{collection}{SEPARATOR}{namespace}"), name)
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "garbagecollector"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some((kind, namespace)) = self.locate(key) else { return Ok(Next::OnChange) };
        let present = kind.objects.get(namespace, &key.name).map(|object| Node::of(&object.metadata));
        let (concerned, decision, strangers) = {
            let mut graph = self.graph.lock();
            (graph.set(key, present.clone()), graph.decide(key), graph.strangers(key))
        };
        self.queue.add(concerned);
        if let Some(node) = present {
            self.tell_of_strangers(strangers, &kind, key, namespace, &node);
            self.apply(key, namespace, &node, decision).await?;
        }
        Ok(Next::OnChange)
    }
}
