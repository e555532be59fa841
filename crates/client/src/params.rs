//! What a request can ask for.

use std::fmt::Write as _;
use std::time::Duration;

use portolan_api::typed::{Object, Scope};
use serde_json::{Value, json};

/// Where the objects of a kind are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePath {
    group: String,
    version: String,
    resource: String,
    scope: Scope,
}

impl ResourcePath {
    /// The path of a kind with a typed view.
    pub fn of<K: Object>() -> Self {
        Self::new(K::GROUP, K::VERSION, K::RESOURCE, K::SCOPE)
    }

    /// The path of any kind.
    pub fn new(group: &str, version: &str, resource: &str, scope: Scope) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), resource: resource.to_owned(), scope }
    }

    /// The plural resource name.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Whether its objects live in namespaces.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The path of the collection; an empty namespace means all namespaces.
    pub fn collection(&self, namespace: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.scope == Scope::Namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(&percent_encode(namespace));
        }
        path.push('/');
        path.push_str(&self.resource);
        path
    }

    /// The path of one object, or of a subresource of it if that is not empty.
    pub fn object(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = self.collection(namespace);
        path.push('/');
        path.push_str(&percent_encode(name));
        if !subresource.is_empty() {
            path.push('/');
            path.push_str(subresource);
        }
        path
    }
}

/// Percent-encodes a path segment or query value: all but what RFC 3986, section 2.3 calls unreserved, and the
/// colon, which names have and which may stand in both.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => encoded.push(byte as char),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// Collects query parameters, leaving out empty ones.
#[derive(Debug, Default)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&percent_encode(value));
        }
    }

    pub(crate) fn on(self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

/// Which objects to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListParams {
    /// Label selector; empty for all.
    pub label_selector: String,
    /// Field selector; empty for all.
    pub field_selector: String,
    /// Page size; all at once if `None`.
    pub limit: Option<u32>,
    /// Token of the page before.
    pub continue_token: String,
    /// How fresh the answer must be; empty means as fresh as the store.
    pub resource_version: String,
}

impl ListParams {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Objects that match a label selector.
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { label_selector: selector.into(), ..Self::default() }
    }

    /// Objects that match a field selector.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { field_selector: selector.into(), ..Self::default() }
    }

    pub(crate) fn on(&self, path: &str) -> String {
        let mut query = Query::default();
        query.add("labelSelector", &self.label_selector);
        query.add("fieldSelector", &self.field_selector);
        query.add("limit", &self.limit.map(|limit| limit.to_string()).unwrap_or_default());
        query.add("continue", &self.continue_token);
        query.add("resourceVersion", &self.resource_version);
        query.on(path)
    }
}

/// Which changes to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchParams {
    /// Label selector; empty for all.
    pub label_selector: String,
    /// Field selector; empty for all.
    pub field_selector: String,
    /// Revision after which to begin; empty means "now, after synthetic events for what exists".
    pub resource_version: String,
    /// Ask for the existing objects first, closed by a bookmark (a "watch-list").
    pub send_initial_events: bool,
    /// After how long the server ends the watch; its own choice if `None`.
    pub timeout: Option<Duration>,
}

impl WatchParams {
    pub(crate) fn on(&self, path: &str) -> String {
        let mut query = Query::default();
        query.add("watch", "true");
        query.add("allowWatchBookmarks", "true");
        query.add("labelSelector", &self.label_selector);
        query.add("fieldSelector", &self.field_selector);
        query.add("resourceVersion", &self.resource_version);
        if self.send_initial_events {
            query.add("sendInitialEvents", "true");
            query.add("resourceVersionMatch", "NotOlderThan");
        }
        query.add("timeoutSeconds", &self.timeout.map(|timeout| timeout.as_secs().to_string()).unwrap_or_default());
        query.on(path)
    }
}

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Time the object gets to stop; the kind's default if `None`. Whole seconds count.
    pub grace_period: Option<Duration>,
    /// What happens to dependents; the kind's default if `None`.
    pub propagation: Option<Propagation>,
    /// Delete only the object with this UID.
    pub uid: Option<String>,
    /// Delete only this version of the object.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Delete only if it is still the same object, not a later one of the same name.
    pub fn uid(uid: impl Into<String>) -> Self {
        Self { uid: Some(uid.into()), ..Self::default() }
    }

    /// Delete without a grace period.
    pub fn now() -> Self {
        Self { grace_period: Some(Duration::ZERO), ..Self::default() }
    }

    /// The same with another propagation.
    #[must_use]
    pub fn with_propagation(self, propagation: Propagation) -> Self {
        Self { propagation: Some(propagation), ..self }
    }

    /// The request body.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(grace) = self.grace_period {
            value["gracePeriodSeconds"] = json!(grace.as_secs());
        }
        if let Some(propagation) = self.propagation {
            value["propagationPolicy"] = json!(format!("{propagation:?}"));
        }
        if self.uid.is_some() || self.resource_version.is_some() {
            let mut preconditions = serde_json::Map::new();
            if let Some(uid) = &self.uid {
                preconditions.insert("uid".to_owned(), json!(uid));
            }
            if let Some(version) = &self.resource_version {
                preconditions.insert("resourceVersion".to_owned(), json!(version));
            }
            value["preconditions"] = Value::Object(preconditions);
        }
        value
    }
}

/// How to change an object in place.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// RFC 7396: maps merge, lists are replaced, null removes.
    Merge(Value),
    /// Like merge, but lists merge by the keys the API describes.
    Strategic(Value),
    /// RFC 6902: a list of operations.
    Json(Value),
    /// Server-side apply of a partial object.
    Apply {
        /// The fields this manager wants.
        value: Value,
        /// Who it is.
        field_manager: String,
        /// Take fields over from other managers.
        force: bool,
    },
}

impl Patch {
    /// The media type it is sent as.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Merge(_) => "application/merge-patch+json",
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Json(_) => "application/json-patch+json",
            Self::Apply { .. } => "application/apply-patch+yaml",
        }
    }

    /// Its content.
    pub fn value(&self) -> &Value {
        match self {
            Self::Merge(value) | Self::Strategic(value) | Self::Json(value) | Self::Apply { value, .. } => value,
        }
    }

    pub(crate) fn on(&self, path: &str) -> String {
        let mut query = Query::default();
        if let Self::Apply { field_manager, force, .. } = self {
            query.add("fieldManager", field_manager);
            query.add("force", if *force { "true" } else { "" });
        }
        query.on(path)
    }
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::kinds::apps::v1::Deployment;
    use portolan_api::typed::kinds::core::v1::{Node, Pod};

    use super::*;

    #[test]
    fn paths_follow_group_and_scope() {
        assert_eq!(ResourcePath::of::<Pod>().collection(""), "/api/v1/pods");
        assert_eq!(ResourcePath::of::<Pod>().object("a", "b", "status"), "/api/v1/namespaces/a/pods/b/status");
        assert_eq!(ResourcePath::of::<Node>().object("", "n", ""), "/api/v1/nodes/n");
        assert_eq!(ResourcePath::of::<Deployment>().collection("x"), "/apis/apps/v1/namespaces/x/deployments");
    }

    #[test]
    fn what_means_something_in_a_url_is_encoded() {
        let cases = [("system:node", "system:node"), ("a/b c%", "a%2Fb%20c%25"), ("ü?*", "%C3%BC%3F%2A"), ("", "")];
        for (text, encoded) in cases {
            assert_eq!(percent_encode(text), encoded);
        }
    }

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(ListParams::labels("a in (b),c=d").on("/p"), "/p?labelSelector=a%20in%20%28b%29%2Cc%3Dd");
        let watch = WatchParams { send_initial_events: true, ..WatchParams::default() };
        assert_eq!(
            watch.on("/p"),
            "/p?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        );
    }

    #[test]
    fn delete_options_carry_preconditions() {
        let options = DeleteOptions::uid("u").with_propagation(Propagation::Foreground);
        assert_eq!(
            options.to_value(),
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground", "preconditions": {"uid": "u"}})
        );
    }
}
