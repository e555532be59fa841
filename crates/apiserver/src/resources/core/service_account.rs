//! Service accounts.

use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::json::items;
use crate::resources::print;
use crate::strategy::{AGE, Column, NAME, Strategy};

/// The strategy of service accounts.
pub(crate) struct ServiceAccount;

const COLUMNS: &[Column] = &[NAME, Column::integer("Secrets"), AGE];

impl Strategy for ServiceAccount {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), items(&object["secrets"]).len().into(), print::age(object, now)]
    }
}
