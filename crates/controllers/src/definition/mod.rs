//! Lets definitions of kinds go once their objects are gone, and gives names that became free to those who wait.

mod ending;

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
use ending::Stage;

const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Objects with finalizers of their own go when their owners say so, and nobody is woken by a status; this is how often
/// we look.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

struct Controller {
    context: Context,
    definitions: MetadataInformer,
    queue: WorkQueue,
    /// Those that are not known to have their names.
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

/// Whether a definition says which of the names that it asks for it has got.
fn is_settled(definition: &Value) -> bool {
    let (asked, got) = (&definition["spec"]["names"], &definition["status"]["acceptedNames"]);
    let is_judged = |status| has_condition(definition, "NamesAccepted", status);
    !definition["metadata"]["deletionTimestamp"].is_null() || is_judged("False") || is_judged("True") && asked == got
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
        let Some(mut definition) = self.read(&key.name).await? else { return Ok(Next::OnChange) };
        if !is_settled(&definition) {
            // The server says so right after a definition is written, unless it ended in between.
            if self.waiting.lock().insert(key.name.clone()) {
                return Ok(Next::At(self.context.clock.now() + LOOK_AGAIN));
            }
            self.look_again(&key.name).await?;
            let Some(newest) = self.read(&key.name).await? else { return Ok(Next::OnChange) };
            definition = newest;
        }
        if has_condition(&definition, "NamesAccepted", "True") {
            self.waiting.lock().remove(&key.name);
        } else {
            self.waiting.lock().insert(key.name.clone());
        }
        let finalizers = definition["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
        let held = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        if definition["metadata"]["deletionTimestamp"].is_null() || !held {
            return Ok(Next::OnChange);
        }
        // Whoever waits is told first: the rest may take a while.
        let Some(definition) = self.tell(definition, Stage::Going, None).await? else { return Ok(Next::OnChange) };
        // A definition that never got its names has no objects; those at its path are another's.
        let stage = match objects_of(&definition) {
            _ if !has_condition(&definition, "Established", "True") => Stage::NeverServed,
            None => Stage::Gone,
            Some(objects) => match self.empty(&objects).await {
                Ok(0) => Stage::Gone,
                Ok(left) => {
                    tracing::debug!(definition = key.name, left, "waiting for objects to go");
                    return Ok(Next::At(self.context.clock.now() + LOOK_AGAIN));
                }
                Err((step, error)) => {
                    self.tell(definition, step.stage(&error.to_string()), None).await?;
                    return Err(error);
                }
            },
        };
        let finalizers = definition["metadata"]["finalizers"].as_array().into_iter().flatten();
        let rest: Vec<Value> = finalizers.filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
        self.tell(definition, stage, Some(rest)).await.map(|_| Next::OnChange)
    }
}

/// What is done about the objects of a definition.
enum Step {
    List,
    Delete,
}

impl Step {
    /// What failed with it.
    fn stage(self, why: &str) -> Stage<'_> {
        match self {
            Self::List => Stage::Unlisted(why),
            Self::Delete => Stage::Undeleted(why),
        }
    }
}

impl Controller {
    /// Writes into a definition how far its end is, and what finalizers it has from now on. Returns the definition as it
    /// is then; nothing if it changed in the meantime, which wakes us again.
    async fn tell(
        &self,
        definition: Value,
        stage: Stage<'_>,
        finalizers: Option<Vec<Value>>,
    ) -> Result<Option<Value>, Error> {
        let conditions = ending::conditions(&definition, stage, self.context.clock.now());
        if conditions.is_none() && finalizers.is_none() {
            return Ok(Some(definition));
        }
        let metadata = &definition["metadata"];
        let mut patch = json!({"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}});
        if let Some(conditions) = conditions {
            patch["status"]["conditions"] = conditions;
        }
        if let Some(finalizers) = finalizers {
            patch["metadata"]["finalizers"] = finalizers.into();
        }
        let name = metadata["name"].as_str().unwrap_or_default();
        let path = format!("{}/status", path(name));
        match self.context.client.raw_patch(&path, &Patch::Merge(patch)).await {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Deletes all objects of a kind, and returns how many are left.
    async fn empty(&self, kind: &ApiResource) -> Result<usize, (Step, Error)> {
        let path = kind.path();
        for item in self.items(kind).await.map_err(|error| (Step::List, error))? {
            let metadata = &item["metadata"];
            if !metadata["deletionTimestamp"].is_null() {
                continue;
            }
            let text = |name: &str| metadata[name].as_str().unwrap_or_default();
            let options = DeleteOptions::uid(text("uid"));
            match self.context.client.delete_at(&path, text("namespace"), text("name"), &options).await {
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                outcome => outcome.map_err(|error| (Step::Delete, error))?,
            }
        }
        let left = self.items(kind).await.map_err(|error| (Step::List, error))?;
        Ok(left.len())
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
            self.look_again(&name).await?;
        }
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Option<Value>, Error> {
        match self.context.client.raw(Method::GET, &path(name), None).await {
            Err(error) if error.is_not_found() => Ok(None),
            definition => definition.map(Some),
        }
    }

    /// Has the server settle which names a definition gets. It does so whenever one is written, even if nothing changes.
    async fn look_again(&self, name: &str) -> Result<(), Error> {
        match self.context.client.raw_patch(&path(name), &Patch::Merge(json!({"metadata": {}}))).await {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_settled_once_it_says_what_became_of_its_names() {
        let names = json!({"plural": "tabs", "kind": "Tab"});
        let others = json!({"plural": "tabs", "kind": "Other"});
        for (metadata, got, status, settled) in [
            (json!({}), None, None, false),
            (json!({}), Some(&names), Some("True"), true),
            (json!({}), Some(&others), Some("True"), false),
            (json!({}), Some(&others), Some("False"), true),
            (json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), None, None, true),
        ] {
            let mut definition = json!({"metadata": metadata, "spec": {"names": names}});
            if let (Some(got), Some(status)) = (got, status) {
                let conditions = json!([{"type": "NamesAccepted", "status": status}]);
                definition["status"] = json!({"acceptedNames": got, "conditions": conditions});
            }
            assert_eq!(is_settled(&definition), settled, "{definition}");
        }
    }
}
