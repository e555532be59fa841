//! Who leads.

use http::Method;
use portolan_registrar::http::Request;

use crate::parameters::{Parameters, ReadOptions};
use crate::route::Routed;
use crate::state::State;
use crate::{Error, answer};

/// Answers what is below `/v1/status`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    let leader = state.server_address();
    match segments {
        ["leader" | "peers"] if request.method != Method::GET => Some(Err(Error::method(&request.method, "GET"))),
        ["leader"] => Some(answer_with(state, request, &leader)),
        ["peers"] => Some(answer_with(state, request, &[leader])),
        _ => None,
    }
}

fn answer_with(
    state: &State,
    request: &Request,
    value: &impl serde::Serialize,
) -> Result<http::Response<portolan_registrar::http::Body>, Error> {
    let options = ReadOptions::of(state, request, &Parameters::of(request))?;
    answer::json(value, options.pretty)
}
