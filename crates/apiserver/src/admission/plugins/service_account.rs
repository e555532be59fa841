//! A new pod gets an identity: its service account, a token and the account's secrets for images.

use portolan_api::encoded;
use portolan_base::go;
use serde_json::{Value, json};

use super::push;
use crate::admission::{Attributes, Operation};
use crate::authorization::{Kind, referred_kinds};
use crate::resources::core::pod::MIRROR;
use crate::status::Status;
use crate::storage;

const TOKEN_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An hour, and seven seconds by which upstream tells these tokens from others.
const TOKEN_SECONDS: i64 = 3607;

/// Annotation of an account whose pods may use no secrets but its own.
const ONLY_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

pub(super) async fn admit(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let concerned = attributes.operation == Operation::Create
        && attributes.is_main("", "pods")
        // Validation says what is missing.
        && attributes.new["spec"].is_object();
    if !concerned {
        return Ok(());
    }
    if attributes.new["metadata"]["annotations"].get(MIRROR).is_some() {
        return mirror_pods_refer_to_nothing(attributes);
    }
    give_identity(attributes).await
}

/// What a node runs by itself it shows as it is: nothing is given to it that it does not have.
fn mirror_pods_refer_to_nothing(attributes: &Attributes<'_>) -> Result<(), Status> {
    let spec = &attributes.new["spec"];
    let kinds = referred_kinds(spec);
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let mut sources = volumes.flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten());
    let why = if kinds.contains(&Kind::ServiceAccount) {
        "a mirror pod may not reference service accounts"
    } else if kinds.contains(&Kind::Secret) {
        "a mirror pod may not reference secrets"
    } else if sources.any(|source| source["serviceAccountToken"].is_object()) {
        "a mirror pod may not use ServiceAccountToken volume projections"
    } else {
        return Ok(());
    };
    Err(attributes.forbidden(why))
}

async fn give_identity(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let spec = &mut attributes.new["spec"];
    let given = ["serviceAccountName", "serviceAccount"]
        .iter()
        .filter_map(|field| spec[*field].as_str())
        .find(|name| !name.is_empty());
    let account = given.unwrap_or("default").to_owned();
    spec["serviceAccountName"] = account.as_str().into();
    spec["serviceAccount"] = account.as_str().into();
    let namespace = attributes.call.namespace();
    let Some(entry) = storage::find(attributes.call.server, "", "serviceaccounts", namespace, &account).await? else {
        let why =
            format!("error looking up service account {namespace}/{account}: serviceaccount \"{account}\" not found");
        return Err(attributes.forbidden(&why));
    };
    // Most accounts say nothing about what their pods get.
    let account = if is_plain(&entry.value) { Value::Null } else { storage::decode(&entry)? };
    if account["metadata"]["annotations"][ONLY_MOUNTABLE] == "true" {
        secrets_must_be_mountable(attributes, &account)?;
    }
    let spec = &mut attributes.new["spec"];
    let mounts = spec["automountServiceAccountToken"]
        .as_bool()
        .or(account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if mounts {
        mount_token(spec);
    }
    let has_secrets = spec["imagePullSecrets"].as_array().is_some_and(|list| !list.is_empty());
    if !has_secrets && account["imagePullSecrets"].is_array() {
        spec["imagePullSecrets"].clone_from(&account["imagePullSecrets"]);
    }
    Ok(())
}

/// Whether an account has nothing that matters to its pods.
fn is_plain(account: &[u8]) -> bool {
    encoded::fields(account).iter().all(|(name, value)| match &**name {
        "automountServiceAccountToken" | "imagePullSecrets" => false,
        "metadata" => encoded::raw_at(value, &["annotations"]).is_none(),
        _ => true,
    })
}

/// A pod may only use the secrets that its account lists.
fn secrets_must_be_mountable(attributes: &Attributes<'_>, account: &Value) -> Result<(), Status> {
    let lists = |list: &str, name: &Value| account[list].as_array().into_iter().flatten().any(|it| it["name"] == *name);
    let account_name = account["metadata"]["name"].as_str().unwrap_or_default();
    let spec = &attributes.new["spec"];
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let secret = &volume["secret"]["secretName"];
        if secret.is_string() && !lists("secrets", secret) {
            return Err(attributes.forbidden(&format!(
                "volume with secret.secretName={secret} is not allowed because service account {account_name} does not reference that secret"
            )));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            for variable in container["env"].as_array().into_iter().flatten() {
                let secret = &variable["valueFrom"]["secretKeyRef"]["name"];
                if let Some(text) = secret.as_str().filter(|_| !lists("secrets", secret)) {
                    let what = if list == "containers" { "container" } else { "init container" };
                    let variable = variable["name"].as_str().unwrap_or_default();
                    return Err(attributes.forbidden(&format!(
                        "{what} {name} with envVar {variable} referencing secret.secretName={} is not allowed because service account {account_name} does not reference that secret",
                        go::quote(text)
                    )));
                }
            }
        }
    }
    for (index, secret) in spec["imagePullSecrets"].as_array().into_iter().flatten().enumerate() {
        if secret["name"].is_string() && !lists("imagePullSecrets", &secret["name"]) {
            return Err(attributes.forbidden(&format!(
                "imagePullSecrets[{index}].name={} is not allowed because service account {account_name} does not reference that imagePullSecret",
                secret["name"]
            )));
        }
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

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}
