//! Rights for what concerns the catalog as a whole.
//!
//! Answers about services and machines are shared by all who ask and not filtered by token, so with
//! access control on they need the right for all names: too little is shown rather than too much.

use http::Method;
use portolan_registrar::http::Request;

use super::Access;
use crate::Error;
use crate::parameters::Parameters;
use crate::state::State;

/// The rights that a request needs, by the area and what follows it in the path.
fn needed<'a>(method: &Method, area: &str, rest: &[&'a str], node: &'a str) -> Vec<(Access, &'a str)> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match (area, reads, rest) {
        ("catalog", _, ["datacenters"]) => vec![],
        ("catalog" | "health", true, _) | ("agent", true, ["services" | "service" | "checks" | "health", ..]) => {
            vec![(Access::ServiceRead, ""), (Access::NodeRead, "")]
        }
        ("catalog", false, _) => vec![(Access::ServiceWrite, ""), (Access::NodeWrite, "")],
        ("agent", false, ["service" | "check", ..]) => vec![(Access::ServiceWrite, "")],
        ("agent", true, _) => vec![(Access::AgentRead, node)],
        ("agent", false, _) => vec![(Access::AgentWrite, node)],
        ("event", true, _) => vec![(Access::EventRead, "")],
        ("event", false, [_, name, ..]) => vec![(Access::EventWrite, name)],
        ("event", false, _) => vec![(Access::EventWrite, "")],
        ("coordinate", true, _) => vec![(Access::NodeRead, "")],
        ("coordinate", false, _) => vec![(Access::NodeWrite, "")],
        // Who leads is no secret; the other areas ask for themselves.
        _ => vec![],
    }
}

/// Refuses what the bearer of a request may not do with the catalog.
pub(crate) async fn guard(state: &State, request: &Request, area: &str, rest: &[&str]) -> Result<(), Error> {
    if !state.acl.is_enabled() {
        return Ok(());
    }
    let needed = needed(&request.method, area, rest, &state.identity.node);
    if needed.is_empty() {
        return Ok(());
    }
    let authorizer = state.authorizer(request, &Parameters::of(request)).await?;
    needed.into_iter().try_for_each(|(access, name)| authorizer.require(access, name))
}
