//! What a request to the fake server means.

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request};
use http_body_util::{BodyExt, StreamBody};
use portolan_api::typed::{Object, Scope, kinds};
use portolan_base::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::state::{Resource, State, failure};
use crate::error::Status;
use crate::transport::{Body, BoxError};

pub(super) enum Answer {
    Json(Value),
    Stream(Body),
}

/// Which objects a list or watch is about.
pub(super) struct Selection {
    pub(super) resource: Resource,
    namespace: String,
    labels: Vec<(String, String)>,
    fields: Vec<(String, String)>,
}

impl Selection {
    pub(super) fn matches(&self, resource: &Resource, object: &Value) -> bool {
        let field = |path: &str| path.split('.').fold(object, |value, field| &value[field]);
        self.resource == *resource
            && (self.namespace.is_empty() || object["metadata"]["namespace"] == self.namespace.as_str())
            && self.labels.iter().all(|(name, value)| object["metadata"]["labels"][name] == value.as_str())
            && self.fields.iter().all(|(path, value)| field(path).as_str().unwrap_or_default() == value)
    }
}

struct Target {
    resource: Resource,
    namespace: String,
    name: String,
    subresource: String,
}

pub(super) fn answer(
    state: &mut State,
    request: &Request<Bytes>,
    now: Timestamp,
    watch_lists: bool,
) -> Result<Answer, Box<Status>> {
    if let Some(document) = discovery(request.uri().path()) {
        return Ok(Answer::Json(document));
    }
    let target = target(request.uri().path()).ok_or_else(|| failure(404, "NotFound", "no such path"))?;
    let key = (target.namespace.clone(), target.name.clone());
    let body = if request.body().is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(request.body()).map_err(|error| failure(400, "BadRequest", error.to_string()))?
    };
    let resource = &target.resource;
    let object = match *request.method() {
        Method::GET if target.name.is_empty() => return list_or_watch(state, request, target, watch_lists),
        Method::GET => state.get(resource, &key)?.clone(),
        Method::POST if target.subresource == "binding" => return bind(state, resource, key, &body).map(Answer::Json),
        Method::POST => state.create(resource, &target.namespace, body, now)?,
        Method::PUT => state.update(resource, key, &target.subresource, body)?,
        Method::PATCH => {
            let media = request.headers().get(http::header::CONTENT_TYPE);
            if media.is_none_or(|media| media != "application/merge-patch+json") {
                return Err(failure(415, "UnsupportedMediaType", "only merge patches are supported here"));
            }
            let mut object = state.get(resource, &key)?.clone();
            merge(&mut object, &body);
            state.update(resource, key, &target.subresource, object)?
        }
        Method::DELETE => state.delete(resource, key, &body, now)?,
        _ => return Err(failure(405, "MethodNotAllowed", "not supported here")),
    };
    Ok(Answer::Json(object))
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().expect("made an object above").remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

fn bind(state: &mut State, resource: &Resource, key: (String, String), binding: &Value) -> Result<Value, Box<Status>> {
    let mut pod = state.get(resource, &key)?.clone();
    let uid = &binding["metadata"]["uid"];
    if pod["spec"]["nodeName"].is_string() || (uid.is_string() && *uid != pod["metadata"]["uid"]) {
        return Err(failure(409, "Conflict", format!("pod {} is already assigned to node", key.1)));
    }
    pod["spec"]["nodeName"] = binding["target"]["name"].clone();
    state.update(resource, key, "", pod)?;
    Ok(json!({"kind": "Status", "status": "Success", "code": 201}))
}

fn list_or_watch(
    state: &mut State,
    request: &Request<Bytes>,
    target: Target,
    watch_lists: bool,
) -> Result<Answer, Box<Status>> {
    let query = |name: &str| {
        let pairs = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|pair| pair.0 == name).map(|pair| decode(pair.1)).next().unwrap_or_default()
    };
    let selection = Selection {
        resource: target.resource,
        namespace: target.namespace,
        labels: equalities(&query("labelSelector")),
        fields: equalities(&query("fieldSelector")),
    };
    if query("watch") != "true" {
        let objects = state.objects(&selection.resource.0, &selection.resource.1);
        let items: Vec<&Value> = objects.filter(|object| selection.matches(&selection.resource, object)).collect();
        return Ok(Answer::Json(json!({"metadata": {"resourceVersion": state.revision.to_string()}, "items": items})));
    }
    let initial_events = query("sendInitialEvents") == "true";
    if initial_events && !watch_lists {
        return Err(failure(422, "Invalid", "sendInitialEvents: Forbidden: is disabled"));
    }
    let from = query("resourceVersion").parse().ok().filter(|_| !initial_events);
    let (sender, receiver) = mpsc::unbounded_channel();
    state.watch(selection, from, initial_events, sender)?;
    let frames =
        futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|line| (line, receiver)) });
    let frames = frames.map(|line| Ok::<_, BoxError>(http_body::Frame::data(line)));
    Ok(Answer::Stream(StreamBody::new(frames).boxed_unsync()))
}

fn equalities(selector: &str) -> Vec<(String, String)> {
    let pairs = selector.split(',').filter_map(|term| term.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_start_matches('=').to_owned())).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.extend(u8::from_str_radix(&digits, 16));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn target(path: &str) -> Option<Target> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = match *parts.first()? {
        "api" if parts.len() > 2 => {
            parts.drain(..2);
            String::new()
        }
        "apis" if parts.len() > 3 => {
            let group = parts[1].to_owned();
            parts.drain(..3);
            group
        }
        _ => return None,
    };
    let namespaced = parts.len() > 2 && parts[0] == "namespaces" && !matches!(parts[2], "status" | "finalize");
    let namespace = if namespaced { parts.drain(..2).nth(1)?.to_owned() } else { String::new() };
    let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
    Some(Target { resource: (group, parts.first()?.to_string()), namespace, name: part(1), subresource: part(2) })
}

struct Known {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    resource: &'static str,
    namespaced: bool,
}

fn known<K: Object>() -> Known {
    Known {
        group: K::GROUP,
        version: K::VERSION,
        kind: K::KIND,
        resource: K::RESOURCE,
        namespaced: K::SCOPE == Scope::Namespaced,
    }
}

fn all_known() -> Vec<Known> {
    vec![
        known::<kinds::core::v1::ConfigMap>(),
        known::<kinds::core::v1::Endpoints>(),
        known::<kinds::core::v1::Namespace>(),
        known::<kinds::core::v1::Node>(),
        known::<kinds::core::v1::Pod>(),
        known::<kinds::core::v1::Secret>(),
        known::<kinds::core::v1::Service>(),
        known::<kinds::core::v1::ServiceAccount>(),
        known::<kinds::apps::v1::Deployment>(),
        known::<kinds::apps::v1::ReplicaSet>(),
        known::<kinds::discovery::v1::EndpointSlice>(),
    ]
}

/// The documents that say which kinds there are.
fn discovery(path: &str) -> Option<Value> {
    let known = all_known();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version) = match parts.as_slice() {
        ["api"] => return Some(json!({"versions": ["v1"]})),
        ["apis"] => {
            let mut groups: Vec<(&str, &str)> = known.iter().map(|kind| (kind.group, kind.version)).collect();
            groups.retain(|(group, _)| !group.is_empty());
            groups.dedup();
            let groups = groups.iter().map(|(group, version)| {
                let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
                json!({"name": group, "versions": [version], "preferredVersion": version})
            });
            return Some(json!({"groups": groups.collect::<Vec<_>>()}));
        }
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return None,
    };
    let kinds = known.iter().filter(|kind| (kind.group, kind.version) == (group, version));
    let resources = kinds.map(|kind| {
        json!({
            "name": kind.resource, "kind": kind.kind, "namespaced": kind.namespaced,
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        })
    });
    Some(json!({"resources": resources.collect::<Vec<_>>()}))
}
