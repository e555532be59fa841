//! The record of one request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use portolan_api::decode::{self, Limits};
use portolan_api::{protobuf, time};
use portolan_base::Timestamp;
use portolan_identity::User;
use serde_json::{Value, json};

use super::policy::{Extent, Level, Stage};
use super::{Auditor, Kept, Notes};
use crate::authentication::Impersonated;
use crate::authentication::impersonation::Mode;
use crate::body::{self, Body, BoxError, full};
use crate::request::Info;
use crate::status::Status;
use crate::subresource::user_info;

/// What is known of a request so far.
#[derive(Debug)]
pub(crate) struct Record {
    auditor: Arc<Auditor>,
    extent: Extent,
    event: Value,
    is_long: bool,
}

impl Record {
    pub(super) fn new(auditor: Arc<Auditor>, extent: Extent, id: &str, now: Timestamp) -> Self {
        let event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": extent.level.name(),
            "auditID": id, "requestReceivedTimestamp": time::format_micro(now),
        });
        Self { auditor, extent, event, is_long: false }
    }

    pub(super) fn describe(
        &mut self,
        user: Option<&Arc<User>>,
        verb: &str,
        parts: &Parts,
        info: Option<&Info>,
        sources: &[String],
    ) {
        let uri = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        self.event["requestURI"] = uri.into();
        self.event["verb"] = verb.into();
        self.event["sourceIPs"] = json!(sources);
        self.event["user"] = user.map_or_else(|| json!({}), |user| user_info(user));
        if let Some(agent) = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
            self.event["userAgent"] = agent.into();
        }
        let Some(info) = info else { return };
        self.is_long =
            verb == "watch" || matches!(info.subresource.as_str(), "attach" | "exec" | "log" | "portforward" | "proxy");
        let mut reference = json!({"resource": info.resource, "apiVersion": info.version});
        for (name, value) in [
            ("namespace", &info.namespace),
            ("name", &info.name),
            ("apiGroup", &info.group),
            ("subresource", &info.subresource),
        ] {
            if !value.is_empty() {
                reference[name] = value.as_str().into();
            }
        }
        self.event["objectRef"] = reference;
    }

    /// Says as whom the request is made.
    pub(crate) fn impersonated(&mut self, impersonated: &Impersonated) {
        self.event["impersonatedUser"] = user_info(&impersonated.user);
        if impersonated.mode != Mode::Legacy {
            self.event["authenticationMetadata"] = json!({"impersonationConstraint": impersonated.mode.verb()});
        }
    }

    /// Says whether the request is allowed, if that could be decided, and why.
    pub(crate) fn authorized(&mut self, decision: Option<&str>, reason: &str) {
        self.event["annotations"] = json!({"authorization.k8s.io/reason": reason});
        if let Some(decision) = decision {
            self.event["annotations"]["authorization.k8s.io/decision"] = decision.into();
        }
    }

    /// Adds what was noted while the request was answered.
    pub(crate) fn noted(&mut self, notes: &Notes) {
        for (key, value) in notes.take(self.extent.level >= Level::Request) {
            self.event["annotations"][key] = value.into();
        }
        // What the path does not say, as upstream.
        let identity = notes.take_identity();
        if let Some(reference) = self.event.get_mut("objectRef").and_then(Value::as_object_mut) {
            for (field, text) in identity {
                reference.entry(field).or_insert_with(|| text.into());
            }
        }
    }

    /// Writes that the request came in.
    pub(crate) async fn received(&self) -> Kept {
        self.emit(Stage::RequestReceived).await
    }

    /// Takes over what the request sends, if that is recorded.
    pub(crate) async fn sent(&mut self, parts: &Parts, sent: Body) -> Result<Body, Status> {
        let writes = self.event["objectRef"].is_object() && !self.is_long && !sent.is_end_stream();
        if self.extent.level < Level::Request || !writes {
            return Ok(sent);
        }
        let bytes = body::read(sent).await?;
        let media = parts.headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
        if let Some(mut object) = self.object(&bytes, media) {
            if parts.method == Method::DELETE && object.is_object() {
                // Upstream writes the options of a deletion as it has them in memory, whatever they were sent as.
                object["kind"] = "DeleteOptions".into();
                object["apiVersion"] = "meta.k8s.io/__internal".into();
            }
            self.event["requestObject"] = object;
        }
        Ok(full(bytes))
    }

    /// Writes the record of a request that was answered before anybody knew who asks. `why` is for the log alone.
    pub(crate) async fn unknown(mut self, code: StatusCode, why: &str) {
        self.event["responseStatus"] = json!({"metadata": {}, "message": why, "code": code.as_u16()});
        self.emit(Stage::ResponseStarted).await;
    }

    /// Takes over the answer and writes the record, at once or when the answer has ended.
    pub(crate) async fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let (parts, answer) = response.into_parts();
        self.event["responseStatus"] = json!({"metadata": {}, "code": parts.status.as_u16()});
        if self.is_long {
            self.emit(Stage::ResponseStarted).await;
            let ending = Ending { answer, record: Some(self) };
            return Response::from_parts(parts, ending.boxed_unsync());
        }
        let wanted = self.extent.level == Level::RequestResponse && self.event["objectRef"].is_object();
        let failed = parts.status.is_client_error() || parts.status.is_server_error();
        if !wanted && !failed && !self.may_be_answered_by_status() {
            self.emit(Stage::ResponseComplete).await;
            return Response::from_parts(parts, answer);
        }
        let media = parts.headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
        let bytes = match answer.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => {
                tracing::debug!(%error, "an answer broke off");
                Bytes::new()
            }
        };
        if let Some(object) = self.object(&bytes, media) {
            if object["kind"] == "Status" {
                for name in ["status", "message", "reason", "details"] {
                    if let Some(value) = object.get(name) {
                        self.event["responseStatus"][name] = value.clone();
                    }
                }
            }
            if wanted {
                self.event["responseObject"] = object;
            }
        }
        self.emit(Stage::ResponseComplete).await;
        Response::from_parts(parts, full(bytes))
    }

    /// Whether a request that succeeds may be answered by a status, which is recorded whatever else is.
    fn may_be_answered_by_status(&self) -> bool {
        let reference = &self.event["objectRef"];
        let subresource = reference["subresource"].as_str().unwrap_or_default();
        reference.is_object()
            && (matches!(self.event["verb"].as_str(), Some("delete" | "deletecollection"))
                || matches!(subresource, "binding" | "eviction"))
    }

    /// An object as the record holds it.
    fn object(&self, bytes: &[u8], media: &str) -> Option<Value> {
        let limits = Limits::of_any_size();
        let mut object = if media.contains("protobuf") {
            protobuf::decode(bytes, None, &limits).ok()?
        } else if media.contains("yaml") {
            decode::yaml(bytes, &limits).ok()?.value
        } else {
            serde_json::from_slice(bytes).ok()?
        };
        if self.extent.omit_managed_fields {
            let items = object.get_mut("items").and_then(Value::as_array_mut);
            for item in items.into_iter().flatten() {
                without_managers(item);
            }
            without_managers(&mut object);
        }
        Some(object)
    }

    async fn emit(&self, stage: Stage) -> Kept {
        match self.at(stage) {
            Some((event, now)) => self.auditor.record(event, now).await,
            None => Kept::AsWanted,
        }
    }

    /// The record as it is at this stage, if it is wanted.
    fn at(&self, stage: Stage) -> Option<(Value, Timestamp)> {
        if !self.extent.includes(stage) {
            return None;
        }
        let now = self.auditor.clock.now();
        let mut event = self.event.clone();
        event["stage"] = stage.name().into();
        event["stageTimestamp"] = time::format_micro(now).into();
        Some((event, now))
    }
}

fn without_managers(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// An answer that goes on for long; its end is recorded.
struct Ending {
    answer: Body,
    record: Option<Record>,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.answer).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(record) = self.record.take()
            && let Some((event, now)) = record.at(Stage::ResponseComplete)
        {
            record.auditor.put(event, now);
        }
    }
}
