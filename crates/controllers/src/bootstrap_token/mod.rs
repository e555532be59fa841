//! Removes bootstrap tokens that have expired.

use async_trait::async_trait;
use portolan_api::time;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Secret;
use portolan_base::{Shutdown, Timestamp};
use portolan_client::{DeleteOptions, Error, Informer, Key, WorkQueue};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_deleting;

const TYPE: &str = "bootstrap.kubernetes.io/token";
const NAMESPACE: &str = "kube-system";

struct Controller {
    context: Context,
    secrets: Informer<Secret>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller { secrets: context.informers.selected(&format!("type={TYPE}")), context };
    if shutdown.run(controller.secrets.synced()).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.secrets.feed(&queue, |secret| vec![Key::of(secret)]);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "tokencleaner"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let found = self.secrets.get(&key.namespace, &key.name).filter(|secret| !is_deleting(&**secret));
        let Some(secret) = found.filter(|_| key.namespace == NAMESPACE) else { return Ok(Next::OnChange) };
        let Some(end) = end(&secret) else { return Ok(Next::OnChange) };
        if end > self.context.clock.now() {
            return Ok(Next::At(end));
        }
        let options = DeleteOptions::uid(secret.uid());
        match self.context.client.delete::<Secret>(&key.namespace, &key.name, &options).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(Next::OnChange),
        }
    }
}

/// When a token expires, if it does.
fn end(secret: &Secret) -> Option<Timestamp> {
    let text = secret.data.as_ref()?.get("expiration")?;
    std::str::from_utf8(&text.0).ok().and_then(time::parse)
}
