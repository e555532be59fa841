//! What hangs below an object but is not the object.

mod bind;
mod connect;
mod dial;
mod evict;
mod links;
mod log_options;
mod proxy;
mod review;
mod scale;
mod selection;
mod token;
pub(crate) mod upgrade;

use http::{Request, Response};
use serde_json::Value;

use crate::admission::{self, Attributes};
use crate::body::Body;
use crate::endpoint::{Call, metadata};
use crate::request::Info;
use crate::router::Origin;
use crate::status::Status;

pub(crate) use bind::{create as bind, is_binding};
pub(crate) use dial::{Anyone, NodeDialer};
pub(crate) use proxy::ask_agent;
pub(crate) use review::{is_review, review, user_info};
pub(crate) use scale::{check_scale, scale_of, set_replicas};

/// Serves a subresource with an object of its own kind.
pub(crate) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    match call.info.subresource.as_str() {
        "scale" => scale::serve(call, body).await,
        "binding" => bind::serve(call, body).await,
        "eviction" => evict::serve(call, body).await,
        "token" => token::serve(call, body).await,
        _ => Err(Status::no_such_path()),
    }
}

/// Whether a request is passed on to where the bytes are.
pub(crate) fn is_stream(info: &Info) -> bool {
    info.group.is_empty()
        && match info.resource.as_str() {
            "pods" => matches!(info.subresource.as_str(), "attach" | "exec" | "log" | "portforward" | "proxy"),
            "nodes" | "services" => info.subresource == "proxy",
            _ => false,
        }
}

/// Passes a request on.
pub(crate) async fn stream(
    call: &Call<'_>,
    origin: Origin<'_>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    if let Some(options) = connect::options(call)? {
        let mut attributes = Attributes::connect(call, options);
        admission::mutate(&mut attributes).await?;
        admission::validate(&mut attributes).await?;
    }
    if call.info.subresource == "log" {
        log_options::check(call)?;
    }
    proxy::stream(call, origin, request).await
}

/// Lets admission look at an object that is created below another one.
async fn admitted(call: &Call<'_>, object: Value, dry_run: bool, warnings: &mut Vec<String>) -> Result<Value, Status> {
    let mut attributes = changed(call, object, dry_run).await?;
    validated(&mut attributes, warnings).await?;
    Ok(attributes.new)
}

/// Lets those look at such an object who may change it.
async fn changed<'a>(call: &Call<'a>, mut object: Value, dry_run: bool) -> Result<Attributes<'a>, Status> {
    if !call.namespace().is_empty() {
        metadata::of(&mut object).insert("namespace".into(), call.namespace().into());
    }
    let mut attributes = Attributes::create(call, object, dry_run);
    if !call.info.name.is_empty() {
        attributes.name.clone_from(&call.info.name);
    }
    admission::mutate(&mut attributes).await?;
    Ok(attributes)
}

/// Lets those look at it who may refuse it.
async fn validated(attributes: &mut Attributes<'_>, warnings: &mut Vec<String>) -> Result<(), Status> {
    admission::validate(attributes).await?;
    warnings.append(&mut attributes.warnings);
    Ok(())
}
