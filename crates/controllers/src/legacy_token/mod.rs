//! Takes away tokens in Secrets that were made for service accounts and are not used any more: they are marked as
//! invalid first, which a person can undo, and deleted when that was long enough ago.
//!
//! Source: KEP-2799 and `pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go` of Kubernetes.

mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use portolan_base::{Shutdown, Timestamp};
use portolan_client::{DeleteOptions, Error, Informer, Key, Patch, WorkQueue};
use serde_json::{Value, json};

use crate::account_token::TYPE;
use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use plan::{Action, INVALID_SINCE, is_candidate, plan, tracked_long_enough};

/// Where the API server says since when it notes the use of such tokens.
const TRACKING: (&str, &str) = ("kube-system", "kube-apiserver-legacy-service-account-token-tracking");

/// How often it looks. Days are what it counts, so nothing else needs to wake it.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

struct Controller {
    context: Context,
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
    pods: Informer<Pod>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        secrets: context.informers.selected(&format!("type={TYPE}")),
        accounts: context.informers.informer(),
        pods: context.informers.informer(),
        context,
    };
    let ready =
        async { tokio::join!(controller.secrets.synced(), controller.accounts.synced(), controller.pods.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    // It looks at all of them together.
    queue.add([Key::new("", "all")]);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "legacy-serviceaccount-token-cleaner"
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Error> {
        let now = self.context.clock.now();
        let next = Next::At(now + AGAIN);
        let map = match self.context.client.get::<ConfigMap>(TRACKING.0, TRACKING.1).await {
            Ok(map) => map,
            Err(error) if error.is_not_found() => return Ok(next),
            Err(error) => return Err(error),
        };
        let since = map.data.as_ref().and_then(|data| data.get("since")).map(String::as_str);
        if !tracked_long_enough(since, self.context.legacy_token_period, now) {
            return Ok(next);
        }
        // What fails is looked at again soon; the others need not wait for it.
        let mut failed = Ok(());
        for (secret, action) in self.actions(now) {
            let outcome = self.apply(&secret, action).await;
            failed = failed.and(outcome);
        }
        failed.map(|()| next)
    }
}

impl Controller {
    fn actions(&self, now: Timestamp) -> Vec<(Arc<Secret>, Action)> {
        let period = self.context.legacy_token_period;
        let mut actions = Vec::new();
        let mut mounted: Option<(String, BTreeSet<String>)> = None;
        let mut candidates: Vec<_> = self.secrets.list();
        candidates.retain(|secret| is_candidate(secret, period, now));
        candidates.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        for secret in candidates {
            let Some(account) = self.account(&secret) else { continue };
            let namespace = secret.namespace();
            let names = match &mut mounted {
                Some((of, names)) if of == namespace => names,
                _ => &mut mounted.insert((namespace.to_owned(), self.named_by_pods(namespace))).1,
            };
            let action = plan(&secret, &account, names, period, now);
            actions.extend(action.map(|action| (secret, action)));
        }
        actions
    }

    /// The account that a Secret was made for, if it is still the same.
    fn account(&self, secret: &Secret) -> Option<Arc<ServiceAccount>> {
        let annotation = |name: &str| secret.metadata.annotations.as_ref()?.get(name).map(String::as_str);
        let name = annotation("kubernetes.io/service-account.name").filter(|name| !name.is_empty())?;
        let uid = annotation("kubernetes.io/service-account.uid").unwrap_or_default();
        self.accounts.get(secret.namespace(), name).filter(|account| uid.is_empty() || account.uid() == uid)
    }

    fn named_by_pods(&self, namespace: &str) -> BTreeSet<String> {
        let pods = self.pods.in_namespace(namespace);
        let specs = pods.iter().filter_map(|pod| serde_json::to_value(pod.spec.as_ref()?).ok());
        let mut names = BTreeSet::new();
        specs.for_each(|spec| plan::secrets_of(&spec, &mut names));
        names
    }

    async fn apply(&self, secret: &Secret, action: Action) -> Result<(), Error> {
        let (namespace, name) = (secret.namespace(), secret.name());
        match action {
            Action::Mark(day) => {
                tracing::info!(namespace, name, "marking the token of a service account as invalid: nobody uses it");
                let patch: Value = json!({"metadata": {"uid": secret.uid(), "labels": {INVALID_SINCE: day}}});
                let patched = self.context.client.patch::<Secret>(namespace, name, "", &Patch::Merge(patch)).await;
                ignoring_loss(patched.map(drop))
            }
            Action::Delete => {
                tracing::info!(namespace, name, "deleting the token of a service account: it was long invalid");
                let options = DeleteOptions {
                    resource_version: secret.metadata.resource_version.clone(),
                    ..DeleteOptions::uid(secret.uid())
                };
                ignoring_loss(self.context.client.delete::<Secret>(namespace, name, &options).await)
            }
        }
    }
}

/// Somebody else changed or deleted it: the next round sees what it is then.
fn ignoring_loss(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        outcome => outcome,
    }
}
