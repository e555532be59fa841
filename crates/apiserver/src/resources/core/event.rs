//! Events. The core group and `events.k8s.io` show the same objects under other field names; both are held to the
//! rules here under the names of the core group.
//!
//! Source: `pkg/apis/core/validation/events.go`.

use std::borrow::Cow;

use portolan_api::{conversion, field, time, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, text};
use crate::resources::print::{self, integer};
use crate::strategy::{Column, Context, NAME, Strategy};

/// The strategy of events.
pub(crate) struct Event {
    /// The group in which they are asked for.
    pub(crate) group: &'static str,
}

const COLUMNS: &[Column] = &[
    Column::string("Last Seen").of("core.Event", "lastTimestamp"),
    Column::string("Type").of("core.Event", "type"),
    Column::string("Reason").of("core.Event", "reason"),
    Column::string("Object").of("core.Event", "involvedObject"),
    Column::string("Subobject").of("core.ObjectReference", "fieldPath").wide(),
    Column::string("Source").of("core.Event", "source").wide(),
    Column::string("Message").of("core.Event", "message"),
    Column::string("First Seen").of("core.Event", "firstTimestamp").wide(),
    Column::string("Count").of("core.Event", "count").wide(),
    NAME.wide(),
];

const SELECTABLE_IN_CORE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const SELECTABLE: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

/// Longest instance, action and reason.
const SHORT: usize = 128;
/// Longest message.
const LONG: usize = 1024;

impl Strategy for Event {
    fn prepare_for_create(&self, _object: &mut Value, _context: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _context: &Context) {}

    fn validate(&self, object: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let event = &*as_core(object);
        validate_any(event, self.group, context, &mut errors);
        if self.group.is_empty() {
            return errors.0;
        }
        validate_series(event, &mut errors);
        if !is_set(&event["eventTime"]) {
            errors.required(&At::root("eventTime"), "");
        }
        if !matches!(text(&event["type"]), "Normal" | "Warning") {
            errors.invalid(&At::root("type"), "", format!("has invalid value: {}", text(&event["type"])));
        }
        for field in ["firstTimestamp", "lastTimestamp", "count"] {
            if is_set(&event[field]) {
                errors.invalid(&At::root(field), "", "needs to be unset");
            }
        }
        if is_set(&event["source"]["component"]) || is_set(&event["source"]["host"]) {
            errors.invalid(&At::root("source"), "", "needs to be unset");
        }
        errors.0
    }

    fn revalidates(&self) -> bool {
        false
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (new, old) = (&*as_core(new), &*as_core(old));
        validate_any(new, self.group, context, &mut errors);
        if self.group.is_empty() {
            return errors.0;
        }
        if new["series"] != old["series"] {
            validate_series(new, &mut errors);
        }
        validate_same(new, old, &mut errors);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let event = &*as_core(object);
        let involved = &event["involvedObject"];
        let time = |field: &str| Some(&event[field]).filter(|value| is_set(value));
        let first = time("firstTimestamp").unwrap_or(&event["eventTime"]);
        let last = match is_set(&event["series"]) {
            true => &event["series"]["lastObservedTime"],
            false => time("lastTimestamp").unwrap_or(first),
        };
        let count = match &event["series"]["count"] {
            Value::Null => integer(&event["count"]).max(1),
            series => integer(series),
        };
        let kind = text(&involved["kind"]).to_lowercase();
        let target = if is_set(&involved["name"]) { format!("{kind}/{}", text(&involved["name"])) } else { kind };
        vec![
            print::since(last, now).into(),
            event["type"].clone(),
            event["reason"].clone(),
            target.into(),
            text(&involved["fieldPath"]).into(),
            source(event).into(),
            text(&event["message"]).trim().into(),
            print::since(first, now).into(),
            count.into(),
            print::name(event),
        ]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        if self.group.is_empty() { SELECTABLE_IN_CORE } else { SELECTABLE }
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        if !self.selectable_fields().contains(&name) {
            return None;
        }
        let event = &*as_core(object);
        Some(match name.split_once('.') {
            Some((_, field)) => text(&event["involvedObject"][field]).to_owned(),
            None if name == "source" => component(event).to_owned(),
            None if name == "reportingController" => text(&event["reportingComponent"]).to_owned(),
            None => text(&event[name]).to_owned(),
        })
    }
}

/// The event with the fields that the core group has.
fn as_core(event: &Value) -> Cow<'_, Value> {
    if text(&event["apiVersion"]) != "events.k8s.io/v1" {
        return Cow::Borrowed(event);
    }
    let mut event = event.clone();
    if let Some(conversion) = conversion::of("", "events") {
        conversion.convert(&mut event, conversion.stored);
    }
    Cow::Owned(event)
}

/// What every event is held to, whoever writes it.
fn validate_any(event: &Value, group: &str, context: &Context, errors: &mut Errors) {
    let (involved, own) = (text(&event["involvedObject"]["namespace"]), text(&event["metadata"]["namespace"]));
    let own = if context.namespace.is_empty() { own } else { &context.namespace };
    let is_new = is_set(&event["eventTime"]);
    // Events about objects without a namespace live in `default`.
    let fits = match involved {
        "" if is_new => matches!(own, "default" | "kube-system"),
        "" => matches!(own, "" | "default"),
        involved => is_new || involved == own,
    };
    if !fits {
        let at = At::root("involvedObject");
        errors.invalid(&at.child("namespace"), involved, "does not match event.namespace");
    }
    if !is_new {
        return;
    }
    let controller = At::root(if group.is_empty() { "reportingComponent" } else { "reportingController" });
    let name = text(&event["reportingComponent"]);
    if name.is_empty() {
        errors.required(&controller, "");
    }
    errors.obeys(&controller, name, validation::is_qualified_name);
    for (field, must_be_set, longest) in
        [("reportingInstance", true, SHORT), ("action", true, SHORT), ("reason", true, SHORT), ("message", false, LONG)]
    {
        let value = text(&event[field]);
        if must_be_set && value.is_empty() {
            errors.required(&At::root(field), "");
        }
        if value.len() > longest {
            errors.invalid(&At::root(field), "", format!("can have at most {longest} characters"));
        }
    }
}

/// What whoever writes `events.k8s.io` cannot change, in upstream's order.
fn validate_same(new: &Value, old: &Value, errors: &mut Errors) {
    const OBJECT: &str = "ObjectReference";
    let same_structure = |errors: &mut Errors, field, structure| {
        errors.immutable_structure(&At::root(field), structure, &new[field], &old[field]);
    };
    let same_text = |errors: &mut Errors, shown, field: &str| {
        errors.immutable_text(&At::root(shown), &new[field], &old[field]);
    };
    same_structure(errors, "involvedObject", OBJECT);
    same_text(errors, "reason", "reason");
    same_text(errors, "message", "message");
    same_structure(errors, "source", "EventSource");
    for field in ["firstTimestamp", "lastTimestamp"] {
        errors.immutable(&At::root(field), &new[field], &old[field]);
    }
    errors.immutable(&At::root("count"), &integer(&new["count"]).into(), &integer(&old["count"]).into());
    same_text(errors, "reason", "reason");
    same_text(errors, "type", "type");
    // Clients that write times more exactly than they are kept change nothing.
    let micros = |event: &Value| time::parse(text(&event["eventTime"])).map(time::format_micro);
    if micros(new) != micros(old) {
        errors.immutable(&At::root("eventTime"), &new["eventTime"], &old["eventTime"]);
    }
    same_text(errors, "action", "action");
    errors.immutable_if_present(&At::root("related"), OBJECT, &new["related"], &old["related"]);
    same_text(errors, "reportingController", "reportingComponent");
    same_text(errors, "reportingInstance", "reportingInstance");
}

fn validate_series(event: &Value, errors: &mut Errors) {
    let series = &event["series"];
    if series.is_null() {
        return;
    }
    if integer(&series["count"]) < 2 {
        errors.invalid(&At::root("series.count"), "", "should be at least 2");
    }
    if !is_set(&series["lastObservedTime"]) {
        errors.required(&At::root("series.lastObservedTime"), "");
    }
}

fn component(event: &Value) -> &str {
    match text(&event["source"]["component"]) {
        "" => text(&event["reportingComponent"]),
        component => component,
    }
}

fn source(event: &Value) -> String {
    let host = match text(&event["source"]["host"]) {
        "" if text(&event["source"]["component"]).is_empty() => text(&event["reportingInstance"]),
        host => host,
    };
    [component(event), host].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}
