//! Config entries: what teams say about services to Consul's proxies.
//!
//! They are checked and kept as Consul keeps them. Consul's own catalog, health, DNS and prepared queries do not ask
//! them either: its proxies obey them, and there are none here. Kinds that exist only for gateways, intentions and other
//! clusters are refused in words.

mod check;
mod graph;
mod kinds;
mod shape;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use portolan_base::Backoff;
use portolan_registrar::http::{Body, Request};
use portolan_store::{Compare, Operation, Revision};
use serde_json::{Map, Value, json};

use crate::acl::{Access, Authorizer};
use crate::parameters::{Parameters, ReadOptions};
use crate::route::Routed;
use crate::space::{Record, Records, Space, WriteError, poll};
use crate::state::State;
use crate::{Error, acl, answer};

use graph::Graph;
use kinds::{KEPT, OTHERS};
use shape::Fields;

/// Entries are below this prefix.
const ENTRIES: &str = "/consul/config/id/";
/// Written with every entry. Entries depend on each other, and the store compares keys but not ranges.
const GRAPH: &str = "/consul/config/graph";
/// How often a write is tried; another one of any entry may come between.
const ATTEMPTS: usize = 10;
/// Pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Fields of an entry by their names.
type Entry = Map<String, Value>;

fn records(space: &Space) -> Records<'_, Entry> {
    space.records("config")
}

/// Answers what is below `/v1/config`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    let parameters = Parameters::of(request);
    if let Err(error) = state.check_datacenter(&parameters) {
        return Some(Err(error));
    }
    let method = &request.method;
    Some(match segments {
        [] if method == Method::PUT => write(state, request, &parameters).await,
        [] => Err(Error::method(method, "PUT")),
        [kind] if method == Method::GET => list(state, request, &parameters, kind).await,
        [kind, name @ ..] if method == Method::GET => read(state, request, &parameters, kind, &name.join("/")).await,
        [_] if method == Method::DELETE => Err(Error::NotFound("Must provide both a kind and name to delete".into())),
        [kind, name @ ..] if method == Method::DELETE => {
            delete(state, request, &parameters, kind, &name.join("/")).await
        }
        _ => Err(Error::method(method, "GET,DELETE")),
    })
}

/// The text of a field; empty without it.
fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

/// The elements of a list; none without it.
fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The fields of a kind that is kept; `None` of one that Consul knows and this server does not keep.
fn fields_of(kind: &str) -> Result<Option<Fields>, String> {
    match KEPT.iter().find(|(name, _)| *name == kind) {
        Some((_, fields)) => Ok(Some(fields)),
        None if OTHERS.contains(&kind) => Ok(None),
        None => Err(format!("invalid config entry kind: {kind}")),
    }
}

/// The key of an entry, or what those of several begin with.
fn below(id: &str) -> Bytes {
    format!("{ENTRIES}{id}").into()
}

fn id(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// What is said of all services everybody may read.
fn readable(authorizer: &Authorizer, kind: &str, name: &str) -> bool {
    kind == "proxy-defaults" || authorizer.allows(Access::ServiceRead, name)
}

fn require_write(authorizer: &Authorizer, kind: &str, name: &str) -> Result<(), Error> {
    match kind {
        "proxy-defaults" => authorizer.require(Access::OperatorWrite, ""),
        _ => authorizer.require(Access::ServiceWrite, name),
    }
}

/// What a `cas` in the query asks for.
fn wanted_index(parameters: &Parameters) -> Result<Option<u64>, Error> {
    let Some(text) = parameters.text("cas") else { return Ok(None) };
    let wrong = || Error::Internal(format!("strconv.ParseUint: parsing {text:?}: invalid syntax"));
    text.parse().map(Some).map_err(|_| wrong())
}

/// Reads and checks the body of a request.
fn parse(body: &[u8]) -> Result<Entry, Error> {
    let failed = |error: String| Error::BadRequest(format!("Request decoding failed: {error}"));
    let raw: Entry = serde_json::from_slice(body).map_err(|error| failed(error.to_string()))?;
    let Some(kind) = raw.get("Kind").or_else(|| raw.get("kind")) else {
        return Err(failed("Payload does not contain a kind/Kind key at the top level".into()));
    };
    let Some(kind) = kind.as_str().map(str::to_owned) else {
        return Err(failed("Kind value in payload is not a string".into()));
    };
    let Some(fields) = fields_of(&kind).map_err(failed)? else {
        return Err(Error::Internal(format!(
            "config entries of kind {kind:?} tell Consul's mesh and gateways what to do, which are not served here: \
             one that nothing obeys is not kept"
        )));
    };
    let mut entry = shape::read(raw, fields).map_err(failed)?;
    entry.insert("Kind".into(), kind.as_str().into());
    normalize(&kind, &mut entry);
    check::check(&kind, &entry).map_err(Error::Internal)?;
    Ok(entry)
}

/// As Consul does before it looks at an entry.
fn normalize(kind: &str, entry: &mut Entry) {
    lower_protocol(entry);
    if kind == "proxy-defaults" {
        entry.entry("Name").or_insert_with(|| "global".into());
    }
    for route in entry.get_mut("Routes").and_then(Value::as_array_mut).into_iter().flatten() {
        let methods = route.pointer_mut("/Match/HTTP/Methods").and_then(Value::as_array_mut);
        for method in methods.into_iter().flatten() {
            *method = method.as_str().unwrap_or_default().to_uppercase().into();
        }
    }
    let Some(Value::Object(upstreams)) = entry.get_mut("UpstreamConfig") else { return };
    if let Some(Value::Array(overrides)) = upstreams.get_mut("Overrides") {
        overrides.iter_mut().filter_map(Value::as_object_mut).for_each(normalize_upstream);
    }
    if let Some(Value::Object(defaults)) = upstreams.get_mut("Defaults") {
        normalize_upstream(defaults);
    }
}

fn normalize_upstream(upstream: &mut Entry) {
    lower_protocol(upstream);
    if upstream.get("ConnectTimeoutMs").and_then(Value::as_i64).is_some_and(|timeout| timeout < 0) {
        upstream.remove("ConnectTimeoutMs");
    }
}

fn lower_protocol(object: &mut Entry) {
    if let Some(Value::String(protocol)) = object.get_mut("Protocol") {
        *protocol = protocol.to_lowercase();
    }
}

/// As Consul shows it: some parts of defaults are there even if nothing was said in them.
fn shown(mut record: Record<Entry>) -> Record<Entry> {
    if matches!(record.value.get("Kind").and_then(Value::as_str), Some("proxy-defaults" | "service-defaults")) {
        for part in ["TransparentProxy", "MeshGateway", "Expose"] {
            record.value.entry(part).or_insert_with(|| json!({}));
        }
    }
    record
}

async fn write(state: &State, request: &Request, parameters: &Parameters) -> Result<Response<Body>, Error> {
    let authorizer = state.authorizer(request, parameters).await?;
    let entry = parse(&request.body)?;
    let (kind, name, wanted) = (text(entry.get("Kind")), text(entry.get("Name")), wanted_index(parameters)?);
    require_write(&authorizer, kind, name)?;
    let (records, id) = (records(&state.space), id(kind, name));
    let done = |written: bool| answer::json(&written, parameters.has("pretty"));
    let mut attempts = Attempts::default();
    loop {
        let before = records.get(&id).await?;
        let modified = before.as_ref().map_or(0, |before| before.modified);
        // As in Consul, before the index is looked at: what is wanted is there.
        if before.is_some_and(|before| before.value == entry) {
            return done(true);
        }
        if wanted.is_some_and(|wanted| wanted != modified) {
            return done(false);
        }
        let judged = Judged::of(state, kind, name, Some(&entry)).await?;
        let before = Some((modified, None));
        match records.put_with(&id, None, &entry, before, judged.compare(), Judged::success()).await {
            Ok(_) => return done(true),
            // Of another entry perhaps.
            Err(WriteError::Stale) => attempts.again().await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Attempts at a write. All writers meet at one key, and each judges all entries: who was too slow pauses, and gives up
/// in the end.
struct Attempts {
    left: usize,
    pauses: Backoff,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { left: ATTEMPTS, pauses: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE) }
    }
}

impl Attempts {
    /// After an attempt that failed: pauses until the next one, unless that was the last.
    async fn again(&mut self) -> Result<(), Error> {
        self.left -= 1;
        if self.left == 0 {
            return Err(WriteError::Stale.into());
        }
        tokio::time::sleep(self.pauses.jittered()).await;
        Ok(())
    }
}

/// What an entry is written or deleted with: the graph of all entries as it was found good, which another write may
/// change meanwhile.
struct Judged(u64);

impl Judged {
    /// Judges the entries as they will be, with `written` among them or without the one that is deleted.
    async fn of(state: &State, kind: &str, name: &str, written: Option<&Entry>) -> Result<Self, Error> {
        // Read before the entries: who writes one in between is noticed.
        let seen = state.space.get(GRAPH.into()).await?;
        let others = records(&state.space).list().await?;
        let is = |entry: &Entry, field: &str, text: &str| entry.get(field).and_then(Value::as_str) == Some(text);
        let others = others.iter().map(|record| &record.value);
        let others = others.filter(|entry| !(is(entry, "Kind", kind) && is(entry, "Name", name)));
        Graph::of(others.chain(written)).check(kind, name).map_err(Error::Internal)?;
        Ok(Self(seen.map_or(0, |seen| seen.mod_revision.0)))
    }

    /// No other entry was written since, which the next one to be judged will see.
    fn compare(&self) -> Vec<Compare> {
        vec![Compare::ModRevision { key: GRAPH.into(), equals: Revision(self.0) }]
    }

    fn success() -> Vec<Operation> {
        vec![Operation::Put { key: GRAPH.into(), value: Bytes::new(), lease: None }]
    }
}

async fn delete(
    state: &State,
    request: &Request,
    parameters: &Parameters,
    kind: &str,
    name: &str,
) -> Result<Response<Body>, Error> {
    let authorizer = state.authorizer(request, parameters).await?;
    fields_of(kind).map_err(Error::BadRequest)?;
    let wanted = wanted_index(parameters)?;
    require_write(&authorizer, kind, name)?;
    let (records, id) = (records(&state.space), id(kind, name));
    let done = |deleted: bool| match wanted {
        Some(_) => answer::json(&deleted, parameters.has("pretty")),
        None => answer::json(&json!({}), parameters.has("pretty")),
    };
    let mut attempts = Attempts::default();
    loop {
        // What is not there is as it is wanted.
        let Some(record) = records.get(&id).await? else { return done(true) };
        if wanted.is_some_and(|wanted| wanted != record.modified) {
            return done(false);
        }
        let judged = Judged::of(state, kind, name, None).await?;
        if records.delete_with(&id, record.modified, None, judged.compare(), Judged::success()).await? {
            return done(true);
        }
        attempts.again().await?;
    }
}

async fn read(
    state: &State,
    request: &Request,
    parameters: &Parameters,
    kind: &str,
    name: &str,
) -> Result<Response<Body>, Error> {
    let options = ReadOptions::of(state, request, parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    fields_of(kind).map_err(Error::Internal)?;
    if !readable(&authorizer, kind, name) {
        return Err(Error::Forbidden("Permission denied".into()));
    }
    let (space, key) = (&state.space, below(&id(kind, name)));
    let waiter = || space.feed().key(&key);
    let read = || async {
        let found = records(space).get(&id(kind, name)).await?;
        // What is not there changed last when it was deleted; other entries wake nobody who waits for it.
        let index = found.as_ref().map_or_else(|| space.feed().key_index(&key), |found| found.modified);
        Ok((found, index))
    };
    let (found, index) = poll(waiter, options.index, options.wait, &state.shutdown, read).await?;
    let response = match found {
        Some(found) => answer::json(&shown(found), options.pretty)?,
        None => Error::NotFound(format!("Config entry not found for {kind:?} / {name:?}")).response(),
    };
    Ok(answer::with_index(response, index, options.consistency))
}

async fn list(state: &State, request: &Request, parameters: &Parameters, kind: &str) -> Result<Response<Body>, Error> {
    let options = ReadOptions::of(state, request, parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    if !kind.is_empty() {
        fields_of(kind).map_err(Error::Internal)?;
    }
    if !options.filter.is_empty() {
        return Err(Error::Internal(format!("filtering not supported for config entry kind={kind}")));
    }
    let space = &state.space;
    let below = below(&if kind.is_empty() { String::new() } else { id(kind, "") });
    let waiter = || space.feed().prefix(&below);
    let is_wanted = |record: &Record<Entry>| {
        kind.is_empty() || record.value.get("Kind").and_then(Value::as_str).is_some_and(|found| found == kind)
    };
    let read = || async {
        let mut found = records(space).list().await?;
        found.retain(is_wanted);
        let newest = found.iter().map(|record| record.modified).max().unwrap_or(0);
        Ok((found, newest.max(space.feed().prefix_index(&below))))
    };
    let (mut found, index) = poll(waiter, options.index, options.wait, &state.shutdown, read).await?;
    let before = found.len();
    found.retain(|record| readable(&authorizer, text(record.value.get("Kind")), text(record.value.get("Name"))));
    let filtered = found.len() < before;
    let found: Vec<Record<Entry>> = found.into_iter().map(shown).collect();
    let response = answer::with_index(answer::json(&found, options.pretty)?, index, options.consistency);
    Ok(acl::marked(response, filtered))
}
