//! The catalog: services and machines.

use portolan_registrar::http::Request;

use crate::route::Routed;
use crate::state::State;

/// Answers what is below `/v1/catalog`.
pub(crate) async fn route(_state: &State, _request: &Request, _segments: &[&str]) -> Routed {
    None
}
