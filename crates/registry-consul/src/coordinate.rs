//! Network coordinates. Nobody here measures round trips, so there are only those that clients report.

use std::collections::BTreeMap;

use http::{Method, Response};
use parking_lot::Mutex;
use portolan_catalog::Snapshot;
use portolan_registrar::http::{Body, Request};
use serde_json::{Value, json};

use crate::body::Fields;
use crate::parameters::Parameters;
use crate::route::Routed;
use crate::select::Question;
use crate::sight::Sight;
use crate::state::State;
use crate::view::{self, Found, Scope};
use crate::{Error, answer};

/// Dimensions of a coordinate, as in Consul.
const DIMENSIONS: usize = 8;

/// Reported coordinates by machine.
#[derive(Default)]
pub(crate) struct Coordinates(Mutex<BTreeMap<String, Value>>);

/// Answers what is below `/v1/coordinate`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    Some(match segments {
        ["datacenters"] if request.method != Method::GET => Err(Error::method(&request.method, "GET")),
        ["datacenters"] => answer::json(&datacenters(state), Parameters::of(request).has("pretty")),
        ["nodes"] => nodes(state, request, None).await,
        ["node", name] => nodes(state, request, Some(name)).await,
        ["update"] => update(state, request),
        _ => return None,
    })
}

/// The coordinate of what was never measured.
pub(crate) fn origin() -> Value {
    let vector = vec![0; DIMENSIONS];
    json!({"Adjustment": 0, "Error": 1.5, "Height": 1e-5, "Vec": vector})
}

/// The coordinate that was reported of a machine.
pub(crate) fn of(state: &State, node: &str) -> Option<Value> {
    state.coordinates.0.lock().get(node).cloned()
}

fn entry(node: &str, coordinate: &Value) -> Value {
    json!({"Node": node, "Segment": "", "Coord": coordinate})
}

fn datacenters(state: &State) -> Value {
    let own = of(state, &state.identity.node).unwrap_or_else(origin);
    json!([{
        "Datacenter": state.identity.datacenter,
        "AreaID": "wan",
        "Coordinates": [entry(&state.identity.node, &own)],
    }])
}

async fn nodes(state: &State, request: &Request, name: Option<&str>) -> Result<Response<Body>, Error> {
    let question = Question::of(state, request, &Sight::everything(), &crate::bexpr::NODE)?;
    let build = |_: &Snapshot| {
        let known = state.coordinates.0.lock();
        let wanted = known.iter().filter(|(node, _)| name.is_none_or(|name| node.eq_ignore_ascii_case(name)));
        let entries: Vec<Value> = wanted.map(|(node, coordinate)| entry(node, coordinate)).collect();
        match name {
            Some(_) if entries.is_empty() => Ok(Found::Missing(String::new())),
            _ => Ok(Found::Value(entries.into())),
        }
    };
    // Coordinates are not part of the catalog, so they are not kept with its answers.
    let text = format!("{} {}", question.text, uuid::Uuid::new_v4());
    let view = view::read(state, &question.options, (&text, &Sight::everything()), |_| Scope::All, build).await?;
    view::respond(&question.options, view)
}

fn update(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    state.check_datacenter(&Parameters::of(request))?;
    let fields = Fields::parse(&request.body)?;
    let node = fields.text("Node")?;
    let coordinate = fields.fields("Coord")?.unwrap_or_default();
    let number = |name: &str| coordinate.get(name).map_or(Some(0.0), Value::as_f64);
    let vector = coordinate.get("Vec").and_then(Value::as_array).filter(|vector| vector.len() == DIMENSIONS);
    let vector = vector.filter(|vector| vector.iter().all(Value::is_number));
    let (Some(vector), Some(adjustment), Some(error), Some(height)) =
        (vector, number("Adjustment"), number("Error"), number("Height"))
    else {
        return Err(Error::BadRequest(format!("rejected bad coordinate: it needs a Vec of {DIMENSIONS} numbers")));
    };
    // Of machines that nobody knows nothing is kept.
    let machines = state.machines(&state.snapshot());
    let Some(machine) = machines.get(&node) else {
        return Err(Error::NotFound(format!("node {node:?} is not in the catalog")));
    };
    let value = json!({"Adjustment": adjustment, "Error": error, "Height": height, "Vec": vector});
    state.coordinates.0.lock().insert(machine.name.to_string(), value);
    Ok(answer::empty())
}
