//! A new instance in the form in which the server stores it, written straight from the typed view.
//!
//! Reading JSON, holding it against its schema, filling in defaults, finding out which fields there are, and writing
//! JSON again comes to the same bytes for an instance that [`ServiceInstance::is_plain`]; the tests hold the two against
//! each other. The fields and who owns them are written side by side in one walk.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use super::{CheckType, HealthCheck, InstanceLease, LeaseKind, Object as _, ServiceInstance, ServiceInstanceSpec};
use crate::time;
use crate::validation::{is_dns1123_label, is_dns1123_subdomain, is_qualified_name};
use portolan_base::Timestamp;

/// The longest time without a renewal.
const LONGEST_TTL_SECONDS: i32 = 24 * 60 * 60;
/// No output of a check is larger, in bytes.
const LARGEST_OUTPUT: i32 = 64 << 10;
/// Objects inside each other in what only one dialect knows.
const DEEPEST: usize = 16;
/// Bytes of texts in annotations.
const MOST_ANNOTATIONS: usize = 64 << 10;

/// What the server says of a new object.
#[derive(Debug, Clone, Copy)]
pub struct Birth<'a> {
    /// Its UID.
    pub uid: &'a str,
    /// When it was created.
    pub now: Timestamp,
    /// Who owns its fields.
    pub manager: &'a str,
}

impl ServiceInstance {
    /// Whether there is nothing about a new instance that needs a closer look: it is valid, its defaults are filled in,
    /// and each of its values is in its one form. `false` may be said of valid ones too.
    pub fn is_plain(&self) -> bool {
        let metadata = &self.metadata;
        let is_absent = |list: Option<usize>| list.is_none_or(|length| length == 0);
        let plain_metadata = is_dns1123_subdomain(self.name()).is_empty()
            && !self.name().is_empty()
            && metadata.resource_version.is_none()
            && metadata.generate_name.is_none()
            && metadata.deletion_timestamp.is_none()
            && metadata.managed_fields.is_none()
            && metadata.self_link.is_none()
            && metadata.labels.is_none()
            && is_absent(metadata.finalizers.as_ref().map(Vec::len))
            && is_absent(metadata.owner_references.as_ref().map(Vec::len))
            && metadata.finalizers.is_none()
            && metadata.owner_references.is_none()
            && metadata.annotations.as_ref().is_none_or(are_plain_annotations);
        plain_metadata && is_plain_spec(&self.spec) && self.has_plain_status()
    }

    fn has_plain_status(&self) -> bool {
        let Some(status) = &self.status else { return true };
        let mut ids = HashSet::new();
        status.lease_held_since.is_none()
            && status.checks.iter().all(|check| !check.id.is_empty() && ids.insert(check.id.as_str()))
    }

    /// The stored form of a new instance that [`ServiceInstance::is_plain`].
    pub fn encode_new(&self, birth: &Birth<'_>) -> Vec<u8> {
        let now = time::format(birth.now);
        let spec = Twin::of(|spec| write_spec(spec, &self.spec));
        let annotations = self.metadata.annotations.as_ref().filter(|annotations| !annotations.is_empty());
        let annotations = annotations.map(|annotations| Twin::of(|twin| write_texts(twin, annotations)));
        let mut bytes = Vec::with_capacity(spec.object.len() + spec.owned.len() + 768);
        bytes.extend_from_slice(
            b"{\"kind\":\"ServiceInstance\",\"apiVersion\":\"registry.portolan.dev/v1\",\"metadata\":{",
        );
        if let Some(Twin { object, .. }) = &annotations {
            key(&mut bytes, "annotations");
            bytes.extend_from_slice(object);
        }
        text(&mut bytes, "creationTimestamp", &now);
        bytes.extend_from_slice(
            b",\"generation\":1,\"managedFields\":[{\"apiVersion\":\"registry.portolan.dev/v1\",\
              \"fieldsType\":\"FieldsV1\",\"fieldsV1\":{",
        );
        if let Some(Twin { owned, .. }) = &annotations {
            bytes.extend_from_slice(b"\"f:metadata\":{\"f:annotations\":");
            bytes.extend_from_slice(owned);
            bytes.extend_from_slice(b"},");
        }
        bytes.extend_from_slice(b"\"f:spec\":");
        bytes.extend_from_slice(&spec.owned);
        bytes.push(b'}');
        text(&mut bytes, "manager", if birth.manager.is_empty() { "unknown" } else { birth.manager });
        bytes.extend_from_slice(b",\"operation\":\"Update\"");
        text(&mut bytes, "time", &now);
        bytes.extend_from_slice(b"}]");
        text(&mut bytes, "name", self.name());
        text(&mut bytes, "namespace", self.namespace());
        text(&mut bytes, "uid", birth.uid);
        bytes.extend_from_slice(b"},\"spec\":");
        bytes.extend_from_slice(&spec.object);
        bytes.extend_from_slice(b",\"status\":{");
        self.write_status(&mut bytes, &now);
        bytes.extend_from_slice(b"}}");
        bytes
    }

    fn write_status(&self, bytes: &mut Vec<u8>, now: &str) {
        let Some(status) = &self.status else {
            text(bytes, "health", "passing");
            text(bytes, "since", now);
            return;
        };
        if !status.checks.is_empty() {
            key(bytes, "checks");
            list(bytes, &status.checks, |bytes, check| {
                bytes.push(b'{');
                text(bytes, "health", check.health.as_str());
                text(bytes, "id", &check.id);
                text_unless_empty(bytes, "output", &check.output);
                if let Some(since) = &check.since {
                    text(bytes, "since", &time::format(since.0));
                }
                bytes.push(b'}');
            });
        }
        text(bytes, "health", status.health.as_str());
        text_unless_empty(bytes, "reason", &status.reason);
        match &status.since {
            Some(since) => text(bytes, "since", &time::format(since.0)),
            None => text(bytes, "since", now),
        }
    }
}

fn are_plain_annotations(annotations: &BTreeMap<String, String>) -> bool {
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    !annotations.is_empty()
        && size <= MOST_ANNOTATIONS
        && annotations.keys().all(|key| is_qualified_name(key).is_empty())
}

/// Names as other registries allow them; not empty.
fn is_registered_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && !name.chars().any(|character| character.is_control() || character == '/')
}

fn is_plain_spec(spec: &ServiceInstanceSpec) -> bool {
    let place = match spec.address.as_str() {
        "" => !spec.node.is_empty(),
        address => is_registered_name(address),
    };
    let mut names = HashSet::new();
    let ports = spec.ports.iter().all(|port| {
        (1..=65535).contains(&port.port)
            && matches!(port.protocol.as_str(), "TCP" | "UDP" | "SCTP")
            && (port.name.is_empty() && spec.ports.len() == 1
                || is_dns1123_label(&port.name).is_empty() && names.insert(port.name.as_str()))
    });
    let mut ids = HashSet::new();
    let checks = spec.checks.iter().all(|check| is_plain_check(check) && ids.insert(check.id.as_str()));
    let is_some = |text: &String| !text.is_empty();
    is_registered_name(&spec.service)
        && is_some(&spec.instance_id)
        && place
        && ports
        && checks
        && spec.weights.is_some_and(|weights| weights.passing > 0 && weights.warning > 0)
        && spec.lease.as_ref().is_some_and(is_plain_lease)
        && spec.locality.as_ref().is_none_or(|it| is_some(&it.region) || is_some(&it.zone) || is_some(&it.rack))
        && spec.tagged_addresses.values().all(|tagged| is_some(&tagged.address) && tagged.port != 0)
        && spec.extensions.values().all(|extension| is_plain_value(extension, DEEPEST))
}

fn is_plain_lease(lease: &InstanceLease) -> bool {
    match lease.kind {
        LeaseKind::Ttl => matches!(lease.ttl_seconds, Some(1..=LONGEST_TTL_SECONDS)) && lease.session.is_empty(),
        LeaseKind::Connection => {
            matches!(lease.ttl_seconds, None | Some(1..=LONGEST_TTL_SECONDS)) && lease.session.is_empty()
        }
        LeaseKind::Session => lease.ttl_seconds.is_none() && !lease.session.is_empty(),
        LeaseKind::None => lease.ttl_seconds.is_none() && lease.session.is_empty(),
        // Who its owner is must be looked at.
        LeaseKind::Orchestrator => false,
    }
}

fn is_plain_check(check: &HealthCheck) -> bool {
    let at_intervals = check.interval_milliseconds.is_some();
    let is_complete = match check.r#type {
        CheckType::Http => !check.url.is_empty() && at_intervals,
        CheckType::Tcp | CheckType::Udp | CheckType::Grpc | CheckType::H2ping => {
            !check.address.is_empty() && at_intervals
        }
        CheckType::Script => !check.command.is_empty() && at_intervals,
        CheckType::Ttl => check.ttl_milliseconds.is_some(),
        CheckType::Alias | CheckType::External => true,
    };
    let durations = [check.interval_milliseconds, check.timeout_milliseconds, check.ttl_milliseconds];
    let counts = [check.success_before_passing, check.failures_before_warning, check.failures_before_critical];
    is_registered_name(&check.id)
        && is_complete
        && durations.iter().all(|duration| duration.is_none_or(|duration| duration > 0))
        && counts.iter().all(|count| *count >= 0)
        && check.output_max_bytes.is_none_or(|bytes| (1..=LARGEST_OUTPUT).contains(&bytes))
        && check.deregister_critical_after_seconds.is_none_or(|seconds| seconds > 0)
        && check.headers.values().all(|values| !values.is_empty())
}

/// Whether a value of any form is read and written again as it is.
fn is_plain_value(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null => false,
        Value::Number(number) => number.is_i64(),
        Value::Bool(_) | Value::String(_) => true,
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_plain_value(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| is_plain_value(field, depth - 1)),
    }
}

fn write_spec(twin: &mut Twin, spec: &ServiceInstanceSpec) {
    twin.text_unless_empty("address", &spec.address);
    if !spec.checks.is_empty() {
        write_checks(twin, &spec.checks);
    }
    if spec.enable_tag_override {
        twin.whole("enableTagOverride", |bytes| bytes.extend_from_slice(b"true"));
    }
    if !spec.extensions.is_empty() {
        twin.object("extensions", |twin| spec.extensions.iter().for_each(|(name, value)| twin.value(name, value)));
    }
    twin.text_unless_empty("instanceId", &spec.instance_id);
    if let Some(lease) = &spec.lease {
        twin.object("lease", |twin| {
            twin.text("kind", lease.kind.as_str());
            twin.text_unless_empty("session", &lease.session);
            lease.ttl_seconds.iter().for_each(|seconds| twin.number("ttlSeconds", *seconds));
        });
    }
    if let Some(locality) = &spec.locality {
        twin.object("locality", |twin| {
            twin.text_unless_empty("rack", &locality.rack);
            twin.text_unless_empty("region", &locality.region);
            twin.text_unless_empty("zone", &locality.zone);
        });
    }
    if !spec.metadata.is_empty() {
        twin.object("metadata", |twin| write_texts(twin, &spec.metadata));
    }
    twin.text_unless_empty("node", &spec.node);
    twin.text_unless_empty("origin", &spec.origin);
    if let Some(decision) = &spec.administrative {
        twin.object("override", |twin| {
            twin.text("mode", decision.mode.as_str());
            twin.text_unless_empty("reason", &decision.reason);
            decision.since.iter().for_each(|since| twin.text("since", &time::format(since.0)));
        });
    }
    if !spec.ports.is_empty() {
        twin.whole("ports", |bytes| {
            list(bytes, &spec.ports, |bytes, port| {
                bytes.push(b'{');
                text_unless_empty(bytes, "name", &port.name);
                key(bytes, "port");
                json(bytes, &port.port);
                text_unless_empty(bytes, "protocol", &port.protocol);
                bytes.push(b'}');
            });
        });
    }
    twin.text("service", &spec.service);
    if !spec.tagged_addresses.is_empty() {
        twin.object("taggedAddresses", |twin| {
            for (name, tagged) in &spec.tagged_addresses {
                twin.named(name, |twin| {
                    twin.object_here(|twin| {
                        twin.text("address", &tagged.address);
                        twin.number("port", tagged.port);
                    });
                });
            }
        });
    }
    if !spec.tags.is_empty() {
        write_tags(twin, &spec.tags);
    }
    twin.text_unless_empty("version", &spec.version);
    if let Some(weights) = &spec.weights {
        twin.object("weights", |twin| {
            twin.number("passing", weights.passing);
            twin.number("warning", weights.warning);
        });
    }
}

/// A list whose items have owners one by one, each named by itself.
fn write_tags(twin: &mut Twin, tags: &[String]) {
    key(&mut twin.object, "tags");
    list(&mut twin.object, tags, |bytes, tag| json(bytes, tag));
    let mut elements: Vec<String> = tags.iter().map(|tag| format!("v:{}", Value::from(tag.as_str()))).collect();
    elements.sort_unstable();
    elements.dedup();
    owned_key(&mut twin.owned, "tags");
    twin.owned.extend_from_slice(b"{\".\":{}");
    for element in elements {
        twin.owned.push(b',');
        json(&mut twin.owned, &element);
        twin.owned.extend_from_slice(b":{}");
    }
    twin.owned.push(b'}');
}

/// A list whose items have owners one by one, each named by its id.
fn write_checks(twin: &mut Twin, checks: &[HealthCheck]) {
    key(&mut twin.object, "checks");
    let mut elements: Vec<(String, Vec<u8>)> = Vec::with_capacity(checks.len());
    list(&mut twin.object, checks, |bytes, check| {
        let item = Twin::of(|twin| write_check(twin, check));
        bytes.extend_from_slice(&item.object);
        elements.push((format!("k:{{\"id\":{}}}", Value::from(check.id.as_str())), item.owned));
    });
    elements.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    owned_key(&mut twin.owned, "checks");
    twin.owned.extend_from_slice(b"{\".\":{}");
    for (element, owned) in elements {
        twin.owned.push(b',');
        json(&mut twin.owned, &element);
        twin.owned.push(b':');
        twin.owned.extend_from_slice(&owned);
    }
    twin.owned.push(b'}');
}

fn write_check(twin: &mut Twin, check: &HealthCheck) {
    let optional = |twin: &mut Twin, name, number: Option<i64>| {
        number.iter().for_each(|number| twin.number(name, *number));
    };
    let count = |number: i32| Some(i64::from(number)).filter(|number| *number != 0);
    let flag = |twin: &mut Twin, name, flag: bool| {
        if flag {
            twin.whole(name, |bytes| bytes.extend_from_slice(b"true"));
        }
    };
    twin.text_unless_empty("address", &check.address);
    twin.text_unless_empty("aliasNode", &check.alias_node);
    twin.text_unless_empty("aliasService", &check.alias_service);
    twin.text_unless_empty("body", &check.body);
    if !check.command.is_empty() {
        twin.whole("command", |bytes| json(bytes, &check.command));
    }
    optional(twin, "deregisterCriticalAfterSeconds", check.deregister_critical_after_seconds.map(i64::from));
    flag(twin, "disableRedirects", check.disable_redirects);
    optional(twin, "failuresBeforeCritical", count(check.failures_before_critical));
    optional(twin, "failuresBeforeWarning", count(check.failures_before_warning));
    if !check.headers.is_empty() {
        twin.object("headers", |twin| {
            for (name, values) in &check.headers {
                twin.named(name, |twin| twin.leaf(|bytes| json(bytes, values)));
            }
        });
    }
    twin.text("id", &check.id);
    check.initial_health.iter().for_each(|health| twin.text("initialHealth", health.as_str()));
    optional(twin, "intervalMilliseconds", check.interval_milliseconds);
    twin.text_unless_empty("method", &check.method);
    twin.text_unless_empty("name", &check.name);
    twin.text_unless_empty("notes", &check.notes);
    optional(twin, "outputMaxBytes", check.output_max_bytes.map(i64::from));
    optional(twin, "successBeforePassing", count(check.success_before_passing));
    optional(twin, "timeoutMilliseconds", check.timeout_milliseconds);
    flag(twin, "tls", check.tls);
    twin.text_unless_empty("tlsServerName", &check.tls_server_name);
    flag(twin, "tlsSkipVerify", check.tls_skip_verify);
    optional(twin, "ttlMilliseconds", check.ttl_milliseconds);
    twin.text("type", check.r#type.as_str());
    twin.text_unless_empty("url", &check.url);
}

fn write_texts(twin: &mut Twin, texts: &BTreeMap<String, String>) {
    for (name, text) in texts {
        twin.named(name, |twin| twin.leaf(|bytes| json(bytes, text)));
    }
}

/// An object and the set of its fields, as they are written.
struct Twin {
    object: Vec<u8>,
    owned: Vec<u8>,
}

impl Twin {
    /// An object with these fields, which has an owner itself.
    fn of(fields: impl FnOnce(&mut Self)) -> Self {
        let mut twin = Self { object: Vec::with_capacity(512), owned: Vec::with_capacity(512) };
        twin.object_here(fields);
        twin
    }

    /// The value of a field whose names are written: an object.
    fn object_here(&mut self, fields: impl FnOnce(&mut Self)) {
        self.object.push(b'{');
        self.owned.extend_from_slice(b"{\".\":{}");
        let before = self.object.len();
        fields(self);
        if self.object.len() == before {
            // Nothing in it: the set is that of a value.
            self.owned.truncate(self.owned.len() - b"\".\":{}".len());
        }
        self.object.push(b'}');
        self.owned.push(b'}');
    }

    /// The value of a field whose names are written: owned as a whole.
    fn leaf(&mut self, value: impl FnOnce(&mut Vec<u8>)) {
        value(&mut self.object);
        self.owned.extend_from_slice(b"{}");
    }

    fn object(&mut self, name: &'static str, fields: impl FnOnce(&mut Self)) {
        key(&mut self.object, name);
        owned_key(&mut self.owned, name);
        self.object_here(fields);
    }

    fn whole(&mut self, name: &'static str, value: impl FnOnce(&mut Vec<u8>)) {
        key(&mut self.object, name);
        owned_key(&mut self.owned, name);
        self.leaf(value);
    }

    fn text(&mut self, name: &'static str, text: &str) {
        self.whole(name, |bytes| json(bytes, text));
    }

    fn text_unless_empty(&mut self, name: &'static str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &'static str, number: impl Into<i64>) {
        let number = number.into();
        self.whole(name, |bytes| json(bytes, &number));
    }

    /// A field of a name that the client chose.
    fn named(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        comma(&mut self.object);
        json(&mut self.object, name);
        self.object.push(b':');
        comma(&mut self.owned);
        json(&mut self.owned, &format_args!("f:{name}"));
        self.owned.push(b':');
        value(self);
    }

    /// The same with a value of any form: objects have owners field by field, all else as a whole.
    fn value(&mut self, name: &str, value: &Value) {
        self.named(name, |twin| match value {
            Value::Object(fields) => {
                twin.object_here(|twin| fields.iter().for_each(|(name, value)| twin.value(name, value)));
            }
            value => twin.leaf(|bytes| json(bytes, value)),
        });
    }
}

fn comma(bytes: &mut Vec<u8>) {
    if !matches!(bytes.last(), None | Some(b'{' | b'[')) {
        bytes.push(b',');
    }
}

/// A member's name that needs no escapes.
fn key(bytes: &mut Vec<u8>, name: &str) {
    comma(bytes);
    [b"\"", name.as_bytes(), b"\":"].iter().for_each(|part| bytes.extend_from_slice(part));
}

fn owned_key(bytes: &mut Vec<u8>, name: &str) {
    comma(bytes);
    [b"\"f:", name.as_bytes(), b"\":"].iter().for_each(|part| bytes.extend_from_slice(part));
}

fn json<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(bytes, value).expect("plain values are written to memory");
}

fn text(bytes: &mut Vec<u8>, name: &str, value: &str) {
    key(bytes, name);
    json(bytes, value);
}

fn text_unless_empty(bytes: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        text(bytes, name, value);
    }
}

fn list<T>(bytes: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    bytes.push(b'[');
    for item in items {
        comma(bytes);
        write(bytes, item);
    }
    bytes.push(b']');
}
