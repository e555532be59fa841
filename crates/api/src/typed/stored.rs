//! A new instance in the form in which the server stores it, written straight from the typed view.
//!
//! Reading JSON, holding it against its schema, filling in defaults, finding out which fields there are, and writing
//! JSON again comes to the same bytes for an instance that [`ServiceInstance::is_plain`]; the tests hold the two against
//! each other. The fields and who owns them are written side by side in one walk.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{HealthCheck, Object as _, ServiceInstance, ServiceInstanceSpec, ServiceInstanceStatus};
use crate::apply::encoded::By;
use crate::apply::paths::{Key, Member, Paths};
use crate::apply::{self, Operation};
use crate::time;
use portolan_base::Timestamp;

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
    /// The stored form of a new instance that [`ServiceInstance::is_plain`].
    pub fn encode_new(&self, birth: &Birth<'_>) -> Vec<u8> {
        let now = time::format(birth.now);
        let mut twin = Twin::new();
        if let Some(annotations) = self.metadata.annotations.as_ref().filter(|annotations| !annotations.is_empty()) {
            let open = twin.owned.open(Key::Field("metadata"), Member::No);
            twin.object("annotations", |twin| write_texts(twin, annotations));
            twin.owned.close(open);
        }
        let annotations = std::mem::replace(&mut twin.object, Vec::with_capacity(512));
        twin.object("spec", |twin| write_spec(twin, &self.spec));
        let Twin { object: spec, owned } = twin;
        let mut bytes = Vec::with_capacity(annotations.len() + spec.len() + owned.bytes.len() + 768);
        bytes.extend_from_slice(
            b"{\"kind\":\"ServiceInstance\",\"apiVersion\":\"registry.portolan.dev/v1\",\"metadata\":{",
        );
        bytes.extend_from_slice(&annotations);
        text(&mut bytes, "creationTimestamp", &now);
        bytes.extend_from_slice(b",\"generation\":1,\"managedFields\":[");
        apply::encoded::begin("registry.portolan.dev/v1", &mut bytes);
        bytes.extend_from_slice(&owned.bytes);
        let by = By {
            manager: apply::recorded_name(birth.manager),
            operation: Operation::Update,
            subresource: "",
            time: Some(&now),
        };
        apply::encoded::end(&by, &mut bytes);
        bytes.push(b']');
        text(&mut bytes, "name", self.name());
        text(&mut bytes, "namespace", self.namespace());
        text(&mut bytes, "uid", birth.uid);
        bytes.extend_from_slice(b"},");
        bytes.extend_from_slice(&spec);
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
        // Nothing holds what is new.
        let ServiceInstanceStatus { health, reason, since, checks, lease_held_since: _ } = status;
        if !checks.is_empty() {
            key(bytes, "checks");
            list(bytes, checks, |bytes, check| {
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
        text(bytes, "health", health.as_str());
        text_unless_empty(bytes, "reason", reason);
        match since {
            Some(since) => text(bytes, "since", &time::format(since.0)),
            None => text(bytes, "since", now),
        }
    }
}

fn write_spec(twin: &mut Twin, spec: &ServiceInstanceSpec) {
    // All of them by name, so that a field that is added is missed here.
    let ServiceInstanceSpec {
        service,
        instance_id,
        address,
        ports,
        tags,
        metadata,
        version,
        weights,
        locality,
        lease,
        node,
        tagged_addresses,
        enable_tag_override,
        checks,
        administrative,
        origin,
        extensions,
    } = spec;
    twin.text_unless_empty("address", address);
    if !checks.is_empty() {
        write_checks(twin, checks);
    }
    if *enable_tag_override {
        twin.whole("enableTagOverride", |bytes| bytes.extend_from_slice(b"true"));
    }
    if !extensions.is_empty() {
        twin.object("extensions", |twin| extensions.iter().for_each(|(name, value)| twin.value(name, value)));
    }
    twin.text_unless_empty("instanceId", instance_id);
    if let Some(lease) = lease {
        twin.object("lease", |twin| {
            twin.text("kind", lease.kind.as_str());
            twin.text_unless_empty("session", &lease.session);
            lease.ttl_seconds.iter().for_each(|seconds| twin.number("ttlSeconds", *seconds));
        });
    }
    if let Some(locality) = locality {
        twin.object("locality", |twin| {
            twin.text_unless_empty("rack", &locality.rack);
            twin.text_unless_empty("region", &locality.region);
            twin.text_unless_empty("zone", &locality.zone);
        });
    }
    if !metadata.is_empty() {
        twin.object("metadata", |twin| write_texts(twin, metadata));
    }
    twin.text_unless_empty("node", node);
    twin.text_unless_empty("origin", origin);
    if let Some(decision) = administrative {
        twin.object("override", |twin| {
            twin.text("mode", decision.mode.as_str());
            twin.text_unless_empty("reason", &decision.reason);
            decision.since.iter().for_each(|since| twin.text("since", &time::format(since.0)));
        });
    }
    if !ports.is_empty() {
        twin.whole("ports", |bytes| {
            list(bytes, ports, |bytes, port| {
                bytes.push(b'{');
                text_unless_empty(bytes, "name", &port.name);
                key(bytes, "port");
                json(bytes, &port.port);
                text_unless_empty(bytes, "protocol", &port.protocol);
                bytes.push(b'}');
            });
        });
    }
    twin.text("service", service);
    if !tagged_addresses.is_empty() {
        twin.object("taggedAddresses", |twin| {
            for (name, tagged) in tagged_addresses {
                twin.object(name, |twin| {
                    twin.text("address", &tagged.address);
                    twin.number("port", tagged.port);
                });
            }
        });
    }
    if !tags.is_empty() {
        write_tags(twin, tags);
    }
    twin.text_unless_empty("version", version);
    if let Some(weights) = weights {
        twin.object("weights", |twin| {
            twin.number("passing", weights.passing);
            twin.number("warning", weights.warning);
        });
    }
}

/// A list whose items have owners one by one, each named by itself.
fn write_tags(twin: &mut Twin, tags: &[String]) {
    let mut elements: Vec<String> = tags.iter().map(|tag| format!("v:{}", Value::from(tag.as_str()))).collect();
    elements.sort_unstable();
    elements.dedup();
    twin.field("tags", |twin| {
        list(&mut twin.object, tags, json);
        for element in &elements {
            twin.owned.keyed(Key::Item(element), Member::Yes, |_| {});
        }
    });
}

/// A list whose items have owners one by one, each named by its id.
fn write_checks(twin: &mut Twin, checks: &[HealthCheck]) {
    let mut elements: Vec<(String, Paths)> = Vec::with_capacity(checks.len());
    twin.field("checks", |twin| {
        list(&mut twin.object, checks, |bytes, check| {
            let mut item = Twin::new();
            write_check(&mut item, check);
            [b"{", &item.object[..], b"}"].iter().for_each(|part| bytes.extend_from_slice(part));
            elements.push((format!("k:{{\"id\":{}}}", Value::from(check.id.as_str())), item.owned));
        });
        elements.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        for (element, owned) in &elements {
            // A check has an id at least.
            twin.owned.keyed(Key::Item(element), Member::Yes, |paths| paths.copy(&owned.bytes));
        }
    });
}

fn write_check(twin: &mut Twin, check: &HealthCheck) {
    let HealthCheck {
        id,
        name,
        r#type,
        notes,
        url,
        method,
        headers,
        body,
        disable_redirects,
        address,
        tls,
        tls_server_name,
        tls_skip_verify,
        command,
        alias_node,
        alias_service,
        interval_milliseconds,
        timeout_milliseconds,
        ttl_milliseconds,
        success_before_passing,
        failures_before_warning,
        failures_before_critical,
        output_max_bytes,
        deregister_critical_after_seconds,
        initial_health,
    } = check;
    let optional = |twin: &mut Twin, name, number: Option<i64>| {
        number.iter().for_each(|number| twin.number(name, *number));
    };
    let count = |number: i32| Some(i64::from(number)).filter(|number| *number != 0);
    let flag = |twin: &mut Twin, name, flag: bool| {
        if flag {
            twin.whole(name, |bytes| bytes.extend_from_slice(b"true"));
        }
    };
    twin.text_unless_empty("address", address);
    twin.text_unless_empty("aliasNode", alias_node);
    twin.text_unless_empty("aliasService", alias_service);
    twin.text_unless_empty("body", body);
    if !command.is_empty() {
        twin.whole("command", |bytes| json(bytes, command));
    }
    optional(twin, "deregisterCriticalAfterSeconds", deregister_critical_after_seconds.map(i64::from));
    flag(twin, "disableRedirects", *disable_redirects);
    optional(twin, "failuresBeforeCritical", count(*failures_before_critical));
    optional(twin, "failuresBeforeWarning", count(*failures_before_warning));
    if !headers.is_empty() {
        twin.object("headers", |twin| {
            for (name, values) in headers {
                twin.whole(name, |bytes| json(bytes, values));
            }
        });
    }
    twin.text("id", id);
    initial_health.iter().for_each(|health| twin.text("initialHealth", health.as_str()));
    optional(twin, "intervalMilliseconds", *interval_milliseconds);
    twin.text_unless_empty("method", method);
    twin.text_unless_empty("name", name);
    twin.text_unless_empty("notes", notes);
    optional(twin, "outputMaxBytes", output_max_bytes.map(i64::from));
    optional(twin, "successBeforePassing", count(*success_before_passing));
    optional(twin, "timeoutMilliseconds", *timeout_milliseconds);
    flag(twin, "tls", *tls);
    twin.text_unless_empty("tlsServerName", tls_server_name);
    flag(twin, "tlsSkipVerify", *tls_skip_verify);
    optional(twin, "ttlMilliseconds", *ttl_milliseconds);
    twin.text("type", r#type.as_str());
    twin.text_unless_empty("url", url);
}

fn write_texts(twin: &mut Twin, texts: &BTreeMap<String, String>) {
    for (name, text) in texts {
        twin.text(name, text);
    }
}

/// The fields of an object and the set of their paths, as they are written: both without the braces around them.
struct Twin {
    object: Vec<u8>,
    owned: Paths,
}

impl Twin {
    fn new() -> Self {
        Self { object: Vec::with_capacity(512), owned: Paths::new() }
    }

    /// A field that has an owner itself.
    fn field(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        comma(&mut self.object);
        json(&mut self.object, name);
        self.object.push(b':');
        let open = self.owned.open(Key::Field(name), Member::Yes);
        value(self);
        self.owned.close(open);
    }

    /// A field whose value is an object with owners field by field.
    fn object(&mut self, name: &str, fields: impl FnOnce(&mut Self)) {
        self.field(name, |twin| {
            twin.object.push(b'{');
            fields(twin);
            twin.object.push(b'}');
        });
    }

    /// A field whose value is owned as a whole.
    fn whole(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.field(name, |twin| value(&mut twin.object));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.whole(name, |bytes| json(bytes, text));
    }

    fn text_unless_empty(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &str, number: impl Into<i64>) {
        let number = number.into();
        self.whole(name, |bytes| json(bytes, &number));
    }

    /// A field with a value of any form: objects have owners field by field, all else as a whole.
    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                self.object(name, |twin| fields.iter().for_each(|(name, value)| twin.value(name, value)));
            }
            value => self.whole(name, |bytes| json(bytes, value)),
        }
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
