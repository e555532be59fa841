//! Events. The core group and `events.k8s.io` show the same objects under other field names, so
//! every reader here looks at both.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, set_zero, text};
use crate::resources::print::{self, integer};
use crate::strategy::{Column, Context, Strategy};

/// The strategy of events of either group.
pub(crate) struct Event;

const COLUMNS: &[Column] = &[
    Column::string("Last Seen"),
    Column::string("Type"),
    Column::string("Reason"),
    Column::string("Object"),
    Column::string("Subobject").wide(),
    Column::string("Source").wide(),
    Column::string("Message"),
    Column::string("First Seen").wide(),
    Column::string("Count").wide(),
    Column { name: "Name", value_type: "string", format: "name", priority: 1 },
];

const SELECTABLE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingComponent",
    "reportingController",
    "source",
    "type",
];

impl Strategy for Event {
    fn default(&self, object: &mut Value) {
        if let Some(event) = object.as_object_mut()
            && event.get("apiVersion").map(text) == Some("v1")
        {
            set_zero(event, "type", "Normal");
        }
    }

    fn prepare_for_create(&self, _object: &mut Value, _context: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _context: &Context) {}

    fn validate(&self, object: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (involved, name) = object_of(object);
        let namespace = text(&involved["namespace"]);
        let expected =
            if context.namespace.is_empty() { text(&object["metadata"]["namespace"]) } else { &context.namespace };
        // Events about objects without a namespace live in `default`.
        let fits =
            if namespace.is_empty() { matches!(expected, "default" | "kube-system") } else { namespace == expected };
        if !fits {
            let at = At::root(name);
            errors.invalid(&at.child("namespace"), namespace, "does not match event.namespace");
        }
        if name == "regarding" {
            for field in ["reportingController", "reportingInstance", "action", "reason"] {
                errors.present(&At::root(field), &object[field]);
            }
            errors.required_one_of(&At::root("type"), &object["type"], &["Normal", "Warning"]);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (involved, _) = object_of(object);
        let first = first_of(object, &["firstTimestamp", "deprecatedFirstTimestamp", "eventTime"]);
        let last = if is_set(&object["series"]) {
            &object["series"]["lastObservedTime"]
        } else {
            let last = first_of(object, &["lastTimestamp", "deprecatedLastTimestamp"]);
            if is_set(last) { last } else { first }
        };
        let count = match (&object["series"]["count"], first_of(object, &["count", "deprecatedCount"])) {
            (Value::Null, single) => integer(single).max(1),
            (series, _) => integer(series),
        };
        let target = format!("{}/{}", text(&involved["kind"]).to_lowercase(), text(&involved["name"]));
        vec![
            print::since(last, now).into(),
            object["type"].clone(),
            object["reason"].clone(),
            target.into(),
            text(&involved["fieldPath"]).into(),
            source(object).into(),
            text(first_of(object, &["message", "note"])).trim().into(),
            print::since(first, now).into(),
            count.to_string().into(),
            print::name(object),
        ]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        if !SELECTABLE.contains(&name) {
            return None;
        }
        if let Some((_, field)) = name.split_once('.') {
            return Some(text(&object_of(object).0[field]).to_owned());
        }
        Some(match name {
            "source" => component(object).to_owned(),
            "reportingComponent" | "reportingController" => {
                text(first_of(object, &["reportingComponent", "reportingController"])).to_owned()
            }
            _ => text(&object[name]).to_owned(),
        })
    }
}

/// The object that an event is about, and the name of the field that holds it.
fn object_of(event: &Value) -> (&Value, &'static str) {
    if event["regarding"].is_null() {
        (&event["involvedObject"], "involvedObject")
    } else {
        (&event["regarding"], "regarding")
    }
}

/// The first of some fields that is there; null if none is.
fn first_of<'a>(object: &'a Value, fields: &[&str]) -> &'a Value {
    fields.iter().map(|field| &object[*field]).find(|value| is_set(value)).unwrap_or(&Value::Null)
}

fn component(event: &Value) -> &str {
    let source = first_of(event, &["source", "deprecatedSource"]);
    match text(&source["component"]) {
        "" => text(first_of(event, &["reportingComponent", "reportingController"])),
        component => component,
    }
}

fn source(event: &Value) -> String {
    let source = first_of(event, &["source", "deprecatedSource"]);
    let host = match text(&source["host"]) {
        "" if text(&source["component"]).is_empty() => text(&event["reportingInstance"]),
        host => host,
    };
    [component(event), host].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}
