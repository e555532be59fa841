//! How the parts of the control plane do: `componentstatuses`, which are asked for and never stored.
//!
//! Every part runs in this process and tells the board of the server how it does; the store is asked itself.

use http::Response;
use portolan_base::readiness::State;
use serde_json::{Value, json};

use crate::body::Body;
use crate::endpoint::Call;
use crate::request::Target;
use crate::server::Server;
use crate::status::Status;

/// The store, by the name of what upstream keeps objects in.
const STORE: &str = "etcd-0";
/// Parts by the names that upstream gives them, and that they have on the board; in the order of a list.
const COMPONENTS: [&str; 3] = ["controller-manager", STORE, "scheduler"];

/// Whether a resource's objects are made here.
pub(crate) fn is_about_components(call: &Call<'_>) -> bool {
    call.resource.group.is_empty() && call.resource.name == "componentstatuses"
}

/// Answers a question about one part, or about those that are selected.
pub(crate) async fn serve(call: &Call<'_>) -> Result<Response<Body>, Status> {
    if call.info.verb == "get" {
        let name = &call.info.name;
        if !COMPONENTS.contains(&name.as_str()) {
            // The one resource that upstream does not find by its name in a URL.
            return Err(Status::not_found(&Target { group: "", resource: "componentstatus" }, name));
        }
        return call.present_measured(status(call.server, name).await);
    }
    let mut statuses = Vec::new();
    for name in COMPONENTS {
        statuses.push(status(call.server, name).await);
    }
    let mut chosen = call.choose(statuses)?;
    // A list says of all at once what they are.
    for fields in chosen.iter_mut().filter_map(Value::as_object_mut) {
        fields.retain(|name, _| name != "kind" && name != "apiVersion");
    }
    call.present_all_measured(chosen)
}

async fn status(server: &Server, name: &str) -> Value {
    let condition = if name == STORE {
        match server.store().status().await.read_only {
            None => json!({"type": "Healthy", "status": "True", "message": "ok"}),
            Some(why) => json!({"type": "Healthy", "status": "False", "error": why}),
        }
    } else {
        let (is_healthy, message) = match server.config.readiness.parts().remove(name) {
            Some(State::Ready) => ("True", "ok".to_owned()),
            Some(State::Starting(why) | State::Failed(why)) => ("False", why),
            None => ("False", "it does not run here".to_owned()),
        };
        json!({"type": "Healthy", "status": is_healthy, "message": message})
    };
    json!({"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]})
}
