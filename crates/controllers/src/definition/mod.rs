//! Lets definitions of kinds go once their objects are gone, and gives names that became free to those who wait.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use parking_lot::Mutex;
use portolan_api::typed::Scope;
use portolan_base::Shutdown;
use portolan_client::{ApiResource, DeleteOptions, Error, Key, MetadataInformer, PartialKind, Patch, WorkQueue};
use serde_json::{Value, json};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};

const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Objects with finalizers of their own go when their owners say so; this is how often we look.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

struct Controller {
    context: Context,
    definitions: MetadataInformer,
    queue: WorkQueue,
    /// Those that have not got their names.
    waiting: Mutex<BTreeSet<String>>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let definitions = context.informers.partial(&PartialKind {
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        resource: RESOURCE.to_owned(),
        scope: Scope::Cluster,
    });
    let controller = Controller { context, definitions, queue: WorkQueue::new(), waiting: Mutex::default() };
    if shutdown.run(controller.definitions.synced()).await.is_none() {
        return;
    }
    controller
        .definitions
        .feed_encoded(&controller.queue, |definition| vec![Key::new("", definition.header().name.as_ref())]);
    drive(&controller, &controller.queue, &controller.context.clock, &shutdown).await;
}

fn path(name: &str) -> String {
    format!("/apis/{GROUP}/v1/{RESOURCE}/{name}")
}

/// Where the objects of a definition are found: at any version that is served.
fn objects_of(definition: &Value) -> Option<ApiResource> {
    let spec = &definition["spec"];
    let versions = spec["versions"].as_array()?;
    let version = versions.iter().find(|version| version["served"] == true)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(ApiResource {
        group: text(&spec["group"]),
        version: text(&version["name"]),
        resource: text(&spec["names"]["plural"]),
        kind: text(&spec["names"]["kind"]),
        scope: if spec["scope"] == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
        verbs: Vec::new(),
    })
}

fn has_condition(definition: &Value, name: &str, status: &str) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == name && condition["status"] == status)
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "definition"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        if self.definitions.get("", &key.name).is_none() {
            self.waiting.lock().remove(&key.name);
            self.settle_others(&key.name).await?;
            return Ok(Next::OnChange);
        }
        let definition = match self.context.client.raw(Method::GET, &path(&key.name), None).await {
            Err(error) if error.is_not_found() => return Ok(Next::OnChange),
            definition => definition?,
        };
        if has_condition(&definition, "NamesAccepted", "False") {
            self.waiting.lock().insert(key.name.clone());
        } else {
            self.waiting.lock().remove(&key.name);
        }
        let finalizers = definition["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
        let held = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        if definition["metadata"]["deletionTimestamp"].is_null() || !held {
            return Ok(Next::OnChange);
        }
        // A definition that never got its names has no objects; those at its path are another's.
        if has_condition(&definition, "Established", "True")
            && let Some(objects) = objects_of(&definition)
        {
            let left = self.empty(&objects).await?;
            if left > 0 {
                tracing::debug!(definition = key.name, left, "waiting for objects to go");
                return Ok(Next::At(self.context.clock.now() + LOOK_AGAIN));
            }
        }
        let rest: Vec<&Value> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        let uid = &definition["metadata"]["uid"];
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "finalizers": rest}}));
        match self.context.client.raw_patch(&path(&key.name), &patch).await {
            Err(error) if error.is_not_found() => Ok(Next::OnChange),
            outcome => outcome.map(|_| Next::OnChange),
        }
    }
}

impl Controller {
    /// Deletes all objects of a kind, and returns how many are left.
    async fn empty(&self, kind: &ApiResource) -> Result<usize, Error> {
        let path = kind.path();
        for item in self.items(kind).await? {
            let metadata = &item["metadata"];
            if !metadata["deletionTimestamp"].is_null() {
                continue;
            }
            let text = |name: &str| metadata[name].as_str().unwrap_or_default();
            let options = DeleteOptions::uid(text("uid"));
            match self.context.client.delete_at(&path, text("namespace"), text("name"), &options).await {
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                outcome => outcome?,
            }
        }
        Ok(self.items(kind).await?.len())
    }

    async fn items(&self, kind: &ApiResource) -> Result<Vec<Value>, Error> {
        match self.context.client.raw(Method::GET, &kind.path().collection(""), None).await {
            Ok(mut list) => match list["items"].take() {
                Value::Array(items) => Ok(items),
                _ => Ok(Vec::new()),
            },
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// A definition is gone: has the server look again at those of its group that did not get their names.
    async fn settle_others(&self, gone: &str) -> Result<(), Error> {
        let group = |name: &str| name.split_once('.').map(|(_, group)| group.to_owned());
        let names: Vec<String> =
            self.waiting.lock().iter().filter(|name| *name != gone && group(name) == group(gone)).cloned().collect();
        for name in names {
            // The server settles names whenever a definition is written; what does not change is not.
            let patch = Patch::Merge(json!({"metadata": {}}));
            match self.context.client.raw_patch(&path(&name), &patch).await {
                Err(error) if error.is_not_found() => {}
                outcome => drop(outcome?),
            }
        }
        Ok(())
    }
}
