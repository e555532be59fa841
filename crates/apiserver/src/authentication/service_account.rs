//! Tokens of service accounts. A token ends with the objects it is bound to.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_api::encoded::string_at;
use portolan_api::time;
use portolan_base::Timestamp;
use portolan_identity::{BoundObject, Claims, LegacyClaims, User};
use portolan_store::Entry;
use std::sync::Arc;

use super::Proven;
use crate::server::Server;
use crate::storage;

/// How long after its deletion an object still carries tokens, as upstream.
const LEEWAY: Duration = Duration::from_secs(60);

/// The service account that a token speaks for.
///
/// `audiences`: those that the caller is.
pub(super) async fn user(server: &Server, token: &str, audiences: &[String], now: Timestamp) -> Result<Proven, String> {
    let claims = match server.config.tokens.verify(token, now) {
        Ok(claims) => claims,
        Err(error) => {
            return match server.config.tokens.verify_legacy(token) {
                Ok(claims) => legacy(server, token, &claims, audiences, now).await,
                Err(_) => Err(error.to_string()),
            };
        }
    };
    let granted: Vec<String> = claims.audiences.iter().filter(|it| audiences.contains(it)).cloned().collect();
    if granted.is_empty() {
        return Err(format!(
            "token audiences {:?} is invalid for the target audiences {audiences:?}",
            claims.audiences
        ));
    }
    let namespace = &claims.namespace;
    exists(server, "serviceaccounts", namespace, &claims.service_account, now).await?;
    if let Some(secret) = &claims.secret {
        exists(server, "secrets", namespace, secret, now).await?;
    }
    match (&claims.pod, &claims.node) {
        // The node is said for information; the token ends with the pod.
        (Some(pod), _) => exists(server, "pods", namespace, pod, now).await?,
        (None, Some(node)) => exists(server, "nodes", "", node, now).await?,
        (None, None) => {}
    }
    Ok(Proven { user: described(&claims), audiences: granted })
}

/// A token that lives in a Secret, and as long as that holds it.
async fn legacy(
    server: &Server,
    token: &str,
    claims: &LegacyClaims,
    audiences: &[String],
    now: Timestamp,
) -> Result<Proven, String> {
    let granted: Vec<String> = server.api_audiences().iter().filter(|own| audiences.contains(own)).cloned().collect();
    if granted.is_empty() {
        return Err("the token is meant for the API server".into());
    }
    let account = BoundObject { name: claims.service_account.clone(), uid: claims.uid.clone() };
    exists(server, "serviceaccounts", &claims.namespace, &account, now).await?;
    let secret = find(server, "secrets", &claims.namespace, &claims.secret).await?;
    let held = secret.and_then(|entry| string_at(&entry.value, &["data", "token"]).map(|text| text.into_owned()));
    if held.and_then(|text| STANDARD.decode(text).ok()).as_deref() != Some(token.as_bytes()) {
        return Err("Token has been invalidated".into());
    }
    let mut user = account_user(&claims.namespace, &claims.service_account, &claims.uid);
    let id = ("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("SECRET={}", claims.secret)]);
    user.extra.extend([id]);
    Ok(Proven { user, audiences: granted })
}

async fn exists(
    server: &Server,
    resource: &str,
    namespace: &str,
    object: &BoundObject,
    now: Timestamp,
) -> Result<(), String> {
    let gone = || format!("{resource} {namespace}/{} that the token is bound to is gone", object.name);
    let entry = find(server, resource, namespace, &object.name).await?.ok_or_else(gone)?;
    let text = |field: &str| string_at(&entry.value, &["metadata", field]);
    if text("uid").as_deref() != Some(&object.uid) {
        return Err(gone());
    }
    let deleted = text("deletionTimestamp").and_then(|text| time::parse(&text));
    if deleted.is_some_and(|deleted| deleted + LEEWAY < now) {
        return Err("service account token has been invalidated".into());
    }
    Ok(())
}

async fn find(server: &Server, resource: &str, namespace: &str, name: &str) -> Result<Option<Arc<Entry>>, String> {
    storage::find(server, "", resource, namespace, name).await.map_err(|status| status.to_string())
}

fn account_user(namespace: &str, name: &str, uid: &str) -> User {
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")];
    let mut user = User::new(format!("system:serviceaccount:{namespace}:{name}"), groups);
    user.uid = uid.to_owned();
    user
}

fn described(claims: &Claims) -> User {
    let mut user = account_user(&claims.namespace, &claims.service_account.name, &claims.service_account.uid);
    let mut extra = |name: &str, value: &str| {
        user.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]);
    };
    extra("credential-id", &format!("JTI={}", claims.id));
    for (kind, object) in [("pod", &claims.pod), ("node", &claims.node)] {
        if let Some(object) = object {
            extra(&format!("{kind}-name"), &object.name);
            extra(&format!("{kind}-uid"), &object.uid);
        }
    }
    user
}
