//! `Status`: how the server says no, in the words that clients know.
//!
//! Source: `k8s.io/apimachinery/pkg/api/errors`.

use std::borrow::Cow;

use portolan_api::description::builtin;
use portolan_api::{field, schema};
use portolan_base::go;
use serde_json::{Map, Value, json};

use crate::encryption::Unreadable;
use crate::request::Target;

/// An answer that is not an object: what went wrong, for whom, and what to do.
#[derive(Debug, Clone)]
pub struct Status(Box<Fields>);

#[derive(Debug, Clone)]
struct Fields {
    code: u16,
    reason: Cow<'static, str>,
    message: String,
    /// Nothing and empty ones differ: clients see which of upstream's constructors it was.
    details: Option<Map<String, Value>>,
    /// What it says of itself; as good as always nothing.
    metadata: Map<String, Value>,
    /// `Failure`, unless somebody else found another word.
    outcome: Cow<'static, str>,
    headers: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    is_unreadable: bool,
}

impl Status {
    /// A status with this HTTP code, machine-readable reason and text.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            code,
            reason: Cow::Borrowed(reason),
            message: message.into(),
            details: None,
            metadata: Map::new(),
            outcome: Cow::Borrowed("Failure"),
            headers: Vec::new(),
            warnings: Vec::new(),
            is_unreadable: false,
        }))
    }

    /// What somebody else (a webhook) answers, with this message: a Status of which all fields are of the right types.
    pub(crate) fn told(result: &Value, message: String) -> Self {
        let mut result = result.clone();
        if let Some(schema) = builtin().definition("io.k8s.apimachinery.pkg.apis.meta.v1.Status") {
            let _ = schema::prune(&mut result, schema);
        }
        let text = |name: &str| result.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = |name: &str| result.get(name).and_then(Value::as_object).cloned();
        let code = result.get("code").and_then(Value::as_i64).unwrap_or_default().max(400);
        // What is no code of HTTP makes upstream's server panic.
        let mut status = Self::new(u16::try_from(code).ok().filter(|code| *code < 1000).unwrap_or(500), "", message);
        status.0.reason = Cow::Owned(text("reason"));
        if !matches!(&*text("status"), "" | "Success") {
            status.0.outcome = Cow::Owned(text("status"));
        }
        status.0.metadata = object("metadata").unwrap_or_default();
        status.0.details = object("details");
        let seconds = result.get("details").and_then(|details| details.get("retryAfterSeconds"));
        if let Some(seconds) = seconds.and_then(Value::as_i64).filter(|seconds| *seconds > 0) {
            status.0.headers.push(("retry-after", seconds.to_string()));
        }
        status
    }

    /// Adds texts for the client's `Warning` headers.
    pub(crate) fn warning(mut self, warnings: Vec<String>) -> Self {
        self.0.warnings.extend(warnings);
        self
    }

    /// An outcome that tells, if it is a refusal, what the client was to be warned of before.
    pub(crate) fn warned<T>(outcome: Result<T, Self>, warnings: &[String]) -> Result<T, Self> {
        outcome.map_err(|status| status.warning(warnings.to_vec()))
    }

    /// Adds one such text in front of the others.
    pub(crate) fn warning_first(mut self, warning: &str) -> Self {
        self.0.warnings.insert(0, warning.to_owned());
        self
    }

    /// Texts for the client's `Warning` headers.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Whether it is about a stored object that cannot be decrypted.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.0.is_unreadable
    }

    /// The HTTP code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The machine-readable reason.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Headers that go with the answer.
    pub(crate) fn headers(&self) -> &[(&'static str, String)] {
        &self.0.headers
    }

    fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.get_or_insert_default().insert(name.into(), value.into());
        self
    }

    /// Has the object carry details even if there are none, as upstream's refusals of this sort do.
    pub(crate) fn with_details(mut self) -> Self {
        self.0.details.get_or_insert_default();
        self
    }

    /// Adds a token with which a list can be continued nevertheless.
    pub(crate) fn with_continue(mut self, token: String) -> Self {
        self.0.metadata.insert("continue".into(), token.into());
        self
    }

    /// Adds a cause.
    pub(crate) fn because(self, reason: &str, message: &str, field: &str) -> Self {
        let mut cause = json!({"reason": reason, "message": message});
        if !field.is_empty() {
            cause["field"] = field.into();
        }
        self.detail("causes", vec![cause])
    }

    /// Adds causes of which there is nothing to say but their texts.
    pub(crate) fn because_of<'a>(self, messages: impl IntoIterator<Item = &'a str>) -> Self {
        let causes: Vec<Value> = messages.into_iter().map(|message| json!({"message": message})).collect();
        self.detail("causes", causes)
    }

    /// The same with another code and reason.
    pub(crate) fn with_reason(mut self, code: u16, reason: &'static str) -> Self {
        (self.0.code, self.0.reason) = (code, reason.into());
        self
    }

    /// Says which object it is about.
    pub(crate) fn about(self, target: &Target<'_>, name: &str) -> Self {
        let with_name = if name.is_empty() { self } else { self.detail("name", name) };
        let with_group =
            if target.group.is_empty() { with_name } else { with_name.detail("group", target.group.to_owned()) };
        with_group.detail("kind", target.resource.to_owned())
    }

    /// The object as it goes over the wire.
    pub fn to_value(&self) -> Value {
        let fields = &self.0;
        let mut object = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": fields.metadata, "status": fields.outcome,
            "message": fields.message, "code": fields.code,
        });
        if !fields.reason.is_empty() {
            object["reason"] = fields.reason.as_ref().into();
        }
        if let Some(details) = &fields.details {
            object["details"] = Value::Object(details.clone());
        }
        object
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: nobody we know.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 with a text of one's own.
    pub(crate) fn forbidden(target: &Target<'_>, name: &str, why: &str) -> Self {
        let what = target.qualified();
        let message = match name {
            "" => format!("{what} is forbidden: {why}"),
            _ => format!("{what} {} is forbidden: {why}", go::quote(name)),
        };
        Self::new(403, "Forbidden", message).about(target, name)
    }

    /// 403 for a path that is not a resource.
    pub(crate) fn forbidden_path(user: &str, verb: &str, path: &str, reason: &str) -> Self {
        let refused = format!("User {} cannot {verb} path {}", go::quote(user), go::quote(path));
        let mut message = format!("forbidden: {}", go::without_markup(&refused));
        if !reason.is_empty() {
            message = format!("{message}: {reason}");
        }
        Self::new(403, "Forbidden", message).with_details()
    }

    /// 404 for an object.
    pub(crate) fn not_found(target: &Target<'_>, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {} not found", target.qualified(), go::quote(name))).about(target, name)
    }

    /// 404 for a path.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").with_details()
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).with_details()
    }

    /// 405 for something that objects of a kind do not know.
    pub(crate) fn not_supported(target: &Target<'_>, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind {}", go::quote(&target.qualified()));
        Self::new(405, "MethodNotAllowed", message).about(target, "")
    }

    /// 406.
    pub fn not_acceptable(supported: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", supported.join(", "));
        Self::new(406, "NotAcceptable", message)
    }

    /// 409: a name is taken.
    pub(crate) fn already_exists(target: &Target<'_>, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {} already exists", target.qualified(), go::quote(name)))
            .about(target, name)
    }

    /// 409: somebody else was faster, or the object is not in the state that the caller thinks.
    pub(crate) fn conflict(target: &Target<'_>, name: &str, why: &str) -> Self {
        let what = target.qualified();
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {what} {}: {why}", go::quote(name)))
            .about(target, name)
    }

    /// 409 because the object changed since it was read.
    pub(crate) fn modified(target: &Target<'_>, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(target, name, why)
    }

    /// 409 of server-side apply, with the fields and managers in its causes.
    pub(crate) fn apply_conflict(message: String, causes: Vec<(String, String)>) -> Self {
        let causes: Vec<Value> = causes
            .into_iter()
            .map(|(field, message)| json!({"reason": "FieldManagerConflict", "message": message, "field": field}))
            .collect();
        Self::new(409, "Conflict", message).detail("causes", causes)
    }

    /// 410: the history does not reach back that far.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 415.
    pub fn unsupported_media_type(given: &str, supported: &[&str]) -> Self {
        tracing::debug!(given, "a body of an unknown type");
        let supported = supported.join(", ");
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {supported}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 with one cause per field.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, errors: &[field::Error]) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for text in errors.iter().map(ToString::to_string) {
            // People are told once what causes name each time.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| {
                json!({
                    "reason": error.error_type.reason(),
                    "message": error.body(),
                    "field": error.path.to_string(),
                })
            })
            .collect();
        let status = Self::new(422, "Invalid", format!("{qualified} {} is invalid: {text}", go::quote(name)))
            .detail("causes", causes);
        let told = [("group", group), ("kind", kind), ("name", name)].into_iter().filter(|(_, text)| !text.is_empty());
        told.fold(status, |status, (detail, text)| status.detail(detail, text))
    }

    /// 500 without a reason: what upstream's libraries refuse without saying whose fault it is.
    pub(crate) fn unnamed(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 500: our fault. The cause is logged where it happened, not told.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let text = format!("Internal error occurred: {message}");
        Self::new(500, "InternalError", text).detail("causes", vec![json!({"message": message})])
    }

    /// 429: not now; `retry_seconds` 0 says nothing about when.
    pub(crate) fn too_many_requests(message: &str, retry_seconds: u64) -> Self {
        let mut status = Self::new(429, "TooManyRequests", message);
        if retry_seconds > 0 {
            status = status.detail("retryAfterSeconds", retry_seconds);
            status.0.headers.push(("retry-after", retry_seconds.to_string()));
        }
        status
    }

    /// 503: try again later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut status = Self::new(503, "ServiceUnavailable", message);
        status.0.headers.push(("retry-after", "1".into()));
        status
    }

    /// 504 for a revision that this server has not seen yet.
    pub(crate) fn too_new(requested: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {requested}, current: {current}");
        let mut status = Self::new(504, "Timeout", message)
            .detail(
                "causes",
                vec![json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"})],
            )
            .detail("retryAfterSeconds", 1);
        status.0.headers.push(("retry-after", "1".into()));
        status
    }

    /// 504: the request took too long.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message).with_details()
    }
}

/// The object that says that a request was done and has nothing to show.
pub(crate) fn success(target: &Target<'_>, name: &str, uid: Option<&str>) -> Value {
    let mut details = Map::new();
    details.insert("name".into(), name.into());
    if !target.group.is_empty() {
        details.insert("group".into(), target.group.into());
    }
    details.insert("kind".into(), target.resource.into());
    if let Some(uid) = uid {
        details.insert("uid".into(), uid.into());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl std::error::Error for Status {}

impl From<portolan_store::Error> for Status {
    fn from(error: portolan_store::Error) -> Self {
        use portolan_store::Error;
        match &error {
            Error::Compacted { requested, compacted } => {
                Self::expired(format!("too old resource version: {requested} ({compacted})"))
            }
            Error::FutureRevision { requested, current } => Self::too_new(requested.0, current.0),
            Error::TooLarge { .. } => Self::new(413, "RequestEntityTooLarge", error.to_string()),
            Error::ReadOnly { .. } | Error::Closed => Self::unavailable(error.to_string()),
            Error::Backend { source, .. } if let Some(unreadable) = source.downcast_ref::<Unreadable>() => {
                let mut status = Self::internal(unreadable.text.clone());
                status.0.is_unreadable = true;
                status
            }
            _ => {
                tracing::error!(error = %portolan_base::error::chain(&error), "the store failed");
                Self::internal("the store failed; the server's log has the cause")
            }
        }
    }
}
