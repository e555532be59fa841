//! Pods get the number that their priority class stands for; only one class is the default.

use std::sync::Arc;

use portolan_api::encoded;
use portolan_store::{Entry, KeyRange, RangeRequest};
use serde_json::{Value, json};

use crate::admission::{Attributes, Operation};
use crate::endpoint::metadata;
use crate::status::Status;
use crate::storage;

const GROUP: &str = "scheduling.k8s.io";
const RESOURCE: &str = "priorityclasses";
const DEFAULT_PREEMPTION: &str = "PreemptLowerPriority";

pub(super) async fn admit(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let is_pod = attributes.is_main("", "pods") && attributes.new["spec"].is_object();
    match attributes.operation {
        Operation::Create if is_pod => give_priority(attributes).await,
        Operation::Update if is_pod => {
            keep_priority(attributes);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// At most one class is the default.
pub(super) async fn validate(attributes: &Attributes<'_>) -> Result<(), Status> {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if !writes || !attributes.is_main(GROUP, RESOURCE) || attributes.new["globalDefault"] != true {
        return Ok(());
    }
    let Some(class) = default_class(attributes).await? else { return Ok(()) };
    let name = metadata::text(&class, "name");
    if name == attributes.name {
        return Ok(());
    }
    let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
    Err(attributes.forbidden(&why))
}

async fn give_priority(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let name = attributes.new["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        default_class(attributes).await?
    } else {
        let Some(entry) = storage::find(attributes.call.server, GROUP, RESOURCE, "", &name).await? else {
            return Err(attributes.forbidden(&format!("no PriorityClass with name {name} was found")));
        };
        Some(storage::decode(&entry)?)
    };
    let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    let preemption = class.as_ref().and_then(|class| class["preemptionPolicy"].as_str()).unwrap_or(DEFAULT_PREEMPTION);
    let spec = &attributes.new["spec"];
    if let Some(given) = spec["priority"].as_i64().filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(&why));
    }
    if let Some(given) = spec["preemptionPolicy"].as_str().filter(|given| *given != preemption) {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {preemption} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(&why));
    }
    let preemption = preemption.to_owned();
    let spec = &mut attributes.new["spec"];
    spec["priority"] = value.into();
    spec["preemptionPolicy"] = preemption.into();
    if let Some(class) = class.filter(|_| name.is_empty()) {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    Ok(())
}

/// A client that does not know the fields does not mean to drop them.
fn keep_priority(attributes: &mut Attributes<'_>) {
    for field in ["priority", "preemptionPolicy"] {
        let old = &attributes.old["spec"][field];
        if !old.is_null() && attributes.new["spec"].get(field).is_none_or(Value::is_null) {
            attributes.new["spec"][field] = json!(old);
        }
    }
}

/// The class that applies to pods without one: the default with the lowest value.
async fn default_class(attributes: &Attributes<'_>) -> Result<Option<Value>, Status> {
    let range = KeyRange::prefix(storage::prefix(GROUP, RESOURCE, ""));
    let request = RangeRequest { range, revision: None, limit: 0 };
    let classes = attributes.call.server.store().range(request).await?.entries;
    // Looked at without decoding: every pod comes by here, and most classes are no default.
    let is_default =
        |entry: &&Arc<Entry>| encoded::string_at(&entry.value, &["globalDefault"]).as_deref() == Some("true");
    let defaults = classes.iter().filter(is_default).map(|entry| storage::decode(entry));
    let defaults = defaults.collect::<Result<Vec<Value>, Status>>()?;
    Ok(defaults.into_iter().min_by_key(|class| class["value"].as_i64().unwrap_or(0)))
}
