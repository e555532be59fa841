//! Sessions: who holds locks, and until when.

mod deadlines;
mod definition;
pub(crate) mod keeper;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use http::{Method, Response};
use portolan_registrar::http::{Body, Request};
use serde::Serialize;
use uuid::Uuid;

use crate::acl::Access;
use crate::parameters::{Parameters, ReadOptions};
use crate::route::Routed;
use crate::space::{layout, poll};
use crate::state::State;
use crate::{Error, answer};
use definition::Session;
use keeper::{Keeper, Known};

/// A session as clients read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answered<'a> {
    #[serde(flatten)]
    session: &'a Session,
    create_index: u64,
    modify_index: u64,
}

impl<'a> Answered<'a> {
    fn of(known: &'a Known) -> Self {
        Self { session: &known.session, create_index: known.created, modify_index: known.modified }
    }
}

/// Answers what is below `/v1/session`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    let parameters = Parameters::of(request);
    let answered = match (&request.method, segments) {
        (&Method::PUT, ["create"]) => create(state, request, &parameters).await,
        (_, ["destroy" | "renew" | "info", ""]) => Err(Error::BadRequest("Missing session".into())),
        (_, ["node", ""]) => Err(Error::BadRequest("Missing node name".into())),
        (&Method::PUT, ["destroy", id]) => destroy(state, request, &parameters, id).await,
        (&Method::PUT, ["renew", id]) => renew(state, request, &parameters, id).await,
        (_, ["create"] | ["destroy" | "renew", _]) => Err(Error::method(&request.method, "PUT")),
        (&Method::GET, ["info", id]) => read(state, request, &parameters, Question::Id(id)).await,
        (&Method::GET, ["node", node]) => read(state, request, &parameters, Question::Node(node)).await,
        (&Method::GET, ["list"]) => read(state, request, &parameters, Question::All).await,
        (_, ["list"] | ["info" | "node", _]) => Err(Error::method(&request.method, "GET")),
        _ => return None,
    };
    Some(answered)
}

async fn create(state: &State, request: &Request, parameters: &Parameters) -> Result<Response<Body>, Error> {
    state.check_datacenter(parameters)?;
    let session = Session::parse(&request.body, Uuid::new_v4().to_string(), &state.identity.node)?;
    state.authorizer(request, parameters).await?.require(Access::SessionWrite, &session.node)?;
    let snapshot = state.snapshot();
    if let Some(broken) = session.verdict(&state.machines(&snapshot), &snapshot) {
        return Err(Error::Internal(broken.into_text()));
    }
    state.sessions.create(&state.space, &session).await?;
    // Who got the answer may register by it.
    state.registrar.session_began(&session.id);
    if Keeper::get(&state.space, &session.id).await?.is_none() {
        state.registrar.session_ended(&session.id);
    }
    answer::json(&serde_json::json!({"ID": session.id}), parameters.has("pretty"))
}

async fn destroy(state: &State, request: &Request, parameters: &Parameters, id: &str) -> Result<Response<Body>, Error> {
    state.check_datacenter(parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    if let Some(known) = Keeper::get(&state.space, id).await? {
        authorizer.require(Access::SessionWrite, &known.session.node)?;
        state.sessions.destroy(&state.space, id).await?;
    }
    answer::json(&true, parameters.has("pretty"))
}

async fn renew(state: &State, request: &Request, parameters: &Parameters, id: &str) -> Result<Response<Body>, Error> {
    state.check_datacenter(parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    let unknown = || Error::NotFound(format!("Session id '{id}' not found"));
    let known = Keeper::get(&state.space, id).await?.ok_or_else(unknown)?;
    authorizer.require(Access::SessionWrite, &known.session.node)?;
    let renewed = state.sessions.renew(&state.space, id).await?.ok_or_else(unknown)?;
    answer::json(&[Answered::of(&renewed)], parameters.has("pretty"))
}

enum Question<'a> {
    Id(&'a str),
    Node(&'a str),
    All,
}

async fn read(
    state: &State,
    request: &Request,
    parameters: &Parameters,
    question: Question<'_>,
) -> Result<Response<Body>, Error> {
    let options = ReadOptions::of(state, request, parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    let space = &state.space;
    let watched = match question {
        Question::Id(id) => layout::session(id),
        Question::Node(_) | Question::All => layout::SESSION.into(),
    };
    let waiter = || match question {
        Question::Id(_) => space.feed().key(&watched),
        Question::Node(_) | Question::All => space.feed().prefix(&watched),
    };
    let read = || async {
        let table = space.feed().table_index(layout::SESSION);
        Ok(match question {
            Question::Id(id) => match Keeper::get(space, id).await? {
                Some(known) => {
                    let index = known.modified;
                    (vec![known], index)
                }
                None => (vec![], table),
            },
            Question::Node(_) | Question::All => {
                let known = Keeper::list(space).await?;
                let index = known.iter().map(|known| known.modified).max().unwrap_or(0).max(table);
                (known, index)
            }
        })
    };
    let (mut known, index) = poll(waiter, options.index, options.wait, &state.shutdown, read).await?;
    if let Question::Node(node) = question {
        known.retain(|known| known.session.node.eq_ignore_ascii_case(node));
    }
    let before = known.len();
    known.retain(|known| authorizer.allows(Access::SessionRead, &known.session.node));
    let filtered = known.len() < before;
    let answered: Vec<_> = known.iter().map(Answered::of).collect();
    let response = answer::json(&answered, options.pretty)?;
    let response = answer::with_index(response, index, options.consistency);
    Ok(crate::acl::marked(response, filtered))
}
