//! Says of flow schemas whether the priority level that they lead to exists.
//!
//! Source: `presyncFlowSchemaStatus` of `k8s.io/apiserver/pkg/util/flowcontrol`.

mod plan;

use async_trait::async_trait;
use portolan_api::time;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use portolan_base::Shutdown;
use portolan_client::{Error, Informer, Key, Patch, WorkQueue};
use serde_json::json;

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use plan::{level_of, plan};

/// Who wrote the condition, as upstream names it.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

struct Controller {
    context: Context,
    schemas: Informer<FlowSchema>,
    levels: Informer<PriorityLevelConfiguration>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let (schemas, levels) = (context.informers.informer::<FlowSchema>(), context.informers.informer());
    let controller = Controller { schemas, levels, context };
    let synced = async {
        controller.schemas.synced().await;
        controller.levels.synced().await;
    };
    if shutdown.run(synced).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.schemas.feed(&queue, |schema| vec![Key::of(schema)]);
    let schemas = controller.schemas.clone();
    controller.levels.feed(&queue, move |level| {
        let all = schemas.list();
        let leading = all.iter().filter(|schema| level_of(schema) == level.name());
        leading.map(|schema| Key::of(&**schema)).collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "flowschema"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(schema) = self.schemas.get("", &key.name) else { return Ok(Next::OnChange) };
        let exists = self.levels.get("", level_of(&schema)).is_some();
        let Some(condition) = plan(&schema, exists) else { return Ok(Next::OnChange) };
        let applied = json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
            "metadata": {"name": schema.name(), "uid": schema.uid()},
            "status": {"conditions": [{
                "type": "Dangling", "status": condition.status, "reason": condition.reason,
                "message": condition.message, "lastTransitionTime": time::format(self.context.clock.now()),
            }]},
        });
        let patch = Patch::Apply { value: applied, field_manager: MANAGER.to_owned(), force: true };
        match self.context.client.patch::<FlowSchema>("", schema.name(), "status", &patch).await {
            Err(error) if error.is_not_found() => Ok(Next::OnChange),
            outcome => outcome.map(|_| Next::OnChange),
        }
    }
}
