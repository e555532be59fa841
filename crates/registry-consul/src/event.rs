//! User events: kept in memory by the agent that they are fired at, the newest of them.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Response};
use parking_lot::Mutex;
use portolan_base::go::regexp;
use portolan_catalog::query::MOST_REGEX_BYTES;
use portolan_registrar::http::{Body, Request};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::acl::Access;
use crate::parameters::{Parameters, ReadOptions};
use crate::route::Routed;
use crate::state::State;
use crate::{Error, acl, answer};

/// How many events are kept, as in Consul.
const KEPT: usize = 256;
/// A larger payload does not fit into Consul's gossip.
const LARGEST_PAYLOAD: usize = 512;

/// The newest events.
#[derive(Default)]
pub(crate) struct Events {
    kept: Mutex<Kept>,
    fired: Notify,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    time: u64,
}

#[derive(Clone)]
struct Event {
    id: uuid::Uuid,
    name: String,
    entry: Value,
}

/// Answers what is below `/v1/event`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    Some(match segments {
        ["fire", name] => fire(state, request, name),
        ["list"] => list(state, request).await,
        _ => return None,
    })
}

fn fire(state: &State, request: &Request, name: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::PUT {
        return Err(Error::method(&request.method, "PUT"));
    }
    let parameters = Parameters::of(request);
    state.check_datacenter(&parameters)?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing name".into()));
    }
    if request.body.len() > LARGEST_PAYLOAD {
        return Err(Error::TooLarge(format!("the payload of an event is limited to {LARGEST_PAYLOAD} bytes")));
    }
    let pattern = |parameter: &str| -> Result<String, Error> {
        let text = parameters.get(parameter).unwrap_or_default();
        regexp::compile(text, MOST_REGEX_BYTES)
            .map_err(|error| Error::BadRequest(format!("Invalid {parameter} filter: {error}")))?;
        Ok(text.to_owned())
    };
    let id = uuid::Uuid::new_v4();
    let payload = (!request.body.is_empty()).then(|| STANDARD.encode(&request.body));
    let mut entry = json!({
        "ID": id.to_string(),
        "Name": name,
        "Payload": payload,
        "NodeFilter": pattern("node")?,
        "ServiceFilter": pattern("service")?,
        "TagFilter": pattern("tag")?,
        "Version": 1,
        "LTime": 0,
    });
    let answered = answer::json(&entry, parameters.has("pretty"))?;
    {
        let mut kept = state.events.kept.lock();
        kept.time += 1;
        entry["LTime"] = kept.time.into();
        kept.events.push_back(Event { id, name: name.to_owned(), entry });
        if kept.events.len() > KEPT {
            kept.events.pop_front();
        }
    }
    state.events.fired.notify_waiters();
    Ok(answered)
}

impl Events {
    /// The events of a name and the index of that list, which follows from its last event.
    fn named(&self, name: Option<&str>) -> (u64, Vec<Value>) {
        let kept = self.kept.lock();
        let events: Vec<&Event> =
            kept.events.iter().filter(|event| name.is_none_or(|name| event.name == name)).collect();
        let index = events.last().map_or(1, |event| {
            let (high, low) = event.id.as_u64_pair();
            (high ^ low).max(1)
        });
        (index, events.iter().map(|event| event.entry.clone()).collect())
    }
}

async fn list(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    if request.method != Method::GET {
        return Err(Error::method(&request.method, "GET"));
    }
    let parameters = Parameters::of(request);
    let options = ReadOptions::of(state, request, &parameters)?;
    let authorizer = state.authorizer(request, &parameters).await?;
    let deadline = Instant::now() + options.wait;
    loop {
        let fired = state.events.fired.notified();
        tokio::pin!(fired);
        fired.as_mut().enable();
        let (index, mut events) = state.events.named(parameters.text("name"));
        let timed_out = options.index != index || Instant::now() >= deadline || state.shutdown.is_requested();
        if timed_out {
            let all = events.len();
            let may_see =
                |event: &Value| event["Name"].as_str().is_some_and(|name| authorizer.allows(Access::EventRead, name));
            events.retain(may_see);
            let response = acl::marked(answer::json(&events, options.pretty)?, events.len() < all);
            return Ok(answer::with_index(response, index, options.consistency));
        }
        tokio::select! {
            () = fired => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = state.shutdown.requested() => {}
        }
    }
}
