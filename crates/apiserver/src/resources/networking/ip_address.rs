//! Addresses that are taken.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, text};
use crate::resources::print;
use crate::strategy::{Column, Context, NAME, NameRule, Strategy};

/// The strategy of IP addresses.
pub(crate) struct IpAddress;

const COLUMNS: &[Column] = &[NAME, Column::string("ParentRef").of("networking.IPAddressSpec", "parentRef")];

impl Strategy for IpAddress {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let spec = At::root("spec");
        let (at, parent) = (spec.child("parentRef"), &object["spec"]["parentRef"]);
        if parent.is_null() {
            errors.required(&at, "");
            return errors.0;
        }
        errors.obeys_if_set(&at.child("group"), &parent["group"], validation::is_dns1123_subdomain);
        errors.required_name(&at.child("resource"), &parent["resource"], validation::is_path_segment_name);
        errors.required_name(&at.child("name"), &parent["name"], validation::is_path_segment_name);
        errors.obeys_if_set(&at.child("namespace"), &parent["namespace"], validation::is_path_segment_name);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        let (new, old) = (&new["spec"]["parentRef"], &old["spec"]["parentRef"]);
        errors.immutable_if_present(&at.child("parentRef"), "ParentReference", new, old);
        errors.0
    }

    fn name_rule(&self) -> NameRule {
        NameRule::IpAddress
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    /// With the age, for which upstream has no column.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let parent = &object["spec"]["parentRef"];
        let shown = if parent.is_null() {
            print::NONE.to_owned()
        } else {
            let mut shown = text(&parent["resource"]).to_lowercase();
            for (mark, field) in [(".", "group"), ("/", "namespace")] {
                if is_set(&parent[field]) {
                    shown.push_str(mark);
                    shown.push_str(text(&parent[field]));
                }
            }
            format!("{shown}/{}", text(&parent["name"]))
        };
        vec![print::name(object), shown.into(), print::age(object, now)]
    }
}
