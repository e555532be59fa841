//! Keys and values.

pub(crate) mod pair;
pub(crate) mod steps;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use portolan_registrar::http::{Body, Request, full};
use serde::Serialize;

use crate::acl::{Access, Authorizer};
use crate::parameters::{Parameters, ReadOptions};
use crate::route::Routed;
use crate::space::{layout, poll};
use crate::state::State;
use crate::{Error, answer};
use steps::{Current, Refused, Step, Verb};

/// Largest value.
pub(crate) const MOST_VALUE_BYTES: usize = 512 << 10;
/// Longest key: what the store takes, less the longest place around it, that of a lock.
pub(crate) const MOST_KEY_BYTES: usize = 4000;

/// Answers what is below `/v1/kv`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    let (parameters, key) = (Parameters::of(request), segments.join("/"));
    Some(match request.method {
        Method::GET | Method::HEAD => read(state, request, &parameters, &key).await,
        Method::PUT => write(state, request, &parameters, &key).await,
        Method::DELETE => delete(state, request, &parameters, &key).await,
        _ => Err(Error::method(&request.method, "GET,PUT,DELETE")),
    })
}

/// A pair as clients read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answered<'a> {
    lock_index: u64,
    key: &'a str,
    flags: u64,
    /// Base 64; null if empty.
    #[serde(serialize_with = "base64")]
    value: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> Answered<'a> {
    pub(crate) fn of(key: &'a str, current: &'a Current, with_value: bool) -> Self {
        Self {
            lock_index: current.pair.lock_index,
            key,
            flags: current.pair.flags,
            value: if with_value { &current.pair.value } else { &[] },
            session: current.pair.session.as_deref(),
            create_index: current.created.unwrap_or_default(),
            modify_index: current.modified.unwrap_or_default(),
        }
    }

    /// What is not there.
    pub(crate) fn absent(key: &'a str) -> Self {
        Self { lock_index: 0, key, flags: 0, value: &[], session: None, create_index: 0, modify_index: 0 }
    }
}

fn base64<S: serde::Serializer>(value: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    use ::base64::Engine as _;
    match value.is_empty() {
        true => serializer.serialize_none(),
        false => serializer.serialize_str(&::base64::engine::general_purpose::STANDARD.encode(value)),
    }
}

async fn read(state: &State, request: &Request, parameters: &Parameters, key: &str) -> Result<Response<Body>, Error> {
    let options = ReadOptions::of(state, request, parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    let (recurse, keys) = (parameters.has("recurse"), parameters.has("keys"));
    if !recurse && !keys {
        if key.is_empty() {
            return Err(Error::BadRequest("Missing key name".into()));
        }
        authorizer.require(Access::KeyRead, key)?;
        let stored = layout::kv(key);
        let waiter = || state.space.feed().key(&stored);
        let read = || state.space.pair(key);
        let (found, index) = poll(waiter, options.index, options.wait, &state.shutdown, read).await?;
        let response = match found {
            None => absent(),
            Some(current) if parameters.has("raw") => raw(current.pair.value),
            Some(current) => answer::json(&[Answered::of(key, &current, true)], options.pretty)?,
        };
        return Ok(answer::with_index(response, index, options.consistency));
    }
    let stored = layout::kv(key);
    let waiter = || state.space.feed().prefix(&stored);
    let read = || state.space.pairs(key);
    let (mut pairs, index) = poll(waiter, options.index, options.wait, &state.shutdown, read).await?;
    let before = pairs.len();
    pairs.retain(|(key, _)| authorizer.allows(Access::KeyRead, key));
    let filtered = pairs.len() < before;
    let response = if keys {
        let names = names(pairs.iter().map(|(key, _)| key.as_str()), key, parameters.get("separator").unwrap_or(""));
        if names.is_empty() && !key.is_empty() { absent() } else { answer::json(&names, options.pretty)? }
    } else if pairs.is_empty() {
        absent()
    } else {
        let answered: Vec<_> = pairs.iter().map(|(key, current)| Answered::of(key, current, true)).collect();
        answer::json(&answered, options.pretty)?
    };
    let response = answer::with_index(response, index, options.consistency);
    Ok(crate::acl::marked(response, filtered))
}

fn absent() -> Response<Body> {
    let mut response = answer::empty();
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn raw(value: Bytes) -> Response<Body> {
    let mut response = Response::new(full(value));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // A browser must not take a stored page for ours.
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response
}

/// Names of keys, cut behind the first separator after the prefix.
fn names<'a>(keys: impl Iterator<Item = &'a str>, prefix: &str, separator: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for key in keys {
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let cut = match separator {
            "" => None,
            separator => rest.find(separator).map(|at| &key[..prefix.len() + at + separator.len()]),
        };
        match cut {
            Some(cut) if names.last() == Some(&cut) => {}
            Some(cut) => names.push(cut),
            None => names.push(key),
        }
    }
    names
}

fn conflict(request: &Request, parameters: &Parameters, names: &[&str]) -> Result<(), Error> {
    match names.iter().filter(|name| parameters.has(name)).count() {
        0 | 1 => Ok(()),
        _ => Err(Error::BadRequest(format!("Conflicting flags: {}", request.query()))),
    }
}

/// A number as Go reads it. Consul takes what is none for its own failure, and says what Go said.
fn number(parameters: &Parameters, name: &str) -> Result<Option<u64>, Error> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_number => Ok(Some(number)),
        _ => {
            let why = if is_number { "value out of range" } else { "invalid syntax" };
            Err(Error::Internal(format!("strconv.ParseUint: parsing {text:?}: {why}")))
        }
    }
}

/// Refuses a key that cannot be stored.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        0 => Err(Error::BadRequest("Missing key name".into())),
        length if length > MOST_KEY_BYTES => {
            Err(Error::BadRequest(format!("the key is {length} bytes long, at most {MOST_KEY_BYTES} are possible")))
        }
        _ => Ok(()),
    }
}

async fn write(state: &State, request: &Request, parameters: &Parameters, key: &str) -> Result<Response<Body>, Error> {
    state.check_datacenter(parameters)?;
    check_key(key)?;
    conflict(request, parameters, &["cas", "acquire", "release"])?;
    let flags = number(parameters, "flags")?.unwrap_or(0);
    let verb = match (number(parameters, "cas")?, parameters.get("acquire"), parameters.get("release")) {
        (Some(index), ..) => Verb::Cas(index),
        (None, Some(session), _) => Verb::Lock(session.to_owned()),
        (None, None, Some(session)) => Verb::Unlock(session.to_owned()),
        (None, None, None) => Verb::Set,
    };
    let value = request.body.clone();
    if value.len() > MOST_VALUE_BYTES {
        return Err(Error::TooLarge(format!(
            "Request body({} bytes) too large, max size: {MOST_VALUE_BYTES} bytes. See \
             https://developer.hashicorp.com/docs/agent/config/config-files#kv_max_value_size.",
            value.len()
        )));
    }
    let authorizer = state.authorizer(request, parameters).await?;
    permit(&authorizer, key, &verb)?;
    let step = Step { key: key.to_owned(), verb, value, flags };
    truth(state.space.apply(&[step]).await?, parameters)
}

/// Refuses what the token does not allow.
pub(crate) fn permit(authorizer: &Authorizer, key: &str, verb: &Verb) -> Result<(), Error> {
    match verb {
        Verb::Get | Verb::GetOrEmpty | Verb::CheckIndex(_) | Verb::CheckSession(_) | Verb::CheckNotExists => {
            authorizer.require(Access::KeyRead, key)
        }
        // What may not be read is left out of a tree.
        Verb::GetTree => Ok(()),
        Verb::DeleteTree => authorizer.require(Access::KeyWritePrefix, key),
        _ => authorizer.require(Access::KeyWrite, key),
    }
}

async fn delete(state: &State, request: &Request, parameters: &Parameters, key: &str) -> Result<Response<Body>, Error> {
    state.check_datacenter(parameters)?;
    conflict(request, parameters, &["recurse", "cas"])?;
    let verb = match (parameters.has("recurse"), number(parameters, "cas")?) {
        (true, _) => Verb::DeleteTree,
        (false, Some(index)) => Verb::DeleteCas(index),
        (false, None) => Verb::Delete,
    };
    if verb != Verb::DeleteTree {
        check_key(key)?;
    }
    let authorizer = state.authorizer(request, parameters).await?;
    permit(&authorizer, key, &verb)?;
    let step = Step { key: key.to_owned(), verb, value: Bytes::new(), flags: 0 };
    truth(state.space.apply(&[step]).await?, parameters)
}

/// `true`, or `false` where losing is an answer and not an error.
fn truth<T>(applied: Result<T, Vec<(usize, Refused)>>, parameters: &Parameters) -> Result<Response<Body>, Error> {
    let done = match applied {
        Ok(_) => true,
        Err(refused) => match refused.into_iter().next() {
            Some((_, error @ (Refused::MissingSession | Refused::InvalidSession(_)))) => {
                return Err(Error::Internal(error.to_string()));
            }
            _ => false,
        },
    };
    answer::json(&done, parameters.has("pretty"))
}
