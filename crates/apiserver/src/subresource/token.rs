//! `serviceaccounts/token`: a token for a service account, bound to an object if wanted.

use std::time::Duration;

use http::Response;
use portolan_api::description::GroupVersionKind;
use portolan_api::field::{self, Path};
use portolan_api::time;
use portolan_identity::{BoundObject, Claims};
use serde_json::{Value, json};

use crate::authorization::node_of;
use crate::body::Body;
use crate::endpoint::{Call, Input, metadata};
use crate::request::Target;
use crate::status::Status;
use crate::{respond, storage};

const DEFAULT_SECONDS: i64 = 3600;

/// What is asked for pods that did not ask themselves, a little odd so that it can be told.
const POD_SECONDS: i64 = 3607;

const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;

/// Tokens of pods are asked for with this lifetime; their mounts are renewed well before.
const LONGEST_SECONDS: i64 = 365 * 24 * 3600;

pub(super) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let Input { mut object, mut warnings } = call.input(body).await?;
    call.expect_namespace(&object)?;
    expect_name(call, &object)?;
    if object["spec"]["expirationSeconds"].is_null() {
        object["spec"]["expirationSeconds"] = DEFAULT_SECONDS.into();
    }
    call.track_sent(&mut object)?;
    let mut attributes = super::changed(call, object, false).await?;
    expect_name(call, &attributes.new)?;
    let account = call.entry(&call.info.name).await?;
    let uid = storage::uid(&account);
    expect_uid(call, &attributes.new, &uid)?;
    complete(call, &mut attributes.new, &uid);
    let seconds = attributes.new["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
    check(seconds)?;
    super::validated(&mut attributes, &mut warnings).await?;
    let mut object = attributes.new;
    let spec = &object["spec"];
    let longest = call.server.config.access.service_accounts.longest_lifetime;
    let longest = longest.map_or(LONGEST_SECONDS, |longest| i64::try_from(longest.as_secs()).unwrap_or(i64::MAX));
    if seconds > longest {
        warnings.push(format!("requested expiration of {seconds} seconds shortened to {longest} seconds"));
    }
    let seconds = seconds.min(longest);
    let mut audiences: Vec<String> =
        spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.extend_from_slice(&call.server.audiences);
    }
    let bound = bound(call, &spec["boundObjectRef"]).await?;
    if let Some(node) = node_of(call.user)
        && bound.pod_node.as_deref() != Some(node)
    {
        let why = format!("node \"{node}\" can only ask for tokens that are bound to pods that run on it");
        return Err(Status::forbidden(&call.target(), &call.info.name, &why));
    }
    let asked_for = call.now + Duration::from_secs(seconds.unsigned_abs());
    let is_ours = audiences.iter().all(|audience| call.server.audiences.contains(audience));
    let extends = call.server.config.access.service_accounts.extends && seconds == POD_SECONDS && is_ours;
    let warn_after = (extends && bound.pod.is_some()).then_some(asked_for);
    let claims = Claims {
        namespace: call.namespace().to_owned(),
        service_account: BoundObject { name: call.info.name.clone(), uid: uid.clone() },
        pod: bound.pod,
        node: bound.node,
        secret: bound.secret,
        audiences: audiences.clone(),
        issued_at: call.now,
        expires_at: warn_after
            .map_or(asked_for, |_| call.now + Duration::from_secs(longest.min(LONGEST_SECONDS).unsigned_abs())),
        warn_after,
        id: uuid::Uuid::new_v4().to_string(),
    };
    let token = call.server.config.tokens.sign(&claims).map_err(|error| {
        tracing::error!(%error, "a token could not be signed");
        Status::internal("the token could not be signed")
    })?;
    object["spec"]["audiences"] = json!(audiences);
    object["spec"]["expirationSeconds"] = seconds.into();
    object["status"] = json!({"token": token, "expirationTimestamp": time::format(asked_for)});
    let mut response = respond::json(201, &object);
    respond::add_warnings(&mut response, &warnings);
    Ok(response)
}

/// Says for whom the token is to be, and that there is none yet.
fn complete(call: &Call<'_>, request: &mut Value, uid: &str) {
    let said = metadata::of(request);
    for (name, value) in [
        ("name", call.info.name.clone()),
        ("namespace", call.namespace().to_owned()),
        ("uid", uid.to_owned()),
        ("creationTimestamp", time::format(call.now)),
    ] {
        said.insert(name.into(), value.into());
    }
    if request["spec"]["audiences"].as_array().is_none_or(Vec::is_empty) {
        request["spec"]["audiences"] = json!(call.server.audiences);
    }
    if request["spec"].get("boundObjectRef").is_none() {
        request["spec"]["boundObjectRef"] = Value::Null;
    }
    request["status"] = json!({"token": "", "expirationTimestamp": null});
}

/// Refuses a body that names another account than the URL.
fn expect_name(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let given = metadata::text(object, "name");
    if given.is_empty() || given == call.info.name {
        return Ok(());
    }
    let detail = "must match the service account name if specified";
    let error = field::Error::invalid(&Path::new("metadata").child("name"), given, detail);
    Err(Status::invalid("authentication.k8s.io", "TokenRequest", &call.info.name, &[error]))
}

/// Refuses a request for an account that was there before this one.
fn expect_uid(call: &Call<'_>, object: &Value, uid: &str) -> Result<(), Status> {
    let given = metadata::text(object, "uid");
    if given.is_empty() || given == uid {
        return Ok(());
    }
    let target = Target { group: "authentication.k8s.io", resource: "TokenRequest" };
    let why = format!("the UID in the token request ({given}) does not match the UID of the service account ({uid})");
    Err(Status::conflict(&target, &call.info.name, &why))
}

fn check(seconds: i64) -> Result<(), Status> {
    let path = Path::new("spec").child("expirationSeconds");
    let detail = if seconds < LEAST_SECONDS {
        "may not specify a duration less than 10 minutes"
    } else if seconds > MOST_SECONDS {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let error = field::Error::invalid(&path, seconds, detail);
    Err(Status::invalid("authentication.k8s.io", "TokenRequest", "", &[error]))
}

#[derive(Default)]
struct Bound {
    pod: Option<BoundObject>,
    /// Where the pod runs.
    pod_node: Option<String>,
    node: Option<BoundObject>,
    secret: Option<BoundObject>,
}

async fn bound(call: &Call<'_>, reference: &Value) -> Result<Bound, Status> {
    if !reference.is_object() {
        return Ok(Bound::default());
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let api_version = Some(text("apiVersion")).filter(|text| text.matches('/').count() < 2).unwrap_or_default();
    let GroupVersionKind { group, version, kind } = GroupVersionKind::from_api_version(api_version, text("kind"));
    let (resource, namespace) = match (group, kind) {
        ("", "Pod") => ("pods", call.namespace()),
        ("", "Secret") => ("secrets", call.namespace()),
        ("", "Node") => ("nodes", ""),
        _ => {
            let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(why));
        }
    };
    let name = text("name");
    let entry = storage::entry(call.server, &Target { group: "", resource }, namespace, name).await?;
    let pod = if resource == "pods" { Some(storage::decode(&entry)?) } else { None };
    if let Some(pod) = &pod
        && pod["spec"]["serviceAccountName"].as_str() != Some(&call.info.name)
    {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount \"{}\" to pod running with different serviceaccount name.",
            call.info.name
        )));
    }
    let uid = storage::uid(&entry);
    if !text("uid").is_empty() && text("uid") != uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        );
        return Err(Status::conflict(&Target { group, resource: kind }, name, &why));
    }
    let object = BoundObject { name: name.to_owned(), uid };
    let Some(pod) = pod else {
        return Ok(match resource {
            "secrets" => Bound { secret: Some(object), ..Bound::default() },
            _ => Bound { node: Some(object), ..Bound::default() },
        });
    };
    let node_name = pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    let node = match &node_name {
        None => None,
        Some(name) => storage::find(call.server, "", "nodes", "", name)
            .await?
            .map(|entry| BoundObject { name: name.clone(), uid: storage::uid(&entry) }),
    };
    Ok(Bound { pod: Some(object), pod_node: node_name, node, secret: None })
}
