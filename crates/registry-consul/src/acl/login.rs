//! Logging in: a token of another kind in, one of ours out.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, Response};
use portolan_client::{Client, Endpoint, HttpsTransport};
use portolan_registrar::http::Body;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::bindings::{Identity, bind};
use super::directory::tokens;
use super::methods::{Jwt, Kubernetes, Verifier, methods};
use super::model::{Grants, Token};
use super::tokens::finish;
use super::{Call, secret};
use crate::space::WriteError;
use crate::{Error, duration};

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Clocks may differ by this many seconds.
const LEEWAY: i64 = 60;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Login {
    auth_method: String,
    bearer_token: String,
    meta: BTreeMap<String, String>,
}

/// `POST /v1/acl/login`
pub(super) async fn login(call: &Call<'_>) -> Result<Response<Body>, Error> {
    let wanted: Login = call.body()?;
    let name = &wanted.auth_method;
    let method = methods(&call.state.space).get(name).await?;
    let method =
        method.ok_or_else(|| Error::Forbidden(format!("ACL not found: auth method {name:?} not found")))?.value;
    if wanted.bearer_token.is_empty() {
        return Err(Error::Forbidden("Permission denied: no BearerToken is shown".into()));
    }
    let now = call.state.space.now();
    let identity = match method.verifier()? {
        Verifier::Kubernetes(server) => reviewed(&server, &wanted.bearer_token).await?,
        Verifier::Jwt(jwt) => claimed(&jwt, &wanted.bearer_token, now.as_second())?,
    };
    let (grants, roles) = bind(call, &method, &identity).await?;
    if grants == Grants::default() && roles.is_empty() {
        return Err(Error::Forbidden(
            "Permission denied: no binding rule of the auth method is about this login".into(),
        ));
    }
    let expiration_time = match method.max_token_ttl.as_str() {
        "" | "0s" => None,
        ttl => {
            let damaged =
                |error: String| Error::Internal(format!("the stored auth method {name:?} is damaged: {error}"));
            let ttl = duration::parse(ttl).map_err(|error| damaged(error.to_string()))?;
            Some(now.checked_add(ttl).map_err(|error| damaged(error.to_string()))?)
        }
    };
    let mut description = "token created via login".to_owned();
    if !wanted.meta.is_empty() {
        description = format!("{description}: {}", json!(wanted.meta));
    }
    let token = Token {
        accessor_id: Uuid::new_v4().to_string(),
        description,
        grants,
        roles,
        local: method.token_locality != "global",
        expiration_time,
        create_time: now,
        auth_method: method.name,
    };
    finish(call, token, &Uuid::new_v4().to_string()).await
}

/// `POST /v1/acl/logout`
pub(super) async fn logout(call: &Call<'_>) -> Result<Response<Body>, Error> {
    let space = &call.state.space;
    let (token, _) = call.state.acl.resolve(space, &secret(call.request, call.parameters)).await?;
    if token.auth_method.is_empty() {
        return Err(Error::Forbidden("Permission denied: the token was not made by logging in".into()));
    }
    let record = tokens(space).get(&token.accessor_id).await?;
    let record = record.ok_or_else(|| Error::Forbidden("ACL not found".into()))?;
    let name = record.value.secret_hash.as_str();
    let done = tokens(space).delete(&token.accessor_id, record.modified, Some(name)).await?;
    if done { call.json(&true) } else { Err(WriteError::Stale.into()) }
}

/// Asks an API server whose token it is; only service accounts can log in.
async fn reviewed(server: &Kubernetes, token: &str) -> Result<Identity, Error> {
    let failed =
        |error: portolan_client::Error| Error::Internal(format!("the auth method cannot ask its Host: {error}"));
    let transport = HttpsTransport::new(&Endpoint {
        server: server.host.clone(),
        certificate_authority: server.ca_cert.clone(),
        token: Some(server.service_account_jwt.clone()),
        ..Endpoint::default()
    })
    .map_err(failed)?;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let client = Client::new(Arc::new(transport));
    let answer = client.raw(Method::POST, TOKEN_REVIEWS, Some(review)).await.map_err(failed)?;
    let status = &answer["status"];
    if status["authenticated"] != true {
        let why = status["error"].as_str().unwrap_or("the token is not valid");
        return Err(Error::Forbidden(format!("Permission denied: lookup failed: {why}")));
    }
    let user = status["user"]["username"].as_str().unwrap_or_default();
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let Some((namespace, name)) = account else {
        return Err(Error::Forbidden(format!("Permission denied: {user:?} is no service account")));
    };
    let fields =
        [("namespace", namespace), ("name", name), ("uid", status["user"]["uid"].as_str().unwrap_or_default())];
    Ok(Identity {
        selectable: json!({"serviceaccount": BTreeMap::from(fields)}),
        variables: fields.map(|(field, value)| (format!("serviceaccount.{field}"), value.to_owned())).into(),
    })
}

/// Checks a token against the keys of a method, and takes the claims that rules speak of.
fn claimed(jwt: &Jwt, token: &str, now: i64) -> Result<Identity, Error> {
    let denied = |text: String| Error::Forbidden(format!("Permission denied: {text}"));
    let claims = portolan_identity::verify_with_pem(token, &jwt.keys, &jwt.algorithms)
        .map_err(|error| denied(error.to_string()))?;
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit for a long time")]
    let (earliest, latest) = ((now - LEEWAY) as f64, (now + LEEWAY) as f64);
    let Some(end) = time("exp") else { return Err(denied("the token does not say when it ends (exp)".into())) };
    if end < earliest || time("nbf").is_some_and(|start| start > latest) {
        return Err(denied("the token is over, or not valid yet".into()));
    }
    if !jwt.bound_issuer.is_empty() && claims.get("iss").and_then(Value::as_str) != Some(&jwt.bound_issuer) {
        return Err(denied("the token has another issuer".into()));
    }
    let audiences = texts(&claims, "aud");
    if !audiences.is_empty() || !jwt.bound_audiences.is_empty() {
        let shared = audiences.iter().any(|audience| jwt.bound_audiences.contains(audience));
        if !shared {
            return Err(denied("the token is for another audience".into()));
        }
    }
    let mut values = BTreeMap::new();
    for (claim, name) in &jwt.claim_mappings {
        match claims.get(claim) {
            Some(Value::String(text)) => _ = values.insert(name.clone(), text.clone()),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => _ = values.insert(name.clone(), other.to_string()),
            _ => {}
        }
    }
    let lists: BTreeMap<_, _> =
        jwt.list_claim_mappings.iter().map(|(claim, name)| (name.clone(), texts(&claims, claim))).collect();
    Ok(Identity {
        variables: values.iter().map(|(name, value)| (format!("value.{name}"), value.clone())).collect(),
        selectable: json!({"value": values, "list": lists}),
    })
}

/// The texts of a claim that is one or a list of them.
fn texts(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    match claims.get(name) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => vec![],
    }
}
