//! Whether the level that a flow is of is there, which is told in the flow's status.
//!
//! Source: `k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go`.

use portolan_api::time;
use portolan_base::go;
use serde_json::json;

use super::Fairness;
use crate::body::full;
use crate::bootstrap::Own;
use crate::request::Query;
use crate::resources::json::items;
use crate::server::Server;

/// By whom the condition is managed.
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
const CONDITION: &str = "Dangling";

/// Tells of every flow what has changed since it was told last. What fails is tried again in the next round.
pub(super) async fn tell(server: &Server, fairness: &Fairness) {
    if let Err(error) = fairness.flows.refresh().await {
        return tracing::warn!(%error, "it could not be told whether the levels of flows are there");
    }
    let untold = untold(fairness);
    for (name, condition) in untold {
        if let Err(error) = apply(server, &name, &condition).await {
            tracing::warn!(flow = name, error, "it could not be told whether the level of a flow is there");
        }
    }
}

/// What a flow's status is to say.
#[derive(Debug, PartialEq, Eq)]
struct Condition {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn of(level: &str, is_there: bool) -> Self {
        let named =
            format!("This FlowSchema references the PriorityLevelConfiguration object named {}", go::quote(level));
        match is_there {
            true => Self { status: "False", reason: "Found", message: format!("{named} and it exists") },
            false => {
                Self { status: "True", reason: "NotFound", message: format!("{named} but there is no such object") }
            }
        }
    }
}

/// The flows whose status does not say how it is.
fn untold(fairness: &Fairness) -> Vec<(String, Condition)> {
    let flows = fairness.flows.view();
    // Those that are always there may not be stored.
    let stored = flows.schemas().filter(|schema| !schema.metadata.uid.is_empty());
    let wanted = stored.map(|schema| {
        let level = schema.level();
        (schema, Condition::of(level, flows.levels.contains_key(level)))
    });
    let untold = wanted.filter(|(schema, wanted)| {
        !items(&schema.status["conditions"]).iter().any(|told| {
            [("type", CONDITION), ("status", wanted.status), ("reason", wanted.reason), ("message", &wanted.message)]
                .iter()
                .all(|(field, text)| told[field] == *text)
        })
    });
    untold.map(|(schema, wanted)| (schema.metadata.name.clone(), wanted)).collect()
}

async fn apply(server: &Server, name: &str, condition: &Condition) -> Result<(), String> {
    let mut object = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
    });
    let query = Query::parse(&format!("fieldManager={CONSUMER}&force=true"));
    let own = Own::about(&object, "patch", CONSUMER, query).map_err(|error| error.to_string())?;
    let own = own.of_status().applying();
    let call = own.call(server);
    if call.entry(name).await.is_err() {
        // It was deleted just now: to apply would make it anew.
        return Ok(());
    }
    object["status"] = json!({"conditions": [{
        "type": CONDITION, "status": condition.status, "reason": condition.reason, "message": condition.message,
        "lastTransitionTime": time::format(call.now),
    }]});
    call.patch(full(object.to_string())).await.map(drop).map_err(|status| status.message().to_owned())
}
