//! Tokens of service accounts. A token ends with the objects it is bound to.

use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_api::encoded::string_at;
use portolan_api::time;
use portolan_base::{Timestamp, go};
use portolan_identity::{BoundObject, Claims, LegacyClaims, User};
use portolan_store::Entry;
use serde_json::{Value, json};
use std::sync::Arc;

use super::Proven;
use crate::bootstrap;
use crate::server::Server;
use crate::storage;

/// How long after its deletion an object still carries tokens, as upstream.
const LEEWAY: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Labels of Secrets with tokens, as upstream.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

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
        return Err(other_audiences(&claims.audiences, audiences));
    }
    let namespace = &claims.namespace;
    exists(server, "serviceaccounts", namespace, &claims.service_account, now, LEEWAY).await?;
    if let Some(secret) = &claims.secret {
        exists(server, "secrets", namespace, secret, now, LEEWAY).await?;
    }
    match (&claims.pod, &claims.node) {
        // The node is said for information; the token ends with the pod.
        (Some(pod), _) => exists(server, "pods", namespace, pod, now, LEEWAY).await?,
        (None, Some(node)) => exists(server, "nodes", "", node, now, LEEWAY).await?,
        (None, None) => {}
    }
    Ok(Proven { user: described(&claims), audiences: granted })
}

fn other_audiences(of_token: &[String], wanted: &[String]) -> String {
    let (of_token, wanted) = (go::quote_all(of_token), go::quote_all(wanted));
    format!("token audiences {of_token} is invalid for the target audiences {wanted}")
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
        return Err(other_audiences(server.api_audiences(), audiences));
    }
    let account = BoundObject { name: claims.service_account.clone(), uid: claims.uid.clone() };
    exists(server, "serviceaccounts", &claims.namespace, &account, now, Duration::ZERO).await?;
    let secret = find(server, "secrets", &claims.namespace, &claims.secret).await?;
    let secret = secret.ok_or("Token has been invalidated")?;
    if string_at(&secret.value, &["metadata", "deletionTimestamp"]).is_some() {
        return Err("Token has been invalidated".into());
    }
    let held = string_at(&secret.value, &["data", "token"]).map(|text| text.into_owned());
    if held.and_then(|text| STANDARD.decode(text).ok()).as_deref() != Some(token.as_bytes()) {
        return Err("Token has been invalidated".into());
    }
    note_use(server, &secret, claims, now).await;
    let label = |name: &str| string_at(&secret.value, &["metadata", "labels", name]);
    if label(INVALID_SINCE).is_some_and(|since| !since.is_empty()) {
        let LegacyClaims { namespace, secret, service_account, .. } = claims;
        return Err(format!(
            "the token in secret {namespace}/{secret} for service account {namespace}/{service_account} has been marked \
             invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the \
             '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
        ));
    }
    let mut user = account_user(&claims.namespace, &claims.service_account, &claims.uid);
    let id = ("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("SECRET={}", claims.secret)]);
    user.extra.extend([id]);
    Ok(Proven { user, audiences: granted })
}

/// Labels a Secret whose token is used with the day, once a day. A token counts even if that fails.
async fn note_use(server: &Server, secret: &Entry, claims: &LegacyClaims, now: Timestamp) {
    let today = day(now);
    let of_today = |label: &str| label == today || label == day(now + DAY);
    let known = string_at(&secret.value, &["metadata", "labels", LAST_USED]);
    if known.is_some_and(|label| of_today(&label)) {
        return;
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": claims.secret, "namespace": claims.namespace},
    });
    let uid = string_at(&secret.value, &["metadata", "uid"]).unwrap_or_default().into_owned();
    let update = |old: &Value| {
        let label = old["metadata"]["labels"][LAST_USED].as_str().unwrap_or_default();
        if old["metadata"]["uid"] != uid.as_str() || of_today(label) {
            return None;
        }
        let mut new = old.clone();
        new["metadata"]["labels"][LAST_USED] = today.clone().into();
        Some(new)
    };
    // Reviews of tokens are writes too: without a box, the one would hold the other.
    let revised: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(bootstrap::revise(server, object, update));
    if let Err(error) = revised.await {
        let error = portolan_base::error::chain(&error);
        tracing::error!(%error, "a Secret could not be labelled with the day when its token was used");
    }
}

/// `2026-01-02`.
pub(crate) fn day(now: Timestamp) -> String {
    now.strftime("%Y-%m-%d").to_string()
}

async fn exists(
    server: &Server,
    resource: &str,
    namespace: &str,
    object: &BoundObject,
    now: Timestamp,
    leeway: Duration,
) -> Result<(), String> {
    let gone = || format!("{resource} {namespace}/{} that the token is bound to is gone", object.name);
    let entry = find(server, resource, namespace, &object.name).await?.ok_or_else(gone)?;
    let text = |field: &str| string_at(&entry.value, &["metadata", field]);
    if text("uid").as_deref() != Some(&object.uid) {
        return Err(gone());
    }
    let deleted = text("deletionTimestamp").and_then(|text| time::parse(&text));
    if deleted.is_some_and(|deleted| deleted + leeway <= now) {
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
