//! Service accounts.

use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::print;
use crate::strategy::{AGE, Column, NAME, Strategy};

/// The strategy of service accounts.
pub(crate) struct ServiceAccount;

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";
const MOUNTABLE_DEPRECATED: &str =
    "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
const COLUMNS: &[Column] = &[NAME, AGE];

impl Strategy for ServiceAccount {
    fn warnings(&self, object: &Value) -> Vec<String> {
        let has = !object["metadata"]["annotations"][MOUNTABLE].is_null();
        has.then(|| format!("metadata.annotations[{MOUNTABLE}]: {MOUNTABLE_DEPRECATED}")).into_iter().collect()
    }

    fn update_warnings(&self, new: &Value, old: &Value) -> Vec<String> {
        let had = !old["metadata"]["annotations"][MOUNTABLE].is_null();
        if had { Vec::new() } else { self.warnings(new) }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), print::age(object, now)]
    }
}
