//! The one endpoint that serves every resource.

mod aftermath;
mod bodies;
mod create;
mod decode;
mod delete;
mod get;
mod habits;
mod in_place;
pub(crate) mod kinds;
mod list;
mod measured;
pub(crate) mod metadata;
mod names;
mod of_users;
mod options;
mod owner_references;
mod owners;
mod page_token;
mod patch;
mod patched;
mod present;
mod protobuf_list;
mod requester;
mod select;
mod update;
mod watch;
mod write;

use http::{HeaderMap, Response};
use portolan_api::description::{Description, GroupVersionKind, Resource, Schema, builtin};
use portolan_api::protobuf;
use portolan_base::{Timestamp, go};
use portolan_identity::User;
use portolan_store::{Entry, KeyRange, RangeRequest};
use std::sync::Arc;

use crate::audit::Notes;
use crate::body::Body;
use crate::negotiate::{self, Accepted, Answer, View};
use crate::request::{Info, Query, Target};
use crate::server::Server;
use crate::status::Status;
use crate::strategy::{Context, Strategy};
use crate::{component_status, extensions, measurements, respond, storage, subresource};

pub(crate) use decode::{Input, expect_kind};
pub(crate) use delete::DeleteOptions;
pub(crate) use names::generate as generated_name;
pub(crate) use patch::{APPLY_PATCH, Patch, apply_error};
pub(crate) use present::{included, partial_of};
pub(crate) use update::Changed;
pub(crate) use write::Written;

/// One request for a resource: everything its handling needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Server,
    /// The API as it was described when the request came.
    pub(crate) description: &'a Description,
    pub(crate) resource: &'a Resource,
    pub(crate) strategy: &'a dyn Strategy,
    pub(crate) info: &'a Info,
    pub(crate) query: &'a Query,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) user: &'a User,
    pub(crate) now: Timestamp,
    pub(crate) delivery: Delivery,
    /// What is said about the request in the audit log.
    pub(crate) notes: &'a Notes,
}

/// How the events of a watch reach the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As bytes of their own, to be sent.
    Copied,
    /// In this process: in pieces of which one is the store's own memory.
    Shared,
}

impl<'a> Call<'a> {
    /// The same request for an object of another resource: how subresources and the server itself
    /// act on objects that the URL does not name.
    pub(crate) fn on(&self, resource: &'a Resource, info: &'a Info) -> Call<'a> {
        Call { resource, info, strategy: extensions::strategy_of(resource), ..*self }
    }

    pub(crate) fn target(&self) -> Target<'a> {
        Target { group: &self.resource.group, resource: &self.resource.name }
    }

    pub(crate) fn kind(&self) -> GroupVersionKind<'a> {
        self.resource.group_version_kind()
    }

    /// The kind of what is sent and answered, which for some subresources is their own.
    pub(crate) fn body_kind(&self) -> GroupVersionKind<'a> {
        self.resource.subresource(&self.info.subresource).map_or_else(|| self.kind(), |found| found.kind.borrowed())
    }

    /// The schema of a kind: of the request's own, or of one that is built in.
    pub(crate) fn schema_of(&self, kind: GroupVersionKind<'_>) -> Option<Schema<'a>> {
        if kind == self.kind() { self.resource.schema() } else { builtin().schema(kind) }
    }

    pub(crate) fn key(&self, name: &str) -> bytes::Bytes {
        storage::key(&self.resource.group, &self.resource.name, self.namespace(), name)
    }

    /// Namespace of the objects; empty for a resource without.
    pub(crate) fn namespace(&self) -> &'a str {
        if self.resource.is_namespaced() { &self.info.namespace } else { "" }
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            now: self.now,
            namespace: self.namespace().to_owned(),
            subresource: self.info.subresource.clone(),
            user: self.user.name.clone(),
        }
    }

    pub(crate) fn view(&self) -> Result<View, Status> {
        Ok(self.accepted()?.view)
    }

    /// What the client accepts; only lists and watches need to know how it is encoded.
    fn accepted(&self) -> Result<Accepted, Status> {
        if self.resource.custom.is_none() {
            negotiate::expect_resource_route(self.headers, self.info.verb)?;
        }
        let in_protobuf = self.resource.custom.is_none() && protobuf::knows(self.body_kind());
        let answer = match self.info.verb {
            "watch" => Answer::Events { in_protobuf },
            _ if subresource::is_review(self) => Answer::Reply { in_protobuf },
            _ => Answer::Document { in_protobuf },
        };
        negotiate::accepted(self.headers, self.query, answer)
    }

    /// Whether nothing is to be kept.
    pub(crate) fn is_dry_run(&self) -> Result<bool, Status> {
        let mut values = self.query.all("dryRun").filter(|value| !value.is_empty());
        match values.next() {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::new(
                422,
                "Invalid",
                format!("dryRun: Unsupported value: {}: supported values: \"All\"", go::quote(other)),
            )),
        }
    }

    /// The newest version of an object.
    pub(crate) async fn entry(&self, name: &str) -> Result<Arc<Entry>, Status> {
        self.find(name).await?.ok_or_else(|| Status::not_found(&self.target(), name))
    }

    /// The newest version of an object, if there is one.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Arc<Entry>>, Status> {
        let range = KeyRange::key(self.key(name));
        let answer = self.server.store().range(RangeRequest { range, revision: None, limit: 1 }).await?;
        let current = answer.entries.into_iter().next().map(|entry| self.current(entry)).transpose()?;
        match current {
            Some(entry) => Ok(self.converted(vec![entry]).await?.pop()),
            None => Ok(None),
        }
    }
}

/// Whether a request for the head alone is answered: objects of users' kinds are not found by method, and what is
/// behind a proxy may know it.
pub(crate) fn answers_head(resource: &Resource, info: &Info) -> bool {
    let is_there = info.subresource.is_empty() || resource.subresource(&info.subresource).is_some();
    resource.custom.is_some() || info.subresource == "proxy" || !is_there
}

/// Serves a request for a resource.
pub(crate) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let outcome = served(call, body).await;
    let Some(warning) = call.deprecation() else { return outcome };
    match outcome {
        Ok(mut response) => {
            respond::warn_first(&mut response, warning);
            Ok(response)
        }
        // What there is no route for is answered before anybody knows what it would have been.
        Err(status) if status.code() == 405 && call.info.verb != "watch" => Err(status),
        Err(status) => Err(status.warning_first(warning)),
    }
}

async fn served(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    call.check_options()?;
    if !call.info.subresource.is_empty() {
        let is_of_users = call.resource.custom.is_some();
        let found = call.resource.subresource(&call.info.subresource).ok_or_else(|| match is_of_users {
            true => Status::not_found(&call.target(), &call.info.name),
            false => Status::no_such_path(),
        })?;
        if !found.allows(call.info.verb) {
            return Err(match is_of_users {
                true => Status::not_supported(&call.target(), call.info.verb),
                false => Status::method_not_allowed(),
            });
        }
        return match call.info.subresource.as_str() {
            // The whole object goes in and out; which half of it is written is the strategy's matter.
            "status" | "finalize" | "ephemeralcontainers" | "resize" | "approval" => whole(call, body).await,
            _ => Box::pin(subresource::serve(call, body)).await,
        };
    }
    if call.resource.custom.is_some() {
        match call.info.verb {
            "update" if call.info.name.is_empty() => return Err(Status::bad_request("name must be provided")),
            "patch" if call.info.name.is_empty() => {
                call.read_patch(body).await?;
                return Err(Status::bad_request("name must be provided"));
            }
            // Of users' kinds a new object is named by itself, wherever it is sent to.
            "create" => return Box::pin(call.create(body)).await,
            _ => {}
        }
    }
    // `PUT` of a collection and `POST` to an object are nothing.
    let on_one = !matches!(call.info.verb, "create" | "deletecollection" | "list" | "watch");
    if !call.resource.allows(call.info.verb) || on_one == call.info.name.is_empty() && call.info.verb != "watch" {
        return Err(Status::method_not_allowed());
    }
    // Boxed: otherwise every request would have to make room for the largest of them.
    match call.info.verb {
        "list" | "get" if measurements::is_measured(call) => Box::pin(measurements::serve(call)).await,
        "list" | "get" if component_status::is_about_components(call) => Box::pin(component_status::serve(call)).await,
        "list" => Box::pin(call.list()).await,
        "watch" => Box::pin(call.watch()).await,
        "create" if subresource::is_review(call) => Box::pin(subresource::review(call, body)).await,
        "create" if subresource::is_binding(call) => Box::pin(subresource::bind(call, body)).await,
        "create" => Box::pin(call.create(body)).await,
        "delete" => Box::pin(call.delete(body)).await,
        "deletecollection" => Box::pin(call.delete_collection(body)).await,
        _ => whole(call, body).await,
    }
}

async fn whole(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    match call.info.verb {
        "get" => Box::pin(call.get()).await,
        "update" => Box::pin(call.update(body)).await,
        "patch" => Box::pin(call.patch(body)).await,
        _ => Err(Status::method_not_allowed()),
    }
}
