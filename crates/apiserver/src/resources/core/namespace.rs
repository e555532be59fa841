//! Namespaces.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::json::{items, object_or_new, set_zero, spec, status, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy, keep_other_half};

/// The strategy of namespaces.
pub(crate) struct Namespace;

/// Holds a namespace until everything in it is gone.
const FINALIZER: &str = "kubernetes";
/// The label by which selectors find a namespace by name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

const COLUMNS: &[Column] = &[NAME, Column::string("Status").about("The status of the namespace"), AGE];

impl Strategy for Namespace {
    fn default(&self, object: &mut Value) {
        let name = object["metadata"]["name"].clone();
        if name.as_str().is_none_or(str::is_empty) {
            return;
        }
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(labels) = metadata.and_then(|metadata| object_or_new(metadata, "labels")) {
            labels.insert(NAME_LABEL.to_owned(), name);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(spec) = spec(object) {
            let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
            if let Some(list) = finalizers.as_array_mut()
                && !list.iter().any(|finalizer| finalizer == FINALIZER)
            {
                list.push(FINALIZER.into());
            }
        }
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), json!({"phase": "Active"}));
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
        if context.subresource == "status"
            && let Some(status) = status(new)
        {
            set_zero(status, "phase", "Active");
        }
        // Only the subresource `finalize` changes the finalizers of the spec.
        if context.subresource.is_empty()
            && let Some(fields) = new.as_object_mut()
        {
            crate::resources::json::copy(fields, "spec", old);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        let list = at.child("finalizers");
        for (index, finalizer) in items(&object["spec"]["finalizers"]).iter().map(text).enumerate() {
            let at = list.index(index);
            errors.obeys(&at, finalizer, validation::is_qualified_name);
            if !finalizer.contains('/') && !matches!(finalizer, FINALIZER | "orphan" | "foregroundDeletion") {
                errors.invalid(&at, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
            }
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, _old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            let is_going = !new["metadata"]["deletionTimestamp"].is_null();
            let (wanted, is) = if is_going { ("Terminating", "is not") } else { ("Active", "is") };
            let (at, phase) = (At::root("status"), &new["status"]["phase"]);
            if phase != wanted {
                let detail = format!("may only be '{wanted}' if `deletionTimestamp` {is} empty");
                errors.invalid(&at.child("Phase"), text(phase), detail);
            }
        }
        errors.0
    }

    fn name_rule(&self) -> NameRule {
        NameRule::DnsLabel
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), object["status"]["phase"].clone(), print::age(object, now)]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["status.phase", "name"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        match name {
            "status.phase" => Some(text(&object["status"]["phase"]).to_owned()),
            "name" => Some(text(&object["metadata"]["name"]).to_owned()),
            _ => None,
        }
    }
}
