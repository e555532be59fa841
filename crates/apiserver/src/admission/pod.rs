//! What a new pod gets from its cluster: an identity, a priority, patience with failing nodes.
//!
//! Source: upstream's admission plugins ServiceAccount, Priority and DefaultTolerationSeconds.

use portolan_api::encoded;
use portolan_store::{KeyRange, RangeRequest};
use serde_json::{Map, Value, json};

use crate::endpoint::{Call, metadata};
use crate::status::Status;
use crate::storage;

const TOKEN_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An hour, and seven seconds by which upstream tells these tokens from others.
const TOKEN_SECONDS: i64 = 3607;

/// How long a pod stays on a node that does not answer.
const PATIENCE_SECONDS: i64 = 300;

const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) async fn complete(call: &Call<'_>, pod: &mut Value, _warnings: &mut Vec<String>) -> Result<(), Status> {
    if !pod["spec"].is_object() {
        // Validation says what is missing.
        return Ok(());
    }
    if pod["metadata"]["annotations"].get(MIRROR).is_none() {
        give_identity(call, pod).await?;
    }
    give_priority(call, pod).await?;
    give_patience(pod);
    Ok(())
}

async fn give_identity(call: &Call<'_>, pod: &mut Value) -> Result<(), Status> {
    let spec = &mut pod["spec"];
    let given = ["serviceAccountName", "serviceAccount"]
        .iter()
        .filter_map(|field| spec[*field].as_str())
        .find(|name| !name.is_empty());
    let account = given.unwrap_or("default").to_owned();
    spec["serviceAccountName"] = account.as_str().into();
    spec["serviceAccount"] = account.as_str().into();
    let namespace = call.namespace();
    let Some(entry) = storage::find(call.server, "", "serviceaccounts", namespace, &account).await? else {
        let why =
            format!("error looking up service account {namespace}/{account}: serviceaccount \"{account}\" not found");
        return Err(Status::forbidden(&call.target(), metadata::text(pod, "name"), &why));
    };
    // Every pod comes by here: of the account only what is asked for is read.
    let account = &entry.value;
    let spec = &mut pod["spec"];
    let mounts = spec["automountServiceAccountToken"].as_bool().unwrap_or_else(|| {
        encoded::raw_at(account, &["automountServiceAccountToken"]).is_none_or(|given| given != b"false")
    });
    if mounts {
        mount_token(spec);
    }
    let has_secrets = spec["imagePullSecrets"].as_array().is_some_and(|list| !list.is_empty());
    if !has_secrets
        && let Some(secrets) = encoded::raw_at(account, &["imagePullSecrets"]).filter(|given| given.starts_with(b"["))
    {
        spec["imagePullSecrets"] = serde_json::from_slice(secrets)
            .map_err(|error| Status::internal(format!("a stored service account cannot be decoded: {error}")))?;
    }
    Ok(())
}

fn mount_token(spec: &mut Value) {
    const PREFIX: &str = "kube-api-access-";
    let volumes = spec["volumes"].as_array();
    let existing = volumes
        .into_iter()
        .flatten()
        .find_map(|volume| volume["name"].as_str().filter(|name| name.starts_with(PREFIX)).map(str::to_owned));
    let is_new = existing.is_none();
    let name = existing.unwrap_or_else(|| crate::endpoint::generated_name(PREFIX));
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mounts = container["volumeMounts"].as_array();
            let taken = mounts.into_iter().flatten().any(|mount| mount["mountPath"] == TOKEN_DIRECTORY);
            if taken {
                continue;
            }
            let Some(container) = container.as_object_mut() else { continue };
            let mount = json!({"name": name, "mountPath": TOKEN_DIRECTORY, "readOnly": true});
            push(container, "volumeMounts", mount);
            used = true;
        }
    }
    if is_new
        && used
        && let Some(spec) = spec.as_object_mut()
    {
        push(spec, "volumes", token_volume(&name));
    }
}

fn push(fields: &mut Map<String, Value>, list: &str, item: Value) {
    match fields.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => drop(fields.insert(list.into(), Value::Array(vec![item]))),
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

async fn give_priority(call: &Call<'_>, pod: &mut Value) -> Result<(), Status> {
    const GROUP: &str = "scheduling.k8s.io";
    const RESOURCE: &str = "priorityclasses";
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        default_class(call).await?
    } else {
        let Some(entry) = storage::find(call.server, GROUP, RESOURCE, "", &name).await? else {
            let why = format!("no PriorityClass with name {name} was found");
            return Err(Status::forbidden(&call.target(), metadata::text(pod, "name"), &why));
        };
        Some(storage::decode(&entry)?)
    };
    let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    let preemption =
        class.as_ref().and_then(|class| class["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
    if let Some(given) = pod["spec"]["priority"].as_i64().filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(Status::forbidden(&call.target(), metadata::text(pod, "name"), &why));
    }
    let spec = &mut pod["spec"];
    spec["priority"] = value.into();
    spec["preemptionPolicy"] = preemption.into();
    if let Some(class) = class.filter(|_| name.is_empty()) {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    Ok(())
}

/// The class that applies to pods without one: the default with the lowest value.
async fn default_class(call: &Call<'_>) -> Result<Option<Value>, Status> {
    let range = KeyRange::prefix(storage::prefix("scheduling.k8s.io", "priorityclasses", ""));
    let classes = call.server.store().range(RangeRequest { range, revision: None, limit: 0 }).await?.entries;
    // Looked at without decoding: every pod comes by here, and most classes are no default.
    let is_default = |entry: &&std::sync::Arc<portolan_store::Entry>| {
        encoded::string_at(&entry.value, &["globalDefault"]).as_deref() == Some("true")
    };
    let defaults = classes.iter().filter(is_default).map(|entry| storage::decode(entry));
    let defaults = defaults.collect::<Result<Vec<Value>, Status>>()?;
    Ok(defaults.into_iter().min_by_key(|class| class["value"].as_i64().unwrap_or(0)))
}

fn give_patience(pod: &mut Value) {
    let tolerations = pod["spec"]["tolerations"].as_array();
    let tolerates = |key: &str| {
        tolerations.into_iter().flatten().any(|toleration| {
            let text = |field: &str| toleration[field].as_str().unwrap_or_default();
            matches!(text("key"), "" | "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable")
                && (text("key").is_empty() || text("key") == key)
                && matches!(text("effect"), "" | "NoExecute")
        })
    };
    let missing: Vec<Value> = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
        .iter()
        .filter(|key| !tolerates(key))
        .map(|key| {
            json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": PATIENCE_SECONDS,
            })
        })
        .collect();
    if let Some(spec) = pod["spec"].as_object_mut() {
        for toleration in missing {
            push(spec, "tolerations", toleration);
        }
    }
}
