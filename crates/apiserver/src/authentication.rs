//! Who asks.

use std::sync::Arc;

use http::{HeaderMap, header};
use portolan_api::encoded;
use portolan_base::Timestamp;
use portolan_identity::{BoundObject, Claims, User};
use portolan_store::{KeyRange, RangeRequest};

use crate::request::Info;
use crate::server::{Certified, Peer, Server};
use crate::status::Status;
use crate::{authorization, storage};

/// The user of a request: from inside the process, or by token or client certificate.
pub(crate) async fn user(
    server: &Server,
    headers: &HeaderMap,
    peer: &Peer,
    now: Timestamp,
) -> Result<Arc<User>, Status> {
    let user = match peer {
        Peer::Trusted(user) => user.clone(),
        Peer::Tls { certificate, .. } => match (bearer(headers), certificate) {
            (Some(token), _) => token_user(server, token, &[], now).await.map(Arc::new).map_err(|why| {
                tracing::debug!(why, "a token was refused");
                Status::unauthorized()
            })?,
            (None, Some(Certified(named))) => named.clone().map_err(|error| {
                tracing::debug!(%error, "a client certificate was refused");
                Status::unauthorized()
            })?,
            (None, None) => Arc::new(User::anonymous()),
        },
    };
    impersonated(server, headers, user)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The service account that a token speaks for. A token ends with the objects it is bound to.
///
/// `audiences`: those that the caller is; empty for the API server itself.
pub(crate) async fn token_user(
    server: &Server,
    token: &str,
    audiences: &[String],
    now: Timestamp,
) -> Result<User, String> {
    let claims = server.config.tokens.verify(token, now).map_err(|error| error.to_string())?;
    let own = [server.config.tokens.issuer().to_owned()];
    let accepted = if audiences.is_empty() { &own[..] } else { audiences };
    if !claims.audiences.iter().any(|audience| accepted.contains(audience)) {
        return Err("the token is meant for somebody else".into());
    }
    exists(server, "serviceaccounts", &claims.namespace, &claims.service_account).await?;
    if let Some(pod) = &claims.pod {
        exists(server, "pods", &claims.namespace, pod).await?;
    }
    if let Some(secret) = &claims.secret {
        exists(server, "secrets", &claims.namespace, secret).await?;
    }
    Ok(service_account_user(&claims))
}

async fn exists(server: &Server, resource: &str, namespace: &str, object: &BoundObject) -> Result<(), String> {
    let range = KeyRange::key(storage::key("", resource, namespace, &object.name));
    let answer = server.store().range(RangeRequest { range, revision: None, limit: 1 }).await;
    let entry = answer.map_err(|error| error.to_string())?.entries.into_iter().next();
    let uid = entry.as_ref().and_then(|entry| encoded::string_at(&entry.value, &["metadata", "uid"]));
    if uid.as_deref() == Some(&object.uid) {
        Ok(())
    } else {
        Err(format!("{resource} {namespace}/{} that the token is bound to is gone", object.name))
    }
}

fn service_account_user(claims: &Claims) -> User {
    let mut user = User::new(
        claims.user_name(),
        ["system:serviceaccounts", &format!("system:serviceaccounts:{}", claims.namespace)],
    );
    user.uid.clone_from(&claims.service_account.uid);
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

/// The user that an authorized one pretends to be (`kubectl --as`).
fn impersonated(server: &Server, headers: &HeaderMap, user: Arc<User>) -> Result<Arc<User>, Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = text("impersonate-user");
    let groups: Vec<&str> =
        headers.get_all("impersonate-group").iter().filter_map(|value| value.to_str().ok()).collect();
    if name.is_empty() {
        return match groups.as_slice() {
            [] => Ok(user),
            _ => Err(Status::bad_request("requested groups without impersonating a user")),
        };
    }
    let check = |resource: &str, namespace: &str, name: &str| {
        authorization::authorize(
            server,
            &user,
            &Info {
                verb: "impersonate",
                version: "v1".into(),
                resource: resource.into(),
                namespace: namespace.into(),
                name: name.into(),
                ..Info::default()
            },
        )
    };
    let mut implied = Vec::new();
    match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, account)) => {
            check("serviceaccounts", namespace, account)?;
            implied.push("system:serviceaccounts".to_owned());
            implied.push(format!("system:serviceaccounts:{namespace}"));
        }
        None => check("users", "", name)?,
    }
    for group in &groups {
        check("groups", "", group)?;
    }
    implied.extend(groups.into_iter().map(str::to_owned));
    Ok(Arc::new(User::new(name, implied.iter().map(String::as_str))))
}
