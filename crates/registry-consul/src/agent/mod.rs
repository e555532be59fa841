//! What registers with this agent, and the agent itself.

mod about;
mod check;
mod health;
mod service;

use portolan_registrar::http::Request;

use crate::route::Routed;
use crate::sight::Sight;
use crate::state::State;

/// Answers what is below `/v1/agent`.
pub(crate) async fn route(state: &State, request: &Request, sight: &Sight, segments: &[&str]) -> Routed {
    Some(match segments {
        ["services"] => service::list(state, request, sight),
        ["service", "register"] => service::register(state, request).await,
        ["service", "deregister", id @ ..] => service::deregister(state, request, &id.join("/")).await,
        ["service", "maintenance", id @ ..] => service::maintenance(state, request, &id.join("/")).await,
        ["service", id @ ..] if !id.is_empty() => service::one(state, request, &id.join("/")).await,
        ["checks"] => check::list(state, request, sight),
        ["check", "register"] => check::register(state, request).await,
        ["check", "deregister", id @ ..] => check::deregister(state, request, &id.join("/")).await,
        ["check", verb @ ("pass" | "warn" | "fail"), id @ ..] => {
            check::report(state, request, verb, &id.join("/")).await
        }
        ["check", "update", id @ ..] => check::update(state, request, &id.join("/")).await,
        ["health", "service", "id", id @ ..] => health::by_id(state, request, &id.join("/")),
        ["health", "service", "name", name @ ..] => health::by_name(state, request, &name.join("/")),
        other => return about::route(state, request, sight, other).await,
    })
}
